-- The doorbell: what LISTEN realtime hears, when, and what it may contain.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
SET search_path = public;

-- psql says the server's PID with each notification. So query output goes through sed, which keeps
-- the payloads in a file; the file's text comes back as a variable.
\set file `mktemp`
\setenv NOTIFY_FILE :file
\set listen '\\o |sed -n \'s/^Asynchronous notification "realtime" with payload "\\(.*\\)" received from .*/payload: \\1/p;s/^Asynchronous notification "realtime" received from .*/payload: /p\' >"$NOTIFY_FILE"'
\set done '\\o \\\\ \\set heard `cat "$NOTIFY_FILE"`'

-- Payloads in order. A payload that is an event is shown without what changes from run to run.
CREATE FUNCTION notify_payloads(heard text) RETURNS TABLE (n bigint, payload text)
LANGUAGE sql AS $$
	SELECT n, substr(line, 10) FROM regexp_split_to_table(heard, E'\n') WITH ORDINALITY AS l(line, n)
	WHERE line LIKE 'payload: %'
$$;
CREATE FUNCTION notify_shown(payload text) RETURNS text
LANGUAGE sql AS $$
	SELECT regexp_replace(regexp_replace(regexp_replace(payload,
		'"timestamp":"[0-9T:.-]+Z"', '"timestamp":"..."'),
		'"tx":"[0-9]+"', '"tx":"..."'), '(x{5})x{50,}', '\1...', 'g')
$$;
-- The transaction of an event's payload.
CREATE FUNCTION notify_tx(payload text) RETURNS xid8
LANGUAGE sql AS $$
	SELECT CASE WHEN payload LIKE '{"event":%' THEN (payload::jsonb -> 'meta' ->> 'tx')::xid8 END
$$;
-- Whether a payload is, byte for byte, an event of the log.
CREATE FUNCTION notify_is_logged(payload text) RETURNS boolean
LANGUAGE sql AS $$
	SELECT EXISTS (SELECT FROM realtime.commit_log, json_array_elements(events) event
		WHERE xid = notify_tx(payload) AND event::text = payload)
$$;
SET realtime."user" = 'u1';

CREATE TABLE notify_auto (id int PRIMARY KEY, v text, w text);
CREATE TABLE notify_always (id int PRIMARY KEY, v text, w text);
CREATE TABLE notify_never (id int PRIMARY KEY, v text, w text);
GRANT SELECT ON notify_auto, notify_always, notify_never TO PUBLIC;
SELECT realtime.enable('notify_auto', 'notify', 'auto');
SELECT realtime.enable('notify_always', 'notify', 'always', notify => 'always');
SELECT realtime.enable('notify_never', 'notify', 'never', notify => 'never');
LISTEN realtime;

--
-- Nobody armed: only 'always' notifies
--
SELECT realtime.is_armed();
:listen
INSERT INTO notify_auto VALUES (1, 'a');
INSERT INTO notify_never VALUES (1, 'a');
:done
SELECT * FROM notify_payloads(:'heard');
:listen
INSERT INTO notify_always VALUES (1, 'a');
UPDATE notify_always SET v = 'b';
DELETE FROM notify_always;
:done
SELECT notify_shown(payload), notify_is_logged(payload) FROM notify_payloads(:'heard') ORDER BY n;
-- what rolls back is not notified, nor is a change that is none
:listen
BEGIN;
INSERT INTO notify_always VALUES (2, 'a');
ROLLBACK;
BEGIN;
SAVEPOINT s;
INSERT INTO notify_always VALUES (2, 'a');
ROLLBACK TO s;
INSERT INTO notify_always VALUES (3, 'a');
COMMIT;
UPDATE notify_always SET v = 'a';
:done
SELECT notify_shown(payload), notify_is_logged(payload) FROM notify_payloads(:'heard') ORDER BY n;
-- a prepared transaction notifies neither when prepared nor later
:listen
BEGIN;
INSERT INTO notify_always VALUES (4, 'a');
PREPARE TRANSACTION 'notify_prepared';
COMMIT PREPARED 'notify_prepared';
:done
SELECT * FROM notify_payloads(:'heard');
-- capture switched off, and DDL: subscribers are told to read again, whoever may read the table
:listen
SET realtime.enabled = off;
INSERT INTO notify_always VALUES (5, 'a');
RESET realtime.enabled;
TRUNCATE notify_always;
:done
SELECT notify_shown(payload) FROM notify_payloads(:'heard') ORDER BY n;

