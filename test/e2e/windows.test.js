// SPDX-License-Identifier: PostgreSQL
//
// windows.test.js
//	Windows: commits of a view that are held for a while and come as one, and what ends them. Windows of a minute do
//	not end by themselves within a test, or once at most: the notifier's clock is not the test's.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { follow } from './lib/peer.js';
import { covers } from './lib/position.js';
import { Stage } from './lib/stage.js';
import { until } from './lib/wait.js';

const stage = await Stage.open('windows', { flags: { heartbeat: 3600, 'max-queue': '8MB' } });
const item = { feature: 'shop', entity: 'item' };
const other = { feature: 'shop', entity: 'other' };
const minute = { window: 60000 };
const metric = (name) => stage.notifier.metric(name);
let id = 0;

/** Inserts an item in a transaction of its own. */
const insert = (name = 'x') => stage.write(`INSERT INTO item (id, name) VALUES (${++id}, '${name}')`);

/** Updates an item n times, one transaction each; returns the last one's id. */
async function burst(n, row = id)
{
	await stage.sql(`DO $$ BEGIN FOR i IN 1..${n - 1} LOOP
		UPDATE item SET amount = coalesce(amount, 0) + 1 WHERE id = ${row}; COMMIT; END LOOP; END $$`);
	return stage.write(`UPDATE item SET amount = coalesce(amount, 0) + 1 WHERE id = ${row}`);
}

/** Until the notifier has delivered a transaction to everybody who does not hold it. */
async function delivered(tx, notifier = stage.notifier)
{
	const witness = await stage.peer({ notifier });

	await witness.subscribe({ ...item, keep: false });
	await witness.settle(tx);
	await witness.close();
	await until('every worker has it', async () => await notifier.metric('source_lag_transactions') === 0, 10, 20);
}

/** Ends a peer's window after a transaction by a sync for another that changed nothing. */
async function ended(peer, tx)
{
	await delivered(tx);
	await peer.settle(await stage.write('SELECT 1'));
}

test('a burst of updates is a few frames with the last state', async (t) =>
{
	await insert();
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, ...minute, snapshot: true });
	const replica = follow(peer, view);
	const prompt = await stage.peer();
	const all = await prompt.subscribe(item);
	const [events, windows] = [await metric('coalesced_events_total'), await metric('windows_total')];
	const tx = await burst(1000);

	await prompt.settle(tx);
	assert.equal(all.eventCount, 1000);
	await ended(peer, tx);
	t.diagnostic(`1,000 updates: ${view.commits.length} frames of ${view.commits.reduce((n, c) => n + JSON.stringify(c.events).length, 0)} ` +
		`bytes of events in place of ${all.commits.length} of ${all.commits.reduce((n, c) => n + JSON.stringify(c.events).length, 0)}`);
	assert.ok(view.commits.length <= 3, `${view.commits.length} frames`);
	assert.ok(view.commits[0].merged);
	assert.equal(view.events.at(-1).data.amount, 1000);
	assert.equal(view.events[0].old.amount, null);
	assert.deepEqual(replica.differences(await stage.database.rows('SELECT * FROM item')), []);
	assert.equal(await metric('coalesced_events_total') - events, 1000 - view.eventCount);
	assert.ok(await metric('windows_total') > windows);
	await peer.close();
	await prompt.close();
});

test('a sync for a transaction that is held has all of it unmerged', async () =>
{
	await insert();
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, ...minute });

	await burst(5);
	const mine = await stage.write(`UPDATE item SET name = 'mine' WHERE id = ${id}`);
	await delivered(await burst(5));
	await peer.settle(mine);
	const own = view.commits.findIndex((c) => c.tx === mine);

	assert.equal(view.events.at(-1).data.amount, 10);
	if (own >= 0)					// else a minute ended just after it
	{
		assert.equal(view.commits[own].merged, false);
		assert.deepEqual(view.commits[own].events.map(({ data, old }) => [data.name, data.amount, old]), [['mine', 5, { name: 'x' }]]);
		assert.ok(view.commits.slice(own).every(({ merged }) => !merged));
		assert.deepEqual(view.commits.slice(own + 1).map(({ events: [{ data }] }) => data.amount), [6, 7, 8, 9, 10]);
	}
	// While a sync waits, nothing is held: its answer needs no window to end.
	const before = view.eventCount;
	const waiting = peer.ask({ op: 'sync', tx: String(BigInt(mine) + 1000000n) }, { seconds: 120 }).catch(() => {});
	await peer.settle(mine);
	const now = await insert();
	await peer.until('the commit, at once', () => view.eventCount > before);
	assert.equal(view.commits.at(-1).tx, now);
	assert.equal(view.commits.at(-1).merged, false);
	peer.terminate();
	await waiting;
});

