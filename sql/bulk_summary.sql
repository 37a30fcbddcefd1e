-- More rows than bulk_threshold in one transaction: a summary of counts and keys in place of the rows.
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
	FROM realtime.event e WHERE e.feature = 'bulk_summary' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE bulk_summary (id int PRIMARY KEY, v int, status text DEFAULT 'new', note text);
SELECT realtime.enable('bulk_summary', 'bulk_summary', 'row', bulk_threshold => 5, priority => 'high',
	status_column => 'status', exclude => '{note}');
SELECT realtime.define_event('bulk_summary', 'v_changed', columns => '{v}');
CREATE FUNCTION bulk_summary_events(OUT t bigint, OUT seq int, OUT entity text, OUT action text, OUT id text,
	OUT count text, OUT keys json) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT t, seq, entity, action, id, data ->> 'count', data -> 'keys' FROM pg_temp.events()
$$;
-- at the threshold rows, above it a summary
INSERT INTO bulk_summary SELECT n, n FROM generate_series(1, 5) n;
INSERT INTO bulk_summary SELECT n, n FROM generate_series(11, 16) n;
UPDATE bulk_summary SET v = v + 1, status = 'bulk' WHERE id > 0;
DELETE FROM bulk_summary WHERE id > 10;
SELECT * FROM bulk_summary_events();
-- the summary as it is
SELECT event::jsonb #- '{meta,timestamp}' #- '{meta,tx}' FROM realtime.event
WHERE feature = 'bulk_summary' AND action = 'bulk_deleted';
-- kinds are counted together, told apart by event; other tables keep their rows
CREATE TABLE bulk_summary_other (id int PRIMARY KEY);
SELECT realtime.enable('bulk_summary_other', 'bulk_summary', 'other');
BEGIN;
INSERT INTO bulk_summary_other VALUES (1);
INSERT INTO bulk_summary SELECT n, n FROM generate_series(21, 23) n;
UPDATE bulk_summary SET v = 0 WHERE id IN (1, 2);
DELETE FROM bulk_summary WHERE id IN (3, 4);
INSERT INTO bulk_summary_other VALUES (2);
COMMIT;
SELECT * FROM bulk_summary_events();
-- updates that change nothing captured do not count
BEGIN;
UPDATE bulk_summary SET v = v, note = 'n' WHERE id > 0;
UPDATE bulk_summary SET v = 100 WHERE id IN (1, 21, 22);
COMMIT;
BEGIN;
UPDATE bulk_summary SET v = v, note = 'm' WHERE id > 0;
UPDATE bulk_summary SET v = v + 1 WHERE id > 0;
COMMIT;
SELECT * FROM bulk_summary_events();
-- neither does what is rolled back
BEGIN;
INSERT INTO bulk_summary VALUES (31, 1);
SAVEPOINT a;
INSERT INTO bulk_summary SELECT n, n FROM generate_series(40, 60) n;
ROLLBACK TO a;
INSERT INTO bulk_summary VALUES (32, 1);
COMMIT;
SELECT * FROM bulk_summary_events();
-- a row changed twice is two changes and two keys; a change of the key is one of each kind
BEGIN;
UPDATE bulk_summary SET v = 7 WHERE id IN (1, 2, 21);
UPDATE bulk_summary SET v = 8 WHERE id IN (1, 2, 21);
COMMIT;
UPDATE bulk_summary SET id = id + 1000 WHERE id > 0;
SELECT * FROM bulk_summary_events();
-- composite keys; partitions; keys that need escapes
CREATE TABLE bulk_summary_part (a int, b text, v int, PRIMARY KEY (a, b)) PARTITION BY RANGE (a);
CREATE TABLE bulk_summary_part_1 PARTITION OF bulk_summary_part FOR VALUES FROM (0) TO (10);
CREATE TABLE bulk_summary_part_2 PARTITION OF bulk_summary_part FOR VALUES FROM (10) TO (20);
SELECT realtime.enable('bulk_summary_part', 'bulk_summary', 'part', bulk_threshold => 2);
INSERT INTO bulk_summary_part VALUES (1, 'x"y', 1), (2, '\', 1), (11, '', 1);
UPDATE bulk_summary_part SET v = 2 WHERE a > 0;
UPDATE bulk_summary_part SET a = a + 10 WHERE a < 3;
UPDATE bulk_summary_part SET a = a + 1 WHERE a > 0;
SELECT * FROM bulk_summary_events();
-- thresholds 0 and NULL
SELECT realtime.enable('bulk_summary_other', 'bulk_summary', 'other', bulk_threshold => 0);
INSERT INTO bulk_summary_other VALUES (3);
SELECT realtime.enable('bulk_summary_other', 'bulk_summary', 'other', bulk_threshold => NULL);
INSERT INTO bulk_summary_other SELECT n FROM generate_series(1001, 12000) n;
SELECT t, action, count(*), min(count), min(keys::text) FROM bulk_summary_events() GROUP BY 1, 2 ORDER BY 1, 2;
-- 10,000 keys are listed, 10,001 are not; the default threshold is 10,000
SELECT realtime.enable('bulk_summary_other', 'bulk_summary', 'other');
INSERT INTO bulk_summary_other SELECT n FROM generate_series(20001, 30000) n;
INSERT INTO bulk_summary_other SELECT n FROM generate_series(30001, 40001) n;
BEGIN;
DELETE FROM bulk_summary_other WHERE id BETWEEN 20001 AND 30000;
INSERT INTO bulk_summary_other VALUES (5);
COMMIT;
SELECT t, action, count(*), max(count), bool_or(json_typeof(keys) = 'null') AS is_null,
	max(CASE WHEN json_typeof(keys) = 'array' THEN json_array_length(keys) END) AS keys
FROM bulk_summary_events() GROUP BY 1, 2 ORDER BY 1, 2;
-- spilled; COPY; TRUNCATE first; custom events keep coming
SET realtime.pending_memory = '64kB';
BEGIN;
TRUNCATE bulk_summary;
SELECT realtime.emit('bulk_summary', 'row', 'imported');
INSERT INTO bulk_summary SELECT n, n, 'new', repeat('n', 100) FROM generate_series(1, 3000) n;
DELETE FROM bulk_summary WHERE id > 1000;
COMMIT;
SELECT t, seq, action, count, json_array_length(keys) AS keys, keys -> 0 AS first, keys -> -1 AS last FROM bulk_summary_events();
RESET realtime.pending_memory;
COPY bulk_summary (id, v) FROM stdin;
4001	1
4002	2
4003	3
4004	4
4005	5
4006	6
\.
SELECT * FROM bulk_summary_events();
-- tables that the load goes through may come and go in the same transaction
CREATE TABLE bulk_summary_stage (id int);
BEGIN;
CREATE TEMP TABLE bulk_summary_temp (id int);
INSERT INTO bulk_summary_temp SELECT generate_series(5001, 5010);
INSERT INTO bulk_summary_stage SELECT id FROM bulk_summary_temp;
INSERT INTO bulk_summary SELECT id, 1 FROM bulk_summary_stage;
DROP TABLE bulk_summary_temp;
TRUNCATE bulk_summary_stage;
DROP TABLE IF EXISTS bulk_summary_stage, bulk_summary_never;
COMMIT;
-- what becomes text before DDL of its own is not summed up any more
BEGIN;
UPDATE bulk_summary SET v = 2 WHERE id > 5003;
ALTER TABLE bulk_summary ADD COLUMN more int;
DELETE FROM bulk_summary WHERE id > 5003;
COMMIT;
SELECT t, action, count(*), min(count), min(id), max(id) FROM bulk_summary_events() GROUP BY 1, 2 ORDER BY 1, 2;
DROP FUNCTION bulk_summary_events;
DROP TABLE bulk_summary, bulk_summary_other, bulk_summary_part;
