-- coalesce: several changes of one row in a transaction become one, at the place of the first.
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
	FROM realtime.event e WHERE e.feature = 'coalesce' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE coalesce (id int PRIMARY KEY, v int, status text DEFAULT 'new', big text);
ALTER TABLE coalesce ALTER COLUMN big SET STORAGE EXTERNAL;
CREATE TABLE coalesce_not (id int PRIMARY KEY, v int);
SELECT realtime.enable('coalesce', 'coalesce', 'row', "coalesce" => true, status_column => 'status');
SELECT realtime.enable('coalesce_not', 'coalesce', 'not');
-- insert + update: one created with the last values
BEGIN;
INSERT INTO coalesce VALUES (1, 1);
UPDATE coalesce SET v = 2 WHERE id = 1;
UPDATE coalesce SET v = 3 WHERE id = 1;
COMMIT;
-- update + update: old is from before the first
BEGIN;
UPDATE coalesce SET v = 4 WHERE id = 1;
UPDATE coalesce SET big = 'b' WHERE id = 1;
UPDATE coalesce SET v = 5 WHERE id = 1;
COMMIT;
-- update and back: nothing
BEGIN;
UPDATE coalesce SET v = 6, status = 'x' WHERE id = 1;
UPDATE coalesce SET v = 5, status = 'new' WHERE id = 1;
COMMIT;
-- insert + delete: nothing
BEGIN;
INSERT INTO coalesce VALUES (2, 1);
UPDATE coalesce SET v = 2 WHERE id = 2;
DELETE FROM coalesce WHERE id = 2;
COMMIT;
SELECT * FROM pg_temp.events();
-- update + delete: deleted, with the old row from before the update
BEGIN;
UPDATE coalesce SET v = 9 WHERE id = 1;
DELETE FROM coalesce WHERE id = 1;
COMMIT;
INSERT INTO coalesce VALUES (1, 1), (2, 2), (3, 3);
SELECT * FROM pg_temp.events();
-- delete + insert: updated; the same row again: nothing; and once more deleted
BEGIN;
DELETE FROM coalesce WHERE id IN (1, 2, 3);
INSERT INTO coalesce VALUES (1, 10), (2, 2), (3, 30);
DELETE FROM coalesce WHERE id = 3;
COMMIT;
SELECT * FROM pg_temp.events();
-- insert + delete + insert + update, beside others that are not merged
BEGIN;
INSERT INTO coalesce_not VALUES (1, 1);
INSERT INTO coalesce VALUES (4, 1);
UPDATE coalesce_not SET v = 2 WHERE id = 1;
DELETE FROM coalesce WHERE id = 4;
UPDATE coalesce_not SET v = 3 WHERE id = 1;
INSERT INTO coalesce VALUES (4, 2);
DELETE FROM coalesce_not WHERE id = 1;
UPDATE coalesce SET v = 3 WHERE id = 4;
COMMIT;
SELECT * FROM pg_temp.events();
-- status: from before the first change to after the last, once
BEGIN;
UPDATE coalesce SET status = 'b' WHERE id = 1;
UPDATE coalesce SET status = 'c' WHERE id = 1;
COMMIT;
SELECT * FROM pg_temp.events();
-- savepoints: what is rolled back is not merged
BEGIN;
UPDATE coalesce SET v = 11 WHERE id = 1;
SAVEPOINT a;
UPDATE coalesce SET v = 12 WHERE id = 1;
DELETE FROM coalesce WHERE id = 2;
INSERT INTO coalesce VALUES (5, 1);
ROLLBACK TO a;
UPDATE coalesce SET v = 13 WHERE id = 1;
SAVEPOINT b;
INSERT INTO coalesce VALUES (6, 1);
RELEASE b;
UPDATE coalesce SET v = 2 WHERE id = 6;
COMMIT;
SELECT * FROM pg_temp.events();
-- Changes of the key are not merged across.
BEGIN;
UPDATE coalesce SET v = 20 WHERE id = 1;
UPDATE coalesce SET id = 100 WHERE id = 1;
UPDATE coalesce SET v = 21 WHERE id = 100;
UPDATE coalesce SET v = 22 WHERE id = 100;
COMMIT;
SELECT * FROM pg_temp.events();
-- keys exchanged
BEGIN;
UPDATE coalesce SET id = -1 WHERE id = 100;
UPDATE coalesce SET id = 100 WHERE id = 4;
UPDATE coalesce SET id = 4 WHERE id = -1;
UPDATE coalesce SET v = v + 1 WHERE id IN (4, 100);
UPDATE coalesce SET v = v + 1 WHERE id IN (4, 100);
COMMIT;
SELECT * FROM pg_temp.events();
-- nested triggers: merged in the order of the versions, not of arrival
CREATE FUNCTION coalesce_bump() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.v < 50 THEN
		UPDATE coalesce SET v = v + 10 WHERE id = NEW.id;
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER a_bump AFTER INSERT OR UPDATE ON coalesce FOR EACH ROW EXECUTE FUNCTION coalesce_bump();
UPDATE coalesce SET v = 15 WHERE id = 100;
INSERT INTO coalesce VALUES (7, 45);
SELECT * FROM pg_temp.events();
DROP TRIGGER a_bump ON coalesce;
-- out-of-line values: untouched, touched, touched and back
UPDATE coalesce SET big = repeat('b', 10000) WHERE id IN (7, 100);
SELECT count(*) FROM pg_temp.events();
BEGIN;
UPDATE coalesce SET v = 1 WHERE id = 7;
UPDATE coalesce SET v = 2 WHERE id = 7;
UPDATE coalesce SET big = repeat('c', 10000) WHERE id = 100;
UPDATE coalesce SET big = repeat('b', 10000) WHERE id = 100;
COMMIT;
SELECT t, seq, action, id, (data::jsonb - 'big') AS data, length(data ->> 'big') AS big, old, meta FROM pg_temp.events();
-- emit() and DDL in between keep their place
BEGIN;
UPDATE coalesce SET v = 3 WHERE id = 7;
SELECT realtime.emit('coalesce', 'row', 'between', '1');
UPDATE coalesce SET v = 4 WHERE id = 7;
COMMIT;
SELECT t, seq, action, id, data -> 'v' AS v, old FROM pg_temp.events();
-- rows that move between partitions
CREATE TABLE coalesce_part (id int, p int, v int, PRIMARY KEY (id, p)) PARTITION BY LIST (p);
CREATE TABLE coalesce_part_1 PARTITION OF coalesce_part FOR VALUES IN (1);
CREATE TABLE coalesce_part_2 (v int, p int NOT NULL, id int NOT NULL);
ALTER TABLE coalesce_part ATTACH PARTITION coalesce_part_2 FOR VALUES IN (2);
SELECT realtime.enable('coalesce_part', 'coalesce', 'part', key => '{id}', "coalesce" => true);
INSERT INTO coalesce_part VALUES (1, 1, 1), (2, 1, 1), (3, 1, 1);
BEGIN;
UPDATE coalesce_part SET v = 2 WHERE id = 1;
UPDATE coalesce_part SET p = 2 WHERE id IN (1, 2);
UPDATE coalesce_part SET v = 3 WHERE id = 1;
UPDATE coalesce_part SET p = 1 WHERE id = 2;
INSERT INTO coalesce_part VALUES (4, 1, 1);
UPDATE coalesce_part SET p = 2 WHERE id = 4;
UPDATE coalesce_part SET p = 2 WHERE id = 3;
DELETE FROM coalesce_part WHERE id = 3;
COMMIT;
SELECT * FROM pg_temp.events();
-- bulk_threshold counts what is left
SELECT realtime.enable('coalesce', 'coalesce', 'row', "coalesce" => true, bulk_threshold => 3);
BEGIN;
INSERT INTO coalesce VALUES (200, 1), (201, 1);
UPDATE coalesce SET v = 2 WHERE id >= 200;
UPDATE coalesce SET v = 3 WHERE id >= 200;
COMMIT;
BEGIN;
INSERT INTO coalesce VALUES (300, 1), (301, 1), (302, 1), (303, 1);
UPDATE coalesce SET v = 2 WHERE id >= 300;
COMMIT;
SELECT t, seq, action, id, data FROM pg_temp.events();
SELECT realtime.enable('coalesce', 'coalesce', 'row', "coalesce" => true);
-- composite keys with values that look alike
CREATE TABLE coalesce_composite (a text, b text, v int, PRIMARY KEY (a, b));
SELECT realtime.enable('coalesce_composite', 'coalesce', 'composite', "coalesce" => true);
BEGIN;
INSERT INTO coalesce_composite VALUES ('a","b":"b', '', 1), ('a', 'b', 1), ('ab', '', 1), ('', 'ab', 1);
UPDATE coalesce_composite SET v = 2 WHERE a = 'a' AND b = 'b';
COMMIT;
SELECT * FROM pg_temp.events();
-- larger than memory
SET realtime.pending_memory = '64kB';
BEGIN;
INSERT INTO coalesce SELECT n, 0, 'new' FROM generate_series(1001, 2000) n;
UPDATE coalesce SET v = v + 1 WHERE id > 1000;
DELETE FROM coalesce WHERE id > 1500;
COMMIT;
SELECT action, count(*), min(id), max(id), min(data ->> 'v'), max(data ->> 'v') FROM pg_temp.events()
GROUP BY 1 ORDER BY 1;
DROP TABLE coalesce, coalesce_not, coalesce_part, coalesce_composite;
