-- realtime.enabled = off: one resync marker when the owner or a superuser does it, ignored for others.
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
	FROM realtime.event e WHERE e.feature = 'enabled_off' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE ROLE regress_enabled_owner;
CREATE ROLE regress_enabled_writer;
CREATE ROLE regress_enabled_member IN ROLE regress_enabled_owner;
CREATE TABLE enabled_off (id int PRIMARY KEY, v int DEFAULT 0);
ALTER TABLE enabled_off OWNER TO regress_enabled_owner;
GRANT SELECT, INSERT, UPDATE, DELETE ON enabled_off TO regress_enabled_writer;
CREATE TABLE enabled_off_other (id int PRIMARY KEY);
GRANT INSERT ON enabled_off_other TO regress_enabled_owner;
SELECT realtime.enable('enabled_off', 'enabled_off', 'row');
SELECT realtime.enable('enabled_off_other', 'enabled_off', 'other');
-- superuser
SET realtime.enabled = off;
INSERT INTO enabled_off SELECT n FROM generate_series(1, 100) n;
BEGIN;
UPDATE enabled_off SET v = 1 WHERE id < 10;
INSERT INTO enabled_off_other VALUES (1);
DELETE FROM enabled_off WHERE id > 90;
COMMIT;
-- nothing changed, nothing to read again
UPDATE enabled_off SET v = 1 WHERE id = 1000;
BEGIN;
DELETE FROM enabled_off WHERE id = 1;
ROLLBACK;
RESET realtime.enabled;
INSERT INTO enabled_off VALUES (200);
SELECT * FROM pg_temp.events();
-- the owner, and a member of it; not of the other table
SET ROLE regress_enabled_owner;
SET realtime.enabled = off;
INSERT INTO enabled_off VALUES (201);
INSERT INTO enabled_off_other VALUES (2);
SET ROLE regress_enabled_member;
INSERT INTO enabled_off VALUES (202);
-- a writer: ignored
SET ROLE regress_enabled_writer;
SHOW realtime.enabled;
INSERT INTO enabled_off VALUES (203);
UPDATE enabled_off SET v = 5 WHERE id = 203;
RESET ROLE;
RESET realtime.enabled;
SELECT * FROM pg_temp.events();
-- on and off within a transaction; savepoints
BEGIN;
INSERT INTO enabled_off VALUES (300);
SET LOCAL realtime.enabled = off;
INSERT INTO enabled_off VALUES (301);
SET LOCAL realtime.enabled = on;
INSERT INTO enabled_off VALUES (302);
SET LOCAL realtime.enabled = off;
INSERT INTO enabled_off VALUES (303);
COMMIT;
BEGIN;
SAVEPOINT a;
SET LOCAL realtime.enabled = off;
INSERT INTO enabled_off VALUES (304);
ROLLBACK TO a;
INSERT INTO enabled_off VALUES (305);
COMMIT;
BEGIN;
SAVEPOINT a;
SET LOCAL realtime.enabled = off;
INSERT INTO enabled_off VALUES (306);
ROLLBACK TO a;
SET LOCAL realtime.enabled = off;
INSERT INTO enabled_off VALUES (307);
COMMIT;
SHOW realtime.enabled;
SELECT * FROM pg_temp.events();
-- a marker tells of the entity alone, has no id
SELECT DISTINCT event ->> 'event' AS event, event ->> 'id' AS id, event -> 'data' ->> 'reason' AS reason
FROM realtime.event WHERE feature = 'enabled_off' AND action = 'resync' ORDER BY 1;
-- rows of partitions belong to the root's owner
CREATE TABLE enabled_off_part (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE enabled_off_part_1 PARTITION OF enabled_off_part FOR VALUES FROM (0) TO (10);
ALTER TABLE enabled_off_part_1 OWNER TO regress_enabled_owner;
GRANT INSERT ON enabled_off_part TO regress_enabled_owner;
SELECT realtime.enable('enabled_off_part', 'enabled_off', 'part');
SET ROLE regress_enabled_owner;
SET realtime.enabled = off;
INSERT INTO enabled_off_part VALUES (1);
INSERT INTO enabled_off_part_1 VALUES (2);
RESET ROLE;
INSERT INTO enabled_off_part VALUES (3);
RESET realtime.enabled;
SELECT * FROM pg_temp.events();
DROP TABLE enabled_off, enabled_off_other, enabled_off_part;
DROP ROLE regress_enabled_member, regress_enabled_owner, regress_enabled_writer;
