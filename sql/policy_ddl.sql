-- DDL that changes who may see rows logs access_changed, in order with the data.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
CREATE ROLE regress_policy_ddl;
CREATE ROLE regress_policy_ddl_other;
CREATE SCHEMA policy_ddl;
SET search_path = policy_ddl;
CREATE TABLE start AS SELECT pg_current_xact_id() AS tx;
-- What was logged since the last call.
CREATE FUNCTION events() RETURNS text LANGUAGE sql AS $$
	WITH last AS (UPDATE start SET tx = pg_current_xact_id() RETURNING tx)
	SELECT string_agg(entity || ' ' || action || coalesce(' ' || id, ''), ', ' ORDER BY e.lsn, e.tx, e.part, e.seq)
	FROM realtime.event e, start s WHERE feature LIKE 'access%' AND e.tx > s.tx AND (SELECT count(*) FROM last) > 0
$$;
CREATE TABLE item (id integer PRIMARY KEY, owner text);
CREATE TABLE other (id integer PRIMARY KEY, owner text);
CREATE TABLE member (item integer, usr text);
CREATE TABLE team (usr text);
CREATE TABLE unused (usr text);
SELECT realtime.enable('item', 'access');
SELECT realtime.enable('other', 'access');
SELECT events();

-- Privileges, of columns too
GRANT SELECT ON item TO regress_policy_ddl;
SELECT events();
SELECT (event::jsonb - 'meta')::text FROM realtime.event WHERE action = 'access_changed' AND feature = 'access' ORDER BY lsn DESC LIMIT 1;
GRANT SELECT (id) ON item, other TO regress_policy_ddl;
SELECT events();
REVOKE SELECT (id) ON item FROM regress_policy_ddl;
SELECT events();
GRANT SELECT ON unused TO regress_policy_ddl;
SELECT events();
GRANT SELECT ON ALL TABLES IN SCHEMA policy_ddl TO regress_policy_ddl;
SELECT events();
GRANT USAGE ON SCHEMA policy_ddl TO regress_policy_ddl;
SELECT events();
ALTER DEFAULT PRIVILEGES IN SCHEMA policy_ddl GRANT SELECT ON TABLES TO regress_policy_ddl;
SELECT events();
-- Row-level security and policies
ALTER TABLE item ENABLE ROW LEVEL SECURITY;
SELECT events();
ALTER TABLE item FORCE ROW LEVEL SECURITY;
ALTER TABLE item NO FORCE ROW LEVEL SECURITY;
ALTER TABLE item DISABLE ROW LEVEL SECURITY;
ALTER TABLE unused ENABLE ROW LEVEL SECURITY;
SELECT events();
CREATE POLICY p ON item USING (owner = 'x');
SELECT events();
ALTER POLICY p ON item USING (owner = 'y');
SELECT events();
ALTER POLICY p ON item RENAME TO q;
SELECT events();
DROP POLICY q ON item;
SELECT events();
ALTER TABLE item OWNER TO regress_policy_ddl_other;
SELECT events();
CREATE SCHEMA policy_ddl_other;
ALTER TABLE item SET SCHEMA policy_ddl_other;
ALTER TABLE policy_ddl_other.item SET SCHEMA policy_ddl;
DROP SCHEMA policy_ddl_other;
SELECT events();
-- In order with the data; what is rolled back did not happen
BEGIN;
INSERT INTO item VALUES (1, 'a');
GRANT SELECT ON item TO regress_policy_ddl_other;
INSERT INTO item VALUES (2, 'a');
SAVEPOINT s;
REVOKE SELECT ON item FROM regress_policy_ddl_other;
ROLLBACK TO s;
COMMIT;
SELECT events();

-- What policies read: directly, through a view, through another table's policy, by a function
CREATE POLICY p ON item USING (EXISTS (SELECT FROM member m WHERE m.item = item.id AND m.usr = current_user));
SELECT events();
GRANT SELECT ON member TO regress_policy_ddl;
SELECT events();
ALTER TABLE member ENABLE ROW LEVEL SECURITY;
SELECT events();
CREATE POLICY p ON member USING (usr IN (SELECT usr FROM team));
SELECT events();
REVOKE SELECT ON team FROM regress_policy_ddl;
SELECT events();
CREATE VIEW members AS SELECT * FROM member;
ALTER POLICY p ON item USING (EXISTS (SELECT FROM members m WHERE m.item = item.id));
SELECT events();
REVOKE SELECT ON members FROM regress_policy_ddl;
SELECT events();
ALTER POLICY p ON member USING (true);
SELECT events();
CREATE FUNCTION allowed(text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
ALTER POLICY p ON item USING (allowed(owner));
SELECT events();
CREATE OR REPLACE FUNCTION allowed(text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
SELECT events();
ALTER FUNCTION allowed(text) STABLE;
SELECT events();
REVOKE EXECUTE ON FUNCTION allowed(text) FROM PUBLIC;
SELECT events();
CREATE FUNCTION unrelated() RETURNS boolean LANGUAGE sql AS 'SELECT true';
GRANT SELECT ON member TO regress_policy_ddl_other;
SELECT events();
-- ... or declared by affects
SELECT realtime.enable('team', 'access', key => '{usr}', affects => '{other}');
GRANT SELECT ON team TO regress_policy_ddl;
SELECT events();
-- a policy that goes with something else
DROP FUNCTION allowed CASCADE;
SELECT events();
DROP OWNED BY regress_policy_ddl;
SELECT events();
-- a registered partition's root is told, a partition alone is nobody's business
CREATE TABLE part (id integer PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part DEFAULT;
SELECT realtime.enable('part', 'access');
GRANT SELECT ON part_1 TO regress_policy_ddl;
SELECT events();
GRANT SELECT ON part TO regress_policy_ddl;
SELECT events();

SELECT realtime.define_event('other', 'access_changed', columns => '{owner}');
SET client_min_messages = warning;
DROP SCHEMA policy_ddl CASCADE;
RESET client_min_messages;
DROP ROLE regress_policy_ddl, regress_policy_ddl_other;
