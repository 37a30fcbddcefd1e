// SPDX-License-Identifier: PostgreSQL
//
// store.test.ts
//	The state manager, feature by feature, against the fake server.

import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import test from 'node:test';
import { EntityStore, type Item, type RealtimeEvent, type Row, type Saved } from '../src/index.js';
import { indexedDBStorage } from '../src/indexeddb.js';
import { open } from './api.js';
import { quiet, setUp, turn, until } from './support.js';

test('loads, follows, and shows items by id, by status and by condition', async (t) =>
{
	const { server, client } = setUp(t);
	const store = client.entity('orders', 'order');
	const states: string[] = [];

	assert.equal(client.entity('orders', 'order'), store);
	assert.notEqual(client.entity('orders', 'payment'), store as unknown);
	server.database.insert({ id: 1, status: 'new' });
	const end = store.subscribe(({ loading, items }) => states.push(`${loading} ${items.length}`));

	await until(() => store.items.length === 1);
	server.database.insert({ id: 2, status: 'paid' });
	await until(() => store.items.length === 2);
	assert.deepEqual(states, ['true 0', 'false 1', 'false 2']);
	assert.equal(store.get('2')!.data.status, 'paid');
	assert.deepEqual(store.getItemsByStatus('paid').map(({ id }) => id), ['2']);
	assert.deepEqual(store.getItemsByStatus(['paid', 'new']).length, 2);
	assert.deepEqual(store.getItemsWhere(({ status }) => status === 'new').map(({ id }) => id), ['1']);
	const [first] = store.items;

	server.database.update('2', { status: 'new' });
	await until(() => store.get('2')!.data.status === 'new');
	assert.equal(store.items[0], first, 'an item that did not change is the same object');
	end();
	end();
});

test('an update shows at once, and is confirmed by its transaction alone', async (t) =>
{
	const { server, api, store } = await open(t);

	api.hold();
	const saving = store.update('1', { status: 'paid' });

	assert.equal(store.get('1')!.data.status, 'paid');
	assert.deepEqual([store.get('1')!.isLoading, store.get('1')!.hasUnsavedChanges, store.get('1')!.isWaiting], [true, false, false]);
	// Its own event, and one of somebody who does the same: neither ends it.
	server.database.update('1', { status: 'paid', total: 11 });
	await until(() => store.get('1')!.data.total === 11);
	assert.equal(store.pending.length, 1);
	api.open();
	assert.equal((await saving as { success: boolean }).success, true);
	await store.settled();
	assert.deepEqual(store.pending, []);
	assert.deepEqual([store.get('1')!.isLoading, store.get('1')!.hasUnsavedChanges], [false, false]);
});

test('a write that changes nothing, and one whose reply names no transaction, end, too', async (t) =>
{
	const { server, api, store } = await open(t);

	await store.update('1', { status: 'new' });
	await store.settled();
	api.hasTx = api.hasRow = false;
	await store.update('1', { status: 'paid' });
	await store.settled();
	assert.equal(store.get('1')!.data.status, 'paid');
	assert.equal(server.requests.at(-1)!.path, '/v1/poll');
});

test('a refused update is rolled back and thrown; what others changed meanwhile stays', async (t) =>
{
	const { server, api, store } = await open(t);

	api.hold();
	api.error = new Error('no');
	const saving = store.update('1', { status: 'paid' });

	server.database.update('1', { total: 99 });
	await until(() => store.get('1')!.data.total === 99);
	assert.equal(store.get('1')!.data.status, 'paid');
	api.open();
	await assert.rejects(saving, { message: 'no' });
	assert.deepEqual(store.get('1')!.data, { id: 1, status: 'new', total: 99 });
	assert.equal(store.value.error!.message, 'no');
	assert.equal(store.get('1')!.isLoading, false);
	await assert.rejects(store.update('1', {}, async () => ({ success: false, error: { message: 'not now' } })), { code: 'refused', message: 'not now' });
});

