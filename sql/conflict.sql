-- INSERT ... ON CONFLICT and MERGE: the action is what happened to the row.
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
	FROM realtime.event e WHERE e.feature = 'conflict' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE conflict (id int PRIMARY KEY, v int, note text);
SELECT realtime.enable('conflict', 'conflict', 'row');
INSERT INTO conflict VALUES (1, 1), (2, 2);
INSERT INTO conflict VALUES (1, 10), (3, 3) ON CONFLICT DO NOTHING;
INSERT INTO conflict VALUES (2, 20), (4, 4) ON CONFLICT (id) DO UPDATE SET v = excluded.v;
INSERT INTO conflict VALUES (2, 20), (1, 100) ON CONFLICT (id) DO UPDATE SET v = excluded.v WHERE conflict.id <> 1;
INSERT INTO conflict VALUES (3, 3) ON CONFLICT (id) DO UPDATE SET v = conflict.v;
INSERT INTO conflict VALUES (5, 5), (5, 6) ON CONFLICT (id) DO UPDATE SET v = excluded.v;
INSERT INTO conflict VALUES (4, 4) ON CONFLICT (id) DO UPDATE SET id = 40, v = 41;
SELECT * FROM pg_temp.events();
-- twice in one transaction
BEGIN;
INSERT INTO conflict VALUES (6, 1) ON CONFLICT (id) DO UPDATE SET v = conflict.v + 1;
INSERT INTO conflict VALUES (6, 1) ON CONFLICT (id) DO UPDATE SET v = conflict.v + 1;
INSERT INTO conflict VALUES (6, 1) ON CONFLICT (id) DO UPDATE SET v = conflict.v + 1;
COMMIT;
SELECT * FROM pg_temp.events();
-- partitioned
CREATE TABLE conflict_part (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
CREATE TABLE conflict_part_1 PARTITION OF conflict_part FOR VALUES FROM (0) TO (10);
CREATE TABLE conflict_part_2 (v int, id int NOT NULL);
ALTER TABLE conflict_part ATTACH PARTITION conflict_part_2 FOR VALUES FROM (10) TO (20);
SELECT realtime.enable('conflict_part', 'conflict', 'part');
INSERT INTO conflict_part VALUES (1, 1), (11, 11);
INSERT INTO conflict_part VALUES (1, 2), (11, 12), (12, 12) ON CONFLICT (id) DO UPDATE SET v = excluded.v;
SELECT * FROM pg_temp.events();
-- with a trigger that makes the conflict
CREATE FUNCTION conflict_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.note = 'make' THEN
		INSERT INTO conflict VALUES (NEW.id, -1, 'made');
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER conflict_before BEFORE INSERT ON conflict FOR EACH ROW EXECUTE FUNCTION conflict_before();
INSERT INTO conflict VALUES (70, 1, 'make') ON CONFLICT (id) DO NOTHING;
SELECT * FROM pg_temp.events();
DROP TRIGGER conflict_before ON conflict;
-- MERGE (PostgreSQL 15 and later)
SELECT current_setting('server_version_num')::int >= 150000 AS has_merge \gset
\if :has_merge
CREATE TABLE conflict_source (id int, v int, p int DEFAULT 0);
INSERT INTO conflict_source VALUES (1, 1000), (2, -1), (3, 3), (80, 80), (81, NULL);
MERGE INTO conflict c USING (SELECT * FROM conflict_source ORDER BY id) s ON c.id = s.id
	WHEN MATCHED AND s.v < 0 THEN DELETE
	WHEN MATCHED THEN UPDATE SET v = s.v
	WHEN NOT MATCHED AND s.v IS NULL THEN DO NOTHING
	WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v, 'merged');
SELECT * FROM pg_temp.events() ORDER BY id;
-- into partitions, with moves
CREATE TABLE conflict_move (id int, p int, v int, PRIMARY KEY (id, p)) PARTITION BY LIST (p);
CREATE TABLE conflict_move_1 PARTITION OF conflict_move FOR VALUES IN (1);
CREATE TABLE conflict_move_2 (v int, p int NOT NULL, id int NOT NULL);
ALTER TABLE conflict_move ATTACH PARTITION conflict_move_2 FOR VALUES IN (2);
SELECT realtime.enable('conflict_move', 'conflict', 'move', key => '{id}');
INSERT INTO conflict_move VALUES (1, 1, 1), (2, 2, 2), (3, 1, 3);
MERGE INTO conflict_move m USING (VALUES (1, 2), (2, 1), (3, NULL), (4, 2)) s (id, p) ON m.id = s.id
	WHEN MATCHED AND s.p IS NULL THEN DELETE
	WHEN MATCHED THEN UPDATE SET p = s.p, v = m.v * 10
	WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.p, 0);
SELECT entity, action, id, data, old, meta FROM pg_temp.events() ORDER BY t, id;
DROP TABLE conflict_source, conflict_move;
\endif
DROP TABLE conflict, conflict_part;
