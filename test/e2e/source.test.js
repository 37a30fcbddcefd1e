// SPDX-License-Identifier: PostgreSQL
//
// source.test.js
//	Between the notifier and PostgreSQL: lost connections, strange defaults, asynchronous commits, the
//	doorbell. Subscribers see a pause and no loss.

import test from 'node:test';
import assert from 'node:assert/strict';
import { follow } from './lib/peer.js';
import { Proxy } from './lib/proxy.js';
import { Stage } from './lib/stage.js';
import { pause, until } from './lib/wait.js';

const stage = await Stage.open('source', { isStarted: false });
const proxy = await Proxy.open(stage.directory);
stage.closers.push(() => proxy.close());
// Defaults that a notifier must not depend on.
await stage.sql(`ALTER DATABASE ${stage.database.name} SET default_transaction_isolation = 'serializable'`);
await stage.sql(`ALTER DATABASE ${stage.database.name} SET default_transaction_read_only = on`);
await stage.sql(`ALTER DATABASE ${stage.database.name} SET search_path = 'nowhere'`);
await stage.sql(`ALTER DATABASE ${stage.database.name} SET DateStyle = 'German, DMY'`);
await stage.sql(`ALTER DATABASE ${stage.database.name} SET client_encoding = 'latin1'`);
stage.notifier = await stage.start({
	database: `host=${stage.directory} port=${proxy.port} user=live dbname=${stage.database.name}` });
const { notifier } = stage;
const item = { feature: 'shop', entity: 'item' };
let id = 0;
const insert = () => stage.write(`INSERT INTO item (id, name) VALUES (${++id}, 'ü😀')`);

test('a database with strange defaults', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, snapshot: true });
	await peer.settle(await insert());
	assert.equal(view.events[0].data.name, 'ü😀');
	const again = await stage.peer();
	assert.equal((await again.subscribe({ ...item, snapshot: true })).rows[0].data.name, 'ü😀');
	await again.close();
	await peer.close();
});

test('connections cut again and again while others write', async (t) =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, snapshot: true });
	const replica = follow(peer, view);
	let isOver = false;
	const cutting = (async () =>
	{
		let n = 0;
		for (; !isOver; n++)
		{
			await pause(60);
			proxy.cut();
		}
		return n;
	})();
	for (let i = 0; i < 1500; i++)
	{
		await insert();
		if (i % 3 === 0)
			await stage.write(`UPDATE item SET amount = ${i} WHERE id = ${id - (i % 7)}`);
	}
	const tx = await insert();
	isOver = true;
	const cuts = await cutting;
	await peer.settle(tx, 60);
	assert.deepEqual(replica.differences(await stage.database.rows('SELECT * FROM item')).slice(0, 5), []);
	assert.deepEqual(view.gaps, []);
	t.diagnostic(`${cuts} cuts, ${await notifier.metric('source_reconnects_total')} reconnects`);
	assert.ok(await notifier.metric('source_reconnects_total') > 0);
	await peer.close();
});

test('away for a while: all that happened comes, in order', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe(item);
	proxy.refuse();
	const expected = [];
	for (let i = 0; i < 200; i++)
	{
		await insert();
		expected.push(`created ${id}`);
	}
	proxy.allow();
	await peer.settle(await insert(), 60);
	assert.deepEqual(view.story, [...expected, `created ${id}`]);
	assert.deepEqual(view.gaps, []);
	await peer.close();
});

