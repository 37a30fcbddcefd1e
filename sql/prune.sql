-- House-keeping: rotation, pruning, the floor of the history, persistence, status. Changes the state
-- of the whole log: in a database of its own.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
\set SHOW_CONTEXT never
\set main :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS regression_realtime_prune;
RESET client_min_messages;
CREATE DATABASE regression_realtime_prune;
-- Writers see no limit, so that no background worker prunes before the test does.
ALTER DATABASE regression_realtime_prune SET realtime.retention = '10000d';
\c regression_realtime_prune
CREATE EXTENSION realtime;

CREATE TABLE prune_t (id serial PRIMARY KEY, v text);
ALTER TABLE prune_t ALTER COLUMN v SET STORAGE EXTERNAL;
SELECT realtime.enable('prune_t', 'prune', 't');
-- One transaction with so many bytes of events.
CREATE PROCEDURE prune_write(bytes int) LANGUAGE plpgsql AS
	$$BEGIN INSERT INTO prune_t (v) VALUES (repeat('x', bytes)); COMMIT; END$$;
CREATE VIEW prune_children AS
	SELECT c.relname AS child, coalesce(s.is_current, c.relname = 'commit_log_0') AS current,
		(SELECT count(*) FROM realtime.commit_log l WHERE l.tableoid = c.oid) AS rows,
		pg_relation_size(c.oid) > 0 AS heap, pg_relation_size(c.reltoastrelid) > 0 AS toast
	FROM pg_class c LEFT JOIN realtime.log_state s ON c.relname = 'commit_log_' || s.child
	WHERE c.relname ~ '^commit_log_[0-9]$' AND c.relnamespace = 'realtime'::regnamespace ORDER BY c.relname;
-- What a reader who stands at a position reads next.
CREATE FUNCTION prune_since("position" text) RETURNS bigint
LANGUAGE sql AS $$
	SELECT count(*) FROM realtime.commit_log,
		(SELECT split_part("position", '/', 2)::pg_snapshot) AS p(snapshot)
	WHERE (xid >= pg_snapshot_xmax(snapshot) OR xid IN (SELECT pg_snapshot_xip(snapshot)))
$$;
-- Lets time pass for the log.
CREATE PROCEDURE prune_age(by interval) LANGUAGE sql AS
	$$UPDATE realtime.log_state SET filled_from = filled_from - by, filled_to = filled_to - by$$;

-- Prunes by age, or by size, too.
CREATE FUNCTION prune_old() RETURNS int LANGUAGE sql
	SET realtime.retention = '1h' AS 'SELECT realtime.prune()';
CREATE FUNCTION prune_large() RETURNS int LANGUAGE sql
	SET realtime.max_log_size = '1MB' AS 'SELECT realtime.prune()';

--
-- Nothing to do
--
SELECT prune_old();
SELECT child, is_current, filled_to IS NULL AS open FROM realtime.log_state ORDER BY child;
CALL prune_write(10);
SELECT prune_old();
SELECT * FROM prune_children;
BEGIN READ ONLY;
SELECT realtime.prune();
ROLLBACK;

--
-- By size: the log is a ring of four, turned when the current child has a quarter of the limit
--
SELECT realtime.position() AS p0 \gset
CALL prune_write(300000);
SELECT prune_large();
SELECT * FROM prune_children;
SELECT realtime.position() AS p1 \gset
CALL prune_write(300000);
SELECT prune_large();
-- once more changes nothing: what is in the log is not over the limit, the current child is empty
SELECT prune_large(), prune_large();
SELECT * FROM prune_children;
SELECT realtime.position() AS p2 \gset
CALL prune_write(300000);
SELECT prune_large();
CALL prune_write(300000);
-- over the limit: the oldest goes, and no more than that
SELECT * FROM prune_children;
SELECT realtime.position_error(:'p0') IS NULL AND realtime.position_error(:'p1') IS NULL AS all_there;
SELECT prune_large();
SELECT * FROM prune_children;
SELECT realtime.position_error(:'p0') AS p0, realtime.position_error(:'p1') AS p1, realtime.position_error(:'p2') AS p2;
SELECT prune_since(:'p1'), prune_since(:'p2');
-- round and round, the log stays small
DO $$
BEGIN
	FOR i IN 1..20 LOOP
		CALL prune_write(300000);
		PERFORM prune_large();
		COMMIT;
	END LOOP;
END
$$;
SELECT count(*) BETWEEN 3 AND 4 AS three_or_four FROM realtime.commit_log;
SELECT sum(pg_total_relation_size(inhrelid)) < 1500000 AS small FROM pg_inherits
WHERE inhparent = 'realtime.commit_log'::regclass;
SELECT realtime.position_error(:'p2') AS p2, count(*) AS floors FROM realtime.log_floor GROUP BY 1;
-- one transaction larger than the limit
CALL prune_write(3000000);
SELECT realtime.position() AS p3 \gset
SELECT prune_large() > 0 AS emptied;
SELECT count(*) FROM realtime.commit_log;
SELECT prune_large();
SELECT count(*), realtime.position_error(:'p3') IS NULL AS p3 FROM realtime.commit_log;
SELECT * FROM prune_children WHERE heap OR rows > 0;
-- an emptied child's files, TOAST and indexes included, are as good as new
SELECT relname, sum(pg_total_relation_size(oid)) AS bytes FROM pg_class
WHERE relname ~ '^commit_log_[0-9]$' AND relnamespace = 'realtime'::regnamespace GROUP BY 1 ORDER BY 1;

