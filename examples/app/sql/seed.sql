-- SPDX-License-Identifier: PostgreSQL
--
-- app/sql/seed.sql
--	Something to look at.

INSERT INTO orders.orders (customer, total, desk) VALUES
	('Alder & Sons', 120, 'north'), ('Birch Ltd', 89.90, 'north'), ('Cedar GmbH', 1450, 'north'),
	('Daphne SARL', 37.5, 'south'), ('Elm Cooperative', 640, 'north'), ('Fir Brothers', 2300, 'south'),
	('Ginkgo Tea House', 75.2, 'north'), ('Hazel Bakery', 310, 'south');
SELECT orders.receive_payment(2, 89.90, 'card'), orders.receive_payment(3, 1450, 'transfer'),
	orders.receive_payment(7, 75.2, 'card'), orders.receive_payment(8, 310, 'transfer');
UPDATE orders.orders SET approval = 'approved', approved_by = 'ann', approved_at = now() WHERE id IN (3, 7);
UPDATE orders.orders SET approval = 'rejected', rejected_by = 'ann', reason = 'no credit' WHERE id = 4;
UPDATE orders.orders SET status = 'shipped', tracking = 'DHL-3' WHERE id = 3;

INSERT INTO products.products (sku, name, category, price, cost) VALUES
	('MUG-1', 'Mug', 'kitchen', 8, 2.1), ('POT-2', 'Tea pot', 'kitchen', 34.5, 11),
	('PAN-3', 'Frying pan', 'kitchen', 49, 18.4), ('LAMP-1', 'Desk lamp', 'office', 59.9, 22),
	('CHAIR-1', 'Chair', 'office', 189, 80), ('DESK-1', 'Desk', 'office', NULL, 140);
INSERT INTO products.inventory VALUES (1, 'north', 40), (1, 'south', 12), (2, 'north', 9), (3, 'north', 6),
	(4, 'south', 15), (5, 'north', 7);
UPDATE products.products SET status = 'published' WHERE price IS NOT NULL;

INSERT INTO users.users (email, name, role) VALUES
	('ann@example.com', 'Ann', 'admin'), ('ben@example.com', 'Ben', 'member'), ('cleo@example.com', 'Cleo', 'member'),
	('dora@example.com', 'Dora', 'editor');
UPDATE users.users SET status = 'inactive' WHERE name = 'Dora';
