// SPDX-License-Identifier: PostgreSQL
//
// live.test.ts
//	The client against a real notifier and PostgreSQL: started by test/layer/client with the library of test/e2e.
//
// E2E_SEED repeats the random part (printed), E2E_SECONDS (8) is how long it goes on.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { EntityStore, longPoll, RealtimeClient, serverSentEvents, webSocket, type ClientOptions, type Row,
	type Transport } from '../../src/index.js';

const library = new URL('../../../../test/e2e/lib/', import.meta.url);
const { Stage } = await import(new URL('stage.js', library).href);
const { Chance, pause, until } = await import(new URL('wait.js', library).href);

const stage = await Stage.open('client');
let lastId = 0;

/** A client that ends with the test. */
function connect(t: TestContext, options: ClientOptions = {}): RealtimeClient
{
	const client = new RealtimeClient(stage.notifier.url, {
		WebSocket: WebSocket as unknown as typeof globalThis.WebSocket, minDelay: 50, maxDelay: 500, ...options
	});

	t.after(() => client.close());
	return client;
}

/** What an application's API would do: one transaction of plain SQL, and its id with the reply. */
const api = {
	async create(row: Row): Promise<unknown>
	{
		const { id, name = null, status = null, amount = null } = row;
		const tx = await stage.write('INSERT INTO item (id, name, status, amount) VALUES ($1, $2, $3, $4)', [id, name, status, amount]);

		return { success: true, meta: { tx } };
	},
	async update(id: unknown, patch: Row): Promise<unknown>
	{
		const names = Object.keys(patch);
		const tx = await stage.write(`UPDATE item SET ${names.map((name, i) => `${name} = $${i + 2}`).join(', ')} WHERE id = $1`,
			[id, ...Object.values(patch)]);

		return { success: true, meta: { tx } };
	},
	async remove(id: unknown): Promise<unknown>
	{
		return { success: true, meta: { tx: await stage.write('DELETE FROM item WHERE id = $1', [id]) } };
	}
};

/** Whose a store is. */
const clients = new WeakMap<EntityStore, RealtimeClient>();

/** A live store of the items, stopped with the test. */
async function open(t: TestContext, client: RealtimeClient, config: object = {}): Promise<EntityStore>
{
	const store = client.entity<Row>('shop', 'item', { api, order: ['id'], ...config });

	clients.set(store, client);
	store.start();
	t.after(() => store.stop());
	await store.load();
	return store;
}

/** The table as the store should show it. */
async function table(where = 'true'): Promise<Row[]>
{
	const rows = await stage.sql(`SELECT realtime.row_json(item)::text AS row FROM item WHERE ${where} ORDER BY id`);

	return rows.map(({ row }: { row: string }) => JSON.parse(row));
}

const shown = (store: EntityStore): Row[] => store.items.map(({ data }) => data as Row);

/** Waits until a store shows the table, and asserts it. */
async function equals(store: EntityStore, where?: string): Promise<void>
{
	const tx = await stage.write("INSERT INTO other (id) VALUES ((SELECT coalesce(max(id), 0) + 1 FROM other))");

	await clients.get(store)!.sync(tx);
	await store.settled();
	const expected = await table(where);

	await until('the store shows the table', () => JSON.stringify(shown(store)) === JSON.stringify(expected), 10)
		.catch(() => assert.deepEqual(shown(store), expected));
}

const only: Record<string, Transport[]> = {
	websocket: [webSocket], events: [serverSentEvents], poll: [longPoll]
};

