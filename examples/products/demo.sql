-- SPDX-License-Identifier: PostgreSQL
--
-- products/demo.sql
--	A product's life, and the events that tell it. Needs schema.sql and realtime.sql, and a role that
--	may read realtime.event (a superuser or a member of realtime_notifier).

INSERT INTO products.products (sku, name, category, price, cost)
VALUES ('MUG-1', 'Mug', 'kitchen', 8.00, 2.10) RETURNING id \gset
UPDATE products.products SET status = 'published' WHERE id = :id;
INSERT INTO products.inventory VALUES (:id, 'north', 6);
UPDATE products.products SET price = 7.50, cost = 2.00 WHERE id = :id;
UPDATE products.inventory SET quantity = 4 WHERE product_id = :id;

SELECT entity, action, id, event #>> '{meta,priority}' AS priority,
	event #>> '{old,price}' AS old_price, event #>> '{data,price}' AS price,
	event #>> '{old,quantity}' AS old_quantity, event #>> '{data,quantity}' AS quantity
FROM realtime.event WHERE feature = 'products';
