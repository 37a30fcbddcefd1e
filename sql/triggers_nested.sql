-- Nested AFTER triggers that write the same and later rows: events come in the order of the row versions.
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
	FROM realtime.event e WHERE e.feature = 'triggers_nested' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE triggers_nested (id int PRIMARY KEY, v int, note text);
SELECT realtime.enable('triggers_nested', 'triggers_nested', 'row');

-- A trigger that fires before ours by name and writes the same row again: 2->3 arrives before 1->2.
CREATE FUNCTION triggers_nested_bump() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.v < 5 THEN
		UPDATE triggers_nested SET v = v + 1 WHERE id = NEW.id;
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER a_bump AFTER INSERT OR UPDATE ON triggers_nested
	FOR EACH ROW EXECUTE FUNCTION triggers_nested_bump();
INSERT INTO triggers_nested VALUES (1, 2, 'a'), (2, 4, 'b'), (3, 5, 'c');
SELECT * FROM pg_temp.events();
UPDATE triggers_nested SET v = 1 WHERE id <= 2;
SELECT * FROM pg_temp.events();
-- After ours by name: the same.
ALTER TRIGGER a_bump ON triggers_nested RENAME TO z_bump;
UPDATE triggers_nested SET v = 3 WHERE id > 0;
SELECT * FROM pg_temp.events();
DROP TRIGGER z_bump ON triggers_nested;

-- A trigger that writes rows whose own captures are still to come.
CREATE FUNCTION triggers_nested_later() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		UPDATE triggers_nested SET note = note || NEW.id WHERE id > NEW.id;
		DELETE FROM triggers_nested WHERE id = NEW.id - 1;
		INSERT INTO triggers_nested VALUES (NEW.id + 100, 0, 'nested');
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER a_later AFTER UPDATE ON triggers_nested
	FOR EACH ROW EXECUTE FUNCTION triggers_nested_later();
UPDATE triggers_nested SET v = 10 * id WHERE id > 0;
SELECT * FROM pg_temp.events();
SELECT * FROM triggers_nested ORDER BY id;
DROP TRIGGER a_later ON triggers_nested;

-- Statement triggers, and a BEFORE trigger that writes another row first.
CREATE FUNCTION triggers_nested_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		INSERT INTO triggers_nested VALUES (NEW.id * 1000, 0, 'before');
		NEW.note := 'changed before';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER before_row BEFORE UPDATE ON triggers_nested
	FOR EACH ROW EXECUTE FUNCTION triggers_nested_before();
CREATE FUNCTION triggers_nested_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		UPDATE triggers_nested SET note = 'statement' WHERE id > 1000;
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER a_statement AFTER UPDATE ON triggers_nested
	EXECUTE FUNCTION triggers_nested_statement();
UPDATE triggers_nested SET v = -1 WHERE id = 3;
SELECT * FROM pg_temp.events();
DROP TRIGGER before_row ON triggers_nested;
DROP TRIGGER a_statement ON triggers_nested;

-- One command, several changes of one row: an updated row that the same command's trigger deletes.
CREATE FUNCTION triggers_nested_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM triggers_nested WHERE id = NEW.id;
	RETURN NULL;
END
$$;
CREATE TRIGGER a_delete AFTER INSERT OR UPDATE ON triggers_nested
	FOR EACH ROW EXECUTE FUNCTION triggers_nested_delete();
INSERT INTO triggers_nested VALUES (7, 7, 'short');
UPDATE triggers_nested SET v = 8 WHERE id = 3;
SELECT * FROM pg_temp.events();
DROP TRIGGER a_delete ON triggers_nested;

-- Data-modifying CTEs are one command; a function called by a query is nested ones.
WITH gone AS (DELETE FROM triggers_nested WHERE id > 100 RETURNING id, v)
INSERT INTO triggers_nested SELECT id + 10, v, 'from a CTE' FROM gone;
SELECT * FROM pg_temp.events();
CREATE FUNCTION triggers_nested_write(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO triggers_nested VALUES (n, n, 'function');
	UPDATE triggers_nested SET v = v + 1 WHERE id = n;
	RETURN n;
END
$$;
INSERT INTO triggers_nested SELECT triggers_nested_write(n) + 10, n, 'query' FROM generate_series(20, 21) n;
SELECT * FROM pg_temp.events();

-- Recursion to a depth.
CREATE FUNCTION triggers_nested_down() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.v > 0 THEN
		UPDATE triggers_nested SET v = NEW.v - 1 WHERE id = NEW.id;
		UPDATE triggers_nested SET note = note || NEW.v WHERE id = 50 AND NEW.v % 2 = 0;
	END IF;
	RETURN NULL;
END
$$;
INSERT INTO triggers_nested VALUES (50, 0, ''), (51, 0, '');
CREATE TRIGGER a_down AFTER UPDATE OF v ON triggers_nested
	FOR EACH ROW EXECUTE FUNCTION triggers_nested_down();
SELECT count(*) FROM pg_temp.events();
UPDATE triggers_nested SET v = 6 WHERE id = 51;
SELECT t, seq, action, id, data -> 'v' AS v, data ->> 'note' AS note, old FROM pg_temp.events();
-- The chain of every row is whole: each old value is what the event before showed.
UPDATE triggers_nested SET v = 60 WHERE id >= 50;
WITH e AS (SELECT seq, id, data ->> 'v' AS v, coalesce(old ->> 'v', data ->> 'v') AS old_v,
		lag(data ->> 'v') OVER (PARTITION BY id ORDER BY seq) AS before
	FROM pg_temp.events())
SELECT count(*), count(*) FILTER (WHERE before IS NOT NULL AND before <> old_v) AS broken FROM e;
DROP TABLE triggers_nested;
