// SPDX-License-Identifier: PostgreSQL
//
// offline.test.ts
//	Changes that are made offline: sent when the rows have what others did meanwhile; kept over a reload of the page, by
//	one page at a time, and then sent, or refused with a reason.

import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { type EntityStore, type Operation, type Row } from '../src/index.js';
import { indexedDBStorage } from '../src/indexeddb.js';
import { Api, open, type Config } from './api.js';
import type { FakeServer } from './fake-server.js';
import { Locks } from './locks.js';
import { browser, setUp, turn, until } from './support.js';

test('what was queued offline is not sent before the rows have what others did: the conflict is found, nothing overwritten', async (t) =>
{
	const page = browser(t);
	const { server, api, store } = await open(t);
	const kinds: string[] = [];

	store.onConflict(({ kind }) => kinds.push(kind));
	page.goOffline();
	const [first, second] = [store.update('1', { status: 'mine' }), store.update('2', { status: 'mine' })];

	server.database.update('1', { status: 'theirs' });
	server.isManual = true;			// the stream is slower than the API
	page.goOnline();
	await until(() => server.sessions.size === 1);
	server.deliver();
	await turn(20);
	server.deliver();
	assert.deepEqual(api.calls, [], 'the view is not live yet');
	server.isManual = false;
	server.changed();
	server.deliver();
	await second;
	await until(() => store.hasConflicts);
	assert.deepEqual([api.calls, kinds], [['update 2 {"status":"mine"}'], ['changed']]);
	assert.equal(server.database.rows.get('1')!.status, 'theirs');
	await store.resolve('1', 'local');
	await first;
	await store.settled();
	assert.deepEqual([server.database.rows.get('1')!.status, kinds], ['mine', ['changed']]);
});

test('a change that failed with the network is not sent again before the rows have what others did', async (t) =>
{
	const { server, client, api, store } = await open(t);

	api.error = new TypeError('fetch failed');
	const saving = store.update('1', { status: 'mine' });

	await until(() => api.calls.length === 1);
	await turn();
	server.blocked.add('websocket').add('events').add('poll');
	server.drop();
	await until(() => client.status.value.state !== 'connected');
	server.database.update('1', { status: 'theirs' });
	api.error = undefined;
	server.blocked.clear();
	await until(() => store.hasConflicts);
	assert.deepEqual([api.calls.length, store.conflicts[0]!.kind], [1, 'changed']);
	await store.resolve('1', 'remote');
	await assert.rejects(saving, { code: 'conflict' });
});

test('where the rows cannot be had, what was queued is sent after a while all the same', async (t) =>
{
	const page = browser(t);
	const { server, api, store } = await open(t, { catchUpTimeout: 30 });

	page.goOffline();
	const saving = store.update('1', { status: 'mine' });

	server.blocked.add('websocket').add('events').add('poll');
	page.goOnline();
	await saving;
	assert.deepEqual(api.calls, ['update 1 {"status":"mine"}']);
	assert.equal(store.get('1')!.data.status, 'mine');
	server.blocked.clear();
	await store.settled();
});

test('in order: what is changed while the rows catch up does not overtake what was queued; offline again holds all', async (t) =>
{
	const page = browser(t);
	const { server, api, store } = await open(t);

	page.goOffline();
	const all = [store.update('1', { status: 'a' })];

	server.isManual = true;
	page.goOnline();
	all.push(store.update('2', { status: 'b' }));
	await turn(10);
	page.goOffline();
	all.push(store.update('2', { status: 'c' }));
	server.isManual = false;
	await turn(10);
	assert.deepEqual(api.calls, []);
	page.goOnline();
	await Promise.all(all);
	await store.settled();
	assert.deepEqual(api.calls, ['update 1 {"status":"a"}', 'update 2 {"status":"b"}', 'update 2 {"status":"c"}']);
});

/** The timers of so many milliseconds that run. */
function timersOf(t: TestContext, ms: number): Set<unknown>
{
	const { setTimeout: set, clearTimeout: clear } = globalThis;
	const running = new Set<unknown>();

	t.mock.method(globalThis, 'setTimeout', (work: () => void, after?: number) =>
	{
		const timer = set(() =>
		{
			running.delete(timer);
			work();
		}, after);

		if (after === ms)
			running.add(timer);
		return timer;
	});
	t.mock.method(globalThis, 'clearTimeout', (timer: NodeJS.Timeout) =>
	{
		running.delete(timer);
		clear(timer);
	});
	return running;
}

