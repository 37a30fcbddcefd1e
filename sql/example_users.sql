-- The users example: actions of a status, import by COPY with rows that fail, bulk status.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
\set VERBOSITY terse
-- Since 15 pg_regress says where the tree is; before, it runs in it.
\set top `echo "${PG_ABS_SRCDIR:-.}"`
\set ECHO none
\o /dev/null
\i :top/examples/users/schema.sql
\i :top/examples/users/realtime.sql
\o
\set ECHO all

-- What was logged since the last call, in order; progress, whose number depends on time, left out.
CREATE SCHEMA example_users;
SET search_path = example_users;
CREATE TABLE last (tx xid8 NOT NULL);
INSERT INTO last VALUES (pg_current_xact_id());
CREATE FUNCTION log() RETURNS SETOF realtime.event LANGUAGE sql AS
	$$SELECT * FROM realtime.event WHERE feature = 'users' AND tx > (SELECT tx FROM last)$$;
CREATE FUNCTION events() RETURNS TABLE (action text, id text, data json, old json)
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT e.action, CASE WHEN e.action NOT LIKE 'bulk%' THEN e.id END,
			e.event -> 'data', e.event -> 'old' FROM log() e
		WHERE e.action <> 'bulk_progress';
	UPDATE last SET tx = pg_current_xact_id();
END
$$;
-- Waits until an action was logged since the last call of events().
CREATE FUNCTION wait_for(wanted text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '30 s';
BEGIN
	WHILE NOT EXISTS (SELECT FROM example_users.log() WHERE action = wanted) LOOP
		IF clock_timestamp() > deadline THEN
			RAISE 'no % in time', wanted;
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
END
$$;

SELECT entity, relation, status_column, exclude, actions FROM realtime.entities
WHERE feature = 'users';

-- An import and a few changes. The demo shows ids that differ from run to run.
\set ECHO none
\o /dev/null
\i :top/examples/users/demo.sql
\o
\set ECHO all
SELECT action, id, data ->> 'email' AS email, data ->> 'successful' AS successful,
	data ->> 'failed' AS failed, data -> 'errors' AS errors FROM events();

-- Every status has its action, once per real change, besides updated and status_changed.
UPDATE users.users SET status = 'active' WHERE id = 2;
UPDATE users.users SET status = 'active' WHERE id = 2;
UPDATE users.users SET status = 'suspended', suspended_because = 'spam' WHERE id = 2;
UPDATE users.users SET status = 'active', suspended_because = NULL WHERE id = 2;
SELECT action, id, data ->> 'status' AS status, data ->> 'old_status' AS old_status,
	data ->> 'new_status' AS new_status, old FROM events();
-- A new user is created, not activated.
INSERT INTO users.users (email, name, password_hash) VALUES ('eve@example.com', 'Eve', '$2b$10$x');
SELECT action, data FROM events();
-- No reason, no suspension, no event.
UPDATE users.users SET status = 'suspended' WHERE id = 2;
UPDATE users.users SET status = 'gone' WHERE id = 2;
SELECT * FROM events();
-- What is kept from events is in none and causes none.
UPDATE users.users SET last_seen_at = now(), password_hash = 'secret';
SELECT * FROM events();
SELECT count(*) FROM realtime.event
WHERE feature = 'users' AND event::text ~ 'password_hash|last_seen_at';

-- An import of which half fails. The last line waits until the progress is seen.
TRUNCATE users.staged RESTART IDENTITY;
COPY users.staged (email, name, role) FROM STDIN;
fred@example.com	Fred	editor
ann@example.com	Another Ann	\N
gina@example.com	\N	\N
henk@example.com	Henk	king
ida@example.com	Ida	\N
joe at example.com	Joe	\N
kim@example.com	Kim	admin
\.
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM example_users.wait_for('bulk_progress');
	RETURN NEW;
END
$$;
CREATE TRIGGER hold BEFORE INSERT ON users.users FOR EACH ROW
	WHEN (NEW.name = 'Kim') EXECUTE FUNCTION hold();
SELECT users.import_staged() AS operation \gset
DROP TRIGGER hold ON users.users;
SELECT count(*) > 0 AS is_seen, bool_and(id = :'operation') AS is_named,
	bool_and(event #>> '{data,percentage}' = round(100 * ((event #>> '{data,completed}')::int
		+ (event #>> '{data,failed}')::int) / 7.0)::text) AS is_rounded
FROM log() WHERE action = 'bulk_progress';
SELECT action, data ->> 'email' AS email, data ->> 'total' AS total,
	data ->> 'successful' AS successful, data ->> 'failed' AS failed,
	jsonb_pretty((data -> 'errors')::jsonb) AS errors FROM events();
-- What failed stays, to be mended and imported again.
SELECT line, email, name, role, error FROM users.staged ORDER BY line;
DELETE FROM users.staged WHERE name = 'Another Ann';
UPDATE users.staged SET name = coalesce(name, 'Gina'), role = 'member',
	email = replace(email, ' at ', '@');
SELECT users.import_staged() IS NOT NULL AS is_imported;
SELECT action, data ->> 'email' AS email, data ->> 'successful' AS successful,
	data ->> 'failed' AS failed FROM events();

-- An import that is rolled back has ended, and made nobody.
INSERT INTO users.staged (email, name) VALUES ('liz@example.com', 'Liz');
BEGIN;
SELECT users.import_staged() IS NOT NULL AS is_imported;
ROLLBACK;
SELECT wait_for('bulk_failed');
SELECT action, data ->> 'reason' AS reason FROM events();

-- Status of many: all or none; one is not there.
SELECT users.set_status('{1,2,4711}', 'inactive') IS NOT NULL AS is_set;
SELECT action, id, data ->> 'successful' AS successful, data ->> 'failed' AS failed FROM events();
SELECT users.set_status('{1,2}', 'suspended');
SELECT wait_for('bulk_failed');
SELECT action, id, data ->> 'reason' AS reason FROM events();

-- An import of many in one transaction may be told by one summary.
SELECT realtime.enable('users.users', 'users', 'user', status_column => 'status',
	exclude => '{password_hash,last_seen_at}', bulk_threshold => 2);
INSERT INTO users.staged (email, name) SELECT format('u%s@example.com', n), 'U'
FROM generate_series(1, 3) n;
SELECT users.import_staged() IS NOT NULL AS is_imported;
SELECT action, data -> 'count' AS count, json_array_length(data -> 'keys') AS keys,
	data ->> 'successful' AS successful FROM events();

SET client_min_messages = warning;
DROP SCHEMA example_users, users CASCADE;
RESET client_min_messages;
SELECT count(*) FROM realtime.entities WHERE feature = 'users';
