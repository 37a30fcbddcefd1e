-- Custom events: realtime.emit() with tables and topics.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
SET search_path = public;
\set SHOW_CONTEXT never

CREATE TABLE emit_log (last xid8);
INSERT INTO emit_log VALUES (pg_current_xact_id());
-- Events since the last call, without time and transaction.
CREATE FUNCTION emit_events() RETURNS TABLE (event jsonb)
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT e.event::jsonb #- '{meta,timestamp}' #- '{meta,tx}' FROM realtime.event e
		WHERE e.feature LIKE 'emit%' AND e.tx > (SELECT last FROM emit_log);
	UPDATE emit_log SET last = pg_current_xact_id();
END
$$;
SET realtime."user" = 'u1';
SET realtime.session = 's1';

--
-- Wrong calls fail at the call
--
CREATE TABLE emit_t (id int PRIMARY KEY, v text);
SELECT realtime.emit('emit', 't', 'said');
SELECT realtime.enable('emit_t', 'emit', 't', priority => 'high');
SELECT realtime.register_topic('emit', 'topic');
SELECT realtime.emit(NULL, 't', 'said');
SELECT realtime.emit('emit', NULL, 'said');
SELECT realtime.emit('emit', 't', NULL);
SELECT realtime.emit('emit', 't', '');
SELECT realtime.emit('emit', 't', 'a b');
SELECT realtime.emit('emit', 't', '*');
SELECT realtime.emit('emit', 't', 'said', priority => 'urgent');
SELECT realtime.emit('emit', 'T', 'said');
SELECT realtime.emit('*', '*', 'said');
-- reserved: whatever the database says of itself
DO $$
DECLARE
	reserved text;
BEGIN
	FOREACH reserved IN ARRAY '{created,updated,deleted,truncated,status_changed,bulk_started,bulk_progress,
		bulk_completed,bulk_failed,bulk_created,bulk_updated,bulk_deleted,resync,gap,entered,left}'::text[]
	LOOP
		BEGIN
			PERFORM realtime.emit('emit', 't', reserved);
			RAISE WARNING '% was emitted', reserved;
		EXCEPTION WHEN reserved_name THEN
			NULL;
		END;
	END LOOP;
END
$$;
SELECT realtime.emit('emit', 't', 'deleted');
-- read-only
BEGIN READ ONLY;
SELECT realtime.emit('emit', 't', 'said');
ROLLBACK;
SET default_transaction_read_only = on;
SELECT realtime.emit('emit', 't', 'said');
RESET default_transaction_read_only;
SELECT * FROM emit_events();

--
-- What is emitted
--
SELECT realtime.emit('emit', 'topic', 'said');
SELECT realtime.emit('emit', 'topic', 'said', NULL, NULL, NULL, NULL);
SELECT realtime.emit('emit', 'topic', 'said', '{"b":[1,2.50,null,"ü\n\"\\"],"a":{"c":true}}', 'id "1"', 'critical', 'u2');
SELECT realtime.emit('emit', 'topic', 'said', 'null');
SELECT realtime.emit('emit', 'topic', 'said', '"text"', '');
-- the priority is the registration's unless given
SELECT realtime.emit('emit', 't', 'said', '1', '17');
SELECT realtime.emit('emit', 't', 'said.Loud-1_x', '1', '17', 'low');
SELECT * FROM emit_events();
-- in the order of the transaction, among the changes of rows
BEGIN;
SELECT realtime.emit('emit', 'topic', 'first');
INSERT INTO emit_t VALUES (1, 'a');
SELECT realtime.emit('emit', 't', 'second');
UPDATE emit_t SET v = 'b';
SELECT realtime.emit('emit', 'topic', 'third');
COMMIT;
SELECT event ->> 'action', event -> 'meta' ->> 'seq' AS seq, event -> 'meta' ->> 'priority' AS priority FROM emit_events();
-- it exists if and only if its transaction commits
BEGIN;
SELECT realtime.emit('emit', 'topic', 'not');
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT realtime.emit('emit', 'topic', 'not');
ROLLBACK TO s;
SELECT realtime.emit('emit', 'topic', 'yes');
COMMIT;
SELECT event ->> 'event' AS event FROM emit_events();
DO $$
BEGIN
	PERFORM realtime.emit('emit', 'topic', 'before');
	BEGIN
		PERFORM realtime.emit('emit', 'topic', 'not');
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		PERFORM realtime.emit('emit', 'topic', 'handler');
	END;