test('each of its sessions is terminated by an administrator', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe(item);
	await stage.database.untilArmed(1);
	const n = await stage.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'live'
		AND datname = current_database()`);
	assert.ok(n.length >= 2);
	await peer.settle(await insert(), 60);
	assert.deepEqual(view.story, [`created ${id}`]);
	await stage.database.untilArmed(1);
	await peer.settle(await insert());
	assert.equal(view.events.length, 2);
	await peer.close();
});

test('at rest: armed, few polls, and the bell wakes it', async (t) =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe(item);
	await stage.database.untilArmed(1);
	const before = await notifier.metrics();
	const times = [];
	for (let i = 0; i < 10; i++)
	{
		await stage.database.untilArmed(1);
		const start = performance.now();
		const n = view.events.length;
		await insert();
		await peer.until('the event', () => view.events.length > n);
		times.push(performance.now() - start);
	}
	times.sort((a, b) => a - b);
	const after = await notifier.metrics();
	const grew = (name) => after.get(`realtime_${name}`) - before.get(`realtime_${name}`);
	t.diagnostic(`write to event at rest: median ${times[5].toFixed(1)} ms, longest ${times[9].toFixed(1)} ms; ` +
		`${grew('doorbells_total')} bells, ${grew('polls_total')} polls`);
	assert.ok(grew('doorbells_total') >= 8);
	assert.ok(times[5] < 400, 'not by the fallback poll');
	await peer.close();
});

test('under load nobody rings', async (t) =>
{
	const peer = await stage.peer();
	await peer.subscribe({ ...item, keep: false });
	const before = await notifier.metrics();
	let tx;
	const start = performance.now();
	for (let i = 0; i < 1500; i++)
		tx = await insert();
	const took = performance.now() - start;
	await peer.settle(tx);
	const after = await notifier.metrics();
	const grew = (name) => after.get(`realtime_${name}`) - before.get(`realtime_${name}`);
	t.diagnostic(`1500 commits in ${took.toFixed()} ms: ${grew('doorbells_total')} bells, ${grew('polls_total')} polls`);
	assert.ok(grew('doorbells_total') < 300);
	await peer.close();
});

test('a commit that nobody rang for is found by the fallback poll', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe(item);
	await stage.database.untilArmed(1);
	await stage.write(`SET LOCAL realtime.doorbell = off; INSERT INTO item (id) VALUES (${++id})`);
	await peer.until('the event', () => view.events.length > 0, { seconds: 5 });
	const client = await stage.database.connect('prepares');
	await client.query('BEGIN READ WRITE');
	await client.query(`INSERT INTO public.item (id) VALUES (${++id})`);
	await client.query("PREPARE TRANSACTION 'fallback'");
	await client.query("COMMIT PREPARED 'fallback'");
	await client.end();
	await peer.until('the prepared one', () => view.events.length > 1, { seconds: 5 });
	await peer.close();
});

test('notifications of others are but a bell', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe(item);
	for (const payload of ['', 'x', '{"event":"shop.item.created","id":"666"}', '[', 'y'.repeat(7999)])
		await stage.sql('SELECT pg_notify($1, $2)', ['realtime', payload]);
	await peer.settle(await insert());
	assert.deepEqual(view.story, [`created ${id}`]);
	await peer.close();
});

test('a transaction that stays open holds up nobody', async () =>
{
	const client = await stage.database.connect('open');
	await client.query('BEGIN READ WRITE');
	const own = ++id;
	await client.query(`INSERT INTO public.item (id) VALUES (${own})`);
	const peer = await stage.peer();
	const view = await peer.subscribe(item);
	for (let i = 0; i < 50; i++)
		await insert();
	await peer.covered(await insert());
	assert.equal(view.events.length, 51);
	await client.query('COMMIT');
	await client.end();
	await peer.until('the long one', () => view.story.includes(`created ${own}`));
	await peer.close();
});

test('asynchronous commits are shown only once they are durable', async () =>
{
	const writer = (await stage.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"))[0].pid;
	const peer = await stage.peer();
	const view = await peer.subscribe(item);
	// Without the WAL writer, nobody but the notifier has the WAL flushed.
	process.kill(Number(writer), 'SIGSTOP');
	try
	{
		await stage.sql('SET synchronous_commit = off');
		let unflushed = 0;
		for (let i = 0; i < 30; i++)
		{
			// Some wake nobody, so that they are seen before they are flushed.
			await stage.sql(`SET realtime.doorbell = ${i < 6 ? 'off' : 'on'}`);
			const tx = await insert();
			const lsn = await stage.value('SELECT pg_current_wal_insert_lsn()');
			unflushed += await stage.value('SELECT pg_current_wal_flush_lsn() < $1::pg_lsn', [lsn]) === 't';
			await peer.until('the event', () => view.events.some((e) => e.meta.tx === tx));
			assert.equal(await stage.value(`SELECT pg_current_wal_flush_lsn() >= (SELECT max(lsn)
				FROM realtime.commit_log WHERE xid = $1::xid8)`, [tx]), 't', 'flushed when shown');
		}
		assert.ok(unflushed >= 3, `only ${unflushed} of 30 were not flushed at once: this shows nothing`);
		// A snapshot waits likewise.
		await insert();
		const other = await stage.peer();
		const copy = await other.subscribe({ ...item, snapshot: true });
		assert.ok(copy.ids.includes(String(id)) || copy.rows.length >= id - 2);
		await other.settle(await insert());
		await other.close();
	}
	finally
	{
		process.kill(Number(writer), 'SIGCONT');
		await stage.sql('RESET synchronous_commit; RESET realtime.doorbell');
	}
	await peer.close();
});