test('several updates of a row are sent one after the other, those of two rows at once', async (t) =>
{
	const { api, store, shown } = await open(t);

	api.hold();
	const all = [store.update('1', { status: 'a' }), store.update('1', { status: 'b' }), store.update('2', { status: 'c' }),
		store.update('1', { total: 1 }, async () => api.update('1', { total: 2 }))];

	await turn();
	assert.equal(shown(), '1:b 2:c');
	assert.deepEqual(api.calls, ['update 1 {"status":"a"}', 'update 2 {"status":"c"}']);
	api.open();
	await Promise.all(all);
	await store.settled();
	assert.deepEqual(api.calls.slice(2), ['update 1 {"status":"b"}', 'update 1 {"total":2}']);
	assert.deepEqual(store.get('1')!.data, { id: 1, status: 'b', total: 2 });
	assert.deepEqual(store.conflicts, []);
});

test('a row that is added is shown once, under one key, whatever comes first', async (t) =>
{
	const { server, api, store } = await open(t);
	const keys = new Set<string>();
	let most = 0;

	store.subscribe(({ items }) =>
	{
		most = Math.max(most, items.length);
		items.filter(({ data }) => data.status === 'mine').forEach(({ key }) => keys.add(key));
	});
	api.hold();
	const adding = store.add({ status: 'mine' });
	const editing = store.update(store.items[2]!.id, { total: 7 });

	await turn(10);		// the event is here, the reply is not
	assert.equal(store.items.length, 3);
	api.open();
	await adding;
	await editing;
	await store.settled();
	assert.equal(most, 3);
	assert.equal(keys.size, 1);
	assert.deepEqual(store.get('51')!.data, { status: 'mine', id: 51, total: 7 });
	assert.deepEqual(api.calls, ['create {"status":"mine"}', 'update 51 {"total":7}']);
	// Somebody else's row is shown in the end, and after a refusal.
	api.error = new Error('no');
	api.hold();
	const refused = store.add({ status: 'x' });

	server.database.insert({ id: 3, status: 'theirs' });
	await turn(10);
	api.open();
	await assert.rejects(refused);
	assert.deepEqual(store.items.map(({ id }) => id), ['1', '2', '51', '3']);
	// With a key of its own.
	api.error = undefined;
	await store.add({ id: 'k', status: 'x' });
	await store.settled();
	assert.equal(store.items.filter(({ id }) => id === 'k').length, 1);
});

test('a row that is removed is busy, then gone; restored when that fails; a late update does not bring it back', async (t) =>
{
	const { server, api, store, shown } = await open(t);

	api.hold();
	api.error = new Error('no');
	const failing = store.remove('1');

	assert.deepEqual([store.get('1')!.isDeleting, store.get('1')!.isLoading, store.get('1')!.canEdit], [true, true, false]);
	api.open();
	await assert.rejects(failing);
	assert.deepEqual([store.get('1')!.isDeleting, store.get('1')!.canEdit], [false, true]);
	api.error = undefined;
	server.isManual = true;
	server.database.update('2', { status: 'late' });
	store.remove('2').catch(() => {});
	await turn();
	assert.equal(shown(), '1:new');
	server.isManual = false;
	server.changed();
	await store.settled();
	assert.equal(shown(), '1:new');
});

test('conflicts: not for plain updates of others, nor for other fields, nor for the same value', async (t) =>
{
	const { server, store } = await open(t);

	server.database.update('1', { status: 'a' });
	await until(() => store.get('1')!.data.status === 'a');
	store.edit('1', { status: 'mine' });
	server.database.update('1', { total: 5 });
	await until(() => store.get('1')!.data.total === 5);
	assert.equal(store.hasConflicts, false);
	server.database.update('1', { status: 'mine' });
	await turn(10);
	assert.equal(store.hasConflicts, false);
	store.discard('1');
	assert.equal(store.get('1')!.hasUnsavedChanges, false);
	server.database.update('1', { status: 'b' });
	await until(() => store.get('1')!.data.status === 'b');
	assert.equal(store.hasConflicts, false);
});

