-- Who may do what, and what an attacker among the database's users cannot do.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
SET search_path = public;
\set SHOW_CONTEXT never

CREATE ROLE regress_realtime_owner;
CREATE ROLE regress_realtime_writer;
CREATE ROLE regress_realtime_other;
CREATE ROLE regress_realtime_daemon IN ROLE realtime_notifier;
CREATE SCHEMA rights AUTHORIZATION regress_realtime_owner;
CREATE SCHEMA rights_other AUTHORIZATION regress_realtime_other;
GRANT USAGE ON SCHEMA rights TO regress_realtime_writer, regress_realtime_other;
CREATE TABLE rights.start AS SELECT pg_current_xact_id() AS tx;
-- Events of this file, in order, for roles that may not read the log.
CREATE FUNCTION rights.events() RETURNS TABLE (entity text, action text, id text, userid text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT entity, action, id, event -> 'meta' ->> 'userId' FROM realtime.event
	WHERE feature LIKE 'rights%' AND tx > (SELECT tx FROM rights.start)
$$;

--
-- Every function, and who may execute it. A new one must be put here on purpose.
--
SELECT p.oid::regprocedure AS function,
	CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN 'public'
		WHEN has_function_privilege('realtime_notifier', p.oid, 'EXECUTE') THEN 'notifier'
		ELSE 'superuser' END AS executable_by,
	p.prosecdef AS definer,
	p.proconfig IS NOT NULL OR l.lanname = 'c' AS is_pinned
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE pronamespace = 'realtime'::regnamespace
ORDER BY p.proname COLLATE "C", p.oid::regprocedure::text COLLATE "C";
-- the same for tables and settings
SELECT c.relname, c.relkind,
	ARRAY(SELECT p FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
		WHERE has_table_privilege('public', c.oid, p)) AS public,
	ARRAY(SELECT p FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
		WHERE has_table_privilege('realtime_notifier', c.oid, p)) AS notifier
FROM pg_class c
WHERE relnamespace = 'realtime'::regnamespace AND relkind IN ('r', 'v', 'm', 'S', 'p', 'f')
ORDER BY c.relname COLLATE "C";
LOAD 'realtime';
SELECT name, context FROM pg_settings WHERE name LIKE 'realtime.%' ORDER BY name COLLATE "C";
SELECT nspname, has_schema_privilege('public', oid, 'USAGE') AS usage,
	has_schema_privilege('public', oid, 'CREATE') AS create
FROM pg_namespace WHERE nspname = 'realtime';
SELECT rolname, rolcanlogin, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolreplication
FROM pg_roles WHERE rolname = 'realtime_notifier';

--
-- Every object of the extension has a comment (the row types of tables, members since 17, are the tables')
--
SELECT pg_describe_object(d.classid, d.objid, 0) AS without_comment
FROM pg_depend d
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'realtime')
	AND obj_description(d.objid, d.classid::regclass::text) IS NULL
	AND NOT (d.classid = 'pg_type'::regclass AND d.objid IN (
		SELECT unnest(ARRAY[t.oid, t.typarray]) FROM pg_type t WHERE t.typrelid <> 0))
ORDER BY 1;
SELECT extname FROM pg_extension e WHERE extname = 'realtime'
	AND obj_description(oid, 'pg_extension') IS NULL;

--
-- Somebody with no right on a table
--
CREATE TABLE rights.t (id int PRIMARY KEY, v text, status text);
ALTER TABLE rights.t OWNER TO regress_realtime_owner;
SELECT realtime.register_topic('rights', 'topic');
SET ROLE regress_realtime_other;
SELECT realtime.enable('rights.t');
SELECT realtime.disable('rights.t');
SELECT realtime.register('rights.t', 'rights', 't', '{"key":["id"]}');
SELECT realtime.unregister('rights.t');
SELECT realtime.lock_relation('rights.t');
SELECT realtime.add_triggers('rights.t');
SET ROLE regress_realtime_owner;
SELECT realtime.enable('rights.t', 'rights', 't', status_column => 'status');
SELECT realtime.define_event('rights.t', 'ok', status => 'ok');
SET ROLE regress_realtime_other;
SELECT realtime.enable('rights.t', 'rights', 't');
SELECT realtime.disable('rights.t');
SELECT realtime.unregister('rights.t');
SELECT realtime.define_event('rights.t', 'x', status => 'x');
SELECT realtime.drop_event('rights.t', 'ok');
SELECT realtime.forget('rights.t', '1');
SELECT realtime.emit('rights', 't', 'x');
SELECT realtime.bulk_start('rights', 't', 'x');
SELECT realtime.grant_emit('rights', 't', 'regress_realtime_other');
SELECT realtime.revoke_emit('rights', 't', 'regress_realtime_other');
SELECT realtime.register_topic('rights', 'topic2');
SELECT realtime.emit('rights', 'topic', 'x');
SELECT realtime.drop_topic('rights', 'topic');
SELECT realtime.grant_emit('rights', 'topic', 'regress_realtime_other');
SELECT realtime.grant_subscribe('rights', 'topic', 'public');
SELECT realtime.position();
SELECT realtime.settled_position();
SELECT realtime.current_epoch();
SELECT realtime.new_epoch();
SELECT realtime.position_error('1-a/1:1:');
SELECT realtime.flush();
SELECT realtime.arm();
SELECT realtime.disarm();
SELECT realtime.is_armed();
SELECT realtime.prune();
SELECT realtime.bulk_reap();
SELECT realtime.status();
SELECT realtime.set_log_persistence('unlogged');
SELECT FROM realtime.commit_log;
SELECT FROM realtime.commit_log_0;
SELECT FROM realtime.event;
SELECT FROM realtime.registration;
SELECT FROM realtime.topic_grant;
SELECT FROM realtime.bulk_operation;
SELECT FROM realtime.log_state;
SELECT FROM realtime.log_floor;
SELECT FROM realtime.epoch;
INSERT INTO realtime.commit_log_0 VALUES ('1', 0, now(), '0/0', '[]');
SET realtime.retention = 1;
SET realtime.max_log_size = 1;
SET realtime.on_error = gap;
-- but the registry is for everybody
SELECT feature, entity, relation, status_column FROM realtime.entities WHERE feature = 'rights' ORDER BY 1, 2;
SELECT realtime.row_json(ROW(1)::record) IS NOT NULL AS row_json;
RESET ROLE;

--
-- The notifier: reads and arms, changes nothing
--
SET ROLE regress_realtime_daemon;
SELECT realtime.position() IS NOT NULL, realtime.current_epoch() IS NOT NULL,
	realtime.position_error('x') IS NOT NULL, realtime.flush() IS NOT NULL,
	realtime.arm(), realtime.is_armed(), realtime.disarm(), realtime.prune() IS NOT NULL,
	realtime.bulk_reap() IS NOT NULL, realtime.status() ->> 'version' IS NOT NULL;
SELECT count(*) >= 0 AS can_read FROM realtime.commit_log;
SELECT count(*) >= 0 AS can_read FROM realtime.event;
SELECT realtime.new_epoch();
SELECT realtime.set_log_persistence('unlogged');
DELETE FROM realtime.commit_log;
TRUNCATE realtime.commit_log;
UPDATE realtime.registration SET owner = 'regress_realtime_daemon';
SELECT realtime.emit('rights', 't', 'x');
SELECT realtime.register_topic('rights', 'topic2');
SELECT realtime.forget('rights.t', '1');
RESET ROLE;

--
-- The writer: events follow from rights on the table alone
--
GRANT INSERT ON rights.t TO regress_realtime_writer;
SET ROLE regress_realtime_writer;
INSERT INTO rights.t VALUES (1, 'a', 'new');
-- a writer cannot switch capture off, the owner can; subscribers are told
SET realtime.enabled = off;
INSERT INTO rights.t VALUES (2, 'a', 'new');
SET ROLE regress_realtime_owner;
INSERT INTO rights.t VALUES (3, 'a', 'new');
RESET realtime.enabled;
-- what a SECURITY DEFINER function writes is of its caller
CREATE FUNCTION rights.write() RETURNS void LANGUAGE sql SECURITY DEFINER AS
	$$INSERT INTO rights.t VALUES (4, 'a', 'new')$$;
SET ROLE regress_realtime_other;
SELECT rights.write();
SELECT * FROM rights.events();
RESET ROLE;

--
-- Emitting is granted, per pair, and the grant ends with the registration
--
SET ROLE regress_realtime_owner;
SELECT realtime.emit('rights', 't', 'by_owner', id => '1');
SELECT realtime.grant_emit('rights', 't', 'regress_realtime_writer');
SELECT realtime.grant_subscribe('rights', 't', 'regress_realtime_writer');
SELECT realtime.grant_emit('rights', 't', 'regress_realtime_nobody');
SELECT realtime.grant_emit('rights', 'nothing', 'regress_realtime_writer');
SET ROLE regress_realtime_writer;
SELECT realtime.emit('rights', 't', 'by_writer', id => '1');
SELECT realtime.grant_emit('rights', 't', 'regress_realtime_other');
SELECT realtime.emit('rights', 'topic', 'by_writer');
SET ROLE regress_realtime_owner;
-- a second enable keeps the grant, another name does not
SELECT realtime.enable('rights.t', 'rights', 't');
SELECT realtime.revoke_emit('rights', 't', 'regress_realtime_writer');
SELECT realtime.revoke_emit('rights', 't', 'regress_realtime_writer');
SET ROLE regress_realtime_writer;
SELECT realtime.emit('rights', 't', 'by_writer');
SET ROLE regress_realtime_owner;
SELECT realtime.grant_emit('rights', 't', 'PUBLIC');
SET ROLE regress_realtime_other;
SELECT realtime.emit('rights', 't', 'by_other', id => '1');
SET ROLE regress_realtime_owner;
SELECT realtime.enable('rights.t', 'rights', 't2');
SELECT realtime.enable('rights.t', 'rights', 't');
SET ROLE regress_realtime_other;
SELECT realtime.emit('rights', 't', 'by_other');
-- nor does whoever takes the name inherit what was granted before
SET ROLE regress_realtime_owner;
SELECT realtime.grant_emit('rights', 't', 'regress_realtime_writer');
SELECT realtime.disable('rights.t');
CREATE TABLE rights.t2 (id int PRIMARY KEY);
SELECT realtime.enable('rights.t2', 'rights', 't');
SET ROLE regress_realtime_writer;
SELECT realtime.emit('rights', 't', 'by_writer');
SET ROLE regress_realtime_owner;
SELECT realtime.grant_emit('rights', 't', 'regress_realtime_writer');
DROP TABLE rights.t2;
SELECT realtime.enable('rights.t', 'rights', 't', status_column => 'status');
SET ROLE regress_realtime_writer;
SELECT realtime.emit('rights', 't', 'by_writer');
RESET ROLE;
-- topics belong to whoever registered them; registering can be granted
GRANT EXECUTE ON FUNCTION realtime.register_topic TO regress_realtime_other;
SET ROLE regress_realtime_other;
SELECT realtime.register_topic('rights', 'topic');
SELECT realtime.register_topic('rights', 't');
SELECT realtime.register_topic('rights', 'mine');
SELECT realtime.emit('rights', 'mine', 'by_other', id => '1');
SELECT realtime.grant_subscribe('rights', 'mine', 'public');
SET ROLE regress_realtime_writer;
SELECT realtime.emit('rights', 'mine', 'by_writer');
SELECT realtime.drop_topic('rights', 'mine');
SET ROLE regress_realtime_other;
SELECT realtime.drop_topic('rights', 'mine');
SELECT realtime.drop_topic('rights', 'mine');
SELECT realtime.drop_topic('rights', 't');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION realtime.register_topic FROM regress_realtime_other;
SELECT count(*) FROM realtime.topic_grant WHERE feature = 'rights';
-- a pair that another table has
SET ROLE regress_realtime_other;
CREATE TABLE rights_other.t (id int PRIMARY KEY);
SELECT realtime.enable('rights_other.t', 'rights', 't');
SELECT realtime.enable('rights_other.t', 'rights', 'topic');

--
-- What realtime.register() takes from the owner of any table must not harm others
--
SELECT realtime.register('rights_other.t', 'rights_other', 't', '[1,2,3]');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '1');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '[]');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '"x"');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":[]}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":"id"}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":{"id":1}}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":[["id"]]}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":[1]}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["nothing"]}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"columns":null}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"exclude":"v"}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"affects":5}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"notify_data":"maybe"}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"coalesce":1}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"bulk_threshold":1.5}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"bulk_threshold":-1}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"bulk_threshold":99999999999}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"priority":"x"}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"notify":"x"}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"numeric":"x"}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"status_column":5}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"unknown":"x"}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"events":"x"}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"events":{}}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"events":[1]}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"events":[["a","b"]]}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"events":[{}]}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"events":[{"action":"deleted"}]}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"events":[{"action":"a b"}]}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"events":[{"action":"a","columns":["nothing"]}]}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', '{"key":["id"],"events":[{"action":"a","condition":"nonsense("}]}');
SELECT realtime.register('rights_other.t', 'rights_other', 't', NULL);
SELECT realtime.register('rights_other.t', NULL, 't', '{"key":["id"]}');
SELECT realtime.register('rights_other.t', 'rights_other', '*', '{"key":["id"]}');
SELECT realtime.register('rights_other.t', E'a\nb', 't', '{"key":["id"]}');
SELECT realtime.register('realtime.entities', 'rights_other', 't', '{"key":["feature"]}');
SELECT feature, entity FROM realtime.entities WHERE feature = 'rights_other';

-- nor does any function harm the server, whatever it is called with: nulls, zeros, empty and odd values
DO $$
DECLARE
	function regprocedure;
	call text;
BEGIN
	FOR function, call IN
		SELECT p.oid, format('SELECT %s(%s)', p.oid::regproc, (
			SELECT string_agg(CASE WHEN variant = 0 THEN format('NULL::%s', t::regtype)
				ELSE coalesce(v.vals[variant], format('NULL::%s', t::regtype)) END, ', ' ORDER BY n)
			FROM unnest(p.proargtypes) WITH ORDINALITY AS a(t, n)
			LEFT JOIN (VALUES ('regclass', ARRAY['0', '1', '4294967295']),
				('text', ARRAY['''''', '''x''', '''normal''']), ('jsonb', ARRAY['''{}''', '''[]''', '''1''']),
				('bigint', ARRAY['0', '-1', '9223372036854775807']),
				('integer', ARRAY['0', '-1', '2147483647']), ('text[]', ARRAY['''{}''', '''{x}''', '''{NULL}''']),
				('boolean', ARRAY['true', 'false', 'true']), ('record', ARRAY['ROW()', 'ROW(1,NULL,ROW(2))', 'ROW(''{}''::json)']),
				('regclass[]', ARRAY['''{}''', '''{0}''', '''{NULL}'''])) AS v(type, vals) ON v.type::regtype = t))
		FROM pg_proc p, generate_series(0, 3) variant
		WHERE pronamespace = 'realtime'::regnamespace AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
			AND has_function_privilege(p.oid, 'EXECUTE')
		ORDER BY p.oid::regprocedure::text COLLATE "C", variant
	LOOP
		BEGIN
			EXECUTE call;
		EXCEPTION WHEN OTHERS THEN
			IF SQLSTATE LIKE 'XX%' THEN
				RAISE WARNING '% %: %', call, SQLSTATE, SQLERRM;
			END IF;
		END;
	END LOOP;
END
$$;
SELECT count(*) FROM realtime.entities WHERE feature IN ('', 'x', 'normal');

--
-- The trigger function on a table of one's own does nothing
--
CREATE TABLE rights_other.fake (id int PRIMARY KEY, v text, status text);
CREATE TRIGGER realtime_capture AFTER INSERT OR UPDATE OR DELETE ON rights_other.fake
	FOR EACH ROW EXECUTE FUNCTION realtime.capture();
CREATE TRIGGER realtime_truncate AFTER TRUNCATE ON rights_other.fake
	FOR EACH STATEMENT EXECUTE FUNCTION realtime.capture_truncate();
INSERT INTO rights_other.fake VALUES (999, 'x', 'ok');
UPDATE rights_other.fake SET v = 'y';
DELETE FROM rights_other.fake;
TRUNCATE rights_other.fake;
-- nor as what it is not
CREATE TRIGGER a BEFORE INSERT ON rights_other.t FOR EACH ROW EXECUTE FUNCTION realtime.capture();
INSERT INTO rights_other.t VALUES (1);
DROP TRIGGER a ON rights_other.t;
CREATE TRIGGER a AFTER INSERT ON rights_other.t FOR EACH STATEMENT EXECUTE FUNCTION realtime.capture();
INSERT INTO rights_other.t VALUES (1);
DROP TRIGGER a ON rights_other.t;
CREATE TRIGGER a AFTER INSERT ON rights_other.t FOR EACH STATEMENT EXECUTE FUNCTION realtime.capture_truncate();
INSERT INTO rights_other.t VALUES (1);
DROP TRIGGER a ON rights_other.t;
SELECT realtime.capture();
SELECT realtime.ddl_end();
CREATE TRIGGER a BEFORE INSERT ON rights_other.t FOR EACH ROW EXECUTE FUNCTION realtime.ignore_replicated();
-- nor can a foreign table be made a part of one's own, or the reverse
CREATE TABLE rights_other.child () INHERITS (rights.t);
CREATE TABLE rights_other.child (LIKE rights.t);
ALTER TABLE rights_other.child INHERIT rights.t;
DROP TABLE rights_other.child;
RESET ROLE;
SELECT count(*) FROM realtime.event WHERE id = '999' AND tx > (SELECT tx FROM rights.start);

--
-- Names earlier in the search path are not called, in temporary schemas or others
--
CREATE TABLE rights.called (what text);
GRANT INSERT ON rights.called TO PUBLIC;
SET ROLE regress_realtime_owner;
SELECT realtime.define_event('rights.t', 'same', condition => 'NEW.id::text = ''7'' AND lower(NEW.v) LIKE ''x%''');
SELECT realtime.define_event('rights.t', 'evil', condition => 'rights_other.lower(NEW.v) = ''x''');
SET ROLE regress_realtime_other;
CREATE FUNCTION rights_other.lower(text) RETURNS text LANGUAGE plpgsql AS
	$$BEGIN INSERT INTO rights.called VALUES ('lower as ' || current_user); RETURN 'x'; END$$;
CREATE FUNCTION rights_other.eq(text, text) RETURNS boolean LANGUAGE plpgsql AS
	$$BEGIN INSERT INTO rights.called VALUES ('= as ' || current_user); RETURN true; END$$;
CREATE OPERATOR rights_other.= (LEFTARG = text, RIGHTARG = text, FUNCTION = rights_other.eq);
CREATE FUNCTION rights_other.ne(text, text) RETURNS boolean LANGUAGE plpgsql AS
	$$BEGIN INSERT INTO rights.called VALUES ('<> as ' || current_user); RETURN true; END$$;
CREATE OPERATOR rights_other.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = rights_other.ne);
CREATE OPERATOR rights_other.~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = rights_other.eq);
CREATE FUNCTION rights_other.jsonb_strip_nulls(jsonb) RETURNS jsonb LANGUAGE plpgsql AS
	$$BEGIN INSERT INTO rights.called VALUES ('jsonb_strip_nulls as ' || current_user); RETURN $1; END$$;
