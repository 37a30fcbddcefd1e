-- realtime.on_error: abort keeps the transaction and its events together, gap lets the transaction commit.
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
	FROM realtime.event e WHERE e.feature = 'on_error_gap' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE on_error_gap (id int PRIMARY KEY, v int);
SELECT realtime.enable('on_error_gap', 'on_error_gap', 'row');
-- A type whose cast to json raises for some values.
CREATE TYPE on_error_gap_range AS RANGE (SUBTYPE = int4);
CREATE FUNCTION on_error_gap_json(on_error_gap_range) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF isempty($1) THEN
		RAISE EXCEPTION 'no JSON for an empty range' USING ERRCODE = 'XX123';
	END IF;
	RETURN json_build_array(lower($1), upper($1));
END
$$;
CREATE CAST (on_error_gap_range AS json) WITH FUNCTION on_error_gap_json(on_error_gap_range);
CREATE TABLE on_error_gap_bad (id int PRIMARY KEY, r on_error_gap_range);
SELECT realtime.enable('on_error_gap_bad', 'on_error_gap', 'bad');
INSERT INTO on_error_gap_bad VALUES (1, '[1,5)');
-- abort, the default: nothing of it is there
SHOW realtime.on_error;
INSERT INTO on_error_gap_bad VALUES (2, 'empty');
BEGIN;
INSERT INTO on_error_gap VALUES (1, 1);
INSERT INTO on_error_gap_bad VALUES (2, 'empty');
COMMIT;
SELECT (SELECT count(*) FROM on_error_gap) AS rows, (SELECT count(*) FROM on_error_gap_bad) AS bad;
SELECT * FROM pg_temp.events();
-- gap: all of it is there, and one marker for all features
SET realtime.on_error = gap;
CREATE TABLE on_error_gap_start AS SELECT pg_current_xact_id() AS tx;
CREATE VIEW on_error_gap_gaps AS
SELECT seq, part, feature, entity, action, id, event -> 'data' AS data
FROM realtime.event WHERE feature = '*' AND tx > (SELECT tx FROM on_error_gap_start) ORDER BY lsn, tx, part, seq;
BEGIN;
INSERT INTO on_error_gap VALUES (1, 1);
INSERT INTO on_error_gap_bad VALUES (2, 'empty');
INSERT INTO on_error_gap VALUES (2, 2);
SELECT realtime.emit('on_error_gap', 'row', 'lost_too');
COMMIT;
SELECT (SELECT count(*) FROM on_error_gap) AS rows, (SELECT count(*) FROM on_error_gap_bad) AS bad;
SELECT * FROM pg_temp.events();
SELECT * FROM on_error_gap_gaps;
-- later transactions have events again, without a gap
INSERT INTO on_error_gap VALUES (3, 3);
BEGIN;
SAVEPOINT a;
INSERT INTO on_error_gap_bad VALUES (3, 'empty');
ROLLBACK TO a;
INSERT INTO on_error_gap_bad VALUES (3, '[2,3)');
COMMIT;
SELECT * FROM pg_temp.events();
SELECT count(*) FROM on_error_gap_gaps;
-- parts already written go with the rest
BEGIN;
INSERT INTO on_error_gap SELECT n, n FROM generate_series(1000, 4000) n;
INSERT INTO on_error_gap_bad VALUES (4, 'empty');
COMMIT;
SELECT count(*) FROM pg_temp.events();
SELECT count(*), max(seq), max(part) FROM on_error_gap_gaps;
-- prepared, spilled
SET realtime.pending_memory = '64kB';
BEGIN;
INSERT INTO on_error_gap SELECT n, n FROM generate_series(5000, 8000) n;
INSERT INTO on_error_gap_bad VALUES (5, 'empty');
PREPARE TRANSACTION 'realtime_on_error_gap';
COMMIT PREPARED 'realtime_on_error_gap';
RESET realtime.pending_memory;
SELECT count(*) FROM on_error_gap WHERE id BETWEEN 5000 AND 8000;
SELECT count(*) FROM pg_temp.events();
SELECT count(*), max(seq), max(part) FROM on_error_gap_gaps;
RESET realtime.on_error;
-- Only superusers set it.
CREATE ROLE regress_on_error_gap;
SET ROLE regress_on_error_gap;
SET realtime.on_error = gap;
RESET ROLE;
DROP ROLE regress_on_error_gap;
DROP VIEW on_error_gap_gaps;
DROP TABLE on_error_gap, on_error_gap_bad, on_error_gap_start;
DROP CAST (on_error_gap_range AS json);
DROP FUNCTION on_error_gap_json;
DROP TYPE on_error_gap_range;
