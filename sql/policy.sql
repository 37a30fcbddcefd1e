-- Row-level security on row images: the kinds of policies that people write, and how access_policy() and
-- visible_images() decide on them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
\pset null NULL
CREATE ROLE regress_policy_user;
CREATE ROLE regress_policy_editor;
CREATE ROLE regress_policy_both IN ROLE regress_policy_user, regress_policy_editor;
CREATE ROLE regress_policy_owner;
CREATE ROLE regress_policy_bypass BYPASSRLS;
CREATE SCHEMA policy;
GRANT USAGE ON SCHEMA policy TO PUBLIC;
GRANT CREATE ON SCHEMA policy TO regress_policy_owner;
SET search_path = policy;

CREATE TABLE note (id integer PRIMARY KEY, owner text, tenant uuid, is_public boolean, level integer, body text,
	due timestamptz);
GRANT SELECT ON note TO PUBLIC;
ALTER TABLE note OWNER TO regress_policy_owner;
SELECT realtime.enable('note');
-- What the roles' policies say, and whether they let three images pass.
CREATE FUNCTION show(claims text DEFAULT '{"sub": "u1"}', role name DEFAULT 'regress_policy_user',
	OUT answer json, OUT visible boolean[]) LANGUAGE sql AS $$
	SELECT realtime.access_policy('note', role, claims), realtime.visible_images('note', role, claims, ARRAY[
		'{"id":1,"owner":"u1","tenant":"00000000-0000-0000-0000-000000000001","is_public":false,"level":1,"body":"a","due":null}',
		'{"id":2,"owner":"u2","tenant":"00000000-0000-0000-0000-000000000002","is_public":true,"level":2,"body":"b","due":"2000-01-01T00:00:00+00:00"}',
		'{"id":3,"owner":null,"tenant":null,"is_public":null,"level":null,"body":null,"due":"infinity"}']::json[])
$$;

--
-- Whom row-level security concerns
--
SELECT * FROM show();
ALTER TABLE note ENABLE ROW LEVEL SECURITY;
SELECT * FROM show();
SELECT * FROM show(role => 'regress_policy_bypass');
SELECT * FROM show(role => 'regress_policy_owner');
SELECT * FROM show(role => 'postgres') WHERE current_user = 'postgres';
ALTER TABLE note FORCE ROW LEVEL SECURITY;
SELECT * FROM show(role => 'regress_policy_owner');
SELECT * FROM show(role => 'regress_policy_bypass');
SET row_security = off;
SELECT * FROM show();
RESET row_security;
ALTER TABLE note NO FORCE ROW LEVEL SECURITY;

--
-- Everything; policies of other commands say nothing
--
CREATE POLICY p ON note FOR INSERT WITH CHECK (true);
SELECT * FROM show();
DROP POLICY p ON note;
CREATE POLICY p ON note FOR SELECT USING (true);
SELECT * FROM show();
DROP POLICY p ON note;

--
-- Owner column, however the claim is written; without the claim nothing
--
CREATE POLICY p ON note USING (owner = current_setting('request.jwt.claims', true)::json ->> 'sub');
SELECT * FROM show();
SELECT * FROM show('{}');
SELECT * FROM show('{"sub": null}');
ALTER POLICY p ON note USING (owner = current_setting('request.jwt.claim.sub', true));
SELECT * FROM show();
SELECT * FROM show('{}');
ALTER POLICY p ON note USING ((SELECT current_setting('request.jwt.claims', true)::jsonb ->> 'sub') = owner);
SELECT * FROM show();
-- logged in or not, though the session has seen the claim before
ALTER POLICY p ON note USING (current_setting('request.jwt.claim.sub', true) IS NOT NULL);
SELECT * FROM show();
SELECT * FROM show('{}');

--
-- Functions for the reader: those in SQL are looked into, others not
--
CREATE FUNCTION uid() RETURNS text LANGUAGE sql STABLE
	AS $$ SELECT nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub' $$;
CREATE FUNCTION uid_definer() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
	AS $$ SELECT policy.uid() $$;
