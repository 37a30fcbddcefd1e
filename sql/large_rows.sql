-- Size alone never fails a transaction: rows of 7,999 and 8,000 bytes, 1 MB, 64 MB in one transaction.
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
	FROM realtime.event e WHERE e.feature = 'large_rows' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE large_rows (id int PRIMARY KEY, v int DEFAULT 0, big text, more text);
SELECT realtime.enable('large_rows', 'large_rows', 'row', notify => 'always', notify_data => true);
-- around the limit of NOTIFY, and of the out-of-line threshold
INSERT INTO large_rows (id, big) SELECT n, repeat('x', n) FROM unnest(ARRAY[1999, 2000, 7800, 7999, 8000, 8192, 1000000]) n;
SELECT id, length(event::text) > 8000 AS is_over, length(event -> 'data' ->> 'big') AS big,
	event -> 'data' ->> 'big' = repeat('x', id::int) AS whole, event -> 'meta' -> 'omitted' AS omitted
FROM realtime.event WHERE feature = 'large_rows' ORDER BY seq;
SELECT count(*) FROM pg_temp.events();
-- every size around the limit of a NOTIFY payload, each in a transaction of its own
DO $$
BEGIN
	FOR n IN 7600..7900 LOOP
		INSERT INTO large_rows (id, big) VALUES (20000 + n, repeat('y', n));
		COMMIT;
	END LOOP;
END
$$;
SELECT count(*), min(length(data ->> 'big')), max(length(data ->> 'big')), count(distinct t) FROM pg_temp.events();
SELECT min(length(event::text)) < 7950 AS below, max(length(event::text)) > 8050 AS above
FROM realtime.event WHERE feature = 'large_rows' AND id::int > 20000;
-- incompressible: the values are out of line for sure
CREATE FUNCTION large_rows_noise(n int, bytes int) RETURNS text LANGUAGE sql AS $$
	SELECT left(string_agg(md5(n::text || i), ''), bytes) FROM generate_series(1, bytes / 32 + 1) i
