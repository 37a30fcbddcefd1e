-- ALTER TABLE beside cached plans, and DDL in the transaction that has pending changes of the table.
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
	FROM realtime.event e WHERE e.feature = 'alter_table' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
-- (The marker's order and reasons are the business of the file ddl.)
CREATE TABLE alter_table (id int PRIMARY KEY, a int, b text, big text);
ALTER TABLE alter_table ALTER COLUMN big SET STORAGE EXTERNAL;
SELECT realtime.enable('alter_table', 'alter_table', 'row');
-- Plans are cached, and so are our definitions.
SET plan_cache_mode = force_generic_plan;
PREPARE ins(int) AS INSERT INTO alter_table (id, a) VALUES ($1, $1);
PREPARE upd(int) AS UPDATE alter_table SET a = a + 1 WHERE id = $1;
PREPARE del(int) AS DELETE FROM alter_table WHERE id = $1;
CREATE FUNCTION alter_table_write(n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO alter_table (id, a) VALUES (n, n);
	UPDATE alter_table SET a = a + 1 WHERE id = n;
	DELETE FROM alter_table WHERE id = n;
END
$$;
EXECUTE ins(1);
SELECT alter_table_write(9);
ALTER TABLE alter_table ADD COLUMN c int DEFAULT 7;
EXECUTE upd(1);
EXECUTE ins(2);
SELECT alter_table_write(9);
ALTER TABLE alter_table DROP COLUMN b;
EXECUTE upd(1);
EXECUTE ins(3);
ALTER TABLE alter_table ALTER COLUMN a TYPE text USING 'x' || a;
DEALLOCATE upd;
PREPARE upd(int) AS UPDATE alter_table SET a = a || '!' WHERE id = $1;
EXECUTE upd(1);
ALTER TABLE alter_table RENAME COLUMN c TO see;
EXECUTE upd(2);
EXECUTE del(2);
SELECT * FROM pg_temp.events() WHERE action <> 'resync';
-- Renamed and moved: the names of feature and entity stay.
ALTER TABLE alter_table RENAME TO alter_table_renamed;
CREATE SCHEMA alter_table_schema;
ALTER TABLE alter_table_renamed SET SCHEMA alter_table_schema;
UPDATE alter_table_schema.alter_table_renamed SET see = 8 WHERE id = 1;
ALTER TABLE alter_table_schema.alter_table_renamed SET SCHEMA public;
ALTER TABLE alter_table_renamed RENAME TO alter_table;
EXECUTE upd(3);
SELECT * FROM pg_temp.events() WHERE action <> 'resync';

-- In one transaction: rows as they were when they were written, with what was in them.
BEGIN;
INSERT INTO alter_table VALUES (10, 'before', repeat('v', 10000), 1);
UPDATE alter_table SET a = 'changed' WHERE id = 10;
UPDATE alter_table SET big = repeat('w', 12000) WHERE id = 10;
ALTER TABLE alter_table DROP COLUMN a;
UPDATE alter_table SET see = 2 WHERE id = 10;
ALTER TABLE alter_table ADD COLUMN a int DEFAULT 5, ALTER COLUMN see TYPE numeric(10,2);
INSERT INTO alter_table VALUES (11, NULL, 1.5, 6);
COMMIT;
SELECT t, seq, action, id, (data::jsonb - 'big') AS data, length(data ->> 'big') AS big,
	left(old::text, 30) AS old, meta FROM pg_temp.events() WHERE action <> 'resync';

-- TRUNCATE after INSERT of out-of-line values, then more.
BEGIN;
INSERT INTO alter_table VALUES (12, repeat('x', 10000), 1, 1);
DELETE FROM alter_table WHERE id = 10;
TRUNCATE alter_table;
INSERT INTO alter_table VALUES (13, repeat('y', 10000), 1, 1);
COMMIT;
SELECT t, seq, action, id, left(data ->> 'big', 3) AS big, length(data ->> 'big') AS length FROM pg_temp.events();
-- with savepoints rolled back in between
BEGIN;
INSERT INTO alter_table VALUES (14, repeat('1', 10000), 1, 1);
SAVEPOINT a;
INSERT INTO alter_table VALUES (15, repeat('2', 10000), 1, 1);
TRUNCATE alter_table;
INSERT INTO alter_table VALUES (16, repeat('3', 10000), 1, 1);
ROLLBACK TO a;
INSERT INTO alter_table VALUES (17, repeat('4', 10000), 1, 1);
SAVEPOINT b;
TRUNCATE alter_table;
RELEASE b;
INSERT INTO alter_table VALUES (18, repeat('5', 10000), 1, 1);
COMMIT;
SELECT t, seq, action, id, left(data ->> 'big', 3) AS big, length(data ->> 'big') AS length FROM pg_temp.events();
-- the same with DDL
BEGIN;
UPDATE alter_table SET a = 2 WHERE id = 18;
SAVEPOINT a;
UPDATE alter_table SET a = 3 WHERE id = 18;
SAVEPOINT b;
UPDATE alter_table SET a = 4 WHERE id = 18;
ALTER TABLE alter_table ALTER COLUMN a TYPE text USING a || '!';
UPDATE alter_table SET a = 'gone' WHERE id = 18;
ROLLBACK TO b;
UPDATE alter_table SET a = 5 WHERE id = 18;
ALTER TABLE alter_table DROP COLUMN big;
ROLLBACK TO a;
UPDATE alter_table SET a = 6 WHERE id = 18;
COMMIT;
SELECT t, seq, action, id, (data::jsonb - 'big') AS data, old FROM pg_temp.events();
-- a rewrite rolled back, then changes; a rewrite that stays
BEGIN;
SAVEPOINT a;
ALTER TABLE alter_table ALTER COLUMN a TYPE text USING a || '!';
UPDATE alter_table SET a = 'gone' WHERE id = 18;
ROLLBACK TO a;
INSERT INTO alter_table VALUES (19, repeat('6', 10000), 1, 1);
UPDATE alter_table SET a = 7 WHERE id IN (18, 19);
CLUSTER alter_table USING alter_table_pkey;
UPDATE alter_table SET a = 8 WHERE id IN (18, 19);
COMMIT;
SELECT t, seq, action, id, (data::jsonb - 'big') AS data, length(data ->> 'big') AS length, old, meta
FROM pg_temp.events();

-- DROP TABLE after INSERT of out-of-line values; the table's events are there, and a marker.
CREATE TABLE alter_table_gone (id int PRIMARY KEY, big text);
ALTER TABLE alter_table_gone ALTER COLUMN big SET STORAGE EXTERNAL;
SELECT realtime.enable('alter_table_gone', 'alter_table', 'gone');
INSERT INTO alter_table_gone VALUES (1, 'one');
BEGIN;
INSERT INTO alter_table_gone VALUES (2, repeat('z', 10000));
SAVEPOINT a;
DROP TABLE alter_table_gone;
ROLLBACK TO a;
UPDATE alter_table_gone SET big = repeat('u', 10000) WHERE id = 1;
DELETE FROM alter_table_gone WHERE id = 2;
DROP TABLE alter_table_gone;
COMMIT;
SELECT t, seq, entity, action, id, left(data ->> 'big', 3) AS big, length(data ->> 'big') AS length,
	data -> 'reason' AS reason FROM pg_temp.events();
-- A table that lives and dies in one transaction.
BEGIN;
CREATE TABLE alter_table_short (id int PRIMARY KEY, big text);
SELECT realtime.enable('alter_table_short', 'alter_table', 'short');
INSERT INTO alter_table_short VALUES (1, repeat('s', 100000));
DROP TABLE alter_table_short;
COMMIT;
SELECT t, seq, entity, action, id, length(data ->> 'big') AS length, data -> 'reason' AS reason FROM pg_temp.events();
-- Types that values are made of: an enum's labels, a composite's attributes.
CREATE TYPE alter_table_mood AS ENUM ('sad', 'happy');
CREATE TYPE alter_table_pair AS (x int, y int);
CREATE TABLE alter_table_typed (id int PRIMARY KEY, mood alter_table_mood, pair alter_table_pair);
SELECT realtime.enable('alter_table_typed', 'alter_table', 'typed');
BEGIN;
INSERT INTO alter_table_typed VALUES (1, 'sad', (1, 2));
ALTER TYPE alter_table_mood RENAME VALUE 'sad' TO 'glad';
INSERT INTO alter_table_typed VALUES (2, 'glad', (3, 4));
ALTER TYPE alter_table_pair RENAME ATTRIBUTE y TO z;
INSERT INTO alter_table_typed VALUES (3, 'happy', (5, 6));
ALTER TYPE alter_table_pair DROP ATTRIBUTE x CASCADE, ADD ATTRIBUTE w text CASCADE;
INSERT INTO alter_table_typed VALUES (4, 'happy', ROW(7, 'w'));
UPDATE alter_table_typed SET mood = 'happy' WHERE id = 1;
COMMIT;
SELECT * FROM pg_temp.events() WHERE action <> 'resync';
-- Spilled before the DDL, with triggers that nest and savepoints that point into the files.
SET realtime.pending_memory = '64kB';
CREATE FUNCTION alter_table_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE alter_table SET a = a + 1000 WHERE id = NEW.id;
	RETURN NULL;
END
$$;
CREATE TRIGGER a_again AFTER INSERT ON alter_table FOR EACH ROW EXECUTE FUNCTION alter_table_again();
BEGIN;
INSERT INTO alter_table SELECT n, repeat('s', 50), 1, n FROM generate_series(1001, 1500) n;
SAVEPOINT a;
INSERT INTO alter_table SELECT n, repeat('s', 50), 1, n FROM generate_series(1501, 2000) n;
SAVEPOINT b;
INSERT INTO alter_table SELECT n, repeat('s', 50), 1, n FROM generate_series(2001, 2500) n;
ALTER TABLE alter_table ADD COLUMN added int;
DELETE FROM alter_table WHERE id > 1000;
ROLLBACK TO b;
INSERT INTO alter_table SELECT n, repeat('s', 50), 1, n FROM generate_series(2501, 2510) n;
ALTER TABLE alter_table ADD COLUMN added int;
ROLLBACK TO a;
INSERT INTO alter_table SELECT n, repeat('s', 50), 1, n FROM generate_series(2511, 2520) n;
COMMIT;
SELECT action, count(*), min(seq), max(seq), min(id), max(id),
	count(*) FILTER (WHERE action = 'updated' AND (data ->> 'a')::int <> id::int + 1000) AS wrong
FROM pg_temp.events() GROUP BY 1, seq >= 1000 ORDER BY min(seq);
DROP TABLE alter_table, alter_table_typed;