test('a draft in conflict: seen, held, resolved by strategy, and over when the other takes it back', async (t) =>
{
	const seen: string[] = [];
	const { server, api, store } = await open(t);

	store.onConflict(({ id, kind }) => seen.push(`${id} ${kind}`));
	store.edit('1', { status: 'mine', total: 1 });
	assert.deepEqual(api.calls, []);
	server.database.update('1', { status: 'theirs' });
	await until(() => store.hasConflicts);
	assert.deepEqual(store.conflicts, [{ id: '1', key: '1', kind: 'changed', fields: { status: { base: 'new', local: 'mine', remote: 'theirs' } } }]);
	assert.equal(store.get('1')!.hasConflict, true);
	assert.equal(store.get('1')!.data.status, 'mine');
	await assert.rejects(store.save('1'), { code: 'conflict' });
	server.database.update('1', { status: 'new' });
	await until(() => !store.hasConflicts);
	server.database.update('1', { status: 'theirs' });
	await until(() => store.hasConflicts);
	await store.resolve('1', 'local');
	await store.settled();
	assert.deepEqual(store.get('1')!.data, { id: 1, status: 'mine', total: 1 });
	assert.deepEqual(server.database.rows.get('1'), { id: 1, status: 'mine', total: 1 });
	assert.deepEqual(seen, ['1 changed', '1 changed']);

	store.config.resolveConflict = ({ fields }) => ({ status: `${fields.status!.local} and ${fields.status!.remote}` });
	store.edit('2', { status: 'mine' });
	server.database.update('2', { status: 'theirs' });
	await until(() => server.database.rows.get('2')!.status === 'mine and theirs');
	await store.settled();
	assert.equal(store.hasConflicts, false);
});

test('a row that is deleted under a draft is a conflict, and stays away', async (t) =>
{
	const { server, store, shown } = await open(t);

	store.edit('1', { status: 'mine' });
	server.database.remove('1');
	await until(() => store.hasConflicts);
	assert.equal(store.conflicts[0]!.kind, 'deleted');
	assert.equal(shown(), '2:new');
	await store.resolve('1', 'remote');
	assert.deepEqual([store.hasConflicts, store.pending.length], [false, 0]);
});

test('a write that went over another\'s is a conflict after the fact; one after mine is none', async (t) =>
{
	for (const [how, value] of [['local', 'mine'], ['remote', 'theirs'], [() => ({ status: 'both' }), 'both']] as const)
	{
		const { server, api, store } = await open(t);

		api.hold();
		const saving = store.update('1', { status: 'mine' }, async () =>
		{
			server.database.update('1', { status: 'theirs' });
			return api.update('1', { status: 'mine' });
		});

		await turn(10);
		assert.equal(store.hasConflicts, false, 'it may be mine');
		api.open();
		await saving;
		await store.settled();
		assert.deepEqual(store.conflicts[0], { id: '1', key: '1', kind: 'overwritten', fields: { status: { base: 'new', local: 'mine', remote: 'theirs' } } });
		await store.resolve('1', how as never);
		await store.settled();
		assert.equal(server.database.rows.get('1')!.status, value);
		assert.deepEqual([store.hasConflicts, store.get('1')!.data.status], [false, value]);

		api.hold();
		const again = store.update('1', { status: 'mine again' });

		server.database.update('1', { status: 'after mine' });
		await turn(10);
		api.open();
		await again;
		await store.settled();
		assert.deepEqual([store.hasConflicts, store.get('1')!.data.status], [false, 'after mine']);
	}
});

test('each switch is really off when it is off', async (t) =>
{
	const { server, api, store } = await open(t, { enableOptimisticUpdates: false, enableConflictDetection: false, enableCaching: false });

	api.hold();
	const all = [store.update('1', { status: 'mine' }), store.add({ status: 'new one' }), store.remove('2')];

	assert.deepEqual(store.items.map(({ data }) => data.status), ['new', 'new']);
	assert.equal(store.get('1')!.isLoading, true);
	store.edit('2', { total: 1 });
	server.database.update('2', { total: 2 });
	await turn(10);
	assert.equal(store.hasConflicts, false);
	assert.equal(store.isCacheStale, true);
	api.open();
	await Promise.all(all);
	await store.settled();
	assert.deepEqual(store.items.map(({ data }) => data.status), ['mine', 'new one']);
	store.stop();
	assert.deepEqual(store.items, []);
});

