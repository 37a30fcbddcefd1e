-- status_changed and defined events: by status, columns, condition; with priorities; dropped again.
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
	FROM realtime.event e WHERE e.feature = 'status_events' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE status_events (id int PRIMARY KEY, status text DEFAULT 'new', total numeric DEFAULT 0, quantity int DEFAULT 0, note text);
SELECT realtime.enable('status_events', 'status_events', 'row', status_column => 'status', priority => 'low');
CREATE FUNCTION status_events_events(OUT t bigint, OUT seq int, OUT action text, OUT id text, OUT data text,
	OUT old text, OUT priority text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT dense_rank() OVER (ORDER BY e.lsn, e.tx), e.seq, e.action, e.id, e.event ->> 'data',
		e.event ->> 'old', e.event -> 'meta' ->> 'priority'
	FROM realtime.event e WHERE e.feature = 'status_events' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	PERFORM count(*) FROM pg_temp.events();
END
$$;
-- besides updated, once per real change; not at insert, delete, or when it stays
INSERT INTO status_events (id) VALUES (1), (2);
UPDATE status_events SET status = 'paid' WHERE id = 1;
UPDATE status_events SET status = 'paid', total = 1 WHERE id = 1;
UPDATE status_events SET status = NULL WHERE id = 1;
UPDATE status_events SET status = 'new', id = 3 WHERE id = 1;
DELETE FROM status_events WHERE id = 3;
SELECT * FROM status_events_events();
-- Defined events
SELECT realtime.define_event('status_events', 'approved', status => 'approved', priority => 'high');
SELECT realtime.define_event('status_events', 'inventory.updated', columns => '{quantity}');
SELECT realtime.define_event('status_events', 'large', condition => 'NEW.total > 100 AND (OLD.total IS NULL OR OLD.total <= 100)', priority => 'critical');
SELECT realtime.define_event('status_events', 'noted', columns => '{note,total}', condition => 'NEW.note IS NOT NULL');
SELECT realtime.define_event('status_events', 'refunded', status => 'refunded', columns => '{total}', condition => 'NEW.total = 0');
SELECT actions, events FROM realtime.entities WHERE feature = 'status_events';
UPDATE status_events SET status = 'approved' WHERE id = 2;
UPDATE status_events SET status = 'approved', quantity = 0 WHERE id = 2;
UPDATE status_events SET quantity = 5, total = 50 WHERE id = 2;
UPDATE status_events SET total = 150, note = 'n' WHERE id = 2;
UPDATE status_events SET total = 160 WHERE id = 2;
UPDATE status_events SET status = 'refunded' WHERE id = 2;
UPDATE status_events SET status = 'approved', total = 99 WHERE id = 2;
UPDATE status_events SET status = 'refunded', total = 0 WHERE id = 2;
DELETE FROM status_events WHERE id = 2;
SELECT t, seq, action, id, data, old, priority FROM status_events_events();
-- at insert a condition sees OLD as null; a status and columns need an update
INSERT INTO status_events VALUES (4, 'new', 500, 7, 'n'), (5, 'approved', 0, 0, NULL);
SELECT action, id, old, priority FROM status_events_events();
-- replaced, dropped
SELECT realtime.define_event('status_events', 'large', condition => 'NEW.total > 1000');
SELECT realtime.drop_event('status_events', 'noted'), realtime.drop_event('status_events', 'noted');
UPDATE status_events SET total = 999, note = 'm' WHERE id = 4;
UPDATE status_events SET total = 1001 WHERE id = 4;
-- enable() again keeps them
SELECT realtime.enable('status_events', 'status_events', 'row', status_column => 'status');
UPDATE status_events SET total = 1002, status = 'approved' WHERE id = 4;
SELECT t, seq, action, id, old, priority FROM status_events_events();
-- a condition that is null is not met; one may compare whole rows and use what is in pg_catalog
SELECT realtime.define_event('status_events', 'large', condition => 'NEW.note > OLD.note');
SELECT realtime.define_event('status_events', 'any', condition => 'NEW.* IS DISTINCT FROM OLD.* AND upper(NEW.status) = ''X''');
UPDATE status_events SET note = NULL, status = 'x' WHERE id = 4;
UPDATE status_events SET note = 'a' WHERE id = 4;
UPDATE status_events SET note = 'b' WHERE id = 4;
SELECT t, seq, action, id, old FROM status_events_events();
-- What is wrong is said at once.
\set VERBOSITY terse
SELECT realtime.define_event('status_events', 'bad', condition => 'NEW.nothing > 1');
SELECT realtime.define_event('status_events', 'bad', condition => 'NEW.total');
SELECT realtime.define_event('status_events', 'bad', condition => 'NEW.total > 1; DROP TABLE status_events');
SELECT realtime.define_event('status_events', 'bad', condition => '(SELECT true)');
SELECT realtime.define_event('status_events', 'bad', columns => '{nothing}');
SELECT realtime.define_event('status_events', 'bad');
SELECT realtime.define_event('status_events', 'updated', status => 'x');
SELECT realtime.define_event('status_events', 'bulk_created', status => 'x');
SELECT realtime.define_event('status_events', 'bad', status => 'x', priority => 'urgent');
CREATE TABLE status_events_plain (id int PRIMARY KEY, s text);
SELECT realtime.define_event('status_events_plain', 'bad', status => 'x');
SELECT realtime.enable('status_events_plain', 'status_events', 'plain');
SELECT realtime.define_event('status_events_plain', 'bad', status => 'x');
\set VERBOSITY default
-- statuses of other types
CREATE TYPE status_events_enum AS ENUM ('open', 'closed');
CREATE TABLE status_events_types (id int PRIMARY KEY, e status_events_enum, n int, b bool);
SELECT realtime.enable('status_events_types', 'status_events', 'enum', status_column => 'e');
SELECT realtime.define_event('status_events_types', 'closed', status => 'closed');
INSERT INTO status_events_types VALUES (1, 'open', 0, false);
UPDATE status_events_types SET e = 'closed' WHERE id = 1;
SELECT realtime.drop_event('status_events_types', 'closed');
SELECT realtime.enable('status_events_types', 'status_events', 'number', status_column => 'n');
SELECT realtime.define_event('status_events_types', 'two', status => '2');
UPDATE status_events_types SET n = 2 WHERE id = 1;
SELECT realtime.drop_event('status_events_types', 'two');
SELECT realtime.enable('status_events_types', 'status_events', 'bool', status_column => 'b');
SELECT realtime.define_event('status_events_types', 'activated', status => 'true');
UPDATE status_events_types SET b = true WHERE id = 1;
SELECT t, seq, action, id, data, old FROM status_events_events();
-- a row that moves between partitions is an update for conditions, too
CREATE TABLE status_events_part (id int, p int, total int, status text, PRIMARY KEY (id, p)) PARTITION BY LIST (p);
CREATE TABLE status_events_part_1 PARTITION OF status_events_part FOR VALUES IN (1);
CREATE TABLE status_events_part_2 (status text, total int, gone int, p int NOT NULL, id int NOT NULL);
ALTER TABLE status_events_part_2 DROP COLUMN gone;
ALTER TABLE status_events_part ATTACH PARTITION status_events_part_2 FOR VALUES IN (2);
SELECT realtime.enable('status_events_part', 'status_events', 'part', key => '{id}', status_column => 'status');
SELECT realtime.define_event('status_events_part', 'large', condition => 'NEW.total > 100 AND (OLD.total IS NULL OR OLD.total <= 100)');
SELECT realtime.define_event('status_events_part', 'arrived', status => 'there', condition => 'OLD.p = 1 AND NEW.p = 2');
INSERT INTO status_events_part VALUES (1, 1, 500, 'here'), (2, 1, 50, 'here');
UPDATE status_events_part SET p = 2, status = 'there' WHERE id = 1;
UPDATE status_events_part SET p = 2, total = 200 WHERE id = 2;
UPDATE status_events_part SET p = 1, status = 'here' WHERE id > 0;
SELECT t, seq, action, id, data, old FROM status_events_events();
-- coalesced changes: the condition holds between what was before and what is after
SELECT realtime.enable('status_events_part', 'status_events', 'part', key => '{id}', "coalesce" => true, status_column => 'status');
BEGIN;
UPDATE status_events_part SET total = 1 WHERE id = 1;
UPDATE status_events_part SET total = 600 WHERE id = 1;
INSERT INTO status_events_part VALUES (3, 1, 1, 'here'), (4, 1, 500, 'here');
UPDATE status_events_part SET total = 101 WHERE id = 3;
UPDATE status_events_part SET total = 10 WHERE id = 4;
UPDATE status_events_part SET total = 5 WHERE id = 2;
UPDATE status_events_part SET status = 'there' WHERE id = 2;
UPDATE status_events_part SET p = 2 WHERE id = 2;
COMMIT;
SELECT t, seq, action, id, data, old FROM status_events_events();
-- the definition changes while changes are pending: the last one counts for the merged change
BEGIN;
UPDATE status_events_part SET total = 7 WHERE id = 2;
SELECT realtime.drop_event('status_events_part', 'large');
UPDATE status_events_part SET total = 700 WHERE id = 2;
SELECT realtime.define_event('status_events_part', 'huge', condition => 'NEW.total > 5000');
UPDATE status_events_part SET total = 7000 WHERE id = 2;
COMMIT;
SELECT t, seq, action, id, old FROM status_events_events();
DROP FUNCTION status_events_events;
DROP TABLE status_events, status_events_plain, status_events_types, status_events_part;
DROP TYPE status_events_enum;
