-- From row_json() back to the row: every type, exactly.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
\pset null NULL
\set SHOW_CONTEXT never
CREATE TYPE image_enum AS ENUM ('a', 'b "c"');
CREATE DOMAIN image_domain AS integer CHECK (VALUE > 0);
CREATE DOMAIN image_list AS integer[];
CREATE TYPE image_pair AS (x bigint, y text);
CREATE TYPE image_nested AS (p image_pair, list image_pair[], d image_domain, e image_enum);
CREATE TABLE image (
	gone_1 text, id integer, b boolean, i2 smallint, i8 bigint, o oid, f4 real, f8 double precision, nu numeric, n2 numeric(10,2),
	t text, vc varchar(10), ch char(5), na name, qc "char", by bytea, gone_2 integer, u uuid, d date, ts timestamp, tz timestamptz,
	ti time, tt timetz, iv interval, js json, jb jsonb, en image_enum, dm image_domain, di image_list, co image_nested,
	ia integer[], ta text[], ba bytea[], pa image_pair[], ra int4range, tr tstzrange, mr int4multirange, ip inet, ma macaddr,
	bi bit(4), bv varbit, xm xml, mo money, pt point, po polygon, ls pg_lsn, sn pg_snapshot, tv tsvector, tq tsquery, jp jsonpath,
	cl regclass, ty regtype, iv2 int2vector, twice integer GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE image DROP COLUMN gone_1;
ALTER TABLE image DROP COLUMN gone_2;
CREATE TABLE "Image Other" (id integer);
INSERT INTO image (id) VALUES (1);
INSERT INTO image VALUES (2, true, -32768, 9223372036854775807, 4294967295, 0.1, 0.1, 1.50, 2, 'it''s "a" \ ' || E'\n\t\x01' || 'é😀',
	'', 'ab', 'Name', 'x', '\x00ff', '00000000-0000-0000-0000-000000000001', '2024-02-29', '2024-02-29 12:00:00.123456',
	'2024-02-29 12:00:00+02', '24:00:00', '12:00:00+02', '-1 mons +2 days -03:00:00.5', '{ "a" : [1, null ] , "a":2}', '{"b": null, "a": "\\"}', 'b "c"', 7, '{{1,2},{3,NULL}}',
	ROW(ROW(9007199254740993, 'a,b'), ARRAY[ROW(1, NULL), NULL, ROW(NULL, '')]::image_pair[], 3, 'a'), '{1,NULL,3}', '{NULL,"NULL","",a\"b}',
	'{"\\\\x00",NULL}', ARRAY[[ROW(1, 'a'), ROW(2, 'b')]]::image_pair[], '[1,5)', '["2024-01-01 00:00:00+02",)', '{[1,3),[5,7)}', '10.0.0.1/8',
	'08:00:2b:01:02:03', '1010', '101', '<a>&amp;</a>', '-1234.5', '(1,2.5)', '((0,0),(1,0),(1,1))', '16/B374D848', '10:20:10,14,15',
	'''a b'':1A c:2', 'a & !b', '$.a[*] ? (@ > 1)', '"Image Other"', 'integer[]', '1 2 3');
INSERT INTO image (id, i8, f4, f8, nu, n2, d, ts, tz, iv, ia, ra, dm, ch, t, co, jb, mo) VALUES
	(3, -9007199254740993, 'NaN', '-0', 'NaN', 'NaN', 'infinity', 'infinity', '-infinity', '0', '{}', 'empty', 2147483647, '', '', ROW(NULL, NULL, NULL, NULL), '[]', 0),
	(4, 9007199254740992, '-Infinity', 'Infinity', 'Infinity', -99999999.99, '0044-03-15 BC', '0044-03-15 01:02:03 BC', '4714-11-24 00:00:00+00 BC', '178000000 years', '{{{1}}}', '(,)', 1, 'abcde', 'null', ROW(ROW(NULL, NULL), '{}', NULL, NULL), '"x"', '92233720368547758.07'),
	(5, 0, '1e-40', '5e-324', 1e-200, 0, '5874897-12-31', '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00', '-00:00:00.000001', NULL, NULL, NULL, ' a', ' ', NULL, '1e400', NULL),
	(6, 1, '16777216', '1.7976931348623157e308', 123456789012345678901234567890.000000000000001, 0.10, '0001-01-01', '0001-01-01 00:00:00', '0001-01-01 00:00:00+00', NULL, NULL, NULL, NULL, NULL, '{"a":1}', NULL, '{"a": {"b": [[[]]]}}', NULL);
-- The session's settings make no difference.
SET DateStyle = 'German'; SET IntervalStyle = 'sql_standard'; SET TimeZone = 'Asia/Kolkata'; SET extra_float_digits = 3;
SELECT r.id, realtime.row_image(NULL::image, realtime.row_json(r))::text = r::text AS same_text,
	realtime.row_image(NULL::image, realtime.row_json(r, 'string'))::text = r::text AS same_from_strings,
	realtime.row_json(realtime.row_image(NULL::image, realtime.row_json(r)))::text = realtime.row_json(r)::text AS same_json
FROM image r WHERE id > 1 ORDER BY id;
-- json columns that are null become SQL's null
SELECT realtime.row_image(NULL::image, realtime.row_json(r))::text = r::text FROM image r WHERE id = 1;
-- bit for bit
SELECT id, (n).f8::text, (n).f4::text, (n).nu::text, (n).n2::text, float8send((n).f8) = float8send(f8), float4send((n).f4) = float4send(f4), numeric_send((n).nu) = numeric_send(nu),
	interval_send((n).iv) = interval_send(iv), (n).twice = twice, bpcharsend((n).ch) = bpcharsend(ch)
FROM (SELECT realtime.row_image(NULL::image, realtime.row_json(r)) AS n, * FROM image r) x WHERE id > 1 ORDER BY id;
RESET DateStyle; RESET IntervalStyle; RESET TimeZone; RESET extra_float_digits;

-- Other members, other order, spaces, escapes, members twice (the last counts).
SELECT (realtime.row_image(NULL::image, E' { "x" : [ {"id":9} , "]" ] ,\n "t" : "\\u0061\\ud83d\\ude00\\/\\"" , "id" : 5 ,"ta":[ "a" , null ],"\\u0062":true, "id" : 6 } ')).*
\gset n_
SELECT :'n_id', :'n_t', :'n_ta', :'n_b';
SELECT (realtime.row_image(NULL::image, '{}')).id;
SELECT realtime.row_image(NULL::image, NULL);
-- What cannot be told, and what is no image.
CREATE TABLE image_json (id integer, list jsonb[], pair image_pair, lists image_list[]);
SELECT realtime.row_image(NULL::image_json, '{"list":[{"a":1}, "x"]}');
SELECT realtime.row_image(NULL::image_json, '{"list":[null]}');
SELECT realtime.row_image(NULL::image_json, '{"list":[[1]]}');
SELECT realtime.row_image(NULL::image_json, '{"lists":[[1]]}');
SELECT realtime.row_image(NULL::image, '{"id":"x"}');
SELECT realtime.row_image(NULL::image, '{"id":[1]}');
SELECT realtime.row_image(NULL::image, '{"ia":1}');
SELECT realtime.row_image(NULL::image, '{"ia":[[1],[2,3]]}');
SELECT realtime.row_image(NULL::image, '{"ia":[[1],2]}');
SELECT realtime.row_image(NULL::image, '{"ia":[1,[2]]}');
SELECT realtime.row_image(NULL::image, '{"ia":[[[[[[[1]]]]]]]}');
SELECT realtime.row_image(NULL::image, '{"co":[1]}');
SELECT realtime.row_image(NULL::image, '{"t":"\u0000"}');
SELECT realtime.row_image(NULL::image, '{"t":"\ud83d"}');
SELECT realtime.row_image(NULL::image, '[]');
SELECT realtime.row_image(NULL::image, '1');
SELECT realtime.row_image(1, '{}');
-- Lower bounds are not in JSON.
SELECT i.ia, (realtime.row_image(NULL::image, realtime.row_json(i))).ia FROM (SELECT (jsonb_populate_record(NULL::image, '{"ia":"[0:1]={1,2}"}')).*) i;
-- A type with a cast to json of its own.
CREATE TYPE image_cast AS ENUM ('x');
CREATE FUNCTION image_cast_json(image_cast) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT '{"a":1}'::json $$;
CREATE CAST (image_cast AS json) WITH FUNCTION image_cast_json(image_cast);
CREATE TABLE image_casts (id integer, c image_cast);
SELECT realtime.row_image(NULL::image_casts, realtime.row_json(ROW(1, 'x')::image_casts));

DROP TABLE image, "Image Other", image_json, image_casts;
DROP CAST (image_cast AS json);
DROP FUNCTION image_cast_json;
DROP TYPE image_nested, image_pair, image_enum, image_cast;
DROP DOMAIN image_domain, image_list;
