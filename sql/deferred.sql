-- Deferred constraints and deferred triggers: what they write at commit is part of the transaction.
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
	FROM realtime.event e WHERE e.feature = 'deferred' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE deferred_parent (id int PRIMARY KEY, v int, UNIQUE (v) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE deferred_child (id int PRIMARY KEY,
	parent int REFERENCES deferred_parent ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
SELECT realtime.enable('deferred_parent', 'deferred', 'parent');
SELECT realtime.enable('deferred_child', 'deferred', 'child');
-- The child first, its parent later.
BEGIN;
INSERT INTO deferred_child VALUES (1, 1);
INSERT INTO deferred_parent VALUES (1, 1), (2, 2);
COMMIT;
SELECT * FROM pg_temp.events();
-- Values swapped.
BEGIN;
UPDATE deferred_parent SET v = 3 - v WHERE id > 0;
COMMIT;
SELECT * FROM pg_temp.events();
-- A deferred constraint that fails at commit: no events.
BEGIN;
INSERT INTO deferred_child VALUES (2, 77);
COMMIT;
BEGIN;
UPDATE deferred_parent SET v = 5 WHERE id > 0;
COMMIT;
SELECT * FROM pg_temp.events();

-- Deferred triggers that write: the row again, other rows, rows of other tables.
CREATE FUNCTION deferred_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.v < 100 THEN
		UPDATE deferred_parent SET v = v + 100 WHERE id = NEW.id;
		INSERT INTO deferred_child VALUES (NEW.id * 10, NEW.id);
	END IF;
	RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER a_late AFTER INSERT OR UPDATE ON deferred_parent DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION deferred_late();
BEGIN;
INSERT INTO deferred_parent VALUES (3, 3);
INSERT INTO deferred_parent VALUES (4, 4);
DELETE FROM deferred_parent WHERE id = 1;
COMMIT;
SELECT * FROM pg_temp.events();
-- SET CONSTRAINTS runs them earlier, a savepoint takes them back.
BEGIN;
INSERT INTO deferred_parent VALUES (5, 5);
SAVEPOINT a;
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK TO a;
INSERT INTO deferred_parent VALUES (6, 6);
SET CONSTRAINTS ALL IMMEDIATE;
INSERT INTO deferred_parent VALUES (7, 7);
COMMIT;
SELECT * FROM pg_temp.events();
-- A deferred trigger that fails in a block of its own.
CREATE FUNCTION deferred_fails() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		UPDATE deferred_parent SET v = -v WHERE id = NEW.id;
		PERFORM 1 / (NEW.v - NEW.v);
	EXCEPTION WHEN division_by_zero THEN
		UPDATE deferred_parent SET v = 1000 + NEW.id WHERE id = NEW.id;
	END;
	RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER b_fails AFTER INSERT ON deferred_parent DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION deferred_fails();
INSERT INTO deferred_parent VALUES (8, 200);
SELECT * FROM pg_temp.events();
-- emit() in a deferred trigger
CREATE FUNCTION deferred_emit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM realtime.emit('deferred', 'parent', 'settled', to_jsonb(NEW), NEW.id::text);
	RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER c_emit AFTER UPDATE ON deferred_parent DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW WHEN (NEW.v > 500) EXECUTE FUNCTION deferred_emit();
BEGIN;
UPDATE deferred_parent SET v = 500 + id WHERE id IN (2, 3);
UPDATE deferred_parent SET v = 150 WHERE id = 4;
COMMIT;
SELECT * FROM pg_temp.events();
DROP TABLE deferred_child, deferred_parent;
