-- realtime.read(): a poll of the log as one call; it must find what SQL finds with a position's predicate.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
SET search_path = public;
\set SHOW_CONTEXT never

CREATE TABLE read_t (id int PRIMARY KEY, note text);
SELECT realtime.enable('read_t', 'read', 't');
SELECT realtime.current_epoch() AS epoch \gset

-- The same by SQL, row for row.
CREATE FUNCTION read_sql(since text, first xid8 DEFAULT NULL)
RETURNS TABLE (n bigint, xid xid8, part int, is_last boolean, at bigint, events text) LANGUAGE sql AS $$
	SELECT row_number() OVER w, l.xid, l.part, lead(l.xid) OVER w IS DISTINCT FROM l.xid,
		(extract(epoch FROM l.at) * 1000000)::bigint, l.events::text
	FROM realtime.commit_log l, (SELECT split_part(since, '/', 2)::pg_snapshot) AS p(snapshot)
	WHERE l.xid >= pg_snapshot_xmax(snapshot) OR l.xid IN (SELECT pg_snapshot_xip(snapshot))
	WINDOW w AS (ORDER BY l.xid IS NOT DISTINCT FROM first DESC, l.lsn, l.xid, l.part)
$$;
CREATE FUNCTION read_c(since text, first xid8 DEFAULT NULL)
RETURNS TABLE (n bigint, xid xid8, part int, is_last boolean, at bigint, events text) LANGUAGE sql AS $$
	SELECT n - 1, xid, part, is_last, at, events::text
	FROM realtime.read(since, first) WITH ORDINALITY AS r("position", gap, waited, xid, part, is_last, at, events, n)
	WHERE xid IS NOT NULL
$$;
-- How many rows, and how many differ.
CREATE FUNCTION read_compared(since text, first xid8 DEFAULT NULL) RETURNS TABLE (rows bigint, differ bigint) LANGUAGE sql AS $$
	WITH a AS (SELECT * FROM read_sql(since, first)), b AS (SELECT * FROM read_c(since, first))
	SELECT (SELECT count(*) FROM b),
		(SELECT count(*) FROM ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) x)
$$;

--
-- Position and rows
--
SELECT realtime.position() AS p1 \gset
SELECT split_part("position", '/', 1) = :'epoch' AS has_epoch, gap, waited, xid, part, is_last, at, events FROM realtime.read(NULL);
SELECT gap, waited, xid, part, is_last, at, events FROM realtime.read(:'p1');
INSERT INTO read_t VALUES (1, 'one');
SELECT gap, waited, xid IS NOT NULL AS has_xid, part, is_last, abs(at - extract(epoch FROM now()) * 1000000) < 60000000 AS is_recent,
	events -> 0 ->> 'id' AS id, json_array_length(events) AS events FROM realtime.read(:'p1');
SELECT "position" AS p2 FROM realtime.read(:'p1') LIMIT 1 \gset
SELECT count(*) AS rows FROM realtime.read(:'p2');
SELECT * FROM read_compared(:'p1');
-- several transactions, one of several parts
INSERT INTO read_t VALUES (2, 'two');
BEGIN;
INSERT INTO read_t SELECT i, repeat('x', 20000) FROM generate_series(100, 140) i;
COMMIT;
INSERT INTO read_t VALUES (3, 'three');
SELECT * FROM read_compared(:'p1');
SELECT part, is_last, json_array_length(events) > 0 AS has_events FROM realtime.read(:'p1') WHERE xid IS NOT NULL;
-- a new snapshot, whatever the transaction has
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM read_t;
SELECT count(*) FROM realtime.read(:'p1');
COMMIT;