test('the wait for the rows ends when the network goes again, and begins anew; it ends with clear(), and nothing waits after that', async (t) =>
{
	const page = browser(t);
	const { server, client, api, store } = await open(t, { catchUpTimeout: 123457 });
	const waits = timersOf(t, 123457);

	server.blocked.add('websocket').add('events').add('poll');
	server.drop();
	page.goOffline();
	const saving = store.update('1', { status: 'mine' });

	assert.equal(waits.size, 0);
	page.goOnline();
	const [first] = waits;

	assert.equal(waits.size, 1);
	page.goOffline();
	assert.equal(waits.size, 0, 'it would end too early');
	page.goOnline();
	assert.equal(waits.size, 1);
	assert.ok(!waits.has(first));
	store.clear();
	await assert.rejects(saving, { code: 'cleared' });
	assert.equal(waits.size, 0, 'nothing waits');
	await store.update('2', { status: 'next' });
	assert.deepEqual(api.calls, ['update 2 {"status":"next"}']);
	assert.notEqual(client.status.value.state, 'connected');
});

// ---- over a reload

let names = 0;

/** Pages of one browser: each has the same storage and locks, and an API on the same database. */
function pages(t: TestContext, server: FakeServer, config: Config = {}): (more?: Config) => Promise<Page>
{
	const storage = indexedDBStorage(`offline ${++names}`);
	const locks = new Locks();

	return async (more = {}) =>
	{
		const page = locks.page();
		const { client } = setUp(t, { WebSocket: server.WebSocket, fetch: server.fetch });
		const api = new Api(server);
		const store = client.entity('orders', 'order', { api, storage, storageKey: 'orders', keepQueue: true, locks: page, order: ['id'], ...config, ...more });
		const told: string[] = [];

		t.after(() => store.stop());
		store.onReplayed(({ kind, id }: Operation, error) => told.push(`${kind} ${id} ${(error as { code?: string } | undefined)?.code ?? 'sent'}`));
		store.start();
		return {
			store, api, told,
			// What a page that is closed or killed does: nothing more.
			leave: async () =>
			{
				await kept(storage, store);
				client.close();
				page.kill();
			}
		};
	};
}

interface Page
{
	store: EntityStore<Row>;
	api: Api;
	told: string[];
	leave: () => Promise<void>;
}

/** Waits until all changes of a page that wait are kept, if they are to be. */
async function kept(storage: { load: (key: string) => Promise<unknown> }, store: EntityStore<Row>): Promise<void>
{
	const patches = (ops: readonly { patch: object }[]) => ops.map(({ patch }) => JSON.stringify(patch)).sort();
	const wanted = store.config.keepQueue ? patches(store.pending.filter(({ state }) => state === 'waiting' || state === 'sending')) : [];

	for (let found: string[] | undefined; !wanted.every((one) => found?.includes(one)) || (wanted.length === 0 && found?.length !== 0); await turn(5))
		found = patches(Object.values(await storage.load('orders queue') as Record<string, { patch: object }[]> ?? {}).flat());
}

test('the queue survives a reload: shown at once, checked for conflicts, sent in order, told', async (t) =>
{
	let isOffline = false;
	const { server } = setUp(t);
	const newPage = pages(t, server, { isOffline: () => isOffline, requests: {
		approve: async (id) => ({ success: true, meta: { tx: server.database.update(String(id), { approved: true }).id } })
	} });

	for (const id of [1, 2, 3])
		server.database.insert({ id, status: 'new' });
	const first = await newPage();

	await first.store.load();
	isOffline = true;
	first.store.update('1', { status: 'mine' }).catch(() => {});
	first.store.update('2', { status: 'mine' }).catch(() => {});
	first.store.update('1', { total: 5 }).catch(() => {});
	first.store.update('3', { approved: true }, 'approve').catch(() => {});
	first.store.add({ status: 'added' }).catch(() => {});
	await first.leave();
	server.database.update('2', { status: 'theirs' });
	server.blocked.add('websocket').add('events').add('poll');

	const second = await newPage();

	await until(() => second.store.pending.length === 5);
	assert.deepEqual(second.store.items.map(({ data, isWaiting }) => [data.status, data.total, data.approved, isWaiting]), [
		['mine', 5, undefined, true], ['mine', undefined, undefined, true], ['new', undefined, true, true], ['added', undefined, undefined, true]
	], 'shown while there is no network at all');
	assert.deepEqual(second.api.calls, []);
	isOffline = false;
	server.blocked.clear();
	await until(() => second.store.hasConflicts && second.told.length === 4);
	assert.deepEqual(second.api.calls, ['update 1 {"status":"mine"}', 'create {"status":"added"}', 'update 1 {"total":5}']);
	assert.deepEqual(second.store.conflicts[0]!.fields, { status: { base: 'new', local: 'mine', remote: 'theirs' } });
	await second.store.resolve('2', 'remote');
	await until(() => second.told.length === 5);
	await second.store.settled();
	assert.deepEqual(second.told.map((one) => one.replace(/local:\w+/, 'new')).sort(),
		['add 51 sent', 'update 1 sent', 'update 1 sent', 'update 2 conflict', 'update 3 sent'].sort());
	assert.deepEqual([...server.database.rows.values()], [
		{ id: 1, status: 'mine', total: 5 }, { id: 2, status: 'theirs' }, { id: 3, status: 'new', approved: true }, { status: 'added', id: 51 }
	]);
	await second.leave();
	// Nothing is left to send for a third page.
	const third = await newPage();

	await third.store.load();
	await turn(20);
	assert.deepEqual([third.store.pending, third.api.calls, third.told], [[], [], []]);
});

