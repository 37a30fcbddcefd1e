// SPDX-License-Identifier: PostgreSQL
//
// api.test.js
//	The API by itself: what it replies, what it refuses and why, and that its transactions are the events'.

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import test from 'node:test';
import jwt from 'jsonwebtoken';
import { SECRET, Stage } from './stage.js';

const stage = await Stage.open({ hasBrowser: false });
const ann = await stage.login('ann');
const ben = await stage.login('ben');

const as = (token, method, where, body) => stage.ask(method, where, { token, body });
const refusal = ({ status, body }) => [status, body.success, body.error.code];

test('not a line of it is about events', async () =>
{
	const directory = new URL('../api/', import.meta.url);

	for (const name of await readdir(directory))
	{
		const code = (await readFile(new URL(name, directory), 'utf8')).replaceAll(/\/\/.*|\/\*[^]*?\*\//g, '');

		assert.doesNotMatch(code, /realtime|notify|emit\(|websocket/i, name);
	}
});

test('create, get, update, approve, delete: {success, data, meta} with the transaction that the events have', async () =>
{
	const created = await as(ann, 'POST', 'orders', { customer: 'Zed', total: 10.5 });
	const { id } = created.body.data;

	assert.equal(created.status, 201);
	assert.deepEqual([created.body.success, created.body.data.customer, created.body.data.total], [true, 'Zed', 10.5]);
	assert.equal((await as(ann, 'GET', `orders/${id}`)).body.data.customer, 'Zed');
	const steps = [created];

	for (const [method, where, body] of [['PATCH', `orders/${id}`, { total: 11 }], ['POST', `orders/${id}/approve`], ['POST', `orders/${id}/pay`, {}],
		['POST', 'orders/ship', { ids: [id] }]])
		steps.push(await as(ann, method, where, body));
	const events = await stage.sql(`SELECT tx::text, action, event #>> '{meta,userId}' AS who FROM realtime.event
		WHERE feature = 'orders' AND entity = 'order' AND id = $1 ORDER BY lsn, tx, seq`, [String(id)]);

	assert.deepEqual(steps.map(({ body }) => body.meta.tx), [...new Set(events.map(({ tx }) => tx))]);
	assert.deepEqual(events.map(({ action }) => action),
		['created', 'updated', 'updated', 'approved', 'updated', 'status_changed', 'updated', 'status_changed', 'order.shipped']);
	assert.deepEqual([...new Set(events.map(({ who }) => who))], ['ann']);
	const { body: { data } } = await as(ann, 'POST', 'orders', { customer: 'Gone', total: 1 });

	assert.equal((await as(ann, 'DELETE', `orders/${data.id}`)).body.data.customer, 'Gone');
	assert.deepEqual(refusal(await as(ann, 'GET', `orders/${data.id}`)), [404, false, 'not_found']);
});

test('a write that changes nothing has a transaction, too', async () =>
{
	const id = await stage.order('Same', 5);
	const { body } = await as(ann, 'PATCH', `orders/${id}`, { total: 5 });

	assert.match(body.meta.tx, /^\d+$/);
	assert.deepEqual(await stage.sql('SELECT FROM realtime.event WHERE tx::text = $1', [body.meta.tx]), []);
});

test('lists have pages', async () =>
{
	const first = (await as(ann, 'GET', 'orders?limit=3')).body;
	const second = (await as(ann, 'GET', 'orders?limit=3&page=2')).body;
	const [{ n }] = await stage.sql('SELECT count(*)::int AS n FROM orders.orders');

	assert.deepEqual(first.meta, { page: 1, limit: 3, total: n, pages: Math.ceil(n / 3) });
	assert.equal(first.data.length, 3);
	assert.ok(first.data.at(-1).id > second.data[0].id);
	assert.deepEqual((await as(ann, 'GET', 'orders?limit=3&page=999')).body, { success: true, data: [], meta: { page: 999, limit: 3, total: n, pages: Math.ceil(n / 3) } });
	assert.ok((await as(ann, 'GET', 'orders?status=paid')).body.data.every(({ status }) => status === 'paid'));
});

test('what the database refuses is refused with a reason', async () =>
{
	const large = await stage.order('Large', 2000);
	const south = await stage.order('South', 20, 'south');
	const { body: { data } } = await as(ben, 'POST', 'orders', { customer: 'Ben', total: 3 });

	assert.equal(data.desk, 'north');
	assert.deepEqual(refusal(await as(ben, 'POST', `orders/${large}/approve`)), [403, false, '42501']);
	assert.deepEqual(refusal(await as(ben, 'GET', `orders/${south}`)), [404, false, 'not_found']);
	assert.deepEqual(refusal(await as(ben, 'PATCH', `orders/${south}`, { total: 1 })), [404, false, 'not_found']);
	assert.deepEqual(refusal(await as(ben, 'PATCH', `orders/${data.id}`, { desk: 'south' })), [403, false, '42501']);
	assert.deepEqual(refusal(await as(ben, 'PATCH', 'products/1', { price: 1 })), [403, false, '42501']);
	assert.deepEqual(refusal(await as(ben, 'POST', 'users/import', { lines: [{ email: 'x@y.z', name: 'X' }] })), [403, false, '42501']);
	assert.deepEqual(refusal(await as(ann, 'POST', `orders/${large}/reject`)), [422, false, 'rejected_has_who_and_why']);
	assert.deepEqual(refusal(await as(ann, 'PATCH', `orders/${large}`, { status: 'delivered' })).slice(0, 2), [422, false]);
	assert.deepEqual(refusal(await as(ann, 'PATCH', `orders/${large}`, { total: 'much' })).slice(0, 2), [422, false]);
	assert.deepEqual(refusal(await as(ann, 'PATCH', `orders/${large}`, { approved_by: 'me' })), [422, false, 'unknown_column']);
	assert.deepEqual(refusal(await as(ann, 'PATCH', `orders/${large}`, { 'total = 1, customer': 'x' })), [422, false, 'unknown_column']);
	assert.deepEqual(refusal(await as(ann, 'GET', 'orders/1%20OR%201')), [404, false, 'not_found']);
	assert.deepEqual(refusal(await as(ann, 'GET', 'nothing')), [404, false, 'not_found']);
	assert.deepEqual(await stage.sql('SELECT id FROM orders.orders WHERE customer = $1', ['x']), []);
});

test('locks: owner, renewal, expiry, force', async () =>
{
	const id = await stage.order('Locked', 7);
	const cleo = await stage.login('cleo');
	const lock = (token, body) => as(token, 'PUT', `orders/${id}/lock`, body);
	const unlock = (token, force = '') => as(token, 'DELETE', `orders/${id}/lock${force}`);

	assert.equal((await lock(ben, { type: 'review', seconds: 60 })).body.data.locked_by, 'ben');
	assert.equal((await lock(ben, {})).status, 200);
	assert.deepEqual(refusal(await lock(ann, {})), [423, false, 'locked']);
	for (const [method, where, body] of [['PATCH', '', { total: 8 }], ['POST', '/approve'], ['POST', '/reject', { reason: 'no' }], ['DELETE', '']])
		assert.deepEqual(refusal(await as(ann, method, `orders/${id}${where}`, body)), [423, false, 'locked'], method + where);
	assert.equal((await as(ben, 'PATCH', `orders/${id}`, { total: 8 })).status, 200);
	assert.deepEqual(refusal(await unlock(ann)), [423, false, 'locked']);
	assert.deepEqual((await unlock(cleo, '?force=1')).body.data, null);		// she does not see it
	assert.equal((await unlock(ann, '?force=1')).body.data.locked_by, 'ben');
	assert.equal((await lock(ann, {})).status, 200);
	assert.deepEqual(refusal(await unlock(ben, '?force=1')), [423, false, 'locked']);		// no admin
	await stage.sql("UPDATE orders.locks SET expires_at = now() - interval '1 second' WHERE order_id = $1", [id]);
	assert.equal((await as(ben, 'PATCH', `orders/${id}`, { total: 9 })).status, 200);
	assert.equal((await lock(ben, {})).body.data.locked_by, 'ben');
	assert.equal((await as(ben, 'DELETE', `orders/${id}`)).status, 200);		// and the lock goes with it
	assert.deepEqual(await stage.sql('SELECT FROM orders.locks WHERE order_id = $1', [id]), []);
});

test('tokens: short-lived, signed, of users that exist', async () =>
{
	const sign = (claims, secret = SECRET, options = { expiresIn: 60 }) => jwt.sign(claims, secret, options);
	const claims = { sub: 'ann', role: 'web_admin' };
	const { body: { data } } = await stage.ask('POST', 'login', { body: { user: 'ben' } });
	const { exp, iat, ...rest } = jwt.verify(data.token, SECRET, { algorithms: ['HS256'] });

	assert.deepEqual([rest, exp - iat, data.expires], [{ sub: 'ben', role: 'web_user', desk: 'north' }, 300, exp]);
	assert.equal((await as(sign(claims), 'GET', 'orders')).status, 200);
	for (const token of [undefined, 'x', sign(claims, `${SECRET}x`), sign(claims, SECRET, { expiresIn: -1 }), jwt.sign(claims, null, { algorithm: 'none' }),
		sign(claims, SECRET, { algorithm: 'HS512', expiresIn: 60 })])
		assert.deepEqual(refusal(await as(token, 'GET', 'orders')), [401, false, 'unauthorized']);
	assert.notEqual((await as(sign({ sub: 'x', role: 'postgres' }), 'GET', 'orders')).status, 200);
	assert.deepEqual(refusal(await stage.ask('POST', 'login', { body: { user: 'eve' } })), [401, false, 'unauthorized']);
	assert.deepEqual(refusal(await stage.ask('POST', 'token', { body: { refresh: 'x' } })), [401, false, 'unauthorized']);
	assert.equal((await stage.ask('POST', 'token', { body: { refresh: data.refresh } })).body.success, true);
});

test('pages of other origins are not let in', async () =>
{
	const origin = async (name) => (await fetch(`http://127.0.0.1:${stage.apiPort}/api/people`, { headers: { Origin: name } }))
		.headers.get('access-control-allow-origin');

	assert.equal(await origin(`http://127.0.0.1:${stage.port}`), `http://127.0.0.1:${stage.port}`);
	assert.equal(await origin('http://evil.example'), null);
});
