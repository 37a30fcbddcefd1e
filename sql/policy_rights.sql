-- Whose rights policies are evaluated with, and what hostile policies, functions and claims cannot do.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
\pset null NULL
\set SHOW_CONTEXT never
CREATE ROLE regress_policy_reader;
CREATE ROLE regress_policy_stranger;
CREATE ROLE regress_policy_attacker;
CREATE ROLE regress_policy_daemon IN ROLE realtime_notifier, regress_policy_reader, regress_policy_attacker;
CREATE SCHEMA policy_rights AUTHORIZATION regress_policy_attacker;
GRANT USAGE ON SCHEMA policy_rights TO PUBLIC;
SET search_path = policy_rights;
CREATE TABLE secret (id integer PRIMARY KEY);
CREATE TABLE seen (who text);

-- tables and policies are the attacker's
SET ROLE regress_policy_attacker;
CREATE TABLE trap (id integer PRIMARY KEY, owner text);
GRANT SELECT ON trap TO PUBLIC;
ALTER TABLE trap ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON trap USING (owner = current_user);
RESET ROLE;
SELECT realtime.enable('trap');

--
-- Who may ask: the daemon, about the roles that it may become
--
SET SESSION AUTHORIZATION regress_policy_reader;
SELECT realtime.access_policy('trap', 'regress_policy_reader', '{}');
SELECT realtime.visible_images('trap', 'regress_policy_reader', '{}', ARRAY['{"id":1,"owner":"x"}']::json[]);
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_policy_daemon;
SELECT realtime.access_policy('trap', 'regress_policy_reader', '{}');
SELECT realtime.access_policy('trap', 'regress_policy_stranger', '{}');
\set VERBOSITY sqlstate
SELECT realtime.access_policy('trap', 'regress_policy_stranger', '{}');
SELECT realtime.access_policy('trap', 'postgres', '{}');
SELECT realtime.visible_images('trap', 'regress_policy_stranger', '{}', '{}');
SELECT realtime.access_policy('trap', 'regress_policy_nobody', '{}');
SELECT realtime.access_policy(4294967295, 'regress_policy_reader', '{}');
SELECT realtime.access_policy('realtime.event', 'regress_policy_reader', '{}');
\set VERBOSITY default
RESET SESSION AUTHORIZATION;

--
-- Everything runs as the role, and everything is as before afterwards, also after an error
--
SET ROLE regress_policy_attacker;
CREATE FUNCTION spy() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE 'user %, role %, row_security %, claims %, sub %', current_user, current_setting('role'),
		current_setting('row_security'), current_setting('request.jwt.claims'), current_setting('request.jwt.claim.sub', true);
	RETURN true;
END
$$;
ALTER POLICY p ON trap USING (spy());
RESET ROLE;
SET request.jwt.claims = 'of before';
SET SESSION AUTHORIZATION regress_policy_daemon;
SELECT realtime.visible_images('trap', 'regress_policy_reader', '{"sub": "it''s \"me\""}', ARRAY['{"id":1,"owner":"x"}']::json[]);
SELECT realtime.visible_images('trap', 'regress_policy_reader', '{"other": 1}', ARRAY['{"id":1,"owner":"x"}']::json[]);
SELECT current_user, current_setting('role'), current_setting('request.jwt.claims');
-- an error inside
RESET SESSION AUTHORIZATION;
SET ROLE regress_policy_attacker;
CREATE FUNCTION fail() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'failed as %', current_user; END $$;
ALTER POLICY p ON trap USING (fail());
RESET ROLE;
SET SESSION AUTHORIZATION regress_policy_daemon;
BEGIN;
SAVEPOINT s;
SELECT realtime.visible_images('trap', 'regress_policy_reader', '{}', ARRAY['{"id":1,"owner":"x"}']::json[]);
ROLLBACK TO s;
SELECT current_user, current_setting('role'), current_setting('request.jwt.claims');
COMMIT;
SELECT realtime.visible_images('trap', 'regress_policy_reader', '{}', ARRAY['{"id":1,"owner":"x"}']::json[]);
SELECT current_user, current_setting('role'), current_setting('request.jwt.claims');
RESET SESSION AUTHORIZATION;

