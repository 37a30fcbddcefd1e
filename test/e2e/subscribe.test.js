// SPDX-License-Identifier: PostgreSQL
//
// subscribe.test.js
//	What can be subscribed to: wildcards, actions, columns; and every way to be refused, with its code.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { Stage } from './lib/stage.js';
import { until } from './lib/wait.js';

const stage = await Stage.open('subscribe', { flags: { 'max-subscriptions': 20,
	'max-messages-per-minute': 5000 } });
await stage.sql('GRANT SELECT ON hidden TO web_user');
const item = { feature: 'shop', entity: 'item' };
let id = 0;

/** One transaction that does one of everything; returns its id. */
async function everything()
{
	id += 10;
	await stage.write(`INSERT INTO item (id, name, status) VALUES (${id}, 'a', 'pending')`);
	await stage.write(`UPDATE item SET name = 'b' WHERE id = ${id}`);
	await stage.write(`UPDATE item SET status = 'approved' WHERE id = ${id}`);
	await stage.write(`INSERT INTO other VALUES (${id}, 'o')`);
	await stage.write(`INSERT INTO hidden VALUES (${id}, 'h')`);
	await stage.write(`SELECT realtime.emit('chat', 'message', 'sent', '{"text":"hello"}')`);
	return stage.write(`DELETE FROM item WHERE id = ${id}`);
}

/** The events' names that a subscription gets of everything(). */
async function names(request, options)
{
	const peer = await stage.peer(options);
	const view = await peer.subscribe(request);
	const tx = await everything();

	await peer.settle(tx);
	const got = view.events.map(({ event }) => event);
	await peer.close();
	return got;
}

const ITEM = ['shop.item.created', 'shop.item.updated', 'shop.item.updated', 'shop.item.status_changed',
	'shop.item.approved'];
const DELETED = ['shop.item.deleted'];
const OTHER = ['shop.other.created'];
const HIDDEN = ['shop.hidden.created'];
const CHAT = ['chat.message.sent'];

describe('what arrives', () =>
{
	const cases = [
		['one entity', item, [...ITEM, ...DELETED]],
		['one entity, action *', { ...item, action: '*' }, [...ITEM, ...DELETED]],
		['one action', { ...item, action: 'created' }, ['shop.item.created']],
		['updated', { ...item, action: 'updated' }, ['shop.item.updated', 'shop.item.updated']],
		['a list of actions', { ...item, action: ['created', 'deleted', 'approved'] },
			['shop.item.created', 'shop.item.approved', 'shop.item.deleted']],
		['an action that nobody defined', { ...item, action: ['shipped'] }, []],
		['every entity of a feature, as the role may', { feature: 'shop', entity: '*' },
			[...ITEM, ...OTHER, ...DELETED]],
		['entity missing', { feature: 'shop' }, [...ITEM, ...OTHER, ...DELETED]],
		['everything', { feature: '*', entity: '*' }, [...ITEM, ...OTHER, ...CHAT, ...DELETED]],
		['nothing said at all', {}, [...ITEM, ...OTHER, ...CHAT, ...DELETED]],
		['one entity in every feature', { feature: '*', entity: 'item' }, [...ITEM, ...DELETED]],
		['one action of everything', { action: 'created' }, ['shop.item.created', ...OTHER]],
		['a topic', { feature: 'chat', entity: 'message' }, CHAT],
		['a topic, its action', { feature: 'chat', entity: 'message', action: 'sent' }, CHAT]
	];
	for (const [name, request, expected] of cases)
		test(name, async () => assert.deepEqual(await names(request), expected));

	test('another role sees more', async () => assert.deepEqual(
		await names({ feature: 'shop' }, { claims: { role: 'web_user' } }),
		[...ITEM, ...OTHER, ...HIDDEN, ...DELETED]));
	test('a role that may read nothing', async () => assert.deepEqual(
		await names({}, { claims: { role: 'web_nobody' } }), []));
});

test('columns: those, and the key', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, columns: ['name'], snapshot: true });
	let tx = await stage.write("INSERT INTO item (id, name, status) VALUES (5001, 'a', 'x')");
	tx = await stage.write("UPDATE item SET amount = 4 WHERE id = 5001");
	tx = await stage.write("UPDATE item SET amount = 5, name = 'c' WHERE id = 5001");
	tx = await stage.write('DELETE FROM item WHERE id = 5001');
	await peer.settle(tx);
	assert.deepEqual(view.story, ['created 5001', 'updated 5001', 'deleted 5001']);
	assert.deepEqual(view.events.map((e) => e.data), [{ id: 5001, name: 'a' }, { id: 5001, name: 'c' },
		{ id: 5001, name: 'c' }]);
	assert.deepEqual(view.events[1].old, { name: 'a' });
	await peer.close();
});

