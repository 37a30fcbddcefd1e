// SPDX-License-Identifier: PostgreSQL
//
// priority.test.js
//	A critical commit of another view overtakes a backlog; the order within a view never changes; what is
//	low arrives, too. The backlog is made by stopping the notifier while others write.

import test from 'node:test';
import assert from 'node:assert/strict';
import { Stage } from './lib/stage.js';

const SCHEMA = ['low', 'normal', 'high', 'critical'].map((priority) => `
	CREATE TABLE ${priority}_table (id serial PRIMARY KEY, n integer, body text);
	SELECT realtime.enable('${priority}_table', 'queue', '${priority}', priority => '${priority}');
	GRANT SELECT ON ${priority}_table TO web_anon;`).join('\n');
const stage = await Stage.open('priority', { schema: SCHEMA });
const entity = (name) => ({ feature: 'queue', entity: name });

/** Records which view each commit came to, in order. */
function record(peer)
{
	const order = [];
	peer.checker.onFrame = (frame, view) =>
	{
		if (frame.op === 'commit')
			order.push({ entity: view.request.entity, tx: frame.tx, n: frame.events[0].data?.n });
		else if (frame.op === 'position')
			order.push({ entity: 'position' });
	};
	return order;
}

/** Runs statements one by one while the notifier is stopped: it finds all that they wrote at once. */
async function backlog(...statements)
{
	stage.notifier.kill('SIGSTOP');
	try
	{
		for (const statement of statements)
			await stage.sql(statement);
	}
	finally
	{
		stage.notifier.kill('SIGCONT');
	}
}

const many = (name, n, more = '') => `DO $$ BEGIN FOR i IN 1..${n} LOOP
	INSERT INTO ${name}_table (n, body) VALUES (i, repeat('x', 500)); COMMIT; ${more} END LOOP; END $$;`;

test('critical before the backlog of other views', async (t) =>
{
	const peer = await stage.peer();
	const views = {};
	for (const name of ['low', 'normal', 'high', 'critical'])
		views[name] = await peer.subscribe(entity(name));
	const order = record(peer);
	await backlog(many('low', 600), many('normal', 300), many('high', 100),
		'INSERT INTO critical_table (n) VALUES (1)');
	await peer.settle(await stage.write("INSERT INTO low_table (n) VALUES (1000)"));

	const commits = order.filter((o) => o.entity !== 'position');
	const at = (name, n) => commits.findIndex((o) => o.entity === name && o.n === n);
	t.diagnostic(`of ${commits.length} commits the critical one came as number ${at('critical', 1)}, ` +
		`the last high one ${at('high', 100)}, the last normal one ${at('normal', 300)}`);
	assert.ok(at('critical', 1) < at('low', 600), 'critical overtakes low');
	assert.ok(at('critical', 1) < at('normal', 300), 'critical overtakes normal');
	assert.ok(at('high', 100) < at('low', 600), 'high overtakes low');
	assert.ok(at('high', 100) < at('normal', 300), 'high overtakes normal');
	for (const [name, n] of [['low', 600], ['normal', 300], ['high', 100]])
		assert.deepEqual(views[name].events.slice(0, n).map((e) => e.data.n),
			Array.from({ length: n }, (_, i) => i + 1), `order within ${name}`);
	await peer.close();
});

test('never within a view: a wildcard gets commits as they were made', async () =>
{
	const peer = await stage.peer();
	const wild = await peer.subscribe({ feature: 'queue' });
	await backlog(many('low', 200, `INSERT INTO critical_table (n) VALUES (i); COMMIT;
		INSERT INTO normal_table (n) VALUES (i); COMMIT;`));
	await peer.settle(await stage.write("INSERT INTO low_table (n) VALUES (1000)"));
	assert.deepEqual(wild.events.slice(0, 600).map((e) => `${e.entity} ${e.data.n}`),
		Array.from({ length: 600 }, (_, i) =>
			`${['low', 'critical', 'normal'][i % 3]} ${Math.floor(i / 3) + 1}`));
	await peer.close();
});

