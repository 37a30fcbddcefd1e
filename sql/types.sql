-- Values of every kind of type, whatever the session's settings: one JSON form each.
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
	FROM realtime.event e WHERE e.feature = 'types' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE DOMAIN types_domain AS int CHECK (VALUE > 0);
CREATE DOMAIN types_domain_array AS types_domain[];
CREATE TYPE types_enum AS ENUM ('one', 'two words');
CREATE TYPE types_inner AS (n numeric, at timestamptz);
CREATE TYPE types_row AS (a int, b text, inside types_inner, list types_inner[]);
CREATE TABLE types (
	id int PRIMARY KEY,
	b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, m money,
	t text, vc varchar(10), c char(5), nm name, one "char",
	by bytea, u uuid, bits bit(4), vbits varbit,
	d date, tm time, tmz timetz, ts timestamp, tz timestamptz, iv interval,
	j json, jb jsonb, jp jsonpath, x xml,
	arr int[], arr2 text[], arr3 timestamptz[], arrd types_domain_array,
	ip inet, net cidr, mac macaddr, pt point, bx box, poly polygon,
	r int4range, tr tstzrange, dr daterange, mr int4multirange,
	dom types_domain, en types_enum, ens types_enum[], comp types_row,
	tsv tsvector, tsq tsquery, o oid, cls regclass, typ regtype, fn regprocedure, lsn pg_lsn, xid8 xid8, snap pg_snapshot);
SELECT realtime.enable('types', 'types', 'row');
-- Settings that change what output functions write.
SET DateStyle = 'SQL, DMY';
SET TimeZone = 'Asia/Kathmandu';
SET IntervalStyle = 'sql_standard';
SET bytea_output = 'escape';
SET extra_float_digits = -5;
SET lc_monetary = 'C';
SET quote_all_identifiers = on;
SET xmlbinary = 'hex';
SET search_path = types_nowhere, public;
INSERT INTO types VALUES (1,
	true, -32768, 2147483647, 42, 0.1, 0.1, 123.4500, 12.34,
	E'tab\t quote" back\\ slash / \x01 <&>', 'varchar', 'ch', 'name', 'x',
	'\x00ff5c', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '1010', '101',
	'05/03/2026', '12:34:56.789', '12:34:56+05:45', '05/03/2026 12:34:56.5', '2026-03-05 12:00:00+05:45', '1 year 2 mons -3 days 04:05:06.7',
	'{"b": 1,  "a": [1, 2.50, null]}', '{"b": 1,  "a": [1, 2.50, null]}', '$.a[*] ? (@ > 1)', '<a b="1">t</a>',
	'{1,NULL,3}', '{{a,"b c"},{"d\"e",NULL}}', '{2026-03-05 12:00+00,infinity}', '{1,2}',
	'10.1.2.3/8', '10.0.0.0/8', '08:00:2b:01:02:03', '(1,2.5)', '(1,1),(0,0)', '((0,0),(1,1),(1,0))',
	'[1,5)', '[2026-03-05 12:00+00,infinity)', '[05/03/2026,06/03/2026]', '{[1,2),[5,7)}',
	7, 'two words', '{one,"two words"}', ROW(1, 'x', ROW(1.50, '2026-03-05 12:00+00')::types_inner, ARRAY[ROW(2, '-infinity')::types_inner, NULL]),
	'a fat:1 cat:2', 'fat & !rat', 4294967295, 'pg_class', 'types_row', 'lower(text)', '16/B374D848', 18446744073709551615::text::xid8, '10:20:10,14');
RESET ALL;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT key, value FROM pg_temp.events() e, json_each(e.data);
-- what does not end, is not a number, or is very far
INSERT INTO types (id, f4, f8, n, d, ts, tz, arr3, tr) VALUES
	(2, 'NaN', 'NaN', 'NaN', 'infinity', 'infinity', 'infinity', '{-infinity}', '(-infinity,infinity)'),
	(3, 'Infinity', '-Infinity', 0, '-infinity', '-infinity', '-infinity', '{}', '(,)'),
	(4, 1e-45, 1.7976931348623157e308, 1e-20, '4713-01-01 BC', '0044-03-15 BC', '294276-12-31 23:59:59.999999+00', '{0001-01-01 00:00+00}', 'empty'),
	(5, '-0', '-0', -0.00, '0001-01-01', '0001-01-01', '0099-12-31 23:59:59+00', NULL, '[2026-01-01 00:00+00,)');
SELECT id, json_strip_nulls(data) FROM pg_temp.events();
-- empty, null, nested
INSERT INTO types (id, t, by, j, jb, arr, arr2, comp, mr, x, tsv, vbits) VALUES
	(6, '', '', 'null', 'null', '{}', '{""}', ROW(NULL, NULL, NULL, '{}'), '{}', '', '', ''),
	(7, repeat('long ', 3), '\x', '"text"', '[]', '{{1},{2}}', '{NULL}', NULL, NULL, NULL, NULL, NULL);
SELECT id, data -> 't' AS t, data -> 'by' AS by, data -> 'j' AS j, data -> 'jb' AS jb, data -> 'arr' AS arr, data -> 'arr2' AS arr2,
	data -> 'comp' AS comp, data -> 'mr' AS mr, data -> 'x' AS x, data -> 'tsv' AS tsv, data -> 'vbits' AS vbits FROM pg_temp.events();
-- old values in the same forms, and only the changed columns
SET TimeZone = 'Asia/Kathmandu';
SET DateStyle = 'German';
UPDATE types SET tz = tz + '1 second', arr = arr || 4, comp.inside.n = 2, by = by || '\x01', jb = jb || '{"c": true}', iv = iv * 2 WHERE id = 1;
RESET TimeZone;
RESET DateStyle;
SELECT old FROM pg_temp.events();
-- every event is what row_json makes of the row, in any settings
SET TimeZone = 'Asia/Kathmandu';
SET extra_float_digits = 0;
UPDATE types SET i4 = 0 WHERE id > 0;
WITH e AS (SELECT id, data::text FROM pg_temp.events() WHERE action = 'updated')
SELECT count(*), bool_and(e.data = realtime.row_json(w)::text) AS same FROM e JOIN types w ON w.id = e.id::int;
RESET TimeZone;
RESET extra_float_digits;
-- A function of the writer's that casts to json sees settings of ours, and leaves none behind.
CREATE TYPE types_cast AS RANGE (SUBTYPE = timestamptz);
CREATE FUNCTION types_cast_json(types_cast) RETURNS json LANGUAGE sql IMMUTABLE AS
	$$ SELECT to_json(lower($1)::text || ' ' || pg_catalog.current_setting('DateStyle')) $$;
CREATE CAST (types_cast AS json) WITH FUNCTION types_cast_json(types_cast);
CREATE TABLE types_casts (id int PRIMARY KEY, r types_cast, iv interval);
SELECT realtime.enable('types_casts', 'types', 'casts');
SET DateStyle = 'German';
SET TimeZone = 'Asia/Kathmandu';
INSERT INTO types_casts VALUES (1, '[05.03.2026 12:00,)', '1 day');
SHOW DateStyle;
SHOW TimeZone;
SHOW search_path;
RESET TimeZone;
RESET DateStyle;
SELECT entity, data FROM pg_temp.events();
DROP TABLE types, types_casts;
DROP CAST (types_cast AS json);
DROP FUNCTION types_cast_json;
DROP TYPE types_cast, types_row, types_inner, types_enum;
DROP DOMAIN types_domain_array, types_domain;
