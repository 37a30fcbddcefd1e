-- created, updated, deleted: the shape of an event, what rolls back, rules, views, RETURNING, functions.
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
	FROM realtime.event e WHERE e.feature = 'actions' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE actions (id int PRIMARY KEY, name text, total numeric(10,2) DEFAULT 0);
SELECT realtime.enable('actions', 'actions', 'row');
-- the whole event, but for what differs in every run
-- (user is a reserved word)
SET realtime."user" = 'u42';
INSERT INTO actions VALUES (17, 'first', 9.99);
UPDATE actions SET name = 'second' WHERE id = 17;
DELETE FROM actions WHERE id = 17;
RESET realtime."user";
SELECT regexp_replace(event::text, '"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z","tx":"\d+"', '"timestamp":?,"tx":?')
FROM realtime.event WHERE feature = 'actions' ORDER BY lsn, tx, seq;
-- the columns of the view agree with the event
SELECT count(*), bool_and(tx::text = event -> 'meta' ->> 'tx') AS tx, bool_and(feature || '.' || entity || '.' || action = event ->> 'event') AS name,
	bool_and((event -> 'meta' ->> 'timestamp')::timestamptz = at) AS at, bool_and(at <= clock_timestamp() AND at > now() - interval '1 hour') AS recent
FROM realtime.event WHERE feature = 'actions';
SELECT count(*) FROM pg_temp.events();
-- Many rows, one statement; every kind in one transaction; seq numbers them.
INSERT INTO actions SELECT n, 'n' || n FROM generate_series(1, 4) n;
BEGIN;
UPDATE actions SET total = id * 1.5 WHERE id > 2;
DELETE FROM actions WHERE id = 1;
INSERT INTO actions VALUES (5, 'five') RETURNING id;
COMMIT;
SELECT * FROM pg_temp.events();
-- Nothing of what rolls back, fails, or touches no row.
BEGIN;
INSERT INTO actions VALUES (6, 'six');
ROLLBACK;
INSERT INTO actions VALUES (6, 'six'), (5, 'again');
UPDATE actions SET name = 'none' WHERE id = 1000;
DELETE FROM actions WHERE id = 1000;
SELECT * FROM actions WHERE id = 2 FOR UPDATE;
SELECT count(*) FROM pg_temp.events();
-- Several tables in one transaction keep their common order; names with quotes, dots and newlines.
CREATE TABLE "actions ""odd"" table" ("I D" int PRIMARY KEY, "a""b\c" text, "new
line" int);
SELECT realtime.enable('"actions ""odd"" table"', 'actions', 'odd "name"');
BEGIN;
UPDATE actions SET name = 'before' WHERE id = 2;
INSERT INTO "actions ""odd"" table" VALUES (1, E'quote " backslash \\ tab \t', 1);
UPDATE actions SET name = 'after' WHERE id = 2;
UPDATE "actions ""odd"" table" SET "a""b\c" = '' WHERE "I D" = 1;
COMMIT;
SELECT entity, seq, event::jsonb - 'meta' FROM realtime.event WHERE feature = 'actions' AND entity LIKE 'odd%' ORDER BY tx, seq;
SELECT * FROM pg_temp.events() WHERE entity = 'row';
-- By way of views, rules, functions, cursors.
CREATE VIEW actions_view AS SELECT id, name FROM actions WHERE id < 100;
INSERT INTO actions_view VALUES (50, 'view');
UPDATE actions_view SET name = 'updated view' WHERE id = 50;
CREATE RULE actions_rule AS ON DELETE TO actions_view DO INSTEAD UPDATE actions SET name = 'rule' WHERE id = OLD.id;
DELETE FROM actions_view WHERE id = 50;
CREATE FUNCTION actions_function(int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO actions VALUES ($1, 'function');
	UPDATE actions SET name = 'function 2' WHERE id = $1;
$$;
SELECT actions_function(51);
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM actions WHERE id >= 50 ORDER BY id FOR UPDATE;
FETCH 1 FROM c;
UPDATE actions SET name = 'cursor' WHERE CURRENT OF c;
FETCH 1 FROM c;
DELETE FROM actions WHERE CURRENT OF c;
COMMIT;
SELECT * FROM pg_temp.events();
-- BEFORE triggers: what they make of a row, or suppress.
CREATE FUNCTION actions_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.name = 'suppress' THEN
		RETURN NULL;
	END IF;
	NEW.name := upper(NEW.name);
	RETURN NEW;
END
$$;
CREATE TRIGGER actions_before BEFORE INSERT OR UPDATE ON actions FOR EACH ROW EXECUTE FUNCTION actions_before();
INSERT INTO actions VALUES (60, 'sixty'), (61, 'suppress');
UPDATE actions SET name = 'suppress' WHERE id = 60;
UPDATE actions SET total = 1 WHERE id = 60;
SELECT * FROM pg_temp.events();
-- Unlogged tables have events as others do. A registered table that is disabled has none.
CREATE UNLOGGED TABLE actions_unlogged (id int PRIMARY KEY);
SELECT realtime.enable('actions_unlogged', 'actions', 'unlogged');
INSERT INTO actions_unlogged VALUES (1);
SELECT realtime.disable('actions_unlogged');
INSERT INTO actions_unlogged VALUES (2);
SELECT * FROM pg_temp.events();
DROP VIEW actions_view;
DROP TABLE actions, actions_unlogged, "actions ""odd"" table";
