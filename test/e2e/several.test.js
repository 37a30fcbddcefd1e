// SPDX-License-Identifier: PostgreSQL
//
// several.test.js
//	Several notifiers on one database, several workers in one: each client gets everything, wherever.

import test from 'node:test';
import assert from 'node:assert/strict';
import { follow } from './lib/peer.js';
import { Stage } from './lib/stage.js';

const stage = await Stage.open('several', { flags: { workers: 1 } });
await stage.start({ flags: { workers: 3 } });
await stage.start({ flags: { workers: 2 } });
const item = { feature: 'shop', entity: 'item', snapshot: true };

test('three notifiers, eighteen clients, four writers: all alike', async () =>
{
	const followers = [];
	for (let i = 0; i < 18; i++)
	{
		const peer = await stage.peer({ notifier: stage.notifiers[i % 3] });
		const view = await peer.subscribe(item);
		followers.push({ peer, view, replica: follow(peer, view) });
	}
	await Promise.all([0, 1, 2, 3].map(async (w) =>
	{
		const client = await stage.database.connect(`writer ${w}`);
		for (let i = 0; i < 100; i++)
		{
			await client.query('INSERT INTO item (id, name) VALUES ($1, $2)', [w * 1000 + i, `w${w}`]);
			await client.query('UPDATE item SET amount = $1 WHERE id = $2', [i, w * 1000 + (i >> 1)]);
			if (i % 10 === 9)
				await client.query('DELETE FROM item WHERE id = $1', [w * 1000 + (i >> 2)]);
		}
		await client.end();
	}));
	const tx = await stage.write("INSERT INTO item (id) VALUES (99999)");
	const rows = await stage.database.rows('SELECT * FROM item');
	for (const { peer, replica } of followers)
	{
		await peer.settle(tx);
		assert.deepEqual(replica.differences(rows).slice(0, 5), []);
		await peer.close();
	}
});

test('clients move from one to the next', async () =>
{
	let peer = await stage.peer({ notifier: stage.notifiers[0] });
	await peer.subscribe({ ...item, snapshot: undefined });
	await peer.covered(await stage.write('UPDATE item SET amount = 1 WHERE id = 99999'));
	for (let i = 1; i < 7; i++)
	{
		const since = peer.token;
		await peer.close();
		await stage.write(`UPDATE item SET amount = ${i + 1} WHERE id = 99999`);
		peer = await stage.peer({ notifier: stage.notifiers[i % 3] });
		const view = await peer.subscribe({ ...item, snapshot: undefined, since });
		await peer.until('the update', () => view.events.length > 0);
		await peer.until('a position', () => peer.position);
		assert.deepEqual(view.events.map((e) => e.data.amount), [i + 1]);
	}
	await peer.close();
});

test('all of them rest armed, and a commit wakes each', async () =>
{
	await stage.database.untilArmed(3);
	const peers = [];
	for (const notifier of stage.notifiers)
	{
		const peer = await stage.peer({ notifier });
		peers.push({ peer, view: await peer.subscribe({ ...item, snapshot: undefined }) });
	}
	await stage.database.untilArmed(3);
	const start = performance.now();
	await stage.write('UPDATE item SET amount = 100 WHERE id = 99999');
	await Promise.all(peers.map(({ peer, view }) => peer.until('the update', () => view.events.length > 0)));
	assert.ok(performance.now() - start < 900, `by the bell, not the fallback poll: ${performance.now() - start} ms`);
	for (const { peer } of peers)
		await peer.close();
});
