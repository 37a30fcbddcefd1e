-- An UPDATE that changes nothing captured emits nothing.
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
	FROM realtime.event e WHERE e.feature = 'no_change' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE no_change (id int PRIMARY KEY, v int, t text, f float8, n numeric, d date, j json, jb jsonb, a int[], secret text, big text);
ALTER TABLE no_change ALTER COLUMN big SET STORAGE EXTERNAL;
SELECT realtime.enable('no_change', 'no_change', 'row', exclude => '{secret}');
INSERT INTO no_change VALUES (1, 1, 'a', 1.5, 1.50, '2026-01-01', '{"a": 1}', '{"a": 1}', '{1,2}', 's', repeat('b', 5000));
INSERT INTO no_change (id) VALUES (2);
SELECT count(*) FROM pg_temp.events();
UPDATE no_change SET v = v WHERE id > 0;
UPDATE no_change SET id = id, v = v + 0, t = t || '', f = f * 1, n = n + 0, d = d + 0, j = j, jb = jb || '{}', a = a || '{}'::int[] WHERE id = 1;
UPDATE no_change SET secret = 'changed' WHERE id > 0;
UPDATE no_change SET big = big WHERE id > 0;
-- the same text stored anew, or in another way
UPDATE no_change SET big = repeat('b', 5000) WHERE id = 1;
ALTER TABLE no_change ALTER COLUMN big SET STORAGE EXTENDED;
SELECT count(*) FROM pg_temp.events() WHERE action <> 'resync';
UPDATE no_change SET big = repeat('b', 5000) WHERE id = 1;
ALTER TABLE no_change ALTER COLUMN t SET STORAGE MAIN;
UPDATE no_change SET t = repeat('t', 3000) WHERE id = 2;
SELECT count(*) FROM pg_temp.events() WHERE action <> 'resync';
UPDATE no_change SET t = repeat('t', 1500) || repeat('t', 1500) WHERE id = 2;
SELECT count(*) FROM pg_temp.events();
-- nulls stay nulls
UPDATE no_change SET v = NULL, f = NULL WHERE id = 2;
SELECT count(*) FROM pg_temp.events();
-- and back within one transaction is two changes (unless the entity coalesces)
BEGIN;
UPDATE no_change SET v = 2 WHERE id = 1;
UPDATE no_change SET v = 1 WHERE id = 1;
COMMIT;
SELECT seq, action, old FROM pg_temp.events();
-- what looks equal but reads differently is a change
UPDATE no_change SET n = 1.500, f = '-0', jb = '{"a": 1.0}', j = '{"a":1}' WHERE id = 1;
UPDATE no_change SET f = 0 WHERE id = 1;
SELECT seq, action, data -> 'n' AS n, data -> 'f' AS f, data -> 'jb' AS jb, data -> 'j' AS j, old FROM pg_temp.events();
-- NaN is NaN
UPDATE no_change SET f = 'NaN', n = 'NaN' WHERE id = 1;
SELECT count(*) FROM pg_temp.events();
UPDATE no_change SET f = 'NaN', n = 'NaN' WHERE id = 1;
SELECT count(*) FROM pg_temp.events();
-- with a status and defined events: nothing follows from nothing
SELECT realtime.enable('no_change', 'no_change', 'row', status_column => 't', exclude => '{secret}');
SELECT realtime.define_event('no_change', 'always', condition => 'true');
UPDATE no_change SET t = t, secret = 'again' WHERE id > 0;
-- suppress_redundant_updates_trigger and a BEFORE trigger that undoes
CREATE FUNCTION no_change_undo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RETURN OLD;
END
$$;
CREATE TRIGGER undo BEFORE UPDATE ON no_change FOR EACH ROW EXECUTE FUNCTION no_change_undo();
UPDATE no_change SET t = 'x', v = 99 WHERE id > 0;
SELECT * FROM pg_temp.events();
DROP TABLE no_change;
