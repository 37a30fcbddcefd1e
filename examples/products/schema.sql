-- SPDX-License-Identifier: PostgreSQL
--
-- products/schema.sql
--	A catalogue: products with a price, and what of them is in which warehouse. Nothing in here knows
--	of events; realtime.sql adds them. Remove it with DROP SCHEMA products CASCADE.

CREATE SCHEMA products;

CREATE TABLE products.products (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	sku text NOT NULL UNIQUE CHECK (sku ~ '^[A-Z0-9-]+$'),
	name text NOT NULL CHECK (name <> ''),
	category text NOT NULL,
	status text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'published', 'discontinued')),
	price numeric(12, 2) CHECK (price > 0 AND price <= 100000),
	cost numeric(12, 2) CHECK (cost >= 0),
	quantity integer NOT NULL DEFAULT 0 CHECK (quantity >= 0),
	CONSTRAINT published_has_price CHECK (status <> 'published' OR price IS NOT NULL)
);
COMMENT ON COLUMN products.products.cost IS 'what we pay; nobody else''s business';
COMMENT ON COLUMN products.products.quantity IS 'in all warehouses; kept by a trigger';

CREATE TABLE products.inventory (
	product_id bigint NOT NULL REFERENCES products.products ON DELETE CASCADE,
	warehouse text NOT NULL,
	quantity integer NOT NULL CHECK (quantity >= 0),
	PRIMARY KEY (product_id, warehouse)
);

-- Discontinued is for ever, and what was published is not a draft again.
CREATE FUNCTION products.check_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.status = 'discontinued' OR NEW.status = 'draft' THEN
		RAISE EXCEPTION 'product % cannot go from % to %', NEW.sku, OLD.status, NEW.status
			USING ERRCODE = 'check_violation';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER check_status_step BEFORE UPDATE ON products.products
	FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
	EXECUTE FUNCTION products.check_step();

-- Keeps products.quantity the sum over the warehouses.
CREATE FUNCTION products.sum_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP <> 'INSERT' THEN
		UPDATE products.products SET quantity = quantity - OLD.quantity WHERE id = OLD.product_id;
	END IF;
	IF TG_OP <> 'DELETE' THEN
		UPDATE products.products SET quantity = quantity + NEW.quantity WHERE id = NEW.product_id;
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER sum_up AFTER INSERT OR DELETE ON products.inventory
	FOR EACH ROW EXECUTE FUNCTION products.sum_up();
CREATE TRIGGER sum_up_moved AFTER UPDATE ON products.inventory
	FOR EACH ROW WHEN (OLD.product_id IS DISTINCT FROM NEW.product_id)
	EXECUTE FUNCTION products.sum_up();

-- A changed count is one step of the sum, not down and up again.
CREATE FUNCTION products.add_difference() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE products.products SET quantity = quantity + NEW.quantity - OLD.quantity
	WHERE id = NEW.product_id;
	RETURN NULL;
END
$$;
CREATE TRIGGER sum_up_counted AFTER UPDATE ON products.inventory
	FOR EACH ROW WHEN (OLD.product_id = NEW.product_id AND OLD.quantity <> NEW.quantity)
	EXECUTE FUNCTION products.add_difference();
