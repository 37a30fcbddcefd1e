-- A change of the key: deleted with meta.newId, then created with meta.oldId.
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
	FROM realtime.event e WHERE e.feature = 'key_change' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE key_change (id int PRIMARY KEY, v int, status text DEFAULT 'new', big text);
ALTER TABLE key_change ALTER COLUMN big SET STORAGE EXTERNAL;
SELECT realtime.enable('key_change', 'key_change', 'row', status_column => 'status');
SELECT realtime.define_event('key_change', 'v_changed', columns => '{v}');
INSERT INTO key_change VALUES (1, 1), (2, 2), (3, 3);
SELECT count(*) FROM pg_temp.events();
UPDATE key_change SET id = 10 WHERE id = 1;
UPDATE key_change SET id = 20, v = 22 WHERE id = 2;
UPDATE key_change SET id = 30, status = 'moved' WHERE id = 3;
SELECT * FROM pg_temp.events();
-- keys passed along a chain, swapped by way of a third, and by a deferrable constraint
UPDATE key_change SET id = id - 10 WHERE id = 10;
UPDATE key_change SET id = id - 10 WHERE id = 20;
BEGIN;
UPDATE key_change SET id = -1 WHERE id = 0;
UPDATE key_change SET id = 0 WHERE id = 10;
UPDATE key_change SET id = 10 WHERE id = -1;
COMMIT;
SELECT * FROM pg_temp.events();
CREATE TABLE key_change_swap (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text);
SELECT realtime.enable('key_change_swap', 'key_change', 'swap');
INSERT INTO key_change_swap VALUES (1, 'one'), (2, 'two');
BEGIN;
UPDATE key_change_swap SET id = 2 WHERE v = 'one';
UPDATE key_change_swap SET id = 1 WHERE v = 'two';
COMMIT;
SELECT * FROM pg_temp.events();
-- and back: nothing is left changed, but both happened
BEGIN;
UPDATE key_change SET id = 5 WHERE id = 10;
UPDATE key_change SET id = 10 WHERE id = 5;
COMMIT;
SELECT * FROM pg_temp.events();
-- an untouched out-of-line value is named in both
UPDATE key_change SET big = repeat('b', 10000) WHERE id = 10;
SELECT count(*) FROM pg_temp.events();
UPDATE key_change SET id = 11 WHERE id = 10;
UPDATE key_change SET id = 12, big = repeat('c', 10000) WHERE id = 11;
SELECT action, id, data ->> 'id' AS data_id, left(data ->> 'big', 3) AS big, old, meta FROM pg_temp.events();
-- cascades of a key change
CREATE TABLE key_change_child (id int PRIMARY KEY, parent int REFERENCES key_change ON UPDATE CASCADE);
SELECT realtime.enable('key_change_child', 'key_change', 'child');
INSERT INTO key_change_child VALUES (1, 12), (2, 12);
UPDATE key_change SET id = 13 WHERE id = 12;
SELECT seq, entity, action, id, data -> 'parent' AS parent, old, meta FROM pg_temp.events();
-- a key other than the primary key, with nulls
CREATE TABLE key_change_named (id int PRIMARY KEY, code text UNIQUE);
SELECT realtime.enable('key_change_named', 'key_change', 'named', key => '{code}');
INSERT INTO key_change_named VALUES (1, 'a'), (2, NULL);
UPDATE key_change_named SET id = 3 WHERE id = 1;
UPDATE key_change_named SET code = 'b' WHERE id = 3;
UPDATE key_change_named SET code = 'c' WHERE id = 2;
DELETE FROM key_change_named WHERE id = 2;
SELECT seq, entity, action, id, data, old, meta FROM pg_temp.events();
DROP TABLE key_change_child, key_change, key_change_swap, key_change_named;
