-- Isolation levels: events are the same; ours adds no conflicts, and nothing is written in vain.
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
	FROM realtime.event e WHERE e.feature = 'serializable' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE serializable (id int PRIMARY KEY, v int DEFAULT 0);
SELECT realtime.enable('serializable', 'serializable', 'row');
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO serializable VALUES (1);
UPDATE serializable SET v = 1 WHERE id = 1;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM serializable;
UPDATE serializable SET v = 2 WHERE id = 1;
COMMIT;
SELECT * FROM pg_temp.events();
-- read only: nothing to write, and emit() says so at the call
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SELECT count(*) FROM serializable;
SELECT realtime.emit('serializable', 'row', 'no');
COMMIT;
-- made read only after the change: what was pending is written nonetheless
BEGIN;
INSERT INTO serializable VALUES (2);
SET TRANSACTION READ ONLY;
SELECT realtime.emit('serializable', 'row', 'no');
ROLLBACK;
BEGIN;
INSERT INTO serializable VALUES (3);
SET TRANSACTION READ ONLY;
COMMIT;
SELECT * FROM pg_temp.events();
-- as defaults of the session
SET default_transaction_isolation = 'serializable';
SET default_transaction_read_only = on;
SET default_transaction_deferrable = on;
BEGIN READ WRITE;
INSERT INTO serializable VALUES (4);
COMMIT;
RESET default_transaction_read_only;
INSERT INTO serializable VALUES (5);
RESET default_transaction_isolation;
RESET default_transaction_deferrable;
SELECT * FROM pg_temp.events();
-- with settings that hinder: timeouts, little memory
SET statement_timeout = '1min';
SET idle_in_transaction_session_timeout = '1min';
SET work_mem = '64kB';
SET max_parallel_workers_per_gather = 2;
SET row_security = off;
SET synchronous_commit = off;
SET default_table_access_method = 'heap';
INSERT INTO serializable SELECT 100 + n FROM generate_series(1, 3) n;
SELECT * FROM pg_temp.events();
DROP TABLE serializable;
