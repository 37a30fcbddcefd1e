// SPDX-License-Identifier: PostgreSQL
//
// policies.test.js
//	Policies of the kinds that people use, one test each, on the schemas of examples: what of inserts,
//	updates and deletes reaches whom, with snapshots and resumption.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { CLAIMS, Desk, example } from './lib/desk.js';

const desk = await Desk.open('policies', { schema: `
	${example('orders/schema')} ${example('orders/realtime')}
	${example('products/schema')} ${example('products/realtime')}
	${example('users/schema')} ${example('users/realtime')}
	GRANT USAGE ON SCHEMA orders, products, users TO web_anon, web_user, web_clerk, web_nobody;
	GRANT SELECT ON orders.orders, orders.payments, products.products, products.inventory TO web_anon, web_user, web_clerk;
	GRANT SELECT (id, email, name, role, status) ON users.users TO web_user;
	GRANT SELECT ON users.users TO web_clerk;
	ALTER TABLE orders.orders ENABLE ROW LEVEL SECURITY;
	ALTER TABLE orders.payments ENABLE ROW LEVEL SECURITY;
	ALTER TABLE products.products ENABLE ROW LEVEL SECURITY;
	ALTER TABLE users.users ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON orders.orders TO web_user USING (customer = ${CLAIMS} ->> 'sub');
	CREATE POLICY office ON orders.orders TO web_clerk USING (true);
	CREATE POLICY of_own_orders ON orders.payments FOR SELECT TO web_user USING (EXISTS (
		SELECT FROM orders.orders o WHERE o.id = order_id AND o.customer = ${CLAIMS} ->> 'sub'));
	CREATE POLICY public ON products.products FOR SELECT TO web_anon, web_user USING (status = 'published');
	CREATE POLICY office ON products.products TO web_clerk USING (true);
	CREATE POLICY not_dear ON products.products AS RESTRICTIVE TO web_user USING (price < 1000);
	CREATE SCHEMA auth;
	GRANT USAGE ON SCHEMA auth TO PUBLIC;
	CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE
		AS $$ SELECT coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb $$;
	CREATE FUNCTION auth.uid() RETURNS text LANGUAGE sql STABLE AS $$ SELECT auth.jwt() ->> 'sub' $$;
	CREATE FUNCTION auth.is_admin() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
		AS $$ SELECT EXISTS (SELECT FROM users.users WHERE email = auth.uid() AND role = 'admin') $$;
	CREATE POLICY self ON users.users TO web_user USING (email = auth.uid() OR auth.is_admin());
	CREATE TABLE public.note (id integer PRIMARY KEY, tenant uuid, team text, visible_from timestamptz, body text);
	SELECT realtime.enable('note', 'notes', 'note');
	GRANT SELECT ON note TO web_user, web_clerk;` });

const order = { feature: 'orders', entity: 'order' };

test('owner column = claim', async () =>
{
	const ada = await desk.watch({ sub: 'ada' }, { ...order, snapshot: true });
	const bob = await desk.watch({ sub: 'bob' }, { ...order, snapshot: true });
	const none = await desk.watch({ sub: undefined }, { ...order, snapshot: true });
	const clerk = await desk.watch({ role: 'web_clerk', sub: 'carl' }, { ...order, snapshot: true });
	const all = [ada, bob, none, clerk];

	await desk.change(all, "INSERT INTO orders.orders (customer, total) VALUES ('ada', 10), ('bob', 20)");
	assert.deepEqual([ada.story, bob.story, none.story, clerk.story],
		[['created 1'], ['created 2'], [], ['created 1', 'created 2']]);
	const since = ada.peer.token;
	await desk.change(all, "UPDATE orders.orders SET total = 11 WHERE id = 1");
	assert.deepEqual([ada.story, bob.story, clerk.story], [['updated 1'], [], ['updated 1']]);
	// handed over: it leaves one and enters the other, with nothing of what it was
	await desk.change(all, "UPDATE orders.orders SET customer = 'bob', total = 12 WHERE id = 1");
	assert.deepEqual([ada.story, bob.story, none.story, clerk.story], [['left 1'], ['entered 1'], [], ['updated 1']]);
	assert.equal(ada.events.at(-1).data, undefined);
	assert.equal(bob.events.at(-1).old, undefined);
	await desk.change(all, 'DELETE FROM orders.orders WHERE id = 1', 'DELETE FROM orders.orders WHERE id = 2');
	assert.deepEqual([ada.story, bob.story, none.story, clerk.story],
		[[], ['deleted 1', 'deleted 2'], [], ['deleted 1', 'deleted 2']]);
	// the same again to those who resume
	const again = await desk.watch({ sub: 'bob' }, { ...order, since });
	await desk.change([again], "INSERT INTO orders.orders (customer, total) VALUES ('eve', 1)");
	assert.deepEqual(again.story, ['entered 1', 'deleted 1', 'deleted 2']);
});