CREATE FUNCTION rights_other.format(text, text) RETURNS text LANGUAGE plpgsql AS
	$$BEGIN INSERT INTO rights.called VALUES ('format as ' || current_user); RETURN $1; END$$;
CREATE FUNCTION rights_other.format(text, regclass) RETURNS text LANGUAGE plpgsql AS
	$$BEGIN INSERT INTO rights.called VALUES ('format as ' || current_user); RETURN $1; END$$;
CREATE FUNCTION rights_other.cardinality(text[]) RETURNS int LANGUAGE plpgsql AS
	$$BEGIN INSERT INTO rights.called VALUES ('cardinality as ' || current_user); RETURN 1; END$$;
CREATE TABLE rights_other.pg_inherits (inhrelid oid, inhparent oid);
CREATE TABLE rights_other.pg_trigger (tgrelid oid, tgname text, tgparentid oid);
CREATE TABLE rights_other.pg_class (oid oid, relkind text, relpersistence text);
GRANT USAGE ON SCHEMA rights_other TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA rights_other TO PUBLIC;
-- the superuser falls for it
RESET ROLE;
SET search_path = rights_other, pg_catalog, public;
CREATE TEMPORARY TABLE pg_class (oid oid, relkind text, relpersistence text);
CREATE TEMPORARY TABLE pg_inherits (inhrelid oid, inhparent oid);
CREATE DOMAIN pg_temp.text AS pg_catalog.varchar(1);
CREATE DOMAIN pg_temp.jsonb AS pg_catalog.jsonb CHECK (rights_other.lower('jsonb') = 'nothing');
SELECT realtime.enable('rights.t', 'rights', 't', status_column => 'status', exclude => '{}');
SELECT realtime.define_event('rights.t', 'same2', condition => 'NEW.id::text = ''7'' AND lower(NEW.v) LIKE ''x%''');
INSERT INTO rights.t VALUES (7, 'X', 'new'), (77, 'X', 'new'), (8, 'y', 'new');
UPDATE rights.t SET status = 'ok' WHERE id OPERATOR(pg_catalog.=) 8;
SELECT realtime.drop_event('rights.t', 'same2');
SELECT realtime.forget('rights.t', '1');
SELECT realtime.status() ->> 'version';
CREATE TABLE rights.part (LIKE rights.t);
ALTER TABLE rights.part INHERIT rights.t;
INSERT INTO rights.part VALUES (9, 'z', 'new');
SELECT realtime.prune() >= 0;
SELECT * FROM rights.events() WHERE id OPERATOR(pg_catalog.=) ANY ('{7,77,8,9}'::pg_catalog.text[]);
RESET search_path;
SELECT * FROM rights.called ORDER BY 1;
DROP TABLE pg_temp.pg_class, pg_temp.pg_inherits;
DROP DOMAIN pg_temp.text, pg_temp.jsonb;
SET search_path = public;

