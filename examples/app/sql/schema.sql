-- SPDX-License-Identifier: PostgreSQL
--
-- app/sql/schema.sql
--	What the application adds to the schemas orders, products and users: two desks that share the orders,
--	locks, and who may see and do what. Nothing in here knows of events. Needs the three schema.sql, and
--	of roles.sql
--
--		web			without a login: reads orders (the first plain page)
--		web_user	works at one desk
--		web_admin	sees and does everything
--
-- Who somebody is comes with each transaction, in request.jwt.claims: sub is the name, desk the desk.

-- One of the claims; NULL where there are none (psql).
CREATE FUNCTION orders.claim(name text) RETURNS text LANGUAGE sql STABLE AS
	$$SELECT nullif(current_setting('request.jwt.claims', true), '')::json ->> name$$;

ALTER TABLE orders.orders
	ADD desk text NOT NULL DEFAULT coalesce(orders.claim('desk'), 'north') CHECK (desk IN ('north', 'south')),
	ADD UNIQUE (id, desk);

-- At whose desk a payment or a lock is follows its order.
ALTER TABLE orders.payments
	ADD desk text NOT NULL DEFAULT 'north',
	ADD FOREIGN KEY (order_id, desk) REFERENCES orders.orders (id, desk) ON UPDATE CASCADE ON DELETE CASCADE;

CREATE TABLE orders.locks (
	order_id bigint PRIMARY KEY,
	desk text NOT NULL,
	locked_by text NOT NULL,
	type text NOT NULL DEFAULT 'edit' CHECK (type IN ('edit', 'review')),
	expires_at timestamptz NOT NULL DEFAULT now() + interval '2 minutes',
	FOREIGN KEY (order_id, desk) REFERENCES orders.orders (id, desk) ON UPDATE CASCADE ON DELETE CASCADE
);

CREATE FUNCTION orders.set_desk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.desk := (SELECT o.desk FROM orders.orders o WHERE o.id = NEW.order_id);
	RETURN NEW;
END
$$;
CREATE TRIGGER set_desk BEFORE INSERT ON orders.payments FOR EACH ROW EXECUTE FUNCTION orders.set_desk();
CREATE TRIGGER set_desk BEFORE INSERT ON orders.locks FOR EACH ROW EXECUTE FUNCTION orders.set_desk();

-- A locked order is edited, decided and deleted by who has the lock. Payments and parcels do not wait for it.
CREATE FUNCTION orders.check_lock() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	holder text;
BEGIN
	SELECT locked_by INTO holder FROM orders.locks WHERE order_id = OLD.id AND expires_at > clock_timestamp();
	IF holder <> coalesce(orders.claim('sub'), session_user) THEN
		RAISE EXCEPTION 'order % is locked by %', OLD.id, holder
			USING ERRCODE = 'check_violation', CONSTRAINT = 'order_is_free';
	END IF;
	IF TG_OP = 'DELETE' THEN
		RETURN OLD;
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER check_lock_update BEFORE UPDATE ON orders.orders FOR EACH ROW
	WHEN ((OLD.customer, OLD.total, OLD.desk, OLD.approval) IS DISTINCT FROM (NEW.customer, NEW.total, NEW.desk, NEW.approval))
	EXECUTE FUNCTION orders.check_lock();
CREATE TRIGGER check_lock_delete BEFORE DELETE ON orders.orders FOR EACH ROW
	EXECUTE FUNCTION orders.check_lock();

-- Large orders are not approved by just anybody.
CREATE FUNCTION orders.check_approval() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.total > 1000 AND current_user = 'web_user' THEN
		RAISE EXCEPTION 'orders over 1000 are approved by an admin'
			USING ERRCODE = 'insufficient_privilege';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER check_approval BEFORE UPDATE ON orders.orders FOR EACH ROW
	WHEN (NEW.approval = 'approved' AND OLD.approval <> 'approved') EXECUTE FUNCTION orders.check_approval();