test('owner column = claim: a defined event tells nothing of what the row was to others', async () =>
{
	await desk.sql("INSERT INTO orders.orders (id, customer, total, approval, approved_by, approved_at) OVERRIDING SYSTEM VALUE"
		+ " VALUES (100, 'ada', 7, 'waiting', NULL, NULL), (101, 'bob', 9, 'waiting', NULL, NULL)");
	const bob = await desk.watch({ sub: 'bob' }, order);

	await desk.change([bob], `UPDATE orders.orders SET customer = 'bob', approval = 'approved', approved_by = 'x',
		approved_at = now(), total = 8, status = 'cancelled' WHERE id = 100`, `UPDATE orders.orders SET approval = 'approved', approved_by = 'x',
		approved_at = now(), total = 8, status = 'cancelled' WHERE id = 101`);
	assert.deepEqual(bob.view.story, ['entered 100', 'status_changed 100', 'cancelled 100', 'approved 100',
		'updated 101', 'status_changed 101', 'cancelled 101', 'approved 101']);
	const [, status, cancelled, approved, , status2, , approved2] = bob.events;
	assert.deepEqual(status.data, { old_status: null, new_status: 'cancelled' });
	assert.equal(cancelled.old, undefined);
	assert.equal(approved.old, undefined);
	assert.deepEqual(status2.data, { old_status: 'pending', new_status: 'cancelled' });
	assert.equal(approved2.old.total, 9);
});

test('a key that changes names no hidden row', async () =>
{
	await desk.sql("ALTER TABLE orders.orders ALTER id SET GENERATED BY DEFAULT; INSERT INTO orders.orders (id, customer, total) VALUES (110, 'ada', 7)");
	const ada = await desk.watch({ sub: 'ada' }, order);
	const bob = await desk.watch({ sub: 'bob' }, order);

	await desk.change([ada, bob], "UPDATE orders.orders SET id = 111, customer = 'bob' WHERE id = 110");
	assert.deepEqual([ada.view.story, bob.view.story], [['deleted 110'], ['created 111']]);
	assert.ok(!JSON.stringify(ada.events).includes('111'));
	assert.ok(!JSON.stringify(bob.events).includes('110'));
});

describe('tenant column = claim', () =>
{
	const A = '00000000-0000-0000-0000-00000000000a';
	const B = '00000000-0000-0000-0000-00000000000b';

	test('one tenant, and a list of them', async () =>
	{
		await desk.sql(`ALTER TABLE note ENABLE ROW LEVEL SECURITY; CREATE POLICY tenant ON note USING (
			tenant = (${CLAIMS} ->> 'tenant')::uuid
			OR tenant IN (SELECT json_array_elements_text(${CLAIMS} -> 'tenants')::uuid))`);
		const a = await desk.watch({ tenant: A }, { feature: 'notes', entity: 'note', filter: [['team', 'eq', 'x']] });
		const b = await desk.watch({ tenants: [B] }, { feature: 'notes' });
		const both = await desk.watch({ tenants: [A, B.toUpperCase()] }, { feature: 'notes', entity: 'note', snapshot: true });
		const none = await desk.watch({ tenants: [] }, { feature: 'notes', entity: 'note' });
		const all = [a, b, both, none];

		await desk.change(all, `INSERT INTO note VALUES (1, '${A}', 'x'), (2, '${B}', 'x'), (3, '${A}', 'y'), (4, NULL, 'x')`);
		assert.deepEqual(all.map((w) => w.story), [['created 1'], ['created 2'], ['created 1', 'created 2', 'created 3'], []]);
		await desk.change(all, `UPDATE note SET tenant = '${B}' WHERE id IN (1, 3)`, 'UPDATE note SET tenant = NULL WHERE id = 2');
		assert.deepEqual(all.map((w) => w.story), [['left 1'], ['entered 1', 'entered 3', 'left 2'],
			['updated 1', 'updated 3', 'left 2'], []]);
		await desk.change(all, 'DELETE FROM note');
		assert.deepEqual(all.map((w) => w.story.sort()), [[], ['deleted 1', 'deleted 3'], ['deleted 1', 'deleted 3'], []]);
		await desk.sql('DROP POLICY tenant ON note; ALTER TABLE note DISABLE ROW LEVEL SECURITY');
	});
});

