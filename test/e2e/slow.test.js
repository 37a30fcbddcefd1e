// SPDX-License-Identifier: PostgreSQL
//
// slow.test.js
//	A reader too slow: updates of a row merged, then a gap, then 4008; never more than its queue in
//	memory, and others get everything meanwhile.

import test from 'node:test';
import assert from 'node:assert/strict';
import { follow } from './lib/peer.js';
import { Stage } from './lib/stage.js';
import { until } from './lib/wait.js';

const MB = 1024 * 1024;
const SCHEMA = `
	CREATE TABLE blob (id integer PRIMARY KEY, n integer, body text);
	ALTER TABLE blob ALTER COLUMN body SET STORAGE PLAIN;
	SELECT realtime.enable('blob', 'shop', 'blob');
	CREATE TABLE tick (id integer PRIMARY KEY, n integer);
	SELECT realtime.enable('tick', 'shop', 'tick');
	GRANT SELECT ON blob, tick TO web_anon;
	INSERT INTO blob SELECT i, 0, 'x' FROM generate_series(1, 3) i;
	INSERT INTO tick VALUES (1, 0);`;
const stage = await Stage.open('slow', { schema: SCHEMA,
	flags: { 'max-queue': '1MB', 'slow-timeout': 30, 'history-cache': '1MB' } });
const blob = { feature: 'shop', entity: 'blob' };
const kernel = 24 * MB;			// what the sockets' buffers may take besides, at most

/** Lets readers that do read keep up, whatever the machine. */
const PACE = 'PERFORM pg_sleep(0.0005);';

/** Updates row after row, kB each, one transaction an update, until so many bytes are written. */
async function flood(bytes, { rows = 3, size = 7000 } = {})
{
	await stage.sql(`DO $$ BEGIN
		FOR i IN 1..${Math.ceil(bytes / size)} LOOP
			UPDATE blob SET n = i, body = repeat(chr(97 + i % 26), ${size}) WHERE id = 1 + i % ${rows};
			COMMIT; ${PACE}
		END LOOP; END $$`);
	return stage.write('UPDATE blob SET n = -1, body = NULL WHERE id = 1');
}

const stats = async (...names) =>
{
	const metrics = await stage.notifier.metrics();
	return names.map((name) => metrics.get(`realtime_${name}`));
};

test('updates of a row are merged, in whole transactions, and the reader is right again', async (t) =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...blob, snapshot: true, action: ['created', 'updated', 'deleted'] });
	const replica = follow(peer, view);
	const healthy = await stage.peer();
	const other = await healthy.subscribe({ ...blob, keep: false });
	const [merges] = await stats('slow_merges_total');
	const before = await stage.notifier.memory();
	peer.pauseReading();
	const tx = await flood(kernel + 8 * MB);
	await healthy.settle(tx, 60);
	const after = await stage.notifier.memory();
	const [now, queued] = await stats('slow_merges_total', 'queue_bytes');
	peer.resumeReading();
	await peer.settle(tx, 60);
	t.diagnostic(`written ${((kernel + 8 * MB) / MB).toFixed()} MB; merges ${now - merges}; queued ${queued}; ` +
		`memory grew by ${((after - before) / MB).toFixed(1)} MB; frames of the slow reader: ` +
		`${view.commits.length} of ${other.eventCount}; gaps ${view.gaps.length}`);
	assert.ok(now > merges, 'the queue was merged');
	assert.ok(queued < 3 * MB, `${queued} bytes queued`);
	assert.ok(view.commits.some((c) => c.merged), 'a frame says so');
	assert.deepEqual(view.gaps, [], 'three rows fit a queue of 1 MB');
	assert.deepEqual(replica.differences(await stage.database.rows('SELECT * FROM blob')), []);
	assert.deepEqual(other.gaps, []);
	await peer.close();
	await healthy.close();
});

