-- Out-of-line values: whole when they changed, not fetched and named in meta.omitted when they did not.
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
	FROM realtime.event e WHERE e.feature = 'toast' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE toast (id int PRIMARY KEY, v int, big text, other text, status text);
ALTER TABLE toast ALTER COLUMN big SET STORAGE EXTERNAL;
ALTER TABLE toast ALTER COLUMN other SET STORAGE EXTERNAL;
ALTER TABLE toast ALTER COLUMN status SET STORAGE EXTERNAL;
SELECT realtime.enable('toast', 'toast', 'row');
CREATE FUNCTION toast_events(OUT t bigint, OUT seq int, OUT action text, OUT id text, OUT rest jsonb,
	OUT big text, OUT other text, OUT old text, OUT meta jsonb) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT t, seq, action, id, (data::jsonb - '{id,big,other,status}'::text[]),
		left(data ->> 'big', 1) || length(data ->> 'big'), left(data ->> 'other', 1) || length(data ->> 'other'),
		left(old::text, 20), meta FROM pg_temp.events()
$$;
-- created and deleted carry all of the row
INSERT INTO toast VALUES (1, 1, repeat('a', 10000), repeat('b', 20000)), (2, 1, 'short', NULL);
SELECT * FROM toast_events();
-- unchanged: omitted; one changed, the other not; to short; to null; back
UPDATE toast SET v = 2 WHERE id IN (1, 2);
UPDATE toast SET big = repeat('c', 10000) WHERE id = 1;
UPDATE toast SET big = 'short' WHERE id = 1;
UPDATE toast SET other = NULL WHERE id = 1;
UPDATE toast SET big = repeat('d', 10000), other = repeat('e', 10000) WHERE id = 1;
UPDATE toast SET v = 3, other = other WHERE id = 1;
DELETE FROM toast WHERE id = 1;
SELECT * FROM toast_events();
-- the same value written anew is compared, not taken for a change
INSERT INTO toast VALUES (3, 1, repeat('f', 10000));
UPDATE toast SET big = repeat('f', 10000), v = 2 WHERE id = 3;
UPDATE toast SET big = repeat('f', 9999) || 'g', v = 3 WHERE id = 3;
SELECT * FROM toast_events();
-- several versions in one transaction: each event has its own value
BEGIN;
INSERT INTO toast VALUES (4, 1, repeat('h', 10000));
UPDATE toast SET big = repeat('i', 10000) WHERE id = 4;
UPDATE toast SET v = 2 WHERE id = 4;
SAVEPOINT a;
UPDATE toast SET big = repeat('j', 10000) WHERE id = 4;
ROLLBACK TO a;
UPDATE toast SET big = repeat('k', 10000) WHERE id = 4;
DELETE FROM toast WHERE id = 4;
COMMIT;
SELECT * FROM toast_events();
-- compressed in line, compressed out of line
ALTER TABLE toast ALTER COLUMN big SET STORAGE EXTENDED;
SELECT count(*) FROM toast_events() WHERE action <> 'resync';
INSERT INTO toast VALUES (5, 1, repeat('l', 100000)), (6, 1, (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) n));
UPDATE toast SET v = 2 WHERE id IN (5, 6);
SELECT id, action, length(data ->> 'big'), meta FROM pg_temp.events();
-- a status is shown whatever its size, unchanged or not; so is what a defined event compares
SELECT realtime.enable('toast', 'toast', 'row', status_column => 'status');
SELECT realtime.define_event('toast', 'big_changed', columns => '{big}');
SELECT realtime.define_event('toast', 'is_long', condition => 'length(NEW.big) > 5000');
INSERT INTO toast VALUES (7, 1, repeat('m', 100), NULL, repeat('s', 5000));
UPDATE toast SET v = 2 WHERE id = 7;
UPDATE toast SET status = repeat('t', 5000), big = (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) n) WHERE id = 7;
UPDATE toast SET v = 3 WHERE id = 7;
SELECT seq, action, length(data ->> 'status') AS status, length(data ->> 'new_status') AS new_status,
	length(data ->> 'big') AS big, meta FROM pg_temp.events();
-- keys are always there
CREATE TABLE toast_key (k text PRIMARY KEY, v int, big text);
ALTER TABLE toast_key ALTER COLUMN k SET STORAGE EXTERNAL;
SELECT realtime.enable('toast_key', 'toast', 'key');
INSERT INTO toast_key VALUES (repeat('k', 2500), 1);
UPDATE toast_key SET v = 2;
DELETE FROM toast_key;
SELECT action, length(id) AS id, length(data ->> 'k') AS k, data -> 'v' AS v, meta FROM pg_temp.events();
-- two hundred updates beside a large value do not read it
INSERT INTO toast VALUES (8, 0, NULL, repeat('o', 200000));
BEGIN;
DO $$
BEGIN
	FOR i IN 1..200 LOOP
		UPDATE toast SET v = i WHERE id = 8;
	END LOOP;
END
$$;
COMMIT;
SELECT action, count(*), count(data -> 'other') AS other, min(meta::text), max(meta::text) FROM pg_temp.events() GROUP BY 1 ORDER BY 1;
-- out-of-line values inside of composites, arrays, and by way of partitions
CREATE TABLE toast_part (id int PRIMARY KEY, v int, big text) PARTITION BY RANGE (id);
CREATE TABLE toast_part_1 (big text, v int, id int NOT NULL);
ALTER TABLE toast_part_1 ALTER COLUMN big SET STORAGE EXTERNAL;
ALTER TABLE toast_part ATTACH PARTITION toast_part_1 FOR VALUES FROM (0) TO (10);
CREATE TABLE toast_part_2 PARTITION OF toast_part FOR VALUES FROM (10) TO (20);
SELECT realtime.enable('toast_part', 'toast', 'part');
INSERT INTO toast_part VALUES (1, 1, repeat('p', 10000));
UPDATE toast_part SET v = 2 WHERE id = 1;
UPDATE toast_part SET id = 11 WHERE id = 1;
UPDATE toast_part SET v = 3 WHERE id = 11;
SELECT action, id, data -> 'v' AS v, length(data ->> 'big') AS big, old, meta FROM pg_temp.events();
-- what row-level security reads is not left out, however deep the policy reads it
CREATE TABLE toast_policy (id int PRIMARY KEY, v int, plain text, member text, nested text);
ALTER TABLE toast_policy ALTER plain SET STORAGE EXTERNAL, ALTER member SET STORAGE EXTERNAL, ALTER nested SET STORAGE EXTERNAL;
SELECT realtime.enable('toast_policy', 'toast', 'policy');
CREATE POLICY reads ON toast_policy USING (starts_with(member, current_user)
	OR EXISTS (SELECT FROM pg_roles r WHERE r.rolname = left(toast_policy.nested, 3)));
INSERT INTO toast_policy VALUES (1, 1, repeat('p', 10000), repeat('m', 10000), repeat('n', 10000));
UPDATE toast_policy SET v = 2;
ALTER TABLE toast_policy ENABLE ROW LEVEL SECURITY;
UPDATE toast_policy SET v = 3;
DROP POLICY reads ON toast_policy;
UPDATE toast_policy SET v = 4;
SELECT data -> 'v' AS v, length(data ->> 'plain') AS plain, length(data ->> 'member') AS member,
	length(data ->> 'nested') AS nested
FROM pg_temp.events() WHERE action = 'updated';
DROP FUNCTION toast_events;
DROP TABLE toast, toast_key, toast_part, toast_policy;
