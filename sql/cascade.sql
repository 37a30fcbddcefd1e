-- cascade_1.out: the wording since 18.
-- Foreign keys: what ON DELETE and ON UPDATE do to other rows are events after that of the row.
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
	FROM realtime.event e WHERE e.feature = 'cascade' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE cascade (id int PRIMARY KEY, v int);
CREATE TABLE cascade_delete (id int PRIMARY KEY, parent int REFERENCES cascade ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE cascade_grand (id int PRIMARY KEY, parent int REFERENCES cascade_delete ON DELETE CASCADE);
CREATE TABLE cascade_null (id int PRIMARY KEY, parent int REFERENCES cascade ON DELETE SET NULL);
CREATE TABLE cascade_default (id int PRIMARY KEY, parent int DEFAULT 0 REFERENCES cascade ON DELETE SET DEFAULT);
CREATE TABLE cascade_unregistered (id int PRIMARY KEY, parent int REFERENCES cascade ON DELETE CASCADE);
SELECT realtime.enable('cascade', 'cascade', 'parent');
SELECT realtime.enable('cascade_delete', 'cascade', 'delete');
SELECT realtime.enable('cascade_grand', 'cascade', 'grand');
SELECT realtime.enable('cascade_null', 'cascade', 'null');
SELECT realtime.enable('cascade_default', 'cascade', 'default');
INSERT INTO cascade VALUES (0), (1), (2), (3);
INSERT INTO cascade_delete VALUES (10, 1), (11, 1), (12, 2);
INSERT INTO cascade_grand VALUES (100, 10), (101, 10), (102, 11);
INSERT INTO cascade_null VALUES (20, 1), (21, 2);
INSERT INTO cascade_default VALUES (30, 1), (31, 2);
INSERT INTO cascade_unregistered VALUES (40, 1);
SELECT count(*) FROM pg_temp.events();
DELETE FROM cascade WHERE id = 1;
SELECT * FROM pg_temp.events();
UPDATE cascade SET id = 20 WHERE id = 3;
DELETE FROM cascade WHERE id = 2;
SELECT * FROM pg_temp.events();
-- a cascade that something refuses takes all of it back
CREATE TABLE cascade_refuse (id int PRIMARY KEY, parent int REFERENCES cascade_delete ON DELETE RESTRICT);
INSERT INTO cascade VALUES (5);
INSERT INTO cascade_delete VALUES (50, 5);
INSERT INTO cascade_refuse VALUES (1, 50);
SELECT count(*) FROM pg_temp.events();
DELETE FROM cascade WHERE id = 5;
SELECT count(*) FROM pg_temp.events();
-- a tree in one table
CREATE TABLE cascade_tree (id int PRIMARY KEY, parent int REFERENCES cascade_tree ON DELETE CASCADE ON UPDATE CASCADE);
SELECT realtime.enable('cascade_tree', 'cascade', 'tree');
INSERT INTO cascade_tree VALUES (1, NULL), (2, 1), (3, 2), (4, 3), (5, 1);
UPDATE cascade_tree SET id = 20 WHERE id = 2;
DELETE FROM cascade_tree WHERE id = 1;
SELECT * FROM pg_temp.events();
-- partitioned on both sides, with a move of the referenced row
CREATE TABLE cascade_pk (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
CREATE TABLE cascade_pk_1 PARTITION OF cascade_pk FOR VALUES FROM (0) TO (10);
CREATE TABLE cascade_pk_2 PARTITION OF cascade_pk FOR VALUES FROM (10) TO (20);
CREATE TABLE cascade_fk (id int, parent int REFERENCES cascade_pk ON UPDATE CASCADE ON DELETE CASCADE) PARTITION BY RANGE (parent);
CREATE TABLE cascade_fk_1 PARTITION OF cascade_fk FOR VALUES FROM (0) TO (10);
CREATE TABLE cascade_fk_2 PARTITION OF cascade_fk FOR VALUES FROM (10) TO (20);
SELECT realtime.enable('cascade_pk', 'cascade', 'pk');
SELECT realtime.enable('cascade_fk', 'cascade', 'fk', key => '{id}');
INSERT INTO cascade_pk VALUES (1, 1), (2, 2);
INSERT INTO cascade_fk VALUES (1, 1), (2, 1), (3, 2);
SELECT count(*) FROM pg_temp.events();
UPDATE cascade_pk SET v = 10 WHERE id = 1;
DELETE FROM cascade_pk WHERE id = 2;
SELECT * FROM pg_temp.events();
SELECT current_setting('server_version_num')::int >= 150000 AS has_cross \gset
\if :has_cross
UPDATE cascade_pk SET id = 11 WHERE id = 1;
SELECT * FROM pg_temp.events();
\endif
DROP TABLE cascade_fk, cascade_pk, cascade_tree, cascade_refuse, cascade_unregistered, cascade_default, cascade_null, cascade_grand, cascade_delete, cascade;
