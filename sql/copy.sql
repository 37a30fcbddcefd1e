-- COPY: text, csv, binary, FREEZE, with defaults and triggers, into partitions.
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
	FROM realtime.event e WHERE e.feature = 'copy' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE copy (id int PRIMARY KEY, name text DEFAULT 'unnamed', v int GENERATED ALWAYS AS (id * 2) STORED);
SELECT realtime.enable('copy', 'copy', 'row');
COPY copy FROM stdin;
1	one
2	\N
3	tab\tand "quote"
\.
COPY copy (id) FROM stdin WITH (FORMAT csv);
4
5
\.
SELECT * FROM pg_temp.events();
-- a line that fails takes all of them along
COPY copy FROM stdin;
6	six
1	again
\.
COPY copy FROM stdin WHERE id <> 8;
7	seven
8	eight
\.
SELECT * FROM pg_temp.events();
-- FREEZE: rows that look as old as the table
BEGIN;
CREATE TABLE copy_frozen (id int PRIMARY KEY, v int);
SELECT realtime.enable('copy_frozen', 'copy', 'frozen');
COPY copy_frozen FROM stdin WITH (FREEZE);
1	1
2	2
\.
UPDATE copy_frozen SET v = 3 WHERE id = 1;
DELETE FROM copy_frozen WHERE id = 1;
SELECT * FROM copy_frozen;
COMMIT;
BEGIN;
TRUNCATE copy_frozen;
COPY copy_frozen FROM stdin WITH (FREEZE);
3	3
\.
COMMIT;
SELECT * FROM pg_temp.events();
-- an AFTER trigger that changes what was copied, frozen and not: the chain holds
CREATE FUNCTION copy_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE copy_frozen SET v = v + 1 WHERE id = NEW.id;
	RETURN NULL;
END
$$;
CREATE TRIGGER a_after AFTER INSERT ON copy_frozen FOR EACH ROW EXECUTE FUNCTION copy_after();
COPY copy_frozen FROM stdin;
10	10
11	11
\.
BEGIN;
TRUNCATE copy_frozen;
COPY copy_frozen FROM stdin WITH (FREEZE);
20	20
21	21
\.
COMMIT;
SELECT t, seq, action, id, data -> 'v' AS v, old FROM pg_temp.events();
-- partitions, of which one has other columns; more rows than one batch of COPY
CREATE TABLE copy_part (id int PRIMARY KEY, v text) PARTITION BY HASH (id);
CREATE TABLE copy_part_0 PARTITION OF copy_part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE copy_part_1 (v text, id int NOT NULL);
ALTER TABLE copy_part ATTACH PARTITION copy_part_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT realtime.enable('copy_part', 'copy', 'part');
COPY copy_part FROM PROGRAM 'seq 3000 | sed "s/$/\tvalue/"';
SELECT action, count(*), count(distinct id), min(id), max(id), bool_and(data ->> 'v' = 'value' AND data ->> 'id' = id) AS same
FROM pg_temp.events() GROUP BY 1;
-- by way of a view with an INSTEAD OF trigger
CREATE VIEW copy_view AS SELECT id, name FROM copy;
CREATE FUNCTION copy_instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO copy VALUES (NEW.id, upper(NEW.name));
	RETURN NEW;
END
$$;
CREATE TRIGGER instead INSTEAD OF INSERT ON copy_view FOR EACH ROW EXECUTE FUNCTION copy_instead();
COPY copy_view FROM stdin;
100	hundred
\.
SELECT * FROM pg_temp.events();
DROP VIEW copy_view;
DROP TABLE copy, copy_frozen, copy_part;