END
$$;
SELECT event ->> 'event' AS event FROM emit_events();
-- in triggers and deferred triggers
CREATE FUNCTION emit_trigger() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN PERFORM realtime.emit('emit', 'topic', TG_NAME, to_jsonb(NEW)); RETURN NEW; END$$;
CREATE TRIGGER before BEFORE INSERT ON emit_t FOR EACH ROW EXECUTE FUNCTION emit_trigger();
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON emit_t DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION emit_trigger();
BEGIN;
INSERT INTO emit_t VALUES (2, 'x');
SELECT realtime.emit('emit', 'topic', 'last');
COMMIT;
SELECT event ->> 'event' AS event, event -> 'data' AS data FROM emit_events();
DROP TRIGGER before ON emit_t;
DROP TRIGGER deferred ON emit_t;
-- of many rows, and large
SELECT count(realtime.emit('emit', 'topic', 'many', to_jsonb(g))) FROM generate_series(1, 3000) g;
SELECT realtime.emit('emit', 'topic', 'large', jsonb_build_object('v', repeat('x', 3000000)));
SELECT event ->> 'action' AS action, count(*), count(DISTINCT event -> 'meta' -> 'seq') AS seqs,
	max(length(event ->> 'data')) AS length FROM emit_events() GROUP BY 1 ORDER BY 1;
-- not in a parallel worker
SELECT proparallel FROM pg_proc WHERE oid = 'realtime.emit'::regproc;
-- a session that captures nothing emits all the same
SET realtime.enabled = off;
SELECT realtime.emit('emit', 'topic', 'enabled_off');
RESET realtime.enabled;
SELECT event ->> 'action' AS action FROM emit_events();

--
-- Topics
--
SELECT realtime.register_topic(NULL, 'x');
SELECT realtime.register_topic('emit', NULL);
SELECT realtime.register_topic('emit', '*');
SELECT realtime.register_topic('emit', 'x', priority => 'urgent');
SELECT realtime.register_topic('emit', 'x', priority => NULL);
SELECT realtime.register_topic('emit', 'x', notify => 'sometimes');
SELECT realtime.register_topic('emit', 't');
-- a second call changes the settings
SELECT realtime.register_topic('emit', 'topic', priority => 'low', notify => 'never', notify_data => true);
SELECT feature, entity, relation, key, priority, notify, notify_data, actions FROM realtime.entities
WHERE feature = 'emit' ORDER BY entity;
SELECT realtime.emit('emit', 'topic', 'said');
SELECT event -> 'meta' ->> 'priority' AS priority FROM emit_events();
-- dropped in the same transaction: what was emitted before is kept
BEGIN;
SELECT realtime.emit('emit', 'topic', 'last_words');
SELECT realtime.drop_topic('emit', 'topic');
COMMIT;
SELECT realtime.drop_topic('emit', 'topic'), realtime.drop_topic(NULL, 'topic');
SELECT realtime.emit('emit', 'topic', 'said');
SELECT realtime.drop_topic('emit', 't');
SELECT event ->> 'action' AS action FROM emit_events();
BEGIN READ ONLY;
SELECT realtime.register_topic('emit', 'topic');
ROLLBACK;
-- a topic may become a table's name when it is gone
SELECT realtime.enable('emit_t', 'emit', 'topic');

--
-- Grants
--
CREATE ROLE regress_realtime_emit;
SELECT realtime.register_topic('emit', 't');
SELECT realtime.grant_subscribe('emit', 't', 'regress_realtime_emit');
SELECT realtime.grant_subscribe('emit', 't', 'regress_realtime_emit');
SELECT realtime.grant_emit('emit', 't', 'public');
SELECT realtime.grant_emit('emit', 't', 'regress_realtime_nobody');
SELECT realtime.grant_emit('emit', 'nothing', 'public');
SELECT feature, entity, role, privilege FROM realtime.topic_grant WHERE feature = 'emit' ORDER BY privilege;
-- settings of a topic change, grants stay
SELECT realtime.register_topic('emit', 't', priority => 'high');
SELECT count(*) FROM realtime.topic_grant WHERE feature = 'emit';
SELECT realtime.revoke_subscribe('emit', 't', 'regress_realtime_emit'),
	realtime.revoke_subscribe('emit', 't', 'regress_realtime_emit'),
	realtime.revoke_emit('emit', 't', 'regress_realtime_emit'), realtime.revoke_emit('emit', 't', 'PUBLIC');
SELECT realtime.grant_emit('emit', 't', 'regress_realtime_emit');
SELECT realtime.drop_topic('emit', 't');
SELECT count(*) FROM realtime.topic_grant WHERE feature = 'emit';

DROP FUNCTION emit_events(), emit_trigger();
DROP TABLE emit_t, emit_log;
DROP ROLE regress_realtime_emit;
