// SPDX-License-Identifier: PostgreSQL
//
// registry.test.ts
//	Events checked against the registry that a client was given: what is none of it is dropped, counted and told.

import assert from 'node:assert/strict';
import test from 'node:test';
import { RealtimeClient, type RealtimeEvent } from '../src/index.js';
import { setUp, turn, until } from './support.js';

const registry = {
	orders: { order: { actions: ['approved'] }, payment: ['received'] }
} as const;

test('events of features, entities and actions that the registry has not are dropped, counted and told; nothing is thrown', async (t) =>
{
	const told: [string, unknown][] = [];
	const { server, client } = setUp(t, { registry, onBadFrame: (problem, event) => told.push([problem, (event as RealtimeEvent).event]) });
	const seen: string[] = [];
	const store = client.entity('orders', 'order');

	t.after(() => store.stop());
	store.on('*', (_item, { action }) => seen.push(`store ${action}`));
	client.subscribeToFeature('orders', ({ event }) => seen.push(event));
	client.subscribeByPriority(['normal', 'high'], ({ event }) => seen.push(`all ${event}`));
	await store.load();
	await until(() => server.session.views.size === 3);
	const transaction = server.database.begin().insert({ id: 1, status: 'new' })
		.emit('approved', '1', null).emit('received', '2', null, { entity: 'payment' });

	// Those that are none of the registry, in the same transaction.
	transaction.emit('shipped', '1', null).emit('approved', '2', null, { entity: 'payment' }).emit('created', '3', { id: 3 }, { entity: 'ghost' })
		.emit('created', '4', { id: 4 }, { feature: 'constructor', entity: 'name' }).emit('toString', '1', null).commit();
	await until(() => store.items.length === 1 && seen.includes('all orders.payment.received'));
	await turn(5);
	assert.deepEqual(seen.filter((one) => !one.startsWith('all')).sort(),
		['orders.order.approved', 'orders.order.created', 'orders.payment.received', 'store approved', 'store created']);
	assert.deepEqual(seen.filter((one) => one.startsWith('all')),
		['all orders.order.created', 'all orders.order.approved', 'all orders.payment.received']);
	// Once for each view that had it.
	assert.equal(client.stats.badEvents, told.length);
	assert.deepEqual([...new Set(told.map(([problem]) => problem))].sort(), [
		'no action approved of orders.payment is known', 'no action shipped of orders.order is known',
		'no action toString of orders.order is known', 'no entity orders.ghost is known', 'no feature constructor is known'
	]);
	assert.equal(client.stats.badFrames, 0);
	assert.equal(client.status.value.state, 'connected');
	server.database.update('1', { status: 'paid' });
	await until(() => store.get('1')!.data.status === 'paid', 'it goes on');
});

test('an event that calls itself otherwise than it says is bad', async (t) =>
{
	const told: string[] = [];
	const { server, client } = setUp(t, { registry, onBadFrame: (problem) => told.push(problem) });
	const seen: unknown[] = [];

	client.subscribeToEntity('orders', 'order', ({ id }) => seen.push(id));
	await until(() => client.position.value !== undefined);
	const [view] = server.session.views.keys();
	const event = { event: 'orders.order.deleted', feature: 'orders', entity: 'order', action: 'approved', id: '1', data: null, meta: { tx: '200', seq: 0, priority: 'normal' } };

	server.session.send({ op: 'commit', view, tx: '200', part: 0, last: true, events: [event, { ...event, event: 'orders.order.approved', id: '2', meta: { ...event.meta, seq: 1 } }] });
	server.changed();
	await until(() => seen.length === 1);
	assert.deepEqual([seen, told], [['2'], ['orders.order.deleted is none of orders.order.approved']]);
});

test('a state manager of an entity that the registry has not is an error of the program', () =>
{
	const client = new RealtimeClient('http://fake.example', { registry });

	assert.throws(() => client.entity('orders', 'ghost'), { code: 'unknown_entity' });
	assert.throws(() => client.entity('toString', 'order'), { code: 'unknown_entity' });
	assert.equal(client.entity('orders', 'payment'), client.entity('orders', 'payment'));
});

test('rows read beside the stream are checked alike', async (t) =>
{
	const { server, client } = setUp(t, { registry });
	const seen: string[] = [];
	const since = server.database.position();

	client.subscribeToEntity('orders', 'order', () => {});
	await until(() => client.position.value !== undefined);
	server.database.begin().emit('ghostly', '1', null).emit('approved', '1', null).commit();
	await until(() => client.stats.badEvents === 1);
	client.subscribeToEntity('orders', 'order', ({ action }) => seen.push(action), { since });
	await until(() => seen.length === 1);
	assert.deepEqual([seen, client.stats.badEvents], [['approved'], 2]);
});

test('a topic, whose actions are anybody\'s choice, says so by *', async (t) =>
{
	const { server, client } = setUp(t, { registry: { orders: { note: { actions: ['*', 'pinned'] } } } });
	const seen: string[] = [];

	client.subscribeToEntity('orders', 'note', ({ action }) => seen.push(action));
	await until(() => client.position.value !== undefined);
	server.database.begin().emit('pinned', '1', null, { entity: 'note' }).emit('whatever', '1', null, { entity: 'note' }).commit();
	await until(() => seen.length === 2);
	assert.deepEqual(seen, ['pinned', 'whatever']);
	assert.equal(client.stats.badEvents, 0);
});