$$;
INSERT INTO large_rows (id, big) SELECT 30000 + n, large_rows_noise(n, 1000000) FROM generate_series(1, 2) n;
SELECT id, length(data ->> 'big') AS big, data ->> 'big' = large_rows_noise(id::int - 30000, 1000000) AS whole
FROM pg_temp.events();
-- 64 MB as 64 rows of 1 MB, then changed and deleted
BEGIN;
INSERT INTO large_rows (id, big) SELECT 100 + n, repeat(chr(65 + n % 26), 1048576) FROM generate_series(1, 64) n;
COMMIT;
SELECT count(*), sum(length(data ->> 'big')), count(distinct t), min(seq), max(seq), count(meta) FROM pg_temp.events();
-- no row of the log is much larger than what one event needs
SELECT max(length(events::text)) < 2 * 1048576 AS is_small, count(*) AS parts, count(distinct part) AS numbered
FROM realtime.commit_log WHERE length(events::text) > 100000 AND (events -> 0 ->> 'feature') = 'large_rows' AND (events -> 0 ->> 'id') BETWEEN '101' AND '164';
UPDATE large_rows SET v = 1 WHERE id BETWEEN 101 AND 164;
SELECT count(*), sum(length(data ->> 'big')), meta, min(old::text), max(old::text) FROM pg_temp.events() GROUP BY meta;
UPDATE large_rows SET big = lower(big) WHERE id BETWEEN 101 AND 104;
SELECT action, id, length(data ->> 'big') AS big, length(old ->> 'big') AS old_big, meta FROM pg_temp.events();
DELETE FROM large_rows WHERE id BETWEEN 101 AND 164;
SELECT action, count(*), sum(length(data ->> 'big')), count(meta) FROM pg_temp.events() GROUP BY 1;
-- 64 MB as one value: left out and named
BEGIN;
INSERT INTO large_rows VALUES (3, 0, repeat('z', 64 * 1048576), 'kept');
INSERT INTO large_rows VALUES (4, 0, 'small', 'kept');
UPDATE large_rows SET v = 1 WHERE id = 3;
UPDATE large_rows SET big = repeat('y', 64 * 1048576) WHERE id = 3;
UPDATE large_rows SET big = 'small now' WHERE id = 3;
UPDATE large_rows SET big = repeat('y', 64 * 1048576), more = 'm' WHERE id IN (3, 4);
UPDATE large_rows SET id = 5 WHERE id = 3;
UPDATE large_rows SET big = NULL WHERE id = 5;
DELETE FROM large_rows WHERE id = 4;
COMMIT;
SELECT seq, action, id, data, old, meta FROM pg_temp.events();
-- the limit, to the byte
SET realtime.max_value_size = '8kB';
INSERT INTO large_rows VALUES (6, 0, repeat('a', 8 * 1024 - 4), repeat('b', 8 * 1024 - 3));
SELECT id, length(data ->> 'big') AS big, data -> 'more' IS NULL AS is_left_out, meta FROM pg_temp.events();
RESET realtime.max_value_size;
-- Characters that JSON escapes, six bytes for one.
INSERT INTO large_rows VALUES (7, 0, repeat(E'\x01', 4000000), repeat('"\', 1000));
SELECT id, length(data::text) AS json, length(data ->> 'big') AS big, md5(data ->> 'more') = md5(repeat('"\', 1000)) AS whole, meta
FROM pg_temp.events();
-- Many columns that are small alone: an event has its limit, too. What is over is named, whole values only.
DO $$
BEGIN
	EXECUTE 'CREATE TABLE large_rows_wide (id int PRIMARY KEY, '
		|| (SELECT string_agg('c' || n || ' text', ', ') FROM generate_series(1, 40) n) || ')';
END
$$;
SELECT realtime.enable('large_rows_wide', 'large_rows', 'wide');
DO $$
BEGIN
	EXECUTE 'INSERT INTO large_rows_wide SELECT 1, '
		|| (SELECT string_agg('repeat(''' || chr(97 + n % 26) || ''', 4000000)', ', ') FROM generate_series(1, 40) n);
END
$$;
SELECT id, length(data::text) BETWEEN 60000000 AND 68000000 AS is_bounded,
	jsonb_array_length(meta -> 'omitted') + (SELECT count(*) FROM json_object_keys(data)) AS columns
FROM pg_temp.events();
DO $$
BEGIN
	EXECUTE 'UPDATE large_rows_wide SET '
		|| (SELECT string_agg(format('c%s = upper(c%s)', n, n), ', ') FROM generate_series(1, 40) n);
END
$$;
-- every column of data and of old is there or named, and named once
WITH e AS MATERIALIZED (
	SELECT length(data::text) + length(old::text) AS length, ARRAY(SELECT json_object_keys(data)) AS new,
		ARRAY(SELECT json_object_keys(old)) AS old,
		ARRAY(SELECT jsonb_array_elements_text(meta -> 'omitted')) AS omitted
	FROM pg_temp.events())
SELECT length BETWEEN 60000000 AND 68000000 AS is_bounded,
	(SELECT count(distinct c) FROM unnest(new || omitted) c) AS new_columns,
	(SELECT count(distinct c) FROM unnest(old || omitted) c) AS old_columns,
	(SELECT count(*) = count(distinct c) FROM unnest(omitted) c) AS named_once
FROM e;
-- bytea doubles, arrays and composites are bounded by their stored size
CREATE TABLE large_rows_types (id int PRIMARY KEY, bytes bytea, list int[], doc jsonb, row large_rows);
SELECT realtime.enable('large_rows_types', 'large_rows', 'types');
INSERT INTO large_rows_types VALUES (1, decode(repeat('ff', 4000000), 'hex'),
	(SELECT array_agg(n) FROM generate_series(1, 1000000) n), (SELECT jsonb_agg(n) FROM generate_series(1, 200000) n),
	ROW(1, 1, repeat('r', 4000000), ''));
INSERT INTO large_rows_types VALUES (2, decode(repeat('ff', 5000000), 'hex'),
	(SELECT array_agg(n) FROM generate_series(1, 2000000) n), (SELECT jsonb_agg(n) FROM generate_series(1, 600000) n),
	ROW(1, 1, repeat('r', 5000000), ''));
SELECT id, length(data ->> 'bytes') AS bytes, json_array_length(data -> 'list') AS list,
	json_array_length(data -> 'doc') AS doc, length(data -> 'row' ->> 'big') AS row, meta FROM pg_temp.events();
SELECT realtime.disable('large_rows'), realtime.disable('large_rows_wide'), realtime.disable('large_rows_types');
DROP TABLE large_rows_types, large_rows_wide, large_rows;
