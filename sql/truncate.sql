-- TRUNCATE: one truncated event of the table; resync when only a part of it was emptied.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
-- Rows are visited in the order of their keys (WHERE id > 0).
SET enable_seqscan = off;
SET enable_bitmapscan = off;
-- What was logged for this file's tables since the last call; t numbers the transactions.
CREATE TEMP TABLE seen AS SELECT pg_current_xact_id() AS tx;
CREATE FUNCTION pg_temp.events(OUT t bigint, OUT seq int, OUT entity text, OUT action text,
	OUT id text, OUT data json, OUT old json, OUT meta jsonb) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT dense_rank() OVER (ORDER BY e.lsn, e.tx), e.seq, e.entity, e.action, e.id,
		e.event -> 'data', e.event -> 'old', nullif((e.event -> 'meta')::jsonb
			- '{timestamp,tx,seq,userId,sessionId,priority}'::text[], '{}')
	FROM realtime.event e WHERE e.feature = 'truncate' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE truncate_t (id int PRIMARY KEY, v int);
CREATE TABLE truncate_child (id int PRIMARY KEY, parent int REFERENCES truncate_t);
CREATE TABLE truncate_part (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
CREATE TABLE truncate_part_1 PARTITION OF truncate_part FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);
CREATE TABLE truncate_part_1a PARTITION OF truncate_part_1 FOR VALUES FROM (0) TO (5);
CREATE TABLE truncate_part_2 PARTITION OF truncate_part FOR VALUES FROM (10) TO (20);
CREATE TABLE truncate_inh (id int PRIMARY KEY, v int);
CREATE TABLE truncate_inh_1 (PRIMARY KEY (id)) INHERITS (truncate_inh);
SELECT realtime.enable('truncate_t', 'truncate', 't', priority => 'high');
SELECT realtime.enable('truncate_child', 'truncate', 'child');
SELECT realtime.enable('truncate_part', 'truncate', 'part');
SELECT realtime.enable('truncate_inh', 'truncate', 'inh');
INSERT INTO truncate_t VALUES (1, 1);
TRUNCATE truncate_child;
TRUNCATE truncate_t CASCADE;
SELECT * FROM pg_temp.events();
SELECT event -> 'meta' ->> 'priority' AS priority, event -> 'data' AS data, event -> 'id' AS id
FROM realtime.event WHERE feature = 'truncate' AND entity = 't' AND action = 'truncated';
-- among changes of the same transaction, twice, empty tables
BEGIN;
INSERT INTO truncate_t VALUES (1, 1), (2, 2);
TRUNCATE truncate_t, truncate_child;
INSERT INTO truncate_t VALUES (1, 10);
TRUNCATE truncate_t CASCADE;
INSERT INTO truncate_t VALUES (1, 100);
COMMIT;
SELECT * FROM pg_temp.events();
-- rolled back
BEGIN;
TRUNCATE truncate_t CASCADE;
ROLLBACK;
BEGIN;
UPDATE truncate_t SET v = 101 WHERE id > 0;
SAVEPOINT a;
TRUNCATE truncate_t CASCADE;
ROLLBACK TO a;
UPDATE truncate_t SET v = 102 WHERE id > 0;
COMMIT;
SELECT * FROM pg_temp.events();
-- partitioned: the whole is truncated once, a part is a resync of the whole
TRUNCATE truncate_part;
TRUNCATE truncate_part_1;
TRUNCATE truncate_part_1a, truncate_part_2;
BEGIN;
TRUNCATE truncate_part_2;
TRUNCATE truncate_part;
COMMIT;
BEGIN;
SAVEPOINT a;
TRUNCATE truncate_part;
ROLLBACK TO a;
TRUNCATE truncate_part_2;
COMMIT;
TRUNCATE truncate_part, truncate_part_2;
SELECT * FROM pg_temp.events();
-- inheritance: ONLY leaves the children's rows
INSERT INTO truncate_inh_1 VALUES (1, 1);
TRUNCATE ONLY truncate_inh;
SELECT count(*) FROM truncate_inh;
TRUNCATE truncate_inh_1;
TRUNCATE truncate_inh;
INSERT INTO truncate_inh_1 VALUES (1, 1);
BEGIN;
TRUNCATE ONLY truncate_inh;
TRUNCATE truncate_inh;
-- the children are empty now
TRUNCATE ONLY truncate_inh;
COMMIT;
SELECT * FROM pg_temp.events();
-- RESTART IDENTITY, and switched off by the owner
TRUNCATE truncate_inh RESTART IDENTITY;
SET realtime.enabled = off;
TRUNCATE truncate_inh;
RESET realtime.enabled;
SELECT * FROM pg_temp.events();
DROP TABLE truncate_child, truncate_t, truncate_part, truncate_inh_1, truncate_inh;