--
-- Positions with transactions in flight, near below xmax and far; a transaction that comes first
--
DO $$ BEGIN FOR i IN 1000..1999 LOOP INSERT INTO read_t VALUES (i, 'many'); COMMIT; END LOOP; END $$;
SELECT min(xid) AS low, max(xid) AS high FROM read_c(:'p1') \gset
SELECT * FROM read_compared(:'p1');
SELECT every, back, c.rows > 0 AS has_rows, c.differ FROM (VALUES (1, 5), (1, 200), (2, 255), (3, 256), (2, 257), (7, 600), (13, 1100)) AS v(every, back),
	LATERAL (SELECT string_agg(x::text, ',' ORDER BY x) AS xip, min(x) AS xmin
		FROM generate_series(:'high'::bigint - back, :'high'::bigint - 3, every) x) AS s,
	LATERAL read_compared(:'epoch' || '/' || s.xmin || ':' || (:'high'::bigint - 2)::text || ':' || s.xip) AS c;
SELECT c.* FROM read_compared(:'epoch' || '/1:' || :'high'::bigint + 1 || ':' || :'low') AS c;
SELECT c.rows > 1000 AS has_rows, c.differ FROM read_compared(:'p1', :'high') AS c;
SELECT xid = :'high' AS is_first FROM realtime.read(:'p1', :'high') OFFSET 1 LIMIT 1;
SELECT c.rows > 1000 AS has_rows, c.differ FROM read_compared(:'p1', '3') AS c;
-- with memory for few of them
SET work_mem = '64kB';
SELECT c.rows > 1000 AS has_rows, c.differ FROM read_compared(:'p1') AS c;
RESET work_mem;

--
-- Gaps
--
SELECT form, "position" IS NOT NULL AS has_position, gap, xid FROM unnest(ARRAY['', 'x/1:1', 'x/1:1:']) form, LATERAL realtime.read(form)
UNION ALL SELECT 'future', "position" IS NOT NULL, gap, xid FROM realtime.read(:'epoch' || '/1:999999999999999999:')
UNION ALL SELECT 'other epoch', "position" IS NOT NULL, gap, xid FROM realtime.read(replace(:'p1', '/', '0/'));
-- pruned by another session's day: in isolation specs; here by ourselves
UPDATE realtime.log_state SET filled_from = filled_from - interval '1 day', filled_to = filled_to - interval '1 day';
SELECT realtime.prune() >= 0 AS pruned;
UPDATE realtime.log_state SET filled_from = filled_from - interval '1 day', filled_to = filled_to - interval '1 day';
SELECT realtime.prune() > 0 AS pruned;
SELECT gap, xid FROM realtime.read(:'p1');
SELECT gap, xid FROM realtime.read(realtime.position());
-- longer than a client's may be
SELECT gap, count(xid) FROM realtime.read((SELECT :'epoch' || '/1:' || max(x) + 1 || ':' || string_agg(x::text, ',' ORDER BY x)
	FROM generate_series(1000000000000000000, 1000000000000002000) x)) GROUP BY gap;

--
-- Arguments, rights
--
SELECT waited IS NOT NULL AS can_wait, waited < 1000000 AS is_short FROM realtime.read(NULL, NULL, 0);
SELECT waited < 1000000 AS is_short FROM realtime.read(NULL, NULL, 1);
SELECT * FROM realtime.read(NULL, NULL, -1);
SELECT * FROM realtime.read(NULL, NULL, 10001);
SELECT count(*) FROM (SELECT realtime.read(NULL)) x;
CREATE ROLE read_nobody;
SET ROLE read_nobody;
SELECT count(*) FROM realtime.read(NULL);
RESET ROLE;
GRANT realtime_notifier TO read_nobody;
SET ROLE read_nobody;
SELECT count(*) FROM realtime.read(NULL);
BEGIN READ ONLY;
SELECT count(*) FROM realtime.read(NULL);
COMMIT;
RESET ROLE;
-- no epoch, and none can be made
DELETE FROM realtime.epoch;
BEGIN READ ONLY;
SELECT count(*) FROM realtime.read(NULL);
ROLLBACK;
SELECT count(*) FROM realtime.read(NULL);

DROP TABLE read_t;
DROP FUNCTION read_sql, read_c, read_compared;
DROP ROLE read_nobody;
