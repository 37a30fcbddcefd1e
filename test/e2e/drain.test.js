// SPDX-License-Identifier: PostgreSQL
//
// drain.test.js
//	SIGTERM: every peer is told to come back (1012), spread over time, with all it had to get; exit 0.

import test from 'node:test';
import assert from 'node:assert/strict';
import { Stage } from './lib/stage.js';
import { request } from './lib/http.js';
import { until } from './lib/wait.js';

const stage = await Stage.open('drain', { isStarted: false });
const item = { feature: 'shop', entity: 'item' };

test('sessions are closed with 1012, spread, and lose nothing', async (t) =>
{
	const notifier = await stage.start({ flags: { drain: 2 } });
	const peers = [];
	for (let i = 0; i < 40; i++)
	{
		const peer = await stage.peer({ notifier });
		peers.push({ peer, view: await peer.subscribe(item) });
	}
	const idle = await stage.peer({ notifier });
	const poll = stage.poller({ notifier, subscribe: [{ ...item, filter: [['id', 'lt', 0]] }] }).poll(20);
	const tx = await stage.write('INSERT INTO item (id) VALUES (1)');
	await Promise.all(peers.map(({ peer }) => peer.covered(tx)));
	const start = performance.now();
	notifier.kill('SIGTERM');
	const ends = await Promise.all([...peers.map(({ peer }) => peer), idle].map((p) => p.gone()));
	const { status, signal } = await notifier.exited;
	const took = performance.now() - start;
	assert.deepEqual(ends.map((e) => e.code), ends.map(() => 1012));
	assert.deepEqual({ status, signal }, { status: 0, signal: null });
	const times = ends.map((e) => e.at - start);
	t.diagnostic(`closed between ${Math.min(...times).toFixed()} and ${Math.max(...times).toFixed()} ms, ` +
		`ended after ${took.toFixed()} ms`);
	assert.ok(Math.max(...times) - Math.min(...times) > 500, 'spread over the time given');
	assert.ok(took < 8000);
	for (const { peer, view } of peers)
	{
		assert.deepEqual(view.story, ['created 1']);
		assert.ok(peer.position, 'a position to resume with');
	}
	const frames = await poll.catch((error) => error);
	assert.ok(Array.isArray(frames) || /ECONN|hang up|503/.test(String(frames)), String(frames));
	notifier.check();
});

test('new connections are refused while it drains; /healthz still answers or the port is closed', async () =>
{
	const notifier = await stage.start({ flags: { drain: 3 } });
	const peers = [];
	for (let i = 0; i < 10; i++)
		peers.push(await stage.peer({ notifier }));
	notifier.kill('SIGTERM');
	await peers[0].gone().catch(() => {});
	await Promise.race(peers.map((peer) => peer.gone()));
	if (!notifier.exit)
	{
		const late = await stage.peer({ notifier }).then((peer) => peer.gone(), (error) => error);
		assert.ok(late instanceof Error || late.code === 1012, JSON.stringify(late));
		const ready = await request(`${notifier.url}/readyz`, { seconds: 5 }).catch(() => ({ status: 503 }));
		assert.equal(ready.status, 503);
	}
	assert.equal((await notifier.exited).status, 0);
	notifier.check();
});

test('with nobody connected it ends at once; a second SIGTERM does not hurt', async () =>
{
	const notifier = await stage.start({ flags: { drain: 30 } });
	const start = performance.now();
	notifier.kill('SIGTERM');
	notifier.kill('SIGTERM');
	assert.equal((await notifier.exited).status, 0);
	assert.ok(performance.now() - start < 10000);
	notifier.check();
});

test('a peer that does not read does not keep it from ending', async () =>
{
	const notifier = await stage.start({ flags: { drain: 1 } });
	const peer = await stage.peer({ notifier });
	await peer.subscribe(item);
	peer.pauseReading();
	await stage.sql(`DO $$ BEGIN FOR i IN 1..1000 LOOP
		UPDATE item SET name = repeat('x', 8000) || i WHERE id = 1; COMMIT; END LOOP; END $$`);
	await notifier.stop(20);
	peer.terminate();
});

test('SIGTERM while the database is away', async () =>
{
	const notifier = await stage.start({ isReady: false,
		database: `host=/nonexistent user=live dbname=${stage.database.name}` });
	await until('alive', async () => (await notifier.status('/healthz')) === 200);
	await notifier.stop();
});

test('SIGINT ends it, too', async () =>
{
	const notifier = await stage.start();
	notifier.kill('SIGINT');
	assert.equal((await notifier.exited).status, 0);
	notifier.check();
});