test("one's own transactions and others' are not merged with each other", async () =>
{
	await insert();
	const claims = { sub: 'ada "a\\d\u00e4"' };
	const peer = await stage.peer({ claims });
	const view = await peer.subscribe({ ...item, ...minute });
	const own = (text) => stage.write(`SELECT set_config('request.jwt.claims', '${JSON.stringify(claims)}', true); ${text}`);

	await burst(3);
	await own(`UPDATE item SET name = 'mine' WHERE id = ${id}`);
	await own(`UPDATE item SET owner = 'me' WHERE id = ${id}`);
	await ended(peer, await burst(4));
	const mine = view.events.filter(({ meta }) => meta.userId === claims.sub);
	const theirs = view.events.filter(({ meta }) => meta.userId !== claims.sub);

	assert.equal(mine.at(-1).data.amount, 3);
	assert.deepEqual(Object.assign({}, ...mine.map(({ old }) => old)), { name: 'x', owner: null });
	assert.deepEqual(theirs.flatMap(({ old }) => Object.keys(old)).filter((name) => name !== 'amount'), []);
	assert.equal(theirs.at(-1).data.amount, 7);
	assert.ok(view.commits.length <= 4, `${view.commits.length} commits: what one does oneself is merged, and what others do`);
	await peer.close();
});

test('deletes come, each; other events come in their place', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, ...minute });
	const first = id + 1;

	for (let i = 0; i < 3; i++)
	{
		await insert();
		await burst(3);
		await stage.write(`DELETE FROM item WHERE id = ${id}`);
		await stage.write(`INSERT INTO item (id, name) VALUES (${id}, 'again')`);
		await burst(3);
		await stage.write(`DELETE FROM item WHERE id = ${id}`);
	}
	await insert();
	await burst(2);
	await stage.write(`UPDATE item SET status = 'approved' WHERE id = ${id}`);
	await burst(2);
	await stage.write("SELECT realtime.emit('shop', 'item', 'news', '{\"n\":1}')");
	await burst(2);
	await ended(peer, await stage.write("SELECT realtime.emit('shop', 'item', 'news', '{\"n\":1}')"));
	const story = [...[0, 1, 2].flatMap((i) => [`deleted ${first + i}`, `deleted ${first + i}`]),
		...['created', 'status_changed', 'approved', 'updated'].map((action) => `${action} ${id}`), 'news', `updated ${id}`, 'news'];

	// A minute may end meanwhile: what is merged then is told in two.
	const told = view.events.map(({ action, id: of }) => `${action}${of === null ? '' : ` ${of}`}`);
	assert.deepEqual(told.filter((one) => /deleted|status|approved|news/.test(one)), story.filter((one) => /deleted|status|approved|news/.test(one)));
	if (view.commits.length <= 2)
		assert.deepEqual(told, story);
	await peer.close();
});

