-- SPDX-License-Identifier: PostgreSQL
--
-- users/realtime.sql
--	Events for users/schema.sql: one entity, three actions, and two bulk operations.

-- What must not leave stays out of events; an update of last_seen_at alone is none.
SELECT realtime.enable('users.users', 'users', 'user', status_column => 'status',
	exclude => '{password_hash,last_seen_at}');

SELECT realtime.define_event('users.users', 'activated', status => 'active');
SELECT realtime.define_event('users.users', 'deactivated', status => 'inactive');
SELECT realtime.define_event('users.users', 'suspended', status => 'suspended', priority => 'high');

/*
 * Makes users of the staged lines; returns the operation's id. A line that breaks a rule rolls back
 * alone, emits no row event and stays staged with its error; the first hundred errors are in the
 * results.
 */
CREATE FUNCTION users.import_staged() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	operation text := realtime.bulk_start('users', 'user', 'import',
		(SELECT count(*) FROM users.staged));
	imported bigint := 0;
	failed bigint := 0;
	errors jsonb := '[]';
	staged record;
BEGIN
	FOR staged IN SELECT * FROM users.staged ORDER BY line LOOP
		BEGIN
			INSERT INTO users.users (email, name, role)
			VALUES (lower(staged.email), staged.name, coalesce(staged.role, 'member'));
			DELETE FROM users.staged s WHERE s.line = staged.line;
			imported := imported + 1;
		EXCEPTION WHEN integrity_constraint_violation OR data_exception THEN
			failed := failed + 1;
			IF failed <= 100 THEN
				errors := errors || jsonb_build_object('line', staged.line, 'message', SQLERRM);
			END IF;
			UPDATE users.staged s SET error = SQLERRM WHERE s.line = staged.line;
		END;
		PERFORM realtime.bulk_progress(operation, imported, failed);
	END LOOP;
	PERFORM realtime.bulk_complete(operation, jsonb_build_object('successful', imported,
		'failed', failed, 'errors', errors));
	RETURN operation;
END
$$;

/*
 * Gives many users a status; returns the operation's id. When one cannot have it none gets it, and
 * the operation ends with bulk_failed. Users that do not exist count as failed.
 */
CREATE FUNCTION users.set_status(ids bigint[], status text, because text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	operation text := realtime.bulk_start('users', 'user', 'set_status', cardinality(ids));
	changed bigint;
BEGIN
	UPDATE users.users u SET status = status, suspended_because = because WHERE u.id = ANY (ids);
	GET DIAGNOSTICS changed = ROW_COUNT;
	PERFORM realtime.bulk_progress(operation, changed, cardinality(ids) - changed);
	PERFORM realtime.bulk_complete(operation);	-- its counts are those of the last progress
	RETURN operation;
END
$$;