test('views are shared by sessions that subscribe alike, and differ else', async () =>
{
	const peers = [await stage.peer(), await stage.peer()];
	const built = await stage.notifier.metric('views');
	const views = [];

	for (const peer of peers)
		views.push(await peer.subscribe({ ...item, filter: [['name', 'eq', 'shared']] }));
	const other = await peers[0].subscribe({ ...item, filter: [['name', 'eq', 'other']] });
	assert.equal(views[0].id, views[1].id);
	assert.notEqual(views[0].id, other.id);
	assert.ok(await stage.notifier.metric('views') > built);
	for (const peer of peers)
		await peer.close();
});

test('unsubscribe: nothing after it, and the view can be had again', async () =>
{
	const peer = await stage.peer();
	const kept = await peer.subscribe({ feature: 'shop', entity: 'other' });
	const view = await peer.subscribe(item);

	assert.equal((await peer.ask({ op: 'unsubscribe', view: view.id })).view, view.id);
	await stage.write("INSERT INTO item (id) VALUES (6001)");
	const tx = await stage.write("INSERT INTO other VALUES (6001)");
	await peer.settle(tx);
	assert.deepEqual(view.story, []);
	assert.deepEqual(kept.story, ['created 6001']);
	assert.equal(await peer.refused({ op: 'unsubscribe', view: view.id }), 'unknown_view');
	const again = await peer.subscribe(item);
	await peer.settle(await stage.write("INSERT INTO item (id) VALUES (6002)"));
	assert.deepEqual(again.story, ['created 6002']);
	await peer.close();
});

test('a second subscription to the same view', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, action: ['created', 'deleted'] });

	for (const same of [{ ...item, action: ['created', 'deleted'] }, { ...item, action: ['deleted', 'created'] },
		{ ...item, action: ['deleted', 'created', 'created'] },
		{ ...item, action: ['created', 'deleted'], snapshot: true }])
		await assert.rejects(peer.ask({ op: 'subscribe', ...same }), (error) =>
		{
			assert.equal(error.code, 'already_subscribed', error.stack);
			assert.equal(error.frame.view, view.id);
			return true;
		});
	await peer.close();
});

test('refs come back as they were: numbers and texts', async () =>
{
	const peer = await stage.peer();

	for (const ref of [0, 7, 2 ** 53 - 1, '', 'a', 'ü"\\\n', 'x'.repeat(64)])
	{
		peer.send({ op: 'ping', ref });
		assert.equal((await peer.frame('pong', (f) => f.op === 'pong')).ref, ref);
	}
	peer.send({ op: 'ping' });
	const pong = await peer.frame('pong', (f) => f.op === 'pong');
	assert.ok(pong.ref === undefined || pong.ref === null);
	for (const ref of [-1, 1.5, 2 ** 53, 'x'.repeat(65), {}, [], true])
	{
		peer.send({ op: 'ping', ref });
		assert.equal((await peer.frame('error', (f) => f.op === 'error')).code, 'bad_request',
			JSON.stringify(ref).slice(0, 80));
	}
	await peer.close();
});

test('unknown members are ignored', async () =>
{
	const peer = await stage.peer();

	assert.ok((await peer.subscribe({ ...item, later: { deep: [1, 2, { a: null }] } })).id);
	await peer.close();
});

