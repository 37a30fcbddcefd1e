// SPDX-License-Identifier: PostgreSQL
//
// resume.test.js
//	Going on from a position: at the same notifier, another one, after a restart; and from positions that
//	are no good any more.

import test from 'node:test';
import assert from 'node:assert/strict';
import { Stage } from './lib/stage.js';
import { until } from './lib/wait.js';

const stage = await Stage.open('resume', { flags: { 'history-cache': '1MB', 'max-messages-per-minute': 5000 } });
const item = { feature: 'shop', entity: 'item' };
let id = 0;

/** Inserts the next item in a transaction of its own; returns the transaction. */
function insert(name = 'x')
{
	id++;
	return stage.write(`INSERT INTO item (id, name) VALUES (${id}, '${name}')`);
}

/** A peer that has seen something, is gone, and its position; then n transactions happen. */
async function leave(n, request = item)
{
	const peer = await stage.peer();
	const view = await peer.subscribe(request);
	const tx = await insert();
	await peer.covered(tx);
	const since = peer.token;
	await peer.close();
	const missed = [];
	let last;
	for (let i = 0; i < n; i++)
	{
		last = await insert();
		missed.push(`created ${id}`);
	}
	// Whoever comes back comes behind them: every worker has delivered what one has.
	if (last)
	{
		const witness = await stage.peer();
		await witness.ask({ op: 'sync', tx: last });
		await witness.close();
		await until('every worker has it', async () =>
			(await stage.notifier.metrics()).get('realtime_source_lag_transactions') === 0, 10, 20);
	}
	return { since, missed, view };
}

test('replays what was missed, once and in order, then is live', async () =>
{
	const { since, missed } = await leave(5);
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, since });

	await peer.until('what was missed', () => view.events.length >= missed.length);
	const tx = await insert();
	await peer.settle(tx);
	assert.deepEqual(view.story, [...missed, `created ${id}`]);
	assert.equal(view.rows.length, 0);
	await peer.covered(tx);
	await peer.close();
});

test('with snapshot: true in case, none comes while history is there', async () =>
{
	const { since, missed } = await leave(3);
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, since, snapshot: true });

	await peer.settle(await insert());
	assert.deepEqual(view.story, [...missed, `created ${id}`]);
	assert.equal(view.rows.length, 0);
	assert.deepEqual(view.gaps, []);
	await peer.close();
});

test('nothing missed: nothing replayed', async () =>
{
	const { since } = await leave(0);
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, since });

	await peer.settle(await insert());
	assert.deepEqual(view.story, [`created ${id}`]);
	await peer.close();
});

test('several views of one session resume, filtered and wild', async () =>
{
	const requests = [item, { ...item, filter: [['name', 'eq', 'mine']] }, { feature: 'shop' }, {}];
	const { since } = await leave(0);
	await insert('mine');
	const mine = id;
	await insert('yours');
	await stage.write(`UPDATE item SET name = 'mine' WHERE id = ${id}`);
	const yours = id;
	const peer = await stage.peer();
	const views = [];
	for (const request of requests)
		views.push(await peer.subscribe({ ...request, since }));
	await peer.settle(await insert('late'));
	const all = [`created ${mine}`, `created ${yours}`, `updated ${yours}`, `created ${id}`];
	assert.deepEqual(views.map((v) => v.story),
		[all, [`created ${mine}`, `entered ${yours}`], all, all]);
	await peer.close();
});

test('a position from the middle of transactions that run at once', async () =>
{
	// One is open across the position, others commit before and after it.
	const slow = await stage.database.connect('slow');
	await slow.query('BEGIN');
	const own = ++id;
	await slow.query(`INSERT INTO item (id, name) VALUES (${own}, 'slow')`);
	const { since, missed } = await leave(2);
	assert.match(since.split('/')[1], /^\d+:\d+:\d+/, 'a transaction is running in the position');
	await slow.query('COMMIT');
	await slow.end();
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, since });
	await peer.settle(await insert());
	assert.deepEqual([...view.story].sort(), [`created ${own}`, ...missed, `created ${id}`].sort());
	await peer.close();
});

test('at another notifier', async () =>
{
	const { since, missed } = await leave(4);
	const notifier = await stage.start();
	const peer = await stage.peer({ notifier });
	const view = await peer.subscribe({ ...item, since });

	await peer.settle(await insert());
	assert.deepEqual(view.story, [...missed, `created ${id}`]);
	await peer.close();
	await notifier.stop();
});

