-- Positions: what they look like, what is wrong with them, what a reader does with them; flush.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
SET search_path = public;
\set SHOW_CONTEXT never

CREATE TABLE positions_t (id int PRIMARY KEY);
SELECT realtime.enable('positions_t', 'positions', 't');
-- What a reader who stands at a position reads next.
CREATE FUNCTION positions_since("position" text) RETURNS TABLE (id text)
LANGUAGE sql AS $$
	SELECT e ->> 'id' FROM realtime.commit_log, json_array_elements(events) e,
		(SELECT split_part("position", '/', 2)::pg_snapshot) AS p(snapshot)
	WHERE (xid >= pg_snapshot_xmax(snapshot) OR xid IN (SELECT pg_snapshot_xip(snapshot)))
		AND e ->> 'feature' = 'positions'
	ORDER BY lsn, xid, part
$$;

--
-- Form
--
SELECT realtime.position() ~ '^[0-9A-F]+-[0-9a-f]{16}/[1-9][0-9]*:[1-9][0-9]*:([1-9][0-9]*(,[1-9][0-9]*)*)?$' AS well_formed,
	split_part(realtime.position(), '/', 1) = realtime.current_epoch() AS has_epoch,
	realtime.position_error(realtime.position()) IS NULL AS is_good,
	realtime.position_error(NULL) IS NULL AS strict;
-- it is the statement's snapshot
SELECT split_part(realtime.position(), '/', 2) = pg_current_snapshot()::text AS is_snapshot,
	realtime.settled_position() = realtime.position() AS also_settled;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT realtime.position() AS p \gset
SELECT realtime.position() = :'p' AS same, realtime.position_error(:'p') IS NULL AS is_good;
COMMIT;
SELECT realtime.current_epoch() AS epoch \gset
-- what is behind the epoch is checked before the epoch, and all of it strictly
SELECT form, realtime.position_error(form) FROM unnest(ARRAY[
	'', ' ', '/', '//', 'x', 'x/', '/1:1:', 'x/1', 'x/1:', 'x/1:1', 'x/1:1:', 'x/1:1::', 'x/:1:', 'x/1::', 'x/0:1:',
	'x/2:1:', 'x/1:1:1', 'x/1:2:1', 'x/1:2:1,', 'x/1:2:,1', 'x/1:3:1,,2', 'x/1:3:1,2', 'x/1:3:2,1', 'x/1:3:1,1',
	'x/2:3:1', 'x/1:3:3', 'x/1:3:0', 'x/01:1:', 'x/1:01:', 'x/1:3:01', 'x/+1:1:', 'x/-1:1:', 'x/1:-1:', 'x/ 1:1:',
	'x/1 :1:', 'x/1:1: ', 'x/1:3:1 ,2', E'x/1:1:\n', 'x/1:1:;', 'x/0x1:1:', 'x/1e1:10:', 'x/1.0:1:', 'x/a:b:',
	'x/1:9999999999999999999:', 'x/1:999999999999999999:', 'x/1:18446744073709551616:', 'x/١:١:',
	'x/1:1:/', 'x/y/1:1:', 'ü/1:1:', 'x''; DROP TABLE positions_t; --/1:1:']) form;
-- length: 16 kB and no more
SELECT octet_length(form), realtime.position_error(form) FROM (
	SELECT 'x/1:999999999:' || string_agg((n + 100000000)::text, ',' ORDER BY n) AS form
	FROM generate_series(1, 1637) n
	UNION ALL
	SELECT 'xxxxxxxxxx/1:999999999:' || string_agg((n + 100000000)::text, ',' ORDER BY n)
	FROM generate_series(1, 1636) n
	UNION ALL
	SELECT repeat('x', 16380) || '/1:1:'
	UNION ALL
	SELECT repeat('x', 16379) || '/1:1:'
	UNION ALL
	SELECT repeat('x', 10000000)
	UNION ALL
	SELECT 'x/1:2:' || repeat('1', 10000000)) x;

--
-- Another epoch, the future
--
SELECT realtime.position_error('x' || :'p') AS longer, realtime.position_error(substr(:'p', 2)) AS shorter,
	realtime.position_error(upper(:'p')) AS upper,
	realtime.position_error('FF-' || split_part(:'p', '-', 2)) AS timeline;