--
-- Armed, by this session itself: events are notified, 'never' rings an empty bell
--
SELECT realtime.arm();
SELECT realtime.arm(), realtime.is_armed();
SELECT (realtime.status() ->> 'armed')::int > 0 AS armed;
:listen
INSERT INTO notify_auto VALUES (2, 'a');
INSERT INTO notify_never VALUES (2, 'a');
:done
SELECT n, notify_shown(payload), notify_is_logged(payload) FROM notify_payloads(:'heard') ORDER BY n;
-- an event's own notification is a bell too: no empty one besides
:listen
BEGIN;
INSERT INTO notify_never VALUES (3, 'a');
INSERT INTO notify_auto VALUES (3, 'a');
COMMIT;
:done
SELECT n, notify_shown(payload) FROM notify_payloads(:'heard') ORDER BY n;
-- without an event there is no bell
:listen
UPDATE notify_auto SET v = v;
CREATE TABLE notify_other (id int);
INSERT INTO notify_other VALUES (1);
:done
SELECT * FROM notify_payloads(:'heard');
-- the lock is the session's, until a transaction of it aborts
SELECT realtime.disarm(), realtime.is_armed();
SELECT realtime.disarm();
BEGIN;
SELECT realtime.arm();
ROLLBACK;
SELECT realtime.is_armed();
SELECT realtime.arm();
BEGIN;
SELECT realtime.is_armed();
COMMIT;
:listen
INSERT INTO notify_auto VALUES (4, 'a');
:done
SELECT count(*) FROM notify_payloads(:'heard');
-- PREPARE does not probe, and being armed does not keep a session from it
BEGIN;
INSERT INTO notify_auto VALUES (5, 'a');
PREPARE TRANSACTION 'notify_prepared';
:listen
COMMIT PREPARED 'notify_prepared';
:done
SELECT count(*) FROM notify_payloads(:'heard');
SELECT realtime.disarm();
:listen
INSERT INTO notify_auto VALUES (6, 'a');
:done
SELECT count(*) FROM notify_payloads(:'heard');
-- what resets a session disarms it; its advisory locks are others
SELECT realtime.arm();
SELECT pg_advisory_unlock_all();
SELECT realtime.is_armed();
DISCARD ALL;
SELECT realtime.is_armed();
SET search_path = public;
SET realtime."user" = 'u1';
LISTEN realtime;

--
-- Size: whole up to 7999 bytes, else the header, truncated
--
:listen
INSERT INTO notify_always VALUES (10, repeat('x', 7500));
INSERT INTO notify_always VALUES (11, repeat('x', 9000));
INSERT INTO notify_always VALUES (12, repeat('x', 100000));
UPDATE notify_always SET v = 'small' WHERE id = 12;
UPDATE notify_always SET v = repeat('x', 2000) WHERE id = 12;
:done
SELECT notify_shown(payload), notify_is_logged(payload) FROM notify_payloads(:'heard') ORDER BY n;
-- at the border, byte for byte: umlauts have two
:listen
INSERT INTO notify_always SELECT 100, repeat('ü', 3800) || repeat('y', 8000 - 7600 - 400);
DO $$
BEGIN
	FOR i IN 1..40 LOOP
		DELETE FROM notify_always WHERE id = 100;
		COMMIT;
		INSERT INTO notify_always SELECT 100, repeat('ü', 3800) || repeat('y', 100 + i * 5);
		COMMIT;
	END LOOP;