test('two views of a session, one with a window: a position waits for both', async () =>
{
	await insert();
	const peer = await stage.peer();
	const held = await peer.subscribe({ ...item, ...minute, snapshot: true });
	const prompt = await peer.subscribe({ ...item, action: ['updated'], snapshot: true });
	const others = await peer.subscribe({ ...other, window: 50000 });
	const replicas = [held, prompt].map((view) => follow(peer, view));
	const before = peer.position?.text;
	let tx;

	await burst(20);
	await stage.write("INSERT INTO other VALUES (1, 'x')");
	await peer.until('the prompt one has all', () => prompt.eventCount === 20);
	if (held.eventCount === 0)
		assert.equal(peer.position?.text, before, 'no position before what is held has come');
	await ended(peer, tx = await burst(1));
	assert.equal(prompt.eventCount, 21);
	assert.ok(held.eventCount >= 1 && held.eventCount <= 4);
	assert.equal(others.eventCount, 1);
	assert.equal(held.events.at(-1).data.amount, 21);
	assert.equal(held.events.at(-1).meta.tx, tx);
	for (const replica of replicas)
		assert.deepEqual(replica.differences(await stage.database.rows('SELECT * FROM item')), []);
	assert.equal(await peer.refused({ op: 'subscribe', ...item, window: 10 }), 'already_subscribed');
	await peer.close();
});

test('who comes back within a window has all, once', async () =>
{
	await insert();
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, ...minute });
	const first = await burst(1);

	await peer.settle(first);
	const had = view.eventCount;
	const since = peer.token;
	await delivered(await burst(10));
	assert.ok(view.eventCount <= had + 1);
	peer.terminate();
	const back = await stage.peer();
	const again = await back.subscribe({ ...item, ...minute, since });

	await back.until('what was held', () => again.eventCount >= 10);
	await back.until('a position', () => back.position);
	assert.deepEqual(again.events.map(({ data }) => data.amount), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
	// It holds again.
	await ended(back, await burst(10));
	assert.ok(again.eventCount <= 10 + 3);
	assert.equal(again.events.at(-1).data.amount, 21);
	await back.close();
});

test('the notifier ends while something is held: another has it', async () =>
{
	const first = await stage.start();
	await insert();
	const peer = await stage.peer({ notifier: first });
	const view = await peer.subscribe({ ...item, ...minute });

	await peer.settle(await burst(1));
	const tx = await burst(10);
	await delivered(tx, first);
	first.kill('SIGTERM');
	assert.equal((await peer.gone()).code, 1012);
	assert.equal((await first.exited).status, 0);
	first.check();
	const amounts = view.events.map(({ data }) => data.amount);
	const back = await stage.peer();
	const again = await back.subscribe({ ...item, ...minute, since: peer.token });

	await back.settle(tx);
	// What was given on had its position with it.
	const all = [...amounts, ...again.events.map(({ data }) => data.amount)];
	assert.deepEqual(all, [...all].sort((a, b) => a - b));
	assert.equal(new Set(all).size, all.length);
	assert.equal(all.at(-1), 11);
	await back.close();
});

test('a window ends by itself, at most its length after the first commit', async () =>
{
	await insert();
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, window: 40 });

	assert.equal(view.answer.window, 40);
	for (let i = 0; i < 5; i++)
	{
		const tx = await burst(20);
		await peer.covered(tx);
		assert.equal(view.events.at(-1).data.amount, 20 * (i + 1));
	}
	await peer.close();
});