-- what a condition may be
SET ROLE regress_realtime_owner;
SELECT realtime.define_event('rights.t', 'c', condition => 'true) FROM rights.called WHERE (true');
SELECT realtime.define_event('rights.t', 'c', condition => 'true), (false');
SELECT realtime.define_event('rights.t', 'c', condition => 'true); DROP TABLE rights.t; SELECT (true');
SELECT realtime.define_event('rights.t', 'c', condition => 'EXISTS (SELECT FROM rights.called)');
SELECT realtime.define_event('rights.t', 'c', condition => 'count(*) > 0');
SELECT realtime.define_event('rights.t', 'c', condition => 'generate_series(1, 2) > 0');
SELECT realtime.define_event('rights.t', 'c', condition => 'NEW.id');
SELECT realtime.define_event('rights.t', 'c', condition => '$1');
SELECT realtime.define_event('rights.t', 'c', condition => '');
SELECT realtime.define_event('rights.t', 'c', condition => 'NEW.nothing = 1');
SELECT realtime.define_event('rights.t', 'c', condition => 'id = 1');
RESET ROLE;

SET client_min_messages = warning;
DROP SCHEMA rights_other CASCADE;
DROP SCHEMA rights CASCADE;
RESET client_min_messages;
SELECT realtime.drop_topic('rights', 'topic');
SELECT count(*) FROM realtime.registration WHERE feature LIKE 'rights%';
DROP ROLE regress_realtime_owner, regress_realtime_writer, regress_realtime_other, regress_realtime_daemon;