END
$$;
:done
SELECT (payload::jsonb -> 'truncated') IS NOT NULL AS truncated,
	bool_and(octet_length(payload) <= 7999) AS fits,
	bool_and(notify_is_logged(payload) = (payload::jsonb -> 'truncated' IS NULL)) AS logged_or_truncated,
	count(*) > 5 AS several
FROM notify_payloads(:'heard') WHERE payload::jsonb ->> 'action' = 'created' GROUP BY 1 ORDER BY 1;
-- all events that fit were whole
SELECT count(*) = 0 AS none FROM notify_payloads(:'heard') p
JOIN realtime.commit_log ON xid = notify_tx(p.payload), json_array_elements(events) event
WHERE (octet_length(event::text) <= 7999) <> (p.payload = event::text);
-- an id that does not fit either, and a header that does not fit
CREATE TABLE notify_long (id text, v text);
GRANT SELECT ON notify_long TO PUBLIC;
SELECT realtime.enable('notify_long', 'notify', 'long', key => '{id}', notify => 'always');
:listen
INSERT INTO notify_long VALUES (repeat('x', 7900), '');
SELECT set_config('realtime.user', repeat('x', 9000), false) IS NULL;
INSERT INTO notify_long VALUES ('a', '');
SET realtime."user" = 'u1';
UPDATE notify_long SET id = 'b' WHERE id = 'a';
:done
SELECT n, notify_shown(payload) FROM notify_payloads(:'heard') ORDER BY n;

--
-- Rights: what not everybody may read is not in the payload
--
CREATE TABLE notify_secret (id text PRIMARY KEY, v text, status text);
SELECT realtime.enable('notify_secret', 'notify', 'secret', status_column => 'status',
	notify => 'always', bulk_threshold => 3);
SELECT realtime.define_event('notify_secret', 'approved', status => 'ok');
:listen
INSERT INTO notify_secret VALUES ('secret', 'secret', 'new');
UPDATE notify_secret SET status = 'ok';
-- the other key of a key change and the names of columns left out are data, too
UPDATE notify_secret SET id = 'secret2';
UPDATE notify_secret SET v = repeat('secret', 1000000);
DELETE FROM notify_secret;
INSERT INTO notify_secret SELECT 'secret' || g, 'secret', 'secret' FROM generate_series(1, 4) g;
SELECT realtime.emit('notify', 'secret', 'custom', '{"a":"secret"}', id => 'secret', to_user => 'secret');
:done
SELECT notify_shown(payload) FROM notify_payloads(:'heard') ORDER BY n;
-- SELECT for PUBLIC decides at once, in sessions that have written already
:listen
GRANT SELECT ON notify_secret TO PUBLIC;
DELETE FROM notify_secret WHERE id = 'secret1';
:done
SELECT payload::jsonb ->> 'id' AS id, notify_is_logged(payload) FROM notify_payloads(:'heard')
WHERE payload NOT LIKE '%access_changed%';
-- not of some columns only
:listen
REVOKE SELECT ON notify_secret FROM PUBLIC;
GRANT SELECT (id) ON notify_secret TO PUBLIC;
DELETE FROM notify_secret WHERE id = 'secret2';
:done
SELECT payload::jsonb ->> 'id' AS id, notify_is_logged(payload) FROM notify_payloads(:'heard')
WHERE payload NOT LIKE '%access_changed%';
-- not when row-level security is on
:listen
GRANT SELECT ON notify_secret TO PUBLIC;
ALTER TABLE notify_secret ENABLE ROW LEVEL SECURITY;
DELETE FROM notify_secret WHERE id = 'secret3';
ALTER TABLE notify_secret DISABLE ROW LEVEL SECURITY;
:done
SELECT payload::jsonb ->> 'id' AS id, notify_is_logged(payload) FROM notify_payloads(:'heard')
WHERE payload NOT LIKE '%access_changed%';
-- not when the schema is closed
CREATE SCHEMA notify_schema;
:listen
ALTER TABLE notify_secret SET SCHEMA notify_schema;
DELETE FROM notify_schema.notify_secret WHERE id = 'secret4';
GRANT USAGE ON SCHEMA notify_schema TO PUBLIC;
INSERT INTO notify_schema.notify_secret VALUES ('5', '', '');
REVOKE USAGE ON SCHEMA notify_schema FROM PUBLIC;
INSERT INTO notify_schema.notify_secret VALUES ('6', '', '');
:done
SELECT payload::jsonb ->> 'id' AS id, notify_is_logged(payload) FROM notify_payloads(:'heard')
WHERE payload NOT LIKE '%access_changed%' ORDER BY n;
-- the owner says otherwise, both ways
SELECT realtime.enable('notify_schema.notify_secret', 'notify', 'secret', notify => 'always', notify_data => true);
:listen
INSERT INTO notify_schema.notify_secret VALUES ('7', '', '');
:done
SELECT payload::jsonb ->> 'id' AS id, notify_is_logged(payload) FROM notify_payloads(:'heard');
SELECT realtime.enable('notify_always', 'notify', 'always', notify => 'always', notify_data => false);
:listen
INSERT INTO notify_always VALUES (200, 'secret');
:done
SELECT notify_shown(payload) FROM notify_payloads(:'heard');