test('membership sub-select: the rows of what one is in, deletes included', async () =>
{
	await desk.sql("INSERT INTO orders.orders (id, customer, total) OVERRIDING SYSTEM VALUE VALUES (200, 'ada', 1), (201, 'bob', 1)");
	const payment = { feature: 'orders', entity: 'payment' };
	const ada = await desk.watch({ sub: 'ada' }, { ...payment, snapshot: true });
	const bob = await desk.watch({ sub: 'bob' }, payment);

	await desk.change([ada, bob], "INSERT INTO orders.payments (order_id, amount, method) VALUES (200, 5, 'card'), (201, 6, 'cash')");
	assert.deepEqual([ada.story, bob.story], [['created 1'], ['created 2']]);
	await desk.change([ada, bob], "UPDATE orders.payments SET status = 'received' WHERE id IN (1, 2)");
	assert.deepEqual(ada.story, ['updated 1', 'status_changed 1', 'payment.received 1']);
	await desk.change([ada, bob], 'UPDATE orders.payments SET order_id = 201 WHERE id = 1');
	assert.deepEqual([ada.story.slice(0, 1), bob.story.slice(-1)], [['left 1'], ['entered 1']]);
	await desk.change([ada, bob], 'DELETE FROM orders.payments WHERE id IN (1, 2)');
	assert.deepEqual([ada.story, bob.story.sort()], [[], ['deleted 1', 'deleted 2']]);
	assert.deepEqual(ada.gaps, []);
	// orders is what the policy reads: a change there may change what is shown
	await desk.change([ada, bob], "UPDATE orders.orders SET customer = 'eve' WHERE id = 200");
	assert.deepEqual([ada.gaps, bob.gaps], [['access'], ['access']]);
	// a row and what the policy reads in one transaction: the state that includes both
	await desk.change([ada, bob], `WITH o AS (INSERT INTO orders.orders (id, customer, total) OVERRIDING SYSTEM VALUE VALUES (202, 'ada', 1))
		INSERT INTO orders.payments (order_id, amount, method) VALUES (202, 5, 'card')`);
	assert.deepEqual([ada.story, bob.story], [['created 3'], []]);
	// with the order goes the payment, by cascade: nobody can be asked whose it was
	const before = ada.story.length;
	await desk.change([ada, bob], 'DELETE FROM orders.orders WHERE id = 202');
	assert.equal(before, 0);
	assert.deepEqual(ada.gaps.concat(bob.gaps).slice(0, 1), ['access']);
});

test('role-based, restrictive, and USING (true)', async () =>
{
	const product = { feature: 'products', entity: 'product' };
	const anon = await desk.watch(undefined, product);
	const user = await desk.watch({}, product);
	const clerk = await desk.watch({ role: 'web_clerk' }, product);
	const all = [anon, user, clerk];

	await desk.change(all, "INSERT INTO products.products (sku, name, category, status, price, cost) VALUES ('A', 'a', 'x', 'draft', 10, 1),"
		+ " ('B', 'b', 'x', 'published', 2000, 1)");
	assert.deepEqual(all.map((w) => w.story), [['created 2'], [], ['created 1', 'created 2']]);
	await desk.change(all, "UPDATE products.products SET status = 'published' WHERE id = 1", 'UPDATE products.products SET price = 5000 WHERE id = 1',
		'UPDATE products.products SET cost = 7');
	assert.deepEqual(all.map((w) => w.story.filter((s) => !s.includes('.'))), [
		['entered 1', 'status_changed 1', 'published 1', 'updated 1'], ['entered 1', 'status_changed 1', 'published 1', 'left 1'],
		['updated 1', 'status_changed 1', 'published 1', 'updated 1']]);
	await desk.change(all, 'DELETE FROM products.products');
	assert.deepEqual(all.map((w) => w.story.sort()), [['deleted 1', 'deleted 2'], [], ['deleted 1', 'deleted 2']]);
	assert.ok(!JSON.stringify(clerk.events).includes('cost'), 'an excluded column');
	// no policy for a role: nothing
	await desk.sql('GRANT SELECT ON products.products TO web_nobody');
	const nobody = await desk.watch({ role: 'web_nobody' }, { ...product, snapshot: true });
	await desk.change([nobody], "INSERT INTO products.products (sku, name, category, status, price) VALUES ('C', 'c', 'x', 'published', 1)",
		'DELETE FROM products.products');
	assert.deepEqual(nobody.story, []);
});

