// SPDX-License-Identifier: PostgreSQL
//
// tpcb.test.js
//	Unmodified pgbench with 16 clients on enabled tables, while other sessions hold transactions
//	open, roll back and prepare: each reader's copies equal the tables at the end, row by row.
//
// REPLAY_SECONDS (15) is how long pgbench runs, REPLAY_SCALE (1) its scale.

import test from 'node:test';
import assert from 'node:assert/strict';
import { Reader } from './reader.js';
import { createDatabase, createTpcb, endAll, hold, pause, pgbench, random, seconds } from './workload.js';

const scale = Number(process.env.REPLAY_SCALE ?? 1);
const clients = 16;

test('TPC-B: readers rebuild every table exactly', { timeout: (seconds + 300) * 1000 }, async (t) =>
{
	t.after(endAll);
	const setup = await createDatabase('replay_tpcb');
	const tables = await createTpcb(setup, scale);
	let isOver = false;
	const stop = () => isOver;

	// From before the first change (pgbench's own TRUNCATE included), polling eagerly.
	const early = new Reader('early', tables);
	await early.connect();
	await early.copy();

	// Loses its connection now and then and goes on from its position; polls rarely.
	const returning = new Reader('returning', tables, { isSql: true });
	await returning.connect();
	await returning.copy();

	// Joins while the load is on.
	const late = new Reader('late', tables);

	const followReturning = async () =>
	{
		while (!isOver)
		{
			await returning.poll();
			if (random(0, 2) === 0)
			{
				await returning.disconnect();
				await pause(random(10, 800));
				await returning.connect();
			}
			await pause(random(10, 300));
		}
		await returning.poll();
	};
	const followLate = async () =>
	{
		await pause(seconds * 1000 / 3);
		await late.connect();
		await late.copy();
		await late.follow(stop, 20);
	};
	const following = Promise.all([early.follow(stop, 8), followReturning(), followLate()]);
	following.catch(() => {});		// reported below

	// Holders begin and end within pgbench's time; its vacuum and TRUNCATE come first.
	let holdersStop = false;
	const work = pgbench('-c', String(clients), '-j', '2', '-T', String(seconds));
	work.catch(() => {});			// reported below
	setTimeout(() => { holdersStop = true; }, seconds * 1000);
	await pause(500);
	const holders = [1, 2, 3, 4].map((n) => hold(`h${n}`, scale * 100000, () => holdersStop));
	const loads = Promise.all([work, ...holders]);
	let failure;
	await Promise.race([loads, following]).catch((error) => { failure = error; });
	holdersStop = true;
	const results = await loads.catch((error) => { failure ??= error; });
	isOver = true;
	await following.catch((error) => { failure ??= error; });
	if (failure)
		throw failure;

	const [output, ...ended] = results;
	const processed = Number(/actually processed: (\d+)/.exec(output)[1]);
	t.diagnostic(`pgbench: ${processed} transactions; holders: ${JSON.stringify(ended)}`);
	for (const reader of [early, returning, late])
	{
		const { replica } = reader;
		t.diagnostic(`${reader.name}: ${replica.transactions} transactions, ${replica.events} events, ` +
			`${reader.polls} polls, ${JSON.stringify(replica.actions)}`);
		assert.deepEqual((await reader.differences()).slice(0, 5), [], reader.name);
		assert.equal(await reader.positionError(), null, reader.name);
	}
	// The load was real: pgbench's transactions all arrived, and every way to end was taken.
	assert.ok(processed > 100);
	assert.ok(early.replica.transactions >= processed, 'a reader from the start saw all of pgbench');
	assert.ok(late.replica.transactions > 0 && late.replica.transactions < processed);
	assert.equal(early.replica.actions.truncated, 1, "pgbench's TRUNCATE");
	for (const reader of [early, returning, late])
		await reader.disconnect();
	await setup.end();
});
