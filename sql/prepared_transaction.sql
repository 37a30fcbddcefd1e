-- Two-phase commit: events are written at PREPARE and seen from COMMIT PREPARED on.
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
	FROM realtime.event e WHERE e.feature = 'prepared_transaction' AND e.tx > (SELECT s.tx FROM seen s)
	ORDER BY e.lsn, e.tx, e.part, e.seq;
	UPDATE seen SET tx = pg_current_xact_id();
END
$$;
CREATE TABLE prepared_transaction (id int PRIMARY KEY, v int, big text);
ALTER TABLE prepared_transaction ALTER COLUMN big SET STORAGE EXTERNAL;
SELECT realtime.enable('prepared_transaction', 'prepared_transaction', 'row');
BEGIN;
INSERT INTO prepared_transaction VALUES (1, 1);
UPDATE prepared_transaction SET v = 2 WHERE id = 1;
PREPARE TRANSACTION 'realtime_prepared_1';
SELECT count(*) FROM realtime.event WHERE feature = 'prepared_transaction';
-- the session goes on in the meantime
INSERT INTO prepared_transaction VALUES (2, 1);
COMMIT PREPARED 'realtime_prepared_1';
SELECT tx = min(tx) OVER () AS first, seq, action, id, event -> 'data' AS data
FROM realtime.event WHERE feature = 'prepared_transaction' ORDER BY tx, seq;
-- Its place in the order is that of PREPARE.
SELECT array_agg(id ORDER BY lsn, tx, seq) FROM realtime.event WHERE feature = 'prepared_transaction';
SELECT count(*) FROM pg_temp.events();

-- Rolled back after it was prepared; nothing is left over for the session's next transaction.
BEGIN;
INSERT INTO prepared_transaction VALUES (3, 1);
PREPARE TRANSACTION 'realtime_prepared_2';
BEGIN;
COMMIT;
ROLLBACK PREPARED 'realtime_prepared_2';
INSERT INTO prepared_transaction VALUES (4, 1);
SELECT * FROM pg_temp.events();

-- Savepoints inside, out-of-line values, many rows.
BEGIN;
INSERT INTO prepared_transaction VALUES (5, 1, repeat('x', 5000));
SAVEPOINT a;
INSERT INTO prepared_transaction VALUES (6, 1);
SAVEPOINT b;
UPDATE prepared_transaction SET v = 2 WHERE id = 5;
ROLLBACK TO b;
UPDATE prepared_transaction SET v = 3 WHERE id = 5;
RELEASE a;
SAVEPOINT c;
DELETE FROM prepared_transaction WHERE id > 0;
ROLLBACK TO c;
PREPARE TRANSACTION 'realtime_prepared_3';
COMMIT PREPARED 'realtime_prepared_3';
SELECT t, seq, action, id, data -> 'v' AS v, length(data ->> 'big') AS big, old, meta FROM pg_temp.events();

-- Larger than memory, with files that end at PREPARE.
SET realtime.pending_memory = '64kB';
BEGIN;
INSERT INTO prepared_transaction SELECT n, n, repeat('y', 100) FROM generate_series(1001, 3000) n;
SAVEPOINT a;
UPDATE prepared_transaction SET v = 0 WHERE id BETWEEN 1001 AND 2000;
ROLLBACK TO a;
DELETE FROM prepared_transaction WHERE id = 3000;
PREPARE TRANSACTION 'realtime_prepared_4';
INSERT INTO prepared_transaction VALUES (7, 1);
COMMIT PREPARED 'realtime_prepared_4';
SELECT action, count(*), min(id), max(id), min(seq), max(seq)
FROM realtime.event WHERE feature = 'prepared_transaction' AND id::int > 1000 GROUP BY 1 ORDER BY 1;
RESET realtime.pending_memory;
SELECT count(*) FROM pg_temp.events();

-- Deferred triggers run before PREPARE writes.
CREATE FUNCTION prepared_transaction_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE prepared_transaction SET v = v + 100 WHERE id = NEW.id;
	RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON prepared_transaction DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION prepared_transaction_late();
BEGIN;
INSERT INTO prepared_transaction VALUES (8, 1);
PREPARE TRANSACTION 'realtime_prepared_5';
COMMIT PREPARED 'realtime_prepared_5';
SELECT * FROM pg_temp.events();
-- A failing PREPARE
BEGIN;
INSERT INTO prepared_transaction VALUES (9, 1);
LISTEN prepared_transaction;
PREPARE TRANSACTION 'realtime_prepared_6';
INSERT INTO prepared_transaction VALUES (10, 1);
SELECT * FROM pg_temp.events();
SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'realtime\_prepared%';
DROP TABLE prepared_transaction;