test('helper functions in the manner of auth.uid(), and one of security definer that reads a table', async () =>
{
	const user = { feature: 'users', entity: 'user' };
	await desk.sql("INSERT INTO users.users (email, name, role) VALUES ('root@x', 'root', 'admin'), ('ada@x', 'ada', 'member')");
	const ada = await desk.watch({ sub: 'ada@x' }, { ...user, snapshot: true });
	const root = await desk.watch({ sub: 'root@x' }, { ...user, snapshot: true });
	const eve = await desk.watch({ sub: 'eve@x' }, { ...user, snapshot: true });

	assert.deepEqual([ada.ids, root.ids, eve.ids], [['2'], ['1', '2'], []]);
	await desk.change([ada, root, eve], "INSERT INTO users.users (email, name) VALUES ('bob@x', 'bob')", "UPDATE users.users SET name = 'Ada' WHERE id = 2",
		"DELETE FROM users.users WHERE name = 'bob'");
	assert.deepEqual([ada.story, root.story, eve.story], [['updated 2'], ['created 3', 'updated 2', 'deleted 3'], []]);
	// the function reads the table itself: each change there may be one of rights
	await desk.change([ada, root, eve], "UPDATE users.users SET role = 'admin' WHERE id = 2");
	assert.ok(ada.gaps.includes('access') && root.gaps.includes('access'));
	await desk.change([ada], "INSERT INTO users.users (email, name) VALUES ('kim@x', 'kim')");
	assert.equal(ada.story.at(-1), 'created 4');
	assert.ok(!JSON.stringify(ada.events).includes('suspended_because'), 'a column that the role may not read');
});

test('time-dependent', async () =>
{
	await desk.sql('ALTER TABLE note ENABLE ROW LEVEL SECURITY; CREATE POLICY embargo ON note USING (visible_from <= now())');
	const user = await desk.watch({}, { feature: 'notes', entity: 'note', snapshot: true });

	await desk.change([user], "INSERT INTO note (id, visible_from) VALUES (20, now() - interval '1 minute'), (21, now() + interval '1 hour'), (22, NULL)");
	assert.deepEqual(user.story, ['created 20']);
	await desk.change([user], "UPDATE note SET visible_from = now() - interval '1 day' WHERE id IN (21, 22)", "UPDATE note SET visible_from = 'infinity' WHERE id = 20");
	assert.deepEqual(user.story, ['entered 21', 'entered 22', 'left 20']);
	await desk.change([user], 'DELETE FROM note');
	assert.deepEqual(user.story.sort(), ['deleted 21', 'deleted 22']);
	await desk.sql('DROP POLICY embargo ON note; ALTER TABLE note DISABLE ROW LEVEL SECURITY');
});

test('owner, FORCE and BYPASSRLS', async () =>
{
	await desk.sql(`CREATE TABLE ledger (id integer PRIMARY KEY, who text); SELECT realtime.enable('ledger', 'books', 'ledger');
		GRANT SELECT ON ledger TO web_user, web_clerk; ALTER TABLE ledger OWNER TO web_clerk; ALTER TABLE ledger ENABLE ROW LEVEL SECURITY;
		CREATE POLICY own ON ledger USING (who = ${CLAIMS} ->> 'sub')`);
	const request = { feature: 'books', entity: 'ledger' };
	const owner = await desk.watch({ role: 'web_clerk', sub: 'carl' }, request);
	const user = await desk.watch({ sub: 'ada' }, request);

	await desk.change([owner, user], "INSERT INTO ledger VALUES (1, 'ada'), (2, 'carl')");
	assert.deepEqual([owner.story, user.story], [['created 1', 'created 2'], ['created 1']]);
	await desk.sql('ALTER TABLE ledger FORCE ROW LEVEL SECURITY');
	await owner.gap();
	await user.gap();
	await desk.change([owner, user], "UPDATE ledger SET who = 'x'");
	assert.deepEqual([owner.story, user.story], [['left 2'], ['left 1']]);
	try
	{
		await desk.sql('ALTER ROLE web_user BYPASSRLS');
		await user.gap();
		await desk.change([owner, user], 'DELETE FROM ledger WHERE id = 1');
		assert.deepEqual([owner.story, user.story], [[], ['deleted 1']]);
	}
	finally
	{
		await desk.sql('ALTER ROLE web_user NOBYPASSRLS');
	}
	await user.gap();
	await desk.change([owner, user], 'DELETE FROM ledger');
	assert.deepEqual([owner.story, user.story], [[], []]);
});

