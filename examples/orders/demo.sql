-- SPDX-License-Identifier: PostgreSQL
--
-- orders/demo.sql
--	One order's life, and the events that tell it. Needs schema.sql and realtime.sql, and a role that
--	may read realtime.event (a superuser or a member of realtime_notifier).

SET realtime."user" = 'ann';	-- quoted: user is a keyword
INSERT INTO orders.orders (customer, total) VALUES ('ACME', 120.00) RETURNING id \gset
BEGIN;
SELECT orders.receive_payment(:id, 120.00, 'card') AS payment;
UPDATE orders.orders SET approval = 'approved', approved_by = 'ann', approved_at = now()
WHERE id = :id;
COMMIT;
UPDATE orders.orders SET status = 'shipped', tracking = 'DHL-1' WHERE id = :id;
UPDATE orders.orders SET status = 'delivered' WHERE id = :id;
RESET realtime."user";

SELECT entity, action, id, event #>> '{meta,priority}' AS priority, event #>> '{meta,userId}' AS who,
	event #>> '{data,status}' AS status, event #>> '{old,status}' AS old_status
FROM realtime.event WHERE feature = 'orders';
