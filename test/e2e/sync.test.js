// SPDX-License-Identifier: PostgreSQL
//
// sync.test.js
//	sync answers once the stream covers a transaction, however it ended; position frames close batches and
//	come at least every heartbeat.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { covers, parsePosition } from './lib/position.js';
import { Stage } from './lib/stage.js';

const stage = await Stage.open('sync', { flags: { heartbeat: 2 } });
const item = { feature: 'shop', entity: 'item' };
const sync = (peer, tx) => peer.ask({ op: 'sync', tx: String(tx) });
let id = 0;
const insert = () => stage.write(`INSERT INTO item (id) VALUES (${++id})`);

describe('sync', () =>
{
	test('of a committed transaction: its commit comes first', async () =>
	{
		const peer = await stage.peer();
		const view = await peer.subscribe(item);
		const order = [];
		peer.checker.onFrame = (frame) => order.push(frame.op);
		const tx = await insert();
		const answer = await sync(peer, tx);
		assert.equal(answer.tx, tx);
		assert.ok(covers(parsePosition(answer.position), tx));
		assert.deepEqual(view.story, [`created ${id}`]);
		assert.ok(order.indexOf('commit') < order.indexOf('synced'));
		await peer.close();
	});

	test('without any subscription', async () =>
	{
		const peer = await stage.peer();
		assert.ok(covers(parsePosition((await sync(peer, await insert())).position), 5));
		await peer.close();
	});

	test('of a transaction long ago, at once', async () =>
	{
		const peer = await stage.peer();
		assert.equal((await sync(peer, 3)).op, 'synced');
		await peer.close();
	});

	test('of a transaction that wrote nothing that is captured', async () =>
	{
		const peer = await stage.peer();
		await stage.sql('CREATE TABLE IF NOT EXISTS plain (id integer)');
		await sync(peer, await stage.write('INSERT INTO plain VALUES (1)'));
		await peer.close();
	});

	for (const end of ['COMMIT', 'ROLLBACK'])
		test(`of a transaction that runs: only after its ${end}`, async () =>
		{
			const peer = await stage.peer();
			const view = await peer.subscribe(item);
			const client = await stage.database.connect('runs');
			await client.query('BEGIN');
			await client.query(`INSERT INTO item (id) VALUES (${++id})`);
			const own = id;
			const { rows } = await client.query('SELECT pg_current_xact_id() AS tx');
			let answered = false;
			const answer = sync(peer, rows[0].tx).then((a) => { answered = true; return a; });
			await peer.settle(await insert());		// the stream goes on meanwhile
			assert.equal(answered, false);
			await client.query(end);
			await client.end();
			assert.ok(covers(parsePosition((await answer).position), rows[0].tx));
			assert.equal(view.story.includes(`created ${own}`), end === 'COMMIT');
			await peer.close();
		});

	test('of a prepared transaction: after COMMIT PREPARED', async () =>
	{
		const peer = await stage.peer();
		const view = await peer.subscribe(item);
		const client = await stage.database.connect('prepares');
		await client.query('BEGIN');
		await client.query(`INSERT INTO item (id) VALUES (${++id})`);
		const own = id;
		const { rows } = await client.query('SELECT pg_current_xact_id() AS tx');
		await client.query("PREPARE TRANSACTION 'sync'");
		let answered = false;
		const answer = sync(peer, rows[0].tx).then(() => { answered = true; });
		await peer.settle(await insert());
		assert.equal(answered, false);
		await client.query("COMMIT PREPARED 'sync'");
		await client.end();
		await answer;
		assert.ok(view.story.includes(`created ${own}`));
		await peer.close();
	});

	test('of a future transaction: once it has ended', async () =>
	{
		const peer = await stage.peer();
		const next = BigInt(await insert()) + 1n;
		let answered = false;
		const answer = sync(peer, next).then(() => { answered = true; });
		await peer.ask({ op: 'ping' });
		assert.equal(answered, false);
		const tx = await insert();
		assert.ok(BigInt(tx) >= next);
		await answer;
		await peer.close();
	});

	test('many at once, answered each', async () =>
	{
		const peer = await stage.peer();
		const txs = [];
		for (let i = 0; i < 30; i++)
			txs.push(await insert());
		const answers = await Promise.all(txs.map((tx) => sync(peer, tx)));
		assert.deepEqual(answers.map((a) => a.tx), txs);
		await peer.close();
	});
});

describe('position', () =>
{
	test('closes each batch', async () =>
	{
		const peer = await stage.peer();
		await peer.subscribe(item);
		const ops = [];
		peer.checker.onFrame = (frame) => ops.push(frame.op);
		for (let i = 0; i < 5; i++)
			await peer.covered(await insert());
		assert.equal(ops.filter((op) => op === 'commit').length, 5);
		assert.equal(ops.at(-1), 'position');
		for (let i = 0; i < ops.length; i++)
			if (ops[i] === 'commit')
				assert.ok(ops.indexOf('position', i) > 0);
		await peer.close();
	});

	test('comes at least every heartbeat, and moves on without events for the session', async () =>
	{
		const peer = await stage.peer();
		await peer.subscribe({ ...item, filter: [['id', 'lt', 0]] });
		assert.equal(peer.welcome.heartbeat, 2);
		const tx = await insert();
		const start = performance.now();
		await peer.covered(tx, 6);
		await peer.until('another position', () => peer.checker.batch >= 3, { seconds: 8 });
		assert.ok(performance.now() - start < 8000);
		await peer.close();
	});

	test('pings come, too, and a peer that does not answer them is cut', async () =>
	{
		const peer = await stage.peer({ autoPong: false });
		await peer.until('pings', () => peer.pings >= 1, { seconds: 8 });
		await peer.gone(20);
		const healthy = await stage.peer();
		await healthy.until('pings', () => healthy.pings >= 3, { seconds: 15 });
		assert.equal(healthy.closed, undefined);
		await healthy.close();
	});

	test('the first position of a subscription covers nothing that comes after', async () =>
	{
		const peer = await stage.peer();
		const tx = await insert();
		const view = await peer.subscribe(item);
		// Whether tx is before or after the position: exactly one of both.
		await peer.settle(await insert());
		const came = view.events.some((e) => e.meta.tx === tx);
		assert.equal(covers(parsePosition(view.answer.position), tx), !came);
		await peer.close();
	});
});
