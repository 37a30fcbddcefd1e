-- columns and exclude: what is not captured is nowhere in an event; numeric => 'string'.
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
	FROM realtime.event e WHERE e.feature = 'columns' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE columns_t (id int PRIMARY KEY, name text, password text, status text DEFAULT 'new', total numeric, big int8, f float8);
SELECT realtime.enable('columns_t', 'columns', 'row', columns => '{name,status}', status_column => 'status');
INSERT INTO columns_t VALUES (1, 'a', 'secret', 'new', 1.5, 1);
UPDATE columns_t SET password = 'secret2' WHERE id = 1;
UPDATE columns_t SET password = 'secret3', name = 'b' WHERE id = 1;
UPDATE columns_t SET id = 2, password = 'secret4' WHERE id = 1;
DELETE FROM columns_t WHERE id = 2;
SELECT * FROM pg_temp.events();
-- a second call states the settings anew
SELECT realtime.enable('columns_t', 'columns', 'row', exclude => '{password,f}');
INSERT INTO columns_t VALUES (1, 'a', 'secret', 'new', 1.5, 1, 0.1);
UPDATE columns_t SET password = 'secret5', f = 0.2 WHERE id = 1;
ALTER TABLE columns_t ADD COLUMN later text DEFAULT 'shown';
UPDATE columns_t SET total = 2 WHERE id = 1;
SELECT * FROM pg_temp.events() WHERE action <> 'resync';
-- only the key
SELECT realtime.enable('columns_t', 'columns', 'row', columns => '{id}');
UPDATE columns_t SET name = 'not seen' WHERE id = 1;
UPDATE columns_t SET id = 3 WHERE id = 1;
SELECT * FROM pg_temp.events();
-- a condition may read what is not captured; the event does not show it
SELECT realtime.define_event('columns_t', 'pinned', condition => $$NEW.password = 'pin'$$);
INSERT INTO columns_t VALUES (5, 'a', 'pin'), (6, 'a', 'no pin');
SELECT * FROM pg_temp.events();
SELECT realtime.drop_event('columns_t', 'pinned');
-- numbers that a double does not hold are strings; with numeric => 'string' all of int8 and numeric are
SELECT realtime.enable('columns_t', 'columns', 'row', columns => '{total,big,f}');
INSERT INTO columns_t (id, total, big, f) VALUES (10, 123456789012345.6789, 9007199254740992, 1e300),
	(11, 0.1, 9007199254740993, 0.1), (12, 'NaN', -9223372036854775808, 'Infinity'), (13, 1e30, 0, '-0'), (14, 100, 42, 5e-324);
SELECT realtime.enable('columns_t', 'columns', 'row', columns => '{total,big,f}', "numeric" => 'string');
UPDATE columns_t SET total = total + 1, big = big - sign(big)::int8 WHERE id IN (10, 11, 14);
SELECT id, data, old FROM pg_temp.events();
-- as row_json shows them
SELECT realtime.row_json(t), realtime.row_json(t, 'string') FROM (SELECT total, big, f FROM columns_t WHERE id = 11) t;
DROP TABLE columns_t;