test('a transaction that touches several views stays together', async () =>
{
	const peer = await stage.peer();
	for (const name of ['low', 'critical'])
		await peer.subscribe(entity(name));
	const order = record(peer);
	await backlog(many('low', 100, `INSERT INTO low_table (n) VALUES (-i); INSERT INTO critical_table (n)
		VALUES (-i); COMMIT;`));
	await peer.settle(await stage.write("INSERT INTO low_table (n) VALUES (1000)"));
	// The checker has seen that frames of a transaction are adjacent; and low's own order is kept.
	const low = order.filter((o) => o.entity === 'low').map((o) => o.n);
	assert.deepEqual(low.slice(0, 200), Array.from({ length: 200 }, (_, i) =>
		(i % 2 === 0 ? i / 2 + 1 : -(i + 1) / 2)));
	await peer.close();
});

test('low is not starved by a stream of critical commits', async (t) =>
{
	const peer = await stage.peer();
	const low = await peer.subscribe(entity('low'));
	await peer.subscribe({ ...entity('critical'), keep: false });
	let isOver = false;
	const clients = await Promise.all([1, 2, 3].map((i) => stage.database.connect(`writer ${i}`)));
	const writing = Promise.all(clients.map(async (client) =>
	{
		while (!isOver)
			await client.query("INSERT INTO critical_table (n, body) SELECT 1, repeat('x', 200)");
		await client.end();
	}));
	const times = [];
	for (let i = 0; i < 20; i++)
	{
		const start = performance.now();
		const tx = await stage.write(`INSERT INTO low_table (n) VALUES (${i})`);
		await peer.until('the low event', () => low.events.some((e) => e.meta.tx === tx), { seconds: 10 });
		times.push(performance.now() - start);
	}
	isOver = true;
	await writing;
	times.sort((a, b) => a - b);
	t.diagnostic(`a low event beside three critical writers: median ${times[10].toFixed()} ms, ` +
		`longest ${times.at(-1).toFixed()} ms`);
	assert.ok(times.at(-1) < 5000);
	await peer.close();
});

test('priority given to one event makes its commit urgent', async () =>
{
	await stage.sql(`SELECT realtime.register_topic('queue', 'alarm');
		SELECT realtime.grant_subscribe('queue', 'alarm', 'web_anon')`);
	const peer = await stage.peer();
	await peer.subscribe(entity('normal'));
	await peer.subscribe(entity('alarm'));
	const order = record(peer);
	await backlog(many('normal', 400),
		`SELECT realtime.emit('queue', 'alarm', 'raised', '{"n":1}', priority => 'critical')`);
	await peer.settle(await stage.write("INSERT INTO low_table (n) VALUES (1000)"));
	const commits = order.filter((o) => o.entity !== 'position');
	assert.ok(commits.findIndex((o) => o.entity === 'alarm') < commits.length - 1);
	await peer.close();
});

test('a read of many megabytes: who got something at its beginning has a position at its end', async () =>
{
	const peers = [await stage.peer(), await stage.peer()];
	const low = await peers[0].subscribe(entity('low'));
	await peers[1].subscribe({ ...entity('normal'), keep: false });
	await backlog('INSERT INTO low_table (n) VALUES (-7)', `DO $$ BEGIN FOR i IN 1..40 LOOP
		INSERT INTO normal_table (n, body) SELECT i, repeat('x', 1000) FROM generate_series(1, 700); COMMIT;
		END LOOP; END $$`);
	await peers[0].until('the event', () => low.events.some((e) => e.data.n === -7));
	assert.equal((await peers[0].ask({ op: 'ping' })).op, 'pong');
	assert.ok((await peers[0].subscribe(entity('high'))).id);
	await peers[0].covered(low.events.at(-1).meta.tx, 10);		// the heartbeat is 25 s
	for (const peer of peers)
		await peer.close();
});