test('what cannot be merged: gap slow; the view stays live', async (t) =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...blob, keep: true });
	const tick = await peer.subscribe({ feature: 'shop', entity: 'tick' });
	const healthy = await stage.peer();
	const other = await healthy.subscribe(blob);
	const [gaps] = await stats('slow_gaps_total');
	peer.pauseReading();
	const n = Math.ceil((kernel + 4 * MB) / 7000);
	await stage.sql(`DO $$ BEGIN FOR i IN 1..${n} LOOP
		INSERT INTO blob VALUES (1000 + i, i, repeat('y', 7000)); COMMIT; ${PACE} END LOOP; END $$`);
	await healthy.settle(await stage.write('UPDATE tick SET n = n + 1'), 60);
	assert.equal(other.eventCount, n);
	assert.ok((await stats('slow_gaps_total'))[0] > gaps);
	peer.resumeReading();
	await peer.until('gap', () => view.gaps.length > 0, { seconds: 60 });
	assert.ok(view.gaps.every((g) => g.reason === 'slow'));
	await peer.settle(await stage.write("INSERT INTO blob VALUES (1, 0, 'live') ON CONFLICT (id) DO UPDATE SET n = -5"), 60);
	assert.equal(view.events.at(-1).data.n, -5);
	assert.equal(view.events.at(-1).id, '1');
	t.diagnostic(`${view.eventCount} of ${n} events before the gap`);
	assert.ok(tick.events.length > 0 || tick.gaps.length > 0, 'no view misses events silently');
	await stage.sql('DELETE FROM blob WHERE id >= 1000');
	await peer.close();
	await healthy.close();
});

test('a reader that never reads: 4008 in time', async (t) =>
{
	const notifier = await stage.start({ flags: { 'slow-timeout': 2 } });
	const peer = await stage.peer({ notifier });
	await peer.subscribe(blob);
	const healthy = await stage.peer({ notifier });
	const other = await healthy.subscribe({ ...blob, keep: false });
	peer.pauseReading();
	await stage.sql(`DO $$ BEGIN FOR i IN 1..4500 LOOP
		INSERT INTO blob VALUES (1000 + i, i, repeat('y', 7000)); COMMIT; ${PACE} END LOOP; END $$`);
	await until('the session is closed', async () => await notifier.metric('slow_closes_total') === 1, 40, 200);
	const tx = await stage.write('DELETE FROM blob WHERE id >= 1000');
	await healthy.settle(tx, 60);
	assert.ok(other.eventCount >= 4500);
	// It reads again and finds out: with the code if the kernel still had room for it.
	peer.resumeReading();
	const end = await peer.gone(30);
	t.diagnostic(`closed with ${end.code} ${end.reason}`);
	assert.ok([4008, 1006].includes(end.code));
	await healthy.close();
	await notifier.stop();
});

test('a session that reads slowly but reads is not closed', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...blob, snapshot: true });
	const replica = follow(peer, view);
	let isOver = false;
	const sipping = (async () =>
	{
		// Some of the time only: the socket is opened for a moment, again and again.
		while (!isOver)
		{
			peer.pauseReading();
			await new Promise((resolve) => setTimeout(resolve, 150));
			peer.resumeReading();
			await new Promise((resolve) => setTimeout(resolve, 15));
		}
	})();
	const tx = await flood(12 * MB);
	isOver = true;
	await sipping;
	await peer.settle(tx, 60);
	if (replica.isComplete)
		assert.deepEqual(replica.differences(await stage.database.rows('SELECT * FROM blob')), []);
	assert.equal(peer.closed, undefined);
	await peer.close();
});

test('many slow readers: memory stays within their queues', async (t) =>
{
	const peers = [];
	for (let i = 0; i < 30; i++)
	{
		const peer = await stage.peer();
		await peer.subscribe({ ...blob, filter: [['id', 'gt', -i]] });	// frames of their own
		peers.push(peer);
	}
	const healthy = await stage.peer();
	await healthy.subscribe({ ...blob, keep: false });
	const before = await stage.notifier.memory();
	for (const peer of peers)
		peer.pauseReading();
	let most = 0;
	let isOver = false;
	const watching = until('the end', async () =>
	{
		most = Math.max(most, await stage.notifier.memory());
		return isOver;
	}, 120, 50);
	const tx = await stage.sql(`DO $$ BEGIN FOR i IN 1..1500 LOOP
		INSERT INTO blob VALUES (1000 + i, i, repeat('y', 7000)); COMMIT; ${PACE} END LOOP; END $$`)
		.then(() => stage.write('DELETE FROM blob WHERE id >= 1000'));
	await healthy.settle(tx, 60);
	isOver = true;
	await watching;
	t.diagnostic(`30 readers that stopped: memory from ${(before / MB).toFixed()} to at most ` +
		`${(most / MB).toFixed()} MB`);
	assert.ok(most - before < 30 * 2 * MB + 100 * MB, `${most - before} bytes more`);
	for (const peer of peers)
		peer.terminate();
	await healthy.close();
});
