-- SPDX-License-Identifier: PostgreSQL
--
-- orders/schema.sql
--	An order book as an application would have it: orders with a status and an approval, and their
--	payments. Nothing in here knows of events; realtime.sql adds them. Remove it with
--	DROP SCHEMA orders CASCADE.

CREATE SCHEMA orders;

CREATE TABLE orders.orders (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	customer text NOT NULL CHECK (customer <> ''),
	total numeric(12, 2) NOT NULL CHECK (total > 0),
	status text NOT NULL DEFAULT 'pending'
		CHECK (status IN ('pending', 'paid', 'shipped', 'delivered', 'cancelled')),
	approval text NOT NULL DEFAULT 'waiting'
		CHECK (approval IN ('waiting', 'approved', 'rejected')),
	approved_by text,
	approved_at timestamptz,
	rejected_by text,
	reason text,
	tracking text,
	created_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT approved_has_who_and_when
		CHECK ((approval = 'approved') = (approved_by IS NOT NULL)
			AND (approved_by IS NULL) = (approved_at IS NULL)),
	CONSTRAINT rejected_has_who_and_why
		CHECK ((approval = 'rejected') = (rejected_by IS NOT NULL)
			AND (rejected_by IS NULL) = (reason IS NULL)
			AND reason <> ''),
	CONSTRAINT shipped_has_tracking
		CHECK (status NOT IN ('shipped', 'delivered') OR tracking IS NOT NULL),
	CONSTRAINT shipped_is_approved
		CHECK (status NOT IN ('shipped', 'delivered') OR approval = 'approved')
);

CREATE TABLE orders.payments (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	order_id bigint NOT NULL REFERENCES orders.orders ON DELETE CASCADE,
	amount numeric(12, 2) NOT NULL CHECK (amount > 0),
	method text NOT NULL CHECK (method IN ('card', 'transfer', 'cash')),
	status text NOT NULL DEFAULT 'announced' CHECK (status IN ('announced', 'received', 'failed')),
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON orders.payments (order_id);

-- Refuses status steps that the trade does not know, and paid orders that are not.
CREATE FUNCTION orders.check_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'INSERT' THEN
		IF NEW.status <> 'pending' THEN
			RAISE EXCEPTION 'a new order is pending, not %', NEW.status
				USING ERRCODE = 'check_violation';
		END IF;
		RETURN NEW;
	END IF;
	IF (OLD.status, NEW.status) NOT IN (
		('pending', 'paid'), ('pending', 'cancelled'), ('paid', 'shipped'), ('paid', 'cancelled'),
		('shipped', 'delivered'))
	THEN
		RAISE EXCEPTION 'order % cannot go from % to %', NEW.id, OLD.status, NEW.status
			USING ERRCODE = 'check_violation';
	END IF;
	IF NEW.status = 'paid' AND NEW.total > (
		SELECT coalesce(sum(amount), 0) FROM orders.payments
		WHERE order_id = NEW.id AND payments.status = 'received')
	THEN
		RAISE EXCEPTION 'order % is not paid in full', NEW.id USING ERRCODE = 'check_violation';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER check_step BEFORE INSERT ON orders.orders
	FOR EACH ROW EXECUTE FUNCTION orders.check_step();
CREATE TRIGGER check_status_step BEFORE UPDATE ON orders.orders
	FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION orders.check_step();

-- Books a payment; the order is paid when nothing is left to pay. One transaction, two tables.
CREATE FUNCTION orders.receive_payment(order_id bigint, amount numeric, method text)
RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	payment bigint;
BEGIN
	INSERT INTO orders.payments (order_id, amount, method, status)
	VALUES (order_id, amount, method, 'received')
	RETURNING id INTO payment;
	UPDATE orders.orders o SET status = 'paid'
	WHERE o.id = order_id AND o.status = 'pending' AND o.total <= (
		SELECT sum(p.amount) FROM orders.payments p
		WHERE p.order_id = o.id AND p.status = 'received');
	RETURN payment;
END
$$;