test('offline: actions wait, up to a limit, and go in order when the network is back', async (t) =>
{
	let isOffline = true;
	const { server, client, api, store, shown } = await open(t, { offlineLimit: 3, isOffline: () => isOffline });
	const all = [store.update('1', { status: 'a' }), store.update('1', { status: 'b' }), store.remove('2')];

	await assert.rejects(store.update('2', { status: 'c' }), { code: 'offline' });
	assert.deepEqual(api.calls, []);
	assert.equal(shown(), '1:b 2:new');
	assert.deepEqual([store.get('1')!.isWaiting, store.get('1')!.isLoading, store.get('1')!.hasUnsavedChanges], [true, false, false]);
	isOffline = false;
	server.drop();
	await until(() => client.status.value.state !== 'connected');
	await Promise.all(all);
	await store.settled();
	assert.deepEqual(api.calls, ['update 1 {"status":"a"}', 'remove 2', 'update 1 {"status":"b"}']);
	assert.equal(shown(), '1:b');
});

test('what conflicts while offline is held until it is resolved', async (t) =>
{
	let isOffline = true;
	const { server, api, store } = await open(t, { isOffline: () => isOffline });
	const saving = store.update('1', { status: 'mine' });

	server.database.update('1', { status: 'theirs' });
	await until(() => store.hasConflicts);
	isOffline = false;
	server.drop();
	await turn(20);
	assert.deepEqual(api.calls, []);
	await store.resolve('1', 'remote');
	await assert.rejects(saving, { code: 'conflict' });
	assert.equal(store.get('1')!.data.status, 'theirs');
});

test('after a network failure updates and removals are sent again, additions are not', async (t) =>
{
	const { client, server, api, store } = await open(t, { retries: 1 });

	api.error = new TypeError('fetch failed');
	await assert.rejects(store.add({ status: 'x' }), TypeError);
	const saving = store.update('1', { status: 'again' });

	await until(() => api.calls.length === 2);
	await turn();
	assert.equal(store.get('1')!.data.status, 'again');
	api.error = undefined;
	server.drop();		// the connection that comes back says that the network does
	await saving;
	await store.settled();
	assert.equal(server.database.rows.get('1')!.status, 'again');
	api.error = new TypeError('fetch failed');
	const failing = assert.rejects(store.update('1', { status: 'never' }), TypeError);

	await until(() => client.status.value.state === 'connected' && api.calls.length === 4);
	server.drop();
	await failing;
	assert.equal(store.get('1')!.data.status, 'again');
});

test('handlers: once per event, after all is shown, also of a class; one that throws stops no other', async (t) =>
{
	quiet(t);
	const { server, client } = setUp(t);
	const log: string[] = [];

	class Orders extends EntityStore
	{
		protected override onItemCreated(item: Item<Row>, event: RealtimeEvent): void
		{
			log.push(`created ${item.id} ${event.action}`);
			throw new Error('expected');
		}

		protected override onItemUpdated(item: Item<Row>): void
		{
			log.push(`updated ${item.id} ${item.data.status}`);
		}

		protected override onItemDeleted(item: Item<Row> | undefined): void
		{
			log.push(`deleted ${item?.id} ${item?.data.status}`);
		}
	}
	const store = new Orders(client, { feature: 'orders', entity: 'order' });

	t.after(() => store.stop());
	server.database.insert({ id: 1, status: 'loaded' });
	await store.load();
	store.on('approved', () => { throw new Error('expected'); });
	store.on('approved', (item, { data }) => log.push(`approved ${item?.data.status} ${JSON.stringify(data)} ${store.items.length}`));
	const end = store.on('*', (_item, { action }) => log.push(`* ${action}`));

	server.database.begin().update('1', { status: 'ok' }).emit('approved', '1', { by: 'me' }).insert({ id: 2, status: 'x' }).commit();
	await until(() => log.length === 6);
	assert.deepEqual(log, ['updated 1 ok', '* updated', 'approved ok {"by":"me"} 2', '* approved', 'created 2 created', '* created']);
	end();
	server.database.remove('1');
	await until(() => log.length === 7);
	assert.equal(log[6], 'deleted 1 ok');
});

