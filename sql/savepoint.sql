-- Savepoints and exception blocks: what rolls back vanishes, what stays keeps its order.
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
	FROM realtime.event e WHERE e.feature = 'savepoint' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE savepoint (id int PRIMARY KEY, v int);
SELECT realtime.enable('savepoint', 'savepoint', 'row');
BEGIN;
INSERT INTO savepoint VALUES (1, 1);
SAVEPOINT a;
INSERT INTO savepoint VALUES (2, 2);
UPDATE savepoint SET v = 10 WHERE id = 1;
ROLLBACK TO a;
INSERT INTO savepoint VALUES (3, 3);
SAVEPOINT b;
UPDATE savepoint SET v = 20 WHERE id = 1;
RELEASE b;
ROLLBACK TO a;
UPDATE savepoint SET v = 30 WHERE id = 1;
COMMIT;
SELECT * FROM pg_temp.events();

-- All of it rolled back: no transaction in the log at all.
BEGIN;
SAVEPOINT a;
INSERT INTO savepoint VALUES (2, 2);
ROLLBACK TO a;
COMMIT;
BEGIN;
INSERT INTO savepoint VALUES (2, 2);
ROLLBACK;
INSERT INTO savepoint VALUES (2, 2), (1, 1);
INSERT INTO savepoint VALUES (2, 2);
SELECT * FROM pg_temp.events();

-- The first change is made in a savepoint; savepoints released into each other, levels skipped.
BEGIN;
SAVEPOINT a;
SAVEPOINT b;
SAVEPOINT c;
INSERT INTO savepoint VALUES (10, 0);
RELEASE c;
SAVEPOINT d;
UPDATE savepoint SET v = 1 WHERE id = 10;
SAVEPOINT e;
UPDATE savepoint SET v = 2 WHERE id = 10;
RELEASE d;
SAVEPOINT f;
UPDATE savepoint SET v = 3 WHERE id = 10;
ROLLBACK TO f;
UPDATE savepoint SET v = 4 WHERE id = 10;
ROLLBACK TO b;
INSERT INTO savepoint VALUES (11, 0);
SAVEPOINT g;
UPDATE savepoint SET v = 1 WHERE id = 11;
RELEASE a;
UPDATE savepoint SET v = 2 WHERE id = 11;
COMMIT;
SELECT * FROM pg_temp.events();

-- The same name twice, an error in between.
BEGIN;
SAVEPOINT a;
INSERT INTO savepoint VALUES (20, 0);
SAVEPOINT a;
UPDATE savepoint SET v = 1 / (v - v) WHERE id = 20;
ROLLBACK TO a;
UPDATE savepoint SET v = 5 WHERE id = 20;
RELEASE a;
ROLLBACK TO a;
INSERT INTO savepoint VALUES (21, 0);
COMMIT;
SELECT * FROM pg_temp.events();

-- Exception blocks
DO $$
BEGIN
	INSERT INTO savepoint VALUES (30, 0);
	FOR i IN 1..4 LOOP
		BEGIN
			UPDATE savepoint SET v = i WHERE id = 30;
			BEGIN
				INSERT INTO savepoint VALUES (30 + i, i);
				IF i = 3 THEN
					RAISE EXCEPTION 'inner';
				END IF;
			EXCEPTION WHEN raise_exception THEN
				INSERT INTO savepoint VALUES (300 + i, i);
			END;
			IF i = 2 THEN
				RAISE EXCEPTION 'outer';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
END
$$;
SELECT * FROM pg_temp.events();
SELECT * FROM savepoint WHERE id >= 30 ORDER BY id;

-- A row that fails alone: unique violations caught one by one.
CREATE FUNCTION savepoint_try(n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO savepoint VALUES (n, -n);
	RETURN 'inserted';
EXCEPTION WHEN unique_violation THEN
	RETURN 'was there';
END
$$;
SELECT n, savepoint_try(n) FROM generate_series(30, 37) n ORDER BY n;
SELECT * FROM pg_temp.events();

-- Nested triggers in subtransactions: several piles, cut together.
CREATE FUNCTION savepoint_nested() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.v BETWEEN 100 AND 102 THEN
		BEGIN
			UPDATE savepoint SET v = v + 1 WHERE id = NEW.id;
			IF NEW.v = 101 THEN
				RAISE EXCEPTION 'not this one';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			UPDATE savepoint SET v = 200 WHERE id = NEW.id;
		END;
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER a_nested AFTER UPDATE ON savepoint FOR EACH ROW EXECUTE FUNCTION savepoint_nested();
BEGIN;
UPDATE savepoint SET v = 100 WHERE id IN (1, 2);
SAVEPOINT a;
UPDATE savepoint SET v = 100 WHERE id IN (1, 2);
ROLLBACK TO a;
UPDATE savepoint SET v = 102 WHERE id = 2;
COMMIT;
SELECT * FROM pg_temp.events();
DROP TRIGGER a_nested ON savepoint;

-- Procedures that commit, COMMIT AND CHAIN.
CREATE PROCEDURE savepoint_commits() LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO savepoint VALUES (50, 0);
	COMMIT;
	INSERT INTO savepoint VALUES (51, 0);
	ROLLBACK;
	INSERT INTO savepoint VALUES (52, 0);
	BEGIN
		INSERT INTO savepoint VALUES (52, 1);
	EXCEPTION WHEN unique_violation THEN
		UPDATE savepoint SET v = 1 WHERE id = 52;
	END;
	COMMIT;
END
$$;
CALL savepoint_commits();
BEGIN;
INSERT INTO savepoint VALUES (60, 0);
COMMIT AND CHAIN;
INSERT INTO savepoint VALUES (61, 0);
ROLLBACK AND CHAIN;
INSERT INTO savepoint VALUES (62, 0);
COMMIT;
SELECT * FROM pg_temp.events();
-- Hundreds of subtransactions, every other one rolled back.
DO $$
BEGIN
	FOR i IN 1..400 LOOP
		BEGIN
			INSERT INTO savepoint VALUES (1000 + i, i);
			IF i % 2 = 0 THEN
				RAISE EXCEPTION 'even';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
END
$$;
SELECT count(*), min(id), max(id), count(*) FILTER (WHERE id::int % 2 = 0) AS even,
	bool_and(id::int = 1001 + 2 * seq) AS in_order FROM pg_temp.events();
DROP TABLE savepoint;