test('after a restart of the notifier, after kill -9', async () =>
{
	for (const how of ['stop', 'crash'])
	{
		const { since, missed } = await leave(4);
		await stage.notifier[how]();
		await insert();
		missed.push(`created ${id}`);
		stage.notifier = await stage.start();
		const peer = await stage.peer();
		const view = await peer.subscribe({ ...item, since });
		await peer.settle(await insert());
		assert.deepEqual(view.story, [...missed, `created ${id}`], how);
		await peer.close();
	}
});

test('history beyond the memory of the notifier comes from the log', async () =>
{
	const { since } = await leave(0);
	for (let i = 0; i < 60; i++)
		await insert('y'.repeat(60000));
	const before = await stage.notifier.metrics();
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, since });
	await peer.settle(await insert());
	assert.equal(view.events.length, 61);
	assert.ok((await stage.notifier.metrics()).get('realtime_resumes_log_total') >
		before.get('realtime_resumes_log_total'));
	await peer.close();
});

test('an unknown epoch: gap epoch, then live', async () =>
{
	const { since } = await leave(1);
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, since: since.replace(/^[^/]+/, '1-0123456789abcdef') });

	await peer.until('gap', () => view.gaps.length > 0);
	assert.deepEqual(view.gaps.map((g) => g.reason), ['epoch']);
	assert.deepEqual(view.story, []);
	await peer.settle(await insert());
	assert.deepEqual(view.story, [`created ${id}`]);
	await peer.close();
});

test('an unknown epoch with snapshot: gap, snapshot, live', async () =>
{
	const { since } = await leave(1);
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, snapshot: true,
		since: since.replace(/^[^/]+/, '1-0123456789abcdef') });

	assert.deepEqual(view.gaps.map((g) => g.reason), ['epoch']);
	assert.equal(view.rows.length, Number(await stage.value('SELECT count(*) FROM item')));
	await peer.settle(await insert());
	assert.deepEqual(view.story, [`created ${id}`]);
	await peer.close();
});

test('a position of the future', async () =>
{
	// Of this epoch, but above the server's next transaction: never issued. Gap or refusal, not silence.
	const { since } = await leave(1);
	const [epoch] = since.split('/');
	for (const snapshot of [false, true])
	{
		const peer = await stage.peer();
		const request = { ...item, since: `${epoch}/999999999:999999999:`, snapshot };
		let view;
		try
		{
			view = await peer.subscribe(request);
		}
		catch (error)
		{
			assert.equal(error.code, 'bad_position', error.stack);
			assert.equal((await peer.ask({ op: 'ping' })).op, 'pong');
			await peer.close();
			continue;
		}
		await peer.until('gap', () => view.gaps.length > 0);
		await peer.settle(await insert());
		assert.deepEqual(view.story, [`created ${id}`]);
		await peer.close();
	}
});

test('pruned history: gap history, then the snapshot if asked', async () =>
{
	const { since } = await leave(3);
	// The log turns to its next part, and what is old is emptied.
	await stage.sql("SET realtime.retention = '1s'");
	await until('the log is pruned', async () =>
	{
		await insert();
		await stage.sql('SELECT realtime.prune()');
		return await stage.value('SELECT realtime.position_error($1)', [since]) === 'history';
	}, 30, 300);
	await stage.sql('RESET realtime.retention');
	// This notifier may still have it in memory: then it may replay. One that starts now may not.
	const notifier = await stage.start();
	for (const snapshot of [false, true])
	{
		const peer = await stage.peer({ notifier });
		const view = await peer.subscribe({ ...item, since, snapshot });
		await peer.until('gap', () => view.gaps.length > 0);
		assert.deepEqual(view.gaps.map((g) => g.reason), ['history']);
		const rows = Number(await stage.value('SELECT count(*) FROM item'));
		await peer.settle(await insert());
		assert.equal(view.rows.length, snapshot ? rows : 0);
		assert.deepEqual(view.story, [`created ${id}`]);
		await peer.close();
	}
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, since });
	await peer.settle(await insert());
	if (view.gaps.length === 0)
		assert.ok(view.events.length > 3, 'from memory: all of it');
	else
		assert.deepEqual(view.story, [`created ${id}`]);
	await peer.close();
	await notifier.stop();
});

test('a new epoch while sessions are open: gap to every view, then live', async () =>
{
	const peer = await stage.peer();
	const views = [await peer.subscribe(item), await peer.subscribe({ feature: 'shop' }),
		await peer.subscribe({ feature: 'shop', entity: 'other' })];
	const old = peer.welcome.epoch;

	await stage.sql('SELECT realtime.new_epoch()');
	await peer.until('gaps', () => views.every((v) => v.gaps.some((g) => g.reason === 'epoch')));
	await peer.settle(await insert());
	assert.deepEqual(views[0].story, [`created ${id}`]);
	assert.deepEqual(views[1].story, [`created ${id}`]);
	await peer.until('a position of the new epoch', () => peer.position && peer.position.epoch !== old);
	const later = await stage.peer();
	assert.notEqual(later.welcome.epoch, old);
	await later.close();
	await peer.close();
});