SELECT realtime.position_error(:'epoch' || '/1:' || pg_snapshot_xmax(pg_current_snapshot()) || ':') IS DISTINCT FROM 'future' AS present,
	realtime.position_error(:'epoch' || '/1:' || pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1000000 || ':') AS future,
	realtime.position_error(:'epoch' || '/1:999999999999999999:') AS far;
-- the present includes a transaction id that was just taken and is not committed
BEGIN;
SELECT pg_current_xact_id() IS NOT NULL AS has_xid;
SELECT realtime.position_error(realtime.position()) IS NULL AS is_good;
SELECT realtime.position_error(:'epoch' || '/1:' || pg_current_xact_id()::text::bigint + 1 || ':') IS DISTINCT FROM 'future' AS is_good;
ROLLBACK;

--
-- What a reader does with it
--
SELECT realtime.position() AS p1 \gset
INSERT INTO positions_t VALUES (1);
SELECT realtime.position() AS p2 \gset
BEGIN;
INSERT INTO positions_t VALUES (2);
SAVEPOINT s;
INSERT INTO positions_t VALUES (3);
COMMIT;
SELECT realtime.position() AS p3 \gset
SELECT array_agg(id) AS since_p1 FROM positions_since(:'p1');
SELECT array_agg(id) AS since_p2 FROM positions_since(:'p2');
SELECT array_agg(id) AS since_p3 FROM positions_since(:'p3');
-- a prepared transaction is in flight at every position, until it commits
BEGIN;
INSERT INTO positions_t VALUES (4);
PREPARE TRANSACTION 'positions';
SELECT realtime.position() AS p4 \gset
INSERT INTO positions_t VALUES (5);
SELECT realtime.position() AS p5 \gset
SELECT array_agg(id) AS since_p4 FROM positions_since(:'p4');
COMMIT PREPARED 'positions';
SELECT realtime.position() AS p6 \gset
INSERT INTO positions_t VALUES (6);
SELECT array_agg(id) AS since_p4 FROM positions_since(:'p4');
SELECT array_agg(id) AS since_p5 FROM positions_since(:'p5');
SELECT array_agg(id) AS since_p6 FROM positions_since(:'p6');
SELECT realtime.position_error(:'p1') IS NULL AND realtime.position_error(:'p4') IS NULL AS all_there;

--
-- Epochs
--
SELECT realtime.current_epoch() = :'epoch' AS same;
BEGIN;
SELECT realtime.new_epoch() <> :'epoch' AS other, realtime.current_epoch() <> :'epoch' AS seen_at_once;
ROLLBACK;
SELECT realtime.current_epoch() = :'epoch' AS same;
SELECT realtime.new_epoch() <> :'epoch' AS other, realtime.current_epoch() <> :'epoch' AS seen_at_once;
SELECT realtime.position_error(:'p6') AS old, realtime.position_error(realtime.position()) IS NULL AS is_good;
SELECT count(*) FROM realtime.epoch;
BEGIN READ ONLY;
SELECT realtime.new_epoch();
ROLLBACK;
-- as after a crash, when the table is empty: old positions are void before there is a new epoch
SELECT realtime.position() AS p8 \gset
DELETE FROM realtime.epoch;
SELECT realtime.position_error(:'p8');
BEGIN READ ONLY;
SELECT realtime.position();
ROLLBACK;
SELECT realtime.position() <> :'p8' AS is_new, realtime.position_error(:'p8');
SELECT count(*) FROM realtime.epoch;

--
-- Flush
--
SELECT pg_current_wal_insert_lsn() AS lsn \gset
SELECT realtime.flush() >= :'lsn', realtime.flush(NULL) >= :'lsn', realtime.flush('0/0') >= '0/0';
SELECT realtime.flush('FFFFFFFF/FFFFFFFF');
-- what was committed asynchronously is durable up to the position sampled after it was read
SET synchronous_commit = off;
INSERT INTO positions_t VALUES (8);
SELECT pg_current_wal_insert_lsn() AS lsn \gset
-- (at the start of a page the insert position is behind the page's header, which nobody wrote yet)
SELECT realtime.flush(:'lsn') >= :'lsn' AS flushed, :'lsn'::pg_lsn - pg_current_wal_flush_lsn() <= 40 AS really;
RESET synchronous_commit;
BEGIN READ ONLY;
SELECT realtime.flush() >= '0/0' AS flushed;
COMMIT;

DROP FUNCTION positions_since(text);
DROP TABLE positions_t;