-- Takes a lock, or prolongs one's own, or takes over an expired one.
CREATE FUNCTION orders.lock(order_id bigint, type text, seconds integer) RETURNS orders.locks LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	result orders.locks;
	holder text;
BEGIN
	INSERT INTO orders.locks AS l (order_id, locked_by, type, expires_at)
	VALUES (order_id, orders.claim('sub'), type, clock_timestamp() + make_interval(secs => seconds))
	ON CONFLICT ON CONSTRAINT locks_pkey DO UPDATE
		SET locked_by = excluded.locked_by, type = excluded.type, expires_at = excluded.expires_at
		WHERE l.locked_by = excluded.locked_by OR l.expires_at <= clock_timestamp()
	RETURNING * INTO result;
	IF NOT FOUND THEN
		SELECT l.locked_by INTO holder FROM orders.locks l WHERE l.order_id = order_id;
		RAISE EXCEPTION 'order % is locked by %', order_id, holder
			USING ERRCODE = 'check_violation', CONSTRAINT = 'order_is_free';
	END IF;
	RETURN result;
END
$$;

-- Grants say which columns, policies which rows.
GRANT USAGE ON SCHEMA orders, products, users TO web_user, web_admin;
GRANT USAGE ON SCHEMA orders TO web;
GRANT SELECT ON orders.orders, orders.payments TO web;

GRANT SELECT ON orders.orders, orders.payments, orders.locks TO web_user, web_admin;
GRANT INSERT (customer, total), DELETE ON orders.orders TO web_user, web_admin;
GRANT UPDATE (customer, total, status, tracking, approval, approved_by, approved_at, rejected_by, reason)
	ON orders.orders TO web_user, web_admin;
GRANT INSERT (desk), UPDATE (desk) ON orders.orders TO web_admin;
GRANT INSERT ON orders.payments TO web_user, web_admin;
GRANT INSERT, UPDATE, DELETE ON orders.locks TO web_user, web_admin;

GRANT SELECT ON products.products, products.inventory TO web_user, web_admin;
GRANT UPDATE (status, price, quantity) ON products.products TO web_admin;
GRANT INSERT, UPDATE ON products.inventory TO web_admin;

GRANT SELECT (id, name, role, status) ON users.users TO web_user;
GRANT SELECT (id, email, name, role, status, suspended_because) ON users.users TO web_admin;
GRANT INSERT (email, name, role), UPDATE (name, role, status, suspended_because) ON users.users TO web_admin;
GRANT SELECT, INSERT, UPDATE, DELETE ON users.staged TO web_admin;

ALTER TABLE orders.orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE orders.payments ENABLE ROW LEVEL SECURITY;
ALTER TABLE orders.locks ENABLE ROW LEVEL SECURITY;
CREATE POLICY everything ON orders.orders TO web_admin USING (true);
CREATE POLICY everything ON orders.payments TO web_admin USING (true);
CREATE POLICY everything ON orders.locks TO web_admin USING (true);
CREATE POLICY plain_page ON orders.orders FOR SELECT TO web USING (true);
CREATE POLICY plain_page ON orders.payments FOR SELECT TO web USING (true);
CREATE POLICY own_desk ON orders.orders TO web_user
	USING (desk = nullif(current_setting('request.jwt.claims', true), '')::json ->> 'desk');
CREATE POLICY own_desk ON orders.payments TO web_user
	USING (desk = nullif(current_setting('request.jwt.claims', true), '')::json ->> 'desk');
CREATE POLICY own_desk ON orders.locks TO web_user
	USING (desk = nullif(current_setting('request.jwt.claims', true), '')::json ->> 'desk');
-- Users delete what is pending, and release only their own locks or expired ones.
CREATE POLICY pending ON orders.orders AS RESTRICTIVE FOR DELETE TO web_user USING (status = 'pending');
CREATE POLICY own ON orders.locks AS RESTRICTIVE FOR DELETE TO web_user
	USING (locked_by = nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub' OR expires_at <= now());
