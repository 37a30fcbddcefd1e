-- Forgetting records: what realtime.forget() takes out of the log, and what it leaves. It reads all of
-- the log: in a database of its own, where that is short.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
\set main :DBNAME
DROP DATABASE IF EXISTS regression_realtime_forget;
CREATE DATABASE regression_realtime_forget;
\c regression_realtime_forget
CREATE EXTENSION realtime;
RESET client_min_messages;
SET search_path = public;
\set SHOW_CONTEXT never

CREATE TABLE forget_t (id text PRIMARY KEY, v text, status text);
CREATE TABLE forget_other (id text PRIMARY KEY, v text);
CREATE TABLE forget_comp (a int, b text, v text, PRIMARY KEY (a, b));
SELECT realtime.enable('forget_t', 'forget', 't', status_column => 'status');
SELECT realtime.define_event('forget_t', 'approved', status => 'ok');
SELECT realtime.enable('forget_other', 'forget', 'other');
SELECT realtime.enable('forget_comp', 'forget', 'comp');
CREATE VIEW forget_events AS
	SELECT dense_rank() OVER (ORDER BY lsn, tx) AS tx, seq, entity, action, id,
		event -> 'meta' ->> 'newId' AS new, event -> 'meta' ->> 'oldId' AS old, event -> 'data' -> 'keys' AS keys
	FROM realtime.event WHERE feature = 'forget' ORDER BY lsn, tx, part, seq;

--
-- One key
--
BEGIN;
INSERT INTO forget_t VALUES ('1', 'secret', 'new'), ('2', 'x', 'new'), ('11', 'x', 'new'), ('"1"', 'x', 'new');
INSERT INTO forget_other VALUES ('1', 'x');
INSERT INTO forget_comp VALUES (1, '1', 'x');
COMMIT;
UPDATE forget_t SET status = 'ok' WHERE id = '1';
SELECT realtime.emit('forget', 't', 'looked_at', '"secret"', id => '1');
SELECT realtime.emit('forget', 't', 'looked_at', '"x"', id => '2');
DELETE FROM forget_t WHERE id = '1';
CREATE TEMPORARY TABLE forget_before AS SELECT lsn, tx, part, seq, event::text AS event FROM realtime.event WHERE feature = 'forget';
SELECT * FROM forget_events;
SELECT realtime.forget('forget_t', '1');
SELECT * FROM forget_events;
-- nothing is left of it, and all that is left is as it was, byte for byte
SELECT count(*) FROM realtime.commit_log WHERE events::text LIKE '%secret%';
SELECT count(*) FROM (SELECT lsn, tx, part, seq, event::text FROM realtime.event WHERE feature = 'forget'
	EXCEPT ALL SELECT * FROM forget_before) x;
SELECT realtime.forget('forget_t', '1'), realtime.forget('forget_t', 'nothing'), realtime.forget('forget_t', '');
-- an id is text, whatever it looks like
SELECT realtime.forget('forget_t', '"1"');
SELECT realtime.forget('forget_t', '{"id":"2"}'), realtime.forget('forget_t', E'2\u0001\\');
SELECT count(*) FROM forget_events WHERE id = '2';

--
-- Composite keys
--
INSERT INTO forget_comp VALUES (1, '2', 'x'), (2, 'ü"\', 'x'), (2, '1', 'x');
SELECT realtime.forget('forget_comp', '{"b" : "1", "a":"1"}');
SELECT realtime.forget('forget_comp', '{"a":"2","b":"ü\"\\"}');
SELECT realtime.forget('forget_comp', '{"a":"2"}'), realtime.forget('forget_comp', '"2"'), realtime.forget('forget_comp', '{"a":2,"b":"1"}');
SELECT realtime.forget('forget_comp', '2');
SELECT realtime.forget('forget_comp', 'not json');
SELECT entity, action, id FROM forget_events WHERE entity = 'comp';

--
-- Changes of a key: both ends of the change name the record
--
INSERT INTO forget_t VALUES ('old', 'x', 'new');
UPDATE forget_t SET id = 'new' WHERE id = 'old';
UPDATE forget_t SET v = 'y' WHERE id = 'new';
SELECT * FROM forget_events WHERE 'old' IN (id, old, new) OR 'new' IN (id, old, new);
SELECT realtime.forget('forget_t', 'old');
SELECT * FROM forget_events WHERE 'old' IN (id, old, new) OR 'new' IN (id, old, new);
SELECT realtime.forget('forget_t', 'new');
SELECT count(*) FROM forget_events WHERE 'old' IN (id, old, new) OR 'new' IN (id, old, new);

--
-- Summaries of bulk changes: the key goes, the count stays
--
SELECT realtime.enable('forget_t', 'forget', 't', status_column => 'status', bulk_threshold => 2);
SELECT realtime.enable('forget_comp', 'forget', 'comp', bulk_threshold => 2);
SELECT realtime.enable('forget_other', 'forget', 'other', bulk_threshold => 2);
BEGIN;
INSERT INTO forget_t SELECT 'b' || g, 'x', 'new' FROM generate_series(1, 3) g;
INSERT INTO forget_other SELECT 'b' || g, 'x' FROM generate_series(1, 3) g;
INSERT INTO forget_comp SELECT 9, 'b' || g, 'x' FROM generate_series(1, 3) g;
COMMIT;
SELECT realtime.forget('forget_t', 'b2'), realtime.forget('forget_comp', '{"a":"9","b":"b3"}');
SELECT entity, action, keys, event -> 'data' -> 'count' AS count FROM forget_events JOIN realtime.event e USING (entity, action)
WHERE feature = 'forget' AND action LIKE 'bulk%';
SELECT realtime.forget('forget_t', 'b1'), realtime.forget('forget_t', 'b3'), realtime.forget('forget_t', 'b3');
SELECT entity, action, keys FROM forget_events WHERE action LIKE 'bulk%';

--
-- In the transaction: rolled back it is undone; readers never see a row twice or not at all
--
BEGIN;
SELECT realtime.forget('forget_t', '2');
SELECT count(*) FROM forget_events WHERE id = '2';
ROLLBACK;
SELECT count(*) FROM forget_events WHERE id = '2';
-- rows of several parts
SELECT realtime.enable('forget_t', 'forget', 't', status_column => 'status', bulk_threshold => NULL);
INSERT INTO forget_t SELECT 'part', repeat('x', 1000000), 'new';
BEGIN;
UPDATE forget_t SET v = repeat('y', 300000) WHERE id = 'part';
UPDATE forget_t SET v = repeat('z', 300000) WHERE id = 'part';
UPDATE forget_t SET v = 'small' WHERE id IN ('part', '2');
COMMIT;
SELECT action, part, count(*) FROM realtime.event WHERE feature = 'forget' AND id = 'part' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT realtime.forget('forget_t', 'part');
SELECT count(*), count(DISTINCT tx) FROM forget_events WHERE id = 'part';
SELECT count(*) FROM realtime.commit_log WHERE events::text LIKE '%zzzzzzzzzz%';
SELECT action, seq FROM forget_events WHERE id = '2';

--
-- Wrong calls
--
SELECT realtime.forget(NULL, 'x'), realtime.forget('forget_t', NULL);
CREATE TABLE forget_unregistered (id int);
SELECT realtime.forget('forget_unregistered', '1');
SELECT realtime.forget(0, '1');
BEGIN READ ONLY;
SELECT realtime.forget('forget_t', '2');
ROLLBACK;

\c :main
DROP DATABASE regression_realtime_forget WITH (FORCE);