describe('what ends a window', () =>
{
	test('a heartbeat', async () =>
	{
		const notifier = await stage.start({ flags: { heartbeat: 1 } });
		const peer = await stage.peer({ notifier });
		const view = await peer.subscribe({ ...item, ...minute });
		const tx = await burst(3);

		await peer.covered(tx);
		assert.equal(view.events.at(-1).data.amount, Number(await stage.value(`SELECT amount FROM item WHERE id = ${id}`)));
		await peer.close();
		await notifier.stop();
	});

	test('max-queue, with rows of a megabyte', async () =>
	{
		const peer = await stage.peer();
		const view = await peer.subscribe({ ...item, ...minute });
		await insert();
		const before = await metric('queue_bytes');

		await stage.sql(`DO $$ BEGIN FOR i IN 1..20 LOOP
			UPDATE item SET name = repeat(chr(96 + i), 1000000) WHERE id = ${id}; COMMIT; END LOOP; END $$`);
		// Twenty megabytes do not fit into eight: some comes unasked.
		await peer.until('a commit', () => view.commits.some((c) => c.merged));
		assert.ok(view.events.every(({ data }) => new Set(data.name ?? 'x').size === 1));
		await peer.settle(await stage.write(`UPDATE item SET name = 'small' WHERE id = ${id}`));
		assert.equal(view.events.at(-1).data.name, 'small');
		assert.ok(view.eventCount < 20, `${view.eventCount} events`);
		await until('nothing waits', async () => await metric('queue_bytes') <= before, 10, 20);
		await peer.close();
	});

	test('a gap, in any view of the session', async () =>
	{
		await stage.sql(`CREATE TABLE many (id integer PRIMARY KEY, n integer); SELECT realtime.enable('many', 'shop', 'many', bulk_threshold => 10);
			GRANT SELECT ON many TO web_anon`);
		const peer = await stage.peer();
		const held = await peer.subscribe({ ...item, ...minute });
		const view = await peer.subscribe({ feature: 'shop', entity: 'many', filter: [['n', 'gt', 0]], window: 30000 });
		const order = [];

		peer.checker.onFrame = (frame) => order.push(frame.op);
		await insert();
		await burst(3);
		await stage.write('INSERT INTO many VALUES (1000, 1)');
		await stage.write('INSERT INTO many SELECT i, 1 FROM generate_series(1, 100) i');
		await peer.until('the gap', () => view.gaps.length > 0);
		assert.deepEqual(view.story.slice(0, 1), ['created 1000']);
		assert.ok(held.eventCount >= 1);
		assert.ok(order.lastIndexOf('gap') > order.indexOf('commit'));
		await peer.settle(await burst(1));
		assert.equal(held.events.at(-1).data.amount, 4);
		await peer.close();
	});

	test('a gap within a transaction of many parts, which stay together', async () =>
	{
		const peer = await stage.peer();
		const held = await peer.subscribe({ ...item, ...minute });
		const view = await peer.subscribe({ feature: 'shop', entity: 'many', filter: [['n', 'gt', 0]] });
		const [before, n] = [id, 150];

		await insert();
		const tx = await stage.write(`
			INSERT INTO item (id, name) SELECT ${id} + i, repeat('p', 5000) FROM generate_series(1, ${n}) i;
			INSERT INTO many SELECT i, 1 FROM generate_series(2001, 2100) i;
			INSERT INTO item (id, name) SELECT ${id + n} + i, repeat('q', 5000) FROM generate_series(1, ${n}) i`);
		id += 2 * n;
		await peer.until('the gap', () => view.gaps.length > 0);
		await ended(peer, tx);
		assert.deepEqual(held.ids.length, 0);
		assert.deepEqual(held.events.map((e) => Number(e.id)), Array.from({ length: 2 * n + 1 }, (_, i) => before + 1 + i));
		await peer.close();
	});

	test('rights that change', async () =>
	{
		await stage.sql(`CREATE TABLE secret (id integer PRIMARY KEY, n integer, s text); SELECT realtime.enable('secret', 'shop', 'secret');
			GRANT SELECT ON secret TO web_anon`);
		const peer = await stage.peer();
		const view = await peer.subscribe({ feature: 'shop', entity: 'secret', ...minute });

		await stage.write("INSERT INTO secret VALUES (1, 1, 'a')");
		await stage.write("UPDATE secret SET n = 2");
		await stage.sql('REVOKE SELECT ON secret FROM web_anon; GRANT SELECT (id, n) ON secret TO web_anon');
		await peer.until('the gap', () => view.gaps.length > 0);
		assert.deepEqual(view.gaps.map(({ reason, after }) => [reason, after]), [['access', view.eventCount]]);
		assert.deepEqual(view.events.at(-1).data, { id: 1, n: 2, s: 'a' });
		const tx = await stage.write("UPDATE secret SET n = 3");
		await peer.settle(tx);
		assert.deepEqual(view.events.at(-1).data, { id: 1, n: 3 });
		await stage.write("UPDATE secret SET n = 4");
		await stage.sql('REVOKE ALL ON secret FROM web_anon');
		const error = await peer.frame('the end of the view', (f) => f.op === 'error' && f.view === view.id);
		assert.equal(error.code, 'forbidden');
		await peer.close();
	});

	test('unsubscribe: what is held comes before its answer, and before a position that covers it', async () =>
	{
		const peer = await stage.peer();
		const view = await peer.subscribe({ ...item, ...minute });
		const rest = await peer.subscribe({ ...item, action: ['deleted'] });
		const tx = await insert();

		await delivered(tx);
		peer.checker.onFrame = (frame) =>
		{
			if (frame.op === 'position' && covers(peer.position, tx))
				assert.equal(view.eventCount, 1);
		};
		await peer.ask({ op: 'unsubscribe', view: view.id });
		assert.equal(view.eventCount, 1);
		await peer.settle(tx);
		assert.equal(rest.eventCount, 0);
		await peer.close();
	});
});

