-- SPDX-License-Identifier: PostgreSQL
--
-- products/realtime.sql
--	Events for products/schema.sql: two entities of one feature, and two bulk operations.

-- The cost stays in the database: an excluded column is in no event, and its change alone is none.
SELECT realtime.enable('products.products', 'products', 'product', status_column => 'status',
	exclude => '{cost}');
-- The key has two columns, so ids are objects: {"product_id":"1","warehouse":"north"}.
SELECT realtime.enable('products.inventory', 'products', 'inventory', priority => 'low');

SELECT realtime.define_event('products.products', 'inventory.updated', columns => '{quantity}');
SELECT realtime.define_event('products.products', 'pricing.updated', columns => '{price}',
	priority => 'high');
SELECT realtime.define_event('products.products', 'published', status => 'published');
SELECT realtime.define_event('products.products', 'discontinued', status => 'discontinued');
-- Any condition over both images.
SELECT realtime.define_event('products.products', 'inventory.low',
	condition => 'NEW.quantity < 5 AND OLD.quantity >= 5', priority => 'critical');

/*
 * Changes the prices of a category by a percentage; returns the operation's id. A price that breaks
 * a rule of the table stays as it was and is counted as failed.
 */
CREATE FUNCTION products.change_prices(category text, percent numeric) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	operation text;
	changed bigint := 0;
	errors jsonb := '[]';
	product record;
BEGIN
	operation := realtime.bulk_start('products', 'product', 'change_prices',
		(SELECT count(*) FROM products.products p
		WHERE p.category = category AND p.price IS NOT NULL));
	FOR product IN
		SELECT p.id, p.sku FROM products.products p
		WHERE p.category = category AND p.price IS NOT NULL ORDER BY p.id
	LOOP
		BEGIN
			UPDATE products.products p SET price = round(p.price * (1 + percent / 100), 2)
			WHERE p.id = product.id;
			changed := changed + 1;
		EXCEPTION WHEN check_violation THEN
			errors := errors || jsonb_build_object('id', product.id::text, 'sku', product.sku,
				'message', SQLERRM);
		END;
		PERFORM realtime.bulk_progress(operation, changed, jsonb_array_length(errors));
	END LOOP;
	PERFORM realtime.bulk_complete(operation, jsonb_build_object('successful', changed,
		'failed', jsonb_array_length(errors), 'errors', errors));
	RETURN operation;
END
$$;

/*
 * Takes over a warehouse's counts, an array of {"sku": …, "quantity": …}; returns the operation's
 * id. An unknown product or an impossible count is counted as failed.
 */
CREATE FUNCTION products.sync_inventory(warehouse text, counts jsonb) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	operation text := realtime.bulk_start('products', 'inventory', 'sync',
		jsonb_array_length(counts));
	done bigint := 0;
	errors jsonb := '[]';
	counted jsonb;
BEGIN
	FOR counted IN SELECT c FROM jsonb_array_elements(counts) WITH ORDINALITY AS x(c, n) ORDER BY n
	LOOP
		BEGIN
			INSERT INTO products.inventory AS i (product_id, warehouse, quantity)
			SELECT p.id, warehouse, (counted ->> 'quantity')::integer FROM products.products p
			WHERE p.sku = counted ->> 'sku'
			ON CONFLICT ON CONSTRAINT inventory_pkey DO UPDATE SET quantity = excluded.quantity
				WHERE i.quantity <> excluded.quantity;
			IF NOT EXISTS (SELECT FROM products.products p WHERE p.sku = counted ->> 'sku') THEN
				RAISE EXCEPTION 'there is no product %', counted ->> 'sku'
					USING ERRCODE = 'no_data_found';
			END IF;
			done := done + 1;
		EXCEPTION WHEN integrity_constraint_violation OR data_exception OR no_data_found THEN
			errors := errors || jsonb_build_object('sku', counted ->> 'sku', 'message', SQLERRM);
		END;
		PERFORM realtime.bulk_progress(operation, done, jsonb_array_length(errors));
	END LOOP;
	PERFORM realtime.bulk_complete(operation, jsonb_build_object('successful', done,
		'failed', jsonb_array_length(errors), 'errors', errors));
	RETURN operation;
END
$$;
