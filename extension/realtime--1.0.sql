-- SPDX-License-Identifier: PostgreSQL
-- realtime--1.0.sql: the SQL interface. Mechanisms are in C (extension/*.c), settings in realtime.registration.
\echo Use "CREATE EXTENSION realtime" to load this file. \quit

-- Whoever owns the schema could add functions to it that calls of ours would find.
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
		WHERE n.nspname = 'realtime' AND NOT r.rolsuper) THEN
		RAISE EXCEPTION 'schema realtime exists and is not owned by a superuser'
			USING ERRCODE = 'insufficient_privilege', HINT = 'Drop or rename it, or ALTER SCHEMA ... OWNER TO.';
	END IF;
END
$$;

-- The daemon logs in as a member of this role; it is global to the cluster, so it may exist already.
DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'realtime_notifier') THEN
		CREATE ROLE realtime_notifier NOLOGIN;
	END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
	NULL;						-- created by another database at this moment
END
$$;

GRANT USAGE ON SCHEMA realtime TO PUBLIC;

------------------------------------------------------------------------------------------------
-- Trigger and event trigger functions
------------------------------------------------------------------------------------------------

CREATE FUNCTION realtime.capture() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_capture';
COMMENT ON FUNCTION realtime.capture() IS
'AFTER ROW trigger that keeps one row change until the transaction commits; created by realtime.enable(). Executable by PUBLIC because PostgreSQL checks the creator of a partition; it does nothing on a table that is not registered.';

CREATE FUNCTION realtime.capture_truncate() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_capture_truncate';
COMMENT ON FUNCTION realtime.capture_truncate() IS
'AFTER TRUNCATE trigger: emits truncated for a registered table, resync when only a part of it was truncated.';

CREATE FUNCTION realtime.ignore_replicated() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_ignore_replicated';
REVOKE ALL ON FUNCTION realtime.ignore_replicated() FROM PUBLIC;
COMMENT ON FUNCTION realtime.ignore_replicated() IS
'BEFORE ROW trigger of this extension''s own tables, fired in replicas only: the log and the settings of another server are not taken over by logical replication.';

CREATE FUNCTION realtime.ddl_start() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_ddl_start';
CREATE FUNCTION realtime.ddl_end() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_ddl_end';
CREATE FUNCTION realtime.ddl_drop() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_ddl_drop';
REVOKE ALL ON FUNCTION realtime.ddl_start(), realtime.ddl_end(), realtime.ddl_drop() FROM PUBLIC;
COMMENT ON FUNCTION realtime.ddl_start() IS
'Event trigger: remembers which relations belong to registered tables before a DROP; logs the resync marker of DETACH PARTITION CONCURRENTLY with the first of its two transactions.';
COMMENT ON FUNCTION realtime.ddl_end() IS
'Event trigger: logs a resync marker when DDL changes a registered table past its row triggers, gives new partitions and children their triggers, refuses DDL that would leave a registration invalid.';
COMMENT ON FUNCTION realtime.ddl_drop() IS
'Event trigger: unregisters dropped tables and logs a resync marker when a part of a registered table was dropped.';

------------------------------------------------------------------------------------------------
-- Settings
------------------------------------------------------------------------------------------------

CREATE TABLE realtime.registration (
	feature text NOT NULL,
	entity text NOT NULL,
	relation regclass UNIQUE,
	owner regrole NOT NULL,
	settings jsonb NOT NULL DEFAULT '{}',
	PRIMARY KEY (feature, entity)
);
COMMENT ON TABLE realtime.registration IS
'One row per registered table (relation) or topic (no relation), named by the pair (feature, entity). Written by realtime.enable() and its kin only.';
COMMENT ON COLUMN realtime.registration.settings IS
'key, status_column, columns, exclude, priority, notify, notify_data, bulk_threshold, coalesce, numeric, affects, events (defined actions)';

CREATE TABLE realtime.topic_grant (
	feature text NOT NULL,
	entity text NOT NULL,
	role regrole NOT NULL,
	privilege text NOT NULL CHECK (privilege IN ('subscribe', 'emit')),
	PRIMARY KEY (feature, entity, role, privilege)
);
COMMENT ON TABLE realtime.topic_grant IS
'Who may subscribe to a topic and who may emit; role 0 (shown as -) is PUBLIC. Written by realtime.grant_subscribe() and realtime.grant_emit() and their revoke forms.';

CREATE TABLE realtime.bulk_operation (
	id uuid PRIMARY KEY,
	feature text NOT NULL,
	entity text NOT NULL,
	operation text NOT NULL,
	total bigint,
	pid integer NOT NULL,
	backend_start timestamptz NOT NULL,
	started_at timestamptz NOT NULL,
	user_id text,
	session_id text
);
COMMENT ON TABLE realtime.bulk_operation IS
'Bulk operations under way; the row goes with the event that ends the operation, so each ends exactly once.';

SELECT pg_catalog.pg_extension_config_dump('realtime.registration', '');
SELECT pg_catalog.pg_extension_config_dump('realtime.topic_grant', '');

------------------------------------------------------------------------------------------------
-- The commit log
------------------------------------------------------------------------------------------------

-- The readers' name. Rows are in the children, filled in turn and emptied whole (prune).
CREATE TABLE realtime.commit_log (
	xid xid8 NOT NULL,
	part integer NOT NULL,
	at timestamptz NOT NULL,
	lsn pg_lsn NOT NULL,
	events json NOT NULL
);
ALTER TABLE realtime.commit_log ALTER COLUMN events SET STORAGE EXTERNAL;
COMMENT ON TABLE realtime.commit_log IS
'One row per transaction and part of about 256 kB: its events in order. Order between transactions is (lsn, xid). Read it with the predicate of a position: xid >= xmax OR xid = ANY (xip).';
COMMENT ON COLUMN realtime.commit_log.xid IS 'the writing top-level transaction';
COMMENT ON COLUMN realtime.commit_log.part IS 'numbers the parts of one transaction from 0';
COMMENT ON COLUMN realtime.commit_log.at IS 'clock time at pre-commit; for people and retention, never for order';
COMMENT ON COLUMN realtime.commit_log.lsn IS 'WAL insert position at pre-commit, the same in all parts';
COMMENT ON COLUMN realtime.commit_log.events IS 'array of complete events';

DO $$
DECLARE
	child text;
BEGIN
	FOR i IN 0..3 LOOP
		child := pg_catalog.format('realtime.commit_log_%s', i);
		EXECUTE pg_catalog.format(
			'CREATE TABLE %s () INHERITS (realtime.commit_log)'
			' WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off)', child);
		EXECUTE pg_catalog.format('ALTER TABLE %s ALTER COLUMN events SET STORAGE EXTERNAL', child);
		-- keys do not repeat: looking for duplicates before a split is for nothing
		EXECUTE pg_catalog.format('CREATE INDEX commit_log_%s_xid ON %s (xid)'
			' WITH (deduplicate_items = off)', i, child);
		EXECUTE pg_catalog.format('COMMENT ON TABLE %s IS %L', child,
			'A share of realtime.commit_log, emptied whole when all of it is old.');
	END LOOP;
END
$$;

CREATE UNLOGGED TABLE realtime.log_state (
	child integer PRIMARY KEY,
	is_current boolean NOT NULL,
	filled_from timestamptz NOT NULL,
	filled_to timestamptz
);
COMMENT ON TABLE realtime.log_state IS
'Which child of the commit log is being filled and when the others were. Unlogged: after a crash every position is void anyway, and prune starts anew.';

CREATE UNLOGGED TABLE realtime.log_floor (
	id integer PRIMARY KEY CHECK (id = 0),
	dropped xid8 NOT NULL,
	snapshot pg_snapshot NOT NULL
);
COMMENT ON TABLE realtime.log_floor IS
'The highest transaction whose history prune has dropped, and a snapshot taken then: see realtime.position_error().';

CREATE UNLOGGED TABLE realtime.epoch (
	id integer PRIMARY KEY CHECK (id = 0),
	value text NOT NULL
);
COMMENT ON TABLE realtime.epoch IS
'A random value that every crash recovery and promotion empties, being unlogged: transaction ids of before may be used again after.';

DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['registration', 'topic_grant', 'bulk_operation', 'commit_log',
		'commit_log_0', 'commit_log_1', 'commit_log_2', 'commit_log_3'] LOOP
		EXECUTE pg_catalog.format('CREATE TRIGGER ignore_replicated BEFORE INSERT OR UPDATE OR DELETE'
			' ON realtime.%I FOR EACH ROW EXECUTE FUNCTION realtime.ignore_replicated()', t);
		EXECUTE pg_catalog.format('ALTER TABLE realtime.%I ENABLE REPLICA TRIGGER ignore_replicated', t);
		EXECUTE pg_catalog.format('ALTER TABLE realtime.%I REPLICA IDENTITY NOTHING', t);
	END LOOP;
END
$$;

------------------------------------------------------------------------------------------------
-- Registering
------------------------------------------------------------------------------------------------

CREATE FUNCTION realtime.register(relation regclass, feature text, entity text, settings jsonb)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_register';
COMMENT ON FUNCTION realtime.register(regclass, text, text, jsonb) IS
'Writes one registration; the caller must own the table. Used by realtime.enable() and realtime.define_event(), which check the settings first.';

CREATE FUNCTION realtime.unregister(relation regclass) RETURNS boolean
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_unregister';
COMMENT ON FUNCTION realtime.unregister(regclass) IS
'Removes a table''s registration; the caller must own the table. Used by realtime.disable().';

CREATE FUNCTION realtime.check_condition(relation regclass, condition text) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_check_condition';
COMMENT ON FUNCTION realtime.check_condition(regclass, text) IS
'Raises an error unless the text is a boolean expression over OLD and NEW rows of the table.';

CREATE FUNCTION realtime.add_triggers(relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	member record;
BEGIN
	FOR member IN
		WITH RECURSIVE tree(oid, depth) AS (
			SELECT relation::oid, 0
			UNION
			SELECT i.inhrelid, tree.depth + 1 FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid)
		SELECT c.oid, c.relkind, c.relispartition
		FROM tree JOIN pg_class c USING (oid)
		WHERE c.relpersistence <> 't'
		GROUP BY c.oid
		ORDER BY min(tree.depth), c.oid	-- parents first: partitions inherit the row trigger
	LOOP
		IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = member.oid AND tgname = 'realtime_capture')
		THEN
			EXECUTE format('CREATE TRIGGER realtime_capture AFTER INSERT OR UPDATE OR DELETE ON %s'
				' FOR EACH ROW EXECUTE FUNCTION realtime.capture()', member.oid::regclass);
			EXECUTE format('ALTER TRIGGER realtime_capture ON %s DEPENDS ON EXTENSION realtime',
				member.oid::regclass);
		END IF;
		IF member.relkind <> 'f' AND NOT EXISTS (
			SELECT FROM pg_trigger WHERE tgrelid = member.oid AND tgname = 'realtime_truncate')
		THEN
			EXECUTE format('CREATE TRIGGER realtime_truncate AFTER TRUNCATE ON %s'
				' FOR EACH STATEMENT EXECUTE FUNCTION realtime.capture_truncate()', member.oid::regclass);
			EXECUTE format('ALTER TRIGGER realtime_truncate ON %s DEPENDS ON EXTENSION realtime',
				member.oid::regclass);
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION realtime.add_triggers(regclass) IS
'Gives a table, its partitions and its inheritance children the triggers they lack, with the caller''s rights.';

CREATE FUNCTION realtime.check_columns(relation regclass, what text, names text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	missing text;
BEGIN
	SELECT n INTO missing FROM unnest(names) n
	WHERE n IS NULL OR NOT EXISTS (
		SELECT FROM pg_attribute a
		WHERE a.attrelid = relation AND a.attname = n AND a.attnum > 0 AND NOT a.attisdropped)
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'column "%" of relation % does not exist', missing, relation
			USING ERRCODE = 'undefined_column',
				HINT = format('Name existing columns in the parameter %s.', what);
	END IF;
END
$$;
COMMENT ON FUNCTION realtime.check_columns(regclass, text, text[]) IS
'Raises undefined_column unless every name is a column of the table.';

CREATE FUNCTION realtime.enable(
	relation regclass,
	feature text DEFAULT NULL,
	entity text DEFAULT NULL,
	key text[] DEFAULT NULL,
	status_column text DEFAULT NULL,
	columns text[] DEFAULT NULL,
	exclude text[] DEFAULT NULL,
	priority text DEFAULT 'normal',
	notify text DEFAULT 'auto',
	bulk_threshold integer DEFAULT 10000,
	"coalesce" boolean DEFAULT false,
	"numeric" text DEFAULT 'auto',
	notify_data boolean DEFAULT NULL,
	affects regclass[] DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	class pg_class;
	old_settings jsonb;
BEGIN
	IF relation IS NULL THEN
		RAISE EXCEPTION 'relation must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	SELECT c.* INTO class FROM pg_class c WHERE c.oid = relation;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'relation with OID % does not exist', relation::oid USING ERRCODE = 'undefined_table';
	END IF;
	IF class.relkind NOT IN ('r', 'p') THEN
		RAISE EXCEPTION '% is not a table', relation
			USING ERRCODE = 'wrong_object_type',
				DETAIL = CASE class.relkind
					WHEN 'v' THEN 'It is a view.' WHEN 'm' THEN 'It is a materialized view.'
					WHEN 'f' THEN 'It is a foreign table: its rows change on another server.'
					ELSE 'Only ordinary and partitioned tables have events.' END,
				HINT = 'Enable the tables whose rows change.';
	END IF;
	IF class.relpersistence = 't' THEN
		RAISE EXCEPTION '% is a temporary table', relation
			USING ERRCODE = 'wrong_object_type',
				DETAIL = 'Other sessions cannot see its rows, so nobody could subscribe to it.',
				HINT = 'Use a permanent or unlogged table, or realtime.emit() with a topic.';
	END IF;
	IF class.relnamespace IN ('pg_catalog'::regnamespace, 'realtime'::regnamespace)
		OR class.oid < 16384 THEN
		RAISE EXCEPTION '% is a system table', relation
			USING ERRCODE = 'wrong_object_type', HINT = 'Enable tables of your own.';
	END IF;
	IF EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = relation) AND class.relispartition THEN
		RAISE EXCEPTION '% is a partition', relation
			USING ERRCODE = 'wrong_object_type',
				DETAIL = 'Events name the partitioned table.',
				HINT = format('Enable %s.', (SELECT pg_partition_root(relation)));
	END IF;
	IF key IS NULL THEN
		SELECT array_agg(a.attname::text ORDER BY k.n) INTO key
		FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n), pg_attribute a
		WHERE i.indrelid = relation AND i.indisprimary AND k.n <= i.indnkeyatts
			AND a.attrelid = relation AND a.attnum = k.attnum;
		IF key IS NULL THEN
			RAISE EXCEPTION '% has no primary key', relation
				USING ERRCODE = 'invalid_table_definition',
					DETAIL = 'Events identify rows by their key.',
					HINT = 'Add a primary key, or name unique columns: key => ''{a,b}''.';
		END IF;
	END IF;
	IF cardinality(key) = 0 THEN
		RAISE EXCEPTION 'key must name at least one column' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	PERFORM realtime.check_columns(relation, 'key', key);
	PERFORM realtime.check_columns(relation, 'columns', columns);
	PERFORM realtime.check_columns(relation, 'exclude', exclude);
	PERFORM realtime.check_columns(relation, 'status_column', ARRAY[status_column])
	WHERE status_column IS NOT NULL;
	IF key && exclude THEN
		RAISE EXCEPTION 'key columns cannot be excluded'
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Clients find a row by its key: name another key or exclude less.';
	END IF;
	IF status_column = ANY (exclude) OR (columns IS NOT NULL AND NOT status_column = ANY (columns)) THEN
		RAISE EXCEPTION 'the status column "%" must be captured', status_column
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Do not exclude it, and name it in columns.';
	END IF;
	IF priority IS NULL OR priority NOT IN ('low', 'normal', 'high', 'critical') THEN
		RAISE EXCEPTION 'invalid priority %', quote_nullable(priority)
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Use low, normal, high or critical.';
	END IF;
	IF notify IS NULL OR notify NOT IN ('auto', 'always', 'never') THEN
		RAISE EXCEPTION 'invalid value for notify: %', quote_nullable(notify)
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Use auto, always or never.';
	END IF;
	IF "numeric" IS NULL OR "numeric" NOT IN ('auto', 'string') THEN
		RAISE EXCEPTION 'invalid value for numeric: %', quote_nullable("numeric")
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Use auto or string.';
	END IF;
	IF bulk_threshold < 0 THEN
		RAISE EXCEPTION 'bulk_threshold must not be negative'
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Use NULL to send every row of every transaction.';
	END IF;
	-- Writers hold RowExclusiveLock until they commit: settings change between transactions.
	PERFORM realtime.lock_relation(relation);
	SELECT r.settings INTO old_settings FROM realtime.settings_of(relation) r(settings);
	PERFORM realtime.register(relation,
		coalesce(feature, class.relname), coalesce(entity, class.relname),
		jsonb_strip_nulls(jsonb_build_object(
			'key', key, 'status_column', status_column, 'columns', columns, 'exclude', exclude,
			'priority', priority, 'notify', notify, 'notify_data', notify_data,
			'bulk_threshold', bulk_threshold, 'coalesce', "coalesce", 'numeric', "numeric",
			'affects', (SELECT array_agg(a::text) FROM unnest(affects) a),
			'events', old_settings -> 'events')));
	PERFORM realtime.add_triggers(relation);
END
$$;
COMMENT ON FUNCTION realtime.enable(regclass, text, text, text[], text, text[], text[], text, text, integer, boolean, text, boolean, regclass[]) IS
'Registers a table as (feature, entity), by default its name twice, and adds the triggers: from then on its committed changes are events. A second call states the settings anew and keeps the defined events. key: columns that identify a row, by default the primary key. status_column: emits status_changed. columns, exclude: what is captured. priority: low, normal, high, critical. notify: auto (ring when a notifier waits), always, never. notify_data: whether NOTIFY payloads may carry row data; by default only when PUBLIC may read all of the table. bulk_threshold: a transaction that changes more rows sends a summary; NULL never. coalesce: several changes of one row in a transaction become one. numeric: auto (numbers while exact in a double) or string. affects: tables whose row-level security reads this one. The caller must own the table.';

CREATE FUNCTION realtime.disable(relation regclass) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	member oid;
	was_registered boolean;
BEGIN
	PERFORM realtime.lock_relation(relation);
	was_registered := realtime.unregister(relation);
	FOR member IN
		WITH RECURSIVE tree(oid) AS (
			SELECT relation::oid
			UNION
			SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid)
		SELECT tree.oid FROM tree ORDER BY tree.oid
	LOOP
		CONTINUE WHEN realtime.registered_root(member) IS NOT NULL;	-- another one needs them
		IF EXISTS (SELECT FROM pg_trigger
			WHERE tgrelid = member AND tgname = 'realtime_capture' AND tgparentid = 0) THEN
			EXECUTE format('DROP TRIGGER realtime_capture ON %s', member::regclass);
		END IF;
		IF EXISTS (SELECT FROM pg_trigger
			WHERE tgrelid = member AND tgname = 'realtime_truncate' AND tgparentid = 0) THEN
			EXECUTE format('DROP TRIGGER realtime_truncate ON %s', member::regclass);
		END IF;
	END LOOP;
	RETURN was_registered;
END
$$;
COMMENT ON FUNCTION realtime.disable(regclass) IS
'The reverse of realtime.enable(): removes registration, defined events and triggers. Returns whether the table was registered. The caller must own the table.';

CREATE FUNCTION realtime.registered_root(relation regclass) RETURNS regclass
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_registered_root_sql';
COMMENT ON FUNCTION realtime.registered_root(regclass) IS
'The registered table whose events a table''s changes are: itself or an ancestor; null when there is none.';

CREATE FUNCTION realtime.lock_relation(relation regclass) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_lock_relation';
COMMENT ON FUNCTION realtime.lock_relation(regclass) IS
'Takes ShareRowExclusiveLock on a table of the caller''s, waiting for the writers in flight.';

CREATE FUNCTION realtime.settings_of(relation regclass) RETURNS jsonb
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_settings_of';
COMMENT ON FUNCTION realtime.settings_of(regclass) IS
'The settings of a registered table as they are now, whatever the transaction''s snapshot; null when it is not registered.';

CREATE FUNCTION realtime.define_event(
	relation regclass,
	action text,
	status text DEFAULT NULL,
	columns text[] DEFAULT NULL,
	condition text DEFAULT NULL,
	priority text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	settings jsonb;
	others jsonb;
	target record;
BEGIN
	PERFORM realtime.check_action(action);
	PERFORM realtime.lock_relation(relation);
	settings := realtime.settings_of(relation);
	IF settings IS NULL THEN
		RAISE EXCEPTION '% is not registered', relation
			USING ERRCODE = 'undefined_object', HINT = 'Call realtime.enable() first.';
	END IF;
	IF status IS NULL AND columns IS NULL AND condition IS NULL THEN
		RAISE EXCEPTION 'an event needs a status, columns or a condition'
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Give at least one; a change must satisfy all that are given.';
	END IF;
	IF status IS NOT NULL AND settings ->> 'status_column' IS NULL THEN
		RAISE EXCEPTION '% has no status column', relation
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Call realtime.enable() with status_column => ''...'' first.';
	END IF;
	PERFORM realtime.check_columns(relation, 'columns', columns);
	IF condition IS NOT NULL THEN
		PERFORM realtime.check_condition(relation, condition);
	END IF;
	IF priority IS NOT NULL AND priority NOT IN ('low', 'normal', 'high', 'critical') THEN
		RAISE EXCEPTION 'invalid priority %', quote_nullable(priority)
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Use low, normal, high or critical.';
	END IF;
	SELECT coalesce(jsonb_agg(e ORDER BY n), '[]') INTO others
	FROM jsonb_array_elements(settings -> 'events') WITH ORDINALITY AS x(e, n)
	WHERE e ->> 'action' <> action;
	IF jsonb_array_length(others) >= 60 THEN
		RAISE EXCEPTION 'too many events defined for %', relation
			USING ERRCODE = 'program_limit_exceeded', DETAIL = 'A table can have 60.';
	END IF;
	SELECT r.feature, r.entity INTO target FROM realtime.names_of(relation) r;
	PERFORM realtime.register(relation, target.feature, target.entity, settings ||
		jsonb_build_object('events', others || jsonb_strip_nulls(jsonb_build_object(
			'action', action, 'status', status, 'columns', columns, 'condition', condition,
			'priority', priority))));
END
$$;
COMMENT ON FUNCTION realtime.define_event(regclass, text, text, text[], text, text) IS
'Defines an action of a registered table that follows a row change: when an update gives it the status, when an update changes one of the columns, when the condition over OLD and NEW holds; all that are given must hold. A condition alone holds for inserts, too, with OLD null. Deletes have none. Names in a condition are looked up in pg_catalog only. An action may have dots: inventory.updated. A second call with the same action replaces it. The caller must own the table.';

CREATE FUNCTION realtime.names_of(relation regclass, OUT feature text, OUT entity text) RETURNS record
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_names_of';
COMMENT ON FUNCTION realtime.names_of(regclass) IS 'The (feature, entity) of a registered table.';

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

CREATE FUNCTION realtime.check_action(action text) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_check_action';
COMMENT ON FUNCTION realtime.check_action(text) IS
'Raises an error unless the text can name a custom action: 1 to 63 letters, digits, _ - and dots, not a reserved row action.';

CREATE FUNCTION realtime.register_topic(feature text, entity text, priority text DEFAULT 'normal',
	notify text DEFAULT 'auto', notify_data boolean DEFAULT false)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_register_topic';
REVOKE ALL ON FUNCTION realtime.register_topic(text, text, text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION realtime.register_topic(text, text, text, text, boolean) IS
'Registers (feature, entity) without a table, for realtime.emit(). The caller owns the topic; who may emit or subscribe is granted with realtime.grant_emit() and realtime.grant_subscribe(). A second call by the owner changes the settings.';

CREATE FUNCTION realtime.drop_topic(feature text, entity text) RETURNS boolean
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_drop_topic';
COMMENT ON FUNCTION realtime.drop_topic(text, text) IS
'Removes a topic and its grants; returns whether there was one. The caller must own it.';

CREATE FUNCTION realtime.grant_subscribe(feature text, entity text, role text) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_grant_subscribe';
CREATE FUNCTION realtime.grant_emit(feature text, entity text, role text) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_grant_emit';
CREATE FUNCTION realtime.revoke_subscribe(feature text, entity text, role text) RETURNS boolean
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_revoke_subscribe';
CREATE FUNCTION realtime.revoke_emit(feature text, entity text, role text) RETURNS boolean
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_revoke_emit';
COMMENT ON FUNCTION realtime.grant_subscribe(text, text, text) IS
'Lets a role (or public) subscribe to a topic. For tables, GRANT SELECT decides. The caller must own the topic.';
COMMENT ON FUNCTION realtime.grant_emit(text, text, text) IS
'Lets a role (or public) emit custom events of a topic or table. The caller must own it.';
COMMENT ON FUNCTION realtime.revoke_subscribe(text, text, text) IS
'The reverse of realtime.grant_subscribe(); returns whether it had been granted.';
COMMENT ON FUNCTION realtime.revoke_emit(text, text, text) IS
'The reverse of realtime.grant_emit(); returns whether it had been granted.';

------------------------------------------------------------------------------------------------
-- Emitting
------------------------------------------------------------------------------------------------

CREATE FUNCTION realtime.emit(feature text, entity text, action text, data jsonb DEFAULT NULL,
	id text DEFAULT NULL, priority text DEFAULT NULL, to_user text DEFAULT NULL)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_emit';
COMMENT ON FUNCTION realtime.emit(text, text, text, jsonb, text, text, text) IS
'Adds a custom event to the transaction: it exists if and only if the transaction commits. The caller must own the table or topic or have been granted emit. to_user: only that user''s subscribers receive it.';

CREATE FUNCTION realtime.bulk_start(feature text, entity text, operation text, total bigint DEFAULT NULL)
RETURNS text LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_bulk_start';
COMMENT ON FUNCTION realtime.bulk_start(text, text, text, bigint) IS
'Starts a bulk operation, emits bulk_started at once, before the transaction commits, and returns the operation id. The operation ends with bulk_completed when the transaction that called realtime.bulk_complete() commits, with bulk_failed when the (sub)transaction that started it aborts or its session ends. The caller needs the right to emit.';

CREATE FUNCTION realtime.bulk_progress(id text, completed bigint, failed bigint DEFAULT 0)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_bulk_progress';
COMMENT ON FUNCTION realtime.bulk_progress(text, bigint, bigint) IS
'Reports how many items are done and how many failed so far; cheap, call it as often as you like: at most one bulk_progress event per operation and 250 ms is emitted.';

CREATE FUNCTION realtime.bulk_complete(id text, results jsonb DEFAULT NULL)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_bulk_complete';
COMMENT ON FUNCTION realtime.bulk_complete(text, jsonb) IS
'Ends a bulk operation: bulk_completed is emitted when the transaction commits. results: an object merged into the event''s data, usually successful, failed, errors.';

CREATE FUNCTION realtime.bulk_reap() RETURNS integer
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_bulk_reap';
REVOKE ALL ON FUNCTION realtime.bulk_reap() FROM PUBLIC;
COMMENT ON FUNCTION realtime.bulk_reap() IS
'Ends operations whose session is gone (a server crash, say) with bulk_failed; returns how many. realtime.prune() calls it.';

------------------------------------------------------------------------------------------------
-- Reading
------------------------------------------------------------------------------------------------

CREATE FUNCTION realtime.position() RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_position';
COMMENT ON FUNCTION realtime.position() IS
'The statement''s snapshot as a position: epoch/xmin:xmax:xip. Every event of a transaction that it does not cover is in the log later. Primary only.';

CREATE FUNCTION realtime.settled_position() RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_settled_position';
COMMENT ON FUNCTION realtime.settled_position() IS
'As position(), after what its snapshot sees has reached this session''s caches, too: what functions such as has_table_privilege() say after it is of no earlier. Waits for that moment of commits under way.';

CREATE FUNCTION realtime.current_epoch() RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_current_epoch';
COMMENT ON FUNCTION realtime.current_epoch() IS
'The epoch that prefixes positions; it changes at every crash recovery, promotion and restore. Creates one when there is none, so the first call needs a read-write transaction.';

CREATE FUNCTION realtime.new_epoch() RETURNS text
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_new_epoch';
COMMENT ON FUNCTION realtime.new_epoch() IS
'Voids all positions. Call it after restoring an offline copy of the files, which PostgreSQL cannot tell from a restart.';

CREATE FUNCTION realtime.position_error("position" text) RETURNS text
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_position_error';
COMMENT ON FUNCTION realtime.position_error(text) IS
'Null when the log still holds all that the position does not cover, else the reason of the gap: malformed, epoch, future or history. Ask again in a new statement after reading: prune may have run between.';

CREATE FUNCTION realtime.flush(upto pg_lsn DEFAULT NULL) RETURNS pg_lsn
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_flush';
COMMENT ON FUNCTION realtime.flush(pg_lsn) IS
'Flushes the WAL up to a position, by default all that is inserted, and returns the position that is durable. A reader calls it with the insert position sampled after its read before it shows rows of transactions that committed asynchronously.';

CREATE FUNCTION realtime.row_json(record) RETURNS json
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'realtime_row_json';
CREATE FUNCTION realtime.row_json(record, "numeric" text) RETURNS json
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'realtime_row_json';
COMMENT ON FUNCTION realtime.row_json(record) IS
'The row as JSON just as events show it, whatever the session''s settings.';
COMMENT ON FUNCTION realtime.row_json(record, text) IS
'The row as JSON just as events show it; numeric: auto or string, as in realtime.enable().';

CREATE FUNCTION realtime.arm() RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_arm';
CREATE FUNCTION realtime.disarm() RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_disarm';
CREATE FUNCTION realtime.is_armed() RETURNS boolean
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_is_armed';
COMMENT ON FUNCTION realtime.arm() IS
'Arms the doorbell for this session: waits for the commits that were told not to ring (up to lock_timeout), then every commit with events notifies channel realtime. Poll once more after it. Returns true; arming twice is arming once.';
COMMENT ON FUNCTION realtime.disarm() IS 'Disarms the doorbell; returns whether this session was armed.';
COMMENT ON FUNCTION realtime.is_armed() IS 'Whether this session holds the doorbell armed.';

CREATE FUNCTION realtime.read(since text, first xid8 DEFAULT NULL, wait integer DEFAULT NULL, OUT "position" text,
	OUT gap text, OUT waited bigint, OUT xid xid8, OUT part integer, OUT is_last boolean, OUT at bigint, OUT events json)
RETURNS SETOF record LANGUAGE c ROWS 10 AS 'MODULE_PATHNAME', 'realtime_read';
CREATE FUNCTION realtime.wake(pid integer) RETURNS boolean
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'realtime_wake';
COMMENT ON FUNCTION realtime.read(text, xid8, integer) IS
'One poll of the log. First a row with a new position; gap, as position_error() says it, if the log has not all that the position since does not cover, and then no more rows; waited, see below. Then that, in the order of (lsn, xid, part): the parts of transactions, which is the last, at in microseconds since 1970, and the events; all durable, and all that the new position covers. The transaction first comes before all others. since null: the position only. wait: waits before reading until a commit has logged events since this session''s last read, a notification came (at most every 25 ms), somebody called wake(), or so many milliseconds (0 to 10000) have passed; the first does not wait; waited is what it took in microseconds, null where nothing can wake this session. Commits of prepared transactions do not end it.';
COMMENT ON FUNCTION realtime.wake(integer) IS
'Ends the wait in realtime.read() of another session of this database, by its process id, or its next one; returns whether it watched for commits.';

CREATE FUNCTION realtime.prune() RETURNS integer
LANGUAGE c AS 'MODULE_PATHNAME', 'realtime_prune';
COMMENT ON FUNCTION realtime.prune() IS
'House-keeping: empties children of the log that are older than realtime.retention or over realtime.max_log_size, turns to the next child, ends dead bulk operations. Skips a child that is in use; writers never wait. Returns the number of children emptied.';

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

CREATE FUNCTION realtime.log_events(events json, OUT seq integer, OUT feature text, OUT entity text,
	OUT action text, OUT id text, OUT event json)
RETURNS SETOF record LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE ROWS 2
AS 'MODULE_PATHNAME', 'realtime_log_events';
COMMENT ON FUNCTION realtime.log_events(json) IS
'The events of one row of the commit log, one per row; id is text, or an object''s text for composite keys. Used by the view realtime.event.';

CREATE VIEW realtime.event AS
SELECT l.xid AS tx, l.part, e.seq, l.at, l.lsn, e.feature, e.entity, e.action, e.id, e.event
FROM realtime.commit_log l, LATERAL realtime.log_events(l.events) e
ORDER BY l.lsn, l.xid, l.part, e.seq;
COMMENT ON VIEW realtime.event IS 'Recent events, one per row, in order, as far back as the log goes.';

CREATE VIEW realtime.entities AS
SELECT r.feature, r.entity, r.relation,
	ARRAY(SELECT pg_catalog.jsonb_array_elements_text(r.settings -> 'key')) AS key,
	r.settings ->> 'status_column' AS status_column,
	CASE WHEN r.settings ? 'columns' THEN ARRAY(SELECT pg_catalog.jsonb_array_elements_text(r.settings -> 'columns')) END AS columns,
	CASE WHEN r.settings ? 'exclude' THEN ARRAY(SELECT pg_catalog.jsonb_array_elements_text(r.settings -> 'exclude')) END AS exclude,
	r.settings ->> 'priority' AS priority,
	r.settings ->> 'notify' AS notify,
	(r.settings ->> 'notify_data')::boolean AS notify_data,
	(r.settings ->> 'bulk_threshold')::integer AS bulk_threshold,
	COALESCE((r.settings ->> 'coalesce')::boolean, false) AS "coalesce",
	r.settings ->> 'numeric' AS "numeric",
	CASE WHEN r.settings ? 'affects' THEN ARRAY(SELECT pg_catalog.jsonb_array_elements_text(r.settings -> 'affects')) END AS affects,
	CASE WHEN r.relation IS NOT NULL THEN ARRAY['created', 'updated', 'deleted', 'truncated'] ELSE '{}' END
		|| CASE WHEN r.settings ? 'status_column' THEN ARRAY['status_changed'] ELSE '{}' END
		|| ARRAY(SELECT e ->> 'action' FROM pg_catalog.jsonb_array_elements(r.settings -> 'events') e) AS actions,
	COALESCE(r.settings -> 'events', '[]') AS events
FROM realtime.registration r;
COMMENT ON VIEW realtime.entities IS
'The registry: every table and topic that has events, its settings and its actions.';

CREATE FUNCTION realtime.status() RETURNS jsonb
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
COMMENT ON FUNCTION realtime.status() IS
'Health as one JSON object: ok, version, library, entities, armed notifiers, size and age of the log, bulk operations, use of the notification queue, problems.';

CREATE FUNCTION realtime.library_version() RETURNS text
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'realtime_library_version';
COMMENT ON FUNCTION realtime.library_version() IS
'The version of the library this session has loaded; older than the extension in sessions that were open during an upgrade.';

------------------------------------------------------------------------------------------------
-- DDL that row triggers do not see
------------------------------------------------------------------------------------------------

-- Whatever may drop a table, directly or by CASCADE (its type, access method, server, a function in a
-- partition key), and DETACH PARTITION CONCURRENTLY.
CREATE EVENT TRIGGER realtime_ddl_start ON ddl_command_start
	WHEN TAG IN ('ALTER TABLE', 'DROP TABLE', 'DROP FOREIGN TABLE', 'DROP SCHEMA', 'DROP OWNED',
		'DROP EXTENSION', 'DROP TYPE', 'DROP DOMAIN', 'DROP VIEW', 'DROP MATERIALIZED VIEW',
		'DROP COLLATION', 'DROP FUNCTION', 'DROP PROCEDURE', 'DROP ROUTINE', 'DROP LANGUAGE',
		'DROP OPERATOR', 'DROP OPERATOR CLASS', 'DROP OPERATOR FAMILY', 'DROP ACCESS METHOD',
		'DROP SERVER', 'DROP FOREIGN DATA WRAPPER')
	EXECUTE FUNCTION realtime.ddl_start();
CREATE EVENT TRIGGER realtime_ddl_end ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE', 'ALTER FOREIGN TABLE', 'ALTER TYPE', 'ALTER TRIGGER', 'CREATE TABLE',
		'CREATE FOREIGN TABLE', 'CREATE SCHEMA')
	EXECUTE FUNCTION realtime.ddl_end();
CREATE EVENT TRIGGER realtime_ddl_drop ON sql_drop
	EXECUTE FUNCTION realtime.ddl_drop();
COMMENT ON EVENT TRIGGER realtime_ddl_start IS
'Of realtime: notes what belongs to registered tables before a DROP.';
COMMENT ON EVENT TRIGGER realtime_ddl_end IS
'Of realtime: keeps registrations and triggers right when tables change, and logs what row triggers do not see.';
COMMENT ON EVENT TRIGGER realtime_ddl_drop IS
'Of realtime: unregisters dropped tables, and logs what row triggers do not see.';

------------------------------------------------------------------------------------------------
-- Row-level security on row images
------------------------------------------------------------------------------------------------

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

------------------------------------------------------------------------------------------------
-- Rights. Internal functions that check ownership themselves stay executable.
------------------------------------------------------------------------------------------------

GRANT SELECT ON realtime.entities TO PUBLIC;

REVOKE ALL ON FUNCTION realtime.position(), realtime.settled_position(), realtime.current_epoch(), realtime.new_epoch(),
	realtime.position_error(text), realtime.flush(pg_lsn), realtime.arm(), realtime.disarm(),
	realtime.is_armed(), realtime.read(text, xid8, integer), realtime.wake(integer), realtime.prune(), realtime.status(),
	realtime.library_version() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION realtime.position(), realtime.settled_position(), realtime.current_epoch(),
	realtime.position_error(text), realtime.flush(pg_lsn), realtime.arm(), realtime.disarm(),
	realtime.is_armed(), realtime.read(text, xid8, integer), realtime.wake(integer), realtime.prune(), realtime.status(),
	realtime.library_version(), realtime.bulk_reap() TO realtime_notifier;
GRANT SELECT ON realtime.registration, realtime.topic_grant, realtime.bulk_operation,
	realtime.commit_log, realtime.log_state, realtime.log_floor, realtime.epoch, realtime.event
	TO realtime_notifier;