describe('refused', () =>
{
	const filter = (...terms) => ({ ...item, filter: terms });
	const refusals = {
		unknown_entity: [{ feature: 'shop', entity: 'nothing' }, { feature: 'nothing', entity: 'item' },
			{ feature: 'SHOP', entity: 'item' }, { feature: 'shop', entity: 'ite%' }],
		forbidden: [{ feature: 'shop', entity: 'hidden' },
			{ feature: 'shop', entity: 'hidden', snapshot: true }],
		bad_request: [{ feature: 5 }, { entity: {} }, { ...item, action: 5 }, { ...item, action: [5] },
			{ ...item, action: [] }, { ...item, action: Array.from({ length: 33 }, (_, i) => `a${i}`) },
			{ feature: 'shop', snapshot: true }, { feature: 'shop', filter: [['id', 'eq', 1]] },
			{ feature: 'shop', columns: ['id'] }, { snapshot: true },
			{ feature: 'chat', entity: 'message', snapshot: true },
			{ feature: 'chat', entity: 'message', columns: ['text'] },
			{ ...item, snapshot: 'yes' }, { ...item, columns: 'name' }, { ...item, columns: ['nothing'] },
			{ ...item, columns: [5] },
			{ ...item, snapshot: true, limit: 0 }, { ...item, snapshot: true, limit: -1 },
			{ ...item, snapshot: true, limit: 1000001 }, { ...item, snapshot: true, limit: 'all' },
			{ ...item, snapshot: true, limit: 1.5 },
			{ ...item, snapshot: true, order: ['nothing'] }, { ...item, snapshot: true, order: ['name.up'] },
			{ ...item, snapshot: true, order: 'name' },
			filter(['nothing', 'eq', 1]), filter(['id', 'equals', 1]), filter(['id', 'eq']),
			filter(['id', 'eq', 1, 2]), filter(['id']), filter('id'), filter([5, 'eq', 1]),
			{ ...item, filter: {} }, { ...item, filter: 'id=1' },
			filter(['id', 'eq', null]), filter(['id', 'eq', [1]]), filter(['id', 'eq', {}]),
			filter(['id', 'eq', 'abc']), filter(['id', 'eq', 1.5]), filter(['id', 'eq', '99999999999999']),
			filter(['id', 'in', []]), filter(['id', 'in', 1]), filter(['id', 'in', [1, null]]),
			filter(['id', 'in', [1, 'x']]),
			filter(['id', 'in', Array.from({ length: 101 }, (_, i) => i)]),
			filter(['id', 'is', 5]), filter(['name', 'is', 'unknown']), filter(['id', 'like', '1%']),
			filter(['note', 'eq', '1']), filter(['name', 'not.not.eq', 'a']),
			filter(...Array.from({ length: 17 }, (_, i) => ['id', 'neq', i]))],
		bad_position: [{ ...item, since: 'x' }, { ...item, since: '' }, { ...item, since: 'a/1:2' },
			{ ...item, since: 'a/5:3:' }, { ...item, since: 'a/1:9:5,4' }, { ...item, since: 'a/1:9:10' },
			{ ...item, since: `a/1:99999:${Array.from({ length: 4000 }, (_, i) => i + 1)}` }]
	};

	for (const [code, requests] of Object.entries(refusals))
		for (const request of requests)
			test(`${code}: ${JSON.stringify(request).slice(0, 100)}`, async () =>
			{
				const peer = await stage.peer();
				assert.equal(await peer.refused({ op: 'subscribe', ...request }), code);
				assert.equal((await peer.ask({ op: 'ping' })).op, 'pong', 'the session goes on');
				await peer.close();
			});

	test('too_many_subscriptions, until one is given back', async () =>
	{
		const peer = await stage.peer();
		const views = [];

		for (let i = 0; i < 20; i++)
			views.push(await peer.subscribe(filter(['id', 'eq', i])));
		assert.equal(await peer.refused({ op: 'subscribe', ...filter(['id', 'eq', 20]) }),
			'too_many_subscriptions');
		await peer.ask({ op: 'unsubscribe', view: views[7].id });
		assert.ok((await peer.subscribe(filter(['id', 'eq', 20]))).id);
		await peer.close();
	});

	test('an unknown op, a missing op, members of the wrong type', async () =>
	{
		const peer = await stage.peer();

		for (const message of [{ op: 'dance' }, {}, { op: 5 }, { op: 'sync' }, { op: 'sync', tx: 5 },
			{ op: 'sync', tx: 'x' }, { op: 'sync', tx: '-1' }, { op: 'sync', tx: '99999999999999999999' },
			{ op: 'unsubscribe' }, { op: 'unsubscribe', view: 5 }, { op: 'auth' }, { op: 'auth', token: 5 }])
			assert.equal(await peer.refused(message), 'bad_request', JSON.stringify(message));
		assert.equal(await peer.refused({ op: 'unsubscribe', view: 'x' }), 'unknown_view');
		await peer.close();
	});
});

test('a wildcard picks up what the role may read later', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe({ feature: 'shop' });

	await stage.sql('CREATE TABLE fresh (id integer PRIMARY KEY)');
	await stage.sql("SELECT realtime.enable('fresh', 'shop', 'fresh')");
	await stage.sql('GRANT SELECT ON fresh, hidden TO web_anon');
	let n = 1;
	await until('events of what was granted', async () =>
	{
		n++;
		const tx = await stage.write(`INSERT INTO fresh VALUES (${n}); INSERT INTO hidden VALUES (${-n})`);
		await peer.settle(tx);
		const entities = new Set(view.events.map((e) => e.entity));
		return entities.has('fresh') && entities.has('hidden');
	}, 30, 200);
	await stage.sql('REVOKE SELECT ON hidden FROM web_anon');
	await peer.close();
});