test('handlers of bulk operations, locks and conflicts: once each, when it shows', async (t) =>
{
	const { server, store } = await open(t);
	const log: string[] = [];

	for (const action of ['bulk_started', 'bulk_progress', 'bulk_completed', 'bulk_failed'])
		store.on(action, (item, event) => log.push(`${event.action} ${item} ${store.bulk.map(({ status, percentage }) => `${status} ${percentage}`)}`));
	for (const action of ['locked', 'unlocked'])
		store.on(action, (item, event) => log.push(`${event.action} ${item!.id} ${item!.isLocked} ${item!.lockedBy}`));
	store.onConflict(({ id, kind }) => log.push(`${kind} ${id} ${store.get(id)!.hasConflict}`));
	for (const [action, id, data] of [['bulk_started', 'x', { operationId: 'x', operation: 'import', total: 2 }],
		['bulk_progress', 'x', { operationId: 'x', completed: 1, failed: 0, percentage: 50 }], ['bulk_completed', 'x', { operationId: 'x', completed: 2, failed: 0 }],
		['bulk_failed', 'y', { operationId: 'y', reason: 'aborted' }], ['locked', '1', { lockedBy: 'ann' }], ['unlocked', '1', null]] as const)
	{
		const { length } = log;

		server.database.emit(action, id, data);
		await until(() => log.length > length);
	}
	store.edit('2', { status: 'mine' });
	server.database.update('2', { status: 'theirs' });
	server.database.update('2', { total: 1 });
	await until(() => store.get('2')!.data.total === 1);
	assert.deepEqual(log, ['bulk_started undefined running null', 'bulk_progress undefined running 50', 'bulk_completed undefined completed 100',
		'bulk_failed undefined completed 100,failed null', 'locked 1 true ann', 'unlocked 1 false null', 'changed 2 true']);
});

test('client-only fields survive changes of the row, and are never sent', async (t) =>
{
	const { server, api, store } = await open(t, { canEdit: ({ status }) => status === 'new', canDelete: () => false });

	store.setLocal('1', { isOpen: true });
	store.setLocal('1', { color: 'red' });
	assert.deepEqual([store.get('1')!.canEdit, store.get('1')!.canDelete], [true, false]);
	server.database.update('1', { status: 'paid' });
	await until(() => store.get('1')!.data.status === 'paid');
	assert.deepEqual(store.get('1')!.local, { isOpen: true, color: 'red' });
	assert.deepEqual([store.get('1')!.canEdit, store.get('1')!.canDelete], [false, false]);
	await store.update('1', { total: 3 });
	assert.deepEqual(api.calls, ['update 1 {"total":3}']);
});

test('locks: from events and rows, mine do not lock me out, they expire, and stop() gives mine back', async (t) =>
{
	const released: unknown[] = [];
	const { server, store } = await open(t, {
		user: 'me', lockOf: ({ locked_by }) => locked_by ? { owner: String(locked_by) } : null,
		api: { unlock: async (id, isForced) => released.push([id, isForced]), lock: async (id) => server.database.emit('locked', String(id), { lockedBy: 'me' }) }
	});

	server.database.emit('locked', '1', { lockedBy: 'ann', type: 'edit', expiresAt: new Date(Date.now() + 60).toISOString() });
	await until(() => store.get('1')!.isLocked);
	assert.deepEqual([store.get('1')!.lockedBy, store.get('1')!.canEdit, store.get('1')!.canDelete], ['ann', false, false]);
	await until(() => !store.get('1')!.isLocked);
	server.database.emit('locked', '1', { lockedBy: 'ann' });
	await until(() => store.get('1')!.isLocked);
	server.database.emit('unlocked', '1', null);
	await until(() => !store.get('1')!.isLocked);
	await store.lock('1');
	await until(() => store.get('1')!.lockedBy === 'me');
	assert.deepEqual([store.get('1')!.isLocked, store.get('1')!.canEdit], [false, true]);
	server.database.update('2', { locked_by: 'bob' });
	await until(() => store.get('2')!.isLocked);
	await store.unlock('2', true);
	store.stop();
	assert.deepEqual(released, [['2', true], ['1', false]]);
});

