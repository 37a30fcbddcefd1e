// SPDX-License-Identifier: PostgreSQL
//
// client.property.test.ts
//	Listeners that come and go on shared views, over random commits, reconnects, transports, gaps and bad frames: each
//	hears each transaction once and in order from where it began, and rows are the database's.
//
// PROPERTY_SEED repeats a run (printed), PROPERTY_RUNS (150) is how many there are.

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { covers, parsePosition, RealtimeCore, type Position, type Sink } from '../src/index.js';
import { FakeServer, type Row, type Transaction } from './fake-server.js';
import { turn } from './support.js';

const seed = Number(process.env.PROPERTY_SEED ?? Date.now() % 2 ** 31);
const numRuns = Number(process.env.PROPERTY_RUNS ?? 150);

type Step = [kind: string, a: number, b: number];

/** A listener, and what it must have heard. */
class Ear
{
	readonly heard: string[] = [];
	readonly rows = new Map<string, Row>();
	from: Position | undefined;
	gaps = 0;
	loads = 0;
	readonly close: () => void;

	constructor(client: RealtimeCore, readonly isFiltered: boolean, readonly hasRows: boolean, since: string | undefined)
	{
		const sink: Sink = {
			start: (position) => { this.from ??= parsePosition(position); },
			load: (rows, position) =>
			{
				this.rows.clear();
				rows.forEach(({ id, data }) => this.rows.set(String(id), data));
				this.loads++;
				// What comes from here on is what the load has not; both may be of one batch.
				this.heard.length = 0;
				this.from = undefined;
				void position;
			},
			events: (events) =>
			{
				for (const { action, id, data, meta } of events)
				{
					this.heard.push(`${meta.tx}:${meta.seq}`);
					if (action === 'deleted' || action === 'left')
						this.rows.delete(String(id));
					else
						this.rows.set(String(id), data);
				}
			},
			gap: () =>
			{
				this.gaps++;
			}
		};

		this.from = since === undefined ? undefined : parsePosition(since);
		this.close = client.open({
			feature: 'orders', entity: 'order', ...(isFiltered && { filter: [['v', 'eq', 1]] }), ...(hasRows && { snapshot: true }),
			...(since !== undefined && { since })
		}, sink);
	}
}

