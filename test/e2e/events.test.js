// SPDX-License-Identifier: PostgreSQL
//
// events.test.js
//	Server-sent events: the same subscriptions and frames without WebSocket.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { HandshakeRefused } from './lib/peer.js';
import { request } from './lib/http.js';
import { now } from './lib/jwt.js';
import { Stage } from './lib/stage.js';

const stage = await Stage.open('events', { flags: { heartbeat: 1 } });
const item = { feature: 'shop', entity: 'item' };
let id = 0;
const insert = (status = 'x') =>
	stage.write(`INSERT INTO item (id, name, status) VALUES (${++id}, 'line\nbreak', '${status}')`);

test('POST: several subscriptions, snapshot, events, positions with ids', async () =>
{
	await insert();
	const peer = await stage.events({ subscribe: [{ ...item, snapshot: true },
		{ ...item, filter: [['status', 'eq', 'pending']], ref: 'p' }, { feature: 'shop' }] });
	const [all, pending, wild] = await peer.subscribed(3);

	assert.match(peer.type, /^text\/event-stream/);
	await peer.until('the snapshot', () => all.isSnapshotDone);
	assert.deepEqual(all.ids, ['1']);
	const tx = await insert('pending');
	await peer.covered(tx);
	for (const view of [all, pending, wild])
		assert.deepEqual(view.story, ['created 2']);
	assert.equal(all.events[0].data.name, 'line\nbreak');
	assert.equal(peer.lastId, peer.position.text);
	await peer.close();
});

test('GET with one subscription in the query', async () =>
{
	const query = new URLSearchParams({ feature: 'shop', entity: 'item', action: 'created,deleted',
		filter: '[["status","eq","q"]]', columns: 'id,status', snapshot: 'true', limit: '5',
		order: '["id.desc"]' });
	const peer = await stage.events({ query, subscribe: [{ ...item, action: ['created', 'deleted'],
		filter: [['status', 'eq', 'q']], columns: ['id', 'status'], snapshot: true, limit: 5,
		order: ['id.desc'] }] });
	const [view] = await peer.subscribed(1);

	await peer.until('the snapshot', () => view.isSnapshotDone);	// else the row may come with it
	await peer.covered(await insert('q'));
	assert.deepEqual(view.events.map((e) => e.data), [{ id, status: 'q' }]);
	await peer.close();
});

test('GET with a list as JSON', async () =>
{
	const subscribe = [item, { feature: 'chat', entity: 'message' }];
	const peer = await stage.events({ query: new URLSearchParams({ subscribe: JSON.stringify(subscribe) }),
		subscribe });
	const [first, second] = await peer.subscribed(2);

	await insert();
	await peer.covered(await stage.write("SELECT realtime.emit('chat', 'message', 'sent', '{}')"));
	assert.deepEqual(first.story, [`created ${id}`]);
	assert.deepEqual(second.story, ['sent']);
	await peer.close();
});

test('resumes by Last-Event-ID as a browser does', async () =>
{
	const subscribe = [item, { feature: 'shop' }];
	let peer = await stage.events({ subscribe });
	await peer.subscribed(2);
	await peer.covered(await insert());
	const { lastId } = peer;
	await peer.close();
	await insert();
	await insert();
	const missed = [`created ${id - 1}`, `created ${id}`];

	for (const options of [{ lastEventId: lastId, subscribe }, { since: lastId, subscribe },
		{ lastEventId: lastId, subscribe, query: new URLSearchParams({ subscribe: JSON.stringify(subscribe) }) },
		{ subscribe, query: new URLSearchParams({ subscribe: JSON.stringify(subscribe), since: lastId }),
			since: lastId }])
	{
		peer = await stage.events(options);
		const views = await peer.subscribed(2);
		await peer.until('what was missed', () => views.every((v) => v.events.length >= 2));
		for (const view of views)
			assert.deepEqual(view.story, missed);
		await peer.close();
	}
});

test('comments keep the connection alive', async () =>
{
	const peer = await stage.events({ subscribe: [item] });
	await peer.until('comments or positions', () => peer.comments >= 2, { seconds: 10 });
	await peer.close();
});

describe('tokens', () =>
{
	test('by header and in the body', async () =>
	{
		await stage.sql('GRANT SELECT ON hidden TO web_user');
		const subscribe = [{ feature: 'shop', entity: 'hidden' }];
		const first = await stage.events({ subscribe, claims: { sub: 'ada' } });
		await first.subscribed(1);
		await first.close();
		const second = await stage.events({ subscribe, sendsToken: stage.token() });
		await second.subscribed(1);
		await second.close();
	});

	test('a wrong one: 401', async () =>
	{
		await assert.rejects(stage.events({ subscribe: [item], token: 'a.b.c' }), (error) =>
		{
			assert.ok(error instanceof HandshakeRefused, error.stack);
			assert.equal(error.status, 401);
			assert.equal(error.code, 'unauthorized');
			return true;
		});
	});

	test('expiry ends the stream with an error frame', async () =>
	{
		const peer = await stage.events({ subscribe: [item], token: stage.token({ exp: now() + 2 }) });
		const error = await peer.frame('the end', (f) => f.op === 'error' && f.close, { seconds: 15 });
		assert.equal(error.code, 'expired');
		assert.equal(error.close, 4003);
		await peer.gone();
	});
});

test('one bad subscription is an error frame; the others work', async () =>
{
	const peer = await stage.events({ subscribe: [{ feature: 'shop', entity: 'nothing' }, item,
		{ feature: 'shop', entity: 'hidden' }] });
	const error = await peer.frame('unknown_entity', (f) => f.op === 'error' && f.ref === 0);
	assert.equal(error.code, 'unknown_entity');
	assert.equal((await peer.frame('forbidden', (f) => f.op === 'error' && f.ref === 2)).code, 'forbidden');
	const [view] = await peer.subscribed(1);
	await peer.covered(await insert());
	assert.deepEqual(view.story, [`created ${id}`]);
	await peer.close();
});

test('bad requests: 400, 405, 413', async () =>
{
	const url = `${stage.notifier.url}/v1/events`;
	const post = (body) => request(url, { method: 'POST', body });
	const code = ({ status, body }) => [status, JSON.parse(body).error.code];

	for (const body of ['', 'x', '[]', '{"subscribe":5}', '{"subscribe":[5]}', '{}'])
		assert.deepEqual(code(await post(body)), [400, 'bad_request'], body);
	for (const query of ['subscribe=x', 'subscribe=[1]'])
		assert.deepEqual(code(await request(`${url}?${query}`)), [400, 'bad_request'], query);
	assert.deepEqual(code(await post(JSON.stringify({ subscribe: [item], pad: 'x'.repeat(200000) }))),
		[413, 'too_large']);
	assert.equal((await request(url, { method: 'DELETE' })).status, 405);
});

test('a drained stream says so', async () =>
{
	const notifier = await stage.start();
	const peer = await stage.events({ notifier, subscribe: [item] });
	await peer.subscribed(1);
	const stopped = notifier.stop();
	const error = await peer.frame('the end', (f) => f.op === 'error' && f.close);
	assert.equal(error.close, 1012);
	await peer.gone();
	await stopped;
});
