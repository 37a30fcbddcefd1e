-- A transaction larger than realtime.pending_memory gives the same events in the same order as in memory.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
-- Rows are visited in the order of their keys (WHERE id > 0).
SET enable_seqscan = off;
SET enable_bitmapscan = off;
-- What was logged for this file's tables since the last call; t numbers the transactions.
CREATE TEMP TABLE seen AS SELECT pg_current_xact_id() AS tx;
CREATE FUNCTION pg_temp.events(OUT t bigint, OUT seq int, OUT entity text, OUT action text,
	OUT id text, OUT data json, OUT old json, OUT meta jsonb) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT dense_rank() OVER (ORDER BY e.lsn, e.tx), e.seq, e.entity, e.action, e.id,
		e.event -> 'data', e.event -> 'old', nullif((e.event -> 'meta')::jsonb
			- '{timestamp,tx,seq,userId,sessionId,priority}'::text[], '{}')
	FROM realtime.event e WHERE e.feature = 'spill' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE spill (id int PRIMARY KEY, v int, pad text);
CREATE TABLE spill_other (id int PRIMARY KEY, v int);
SELECT realtime.enable('spill', 'spill', 'row');
SELECT realtime.enable('spill_other', 'spill', 'other');
SELECT realtime.define_event('spill', 'jumped', condition => 'NEW.v > OLD.v + 50');
-- Nested triggers of several depths: entries arrive in three piles.
CREATE FUNCTION spill_nested() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() <= 2 AND NEW.id % 3 = 0 THEN
		UPDATE spill SET v = v + 100 WHERE id = NEW.id + 1;
		INSERT INTO spill_other VALUES (NEW.id, NEW.v) ON CONFLICT (id) DO UPDATE SET v = excluded.v;
		UPDATE spill SET v = v + 1 WHERE id = NEW.id AND pg_trigger_depth() = 1;
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER a_nested AFTER INSERT OR UPDATE ON spill FOR EACH ROW EXECUTE FUNCTION spill_nested();
CREATE PROCEDURE spill_work() LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO spill SELECT n, n, repeat(chr(97 + n % 26), n) FROM generate_series(1, 600) n;
	PERFORM realtime.emit('spill', 'row', 'step', '{"step": 1}');
	-- rolled back after it was spilled
	BEGIN
		UPDATE spill SET v = -1 WHERE id > 0;
		DELETE FROM spill WHERE id > 300;
		RAISE EXCEPTION 'back';
	EXCEPTION WHEN raise_exception THEN
		UPDATE spill SET v = v + 1000 WHERE id BETWEEN 100 AND 200;
	END;
	-- kept and rolled back within each other
	FOR i IN 1..10 LOOP
		BEGIN
			UPDATE spill SET v = i, pad = pad || i WHERE id BETWEEN i * 50 AND i * 50 + 30;
			BEGIN
				DELETE FROM spill WHERE id BETWEEN i * 50 + 10 AND i * 50 + 40;
				IF i % 2 = 0 THEN
					RAISE EXCEPTION 'back';
				END IF;
			EXCEPTION WHEN raise_exception THEN
				PERFORM realtime.emit('spill', 'row', 'rolled_back', to_jsonb(i));
			END;
			IF i % 3 = 0 THEN
				RAISE EXCEPTION 'back';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
	UPDATE spill SET id = -id WHERE id > 550;
	DELETE FROM spill WHERE id > 0;
END
$$;
CALL spill_work();
CREATE TEMP TABLE in_memory AS
	SELECT seq, entity, action, id, data::text, old::text, meta FROM pg_temp.events();
SELECT entity, action, count(*) FROM in_memory GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) = max(seq) + 1 AS numbered FROM in_memory;
-- The chain of each row is whole.
WITH e AS (
	SELECT seq, entity, id, action, data::json ->> 'v' AS v,
		coalesce(old::json ->> 'v', data::json ->> 'v') AS old_v,
		lag(data::json ->> 'v') OVER (PARTITION BY entity, id ORDER BY seq) AS before
	FROM in_memory WHERE action IN ('created', 'updated', 'deleted'))
SELECT count(*) FILTER (WHERE action <> 'created' AND before IS DISTINCT FROM old_v) AS broken FROM e;
-- The same with little memory.
DELETE FROM spill;
DELETE FROM spill_other;
SELECT count(*) FROM pg_temp.events();
SET realtime.pending_memory = '64kB';
CALL spill_work();
CREATE TEMP TABLE on_disk AS
	SELECT seq, entity, action, id, data::text, old::text, meta FROM pg_temp.events();
SELECT (SELECT count(*) FROM in_memory) = (SELECT count(*) FROM on_disk) AS same_count;
SELECT count(*) AS different FROM in_memory m FULL JOIN on_disk d USING (seq)
WHERE (m.entity, m.action, m.id, m.data, m.old, m.meta)
	IS DISTINCT FROM (d.entity, d.action, d.id, d.data, d.old, d.meta);
-- Nothing is left on disk, whatever the end of the transaction.
BEGIN;
INSERT INTO spill SELECT n, n, repeat('x', 500) FROM generate_series(1, 1000) n;
SELECT count(*) > 0 AS has_files FROM pg_ls_tmpdir() WHERE name LIKE 'pgsql_tmp' || pg_backend_pid() || '.%';
ROLLBACK;
SELECT count(*) > 0 AS has_files FROM pg_ls_tmpdir() WHERE name LIKE 'pgsql_tmp' || pg_backend_pid() || '.%';
BEGIN;
INSERT INTO spill SELECT n, n, repeat('x', 500) FROM generate_series(1, 1000) n;
SELECT 1 / 0;
COMMIT;
SELECT count(*) > 0 AS has_files FROM pg_ls_tmpdir() WHERE name LIKE 'pgsql_tmp' || pg_backend_pid() || '.%';
SELECT count(*) FROM pg_temp.events();
-- A cursor held over the spill and the end of the subtransaction that spilled.
BEGIN;
SAVEPOINT a;
INSERT INTO spill SELECT n, n, repeat('x', 500) FROM generate_series(1001, 1500) n;
DECLARE c CURSOR WITH HOLD FOR SELECT id FROM spill ORDER BY id;
RELEASE a;
SAVEPOINT b;
INSERT INTO spill SELECT n, n, repeat('x', 500) FROM generate_series(1501, 2000) n;
ROLLBACK TO b;
INSERT INTO spill SELECT n, n, repeat('x', 500) FROM generate_series(2001, 2100) n;
COMMIT;
CLOSE c;
SELECT count(*) > 0 AS has_files FROM pg_ls_tmpdir() WHERE name LIKE 'pgsql_tmp' || pg_backend_pid() || '.%';
SELECT entity, action, count(*), min(id), max(id), max(seq) FROM pg_temp.events() GROUP BY 1, 2 ORDER BY 1, 2;
RESET realtime.pending_memory;
DROP TABLE spill, spill_other;
DROP PROCEDURE spill_work;