test('each listener hears everything once, from where it began', async (t) =>
{
	let checked = 0;

	t.diagnostic(`seed ${seed}, ${numRuns} runs`);
	const kind = fc.oneof(...Object.entries({
		open: 8, close: 3, begin: 12, end: 12, drop: 3, wait: 6, turn: 12, block: 2, free: 3, gap: 1, forget: 1, bad: 1, hold: 2, release: 3, latency: 4
	}).map(([name, weight]) => ({ weight, arbitrary: fc.constant(name) })));
	const steps = fc.array(fc.tuple(kind, fc.nat(5), fc.nat(7)), { minLength: 10, maxLength: 80, size: 'max' }) as fc.Arbitrary<Step[]>;

	await fc.assert(fc.asyncProperty(steps, async (all) =>
	{
		const server = new FakeServer();
		const { database } = server;
		const client = new RealtimeCore('http://fake.example', {
			minDelay: 0, maxDelay: 2, stableAfter: 1, upgradeInterval: 5, WebSocket: server.WebSocket, fetch: server.fetch
		});
		const open: Transaction[] = [];
		const ears: Ear[] = [];
		const positions = [database.position()];
		const { error } = console;

		console.error = () => {};		// loads beside that fail are reported
		try
		{
			for (const [name, a, b] of all)
			{
				switch (name)
				{
					case 'open':
						ears.push(new Ear(client, b % 4 === 3, b % 2 === 0, b > 5 ? positions[a % positions.length] : undefined));
						break;
					case 'close':
						ears.splice(a, 1)[0]?.close();
						break;
					case 'begin':
					{
						const id = String(a);
						const transaction = database.begin();

						open.push(b < 6 ? transaction.update(id, { id: a, v: b % 2, n: Math.random() }) : transaction.remove(id));
						break;
					}
					case 'end':
						open.splice(a % Math.max(1, open.length), 1)[0]?.[b < 7 ? 'commit' : 'rollback']();
						positions.push(database.position());
						break;
					case 'drop':
						server.drop(b < 2 ? 1012 : 1006);
						break;
					case 'wait':
						await new Promise((resolve) => setTimeout(resolve, 2));
						break;
					case 'turn':
						await turn(b);
						break;
					case 'block':
						server.blocked.add(['websocket', 'events', 'poll'][a % 3]!);
						break;
					case 'free':
						server.blocked.clear();
						break;
					case 'gap':
						for (const session of server.sessions.keys())
						{
							for (const view of session.views.keys())
								session.send({ op: 'gap', view, reason: 'slow', position: database.position() });
						}
						break;
					case 'forget':
						database.forget();
						break;
					case 'bad':
						server.inject({ op: 'commit', view: '1' });
						break;
					case 'latency':
						server.latency = 4 * b;
						break;
					case 'hold':
						server.isManual = true;
						break;
					case 'release':
						server.isManual = false;
						server.advance();
						server.deliver();
						break;
				}
			}
			server.isManual = false;
			server.deliver();
			server.blocked.clear();
			open.splice(0).forEach((transaction) => transaction.commit());
			const until = async (what: string, isDone: (ear: Ear) => boolean) =>
			{
				const end = performance.now() + 4000;

				while (!ears.every(isDone))
				{
					assert.ok(performance.now() < end, `somebody never ${what}: ${JSON.stringify(ears.map((ear) =>
						[ear.hasRows, ear.isFiltered, String(ear.from?.xmax), ear.heard, ear.gaps, ear.loads]))}`);
					server.changed();
					await new Promise((resolve) => setTimeout(resolve, 1));
				}
			};

			await until('begins', (ear) => ear.from !== undefined || ear.loads > 0);
			const last = `${database.insert({ id: 9, v: 1 }).id}:0`;

			await until('hears of the end', (ear) => ear.heard.includes(last) || (ear.hasRows && ear.rows.has('9')));
			await turn(5);
			for (const ear of ears)
			{
				assert.equal(new Set(ear.heard).size, ear.heard.length, 'nothing twice');
				const order = database.log.flatMap(({ tx, changes }) => changes.map((_change, seq) => `${tx}:${seq}`));

				assert.deepEqual(ear.heard, [...ear.heard].sort((x, y) => order.indexOf(x) - order.indexOf(y)), 'in order');
				if (ear.hasRows)
				{
					const rows = [...database.rows].filter(([, row]) => !ear.isFiltered || row.v === 1).sort();

					// Only resuming an old position without a load leaves it to the listener what it had then.
					if (ear.loads > 0)
					{
						assert.deepEqual([...ear.rows].sort(), rows);
						checked++;
					}
				}
				else if (ear.gaps === 0 && !ear.isFiltered)
				{
					assert.ok(ear.from, 'it was told where it begins');
					const expected = database.log.filter(({ tx }) => !covers(ear.from, tx))
						.flatMap(({ tx, changes }) => changes.map((_change, seq) => `${tx}:${seq}`));

					assert.deepEqual(ear.heard, expected, 'all of it');
					checked++;
				}
			}
		}
		finally
		{
			console.error = error;
			client.close();
			server.drop();
		}
	}), { seed, numRuns, includeErrorInReport: true, ...(process.env.PROPERTY_EXAMPLE && { examples: [[JSON.parse(process.env.PROPERTY_EXAMPLE)]], numRuns: 1 }) } as fc.Parameters<[Step[]]>);
	t.diagnostic(`${checked} listeners compared`);
	assert.ok(checked > numRuns / 2);
});