for (const [name, transports] of Object.entries(only))
{
	test(`${name}: snapshot, changes, optimistic writes, one record, pages`, async (t) =>
	{
		const client = connect(t, { transports });
		const [a, b] = [++lastId, ++lastId];

		await api.create({ id: a, name: 'first', status: 'new', amount: 12.5 });
		const store = await open(t, client);

		assert.equal(client.status.value.transport, name);
		await equals(store);
		const seen: unknown[] = [];

		store.subscribe(() => seen.push(store.get(String(a))?.data.status));
		const saving = store.update(String(a), { status: 'approved' });

		assert.equal(store.get(String(a))!.data.status, 'approved');
		assert.equal(store.get(String(a))!.isLoading, true);
		const actions: string[] = [];

		client.subscribeToEvent('shop', 'item', 'approved', ({ id }) => actions.push(`approved ${id}`));
		await saving;
		await store.settled();
		assert.deepEqual([...new Set(seen)], ['approved']);
		assert.equal(store.get(String(a))!.isLoading, false);
		await store.add({ id: b, name: 'second' });
		await store.settled();
		await equals(store);
		assert.equal((await client.get('shop', 'item', String(b)))!.name, 'second');
		const { rows } = await client.read('shop', 'item', { order: ['id'], limit: 1, after: { id: a } });

		assert.deepEqual(rows.map(({ id }) => id), [String(b)]);
		// Refused by the database: rolled back, and said.
		await assert.rejects(store.update(String(a), { amount: 'no number' }));
		assert.equal(store.get(String(a))!.data.amount, 12.5);
		await store.remove(String(b));
		await store.settled();
		await equals(store);
		// A write that changes nothing settles, too.
		await store.update(String(a), { status: 'approved' });
		await store.settled();
		const feed: string[] = [];
		const end = client.subscribeToFeature('shop', ({ event }) => feed.push(event));

		await client.sync(await stage.write('SELECT 1'));
		await api.update(a, { name: 'renamed' });
		await until('the feed has it', () => feed.length === 1);
		end();
		assert.deepEqual(feed, ['shop.item.updated']);
	});
}

test('a filtered store: rows enter and leave', async (t) =>
{
	const client = connect(t);
	const id = ++lastId;

	await api.create({ id, name: 'x', status: 'hidden' });
	const store = await open(t, client, { filter: [['status', 'eq', 'shown']] });
	const told: string[] = [];

	store.on('*', (_item, { action }) => told.push(action));
	await store.load();
	await api.update(id, { status: 'shown' });
	await until('it entered', () => store.get(String(id)));
	await api.update(id, { name: 'y' });
	await api.update(id, { status: 'hidden' });
	await until('it left', () => !store.get(String(id)));
	assert.deepEqual(told, ['entered', 'status_changed', 'updated', 'left']);
	await equals(store, "status = 'shown'");
});

test('over a window: bursts of others, writes of mine confirmed, no flicker', async (t) =>
{
	const client = connect(t);
	const id = ++lastId;

	await api.create({ id, name: '0', amount: 0 });
	const store = await open(t, client, { window: 500 });
	const names: unknown[] = [];
	let isOver = false;
	let count = 0;
	const burst = (async () =>
	{
		while (!isOver)
		{
			await stage.write('UPDATE item SET amount = amount + 1 WHERE id = $1', [id]);
			count++;
		}
	})();

	store.subscribe(() => names.push(store.get(String(id))?.data.name));
	for (let i = 1; i <= 10; i++)
	{
		await store.update(String(id), { name: String(i) });
		await store.settled();
		assert.equal(store.get(String(id))!.data.name, String(i));
	}
	// Each sync ends a window; so many that nothing was merged yet.
	await until('bursts are merged', async () => await stage.notifier.metric('coalesced_events_total') > 0);
	isOver = true;
	await burst;
	assert.deepEqual(names, [...names].sort((a, b) => Number(a) - Number(b)), 'an older name never shows again');
	assert.deepEqual(store.pending, []);
	assert.deepEqual(store.conflicts, []);
	await equals(store);
	assert.equal(Number(store.get(String(id))!.data.amount), count);
});

test('two browsers edit the same row: the conflict is seen, and resolved each way', async (t) =>
{
	const [one, two] = [await open(t, connect(t)), await open(t, connect(t))];
	const id = String(++lastId);

	await api.create({ id: Number(id), name: 'n', status: 's', amount: 1 });
	await until('both see it', () => one.get(id) && two.get(id));
	for (const [how, name, amount] of [['local', 'mine', 2], ['remote', 'theirs', 3],
		[{ name: 'remote', amount: 'local' }, 'theirs', 2], [() => ({ name: 'both' }), 'both', 2]] as const)
	{
		await api.update(id, { name: 'n', amount: 1 });
		await equals(one);
		await equals(two);
		one.edit(id, { name: 'mine', amount: 2, status: 'mine only' });
		assert.equal(one.hasConflicts, false);
		await two.update(id, { name: 'theirs', amount: 3, note: '{"theirs": true}' });
		await until('the conflict shows', () => one.hasConflicts);
		const [conflict] = one.conflicts;

		assert.deepEqual(conflict!.fields, {
			name: { base: 'n', local: 'mine', remote: 'theirs' }, amount: { base: 1, local: 2, remote: 3 }
		});
		assert.deepEqual(one.get(id)!.data.note, { theirs: true });
		await assert.rejects(one.save(id), { code: 'conflict' });
		await one.resolve(id, how as never);
		await one.settled();
		await equals(one);
		await equals(two);
		const [row] = await table(`id = ${id}`);

		assert.deepEqual([row!.name, row!.amount, row!.status], [name, amount, 'mine only']);
		assert.equal(one.hasConflicts, false);
		await api.update(id, { status: 's' });
	}
});

