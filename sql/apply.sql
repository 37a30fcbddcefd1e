-- Replicas: ordinary triggers do not fire for replayed changes; ENABLE ALWAYS makes events of them, too.
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
	FROM realtime.event e WHERE e.feature = 'apply' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE apply (id int PRIMARY KEY, v int);
CREATE TABLE apply_part (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
CREATE TABLE apply_part_1 PARTITION OF apply_part FOR VALUES FROM (0) TO (10);
SELECT realtime.enable('apply', 'apply', 'row');
SELECT realtime.enable('apply_part', 'apply', 'part');
SET session_replication_role = replica;
INSERT INTO apply VALUES (1, 1);
UPDATE apply SET v = 2 WHERE id = 1;
TRUNCATE apply;
INSERT INTO apply_part VALUES (1, 1);
RESET session_replication_role;
SELECT * FROM pg_temp.events();
-- ENABLE ALWAYS
ALTER TABLE apply ENABLE ALWAYS TRIGGER realtime_capture;
ALTER TABLE apply ENABLE ALWAYS TRIGGER realtime_truncate;
ALTER TABLE apply_part_1 ENABLE ALWAYS TRIGGER realtime_capture;
SELECT * FROM pg_temp.events();
SET session_replication_role = replica;
INSERT INTO apply VALUES (2, 2);
UPDATE apply SET v = 3 WHERE id = 2;
UPDATE apply SET id = 3 WHERE id = 2;
DELETE FROM apply WHERE id = 3;
TRUNCATE apply;
INSERT INTO apply_part VALUES (2, 2);
BEGIN;
INSERT INTO apply VALUES (4, 4);
SAVEPOINT a;
INSERT INTO apply VALUES (5, 5);
ROLLBACK TO a;
COMMIT;
SET session_replication_role = origin;
INSERT INTO apply VALUES (6, 6);
SET session_replication_role = local;
INSERT INTO apply VALUES (7, 7);
RESET session_replication_role;
SELECT * FROM pg_temp.events();
-- our own tables take nothing over from another server
SET session_replication_role = replica;
INSERT INTO realtime.registration VALUES ('apply', 'foreign', NULL, 'pg_database_owner');
DELETE FROM realtime.registration WHERE feature = 'apply';
INSERT INTO realtime.commit_log_0 VALUES ('1', 0, now(), '0/0', '[]');
RESET session_replication_role;
SELECT entity FROM realtime.registration WHERE feature = 'apply' ORDER BY 1;
SELECT count(*) FROM realtime.commit_log WHERE xid = '1';
-- ENABLE REPLICA: in replicas alone
ALTER TABLE apply ENABLE REPLICA TRIGGER realtime_capture;
INSERT INTO apply VALUES (8, 8);
SET session_replication_role = replica;
INSERT INTO apply VALUES (9, 9);
RESET session_replication_role;
SELECT * FROM pg_temp.events();
DROP TABLE apply, apply_part;
