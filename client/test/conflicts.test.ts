// SPDX-License-Identifier: PostgreSQL
//
// conflicts.test.ts
//	Whose change it is while writes are under way: what is mine is no conflict, and what may be another's is not overwritten.

import assert from 'node:assert/strict';
import test from 'node:test';
import type { Row } from '../src/index.js';
import { open } from './api.js';
import type { FakeServer } from './fake-server.js';
import { turn, until } from './support.js';

/** Requests that are done at once, and answered when `replies` are called. */
function slow(server: FakeServer): { request: (id: unknown, patch: Row) => Promise<unknown>; replies: (() => void)[] }
{
	const replies: (() => void)[] = [];

	return {
		replies,
		request: (id, patch) => new Promise((resolve) =>
		{
			const { id: tx } = server.database.update(String(id), patch);

			replies.push(() => resolve({ success: true, meta: { tx } }));
		})
	};
}

test('two of my own saves are no conflict for what comes after them, in whatever order it is known whose they are', async (t) =>
{
	const { server, store } = await open(t);
	const { request, replies } = slow(server);

	store.edit('1', { status: 'third' });
	void store.update('2', { status: 'slow' }, request);			// while this is under way, changes may be its own
	const first = store.update('1', { status: 'first' }, request);

	await turn(10);
	replies[1]!();
	await first;
	server.isManual = true;
	const second = store.update('1', { status: 'second' }, request);

	replies[2]!();
	await second;
	server.isManual = false;
	server.changed();
	await until(() => store.pending.length === 2);			// the draft, and the slow one
	assert.equal(store.hasConflicts, false);
	replies[0]!();
	await until(() => store.pending.length === 1);
	assert.equal(store.conflicts.length, 0);
	server.database.update('1', { status: 'theirs' });
	await until(() => store.hasConflicts);
	assert.deepEqual(store.conflicts[0]!.fields, { status: { base: 'second', local: 'third', remote: 'theirs' } });
});

test('what may be in conflict is not sent before that is known; it then is one, and nothing of theirs is overwritten', async (t) =>
{
	const { server, store } = await open(t);
	const { request, replies } = slow(server);

	void store.update('2', { status: 'slow' }, request);
	const first = store.update('1', { status: 'first' }, request);
	const second = store.update('1', { status: 'second' }, request);

	server.database.update('1', { status: 'theirs' });
	await turn(10);
	replies[1]!();
	await first;
	await turn(10);
	assert.deepEqual([replies.length, store.hasConflicts], [2, false], 'it may be of the slow one');
	replies[0]!();
	await until(() => store.hasConflicts);
	assert.deepEqual(store.conflicts[0]!.fields, { status: { base: 'first', local: 'second', remote: 'theirs' } });
	assert.equal(server.database.rows.get('1')!.status, 'theirs');
	await store.resolve('1', 'remote');
	await assert.rejects(second, { code: 'conflict' });
	await store.settled();
});

test('a draft that is saved while it is not known whose change came is no conflict until it is', async (t) =>
{
	const { server, store } = await open(t);
	const { request, replies } = slow(server);
	let count = 0;

	store.onConflict(() => { count++; });
	store.edit('1', { status: 'second' });
	const first = store.update('1', { status: 'first' }, request);

	await turn(10);
	const second = store.save('1', request);

	await turn(10);
	replies[0]!();
	await first;
	await until(() => replies.length === 2);
	replies[1]!();
	await second;
	await store.settled();
	assert.deepEqual([count, server.database.rows.get('1')!.status], [0, 'second']);
});

test('replies without a transaction: what I have saved is no conflict for what I change next', async (t) =>
{
	const { server, api, store } = await open(t);
	let count = 0;

	api.hasTx = false;
	api.hold();
	store.onConflict(() => { count++; });
	store.edit('1', { status: 'third' });
	const all = [store.update('1', { status: 'first' }), store.update('1', { status: 'second' })];

	await turn(10);			// the event comes before the reply
	api.open();
	await Promise.all(all);
	await store.settled();
	server.isManual = true;
	const late = store.update('1', { status: 'late' });

	await late;				// and after it
	server.isManual = false;
	server.changed();
	await store.settled();
	assert.equal(count, 0);
	server.database.update('1', { status: 'theirs' });
	await until(() => store.hasConflicts);
	assert.deepEqual(store.conflicts[0]!.fields, { status: { base: 'late', local: 'third', remote: 'theirs' } });
});

test('a load that shows my own save is no conflict for my draft; one that shows another\'s of the same value is', async (t) =>
{
	const { server, client, store } = await open(t);
	const { request, replies } = slow(server);

	store.edit('1', { status: 'draft' });
	server.isManual = true;
	const saving = store.update('1', { status: 'mine' }, request);

	replies[0]!();
	await saving;
	server.database.forget();			// what comes is a load
	server.drop();
	server.isManual = false;
	await store.settled();
	assert.deepEqual([store.pending.length, store.hasConflicts], [1, false]);

	const other = store.update('2', { status: 'theirs' }, request);

	server.isManual = true;
	server.database.update('1', { status: 'theirs' });
	server.database.forget();
	server.drop();
	server.isManual = false;
	await until(() => client.position.value === server.database.position());
	replies[1]!();
	await other;
	await until(() => store.hasConflicts);
	assert.equal(store.conflicts[0]!.fields.status!.remote, 'theirs');
});