CREATE FUNCTION uid_plpgsql() RETURNS text LANGUAGE plpgsql STABLE
	AS $$ BEGIN RETURN policy.uid(); END $$;
CREATE FUNCTION uid_atomic() RETURNS text LANGUAGE sql STABLE BEGIN ATOMIC SELECT uid(); END;
ALTER POLICY p ON note USING (owner = uid());
SELECT * FROM show();
ALTER POLICY p ON note USING (owner = (SELECT uid_definer()));
SELECT * FROM show();
ALTER POLICY p ON note USING (owner = uid_atomic());
SELECT * FROM show();
ALTER POLICY p ON note USING (owner = uid_plpgsql());
SELECT * FROM show();

-- one that is labelled IMMUTABLE though it is not: what it gave one reader is not another's
CREATE FUNCTION uid_immutable() RETURNS text LANGUAGE plpgsql IMMUTABLE
	AS $$ BEGIN RETURN policy.uid(); END $$;
CREATE FUNCTION uid_wrapped() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT policy.uid() $$;
ALTER POLICY p ON note USING (owner = uid_immutable() AND body LIKE '_');
SELECT * FROM show();
SELECT * FROM show('{"sub": "u2"}');
ALTER POLICY p ON note USING (EXISTS (SELECT FROM generate_series(1, 2) WHERE owner = uid_wrapped()));
SELECT * FROM show();
SELECT * FROM show('{"sub": "u2"}');
SELECT realtime.visible_images('note', 'regress_policy_user', ARRAY['{"sub": "u1"}', '{"sub": "u2"}', '{"sub": "u1"}'],
	ARRAY['{"owner":"u1"}', '{"owner":"u2"}']::json[]);

--
-- Tenants: one claim, several
--
ALTER POLICY p ON note USING (tenant = (current_setting('request.jwt.claims')::json ->> 'tenant')::uuid);
SELECT * FROM show('{"tenant": "00000000-0000-0000-0000-000000000002"}');
SELECT * FROM show('{"tenant": null}');
ALTER POLICY p ON note USING (tenant IN (SELECT json_array_elements_text(
	current_setting('request.jwt.claims')::json -> 'tenants')::uuid));
SELECT * FROM show('{"tenants": ["00000000-0000-0000-0000-000000000002", "00000000-0000-0000-0000-000000000003"]}');
SELECT * FROM show('{"tenants": []}');
SELECT * FROM show('{}');
ALTER POLICY p ON note USING (tenant = ANY (string_to_array(current_setting('request.jwt.claim.list', true), ',')::uuid[]));
SELECT * FROM show('{"list": "00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000009"}');
-- what PostgreSQL refuses is refused when it is evaluated
ALTER POLICY p ON note USING (is_public OR tenant = (current_setting('request.jwt.claims')::json ->> 'tenant')::uuid);
SELECT realtime.access_policy('note', 'regress_policy_user', '{"tenant": "no uuid"}');
SELECT realtime.visible_images('note', 'regress_policy_user', '{"tenant": "no uuid"}',
	ARRAY['{"id":1,"tenant":null,"is_public":false}']::json[]);

