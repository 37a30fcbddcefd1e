-- The products example: several entities, derived actions with old values, excluded columns, bulk
-- prices, inventory counts.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS realtime;
RESET client_min_messages;
\set VERBOSITY terse
-- Since 15 pg_regress says where the tree is; before, it runs in it.
\set top `echo "${PG_ABS_SRCDIR:-.}"`
\set ECHO none
\o /dev/null
\i :top/examples/products/schema.sql
\i :top/examples/products/realtime.sql
\o
\set ECHO all

-- What was logged since the last call, in order; progress, whose number depends on time, left out.
CREATE SCHEMA example_products;
SET search_path = example_products;
CREATE TABLE last (tx xid8 NOT NULL);
INSERT INTO last VALUES (pg_current_xact_id());
CREATE FUNCTION log() RETURNS SETOF realtime.event LANGUAGE sql AS
	$$SELECT * FROM realtime.event WHERE feature = 'products' AND tx > (SELECT tx FROM last)$$;
CREATE FUNCTION events() RETURNS TABLE (entity text, action text, id text, data json, old json)
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT e.entity, e.action, CASE WHEN e.action NOT LIKE 'bulk%' THEN e.id END,
			e.event -> 'data', e.event -> 'old' FROM log() e
		WHERE e.action <> 'bulk_progress';
	UPDATE last SET tx = pg_current_xact_id();
END
$$;
-- Waits until an action was logged since the last call of events().
CREATE FUNCTION wait_for(wanted text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '30 s';
BEGIN
	WHILE NOT EXISTS (SELECT FROM example_products.log() WHERE action = wanted) LOOP
		IF clock_timestamp() > deadline THEN
			RAISE 'no % in time', wanted;
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
END
$$;

SELECT entity, relation, key, status_column, exclude, priority, actions FROM realtime.entities
WHERE feature = 'products' ORDER BY entity COLLATE "C";

-- One product's life.
\i :top/examples/products/demo.sql
SELECT count(*) FROM events();

-- Price and quantity in one update: every action that fits, with what was before.
UPDATE products.products SET price = 9, quantity = 40, name = 'Big mug' WHERE id = 1;
SELECT entity, action, id, data, old FROM events();
-- Discontinued is for ever.
UPDATE products.products SET status = 'discontinued' WHERE id = 1;
SELECT action, data ->> 'status' AS status, data ->> 'new_status' AS new_status FROM events();
UPDATE products.products SET status = 'published' WHERE id = 1;
INSERT INTO products.products (sku, name, category, status) VALUES ('NIX-1', 'x', 'kitchen', 'published');
-- The cost is nobody's business: alone it is no event, and it is in none.
UPDATE products.products SET cost = 1 WHERE id = 1;
SELECT * FROM events();
SELECT count(*) FROM realtime.event WHERE feature = 'products' AND event::text LIKE '%cost%';

-- Stock in two warehouses: the sum follows in the same transaction, the row first.
INSERT INTO products.products (sku, name, category, price)
SELECT format('CUP-%s', n), format('Cup %s', n), 'cups', n FROM generate_series(1, 4) n;
UPDATE products.products SET price = 99000 WHERE sku = 'CUP-3';
SELECT count(*) FROM events();
BEGIN;
INSERT INTO products.inventory SELECT id, 'north', 3 FROM products.products WHERE sku = 'CUP-1';
INSERT INTO products.inventory SELECT id, 'south', 4 FROM products.products WHERE sku = 'CUP-1';
COMMIT;
UPDATE products.inventory SET quantity = 9 WHERE warehouse = 'south';
DELETE FROM products.inventory WHERE warehouse = 'north' AND quantity = 3;
SELECT entity, action, id, data ->> 'quantity' AS quantity, old FROM events();
-- A part of the key changes: another id.
UPDATE products.inventory SET warehouse = 'west' WHERE warehouse = 'south';
SELECT entity, action, id FROM events();

-- New prices for all cups; one would be too high. The last cup waits until the progress is seen.
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM example_products.wait_for('bulk_progress');
	RETURN NEW;
END
$$;
CREATE TRIGGER hold BEFORE UPDATE OF price ON products.products FOR EACH ROW
	WHEN (NEW.sku = 'CUP-4') EXECUTE FUNCTION hold();
SELECT products.change_prices('cups', 10) AS operation \gset
DROP TRIGGER hold ON products.products;
SELECT count(*) > 0 AS is_seen, bool_and(id = :'operation') AS is_named,
	bool_and(tx <> (SELECT tx FROM log() WHERE action = 'bulk_completed')) AS is_by_itself
FROM log() WHERE action = 'bulk_progress';
SELECT action, id, data ->> 'total' AS total, data ->> 'successful' AS successful,
	data ->> 'failed' AS failed, data -> 'errors' AS errors, data ->> 'price' AS price, old
FROM events();
-- Nothing to do is done.
SELECT products.change_prices('spoons', 10) IS NOT NULL AS is_done;
SELECT action, data ->> 'total' AS total, data ->> 'successful' AS successful FROM events();

-- A count of a warehouse: new, changed, unchanged, unknown, impossible.
SELECT products.sync_inventory('west', '[{"sku": "CUP-1", "quantity": 5},
	{"sku": "CUP-2", "quantity": 6}, {"sku": "MUG-9", "quantity": 1},
	{"sku": "CUP-3", "quantity": -1}, {"sku": "CUP-4", "quantity": "some"}]') IS NOT NULL AS is_synced;
SELECT entity, action, id, data ->> 'quantity' AS quantity, data ->> 'successful' AS successful,
	data ->> 'failed' AS failed, old FROM events();
SELECT products.sync_inventory('west', '[{"sku": "CUP-2", "quantity": 6}]') IS NOT NULL AS is_synced;
SELECT entity, action, data ->> 'successful' AS successful FROM events();

-- A summary in place of rows, when one transaction changes more than the threshold.
SELECT realtime.enable('products.products', 'products', 'product', status_column => 'status',
	exclude => '{cost}', bulk_threshold => 3);
UPDATE products.products SET price = 5 WHERE sku LIKE 'CUP-%';
UPDATE products.products SET price = 6 WHERE sku IN ('CUP-1', 'CUP-2', 'CUP-3');
SELECT entity, action, data -> 'count' AS count, data ->> 'sku' AS sku,
	(SELECT array_agg(k ORDER BY k COLLATE "C") FROM json_array_elements_text(data -> 'keys') k) AS keys
FROM events() ORDER BY data ->> 'sku' COLLATE "C" NULLS FIRST, action = 'pricing.updated';

SET client_min_messages = warning;
DROP SCHEMA example_products, products CASCADE;
RESET client_min_messages;
SELECT count(*) FROM realtime.entities WHERE feature = 'products';
