-- Generated and dropped columns, added columns with a default that old rows do not store.
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
	FROM realtime.event e WHERE e.feature = 'generated_dropped' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE generated_dropped (gone1 text, id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, gone2 int, a int, b int DEFAULT 2,
	total int GENERATED ALWAYS AS (a * 10) STORED, label text GENERATED ALWAYS AS ('row ' || a) STORED);
ALTER TABLE generated_dropped DROP COLUMN gone1;
SELECT realtime.enable('generated_dropped', 'generated_dropped', 'row', status_column => 'label');
INSERT INTO generated_dropped (a) VALUES (1), (2);
ALTER TABLE generated_dropped DROP COLUMN gone2;
INSERT INTO generated_dropped (a) VALUES (3);
UPDATE generated_dropped SET a = a + 1 WHERE id = 1;
UPDATE generated_dropped SET b = 3 WHERE id = 2;
SELECT * FROM pg_temp.events() WHERE action <> 'resync';
-- what rows do not store is there: constant defaults, nulls, volatile defaults
ALTER TABLE generated_dropped ADD COLUMN c text DEFAULT 'default', ADD COLUMN d numeric;
ALTER TABLE generated_dropped ALTER COLUMN c SET DEFAULT 'other';
UPDATE generated_dropped SET b = 4 WHERE id = 1;
UPDATE generated_dropped SET c = 'default' WHERE id = 2;
DELETE FROM generated_dropped WHERE id = 3;
INSERT INTO generated_dropped (a) VALUES (4);
SELECT * FROM pg_temp.events() WHERE action <> 'resync';
-- a key whose value is a missing one
ALTER TABLE generated_dropped ADD COLUMN k int DEFAULT 42;
SELECT realtime.enable('generated_dropped', 'generated_dropped', 'row', key => '{k,id}');
UPDATE generated_dropped SET a = 5 WHERE id = 1;
SELECT realtime.enable('generated_dropped', 'generated_dropped', 'row', key => '{k}');
DELETE FROM generated_dropped WHERE id = 2;
SELECT * FROM pg_temp.events() WHERE action <> 'resync';
-- in partitions and children with other dropped columns
CREATE TABLE generated_dropped_part (gone int, id int, a int, g int GENERATED ALWAYS AS (a + 1) STORED) PARTITION BY RANGE (id);
ALTER TABLE generated_dropped_part DROP COLUMN gone;
CREATE TABLE generated_dropped_part_1 PARTITION OF generated_dropped_part FOR VALUES FROM (0) TO (10);
CREATE TABLE generated_dropped_part_2 (g int GENERATED ALWAYS AS (a + 1) STORED, x text, a int, y text, id int);
ALTER TABLE generated_dropped_part_2 DROP COLUMN x, DROP COLUMN y;
ALTER TABLE generated_dropped_part ATTACH PARTITION generated_dropped_part_2 FOR VALUES FROM (10) TO (20);
SELECT realtime.enable('generated_dropped_part', 'generated_dropped', 'part', key => '{id}');
INSERT INTO generated_dropped_part (id, a) VALUES (1, 1), (11, 11);
UPDATE generated_dropped_part SET a = 0 WHERE id > 0;
UPDATE generated_dropped_part SET id = id + 10, a = 7 WHERE id = 1;
SELECT * FROM pg_temp.events();
-- many columns dropped: more attributes than columns
DO $$
BEGIN
	FOR i IN 1..100 LOOP
		EXECUTE format('ALTER TABLE generated_dropped_part ADD COLUMN x%s int DEFAULT %s', i, i);
	END LOOP;
	FOR i IN 1..99 LOOP
		EXECUTE format('ALTER TABLE generated_dropped_part DROP COLUMN x%s', i);
	END LOOP;
END
$$;
UPDATE generated_dropped_part SET a = 8 WHERE id = 11 AND a = 7;
SELECT * FROM pg_temp.events() WHERE action <> 'resync';
DROP TABLE generated_dropped, generated_dropped_part;
