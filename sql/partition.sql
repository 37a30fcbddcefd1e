-- Partitioned tables: events name the root; a row that moves between partitions is one update.
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
	FROM realtime.event e WHERE e.feature = 'partition' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE partition_t (id int, region text, v int, note text DEFAULT 'n',
	PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE partition_eu PARTITION OF partition_t FOR VALUES IN ('eu');
-- Other column order, a dropped column, more levels.
CREATE TABLE partition_us (dropped int, v int, region text NOT NULL, note text, id int NOT NULL);
ALTER TABLE partition_us DROP COLUMN dropped;
ALTER TABLE partition_t ATTACH PARTITION partition_us FOR VALUES IN ('us');
CREATE TABLE partition_asia PARTITION OF partition_t FOR VALUES IN ('jp', 'cn')
	PARTITION BY RANGE (id);
CREATE TABLE partition_asia_1 PARTITION OF partition_asia FOR VALUES FROM (1) TO (100);
CREATE TABLE partition_asia_2 PARTITION OF partition_asia FOR VALUES FROM (100) TO (200);
SELECT realtime.enable('partition_t', 'partition', 'row', key => '{id}');
INSERT INTO partition_t VALUES (1, 'eu', 1), (2, 'us', 2), (3, 'jp', 3), (103, 'cn', 103);
-- directly into a leaf
INSERT INTO partition_us (id, region, v) VALUES (4, 'us', 4);
UPDATE partition_t SET v = v + 1 WHERE id < 100;
UPDATE partition_asia_2 SET v = 0 WHERE id > 0;
DELETE FROM partition_us WHERE id = 4;
SELECT * FROM pg_temp.events();

-- Moves
UPDATE partition_t SET region = 'us' WHERE id = 1;
UPDATE partition_t SET region = 'jp' WHERE region = 'us' AND id > 0;
-- with a change of the key as well
UPDATE partition_t SET id = id + 100, note = 'moved' WHERE id = 3;
-- a move and a change that stays, in one command
UPDATE partition_t SET region = CASE id WHEN 1 THEN 'eu' ELSE region END, v = 7 WHERE id < 100;
SELECT * FROM pg_temp.events();

-- A move whose INSERT a trigger suppresses is a deletion; one whose DELETE is suppressed, nothing.
CREATE FUNCTION partition_suppress() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RETURN NULL;
END
$$;
CREATE TRIGGER suppress BEFORE INSERT ON partition_us
	FOR EACH ROW WHEN (NEW.note = 'suppress') EXECUTE FUNCTION partition_suppress();
INSERT INTO partition_t VALUES (5, 'eu', 5, 'suppress'), (6, 'eu', 6, 'keep'), (7, 'eu', 7, 'suppress');
UPDATE partition_t SET region = 'us' WHERE id BETWEEN 5 AND 7;
SELECT * FROM pg_temp.events();
-- What the same command inserts besides is another row.
INSERT INTO partition_t VALUES (8, 'eu', 8, 'suppress');
WITH moved AS (UPDATE partition_t SET region = 'us' WHERE id = 8)
INSERT INTO partition_t VALUES (9, 'eu', 9, 'other');
SELECT * FROM pg_temp.events();
DROP TRIGGER suppress ON partition_us;

-- AFTER triggers of the partitions that write the moved row and others.
CREATE FUNCTION partition_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		UPDATE partition_t SET v = v + 1000 WHERE id = coalesce(NEW.id, OLD.id) OR id = 6;
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER a_after AFTER INSERT OR UPDATE OR DELETE ON partition_t
	FOR EACH ROW EXECUTE FUNCTION partition_after();
UPDATE partition_t SET region = 'eu' WHERE id = 2;
SELECT * FROM pg_temp.events();
-- several moves in one command
UPDATE partition_t SET region = CASE region WHEN 'eu' THEN 'us' ELSE 'eu' END WHERE id IN (1, 2, 6);
SELECT seq, action, id, data ->> 'region' AS region, data ->> 'v' AS v, old FROM pg_temp.events();
DROP TRIGGER a_after ON partition_t;

-- A move and back in one transaction; moves in savepoints.
BEGIN;
UPDATE partition_t SET region = 'cn' WHERE id = 1;
UPDATE partition_t SET region = 'us' WHERE id = 1;
SAVEPOINT s;
UPDATE partition_t SET region = 'eu' WHERE id = 1;
ROLLBACK TO s;
UPDATE partition_t SET note = 'kept' WHERE id = 1;
COMMIT;
SELECT * FROM pg_temp.events();

-- Default partitions, partitions made and filled in the same transaction.
BEGIN;
CREATE TABLE partition_default PARTITION OF partition_t DEFAULT;
INSERT INTO partition_t VALUES (10, 'xx', 10);
UPDATE partition_t SET region = 'eu' WHERE id = 10;
COMMIT;
SELECT * FROM pg_temp.events();

-- Large transactions: moves are joined when the changes are on disk, too.
CREATE TABLE partition_far (id int, region int, v int, pad text, PRIMARY KEY (id, region))
	PARTITION BY RANGE (region);
CREATE TABLE partition_far_0 PARTITION OF partition_far FOR VALUES FROM (0) TO (10);
CREATE TABLE partition_far_1 (pad text, v int, region int NOT NULL, id int NOT NULL);
ALTER TABLE partition_far ATTACH PARTITION partition_far_1 FOR VALUES FROM (10) TO (20);
SELECT realtime.enable('partition_far', 'partition', 'far', key => '{id}');
INSERT INTO partition_far SELECT n, 1, n, repeat(chr(97 + n % 26), 100 + n) FROM generate_series(1, 500) n;
SELECT count(*) FROM pg_temp.events();
CREATE TEMP TABLE in_memory (seq int, action text, id text, data text, old text, meta jsonb);
BEGIN;
UPDATE partition_far SET region = 11, v = v + 1 WHERE id > 0;
UPDATE partition_far SET region = 2 WHERE id > 0 AND id % 2 = 0;
UPDATE partition_far SET id = -id, region = 12 WHERE id > 0 AND id % 10 = 0;
COMMIT;
INSERT INTO in_memory SELECT seq, action, id, data::text, old::text, meta FROM pg_temp.events();
SELECT action, count(*), count(distinct id), count(meta) FROM in_memory GROUP BY 1 ORDER BY 1;
SELECT seq, action, id, length(data), old, meta FROM in_memory WHERE id IN ('20', '-20') ORDER BY seq;
-- back to where it was, then the same with little memory
BEGIN;
SET LOCAL realtime.enabled = off;
UPDATE partition_far SET id = abs(id), region = 1, v = abs(id) WHERE id <> 0;
COMMIT;
SELECT * FROM pg_temp.events();
SET realtime.pending_memory = '64kB';
BEGIN;
UPDATE partition_far SET region = 11, v = v + 1 WHERE id > 0;
UPDATE partition_far SET region = 2 WHERE id > 0 AND id % 2 = 0;
UPDATE partition_far SET id = -id, region = 12 WHERE id > 0 AND id % 10 = 0;
COMMIT;
CREATE TEMP TABLE on_disk AS
	SELECT seq, action, id, data::text, old::text, meta FROM pg_temp.events();
SELECT count(*) FROM on_disk;
SELECT (SELECT array_agg(m ORDER BY seq) FROM in_memory m)
	= (SELECT array_agg(d::text::in_memory ORDER BY seq) FROM on_disk d) AS same;
RESET realtime.pending_memory;
DROP TABLE partition_t, partition_far;
