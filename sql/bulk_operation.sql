-- Bulk operations: progress before the commit, and one end for each.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
SET search_path = public;

SELECT realtime.register_topic('bulkop', 'import', priority => 'high', notify_data => true);
CREATE TABLE bulkop_item (id int PRIMARY KEY);
SELECT realtime.enable('bulkop_item', 'bulkop', 'item');

-- The events of an operation without what differs from run to run. is_own: of this transaction.
CREATE FUNCTION bulkop_events(operation text, OUT action text, OUT data jsonb, OUT actor text, OUT is_own boolean)
RETURNS SETOF record LANGUAGE sql SET search_path = public AS $$
	SELECT e.action, (e.event -> 'data')::jsonb - '{operationId,duration,estimatedTimeRemaining}'::text[],
		concat_ws('/', e.event -> 'meta' ->> 'userId', e.event -> 'meta' ->> 'sessionId',
			e.event -> 'meta' ->> 'priority'),
		coalesce(e.tx = pg_current_xact_id_if_assigned(), false)
	FROM realtime.event e
	WHERE e.feature = 'bulkop' AND e.event -> 'data' ->> 'operation' = operation
	ORDER BY e.lsn, e.tx, e.seq
$$;
-- Waits until an operation has an event; false after 20 s.
CREATE FUNCTION bulkop_wait(operation text, action text, progress bigint DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SET search_path = public AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '20 s';
BEGIN
	WHILE clock_timestamp() < deadline LOOP
		IF EXISTS (SELECT FROM bulkop_events(operation) e WHERE e.action = bulkop_wait.action
			AND (progress IS NULL OR (e.data ->> 'completed')::bigint = progress)) THEN
			RETURN true;
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN false;
END
$$;

--
-- Seen before the commit, with the job's user; completed at commit
--
BEGIN;
SELECT set_config('realtime.user', 'u42', true), set_config('realtime.session', 's1', true);
SELECT realtime.bulk_start('bulkop', 'import', 'plain', 8) AS id \gset
SELECT * FROM bulkop_events('plain');
SELECT feature, entity, operation, total, pid = pg_backend_pid() AS is_ours, user_id, session_id
FROM realtime.bulk_operation WHERE id = :'id';
SELECT realtime.bulk_progress(:'id', 2, 1);
SELECT bulkop_wait('plain', 'bulk_progress', 2);
SELECT realtime.bulk_complete(:'id', '{"successful": 2, "errors": [{"row": 3}], "note": "x"}');
SELECT count(*) FROM bulkop_events('plain') WHERE action = 'bulk_completed';
COMMIT;
SELECT action, data, actor FROM bulkop_events('plain');
SELECT e.event ->> 'id' = :'id' AS id, e.event -> 'data' ->> 'operationId' = :'id' AS operation_id,
	(e.event -> 'data' ->> 'duration')::numeric >= 0 AS duration
FROM realtime.event e WHERE e.feature = 'bulkop' AND e.action = 'bulk_completed';
SELECT count(*) FROM realtime.bulk_operation;
\set VERBOSITY sqlstate
SELECT realtime.bulk_complete(:'id'); -- fails: it is over
\set VERBOSITY default

--
-- Many calls, few events; numbers
--
DO $$
DECLARE
	operation text := realtime.bulk_start('bulkop', 'item', 'throttle', 1000000);
	stop timestamptz := clock_timestamp() + interval '1.1 s';
	n bigint := 0;
BEGIN
	WHILE clock_timestamp() < stop LOOP
		n := n + 1;
		PERFORM realtime.bulk_progress(operation, n);
	END LOOP;
	PERFORM realtime.bulk_complete(operation);
END
$$;
SELECT count(*) FILTER (WHERE action = 'bulk_progress') BETWEEN 2
	AND 1 + 4 * max((event -> 'data' ->> 'duration')::numeric) AS is_throttled
FROM realtime.event WHERE feature = 'bulkop' AND event -> 'data' ->> 'operation' = 'throttle';

SELECT realtime.bulk_start('bulkop', 'item', 'unknown total') AS id \gset
SELECT realtime.bulk_progress(:'id', 5);
SELECT bulkop_wait('unknown total', 'bulk_progress', 5);
SELECT realtime.bulk_complete(:'id', '{}');
SELECT realtime.bulk_start('bulkop', 'item', 'nothing to do', 0) AS id \gset
SELECT realtime.bulk_progress(:'id', 0, NULL);
SELECT realtime.bulk_progress(:'id', 0, 1);
SELECT bulkop_wait('nothing to do', 'bulk_progress');
SELECT realtime.bulk_complete(:'id');
SELECT realtime.bulk_start('bulkop', 'item', 'more than total', 3) AS id \gset
SELECT realtime.bulk_progress(:'id', 4, 3);
SELECT bulkop_wait('more than total', 'bulk_progress');
SELECT realtime.bulk_complete(:'id');
SELECT action, data FROM bulkop_events('unknown total')
UNION ALL SELECT action, data FROM bulkop_events('nothing to do')
UNION ALL SELECT action, data FROM bulkop_events('more than total');
-- The time that is left, in whole seconds: not known without a total, nothing when all is done.
SELECT DISTINCT event -> 'data' ->> 'operation' AS operation, CASE WHEN event -> 'data' ->> 'estimatedTimeRemaining' ~ '^[1-9]\d*$'
	THEN 'some' ELSE event -> 'data' ->> 'estimatedTimeRemaining' END AS remaining
FROM realtime.event WHERE feature = 'bulkop' AND action = 'bulk_progress'
	AND event -> 'data' ->> 'operation' IN ('plain', 'unknown total', 'more than total') ORDER BY 1;

--
-- Aborts
--
BEGIN;
SELECT realtime.bulk_start('bulkop', 'import', 'aborted', 10) AS id \gset
SELECT realtime.bulk_progress(:'id', 4, 1);
SELECT bulkop_wait('aborted', 'bulk_progress', 4);
SELECT realtime.bulk_complete(:'id');
ROLLBACK;
SELECT bulkop_wait('aborted', 'bulk_failed');
SELECT action, data FROM bulkop_events('aborted');

BEGIN;
SAVEPOINT a;
SELECT realtime.bulk_start('bulkop', 'import', 'outer') AS outer_id \gset
SAVEPOINT b;
SELECT realtime.bulk_start('bulkop', 'import', 'released') AS released_id \gset
RELEASE b;
SAVEPOINT c;
SELECT realtime.bulk_start('bulkop', 'import', 'inner') AS inner_id \gset
SELECT realtime.bulk_complete(:'outer_id');
ROLLBACK TO c;
SELECT bulkop_wait('inner', 'bulk_failed');
\set VERBOSITY sqlstate
SELECT realtime.bulk_progress(:'inner_id', 1); -- fails: it is over
\set VERBOSITY default
ROLLBACK TO c;
SELECT realtime.bulk_progress(:'outer_id', 1);
SELECT realtime.bulk_complete(:'outer_id');
SELECT action FROM bulkop_events('outer') WHERE action <> 'bulk_progress'
UNION ALL SELECT action FROM bulkop_events('released');
ROLLBACK TO a;
SELECT bulkop_wait('outer', 'bulk_failed'), bulkop_wait('released', 'bulk_failed');
COMMIT;
SELECT count(*) FROM realtime.bulk_operation;

-- A transaction that fails to complete leaves the operation running.
SELECT realtime.bulk_start('bulkop', 'import', 'several', 2) AS id \gset
BEGIN;
SELECT realtime.bulk_complete(:'id');
ROLLBACK;
SELECT count(*) FROM realtime.bulk_operation;
SELECT realtime.bulk_complete(:'id');
SELECT action FROM bulkop_events('several');

--
-- The session ends
--
SELECT realtime.bulk_start('bulkop', 'import', 'left behind', 2) AS id \gset
BEGIN;
SELECT realtime.bulk_start('bulkop', 'import', 'left in transaction', 2) AS id2 \gset
\c
SET search_path = public;
SELECT bulkop_wait('left behind', 'bulk_failed'), bulkop_wait('left in transaction', 'bulk_failed');
SELECT action, data FROM bulkop_events('left behind')
UNION ALL SELECT action, data FROM bulkop_events('left in transaction');
SELECT count(*) FROM realtime.bulk_operation;
\set VERBOSITY sqlstate
SELECT realtime.bulk_progress(:'id', 1); -- fails: another session's
\set VERBOSITY default

-- A row of a session of before a crash.
BEGIN;
INSERT INTO realtime.bulk_operation (id, feature, entity, operation, pid, backend_start, started_at)
SELECT gen_random_uuid(), 'bulkop', 'import', 'crashed', pg_backend_pid(), backend_start - interval '1 day', now()
FROM pg_stat_activity WHERE pid = pg_backend_pid();
SELECT realtime.bulk_start('bulkop', 'import', 'alive') AS id \gset
SELECT realtime.bulk_reap(), realtime.bulk_reap();
SELECT realtime.bulk_complete(:'id');
COMMIT;
SELECT action, data FROM bulkop_events('crashed') UNION ALL SELECT action, data FROM bulkop_events('alive');

--
-- Without live progress: at commit
--
SELECT set_config('realtime.user', repeat('x', 300), false) = '' AS is_empty;
BEGIN;
SELECT realtime.bulk_start('bulkop', 'import', 'at commit', 4) AS id \gset
SELECT realtime.bulk_progress(:'id', n) FROM generate_series(0, 2) n;
SELECT count(*) FROM bulkop_events('at commit');
SELECT realtime.bulk_complete(:'id');
COMMIT;
SELECT action, data FROM bulkop_events('at commit');
BEGIN;
SELECT realtime.bulk_start('bulkop', 'import', 'at commit, aborted', 4) AS id \gset
ROLLBACK;
SELECT count(*) FROM bulkop_events('at commit, aborted');
RESET realtime."user";

--
-- Refusals
--
SELECT realtime.bulk_start('bulkop', 'nothing', 'x');
SELECT realtime.bulk_start(NULL, 'import', 'x');
SELECT realtime.bulk_start('bulkop', NULL, 'x');
SELECT realtime.bulk_start('bulkop', 'import', NULL);
SELECT realtime.bulk_start('bulkop', 'import', '');
SELECT realtime.bulk_start('bulkop', 'import', E'a\nb');
SELECT realtime.bulk_start('bulkop', 'import', repeat('x', 64));
SELECT realtime.bulk_start('bulkop', 'import', 'x', -1);
SELECT realtime.bulk_progress(NULL, 1);
SELECT realtime.bulk_progress('nonsense', 1);
SELECT realtime.bulk_complete(NULL);
SELECT realtime.bulk_complete('nonsense');
BEGIN READ ONLY;
SELECT realtime.bulk_start('bulkop', 'import', 'x');
ROLLBACK;
SELECT realtime.bulk_start('bulkop', 'import', 'refused', 1) AS id \gset
SELECT realtime.bulk_progress(:'id', NULL);
SELECT realtime.bulk_progress(:'id', -1);
SELECT realtime.bulk_progress(:'id', 1, -1);
SELECT realtime.bulk_complete(:'id', '[]');
SELECT realtime.bulk_complete(:'id', '"x"');
SELECT realtime.bulk_complete(upper(:'id'));
SELECT action, data FROM bulkop_events('refused');
CREATE ROLE regress_bulkop;
SET ROLE regress_bulkop;
SELECT realtime.bulk_start('bulkop', 'import', 'x');
SELECT realtime.bulk_reap();
RESET ROLE;
SELECT realtime.grant_emit('bulkop', 'import', 'regress_bulkop');
SET ROLE regress_bulkop;
SELECT realtime.bulk_complete(realtime.bulk_start('bulkop', 'import', 'granted'));
RESET ROLE;
SELECT action, actor FROM bulkop_events('granted');

-- Each operation that was started has ended once, and nothing followed.
SELECT count(*) FROM realtime.bulk_operation;
SELECT e.id FROM realtime.event e WHERE e.feature = 'bulkop'
GROUP BY e.id
HAVING count(*) FILTER (WHERE e.action IN ('bulk_completed', 'bulk_failed')) <> 1
	OR (array_agg(e.action ORDER BY e.lsn, e.tx, e.seq))[count(*)] NOT IN ('bulk_completed', 'bulk_failed');

SELECT realtime.revoke_emit('bulkop', 'import', 'regress_bulkop');
SELECT realtime.drop_topic('bulkop', 'import');
DROP TABLE bulkop_item;
DROP FUNCTION bulkop_wait, bulkop_events;
DROP ROLE regress_bulkop;