test('partitions and inheritance: the policies of the table that is registered', async () =>
{
	await desk.sql(`CREATE TABLE part (id integer PRIMARY KEY, who text) PARTITION BY RANGE (id);
		CREATE TABLE part_low PARTITION OF part FOR VALUES FROM (0) TO (100);
		CREATE TABLE part_high (who text, id integer NOT NULL);
		ALTER TABLE part ATTACH PARTITION part_high FOR VALUES FROM (100) TO (200);
		CREATE TABLE base (id integer PRIMARY KEY, who text); CREATE TABLE derived (more text) INHERITS (base);
		SELECT realtime.enable('part', 'trees', 'part'), realtime.enable('base', 'trees', 'base');
		GRANT SELECT ON part, base TO web_user;
		ALTER TABLE part ENABLE ROW LEVEL SECURITY; ALTER TABLE base ENABLE ROW LEVEL SECURITY;
		CREATE POLICY own ON part USING (who = ${CLAIMS} ->> 'sub'); CREATE POLICY own ON base USING (who LIKE (${CLAIMS} ->> 'sub') || '%');
		ALTER TABLE part_low ENABLE ROW LEVEL SECURITY; CREATE POLICY no ON part_low USING (false)`);
	const ada = await desk.watch({ sub: 'ada' }, { feature: 'trees' });
	const part = await desk.watch({ sub: 'ada' }, { feature: 'trees', entity: 'part', snapshot: true });

	await desk.change([ada, part], "INSERT INTO part VALUES (1, 'ada'), (2, 'bob'), (101, 'ada')", "INSERT INTO part_low VALUES (3, 'ada')",
		"INSERT INTO derived VALUES (1, 'ada', 'm')", "INSERT INTO base VALUES (2, 'adam'), (3, 'bob')");
	assert.deepEqual(part.story, ['created 1', 'created 101', 'created 3']);
	assert.deepEqual(ada.story, ['created 1', 'created 101', 'created 3', 'created 1', 'created 2']);
	assert.ok(!JSON.stringify(ada.events).includes('more'));
	await desk.change([ada, part], 'UPDATE part SET id = 102 WHERE id = 1', "UPDATE part SET who = 'ada' WHERE id = 2", 'DELETE FROM part_low WHERE id = 2',
		'DELETE FROM part_low', 'DELETE FROM base');
	assert.deepEqual(part.story, ['deleted 1', 'created 102', 'entered 2', 'deleted 2', 'deleted 3']);
	assert.deepEqual(ada.story.slice(-2).sort(), ['deleted 1', 'deleted 2']);
});

test('topics: by grant_subscribe, taken away again', async () =>
{
	await desk.sql("SELECT realtime.register_topic('chat', 'room'); SELECT realtime.grant_subscribe('chat', 'room', 'web_user')");
	const user = await desk.watch({}, { feature: 'chat', entity: 'room' });
	const clerk = await desk.peer({ role: 'web_clerk' });

	assert.equal(await clerk.refused({ op: 'subscribe', feature: 'chat', entity: 'room' }), 'forbidden');
	const wild = await clerk.subscribe({ feature: 'chat' });
	await desk.change([user, { peer: clerk }], "SELECT realtime.emit('chat', 'room', 'said', '{\"x\":1}')");
	assert.deepEqual([user.view.events.length, wild.events.length], [1, 0]);
	await desk.sql("SELECT realtime.revoke_subscribe('chat', 'room', 'web_user')");
	assert.equal(await user.end(), 'forbidden');
	await desk.change([user], "SELECT realtime.emit('chat', 'room', 'said', '{\"x\":2}')");
	assert.equal(user.view.events.length, 1);
});
