-- SPDX-License-Identifier: PostgreSQL
--
-- orders/realtime.sql
--	Events for orders/schema.sql: two tables, six calls, and a bulk operation.

SELECT realtime.enable('orders.orders', 'orders', 'order', status_column => 'status');
SELECT realtime.enable('orders.payments', 'orders', 'payment', status_column => 'status');

-- Status: when the order becomes shipped or cancelled, besides updated and status_changed.
SELECT realtime.define_event('orders.orders', 'order.shipped', status => 'shipped',
	priority => 'high');
SELECT realtime.define_event('orders.orders', 'cancelled', status => 'cancelled');
-- Columns and a condition: approvals are not the status column.
SELECT realtime.define_event('orders.orders', 'approved', columns => '{approval}',
	condition => 'NEW.approval = ''approved''', priority => 'high');
SELECT realtime.define_event('orders.orders', 'rejected', columns => '{approval}',
	condition => 'NEW.approval = ''rejected''', priority => 'high');
-- A condition alone holds for inserts, too: OLD is null then.
SELECT realtime.define_event('orders.payments', 'payment.received',
	condition => 'NEW.status = ''received'' AND OLD.status IS DISTINCT FROM ''received''',
	priority => 'high');

/*
 * Ships many orders; returns the operation's id. Each order is a subtransaction: one that cannot be
 * shipped rolls back alone, emits nothing and is counted and named in the results.
 */
CREATE FUNCTION orders.ship(ids bigint[], carrier text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	operation text := realtime.bulk_start('orders', 'order', 'ship', cardinality(ids));
	shipped bigint := 0;
	errors jsonb := '[]';
	order_id bigint;
BEGIN
	FOREACH order_id IN ARRAY ids LOOP
		BEGIN
			UPDATE orders.orders SET status = 'shipped', tracking = carrier || '-' || id
			WHERE id = order_id AND status <> 'shipped';
			IF NOT FOUND THEN
				RAISE EXCEPTION 'order % is shipped already or does not exist', order_id
					USING ERRCODE = 'no_data_found';
			END IF;
			shipped := shipped + 1;
		EXCEPTION WHEN check_violation OR no_data_found THEN
			errors := errors || jsonb_build_object('id', order_id::text, 'message', SQLERRM);
		END;
		PERFORM realtime.bulk_progress(operation, shipped, jsonb_array_length(errors));
	END LOOP;
	PERFORM realtime.bulk_complete(operation, jsonb_build_object('successful', shipped,
		'failed', jsonb_array_length(errors), 'errors', errors));
	RETURN operation;
END
$$;
