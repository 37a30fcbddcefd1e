-- Registering tables: checks, defaults, settings anew, defined events, the view entities.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
SET search_path = public;
\set SHOW_CONTEXT never

CREATE VIEW enable_entities AS
	SELECT feature, entity, relation, key, status_column AS status, columns, exclude, priority AS prio, notify,
		notify_data AS data, bulk_threshold AS bulk, "coalesce" AS coal, "numeric" AS num, affects, actions
	FROM realtime.entities WHERE feature LIKE 'enable%' ORDER BY feature COLLATE "C", entity COLLATE "C";
CREATE VIEW enable_triggers AS
	SELECT tgrelid::regclass AS relation, tgname AS trigger, tgenabled AS state, tgparentid <> 0 AS inherited
	FROM pg_trigger WHERE tgname LIKE 'realtime\_%' AND tgrelid::regclass::text LIKE 'enable%'
	ORDER BY tgrelid::regclass::text COLLATE "C", tgname;
CREATE TABLE enable_log (last xid8);
INSERT INTO enable_log VALUES (pg_current_xact_id());
CREATE FUNCTION enable_events() RETURNS TABLE (entity text, action text, id text, data json)
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT e.entity, e.action, e.id, e.event -> 'data' FROM realtime.event e
		WHERE e.feature LIKE 'enable%' AND e.tx > (SELECT last FROM enable_log);
	UPDATE enable_log SET last = pg_current_xact_id();
END
$$;