test('bulk operations have progress and an end, also when that is lost; summaries load again', async (t) =>
{
	const { server, client, store } = await open(t, { bulkTimeout: 30 });
	const loads = () => server.session.received.filter(({ op }) => op === 'subscribe').length;

	server.database.emit('bulk_started', 'x', { operationId: 'x', operation: 'import', total: 10 });
	server.database.emit('bulk_progress', 'x', { operationId: 'x', operation: 'import', total: 10, completed: 4, failed: 1, percentage: 50 });
	await until(() => store.value.bulk[0]?.percentage === 50);
	assert.deepEqual({ ...store.value.bulk[0], data: 0 }, {
		id: 'x', status: 'running', operation: 'import', total: 10, completed: 4, failed: 1, percentage: 50, data: 0
	});
	await until(() => store.value.bulk[0]?.status === 'lost');
	server.database.emit('bulk_completed', 'x', { operationId: 'x', successful: 9, failed: 1, completed: 9 });
	await until(() => store.value.bulk[0]?.status === 'completed');
	assert.equal(store.value.bulk[0]!.data.total, 10);
	await until(() => store.value.bulk.length === 0);
	const before = loads();

	server.database.rows.set('9', { id: 9, status: 'bulk' });
	server.database.emit('bulk_created', null, { count: 1, keys: ['9'] });
	await until(() => store.items.length === 3 && !store.value.loading);
	assert.equal(loads(), before + 1);
	assert.equal(client.stats.badFrames, 0);
});

test('a changed key, left-out values, truncation', async (t) =>
{
	const { server, store } = await open(t);

	store.setLocal('1', { isOpen: true });
	store.edit('1', { total: 5 });
	const { key } = store.get('1')!;

	server.database.begin().emit('deleted', '1', { id: 1 }, { meta: { newId: '7' } })
		.emit('created', '7', { id: 7, status: 'moved', total: 10 }, { meta: { oldId: '1' } }).commit();
	await until(() => store.get('7')?.data.status === 'moved');
	assert.deepEqual([store.get('7')!.key, store.get('7')!.local, store.get('7')!.data.total], [key, { isOpen: true }, 5]);
	assert.equal(store.get('1'), undefined);
	server.database.emit('updated', '2', { id: 2, status: 'small' }, { meta: { omitted: ['total'] } });
	await until(() => store.get('2')!.data.status === 'small');
	assert.equal(store.get('2')!.data.total, 20);
	server.database.emit('truncated', null, null);
	await until(() => store.items.length === 0);
});

test('the cache: age since the last load, stale by time, gap and switch; resumed from when it is not', async (t) =>
{
	const { server, client, store } = await open(t, { cacheTTL: 40 });
	const subscribes = () => server.session.received.filter(({ op }) => op === 'subscribe');

	assert.equal(store.isCacheStale, false);
	store.stop();
	server.database.update('1', { status: 'while away' });
	store.start();
	await until(() => store.get('1')!.data.status === 'while away');
	assert.notEqual(subscribes().at(-1).since, undefined);
	await until(() => store.isCacheStale);
	server.database.update('1', { status: 'an event is no load' });
	await until(() => store.get('1')!.data.status === 'an event is no load');
	assert.equal(store.isCacheStale, true);
	await store.load();
	assert.equal(store.isCacheStale, false);
	assert.equal(subscribes().at(-1).since, undefined);
	const count = subscribes().length;

	await store.load();
	assert.equal(subscribes().length, count, 'nothing is loaded that is not stale');
	await store.load(true);
	assert.equal(subscribes().length, count + 1);
	store.clear();
	assert.deepEqual([store.items.length, store.isCacheStale], [0, true]);
	assert.equal(client.stats.gaps, 0);
});

