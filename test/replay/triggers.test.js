// SPDX-License-Identifier: PostgreSQL
//
// triggers.test.js
//	Nested and recursive AFTER triggers that write the same and later rows, cascades, deferred
//	triggers, key changes, savepoints, out-of-line values: the events, applied in their order,
//	rebuild the tables, and each one fits the state that it was made from.

import test from 'node:test';
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Reader } from './reader.js';
import { createDatabase, enable, endAll, pgbench, seconds } from './workload.js';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

test('nested triggers: events in the order of the changes', { timeout: (seconds + 300) * 1000 },
	async (t) =>
{
	t.after(endAll);
	const setup = await createDatabase('replay_triggers');
	await setup.query(await readFile(here('triggers.sql'), 'utf8'));
	const tables = await enable(setup, ['grp', 'item', 'part']);
	const reader = new Reader('triggers', tables);
	let isOver = false;

	await reader.connect();
	await reader.copy();
	const following = reader.follow(() => isOver, 10);
	following.catch(() => {});		// reported below
	const output = await pgbench('-n', '-c', '8', '-j', '2', '-T', String(seconds),
		'-f', here('triggers.pgbench'));
	isOver = true;
	await following;

	const { actions, events, transactions } = reader.replica;
	t.diagnostic(`pgbench: ${/actually processed: (\d+)/.exec(output)[1]}; ` +
		`${transactions} transactions, ${events} events, ${JSON.stringify(actions)}`);
	assert.deepEqual((await reader.differences()).slice(0, 5), []);
	assert.equal(await reader.positionError(), null);
	assert.ok(actions.created > 0 && actions.updated > actions.created && actions.deleted > 0);
	await reader.disconnect();
	await setup.end();
});