--
-- What cannot be registered
--
SELECT realtime.enable(NULL);
SELECT realtime.enable(0::regclass);
SELECT realtime.enable('enable_nothing');
SELECT realtime.enable('enable_entities');
CREATE MATERIALIZED VIEW enable_mv AS SELECT 1 AS id;
SELECT realtime.enable('enable_mv');
CREATE SEQUENCE enable_seq;
SELECT realtime.enable('enable_seq');
CREATE TYPE enable_type AS (id int);
SELECT realtime.enable('enable_type');
CREATE TEMPORARY TABLE enable_temp (id int PRIMARY KEY);
SELECT realtime.enable('enable_temp');
CREATE FOREIGN DATA WRAPPER enable_fdw;
CREATE SERVER enable_server FOREIGN DATA WRAPPER enable_fdw;
CREATE FOREIGN TABLE enable_foreign (id int) SERVER enable_server;
SELECT realtime.enable('enable_foreign', key => '{id}');
SELECT realtime.enable('pg_class', key => '{oid}');
SELECT realtime.enable('information_schema.sql_features', key => '{feature_id}');
SELECT realtime.enable('realtime.registration');
CREATE TABLE enable_nokey (id int, v text);
SELECT realtime.enable('enable_nokey');
CREATE TABLE enable_root (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE enable_part1 PARTITION OF enable_root FOR VALUES FROM (0) TO (100);
SELECT realtime.enable('enable_part1');

--
-- Wrong settings
--
CREATE TABLE enable_t (id int PRIMARY KEY, v text, status text, w text);
SELECT realtime.enable('enable_t', key => '{}');
SELECT realtime.enable('enable_t', key => '{nothing}');
SELECT realtime.enable('enable_t', key => '{id,NULL}');
SELECT realtime.enable('enable_t', key => '{ctid}');
SELECT realtime.enable('enable_t', columns => '{v,nothing}');
SELECT realtime.enable('enable_t', exclude => '{nothing}');
SELECT realtime.enable('enable_t', status_column => 'nothing');
SELECT realtime.enable('enable_t', exclude => '{id}');
SELECT realtime.enable('enable_t', status_column => 'status', exclude => '{status}');
SELECT realtime.enable('enable_t', status_column => 'status', columns => '{v}');
SELECT realtime.enable('enable_t', priority => 'urgent');
SELECT realtime.enable('enable_t', priority => NULL);
SELECT realtime.enable('enable_t', notify => 'sometimes');
SELECT realtime.enable('enable_t', notify => NULL);
SELECT realtime.enable('enable_t', "numeric" => 'float');
SELECT realtime.enable('enable_t', bulk_threshold => -1);
SELECT realtime.enable('enable_t', affects => '{enable_nothing}');
SELECT realtime.enable('enable_t', feature => '');
SELECT realtime.enable('enable_t', feature => '*');
SELECT realtime.enable('enable_t', entity => '*');
SELECT realtime.enable('enable_t', entity => repeat('x', 65) || repeat('y', 64));
SELECT realtime.enable('enable_t', entity => E'a\tb');
BEGIN READ ONLY;
SELECT realtime.enable('enable_t');
ROLLBACK;
BEGIN READ ONLY;
SELECT realtime.disable('enable_t');
ROLLBACK;
-- nothing of all that was left behind
SELECT * FROM enable_entities;
SELECT * FROM enable_triggers;
SELECT realtime.disable('enable_t');

--
-- Defaults, idempotence, settings anew
--
SELECT realtime.enable('enable_t');
SELECT * FROM enable_entities;
SELECT * FROM enable_triggers;
SELECT realtime.enable('enable_t');
SELECT * FROM enable_triggers;
INSERT INTO enable_t VALUES (1, 'a', 'new', 'w');
SELECT * FROM enable_events();
SELECT realtime.enable('enable_t', 'enable', 't', status_column => 'status', exclude => '{w}', priority => 'high',
	notify => 'always', bulk_threshold => NULL, "coalesce" => true, "numeric" => 'string', notify_data => false,
	affects => '{enable_nokey,enable_root}', key => '{id}', columns => '{v,status}');
SELECT * FROM enable_entities;
UPDATE enable_t SET v = 'b', w = 'x', status = 'ok';
SELECT * FROM enable_events();
-- a change of what is not captured is none
UPDATE enable_t SET w = 'y';
SELECT * FROM enable_events();
-- everything is stated anew, the name as well
SELECT realtime.enable('enable_t');
SELECT * FROM enable_entities;
-- names with anything in them
SELECT realtime.enable('enable_t', 'enable "q"', E'1.\\ü ''');
UPDATE enable_t SET v = 'c';
SELECT feature, entity, event ->> 'event' AS event FROM realtime.event WHERE feature = 'enable "q"';
SELECT realtime.enable('enable_t', 'enable', 't', status_column => 'status');
-- rolled back, it never was
BEGIN;
SELECT realtime.enable('enable_t', 'enable', 'other', exclude => '{v}');
UPDATE enable_t SET v = 'd';
ROLLBACK;
UPDATE enable_t SET v = 'e';
BEGIN;
SAVEPOINT s;
SELECT realtime.disable('enable_t');
UPDATE enable_t SET v = 'f';
ROLLBACK TO s;
UPDATE enable_t SET v = 'g';
COMMIT;
SELECT entity, action, data ->> 'v' AS v FROM enable_events();
-- enabled and written in one transaction
BEGIN;
CREATE TABLE enable_new (id int PRIMARY KEY);
INSERT INTO enable_new VALUES (1);
SELECT realtime.enable('enable_new', 'enable', 'new');
INSERT INTO enable_new VALUES (2);
COMMIT;
SELECT * FROM enable_events();
-- registered later in a transaction that has the table's changes already
BEGIN;
INSERT INTO enable_new VALUES (3);
SELECT realtime.enable('enable_new', 'enable', 'renamed');
INSERT INTO enable_new VALUES (4);
COMMIT;
SELECT entity, action, id FROM enable_events();

--
-- Pairs are unique
--
CREATE TABLE enable_u (id int PRIMARY KEY);
SELECT realtime.enable('enable_u', 'enable', 't');
SELECT realtime.register_topic('enable', 'topic');
SELECT realtime.enable('enable_u', 'enable', 'topic');
SELECT realtime.register_topic('enable', 't');
-- each half alone may be the same, and case counts
SELECT realtime.enable('enable_u', 'enable', 'T');
SELECT realtime.enable('enable_u', 'enable.t', 't');
SELECT realtime.enable('enable_new', 'enable', 'T');
SELECT feature, entity, relation FROM enable_entities;
-- a name that was given up is free
SELECT realtime.disable('enable_u');
SELECT realtime.enable('enable_new', 'enable.t', 't');
DROP TABLE enable_new;
SELECT realtime.enable('enable_u', 'enable.t', 't');
SELECT feature, entity, relation FROM enable_entities;

--
-- Keys
--
SELECT realtime.enable('enable_nokey', 'enable', 'nokey', key => '{v,id}');
INSERT INTO enable_nokey VALUES (1, 'a'), (NULL, NULL);
CREATE TABLE enable_comp (a int, b text, c int, PRIMARY KEY (c, b) INCLUDE (a));
SELECT realtime.enable('enable_comp', 'enable', 'comp', bulk_threshold => 0);
SELECT entity, key, bulk FROM enable_entities WHERE entity IN ('nokey', 'comp');
SELECT realtime.enable('enable_comp', 'enable', 'comp');
INSERT INTO enable_comp VALUES (1, 'x', 2);
SELECT * FROM enable_events();
-- partitioned and inherited: the triggers are everywhere below
SELECT realtime.enable('enable_root', 'enable', 'root');
CREATE TABLE enable_parent (id int PRIMARY KEY);
CREATE TABLE enable_child () INHERITS (enable_parent);
CREATE TABLE enable_grandchild (extra int) INHERITS (enable_child);
SELECT realtime.enable('enable_parent', 'enable', 'parent');
SELECT * FROM enable_triggers;

--
-- Defined events
--
SELECT realtime.define_event('enable_seq', 'x', condition => 'true');
CREATE TABLE enable_unreg (id int PRIMARY KEY);
SELECT realtime.define_event('enable_unreg', 'x', condition => 'true');
SELECT realtime.define_event('enable_t', NULL, condition => 'true');
SELECT realtime.define_event('enable_t', '', condition => 'true');
SELECT realtime.define_event('enable_t', 'a b', condition => 'true');
SELECT realtime.define_event('enable_t', repeat('x', 64), condition => 'true');
SELECT realtime.define_event('enable_t', 'status_changed', condition => 'true');
SELECT realtime.define_event('enable_t', 'x');
SELECT realtime.define_event('enable_u', 'x', status => 'ok');
SELECT realtime.define_event('enable_t', 'x', columns => '{nothing}');
SELECT realtime.define_event('enable_t', 'x', condition => 'NEW.v');
SELECT realtime.define_event('enable_t', 'x', condition => 'true', priority => 'urgent');
SELECT realtime.define_event('enable_t', 'approved', status => 'ok', priority => 'critical');
SELECT realtime.define_event('enable_t', 'inventory.updated', columns => '{v,w}');
SELECT realtime.define_event('enable_t', 'grew', condition => 'length(NEW.v) > length(OLD.v) OR OLD IS NULL');
SELECT realtime.define_event('enable_t', 'both', columns => '{v}', condition => 'NEW.v = ''long''');
SELECT e.* FROM realtime.entities,
	jsonb_to_recordset(events) AS e(action text, status text, columns jsonb, condition text, priority text)
WHERE feature = 'enable' AND entity = 't';
INSERT INTO enable_t VALUES (2, 'long', 'new', '');
UPDATE enable_t SET v = 'longer', status = 'ok' WHERE id = 2;
UPDATE enable_t SET v = 'long' WHERE id = 2;
UPDATE enable_t SET status = 'ok', w = 'z' WHERE id = 2;
DELETE FROM enable_t WHERE id = 2;
SELECT e.action, e.id, e.event -> 'meta' ->> 'priority' AS priority, e.event -> 'old' AS old
FROM realtime.event e WHERE feature = 'enable' AND entity = 't' AND id = '2';
-- kept by a second enable, replaced by a second define_event, removed by drop_event
SELECT realtime.enable('enable_t', 'enable', 't', status_column => 'status', exclude => '{}');
SELECT realtime.define_event('enable_t', 'approved', status => 'fine');
SELECT actions FROM enable_entities WHERE entity = 't';
SELECT realtime.drop_event('enable_t', 'both'), realtime.drop_event('enable_t', 'both');
SELECT realtime.drop_event('enable_unreg', 'both');
SELECT actions FROM enable_entities WHERE entity = 't';
-- settings that the defined events do not fit are refused
SELECT realtime.enable('enable_t', 'enable', 't');
SELECT realtime.enable('enable_t', 'enable', 't', status_column => 'status', exclude => '{w}');
SELECT realtime.enable('enable_t', 'enable', 't', status_column => 'status', columns => '{v,status,w}');
-- sixty
SELECT count(realtime.define_event('enable_t', 'x' || i, condition => 'NEW.id = ' || i))
FROM generate_series(1, 57) i;
SELECT realtime.define_event('enable_t', 'x58', condition => 'true');
INSERT INTO enable_t VALUES (57, '', '', '');
SELECT action FROM enable_events() WHERE entity = 't' AND id = '57';

--
-- Disabling
--
SELECT realtime.disable('enable_t'), realtime.disable('enable_t');
SELECT realtime.disable('enable_root');
SELECT realtime.disable('enable_parent');
SELECT realtime.disable('enable_entities');
SELECT realtime.disable(NULL);
SELECT * FROM enable_triggers;
SELECT count(*) >= 0 AS seen FROM enable_events();
INSERT INTO enable_t VALUES (3, '', '', '');
SELECT count(*) FROM enable_events();
-- no defined events are left of the last time
SELECT realtime.enable('enable_t', 'enable', 't');
SELECT actions FROM enable_entities WHERE entity = 't';
-- a trigger that was dropped by hand comes back
DROP TRIGGER realtime_capture ON enable_t;
SELECT p FROM jsonb_array_elements_text(realtime.status() -> 'problems') p WHERE p LIKE '%enable_t%';
SELECT realtime.status() -> 'ok' AS ok;
SELECT realtime.enable('enable_t', 'enable', 't');
ALTER TABLE enable_t DISABLE TRIGGER realtime_truncate;
SELECT p FROM jsonb_array_elements_text(realtime.status() -> 'problems') p WHERE p LIKE '%enable_t%';
ALTER TABLE enable_t ENABLE TRIGGER realtime_truncate;

SELECT realtime.drop_topic('enable', 'topic');
DROP FUNCTION enable_events();
DROP VIEW enable_entities, enable_triggers;
DROP SERVER enable_server CASCADE;
DROP FOREIGN DATA WRAPPER enable_fdw;
DROP MATERIALIZED VIEW enable_mv;
DROP SEQUENCE enable_seq;
DROP TYPE enable_type;
DROP TABLE enable_t, enable_u, enable_nokey, enable_comp, enable_root, enable_unreg, enable_log, enable_temp,
	enable_parent, enable_child, enable_grandchild;
SELECT count(*) FROM realtime.entities WHERE feature LIKE 'enable%';