--
-- Roles
--
DROP POLICY p ON note;
CREATE POLICY readers ON note FOR SELECT TO regress_policy_user USING (is_public);
CREATE POLICY editors ON note TO regress_policy_editor USING (level < 2);
SELECT * FROM show();
SELECT * FROM show(role => 'regress_policy_editor');
SELECT * FROM show(role => 'regress_policy_both');
SELECT * FROM show(role => 'regress_policy_owner');
REVOKE regress_policy_editor FROM regress_policy_both;
SELECT * FROM show(role => 'regress_policy_both');
DROP POLICY editors ON note;
ALTER POLICY readers ON note TO PUBLIC USING (pg_has_role('regress_policy_editor', 'member') OR owner = current_user);
SELECT * FROM show();
SELECT * FROM show(role => 'regress_policy_editor');
ALTER POLICY readers ON note USING (current_setting('request.jwt.claims')::json #>> '{app,role}' = 'admin' OR is_public);
SELECT * FROM show('{"app": {"role": "admin"}}');
SELECT * FROM show('{"app": {"role": "user"}}');

--
-- Restrictive policies
--
CREATE POLICY own ON note USING (owner = uid());
CREATE POLICY narrow ON note AS RESTRICTIVE USING (level IS NOT NULL AND level <= 10);
SELECT * FROM show('{"sub": "u1"}');
ALTER POLICY narrow ON note USING (EXISTS (SELECT FROM pg_class c WHERE c.relname = note.body));
SELECT * FROM show('{"sub": "u1"}');
DROP POLICY own ON note;
DROP POLICY narrow ON note;
CREATE POLICY narrow ON note AS RESTRICTIVE USING (true);
DROP POLICY readers ON note;
SELECT * FROM show();
DROP POLICY narrow ON note;

--
-- Membership in another table: named in reads, with what its own policies read
--
CREATE TABLE member (note integer, usr text, PRIMARY KEY (note, usr));
CREATE TABLE banned (usr text);
INSERT INTO member VALUES (1, 'u2'), (2, 'u1'), (3, 'u1');
INSERT INTO banned VALUES ('u3');
GRANT SELECT ON member, banned TO PUBLIC;
CREATE POLICY p ON note USING (EXISTS (SELECT FROM member m WHERE m.note = note.id AND m.usr = uid()));
SELECT * FROM show();
SELECT * FROM show('{"sub": "u2"}');
ALTER POLICY p ON note USING (id IN (SELECT m.note FROM member m WHERE m.usr = uid()) AND level > 1);
SELECT * FROM show();
SELECT realtime.enable('member');
ALTER TABLE member ENABLE ROW LEVEL SECURITY;
CREATE POLICY not_banned ON member USING (usr NOT IN (SELECT b.usr FROM banned b));
SELECT * FROM show();
CREATE VIEW membership AS SELECT * FROM member;
GRANT SELECT ON membership TO PUBLIC;
ALTER POLICY p ON note USING (id IN (SELECT m.note FROM membership m WHERE m.usr = uid()));
SELECT * FROM show();
-- with the rights of the role: it may not read the table, or only through a function
REVOKE SELECT ON banned FROM PUBLIC;
ALTER POLICY p ON note USING (owner IN (SELECT b.usr FROM banned b));
SELECT realtime.access_policy('note', 'regress_policy_user', '{}');
SELECT realtime.visible_images('note', 'regress_policy_user', '{}', ARRAY['{"id":1,"owner":"u3"}']::json[]);
CREATE FUNCTION is_banned(text) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = policy, pg_temp
	AS $$ SELECT EXISTS (SELECT FROM banned WHERE usr = $1) $$;
ALTER POLICY p ON note USING (NOT is_banned(owner) AND owner IS NOT NULL);
SELECT * FROM show();
SELECT realtime.visible_images('note', 'regress_policy_user', '{}', ARRAY['{"id":1,"owner":"u3"}', '{"id":1,"owner":"u4"}']::json[]);
-- a function that calls itself, one whose body is not valid
CREATE FUNCTION endless(text) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT false $$;
CREATE OR REPLACE FUNCTION endless(text) RETURNS boolean LANGUAGE sql STABLE
	AS $$ SELECT CASE WHEN $1 = '' THEN true ELSE policy.endless('') END $$;
SET check_function_bodies = off;
CREATE FUNCTION broken(text) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT EXISTS (SELECT FROM policy.nothing) $$;
RESET check_function_bodies;
ALTER POLICY p ON note USING (endless(owner));
SELECT * FROM show();
ALTER POLICY p ON note USING (is_public OR broken(owner));
SELECT realtime.access_policy('note', 'regress_policy_user', '{}');
-- the policy of a table that reads itself is refused as PostgreSQL refuses it
ALTER POLICY p ON note USING (EXISTS (SELECT FROM note n WHERE n.owner = note.owner));
SELECT realtime.access_policy('note', 'regress_policy_user', '{}');
SELECT realtime.visible_images('note', 'regress_policy_user', '{}', ARRAY['{"id":1,"owner":"u3"}']::json[]);

--
-- Time is never computed beforehand
--
ALTER POLICY p ON note USING (due < now());
SELECT * FROM show();
ALTER POLICY p ON note USING (due < CURRENT_TIMESTAMP AND owner = uid());
SELECT * FROM show();
ALTER POLICY p ON note USING (due < 'now'::text::timestamptz);
SELECT * FROM show();
CREATE FUNCTION yesterday() RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT now() - interval '1 day' $$;
ALTER POLICY p ON note USING (due < yesterday());
SELECT * FROM show();
ALTER POLICY p ON note USING (due < '2001-01-01 00:00:00+00');
SELECT * FROM show();
ALTER POLICY p ON note USING (random() < 0);
SELECT * FROM show();
ALTER POLICY p ON note USING (level = (SELECT count(*) FROM generate_series(1, 2)));
SELECT * FROM show();

--
-- Three-valued logic, and what has no exact meaning as a term
--
ALTER POLICY p ON note USING (NOT (owner = 'u2' OR level > 5));
SELECT * FROM show();
ALTER POLICY p ON note USING ((owner = 'u1') IS NOT TRUE);
SELECT * FROM show();
ALTER POLICY p ON note USING (COALESCE(is_public, level IS NULL));
SELECT * FROM show();
ALTER POLICY p ON note USING (CASE WHEN is_public THEN level = 2 ELSE owner IS DISTINCT FROM 'u1' END);
SELECT * FROM show();
ALTER POLICY p ON note USING (level NOT IN (1, NULL));
SELECT * FROM show();
ALTER POLICY p ON note USING (level <> ALL ('{}'::int[]));
SELECT * FROM show();
ALTER POLICY p ON note USING (level = 1.0 OR level = 1.5 OR level = 3000000000);
SELECT * FROM show();
ALTER POLICY p ON note USING (level < 1.5);
SELECT * FROM show();
ALTER POLICY p ON note USING (body LIKE 'a%' AND NOT is_public);
SELECT * FROM show();
ALTER POLICY p ON note USING (note IS NOT NULL);
SELECT * FROM show();
ALTER POLICY p ON note USING (tableoid = 'note'::regclass);
SELECT * FROM show();
ALTER POLICY p ON note USING (xmin = '1');
SELECT realtime.access_policy('note', 'regress_policy_user', '{}');
-- bounds: 100 values, 16 conjunctions
ALTER POLICY p ON note USING (level = ANY (ARRAY(SELECT generate_series(1, 100))));
SELECT length(answer::text), answer ->> 'mode', visible FROM show();
ALTER POLICY p ON note USING (level = ANY (ARRAY(SELECT generate_series(1, 101))));
SELECT * FROM show();
DO $$
BEGIN
	EXECUTE 'ALTER POLICY p ON policy.note USING (' || (SELECT string_agg(
		format('(owner = %L AND level = %s)', 'u' || i, i), ' OR ') FROM generate_series(1, 17) i) || ')';
END
$$;
SELECT * FROM show();

--
-- Images of another time: a value that is none of its column's type any more
--
ALTER POLICY p ON note USING (tenant IS NOT NULL);
SELECT realtime.visible_images('note', 'regress_policy_user', '{}', ARRAY['{"tenant":17}', '{"tenant":"00000000-0000-0000-0000-000000000001"}',
	'{"tenant":"x"}', '{"tenant":[]}', '{"tenant":null}', '[]']::json[]);

--
-- Columns that events do not have
--
ALTER POLICY p ON note USING (owner = uid());
SELECT realtime.enable('note', exclude => '{owner}');
SELECT realtime.access_policy('note', 'regress_policy_user', '{"sub": "u1"}');
SELECT realtime.visible_images('note', 'regress_policy_user', '{"sub": "u1"}', ARRAY['{"id":1}', '{"id":1,"owner":"u1"}', NULL]::json[]);
SELECT realtime.enable('note', "numeric" => 'string');
ALTER POLICY p ON note USING (level = 1);
SELECT * FROM show();

--
-- Several readers at once
--
GRANT SELECT ON banned TO PUBLIC;
ALTER POLICY p ON note USING (owner = uid() OR id IN (SELECT m.note FROM member m WHERE m.usr = uid()));
SELECT realtime.visible_images('note', 'regress_policy_user', ARRAY['{"sub": "u1"}', '{}', '{"sub": "u2"}'],
	ARRAY['{"id":1,"owner":"u1"}', '{"id":2,"owner":"u2"}', '{"id":3}']::json[]);
SELECT realtime.visible_images('note', 'regress_policy_user', '{}'::text[], ARRAY['{"id":1,"owner":"u1"}']::json[]);
SELECT realtime.visible_images('note', 'regress_policy_user', ARRAY['{}', NULL], ARRAY['{"id":1,"owner":"u1"}']::json[]);
SELECT realtime.visible_images('note', 'regress_policy_user', '{}', '{}');

--
-- Partitions and inheritance: the root's policies alone count
--
CREATE TABLE part (id integer PRIMARY KEY, owner text) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
SELECT realtime.enable('part');
ALTER TABLE part ENABLE ROW LEVEL SECURITY;
ALTER TABLE part_1 ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON part USING (owner = uid());
CREATE POLICY p ON part_1 USING (owner = 'other');
SELECT realtime.access_policy('part', 'regress_policy_user', '{"sub": "u1"}');
SELECT realtime.access_policy('part_1', 'regress_policy_user', '{"sub": "u1"}');
ALTER POLICY p ON part USING (tableoid = 'part_1'::regclass);
SELECT realtime.access_policy('part', 'regress_policy_user', '{"sub": "u1"}');

--
-- Names that want to break out; json's null and SQL's
--
CREATE TABLE odd (id integer PRIMARY KEY, "a""],[" text, "\" text, "é
" integer, doc jsonb, docs json[]);
ALTER TABLE odd ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON odd USING ("a""],[" = 'x"]' OR "\" = '\' OR "é
" = 1);
SELECT realtime.access_policy('odd', 'regress_policy_user', '{}');
SELECT realtime.access_policy('odd', 'regress_policy_user', '{}') #>> '{any,0,0,0}';
SELECT realtime.visible_images('odd', 'regress_policy_user', '{}', ARRAY[
	realtime.row_json(ROW(1, 'x"]', '', 0, NULL, NULL)::odd), realtime.row_json(ROW(1, '', '\', 0, NULL, NULL)::odd),
	realtime.row_json(ROW(1, '', '', 1, NULL, NULL)::odd), realtime.row_json(ROW(1, '', '', 0, NULL, NULL)::odd)]);
ALTER POLICY p ON odd USING (doc ->> 'owner' = 'u1' OR doc IS NULL);
SELECT realtime.visible_images('odd', 'regress_policy_user', '{}', ARRAY['{"id":1,"doc":{"owner":"u1"}}',
	'{"id":1,"doc":{"owner":"u2"}}', '{"id":1,"doc":null}']::json[]);
ALTER POLICY p ON odd USING (doc ->> 'owner' = 'u1');
SELECT realtime.visible_images('odd', 'regress_policy_user', '{}', ARRAY['{"id":1,"doc":{"owner":"u1"}}', '{"id":1,"doc":null}']::json[]);
ALTER POLICY p ON odd USING (docs[1] ->> 'owner' = 'u1');
SELECT realtime.visible_images('odd', 'regress_policy_user', '{}', ARRAY['{"docs":[{"owner":"u1"}]}', '{"docs":[]}', '{"docs":[null]}',
	'{"docs":[[1]]}']::json[]);

SET client_min_messages = warning;
DROP SCHEMA policy CASCADE;
RESET client_min_messages;
DROP ROLE regress_policy_user, regress_policy_editor, regress_policy_both, regress_policy_owner, regress_policy_bypass;