--
-- A policy's function cannot become the daemon or another of its roles, read with its rights, call
-- these functions, or leave settings behind
--
SET ROLE regress_policy_attacker;
CREATE FUNCTION attack(sql text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE sql;
	RETURN true;
EXCEPTION WHEN OTHERS THEN
	RAISE NOTICE '%: %', sql, sqlerrm;
	RETURN false;
END
$$;
ALTER POLICY p ON trap USING (attack(owner));
RESET ROLE;
SET SESSION AUTHORIZATION regress_policy_daemon;
SELECT realtime.visible_images('trap', 'regress_policy_reader', '{}', (SELECT array_agg(json_build_object('id', 1, 'owner', sql)) FROM (VALUES
	('RESET ROLE'), ('SET ROLE regress_policy_attacker'), ('SELECT set_config(''role'', ''none'', true)'), ('SET SESSION AUTHORIZATION DEFAULT'),
	('SELECT * FROM policy_rights.secret'), ('SELECT * FROM realtime.commit_log'),
	('SELECT realtime.access_policy(''policy_rights.trap'', ''regress_policy_attacker'', ''{}'')'),
	('SELECT set_config(''search_path'', ''policy_rights'', false), set_config(''request.jwt.claims'', ''left'', false), set_config(''row_security'', ''off'', false)')) v(sql)));
SELECT current_user, current_setting('role'), current_setting('request.jwt.claims'), current_setting('row_security'), current_setting('search_path');
-- not from inside a security definer function
RESET SESSION AUTHORIZATION;
CREATE FUNCTION definer() RETURNS json LANGUAGE sql SECURITY DEFINER AS
	$$ SELECT realtime.visible_images('policy_rights.trap', 'regress_policy_reader', '{}', ARRAY['{"id":1,"owner":"SELECT 1"}']::json[])::text::json $$;
SELECT definer();
DROP FUNCTION definer();
-- computed beforehand: also as the role
SET ROLE regress_policy_attacker;
CREATE FUNCTION who() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT current_user::text $$;
CREATE FUNCTION who_stable() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT current_user::text $$;
ALTER POLICY p ON trap USING (owner = current_user OR owner = who() OR owner = who_stable());
RESET ROLE;
SET SESSION AUTHORIZATION regress_policy_daemon;
SELECT realtime.access_policy('trap', 'regress_policy_reader', '{}');
RESET SESSION AUTHORIZATION;
REVOKE EXECUTE ON FUNCTION who_stable() FROM PUBLIC;
SET SESSION AUTHORIZATION regress_policy_daemon;
SELECT realtime.access_policy('trap', 'regress_policy_reader', '{}');
SELECT realtime.visible_images('trap', 'regress_policy_reader', '{}', ARRAY['{"id":1,"owner":"x"}']::json[]);
RESET SESSION AUTHORIZATION;

--
-- Claims from hostile hands
--
ALTER POLICY p ON trap USING (owner = current_setting('request.jwt.claims')::json ->> 'sub');
SELECT realtime.access_policy('trap', 'regress_policy_reader', '');
SELECT realtime.access_policy('trap', 'regress_policy_reader', 'no json');
SELECT realtime.access_policy('trap', 'regress_policy_reader', '"text"');
SELECT realtime.access_policy('trap', 'regress_policy_reader', '[{"sub": "x"}]');
SELECT realtime.access_policy('trap', 'regress_policy_reader', 'null');
SELECT realtime.access_policy('trap', 'regress_policy_reader', '{"sub": "x"');
SELECT realtime.access_policy('trap', 'regress_policy_reader', '{"sub": "x\u0000"}');
SELECT realtime.visible_images('trap', 'regress_policy_reader', 'no json', ARRAY['{"id":1,"owner":"x"}']::json[]);
SELECT realtime.visible_images('trap', 'postgres', 'no json', ARRAY['{"id":1,"owner":"x"}']::json[]) WHERE current_user = 'postgres';
SELECT realtime.access_policy('trap', 'regress_policy_reader', '{"sub": "'' OR true --\"]],[[\"id\",\"gt\",0"}');
SELECT realtime.access_policy('trap', 'regress_policy_reader', '{"sub": "a", "sub": "b", "SUB": "c", "Sub": "d"}');
SELECT realtime.access_policy('trap', 'regress_policy_reader', NULL);
-- a member's name cannot be another setting's; large and many are no harm
SELECT realtime.access_policy('trap', 'regress_policy_reader', '{"sub": "u1", "": 1, "a.b": 1, "x y": 1, "\"": 1, "1a": 1, "é": 1, "sub\u0041": 2}');
SELECT length(realtime.access_policy('trap', 'regress_policy_reader', json_build_object('sub', repeat('x', 1000000))::text)::text);
SELECT realtime.visible_images('trap', 'regress_policy_reader', json_build_object('sub', repeat('x', 1000000))::text,
	ARRAY[json_build_object('id', 1, 'owner', repeat('x', 1000000)), json_build_object('id', 1, 'owner', repeat('x', 999999))]);
SELECT realtime.access_policy('trap', 'regress_policy_reader', json_object_agg('c' || i, i)::text) FROM generate_series(1, 1001) i;
ALTER POLICY p ON trap USING (owner = current_setting('request.jwt.claim.sub', true));
SELECT realtime.access_policy('trap', 'regress_policy_reader', '{"sub": "a", "sub": "b", "SUB": "c", "Sub": "d"}');
SELECT realtime.access_policy('trap', 'regress_policy_reader', '{"SUB": "c"}');
SELECT realtime.access_policy('trap', 'regress_policy_reader', '{"sub": {"a": [1, "x"]}}');
SELECT realtime.access_policy('trap', 'regress_policy_reader', '{"sub": 17}');
-- a session's own setting is not shown in place of a missing claim
SET request.jwt.claim.sub = 'of the session';
SELECT realtime.access_policy('trap', 'regress_policy_reader', '{}');
SELECT realtime.visible_images('trap', 'regress_policy_reader', '{}', ARRAY['{"id":1,"owner":"of the session"}', '{"id":1,"owner":""}']::json[]);
SELECT current_setting('request.jwt.claim.sub');

RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA policy_rights CASCADE;
RESET client_min_messages;
DROP ROLE regress_policy_reader, regress_policy_stranger, regress_policy_attacker, regress_policy_daemon;
