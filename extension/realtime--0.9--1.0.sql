-- SPDX-License-Identifier: PostgreSQL
-- realtime--0.9--1.0.sql: 1.0 can take back what it was given: events, topics, grants, records; it can void
-- positions and keep the log unlogged; the view event reads a log in one pass; the doorbell is another lock.
\echo Use "ALTER EXTENSION realtime UPDATE" to load this file. \quit

CREATE FUNCTION realtime.drop_event(relation regclass, action text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	settings jsonb;
	others jsonb;
	target record;
BEGIN
	PERFORM realtime.lock_relation(relation);
	settings := realtime.settings_of(relation);
	SELECT coalesce(jsonb_agg(e ORDER BY n), '[]') INTO others
	FROM jsonb_array_elements(settings -> 'events') WITH ORDINALITY AS x(e, n)
	WHERE e ->> 'action' <> action;
	IF settings IS NULL OR jsonb_array_length(others) = coalesce(jsonb_array_length(settings -> 'events'), 0) THEN
		RETURN false;
	END IF;
	SELECT r.feature, r.entity INTO target FROM realtime.names_of(relation) r;
	PERFORM realtime.register(relation, target.feature, target.entity,
		settings || jsonb_build_object('events', others));
	RETURN true;
END
$$;
COMMENT ON FUNCTION realtime.drop_event(regclass, text) IS
'Removes an action defined by realtime.define_event(); returns whether there was one. The caller must own the table.';

CREATE FUNCTION realtime.drop_topic(feature text, entity text) RETURNS boolean
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_drop_topic';
COMMENT ON FUNCTION realtime.drop_topic(text, text) IS
'Removes a topic and its grants; returns whether there was one. The caller must own it.';

CREATE FUNCTION realtime.revoke_subscribe(feature text, entity text, role text) RETURNS boolean
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_revoke_subscribe';
CREATE FUNCTION realtime.revoke_emit(feature text, entity text, role text) RETURNS boolean
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_revoke_emit';
COMMENT ON FUNCTION realtime.revoke_subscribe(text, text, text) IS
'The reverse of realtime.grant_subscribe(); returns whether it had been granted.';
COMMENT ON FUNCTION realtime.revoke_emit(text, text, text) IS
'The reverse of realtime.grant_emit(); returns whether it had been granted.';

CREATE FUNCTION realtime.new_epoch() RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_new_epoch';
COMMENT ON FUNCTION realtime.new_epoch() IS
'Voids all positions. Call it after restoring an offline copy of the files, which PostgreSQL cannot tell from a restart.';

CREATE FUNCTION realtime.settled_position() RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_settled_position';
COMMENT ON FUNCTION realtime.settled_position() IS
'As position(), after what its snapshot sees has reached this session''s caches, too: what functions such as has_table_privilege() say after it is of no earlier. Waits for that moment of commits under way.';

CREATE FUNCTION realtime.read(since text, first xid8 DEFAULT NULL, wait integer DEFAULT NULL, OUT "position" text,
	OUT gap text, OUT waited bigint, OUT xid xid8, OUT part integer, OUT is_last boolean, OUT at bigint, OUT events json)
RETURNS SETOF record LANGUAGE c ROWS 10 AS 'MODULE_PATHNAME', 'realtime_read';
CREATE FUNCTION realtime.wake(pid integer) RETURNS boolean
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_wake';
COMMENT ON FUNCTION realtime.read(text, xid8, integer) IS
'One poll of the log. First a row with a new position; gap, as position_error() says it, if the log has not all that the position since does not cover, and then no more rows; waited, see below. Then that, in the order of (lsn, xid, part): the parts of transactions, which is the last, at in microseconds since 1970, and the events; all durable, and all that the new position covers. The transaction first comes before all others. since null: the position only. wait: waits before reading until a commit has logged events since this session''s last read, a notification came (at most every 25 ms), somebody called wake(), or so many milliseconds (0 to 10000) have passed; the first does not wait; waited is what it took in microseconds, null where nothing can wake this session. Commits of prepared transactions do not end it.';
COMMENT ON FUNCTION realtime.wake(integer) IS
'Ends the wait in realtime.read() of another session of this database, by its process id, or its next one; returns whether it watched for commits.';

CREATE FUNCTION realtime.forget(relation regclass, id text) RETURNS bigint
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_forget';
COMMENT ON FUNCTION realtime.forget(regclass, text) IS
'Removes a record''s events from the log (personal data), also those that name it in a bulk summary''s keys; id as events show it: text, or the JSON object of a composite key. Returns the number of events removed. The caller must own the table. WAL archives and backups are not touched.';

CREATE FUNCTION realtime.set_log_persistence(persistence text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	child regclass;
BEGIN
	IF persistence IS NULL OR persistence NOT IN ('logged', 'unlogged') THEN
		RAISE EXCEPTION 'invalid persistence %', quote_nullable(persistence)
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Use logged or unlogged.';
	END IF;
	FOR child IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'realtime.commit_log'::regclass
	LOOP
		EXECUTE format('ALTER TABLE %s SET %s', child, persistence);
	END LOOP;
END
$$;
REVOKE ALL ON FUNCTION realtime.set_log_persistence(text) FROM PUBLIC;
COMMENT ON FUNCTION realtime.set_log_persistence(text) IS
'logged (default): history survives a crash of the server. unlogged: no WAL for the log; a crash empties it, and every position of before is void anyway. Superuser.';

REVOKE ALL ON FUNCTION realtime.new_epoch() FROM PUBLIC;
REVOKE ALL ON FUNCTION realtime.settled_position(), realtime.read(text, xid8, integer), realtime.wake(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION realtime.settled_position(), realtime.read(text, xid8, integer), realtime.wake(integer) TO realtime_notifier;

CREATE FUNCTION realtime.log_events(events json, OUT seq integer, OUT feature text, OUT entity text,
	OUT action text, OUT id text, OUT event json)
RETURNS SETOF record LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE ROWS 2
AS 'MODULE_PATHNAME', 'realtime_log_events';
COMMENT ON FUNCTION realtime.log_events(json) IS
'The events of one row of the commit log, one per row; id is text, or an object''s text for composite keys. Used by the view realtime.event.';

CREATE OR REPLACE VIEW realtime.event AS
SELECT l.xid AS tx, l.part, e.seq, l.at, l.lsn, e.feature, e.entity, e.action, e.id, e.event
FROM realtime.commit_log l, LATERAL realtime.log_events(l.events) e
ORDER BY l.lsn, l.xid, l.part, e.seq;

DO $$
BEGIN
	FOR i IN 0..3 LOOP
		EXECUTE pg_catalog.format('ALTER INDEX realtime.commit_log_%s_xid SET (deduplicate_items = off)', i);
	END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION realtime.status() RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	problems text[];
	log record;
BEGIN
	SELECT array_agg(p ORDER BY p) INTO problems FROM (
		SELECT format('%s: trigger realtime_capture is missing', r.relation) AS p
		FROM realtime.registration r
		WHERE r.relation IS NOT NULL AND NOT EXISTS (
			SELECT FROM pg_trigger t WHERE t.tgrelid = r.relation AND t.tgname = 'realtime_capture')
		UNION ALL
		SELECT format('%s: trigger %s is disabled', t.tgrelid::regclass, t.tgname)
		FROM pg_trigger t
		WHERE t.tgname IN ('realtime_capture', 'realtime_truncate') AND t.tgenabled = 'D'
			AND t.tgfoid IN ('realtime.capture'::regproc, 'realtime.capture_truncate'::regproc)
		UNION ALL
		SELECT format('event trigger %s is disabled', evtname)
		FROM pg_event_trigger WHERE evtname LIKE 'realtime\_%' AND evtenabled = 'D'
		UNION ALL
		SELECT format('the notification queue is %s %% full', round((pg_notification_queue_usage() * 100)::numeric))
		WHERE pg_notification_queue_usage() > 0.25
		UNION ALL
		SELECT format('prepared transaction %s is %s old and keeps history from being read in time', gid,
			date_trunc('second', clock_timestamp() - prepared))
		FROM pg_prepared_xacts WHERE prepared < clock_timestamp() - interval '1 hour'
	) x;
	SELECT sum(pg_total_relation_size(i.inhrelid))::bigint AS bytes INTO log
	FROM pg_inherits i WHERE i.inhparent = 'realtime.commit_log'::regclass;
	RETURN jsonb_build_object(
		'ok', problems IS NULL,
		'version', (SELECT extversion FROM pg_extension WHERE extname = 'realtime'),
		'library', realtime.library_version(),
		'in_recovery', pg_is_in_recovery(),
		'entities', (SELECT count(*) FROM realtime.registration),
		'armed', (SELECT count(*) FROM pg_locks l WHERE l.locktype = 'relation' AND l.relation = 9999
			AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND l.mode = 'ShareLock' AND l.granted),
		'log_bytes', log.bytes,
		'max_log_size', current_setting('realtime.max_log_size'),
		'retention', current_setting('realtime.retention'),
		'oldest', (SELECT min(filled_from) FROM realtime.log_state),
		'bulk_operations', (SELECT count(*) FROM realtime.bulk_operation),
		'notify_queue_usage', pg_notification_queue_usage(),
		'problems', to_jsonb(coalesce(problems, '{}')));
END
$$;

CREATE FUNCTION realtime.access_policy(relation regclass, role name, claims text) RETURNS json
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_access_policy';
CREATE FUNCTION realtime.visible_images(relation regclass, role name, claims text, images json[])
RETURNS boolean[] LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_visible_images';
CREATE FUNCTION realtime.visible_images(relation regclass, role name, claims text[], images json[])
RETURNS boolean[] LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_visible_images_of_many';
CREATE FUNCTION realtime.row_image(row_type anyelement, image json) RETURNS anyelement
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'realtime_row_image';
REVOKE ALL ON FUNCTION realtime.access_policy(regclass, name, text),
	realtime.visible_images(regclass, name, text, json[]),
	realtime.visible_images(regclass, name, text[], json[]),
	realtime.row_image(anyelement, json) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION realtime.access_policy(regclass, name, text),
	realtime.visible_images(regclass, name, text, json[]),
	realtime.visible_images(regclass, name, text[], json[]),
	realtime.row_image(anyelement, json) TO realtime_notifier;
CREATE FUNCTION realtime.become(role name, claims text) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_become';
REVOKE ALL ON FUNCTION realtime.become(name, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION realtime.become(name, text) TO realtime_notifier;
COMMENT ON FUNCTION realtime.become(name, text) IS
'Takes on a role and claims to the end of the transaction, like SET LOCAL ROLE and set_config(''request.jwt.claims'', ..., true), but no code that a query runs (policies, functions of views) can leave the role or take on another. End the transaction with ROLLBACK: settings that such code made go with it. The session must be allowed to become the role.';
COMMENT ON FUNCTION realtime.access_policy(regclass, name, text) IS
'How row-level security of a table decides on row images for a role with these claims: mode all, none, filter (any: a disjunction of conjunctions of terms) or evaluate (claims and reads: what the policies depend on; filter: a necessary condition). The session must be allowed to become the role.';
COMMENT ON FUNCTION realtime.visible_images(regclass, name, text, json[]) IS
'Which row images the role may see with these claims, as PostgreSQL itself evaluates the policies; null where an image lacks a column that they read. Runs with the role''s rights.';
COMMENT ON FUNCTION realtime.visible_images(regclass, name, text[], json[]) IS
'The same for several claims of one role: one row of results for each.';
COMMENT ON FUNCTION realtime.row_image(anyelement, json) IS
'The row that realtime.row_json() wrote; the first argument, NULL::my_table, tells the type.';

CREATE FUNCTION realtime.ddl_access() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_ddl_access';
REVOKE ALL ON FUNCTION realtime.ddl_access() FROM PUBLIC;
COMMENT ON FUNCTION realtime.ddl_access() IS
'Event trigger: logs access_changed when DDL changes who may see rows of a registered table.';
CREATE EVENT TRIGGER realtime_ddl_access ON ddl_command_end
	WHEN TAG IN ('GRANT', 'REVOKE', 'CREATE POLICY', 'ALTER POLICY', 'ALTER TABLE', 'CREATE FUNCTION',
		'ALTER FUNCTION', 'ALTER ROUTINE', 'DROP OWNED')
	EXECUTE FUNCTION realtime.ddl_access();
COMMENT ON EVENT TRIGGER realtime_ddl_access IS
'Of realtime: logs changes of privileges, policies and row-level security.';
