// SPDX-License-Identifier: PostgreSQL
//
// poll.test.js
//	Long poll: a list kept right by requests that remember nothing.

import test from 'node:test';
import assert from 'node:assert/strict';
import { request } from './lib/http.js';
import { Replica } from './lib/replica.js';
import { HandshakeRefused } from './lib/peer.js';
import { Stage } from './lib/stage.js';

const stage = await Stage.open('poll', { flags: { 'poll-timeout': 3 } });
const item = { feature: 'shop', entity: 'item' };
let id = 0;
const insert = () => stage.write(`INSERT INTO item (id, name) VALUES (${++id}, 'x')`);

test('snapshot first, then events as they come, from position to position', async () =>
{
	await insert();
	const peer = stage.poller({ subscribe: [{ ...item, snapshot: true }] });
	await peer.poll();
	assert.deepEqual(peer.rows.map((r) => r.id), ['1']);
	assert.ok(peer.position);
	// Waits until something happens.
	const start = performance.now();
	const waiting = peer.poll(3);
	const tx = await insert();
	const frames = await waiting;
	assert.ok(performance.now() - start < 2900, 'answered by the event, not by the time-out');
	assert.deepEqual(frames.filter((f) => f.op === 'commit').map((f) => f.tx), [tx]);
	// What happens between requests is not lost.
	await insert();
	await insert();
	while (peer.events.length < 3)
		await peer.poll(3);
	assert.deepEqual(peer.events.map((e) => e.id), ['2', '3', '4']);
});

test('nothing happens: an empty answer with a position when the time is over', async () =>
{
	const peer = stage.poller({ subscribe: [{ ...item, filter: [['id', 'lt', 0]] }] });
	const start = performance.now();
	await peer.poll(1);
	assert.ok(performance.now() - start > 700);
	const frames = await peer.poll(60);			// at most poll_timeout
	assert.ok(performance.now() - start < 15000);
	assert.equal(frames.filter((f) => f.op === 'commit').length, 0);
	assert.ok(peer.position);
});

test('follows writers without loss', async () =>
{
	const peer = stage.poller({ subscribe: [{ ...item, snapshot: true }] });
	const replica = new Replica();
	await peer.poll();
	replica.load(peer.rows);
	let isOver = false;
	const writing = (async () =>
	{
		const client = await stage.database.connect('writer');
		for (let i = 0; i < 150; i++)
		{
			await client.query('INSERT INTO item (id) VALUES ($1)', [10000 + i]);
			await client.query('UPDATE item SET name = $1 WHERE id = $2', [`n${i}`, 10000 + (i >> 1)]);
			if (i % 4 === 0)
				await client.query('DELETE FROM item WHERE id = $1', [10000 + (i >> 2)]);
		}
		await client.end();
		isOver = true;
	})();
	for (let last = false; !last;)
	{
		last = isOver;
		await peer.poll(last ? 1 : 3);
	}
	await writing;
	await peer.poll(1);
	for (const event of peer.events)
		replica.apply(event);
	assert.deepEqual(replica.differences(await stage.database.rows('SELECT * FROM item')).slice(0, 5), []);
	assert.deepEqual(peer.gaps, []);
});

test('an error comes at once', async () =>
{
	const peer = stage.poller({ subscribe: [{ feature: 'shop', entity: 'hidden' }] });
	const start = performance.now();
	const frames = await peer.poll(3);
	assert.equal(frames.find((f) => f.op === 'error').code, 'forbidden');
	assert.ok(performance.now() - start < 2500);
});

test('GET with a query; wrong tokens; bad bodies', async () =>
{
	const query = new URLSearchParams({ feature: 'shop', entity: 'item', snapshot: 'true', timeout: '1' });
	const { status, body } = await request(`${stage.notifier.url}/v1/poll?${query}`);
	assert.equal(status, 200, body);
	assert.ok(JSON.parse(body).frames.some((f) => f.op === 'snapshot'));
	await assert.rejects(stage.poller({ subscribe: [item], token: 'x.y.z' }).poll(1), (error) =>
		error instanceof HandshakeRefused && error.status === 401);
	for (const bad of ['', '{', '{"subscribe":[]}x', '{"subscribe":[{}],"timeout":"x"}',
		'{"subscribe":[{}],"since":5}'])
		assert.equal((await request(`${stage.notifier.url}/v1/poll`, { method: 'POST', body: bad })).status,
			400, bad);
});

test('a request is answered when it has caught up, however short its timeout', async () =>
{
	// One after the other, none in the present yet when its time is over.
	const peer = stage.poller({ subscribe: [{ ...item, snapshot: true }, { feature: 'shop', entity: 'other', snapshot: true }] });
	await stage.write("INSERT INTO other SELECT g, repeat('x', 1000) FROM generate_series(1, 3000) g");
	await peer.poll(0);
	const rows = Number(await stage.value('SELECT (SELECT count(*) FROM item) + (SELECT count(*) FROM other)'));
	assert.equal(peer.rows.length, rows, 'both snapshots');
	const watcher = await stage.peer();
	await watcher.settle(await stage.write("UPDATE other SET name = repeat('y', 1000)"));
	await peer.poll(0);
	assert.equal(peer.events.length, 3000, 'from memory');
	await watcher.settle(await stage.write("UPDATE other SET name = repeat('z', 1000)"));
	const second = await stage.start();			// has nothing in memory
	peer.url = second.url;
	await peer.poll(0);
	assert.equal(peer.events.length, 6000, 'from the log');
	assert.equal((await peer.poll(0)).filter((f) => f.op === 'commit').length, 0, 'and then nothing');
});

test('one snapshot comes late: no answer without it, and none at all when poll-timeout is over', async () =>
{
	const peer = stage.poller({ subscribe: [{ ...item, snapshot: true }, { feature: 'shop', entity: 'other', snapshot: true }] });
	await stage.write('DELETE FROM other WHERE id > 500');
	const client = await stage.database.connect('locker');
	await client.query('BEGIN; LOCK TABLE other IN ACCESS EXCLUSIVE MODE');
	// The other view has its rows, and its news with a position after it.
	const waiting = peer.poll(3);
	await insert();
	await assert.rejects(waiting, (error) => error instanceof HandshakeRefused && error.status === 503 && error.code === 'unavailable');
	const late = peer.poll(3);
	await insert();
	await client.query('COMMIT');
	const frames = await late;
	assert.equal(frames.filter((f) => f.op === 'snapshot' && f.last).length, 2);
	const rows = Number(await stage.value('SELECT (SELECT count(*) FROM item) + (SELECT count(*) FROM other)'));
	assert.equal(peer.rows.length + peer.events.length, rows, 'each row once, in a snapshot or created after it');
	await client.end();
});

test('a position that is void: gap in the frames', async () =>
{
	const peer = stage.poller({ subscribe: [item] });
	await peer.poll(1);
	peer.position = peer.position.replace(/^[^/]+/, '1-0123456789abcdef');
	const frames = await peer.poll(3);
	assert.deepEqual(frames.filter((f) => f.op === 'gap').map((f) => f.reason), ['epoch']);
	await insert();
	await peer.poll(3);
	assert.equal(peer.events.at(-1).id, String(id));
});