test('what cannot be sent by another page is refused with a reason: calls without a name, and rows that may have been created', async (t) =>
{
	const { server } = setUp(t);
	let isOffline = false;
	const newPage = pages(t, server, { isOffline: () => isOffline, offlineLimit: 4 });

	server.database.insert({ id: 1, status: 'new' });
	const first = await newPage();

	await first.store.load();
	first.api.hold();
	first.store.add({ status: 'half' }).catch(() => {});		// committed, and its reply never seen
	await until(() => first.api.calls.length === 1);
	isOffline = true;
	first.store.update('1', { status: 'called' }, async () => ({ success: true })).catch(() => {});
	for (const total of [1, 2, 3])
		first.store.update('1', { total }).catch(() => {});
	await assert.rejects(first.store.update('1', { total: 4 }), { code: 'offline' });
	await first.leave();
	isOffline = false;
	const second = await newPage({ offlineLimit: 4 });

	await second.store.load();
	await until(() => second.told.length === 5);
	await second.store.settled();
	assert.deepEqual(second.told.map((one) => one.replace(/local:\w+/, 'new')).sort(),
		['add new unknown_outcome', 'update 1 not_repeatable', 'update 1 offline', 'update 1 sent', 'update 1 sent']);
	assert.deepEqual(second.api.calls, ['update 1 {"total":1}', 'update 1 {"total":2}']);
	assert.equal((second.store.error as { code?: string }).code, 'offline');
	assert.deepEqual(second.store.items.map(({ data }) => data), [{ id: 1, status: 'new', total: 2 }, { status: 'half', id: 51 }]);
});

test('two pages: each sends its own; what one leaves goes to the other, once', async (t) =>
{
	const { server } = setUp(t);
	let isOffline = false;
	const newPage = pages(t, server, { isOffline: () => isOffline });

	server.database.insert({ id: 1, status: 'new' });
	server.database.insert({ id: 2, status: 'new' });
	const first = await newPage();

	await first.store.load();
	isOffline = true;
	first.store.update('1', { status: 'of the first' }).catch(() => {});
	await turn(50);
	const [second, third] = [await newPage(), await newPage()];

	await Promise.all([second.store.load(), third.store.load()]);
	await turn(50);
	assert.deepEqual([second.store.pending.length, third.store.pending.length], [0, 0], 'the first page lives');
	second.store.update('2', { status: 'of the second' }).catch(() => {});
	await first.leave();
	await until(() => second.store.pending.length + third.store.pending.length === 2);
	isOffline = false;
	server.drop();
	await until(() => server.database.rows.get('1')!.status === 'of the first' && server.database.rows.get('2')!.status === 'of the second');
	await Promise.all([second.store.settled(), third.store.settled()]);
	assert.deepEqual([...second.api.calls, ...third.api.calls].sort(), ['update 1 {"status":"of the first"}', 'update 2 {"status":"of the second"}']);
	assert.deepEqual(first.api.calls, []);
});

test('without keepQueue, and after clear(), nothing is kept', async (t) =>
{
	const { server } = setUp(t);
	const newPage = pages(t, server, { isOffline: () => true });

	server.database.insert({ id: 1, status: 'new' });
	const first = await newPage({ keepQueue: false });

	await first.store.load();
	first.store.update('1', { status: 'lost' }).catch(() => {});
	await first.leave();
	const second = await newPage();

	await second.store.load();
	await turn(20);
	assert.equal(second.store.pending.length, 0);
	const gone = second.store.update('1', { status: 'cleared' });

	second.store.edit('1', { total: 1 });
	second.store.clear();
	await assert.rejects(gone, { code: 'cleared' });
	await second.leave();
	const third = await newPage();

	await third.store.load();
	await turn(20);
	assert.deepEqual([third.store.pending.length, third.store.items.map(({ data }) => data.status)], [0, ['new']]);
});