--
-- By age
--
CALL prune_write(10);
SELECT prune_old();
CALL prune_age('30 min');
SELECT prune_old();
CALL prune_write(10);
CALL prune_age('30 min');
SELECT prune_old();
CALL prune_write(10);
SELECT realtime.position() AS p4 \gset
-- at an hour the first is just there, later it is not
SELECT child, current, rows FROM prune_children;
CALL prune_age('29 min');
SELECT prune_old();
CALL prune_age('2 min');
SELECT prune_old();
SELECT child, current, rows FROM prune_children;
SET realtime.retention = '10 min';
SELECT realtime.prune();
RESET realtime.retention;
SELECT child, current, rows FROM prune_children;
SELECT realtime.position_error(:'p3') AS p3, realtime.position_error(:'p4') AS p4;
-- the current child is never emptied, however old: it is left first
CALL prune_write(10);
CALL prune_age('10 days');
SELECT prune_old();
SELECT sum(rows) FROM prune_children;
CALL prune_age('10 days');
SELECT prune_old();
SELECT sum(rows) FROM prune_children;

--
-- Rolled back, nothing has happened
--
CALL prune_write(10);
SELECT realtime.position() AS p5 \gset
CALL prune_age('2 hours');
SELECT prune_old();
CALL prune_age('2 hours');
SELECT realtime.position() AS p6 \gset
CALL prune_write(10);
BEGIN;
SELECT prune_old();
SELECT sum(rows) FROM prune_children;
ROLLBACK;
SELECT sum(rows) FROM prune_children;
SELECT realtime.position_error(:'p5') IS NULL AND realtime.position_error(:'p4') IS NULL AS all_there;

--
-- A prepared transaction holds the child that it wrote: it is skipped, and nothing of it is lost
--
DELETE FROM prune_t;
SELECT prune_large() >= 0 AS done;
CALL prune_age('10 days');
SELECT prune_large() >= 0 AS done;
CALL prune_age('10 days');
SELECT prune_large() >= 0 AS done;
SELECT sum(rows) FROM prune_children;
CALL prune_write(10);
BEGIN;
INSERT INTO prune_t (v) VALUES ('prepared');
PREPARE TRANSACTION 'prune_1';
SELECT realtime.position() AS p7 \gset
CALL prune_age('10 days');
SELECT prune_old();
CALL prune_age('10 days');
SELECT prune_old();
SELECT sum(rows) FROM prune_children;
-- a later child may go before it; who was in flight then is still covered
CALL prune_write(20);
SELECT realtime.position() AS p8 \gset
CALL prune_age('10 days');
SELECT prune_old();
CALL prune_age('10 days');
SELECT prune_old();
SELECT sum(rows) FROM prune_children;
SELECT realtime.position_error(:'p7') AS p7, realtime.position_error(:'p8') AS p8;
COMMIT PREPARED 'prune_1';
SELECT prune_since(:'p8'), realtime.position_error(:'p8') AS p8;
SELECT realtime.position() AS p9 \gset
SELECT prune_old();
SELECT sum(rows) FROM prune_children;
SELECT realtime.position_error(:'p8') AS p8, realtime.position_error(:'p9') AS p9;

--
-- Persistence
--
SELECT realtime.set_log_persistence('temporary');
SELECT realtime.set_log_persistence(NULL);
CALL prune_write(10);
SELECT realtime.position() AS p10 \gset
SELECT realtime.set_log_persistence('unlogged');
SELECT relname, relpersistence FROM pg_class WHERE relname ~ '^commit_log' AND relkind IN ('r', 'i') ORDER BY 1;
CALL prune_write(10);
SELECT sum(rows), prune_since(:'p10') FROM prune_children;
CALL prune_age('10 days');
SELECT prune_old();
CALL prune_age('10 days');
SELECT prune_old();
CALL prune_write(10);
SELECT sum(rows), realtime.position_error(:'p10') AS p10 FROM prune_children;
SELECT DISTINCT relpersistence FROM pg_class WHERE relname ~ '^commit_log_' AND relkind IN ('r', 'i');
SELECT DISTINCT t.relpersistence FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid
WHERE c.relname ~ '^commit_log_' AND c.relkind = 'r';
SELECT realtime.set_log_persistence('logged');
CALL prune_write(10);
SELECT sum(rows) FROM prune_children;
SELECT DISTINCT relpersistence FROM pg_class WHERE relname ~ '^commit_log_' AND relkind IN ('r', 'i');

--
-- Without its state (a crash empties it), the log goes on with the first child
--
DELETE FROM realtime.log_state;
CALL prune_write(10);
SELECT prune_old();
SELECT child, is_current, filled_to IS NULL AS open FROM realtime.log_state ORDER BY child;
CALL prune_write(10);
SELECT sum(rows) FROM prune_children;

--
-- Status
--
SELECT key, jsonb_typeof(value) FROM jsonb_each(realtime.status()) ORDER BY 1;
SELECT s -> 'ok' AS ok, s -> 'version' = s -> 'library' AS same_version, s -> 'in_recovery' AS in_recovery,
	s -> 'entities' AS entities, s -> 'armed' AS armed, s -> 'retention' AS retention,
	s -> 'max_log_size' AS max_log_size, s -> 'problems' AS problems,
	(s ->> 'log_bytes')::bigint > 0 AS log_bytes, s -> 'oldest' <> 'null' AS oldest
FROM realtime.status() s;
ALTER EVENT TRIGGER realtime_ddl_drop DISABLE;
ALTER TABLE prune_t DISABLE TRIGGER realtime_capture;
SELECT realtime.status() -> 'problems' AS problems;
ALTER EVENT TRIGGER realtime_ddl_drop ENABLE;
ALTER TABLE prune_t ENABLE TRIGGER realtime_capture;

\c :main
DROP DATABASE regression_realtime_prune WITH (FORCE);
