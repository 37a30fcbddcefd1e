-- DROP EXTENSION leaves nothing behind, and tables go on without it. In a database of its own.
\set SHOW_CONTEXT never
\set main :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS regression_realtime_drop;
RESET client_min_messages;
CREATE DATABASE regression_realtime_drop;
\c regression_realtime_drop
CREATE EXTENSION realtime;
-- What of it there is.
CREATE VIEW public.drop_left AS
	SELECT 'trigger' AS what, tgrelid::regclass || '.' || tgname AS name FROM pg_trigger WHERE tgname LIKE 'realtime%'
	UNION ALL SELECT 'event trigger', evtname FROM pg_event_trigger
	UNION ALL SELECT 'relation', oid::regclass::text FROM pg_class WHERE relnamespace = to_regnamespace('realtime')
		AND relkind IN ('r', 'v')
	UNION ALL SELECT 'function', 'many' FROM pg_proc
		WHERE pronamespace = to_regnamespace('realtime') HAVING count(*) > 0
	UNION ALL SELECT 'dependency', pg_describe_object(classid, objid, objsubid) FROM pg_depend
		WHERE refclassid = 'pg_extension'::regclass AND deptype IN ('x', 'n')
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'realtime')
	UNION ALL SELECT 'schema', nspname FROM pg_namespace WHERE nspname = 'realtime'
	ORDER BY 1, 2;

CREATE TABLE plain (id int PRIMARY KEY, status text);
CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF root FOR VALUES FROM (0) TO (10);
CREATE TABLE part2 PARTITION OF root FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
CREATE TABLE part2_1 PARTITION OF part2 FOR VALUES FROM (10) TO (20);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (extra text) INHERITS (parent);
SELECT realtime.enable('plain', status_column => 'status');
SELECT realtime.enable('root');
SELECT realtime.enable('parent');
CREATE TABLE part1_later PARTITION OF root FOR VALUES FROM (20) TO (30);
CREATE TABLE child_later () INHERITS (parent);
SELECT realtime.define_event('plain', 'big', condition => 'NEW.id > 5');
SELECT realtime.register_topic('a', 'topic');
SELECT realtime.grant_emit('a', 'topic', 'public');
INSERT INTO plain VALUES (1, 'a'), (10, 'a');
INSERT INTO root VALUES (1), (11), (21);
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (2, 'x');
SELECT realtime.bulk_start('a', 'topic', 'job') IS NOT NULL AS started;
SELECT realtime.position() IS NOT NULL AS taken;
SELECT * FROM drop_left;

-- a transaction that has changes pending: with nowhere to write them it fails
BEGIN;
INSERT INTO plain VALUES (2, 'a');
DROP EXTENSION realtime;
ROLLBACK;
BEGIN;
INSERT INTO plain VALUES (2, 'a');
DROP EXTENSION realtime;
COMMIT;
SELECT count(*) FROM realtime.entities;
INSERT INTO plain VALUES (3, 'a');
SELECT count(*) FROM realtime.event WHERE entity = 'plain' AND id IN ('2', '3');

DROP EXTENSION realtime;
SELECT * FROM drop_left;
-- tables are as they were, in this session, which had all of it cached
INSERT INTO plain VALUES (4, 'a');
UPDATE plain SET status = 'b';
DELETE FROM plain WHERE id = 3;
INSERT INTO root VALUES (2), (12), (22);
UPDATE root SET id = id + 5;
INSERT INTO child VALUES (3, 'x');
ALTER TABLE plain ADD COLUMN v text;
CREATE TABLE part1_last PARTITION OF root FOR VALUES FROM (30) TO (40);
TRUNCATE plain, root, parent;
BEGIN;
INSERT INTO plain VALUES (4, 'a');
SAVEPOINT s;
INSERT INTO plain VALUES (5, 'a');
ROLLBACK TO s;
COMMIT;
DROP TABLE part1;
SELECT realtime.position();
-- the role stays: it is the cluster's
SELECT rolname FROM pg_roles WHERE rolname = 'realtime_notifier';

-- and again, from nothing
CREATE EXTENSION realtime;
SELECT * FROM drop_left WHERE what IN ('trigger', 'event trigger');
SELECT count(*) FROM realtime.entities;
SELECT count(*) FROM realtime.commit_log;
INSERT INTO plain VALUES (6, 'a');
SELECT realtime.enable('plain', status_column => 'status');
UPDATE plain SET status = 'c' WHERE id = 6;
SELECT action, id FROM realtime.event;
-- with CASCADE, views of the user's that read it go, too
CREATE VIEW mine AS SELECT tx FROM realtime.event;
DROP EXTENSION realtime;
SET client_min_messages = warning;
DROP EXTENSION realtime CASCADE;
RESET client_min_messages;
SELECT * FROM drop_left;
INSERT INTO plain VALUES (7, 'a');
-- dropped and created in one transaction
CREATE EXTENSION realtime;
SELECT realtime.enable('plain');
BEGIN;
DROP EXTENSION realtime;
CREATE EXTENSION realtime;
SELECT realtime.enable('plain');
INSERT INTO plain VALUES (8, 'a');
COMMIT;
SELECT action, id FROM realtime.event;
-- not somewhere else
DROP EXTENSION realtime;
CREATE SCHEMA elsewhere;
CREATE EXTENSION realtime SCHEMA elsewhere;
-- nor by just anybody
CREATE ROLE regress_realtime_drop;
SET ROLE regress_realtime_drop;
CREATE EXTENSION realtime;
RESET ROLE;
DROP SCHEMA realtime;
-- nor into what somebody has prepared
CREATE SCHEMA realtime AUTHORIZATION regress_realtime_drop;
CREATE EXTENSION realtime;
DROP SCHEMA realtime;
DROP ROLE regress_realtime_drop;

\c :main
DROP DATABASE regression_realtime_drop WITH (FORCE);