test('a reader that is too slow is merged further, and is right', async () =>
{
	const notifier = await stage.start({ flags: { 'max-queue': '256kB' } });
	const peer = await stage.peer({ notifier });
	await insert();
	const view = await peer.subscribe({ ...item, window: 20, action: ['created', 'updated', 'deleted'], snapshot: true });
	const replica = follow(peer, view);

	peer.pauseReading();
	await stage.sql(`DO $$ BEGIN FOR i IN 1..3000 LOOP
		UPDATE item SET name = repeat(chr(97 + i % 26), 10000), amount = i WHERE id = ${id}; COMMIT; END LOOP; END $$`);
	const tx = await burst(1);
	await delivered(tx, notifier);
	peer.resumeReading();
	await peer.settle(tx, 60);
	assert.ok(view.eventCount < 3000);
	if (replica.isComplete)
		assert.deepEqual(replica.differences(await stage.database.rows('SELECT * FROM item')), []);
	await peer.close();
	await notifier.stop();
});

test('filtered views: edges, and a list that is right at each position', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, filter: [['status', 'eq', 'in']], window: 30, snapshot: true });
	const replica = follow(peer, view);
	const first = id + 1;

	for (let i = 0; i < 4; i++)
		await insert();
	await stage.sql(`DO $$ BEGIN FOR i IN 1..400 LOOP
		UPDATE item SET status = CASE WHEN i % 7 < 4 THEN 'in' ELSE 'out' END, amount = i WHERE id = ${first} + i % 4; COMMIT; END LOOP; END $$`);
	await peer.settle(await burst(1));
	assert.deepEqual(replica.differences(await stage.database.rows("SELECT * FROM item WHERE status = 'in'")), []);
	await peer.close();
});

test('server-sent events and long poll', async () =>
{
	await insert();
	const events = await stage.events({ query: new URLSearchParams({ ...item, window: '30' }), subscribe: [{ ...item, window: 30 }] });
	const [view] = await events.subscribed(1);
	const poll = stage.poller({ subscribe: [{ ...item, window: 30, snapshot: true }] });

	await poll.poll();
	assert.equal(view.answer.window, 30);
	const tx = await burst(50);
	await events.covered(tx);
	assert.equal(view.events.at(-1).data.amount, 50);
	while (poll.events.at(-1)?.data.amount !== 50)
		await poll.poll(10);
	await events.close();
});

test('the configuration: by entity, unless the subscription says otherwise', async () =>
{
	const notifier = await stage.start({ flags: { 'coalesce-window': 'shop.item=1min,shop.other=250ms' } });
	const windows = [];

	for (const request of [item, other, { ...item, window: 0 }, { ...item, window: 7 }, { feature: 'shop' }, {}, { feature: 'shop', entity: 'hidden' }])
	{
		const peer = await stage.peer({ notifier });

		windows.push(await peer.subscribe(request).then((view) => view.answer.window, (error) => error.code));
		await peer.close();
	}
	assert.deepEqual(windows, [60000, 250, undefined, 7, undefined, undefined, 'forbidden']);
	await notifier.stop();
});

test('bad windows are refused', async () =>
{
	const peer = await stage.peer();

	for (const window of [-1, 60001, 1.5, '250', true, [250], {}])
		assert.equal(await peer.refused({ op: 'subscribe', ...item, window }), 'bad_request', JSON.stringify(window));
	await peer.close();
});