--
-- Topics: header only unless the owner says otherwise; never for one user only
--
SELECT realtime.register_topic('notify', 'topic', notify => 'always');
SELECT realtime.register_topic('notify', 'open', notify => 'always', notify_data => true);
:listen
SELECT realtime.emit('notify', 'topic', 'said', '{"a":1}', id => '1');
SELECT realtime.emit('notify', 'open', 'said', '{"a":1}', id => '1', priority => 'high');
SELECT realtime.emit('notify', 'open', 'said', '{"a":1}', id => '1', to_user => 'u2');
:done
SELECT notify_shown(payload) FROM notify_payloads(:'heard') ORDER BY n;

--
-- Number: one hundred a transaction, then how many more
--
SELECT realtime.enable('notify_always', 'notify', 'always', notify => 'always');
:listen
INSERT INTO notify_always SELECT g, '' FROM generate_series(1001, 1100) g;
INSERT INTO notify_always SELECT g, '' FROM generate_series(2001, 2150) g;
:done
SELECT count(*), count(*) FILTER (WHERE notify_is_logged(payload)) AS logged,
	count(*) FILTER (WHERE payload LIKE '{"more":%') AS more
FROM notify_payloads(:'heard');
SELECT n, payload FROM notify_payloads(:'heard') WHERE payload LIKE '{"more":%';
-- in order
SELECT bool_and((payload::jsonb ->> 'id')::int = CASE WHEN n <= 100 THEN 1000 + n ELSE 1900 + n END) AS in_order
FROM notify_payloads(:'heard') WHERE payload NOT LIKE '{"more":%';
-- 'never' does not count among them
SELECT realtime.arm();
:listen
BEGIN;
INSERT INTO notify_never SELECT g, '' FROM generate_series(1001, 1200) g;
INSERT INTO notify_auto SELECT g, '' FROM generate_series(1001, 1002) g;
COMMIT;
INSERT INTO notify_never SELECT g, '' FROM generate_series(2001, 2200) g;
:done
SELECT n, notify_shown(payload) FROM notify_payloads(:'heard') ORDER BY n;
SELECT realtime.disarm();

UNLISTEN realtime;
\! rm -f "$NOTIFY_FILE"
SELECT realtime.drop_topic('notify', 'topic'), realtime.drop_topic('notify', 'open');
DROP TABLE notify_auto, notify_always, notify_never, notify_long, notify_other;
DROP SCHEMA notify_schema CASCADE;
DROP FUNCTION notify_payloads(text), notify_shown(text), notify_is_logged(text), notify_tx(text);
-- a session that ends armed leaves nothing behind
SELECT realtime.arm();
\c
DO $$
BEGIN
	FOR i IN 1..200 LOOP
		EXIT WHEN (realtime.status() ->> 'armed')::int = 0;
		PERFORM pg_sleep(0.05);
	END LOOP;
END
$$;
SELECT realtime.status() -> 'armed' AS armed;
