// SPDX-License-Identifier: PostgreSQL
//
// items.test.ts
//	What a store shows of drafts, of changes that wait, of locks that rows or other stores say, and of bulk operations that
//	have ended.

import assert from 'node:assert/strict';
import test from 'node:test';
import type { StoreState } from '../src/index.js';
import { open } from './api.js';
import { turn, until } from './support.js';

test('edit() is told once, with the edit; several in a batch of the caller, too', async (t) =>
{
	const { store } = await open(t);
	const told: StoreState<Record<string, unknown>>[] = [];

	store.subscribe((value) => told.push(value));
	store.edit('1', { status: 'mine', total: 1 });
	assert.equal(told.length, 1);
	assert.deepEqual(told[0]!.pending.map(({ patch, state }) => [patch, state]), [[{ status: 'mine', total: 1 }, 'draft']]);
	assert.deepEqual(told[0]!.itemsById.get('1')!.data, { id: 1, status: 'mine', total: 1 });
	store.edit('1', { total: 2 });
	assert.equal(told.length, 2);
});

test('unsaved changes, changes that wait, and changes under way are three things', async (t) =>
{
	let isOffline = false;
	const { api, store } = await open(t, { isOffline: () => isOffline });
	const flags = () =>
	{
		const { hasUnsavedChanges, isWaiting, isLoading } = store.get('1')!;

		return `${hasUnsavedChanges ? 'unsaved ' : ''}${isWaiting ? 'waiting ' : ''}${isLoading ? 'loading' : ''}`.trim();
	};

	assert.equal(flags(), '');
	store.edit('1', { status: 'mine' });
	assert.equal(flags(), 'unsaved');
	api.hold();
	const saving = store.save('1');

	assert.equal(flags(), 'loading');
	const next = store.update('1', { total: 5 });

	assert.equal(flags(), 'waiting loading', 'the next one waits for its turn');
	store.edit('1', { total: 6 });
	assert.equal(flags(), 'unsaved waiting loading');
	store.discard('1');
	api.open();
	await Promise.all([saving, next]);
	await store.settled();
	assert.equal(flags(), '');
	isOffline = true;
	store.update('1', { total: 7 }).catch(() => {});
	assert.equal(flags(), 'waiting');
	store.clear();
});

test('a draft that cannot be queued stays a draft', async (t) =>
{
	const { store } = await open(t, { isOffline: () => true, offlineLimit: 0 });

	store.edit('1', { status: 'mine' });
	await assert.rejects(store.save('1'), { code: 'offline' });
	assert.deepEqual([store.get('1')!.hasUnsavedChanges, store.get('1')!.data.status], [true, 'mine']);
});

test('a lock that the row itself says ends by itself, and is nobody\'s then', async (t) =>
{
	const { server, store } = await open(t, {
		user: 'me', lockOf: ({ locked_by, locked_until }) => locked_by ? { owner: String(locked_by), expiresAt: Number(locked_until) } : null
	});
	const told: boolean[] = [];

	store.subscribe(() => told.push(store.get('1')!.isLocked));
	server.database.update('1', { locked_by: 'ann', locked_until: Date.now() + 80 });
	await until(() => store.get('1')!.isLocked);
	assert.deepEqual([store.get('1')!.lockedBy, store.get('1')!.canEdit], ['ann', false]);
	// Prolonged: the first end is none.
	server.database.update('1', { locked_until: Date.now() + 160 });
	await until(() => !store.get('1')!.isLocked);
	assert.ok(Date.now() >= Number(store.get('1')!.data.locked_until));
	assert.deepEqual([store.get('1')!.lockedBy, store.get('1')!.canEdit, store.get('1')!.canDelete], [null, true, true]);
	assert.equal(told.at(-1), false, 'the listeners were told');
});

test('locks and rights that another store says are looked at again when that one changes', async (t) =>
{
	const { server, client, store: orders } = await open(t);
	const locks = client.entity('orders', 'lock', { idField: 'order' });
	const store = client.entity('orders', 'order', {
		user: 'me', dependsOn: [locks],
		lockOf: ({ id }) =>
		{
			const lock = locks.get(String(id))?.data;

			return lock && { owner: String(lock.by), expiresAt: Number(lock.until) };
		},
		canDelete: () => locks.items.length === 0
	});
	let told = 0;
	const lock = (action: string, id: string, data: object) => server.database.emit(action, id, data, { entity: 'lock' });

	t.after(() => [store, locks, orders].forEach((one) => one.stop()));
	await store.load();
	// The fake database has the same rows for every entity: this one has none.
	await until(() => !locks.loading);
	locks.set([]);
	const [first, second] = store.items;

	store.subscribe(() => told++);
	lock('created', '1', { order: 1, by: 'ann', until: Date.now() + 3600000 });
	await until(() => store.get('1')!.isLocked);
	assert.deepEqual([store.get('1')!.lockedBy, store.get('1')!.canEdit, store.get('2')!.canEdit, store.get('2')!.canDelete], ['ann', false, true, false]);
	assert.notEqual(store.items[0], first);
	assert.notEqual(store.items[1], second, 'another right');
	const unlocked = store.get('2');
	const count = told;

	lock('updated', '1', { order: 1, by: 'ann', until: Date.now() + 7200000 });
	await until(() => Number(locks.get('1')!.data.until) > Date.now() + 7000000);
	assert.equal(told, count, 'nothing that is shown changed');
	assert.equal(store.get('2'), unlocked);
	lock('updated', '1', { order: 1, by: 'ann', until: Date.now() + 80 });
	await until(() => !store.get('1')!.isLocked, 'it expired');
	lock('updated', '1', { order: 1, by: 'me', until: Date.now() + 3600000 });
	await until(() => store.get('1')!.lockedBy === 'me');
	assert.deepEqual([store.get('1')!.isLocked, store.get('1')!.canEdit], [false, true]);
	lock('deleted', '1', { order: 1 });
	await until(() => store.get('1')!.lockedBy === null && store.get('1')!.canDelete);
});

test('a bulk operation that has ended, or is lost, can be dismissed; one that runs cannot', async (t) =>
{
	const { server, store } = await open(t, { bulkTimeout: 60000 });
	const emit = (action: string, id: string, data: object = {}) =>
		server.database.emit(action, id, { operationId: id, operation: 'import', total: 4, ...data });
	let told = 0;

	emit('bulk_started', 'x');
	emit('bulk_started', 'y');
	await until(() => store.bulk.length === 2);
	assert.equal(store.dismissBulk('x'), false);
	emit('bulk_completed', 'x', { completed: 4 });
	emit('bulk_failed', 'y', { completed: 1 });
	await until(() => store.bulk.every(({ status }) => status !== 'running'));
	store.subscribe(() => told++);
	assert.equal(store.dismissBulk('x'), true);
	assert.deepEqual([store.bulk.map(({ id }) => id), told], [['y'], 1]);
	assert.equal(store.dismissBulk('x'), false);
	assert.equal(store.dismissBulk('y'), true);
	assert.deepEqual(store.bulk, []);
	await turn();
});