test('an event before the first load does not stand for one', async (t) =>
{
	const { server, client } = setUp(t);
	const store = client.entity('orders', 'order');

	t.after(() => store.stop());
	server.database.insert({ id: 1, status: 'old' });
	client.subscribeToEntity('orders', 'order', () => {});
	await until(() => client.position.value !== undefined);
	store.start();
	server.database.insert({ id: 2, status: 'new' });
	await store.load();
	assert.deepEqual(store.items.map(({ id }) => id).sort(), ['1', '2']);
	assert.equal(store.value.loading, false);
});

test('a refused subscription is an error, and loading ends', async (t) =>
{
	const { server, client } = setUp(t);
	const store = client.entity('orders', 'secret');

	t.after(() => store.stop());
	server.refused = () => 'forbidden';
	await assert.rejects(store.load(), { code: 'forbidden' });
	assert.deepEqual([store.value.loading, (store.value.error as { code?: string }).code], [false, 'forbidden']);
	store.setError(null);
	store.setLoading(true);
	assert.deepEqual([store.value.loading, store.value.error], [true, null]);
});

test('a warm start: rows from IndexedDB are shown at once, then resumed from', async (t) =>
{
	const { server, client } = setUp(t);
	const config = { storage: indexedDBStorage('test') };
	const first = client.entity('orders', 'order', config);

	server.database.insert({ id: 1, status: 'kept' });
	await first.load();
	first.stop();
	await until(() => server.session.views.size === 0);
	let saved: Saved | undefined;

	for (let i = 0; !saved && i < 100; i++)
	{
		saved = await config.storage.load('["orders","order",{"feature":"orders","entity":"order"},null,null]') as Saved | undefined;
		await turn();
	}
	assert.equal(saved!.rows.length, 1);
	server.blocked.add('websocket').add('events').add('poll');
	server.drop();
	server.database.insert({ id: 2, status: 'new' });
	const second = client.entity('orders', 'order', config);

	t.after(() => second.stop());
	second.start();
	await until(() => second.items.length === 1);
	assert.equal(second.value.loading, true);
	server.blocked.clear();
	await until(() => second.items.length === 2);
	assert.equal(second.value.loading, false);
	assert.notEqual(server.session.received.at(-1).since, undefined);
	second.clear();
	await turn(20);
	assert.equal(await config.storage.load('["orders","order",{"feature":"orders","entity":"order"},null,null]'), undefined);
});

test('a storage that does not answer keeps nobody waiting', async (t) =>
{
	const { server, client } = setUp(t);
	const never = () => new Promise<never>(() => {});
	const store = client.entity('orders', 'order', { storage: { load: never, save: never, remove: never } });

	t.after(() => store.stop());
	server.database.insert({ id: 1 });
	await store.load();
	assert.equal(store.items.length, 1);
	server.database.insert({ id: 2 });
	await until(() => store.items.length === 2);
});

test('a warm start with a limit shows what was kept and loads the first rows anew', async (t) =>
{
	const { server, client } = setUp(t);
	const config = { storage: indexedDBStorage('limited'), storageKey: 'limited', limit: 2, order: ['id.desc'] };
	const first = client.entity('orders', 'order', config);

	server.database.insert({ id: 1 });
	await first.load();
	for (const id of [2, 3, 4])
		server.database.insert({ id });
	await until(() => first.items.length === 4);
	first.stop();
	for (let count = 0; count !== 4; await turn())
		count = (await config.storage.load('limited') as Saved | undefined)?.rows.length ?? 0;
	const second = client.entity('orders', 'order', config);
	const shown: number[] = [];

	second.subscribe(({ items }) => shown.push(items.length));
	t.after(() => second.stop());
	await second.load();
	assert.deepEqual([second.items.map(({ id }) => id), second.value.hasMore], [['4', '3'], true]);
	assert.ok(shown.includes(4), 'shown at once');
});

