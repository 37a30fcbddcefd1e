-- The orders example: steps, approvals, payments, bulk shipping.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
\set VERBOSITY terse
-- Since 15 pg_regress says where the tree is; before, it runs in it.
\set top `echo "${PG_ABS_SRCDIR:-.}"`
\set ECHO none
\o /dev/null
\i :top/examples/orders/schema.sql
\i :top/examples/orders/realtime.sql
\o
\set ECHO all

-- What was logged since the last call, in order; progress, whose number depends on time, left out.
CREATE SCHEMA example_orders;
SET search_path = example_orders;
CREATE TABLE last (tx xid8 NOT NULL);
INSERT INTO last VALUES (pg_current_xact_id());
CREATE FUNCTION log() RETURNS SETOF realtime.event LANGUAGE sql AS
	$$SELECT * FROM realtime.event WHERE feature = 'orders' AND tx > (SELECT tx FROM last)$$;
CREATE FUNCTION events() RETURNS TABLE (entity text, action text, id text, data json, old json)
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT e.entity, e.action, e.id, e.event -> 'data', e.event -> 'old' FROM log() e
		WHERE e.action <> 'bulk_progress';
	UPDATE last SET tx = pg_current_xact_id();
END
$$;
-- Waits until an action was logged since the last call of events().
CREATE FUNCTION wait_for(wanted text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '30 s';
BEGIN
	WHILE NOT EXISTS (SELECT FROM example_orders.log() WHERE action = wanted) LOOP
		IF clock_timestamp() > deadline THEN
			RAISE 'no % in time', wanted;
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
END
$$;

SELECT entity, relation, key, status_column, actions FROM realtime.entities WHERE feature = 'orders'
ORDER BY entity COLLATE "C";

-- One order's life.
\i :top/examples/orders/demo.sql
SELECT count(*) FROM events();

-- A payment in two halves: the order is paid in the transaction of the second, after the payment.
INSERT INTO orders.orders (customer, total) VALUES ('Bolt', 50);
INSERT INTO orders.payments (order_id, amount, method) VALUES (2, 20, 'transfer');
UPDATE orders.payments SET status = 'received' WHERE id = 2;
SELECT entity, action, id, data ->> 'status' AS status, data ->> 'amount' AS amount FROM events();
SELECT orders.receive_payment(2, 30, 'cash');
SELECT count(DISTINCT tx) AS transactions, min(seq), max(seq) FROM log();
SELECT entity, action, id, data ->> 'status' AS status, data ->> 'amount' AS amount, old FROM events();

-- What the database refuses is no event.
INSERT INTO orders.orders (customer, total, status) VALUES ('Core', 10, 'paid');
UPDATE orders.orders SET status = 'pending' WHERE id = 2;
UPDATE orders.orders SET status = 'delivered' WHERE id = 2;
UPDATE orders.orders SET status = 'shipped' WHERE id = 2;
UPDATE orders.orders SET status = 'shipped', tracking = 'x' WHERE id = 2;
UPDATE orders.orders SET status = 'lost' WHERE id = 2;
UPDATE orders.orders SET approval = 'approved' WHERE id = 2;
UPDATE orders.orders SET approval = 'rejected', rejected_by = 'eve' WHERE id = 2;
UPDATE orders.orders SET approval = 'rejected', rejected_by = 'eve', reason = '' WHERE id = 2;
INSERT INTO orders.payments (order_id, amount, method, status) VALUES (2, 0, 'cash', 'received');
SELECT * FROM events();
-- A transaction that survives it tells the rest.
BEGIN;
INSERT INTO orders.orders (customer, total) VALUES ('Dust', 70);
SAVEPOINT s;
INSERT INTO orders.payments (order_id, amount, method, status) VALUES (4, 60, 'card', 'received');
UPDATE orders.orders SET status = 'paid' WHERE id = 4;
ROLLBACK TO s;
UPDATE orders.orders SET customer = 'Dust & Sons' WHERE id = 4;
COMMIT;
SELECT entity, action, id, data ->> 'status' AS status, old FROM events();

-- Rejected by whom and why, approved by whom, each once; saying it again is nothing.
UPDATE orders.orders SET approval = 'rejected', rejected_by = 'eve', reason = 'too much' WHERE id = 4;
UPDATE orders.orders SET approval = 'rejected' WHERE id = 4;
UPDATE orders.orders SET approval = 'approved', rejected_by = NULL, reason = NULL,
	approved_by = 'ann', approved_at = '2026-01-02 03:04:05+00' WHERE id = 4;
SELECT action, id, data ->> 'approved_by' AS approved_by, data ->> 'approved_at' AS approved_at,
	data ->> 'rejected_by' AS rejected_by, data ->> 'reason' AS reason FROM events();
UPDATE orders.orders SET status = 'cancelled' WHERE id = 4;
SELECT action, id, data ->> 'status' AS status, data ->> 'old_status' AS old_status,
	data ->> 'new_status' AS new_status, old FROM events();

-- Deleting an order deletes its payments, the order first.
DELETE FROM orders.orders WHERE id = 2;
SELECT entity, action, id, data ->> 'status' AS status FROM events();

-- Shipping many: one is not paid, one not approved, one shipped already, one not there. The third
-- waits until the job's progress is seen, long before it commits.
INSERT INTO orders.orders (customer, total, approval, approved_by, approved_at)
SELECT 'customer ' || n, n, 'approved', 'ann', now() FROM generate_series(1, 5) n;
SELECT count(orders.receive_payment(id, total, 'card')) FROM orders.orders
WHERE customer ~ '^customer [1345]$';
UPDATE orders.orders SET approval = 'waiting', approved_by = NULL, approved_at = NULL
WHERE customer = 'customer 4';
UPDATE orders.orders SET status = 'shipped', tracking = 'by hand' WHERE customer = 'customer 1';
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM example_orders.wait_for('bulk_progress');
	RETURN NEW;
END
$$;
CREATE TRIGGER hold BEFORE UPDATE ON orders.orders FOR EACH ROW
	WHEN (NEW.customer = 'customer 3' AND NEW.status = 'shipped') EXECUTE FUNCTION hold();
SELECT count(*) > 0 AS is_prepared FROM events();
SELECT array_agg(id ORDER BY id) || 4711::bigint AS ids FROM orders.orders
WHERE customer LIKE 'customer %' \gset
SET realtime."user" = 'sam';
BEGIN;
SELECT orders.ship(:'ids', 'DHL') AS operation \gset
SELECT action FROM log() WHERE action = 'bulk_started' OR entity <> 'order' OR action = 'updated';
COMMIT;
RESET realtime."user";
DROP TRIGGER hold ON orders.orders;
SELECT count(*) > 0 AS is_seen,
	bool_and(id = :'operation') AS is_named,
	bool_and((event #>> '{data,total}')::int = 6) AS has_total,
	bool_and((event #>> '{data,completed}')::int + (event #>> '{data,failed}')::int BETWEEN 1 AND 6)
		AS is_between,
	bool_and((event #>> '{data,percentage}')::int = round(100 * ((event #>> '{data,completed}')::int
		+ (event #>> '{data,failed}')::int) / 6.0)) AS is_rounded
FROM log() WHERE action = 'bulk_progress';
SELECT bool_and(event #>> '{meta,userId}' = 'sam') AS is_sam FROM log();
SELECT entity, action, CASE WHEN action NOT LIKE 'bulk%' THEN id END AS id,
	data ->> 'operation' AS operation, data ->> 'total' AS total, data ->> 'successful' AS successful,
	data ->> 'failed' AS failed, jsonb_pretty((data -> 'errors')::jsonb) AS errors
FROM events();

-- A job that is rolled back ends, too, and ships nothing, not even what it could.
UPDATE orders.orders SET approval = 'approved', approved_by = 'eve', approved_at = now() WHERE id = 8;
SELECT action, id FROM events();
BEGIN;
SELECT orders.ship('{8}', 'UPS') IS NOT NULL AS is_shipped;
SELECT status FROM orders.orders WHERE id = 8;
ROLLBACK;
SELECT status FROM orders.orders WHERE id = 8;
SELECT wait_for('bulk_failed');
SELECT entity, action, data ->> 'operation' AS operation, data ->> 'reason' AS reason FROM events();

SET client_min_messages = warning;
DROP SCHEMA example_orders, orders CASCADE;
RESET client_min_messages;
SELECT count(*) FROM realtime.entities WHERE feature = 'orders';
