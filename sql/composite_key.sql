-- Keys of several columns and of any type: id is text, or an object of texts in key-column order.
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
	FROM realtime.event e WHERE e.feature = 'composite_key' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE composite_key (b int, v int, a text, c timestamptz, PRIMARY KEY (a, b, c));
SELECT realtime.enable('composite_key', 'composite_key', 'row');
SET TimeZone = 'Asia/Tokyo';
INSERT INTO composite_key VALUES (1, 0, 'x"y', '2026-03-01 12:00:00+00'), (2, 0, '', 'infinity');
SET TimeZone = 'America/New_York';
SET DateStyle = 'German';
UPDATE composite_key SET v = 1 WHERE b = 1;
UPDATE composite_key SET b = 3, v = 2 WHERE b = 1;
DELETE FROM composite_key WHERE b IN (2, 3);
RESET TimeZone;
RESET DateStyle;
SELECT * FROM pg_temp.events();
-- the order of the key's columns is that of the key, also of one that is named
CREATE TABLE composite_key_named (x int, y int, z int, PRIMARY KEY (z));
SELECT realtime.enable('composite_key_named', 'composite_key', 'named', key => '{y,x}', columns => '{z}');
INSERT INTO composite_key_named VALUES (1, 2, 3), (NULL, 5, 6);
SELECT entity, action, id, data FROM pg_temp.events();
-- one column of any type: text
DO $$
DECLARE
	kind text[];
	kinds text[] := ARRAY[['uuid', '6BA7B810-9DAD-11D1-80B4-00C04FD430C8'], ['int8', '9223372036854775807'], ['numeric', '1.50'],
		['float8', '0.1'], ['text', E'new\nline'], ['varchar(5)', 'five5'], ['char(4)', 'ab'], ['name', 'nm'], ['bool', 't'], ['date', '2026-01-02'],
		['timestamp', '2026-01-02 03:04:05.6'], ['timestamptz', '2026-01-02 03:04:05.6+09'], ['interval', '1 day 2 hours'],
		['bytea', '\x00ff'], ['inet', '10.0.0.1/8'], ['macaddr', '08002B010203'], ['int4range', '[1,3]'], ['int[]', '{1,2}'],
		['jsonb', '{"k": [1, "v"]}'], ['oid', '4294967295'], ['pg_lsn', '16/B374D848'], ['time', '04:05'], ['bit varying', '101']];
BEGIN
	FOREACH kind SLICE 1 IN ARRAY kinds LOOP
		EXECUTE format('CREATE TABLE composite_key_one (k %s PRIMARY KEY, v int)', kind[1]);
		PERFORM realtime.enable('composite_key_one', 'composite_key', kind[1]);
		EXECUTE format('INSERT INTO composite_key_one VALUES (%L, 1)', kind[2]);
		UPDATE composite_key_one SET v = 2;
		DROP TABLE composite_key_one;
	END LOOP;
END
$$;
SELECT entity, action, id, data -> 'k' AS k FROM pg_temp.events() WHERE action IN ('created', 'updated');
-- id is text in JSON, too
SELECT bool_and(json_typeof(event -> 'id') = 'string') FROM realtime.event
WHERE feature = 'composite_key' AND entity NOT IN ('row', 'named') AND action IN ('created', 'updated');
-- a column that is a domain over a composite, an enum, and INCLUDE columns that are no key
CREATE TYPE composite_key_pair AS (x int, y text);
CREATE TYPE composite_key_mood AS ENUM ('sad', 'happy');
CREATE TABLE composite_key_types (p composite_key_pair, m composite_key_mood, extra int, PRIMARY KEY (p, m) INCLUDE (extra));
SELECT realtime.enable('composite_key_types', 'composite_key', 'types');
INSERT INTO composite_key_types VALUES ((1, 'a b'), 'happy', 1);
UPDATE composite_key_types SET extra = 2;
SELECT entity, action, id, data, old FROM pg_temp.events() WHERE action <> 'resync';
DROP TABLE composite_key, composite_key_named, composite_key_types;
DROP TYPE composite_key_pair, composite_key_mood;