test('a new epoch in the middle of a resumption: gap, then the snapshot if asked', { timeout: 120000 }, async () =>
{
	const { since } = await leave(0);
	// Much more than sockets hold, in many transactions; gone again, so that the snapshot is small.
	await stage.sql(`DO $$ BEGIN FOR i IN 1..500 LOOP
		INSERT INTO item (id, name) VALUES (300000 + i, repeat(md5(i::text), 2000)); COMMIT; END LOOP; END $$`);
	await stage.sql('DELETE FROM item WHERE id > 300000');
	const served = async () => (await stage.notifier.metrics()).get('realtime_resumes_log_total');
	const before = await served();
	const witness = await stage.peer();
	const other = await witness.subscribe({ feature: 'shop', entity: 'other' });
	const peers = [await stage.peer(), await stage.peer()];
	const answers = peers.map((peer, i) => peer.subscribe({ ...item, since, snapshot: i === 1 }));
	for (const peer of peers)
		peer.pauseReading();
	await until('both are being replayed', async () => await served() === before + 2);
	await stage.sql('SELECT realtime.new_epoch()');
	await witness.until('the new epoch', () => other.gaps.length > 0);
	for (const peer of peers)
		peer.resumeReading();
	const views = await Promise.all(answers);
	const rows = Number(await stage.value('SELECT count(*) FROM item'));
	const tx = await insert();
	for (const [i, view] of views.entries())
	{
		await peers[i].settle(tx);
		assert.deepEqual(view.gaps.map((g) => g.reason), ['epoch']);
		assert.ok(view.events.length < 500, 'the gap came in the middle');
		assert.equal(view.rows.length, i === 1 ? rows : 0);
		assert.equal(view.story.at(-1), `created ${id}`);
		await peers[i].close();
	}
	await witness.close();
});

test('a replay of many transactions while others keep coming', async () =>
{
	const { since, missed } = await leave(0);
	await stage.sql(`DO $$ BEGIN FOR i IN 1..400 LOOP
		INSERT INTO item (id, name) VALUES (100000 + i, 'many'); COMMIT; END LOOP; END $$`);
	const writing = stage.database.connect('writer').then(async (client) =>
	{
		for (let i = 0; i < 200; i++)
			await client.query(`INSERT INTO item (id, name) VALUES (${200000 + i}, 'meanwhile')`);
		await client.end();
	});
	const peers = [];
	for (let i = 0; i < 5; i++)
	{
		const peer = await stage.peer();
		peers.push({ peer, view: await peer.subscribe({ ...item, since }) });
	}
	await writing;
	const tx = await insert();
	const expected = [...missed, ...Array.from({ length: 400 }, (_, i) => `created ${100001 + i}`),
		...Array.from({ length: 200 }, (_, i) => `created ${200000 + i}`), `created ${id}`];
	for (const { peer, view } of peers)
	{
		await peer.settle(tx);
		assert.deepEqual(view.story, expected);
		await peer.close();
	}
});

test('resumptions from the log and from memory at once, on one view', async () =>
{
	const old = await leave(0);
	const body = 'z'.repeat(20000);
	const first = id;
	for (let i = 0; i < 350; i++)		// several turns of a replay from the log, most of it not in memory
		await insert(body);
	const recent = await leave(3);
	const all = (from) => Array.from({ length: id - from }, (_, i) => `created ${from + i + 1}`);
	const resumed = [];
	await Promise.all(Array.from({ length: 16 }, async (_, i) =>
	{
		const isOld = i % 4 === 0;
		const peer = await stage.peer({ name: isOld ? 'from the log' : 'from memory' });
		for (let round = 0; round < (isOld ? 1 : 6); round++)
		{
			const view = await peer.subscribe({ ...item, since: isOld ? old.since : recent.since });
			const expected = isOld ? all(first) : recent.missed;
			await peer.until('what was missed', () => view.isLive && view.events.length >= expected.length);
			resumed.push([view.story, expected]);
			if (!isOld)
				await peer.ask({ op: 'unsubscribe', view: view.id });
		}
		await peer.close();
	}));
	for (const [story, expected] of resumed)
		assert.deepEqual(story, expected);
});