test('a late listener and a gap: loads beside the stream fit it', async (t) =>
{
	const client = connect(t);
	const feed: string[] = [];

	client.subscribeToEntity('shop', 'item', ({ action, id }) => feed.push(`${action} ${id}`));
	await until('it is live', () => client.position.value);
	const store = await open(t, client);

	await equals(store);
	feed.length = 0;
	await api.create({ id: ++lastId, name: 'x' });
	await equals(store);
	assert.deepEqual(feed, [`created ${lastId}`]);
	await stage.sql('ALTER TABLE item DISABLE TRIGGER USER');
	await stage.sql("UPDATE item SET note = '1'");
	await stage.sql('ALTER TABLE item ENABLE TRIGGER USER');
	await until('the gap is mended', () => store.items.length > 0 && store.items.every(({ data }) => data.note === 1));
	await equals(store);
	await stage.sql('TRUNCATE item');
	await until('it is empty', () => store.items.length === 0);
	assert.ok(client.stats.gaps > 0);
});

test('bulk operations are seen while they go on', async (t) =>
{
	const client = connect(t);
	const store = await open(t, client);
	const states: string[] = [];

	store.subscribe(({ bulk }) => bulk.forEach(({ status, percentage }) => states.push(`${status} ${percentage}`)));
	await stage.sql(`DO $$
	DECLARE
		operation text := realtime.bulk_start('shop', 'item', 'import', 3);
	BEGIN
		FOR i IN 1 .. 3 LOOP
			INSERT INTO item (id) VALUES (${lastId} + i);
			PERFORM realtime.bulk_progress(operation, i);
			PERFORM pg_sleep(0.3);
		END LOOP;
		PERFORM realtime.bulk_complete(operation, '{"successful": 3}');
	END $$`);
	lastId += 3;
	await until('it is completed', () => states.at(-1) === 'completed 100');
	assert.ok(states.some((state) => /^running [1-9]/.test(state)), states.join());
	await equals(store);
});

test('a token: its role is what counts, and it is renewed before it expires', async (t) =>
{
	const reasons: string[] = [];
	const client = connect(t, { token: (reason) =>
	{
		reasons.push(reason);
		return stage.token({ role: 'web_clerk', sub: 'u9', seconds: reason === 'connect' ? 2 : 3600 });
	} });
	const store = await open(t, client);
	const hidden = client.subscribeToEntity('shop', 'hidden');

	await assert.rejects(hidden.next(), { code: 'forbidden' });
	await api.create({ id: ++lastId, name: 'x', amount: 5 });
	await until('it is there', () => store.get(String(lastId)));
	assert.deepEqual(store.get(String(lastId))!.data, { id: lastId, name: 'x', status: null });
	await until('the token is renewed', () => reasons.includes('expiring'));
	await pause(2500);
	await api.update(lastId, { name: 'y' });
	await until('still there', () => store.get(String(lastId))!.data.name === 'y');
	assert.equal(client.stats.connections, 1);
});

test('a token that is no good is the state error', async (t) =>
{
	for (const transports of Object.values(only))
	{
		const client = connect(t, { transports, token: () => 'a.b.c' });

		client.subscribeToEntity('shop', 'item', () => {});
		await until('it is refused', () => client.status.value.state === 'error');
		assert.equal(client.status.value.reason, 'unauthorized');
	}
});

