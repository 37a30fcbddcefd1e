-- Inheritance: rows of children are rows of the registered parent, with the parent's columns.
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
	FROM realtime.event e WHERE e.feature = 'inheritance' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE inheritance (id int PRIMARY KEY, name text, status text DEFAULT 'new');
CREATE TABLE inheritance_child (extra int, PRIMARY KEY (id)) INHERITS (inheritance);
CREATE TABLE inheritance_other (own text);
CREATE TABLE inheritance_two (PRIMARY KEY (id)) INHERITS (inheritance_other, inheritance);
SELECT realtime.enable('inheritance', 'inheritance', 'row', status_column => 'status');
SELECT realtime.define_event('inheritance', 'named', condition => 'NEW.name IS DISTINCT FROM OLD.name AND NEW.id > 1');
INSERT INTO inheritance VALUES (1, 'parent');
INSERT INTO inheritance_child VALUES (2, 'child', 'new', 22);
INSERT INTO inheritance_two (own, id, name) VALUES ('own', 3, 'two');
SELECT * FROM pg_temp.events();
UPDATE inheritance SET name = upper(name) WHERE id > 0;
UPDATE inheritance_child SET status = 'old' WHERE id = 2;
-- nothing of the parent's columns
UPDATE inheritance_child SET extra = 23 WHERE id = 2;
UPDATE ONLY inheritance SET name = 'only' WHERE id > 0;
DELETE FROM inheritance WHERE id = 3;
SELECT * FROM pg_temp.events();
-- grandchildren, made later: they get the trigger
CREATE TABLE inheritance_grand (more text, PRIMARY KEY (id)) INHERITS (inheritance_child);
INSERT INTO inheritance_grand VALUES (4, 'grand', 'new', 1, 'more');
UPDATE inheritance SET name = 'g' WHERE id = 4;
COPY inheritance_grand FROM stdin;
5	copied	new	2	x
\.
SELECT * FROM pg_temp.events();
-- A column added to the parent; the child's columns are in another order.
ALTER TABLE inheritance ADD COLUMN added int DEFAULT 9;
UPDATE inheritance_grand SET added = 10, more = 'm' WHERE id = 4;
-- no longer a child
ALTER TABLE inheritance_two NO INHERIT inheritance;
INSERT INTO inheritance_two (own, id, name) VALUES ('own', 6, 'free');
ALTER TABLE inheritance_two ADD COLUMN added2 int;
INSERT INTO inheritance_child VALUES (7, 'child', 'new', 22, 1);
SELECT t, seq, action, id, data FROM pg_temp.events() WHERE action <> 'resync';
-- Registered on its own, a child is an entity of its own.
SELECT realtime.enable('inheritance_child', 'inheritance', 'child');
INSERT INTO inheritance_child VALUES (8, 'own', 'new', 22, 1);
UPDATE inheritance SET name = 'x' WHERE id IN (1, 4, 8);
SELECT t, seq, entity, action, id, data FROM pg_temp.events() ORDER BY 1, 2;
SELECT realtime.disable('inheritance_child');
DROP TABLE inheritance_grand, inheritance_child, inheritance;
DROP TABLE inheritance_two, inheritance_other;