test('pages: a limit, more on demand; changes of rows outside stay outside', async (t) =>
{
	const { server, client } = setUp(t);

	for (let id = 1; id <= 6; id++)
		server.database.insert({ id, status: 'new' });
	const store = client.entity('orders', 'order', { limit: 2, order: ['id.desc'] });
	const shown = () => store.items.map(({ id }) => id).join();

	t.after(() => store.stop());
	await store.load();
	assert.deepEqual([shown(), store.value.hasMore], ['6,5', true]);
	server.database.update('1', { status: 'outside' });
	server.database.insert({ id: 7, status: 'new' });
	await until(() => shown() === '7,6,5');
	await store.loadMore();
	assert.equal(shown(), '7,6,5,4');
	await store.loadMore(20);
	assert.deepEqual([shown(), store.value.hasMore], ['7,6,5,4,3,2,1', false]);
});

test('without the notifier rows come from the API, and live again when it is back', async (t) =>
{
	const { server, client } = setUp(t);
	let lists = 0;
	const store = client.entity('orders', 'order', {
		fallbackAfter: 2, fallbackInterval: 2, api: { list: async () =>
		{
			lists++;
			return [...server.database.rows.values()];
		} }
	});

	t.after(() => store.stop());
	server.database.insert({ id: 1, status: 'a' });
	server.blocked.add('websocket').add('events').add('poll');
	store.start();
	await until(() => store.items.length === 1);
	server.database.update('1', { status: 'b' });
	await until(() => store.get('1')!.data.status === 'b');
	server.blocked.clear();
	await until(() => client.status.value.state === 'connected' && !store.value.loading);
	server.database.update('1', { status: 'c' });
	await until(() => store.get('1')!.data.status === 'c');
	const count = lists;

	await new Promise((resolve) => setTimeout(resolve, 10));
	assert.equal(lists, count);
});

test('rows and keys of several columns', async (t) =>
{
	const { server, client } = setUp(t);
	const store = client.entity('orders', 'stock');
	const id = { warehouse: 'n', product: '1' };

	t.after(() => store.stop());
	await store.load();
	server.database.emit('created', id as never, { product: 1, warehouse: 'n', count: 3 }, { entity: 'stock' });
	await until(() => store.items.length === 1);
	assert.equal(store.get({ product: '1', warehouse: 'n' })!.data.count, 3);
	store.edit(id, { count: 4 });
	assert.equal(store.items[0]!.data.count, 4);
});

test('what a window has merged of mine and others\': no conflict where there is none', async (t) =>
{
	const { server, store } = await open(t);
	const write = () =>
	{
		const { id: tx } = server.database.update('1', { status: 'paid' });

		// Merged with somebody else's, whose transaction the frame names, and on its way when the reply comes.
		server.database.update('1', { total: 12 });
		server.advance();
		return Promise.resolve({ success: true, meta: { tx } });
	};

	server.isManual = server.isMerging = true;
	await store.update('1', { status: 'paid' }, write);
	store.edit('1', { status: 'shipped' });
	server.session!.deliver();
	assert.equal(store.get('1')!.data.total, 12);
	assert.deepEqual(store.conflicts, []);
	assert.equal(store.get('1')!.data.status, 'shipped');

	// The other's is the later one: it has not been overwritten.
	server.isManual = false;
	await store.save('1', () => Promise.resolve({ success: true, meta: { tx: server.database.update('1', { status: 'shipped' }).id } }));
	await store.settled();
	server.isManual = true;
	await store.update('1', { status: 'back' }, () =>
	{
		const { id: tx } = server.database.update('1', { status: 'back' });

		server.database.update('1', { status: 'lost' });
		server.advance();
		return Promise.resolve({ success: true, meta: { tx } });
	});
	server.session!.deliver();
	server.isManual = false;
	server.changed();
	await store.settled();
	assert.equal(store.get('1')!.data.status, 'lost');
	assert.deepEqual(store.conflicts, []);
});