test('the notifier is killed and comes back: the client resumes by itself, without loss or double', async (t) =>
{
	const client = connect(t);
	const store = await open(t, client);
	const seen: string[] = [];
	const mine: string[] = [];

	client.subscribeToEntity('shop', 'item', ({ meta }) => seen.push(`${meta.tx}:${meta.seq}`));
	await until('it is live', () => client.position.value);
	const create = async () => mine.push(`${(await api.create({ id: ++lastId, name: 'x' }) as { meta: { tx: string } }).meta.tx}:0`);

	await create();
	await stage.notifier.crash();
	await until('it is noticed', () => client.status.value.state === 'reconnecting');
	await create();
	const waiting = store.update(String(lastId - 1), { name: 'while away' });

	await stage.notifier.spawn();
	await waiting;
	await store.settled();
	await create();
	await equals(store);
	assert.deepEqual(seen.filter((one) => mine.includes(one)), mine);
	assert.equal(new Set(seen).size, seen.length);
	assert.equal(client.stats.gaps, 0);
});

test('history is gone when the client comes back: a fresh load', async (t) =>
{
	const client = connect(t);
	const store = await open(t, client);

	await stage.notifier.crash();
	await api.create({ id: ++lastId, name: 'x' });
	await stage.sql("SET realtime.retention = '1s'");
	await until('the log is pruned', async () =>
	{
		await api.update(lastId, { name: String(performance.now()) });
		await stage.sql('SELECT realtime.prune()');
		return Number(await stage.value(`SELECT count(*) FROM realtime.event WHERE action = 'created' AND id = '${lastId}'`)) === 0;
	}, 30, 500);
	await stage.sql('RESET realtime.retention');
	await stage.notifier.spawn();
	await equals(store);
	assert.ok(client.stats.gaps > 0);
});

test('PostgreSQL crashes and recovers: a new epoch, a fresh load, and live again', { skip: !process.env.RT_PGDATA }, async (t) =>
{
	const client = connect(t);
	const store = await open(t, client);
	const { status, stderr } = spawnSync(path.join(process.env.RT_BINDIR!, 'pg_ctl'), ['-D', process.env.RT_PGDATA!, '-w',
		'-m', 'immediate', '-l', path.join(process.env.RT_PGDATA!, 'server.log'), 'restart'],
	{ stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH, LC_ALL: 'C' } });

	assert.equal(status, 0, String(stderr));
	await stage.database.reconnect();
	await api.create({ id: ++lastId, name: 'after the crash' });
	await until('it is there', () => store.get(String(lastId)), 30);
	await equals(store);
});

test('random writers; stores on every transport lose their connections, and are equal in the end', async (t) =>
{
	const seed = Number(process.env.E2E_SEED ?? Date.now() % 1e9);
	const chance = new Chance(seed);
	const end = performance.now() + Number(process.env.E2E_SECONDS ?? 8) * 1000;
	const stores: { store: EntityStore; client: RealtimeClient; where: string }[] = [];
	const first = lastId;

	t.diagnostic(`seed ${seed}`);
	for (let i = 0; i < 9; i++)
	{
		const client = connect(t, { transports: i < 6 ? Object.values(only)[i % 3]! : [webSocket, serverSentEvents, longPoll] });
		const where = i % 2 ? "status = 'a'" : 'true';

		stores.push({ client, where, store: await open(t, client, {
			...(i % 2 && { filter: [['status', 'eq', 'a']] }), ...(i % 3 === i % 4 && { window: 60 })
		}) });
	}
	const write = async () =>
	{
		while (performance.now() < end)
		{
			const id = first + 1 + chance.int(0, 19);
			const text = `INSERT INTO item (id, status, name) VALUES ($1, $2, $3)
				ON CONFLICT (id) DO UPDATE SET status = excluded.status, name = excluded.name`;

			if (chance.int(0, 3) === 0)
				await stage.write('DELETE FROM item WHERE id = $1', [id]);
			else
				await stage.write(text, [id, chance.pick(['a', 'b']), String(chance.int(0, 99))]);
			const { store } = chance.pick(stores);
			const item = chance.pick([...store.items, undefined]);

			if (item && chance.int(0, 4) === 0)
				store.update(item.id, { amount: chance.int(0, 9) }).catch(() => {});
		}
	};
	const lose = async () =>
	{
		while (performance.now() < end)
		{
			const { client } = chance.pick(stores);

			client.close();
			await pause(chance.int(0, 100));
			client.connect();
			await pause(chance.int(50, 300));
		}
	};

	await Promise.all([write(), lose()]);
	lastId = first + 20;
	for (const { store, where } of stores)
	{
		for (const { id } of store.conflicts)
			void store.resolve(id, 'remote');
		await equals(store, where);
	}
	assert.ok(stores.every(({ client }) => client.stats.badFrames === 0));
});
