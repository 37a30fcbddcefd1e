-- Who did it: realtime.user, then the sub claim of request.jwt.claims, then the role; realtime.session.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
CREATE TABLE meta (id int PRIMARY KEY, v int DEFAULT 0);
SELECT realtime.enable('meta', 'meta', 'row');
CREATE ROLE regress_meta;
GRANT SELECT, INSERT, UPDATE ON meta TO regress_meta;
CREATE FUNCTION meta_events(OUT seq int, OUT id text, OUT user_id json, OUT session_id json) RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
	RETURN QUERY SELECT e.seq, e.id, e.event -> 'meta' -> 'userId', e.event -> 'meta' -> 'sessionId'
	FROM realtime.event e WHERE e.feature = 'meta' AND e.tx > (SELECT m.tx FROM public.meta_seen m)
	ORDER BY e.lsn, e.tx, e.seq;
	UPDATE public.meta_seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE meta_seen AS SELECT pg_current_xact_id() AS tx;
-- (user is a reserved word: quote it, or call set_config)
SET ROLE regress_meta;
INSERT INTO meta VALUES (1);
SET realtime."user" = 'u42';
SET realtime.session = 's1';
INSERT INTO meta VALUES (2);
SELECT set_config('realtime.user', 'with "quotes" \ and 	tab', false), set_config('realtime.session', '', false);
INSERT INTO meta VALUES (3);
RESET realtime."user";
RESET realtime.session;
RESET ROLE;
SELECT * FROM meta_events();
-- claims
SET ROLE regress_meta;
SET request.jwt.claims = '{"role": "web", "sub": "claimed", "sub2": "x"}';
INSERT INTO meta VALUES (4);
SET request.jwt.claims = '{"sub": 12345}';
INSERT INTO meta VALUES (5);
SET request.jwt.claims = '{"sub": "caf\u0065 \"x\" \\"}';
INSERT INTO meta VALUES (6);
-- not the claim that is meant, or none: the role
SET request.jwt.claims = '{"role": "web"}';
INSERT INTO meta VALUES (10);
SET request.jwt.claims = '{"a": {"sub": "nested"}, "b": [{"sub": "x"}], "c": "sub"}';
INSERT INTO meta VALUES (11);
SET request.jwt.claims = '{"sub": null}';
INSERT INTO meta VALUES (12);
SET request.jwt.claims = '{"sub": ["list"], "x": "y"}';
INSERT INTO meta VALUES (13);
SET request.jwt.claims = '{"sub": {"sub": "deep"}}';
INSERT INTO meta VALUES (14);
SET request.jwt.claims = '{"sub": true}';
INSERT INTO meta VALUES (15);
SET request.jwt.claims = '"sub"';
INSERT INTO meta VALUES (16);
SET request.jwt.claims = '["sub", "x"]';
INSERT INTO meta VALUES (17);
-- malformed is no error
SET request.jwt.claims = '';
INSERT INTO meta VALUES (20);
SET request.jwt.claims = '{"sub": "cut off"';
INSERT INTO meta VALUES (21);
SET request.jwt.claims = '{"sub": "bad \u00zz"}';
INSERT INTO meta VALUES (22);
SET request.jwt.claims = 'not json at all';
INSERT INTO meta VALUES (23);
SET request.jwt.claims = '{"sub": "zero \u0000"}';
INSERT INTO meta VALUES (24);
SET request.jwt.claims = '{"sub": "first", "sub": "second"}';
INSERT INTO meta VALUES (25);
-- realtime.user goes before claims; an empty one is none
SET request.jwt.claims = '{"sub": "claimed"}';
SELECT set_config('realtime.user', 'named', false);
INSERT INTO meta VALUES (30);
SELECT set_config('realtime.user', '', false);
INSERT INTO meta VALUES (31);
RESET request.jwt.claims;
RESET ROLE;
SELECT * FROM meta_events();
-- for one transaction only; the value at commit counts for all of it
BEGIN;
SET LOCAL realtime."user" = 'local';
SET LOCAL realtime.session = 'local session';
INSERT INTO meta VALUES (40);
COMMIT;
INSERT INTO meta VALUES (41);
BEGIN;
SET LOCAL realtime."user" = 'first';
INSERT INTO meta VALUES (42);
SET LOCAL realtime."user" = 'second';
INSERT INTO meta VALUES (43);
SAVEPOINT a;
SET LOCAL realtime."user" = 'third';
ROLLBACK TO a;
COMMIT;
-- SET LOCAL ROLE, SECURITY DEFINER: the role at commit
BEGIN;
SET LOCAL ROLE regress_meta;
INSERT INTO meta VALUES (44);
COMMIT;
CREATE FUNCTION meta_definer() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'INSERT INTO meta VALUES (45)';
SET ROLE regress_meta;
SELECT meta_definer();
RESET ROLE;
SELECT * FROM meta_events();
-- with every kind of event, prepared ones and those of emit() too
BEGIN;
SET LOCAL realtime."user" = 'all';
SET LOCAL realtime.session = 's';
UPDATE meta SET v = 1 WHERE id = 1;
SELECT realtime.emit('meta', 'row', 'pinged', NULL, '1');
PREPARE TRANSACTION 'realtime_meta';
COMMIT PREPARED 'realtime_meta';
SELECT * FROM meta_events();
DROP FUNCTION meta_events, meta_definer;
DROP TABLE meta, meta_seen;
DROP ROLE regress_meta;
