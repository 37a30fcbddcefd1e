// SPDX-License-Identifier: PostgreSQL
//
// store.property.test.ts
//	The store under random interleavings of local writes, replies, others' transactions, frames and reconnects.
//	A model that knows the database's log says what must be shown and which conflicts there must be.
//
// PROPERTY_SEED repeats a run (each test prints its seed), PROPERTY_RUNS (150) is how many there are of each.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import fc from 'fast-check';
import { covers, EntityStore, parsePosition, RealtimeClient, webSocket, type Id, type Row } from '../src/index.js';
import { FakeServer, type Transaction } from './fake-server.js';
import { browser, turn, until } from './support.js';

const seed = Number(process.env.PROPERTY_SEED ?? Date.now() % 2 ** 31);
const numRuns = Number(process.env.PROPERTY_RUNS ?? 150);
const ids = ['1', '2', '3'];
const fields = ['a', 'b'];

/** What a write asked the API for, until the test answers. */
interface Call
{
	op: Own;
	transaction: Transaction | undefined;
	isCommitted: boolean;
	resolve: (reply: unknown) => void;
	reject: (error: unknown) => void;
}

/** A write of mine as the model sees it. */
interface Own
{
	kind: 'add' | 'update' | 'remove';
	id: string;
	patch: Row;

	/** It was made offline. */
	isQueued: boolean;

	/** How many commits of the log were applied when each field was changed. */
	made: Record<string, number>;

	/** The same when it was made, or sent in the end. */
	seen: number;
	tx: string | undefined;
	state: 'open' | 'failed' | 'dropped';
}

/** Whether views have windows; `named`: writers say who they are, so one's own writes are not merged with others'. */
type Merging = boolean | 'named';

/** What may happen; which row, field and value follow from the numbers. */
type Step = [kind: string, row: number, field: number, value: number];

class World
{
	readonly server = new FakeServer();
	readonly client: RealtimeClient;
	readonly store: EntityStore;
	readonly calls: Call[] = [];
	readonly own: Own[] = [];
	readonly others: Transaction[] = [];

	/** My changes that are not sent, of each row. */
	readonly drafts = new Map<string, Pick<Own, 'id' | 'patch' | 'made'>>();
	readonly notes: string[] = [];
	private lastId = 100;
	hasGap = false;

	/** How many commits there were when the network came back. */
	private online = 0;
	private isOffline = false;

	constructor(readonly isReplyingRows: boolean, readonly isWebSocketOnly: boolean, readonly page: ReturnType<typeof browser>,
		isMerging: Merging = false)
	{
		this.server.isMerging = isMerging !== false;
		if (isMerging === 'named')
			this.server.isOwn = (tx) => this.own.some((op) => op.tx === String(tx));
		this.client = new RealtimeClient('http://fake.example', {
			minDelay: 0, maxDelay: 1, stableAfter: 1, upgradeInterval: 5, WebSocket: this.server.WebSocket,
			fetch: this.server.fetch, ...(this.isWebSocketOnly && { transports: [webSocket] })
		});
		for (const id of ids)
			this.server.database.insert({ id: Number(id), a: 0, b: 0 });
		this.store = this.client.entity('orders', 'order', { retries: 0, order: ['id'], catchUpTimeout: 600000 });
		this.store.subscribe(() => this.look());
	}

	/** How many commits of the log the store has applied. */
	get applied(): number
	{
		const position = parsePosition(this.client.position.value ?? '');

		return this.server.database.log.filter(({ tx }) => covers(position, tx)).length;
	}

	async begin(): Promise<void>
	{
		await until(() => this.store.value.loading === false && this.store.items.length === 3);
		this.server.isManual = true;
	}

	/** A call of the API that the test answers later. */
	private request(op: Own): () => Promise<unknown>
	{
		return () => new Promise((resolve, reject) =>
		{
			const position = parsePosition(this.client.position.value ?? '');

			// What others did before the network was back is known before anything of the queue goes.
			if (this.isOffline || (op.isQueued && !this.server.database.log.slice(0, this.online).every(({ tx }) => covers(position, tx))))
				this.notes.push(`${op.kind} ${op.id} is sent before the rows have caught up`);
			// While it waited the other could take his change back: then it was none.
			op.seen = this.applied;
			this.calls.push({ op, transaction: undefined, isCommitted: false, resolve, reject });
		});
	}

	/** A write of mine; what becomes of it is noted. */
	private write(kind: Own['kind'], id: string, patch: Row, work: (request: () => Promise<unknown>) => Promise<unknown>,
		made?: Own['made']): void
	{
		const { applied } = this;
		const op: Own = {
			kind, id, patch, isQueued: this.isOffline, seen: applied, tx: undefined, state: 'open',
			made: made ?? Object.fromEntries(Object.keys(patch).map((field) => [field, applied]))
		};

		this.own.push(op);
		work(this.request(op)).catch((error) =>
		{
			if (op.state === 'open')
				op.state = error.code === 'conflict' ? 'dropped' : 'failed';
		});
	}

	update(id: string, patch: Row): void
	{
		this.write('update', id, patch, (request) => this.store.update(id, patch, request));
	}

	/** The network goes, and with it the connection; or it comes back. */
	setOffline(isOffline: boolean): void
	{
		if (isOffline === this.isOffline)
			return;
		this.isOffline = isOffline;
		this.online = this.server.database.log.length;
		for (const name of ['websocket', 'events', 'poll'])
			this.server.blocked[isOffline ? 'add' : 'delete'](name);
		if (isOffline)
			this.page.goOffline();
		else
			this.page.goOnline();
	}

	/** The database's part of a call: it begins, it ends; then the reply. */
	answer(call: Call, isRefused: boolean): void
	{
		const { database } = this.server;
		const { op } = call;

		if (isRefused && !call.isCommitted)
		{
			call.transaction?.rollback();
			op.state = 'failed';
			this.calls.splice(this.calls.indexOf(call), 1);
			return call.reject(new Error('refused: this is expected'));
		}
		if (!call.transaction)
		{
			call.transaction = database.begin();
			if (op.kind === 'update')
				call.transaction.update(op.id, op.patch);
			else if (op.kind === 'remove')
				call.transaction.remove(op.id);
			else
				call.transaction.insert({ ...op.patch, id: Number(op.id = String(++this.lastId)) });
			op.tx = call.transaction.id;
		}
		else if (!call.isCommitted)
		{
			call.isCommitted = true;
			call.transaction.commit();
		}
		else
		{
			this.calls.splice(this.calls.indexOf(call), 1);
			call.resolve({
				success: true, meta: { tx: call.transaction.id }, ...(this.isReplyingRows && { data: database.rows.get(op.id) })
			});
		}
	}

	/** One step; those that make no sense now do nothing. */
	async step([kind, row, field, value]: Step): Promise<void>
	{
		const { server, store } = this;
		const { database } = server;
		const id = ids[row % ids.length]!;
		const patch = { [fields[field % fields.length]!]: value };

		switch (kind)
		{
			case 'update':
				if (store.get(id))
					this.update(id, patch);
				break;
			case 'lone update':
				if (store.get(id) && !store.pending.some((op) => op.key === id))
					this.update(id, patch);
				break;
			case 'mine adds':
				this.write('add', '', { a: value, b: 0 }, (request) => store.add({ a: value, b: 0 }, request));
				break;
			case 'mine removes':
				if (store.get(id) && !store.get(id)!.isDeleting)
					this.write('remove', id, {}, (request) => store.remove(id, request));
				break;
			case 'edit':
				if (store.get(id))
				{
					const draft = this.drafts.get(id) ?? { id, patch: {}, made: {} };

					for (const name of Object.keys(patch))
						draft.made[name] ??= this.applied;
					Object.assign(draft.patch, patch);
					this.drafts.set(id, draft);
					store.edit(id, patch);
				}
				break;
			case 'save':
			{
				const draft = store.pending.find((op) => op.key === id && op.state === 'draft');

				if (draft)
					this.write('update', id, { ...draft.patch }, (request) => store.save(id, request), this.drafts.get(id)!.made);
				if (!store.pending.some((op) => op.key === id && op.state === 'draft'))
					this.drafts.delete(id);
				break;
			}
			case 'discard':
				this.drafts.delete(id);
				store.discard(id);
				break;
			case 'offline':
				this.setOffline(true);
				break;
			case 'online':
				this.setOffline(false);
				break;
			case 'answer':
				if (this.calls.length > 0)
					this.answer(this.calls[row % this.calls.length]!, value === 5);
				break;
			case 'other begins':
				this.others.push(database.begin().update(id, patch));
				break;
			case 'other removes':
				this.others.push(database.begin().remove(id));
				break;
			case 'other inserts':
				this.others.push(database.begin().insert({ id: ++this.lastId, a: value, b: 0 }));
				break;
			case 'other ends':
			{
				const [other] = this.others.splice(row % Math.max(1, this.others.length), 1);

				if (value === 5)
					other?.rollback();
				else
					other?.commit();
				break;
			}
			case 'advance':
				server.advance();
				break;
			case 'deliver':
				for (const session of [...server.sessions.keys()])
					session.deliver(value);
				break;
			case 'drop':
				server.drop();
				break;
			case 'wait':
				await new Promise((resolve) => setTimeout(resolve, 2));
				break;
			case 'forget':
				database.forget();
				this.hasGap = true;
				break;
			case 'crash':
				database.crash();		// with ids lost, the model could not tell whose a transaction is
				this.hasGap = true;
				break;
		}
		await turn(2);
		this.look();
		assert.deepEqual(this.notes, []);
	}

	/** What must hold at any time, whenever something is shown: nothing of mine flickers or is lost. */
	look(): void
	{
		const { log } = this.server.database;

		for (const item of this.store?.items ?? [])
		{
			// A draft is over all that was sent.
			for (const field of item.hasUnsavedChanges ? [] : fields)
			{
				const mine = this.own.filter((op) => op.id === item.id && op.state === 'open' && Object.hasOwn(op.patch, field)).at(-1);

				if (!mine || (this.hasGap && !this.store.pending.some((op) => op.key === item.id)))
					continue;
				const index = mine.tx === undefined ? -1 : log.findIndex(({ tx }) => String(tx) === mine.tx);
				const later = index < 0 ? [] : log.slice(index + 1).flatMap(({ changes }) => changes)
					.filter((change) => change.id === item.id).map((change) => (change.data as Row)[field]);
				// One that changed nothing is not in the log: then any value committed since it was made.
				const isUnknown = index < 0 && !this.calls.some((call) => call.op === mine && !call.isCommitted) && mine.tx !== undefined;

				if (!isUnknown && ![mine.patch[field], ...later].some((value) => value === item.data[field]))
					this.notes.push(`${item.id}.${field} shows ${item.data[field]} though I wrote ${mine.patch[field]}`);
			}
		}
	}

	/** Whether a row's writes wait for its conflict to be resolved. */
	private isHeld(key: string): boolean
	{
		return this.store.conflicts.some((conflict) => conflict.key === key) &&
			this.store.pending.some((op) => op.key === key && op.state === 'waiting');
	}

	/**
	 * Lets everything come to its end. The position alone does not tell that: a lost connection's is the database's as
	 * long as nobody has written, and what was queued offline has not even been sent.
	 */
	async finish(): Promise<void>
	{
		const { server, store, client } = this;

		this.setOffline(false);
		server.isManual = false;
		server.deliver();
		for (const other of this.others.splice(0))
			other.commit();
		const end = performance.now() + 20000;

		for (;;)
		{
			assert.ok(performance.now() < end, `this does not end: ${JSON.stringify(store.pending)} ${JSON.stringify(store.conflicts)}`);
			while (this.calls.length > 0)
			{
				this.answer(this.calls[0]!, false);
				await turn();
			}
			server.changed();
			await turn(5);
			if (store.pending.every(({ key, state }) => state === 'draft' || (state === 'waiting' && this.isHeld(key))) &&
				this.calls.length === 0 && client.status.value.state === 'connected' &&
				client.position.value === server.database.position() && !store.value.loading)
				break;
			await new Promise((resolve) => setTimeout(resolve, 1));
		}
	}

	/** The store shows what the database has, but for rows of mine that are held until a conflict is resolved. */
	checkEqual(): void
	{
		const shown = Object.fromEntries(this.store.items.map(({ id, data }) => [id, data]).filter(([id]) => !this.isHeld(String(id))));
		const rows = Object.fromEntries([...this.server.database.rows].filter(([id]) => !this.isHeld(id)));

		assert.deepEqual(shown, rows);
	}

	end(): void
	{
		this.setOffline(false);
		this.store.clear();			// no timer of what is held outlives its world
		this.store.stop();
		this.client.close();
		this.server.drop();
	}
}

/** Steps of these kinds, each as often as its number says. */
function steps(weights: Record<string, number>): fc.Arbitrary<Step[]>
{
	const kind = fc.oneof(...Object.entries(weights).map(([name, weight]) => ({ weight, arbitrary: fc.constant(name) })));

	return fc.array(fc.tuple(kind, fc.nat(5), fc.nat(1), fc.nat(5)), { minLength: 5, maxLength: 60, size: 'max' }) as fc.Arbitrary<Step[]>;
}

/** Runs a property over worlds. */
async function check(t: TestContext, weights: Record<string, number>, last: (world: World) => Promise<void>, isWebSocketOnly = true,
	isMerging: Merging = false): Promise<void>
{
	const page = browser(t);

	t.diagnostic(`seed ${seed}, ${numRuns} runs`);
	await fc.assert(fc.asyncProperty(steps(weights), fc.boolean(), async (all, isReplyingRows) =>
	{
		const world = new World(isReplyingRows, isWebSocketOnly, page, isMerging);

		try
		{
			await world.begin();
			for (const step of all)
				await world.step(step);
			await world.finish();
			await last(world);
		}
		finally
		{
			world.end();
		}
	}), { seed, numRuns, includeErrorInReport: true } as fc.Parameters<[Step[], boolean]>);
}

const traffic = {
	answer: 12, 'other begins': 5, 'other ends': 5, advance: 8, deliver: 12, wait: 4
};

for (const isMerging of [false, true])
test(`the store ends equal to the server; nothing of mine flickers or is lost${isMerging ? ', over a window' : ''}`, async (t) =>
{
	const mine = { update: 10, 'mine adds': 1, 'mine removes': 1, edit: 3, save: 3, offline: 1, online: 2 };

	await check(t, { ...traffic, ...mine, 'other removes': 1, 'other inserts': 1, drop: 2 }, async (world) =>
	{
		world.store.pending.filter(({ state }) => state === 'draft').forEach(({ id }) => world.store.discard(id));
		// Resolving sends again; the others' writes are over, so it comes to an end.
		for (let i = 0; world.store.hasConflicts || world.store.pending.length > 0; i++)
		{
			assert.ok(i < 100);
			for (const conflict of world.store.conflicts)
			{
				world.own.forEach((op) => { op.state = op.id === conflict.id && op.tx === undefined ? 'dropped' : op.state; });
				world.store.resolve(conflict.id, conflict.kind === 'overwritten' ? () => ({}) : 'remote').catch(() => {});
			}
			await turn(3);
			for (const call of [...world.calls])
				world.answer(call, false);
			await world.finish();
		}
		world.checkEqual();
	}, true, isMerging);
});

test('the same over lost history and crashes of the database', async (t) =>
{
	await check(t, { ...traffic, update: 10, 'other removes': 1, 'other inserts': 1, drop: 3, forget: 1, crash: 1 }, async (world) =>
	{
		for (let i = 0; world.store.hasConflicts || world.store.pending.length > 0; i++)
		{
			assert.ok(i < 100);
			for (const conflict of world.store.conflicts)
				world.store.resolve(conflict.id, 'remote').catch(() => {});
			await turn(3);
			await world.finish();
		}
		world.checkEqual();
	}, false);
});

test('nothing that was queued offline goes before the rows have what others did meanwhile', async (t) =>
{
	await check(t, { ...traffic, 'lone update': 8, drop: 1, offline: 4, online: 4 }, async (world) =>
	{
		for (const { fields: conflicting, kind, id } of world.store.conflicts)
		{
			const queued = world.own.filter((op) => op.isQueued && op.id === id && op.tx === undefined && op.state === 'open');

			// Held until it is resolved: the row has the other's value.
			if (kind === 'changed' && queued.length > 0)
			{
				for (const [field, { remote }] of Object.entries(conflicting) as [string, { remote: unknown }][])
				{
					if (queued.some(({ patch }) => Object.hasOwn(patch, field)))
						assert.equal(world.server.database.rows.get(String(id))?.[field], remote);
				}
			}
		}
	}, false);
});

const windows = new Map<Merging, string>([
	[false, ''], [true, '; over a window, none elsewhere'],
	['named', '; over a window, where writers are named, none elsewhere and wherever what I wrote over was another\'s']
]);

for (const [isMerging, text] of windows)
test(`conflicts of sent writes are exactly where another changed my field between my change and my commit${text}`, async (t) =>
{
	await check(t, { ...traffic, 'lone update': 10, drop: 1, offline: 1, online: 2 }, async (world) =>
	{
		const { log } = world.server.database;
		const expected = new Set<string>();
		const unknown = new Set<string>();
		const overwritten = new Set<string>();

		for (const op of world.own.filter(({ state }) => state === 'open'))
		{
			const mine = log.findIndex(({ tx }) => String(tx) === op.tx);

			for (const [field, value] of Object.entries(op.patch))
			{
				if (mine < 0)
					unknown.add(`${op.id}.${field}`);
				const isMine = (tx: bigint) => world.own.some((other) => other.tx === String(tx));

				for (const { tx, changes } of log.slice(op.seen, Math.max(mine, 0)))
				{
					if (!isMine(tx) && changes.some(({ id, old, data }) => id === op.id && old && Object.hasOwn(old, field) &&
						(data as Row)[field] !== value))
						expected.add(`${op.id}.${field}`);
				}

				// What stood there when I wrote over it: another's, neither mine nor what it was before.
				const valueOf = (commits: typeof log) => commits.flatMap(({ changes }) => changes).filter(({ id }) => id === op.id)
					.map(({ data }) => (data as Row)[field]).at(-1);
				const between = log.slice(op.seen, Math.max(mine, 0));
				const last = valueOf(between.filter(({ tx }) => !isMine(tx)));

				if (last !== undefined && ![value, valueOf(log.slice(0, op.seen))].includes(last) && last === valueOf(log.slice(0, mine)))
					overwritten.add(`${op.id}.${field}`);
			}
		}
		const found = new Set(world.store.conflicts.flatMap(({ id, fields: conflicting }) =>
			Object.keys(conflicting).map((field) => `${id as Id}.${field}`)));

		for (const name of unknown)
		{
			expected.delete(name);
			overwritten.delete(name);
			found.delete(name);
		}
		// What a window has merged does not tell all that happened; what is told has.
		assert.deepEqual([...found].sort(), [...expected].filter((name) => !isMerging || found.has(name)).sort());
		if (isMerging === 'named')
			assert.deepEqual([...overwritten].filter((name) => !found.has(name)), []);
		world.checkEqual();
	}, true, isMerging);
});

test('what is not sent conflicts exactly where another\'s value is neither mine nor what mine was made on, by then', async (t) =>
{
	await check(t, { ...traffic, update: 12, edit: 6, save: 2, discard: 1, drop: 1, offline: 1, online: 2 }, async (world) =>
	{
		const { log } = world.server.database;
		const waiting = world.own.filter(({ state, tx }) => state === 'open' && tx === undefined);
		const expected = new Set<string>();
		const found = world.store.conflicts.flatMap(({ id, fields: conflicting }) => Object.keys(conflicting).map((field) => `${id as Id}.${field}`));

		for (const [key, conflicting] of world.store['waiting'].overwritten)		// of what was sent: another property's
			[...conflicting.keys()].forEach((field) => expected.add(`${key}.${field}`));
		for (const { id, patch, made } of [...waiting, ...world.drafts.values()])
		{
			for (const [field, value] of Object.entries(patch))
			{
				let [baseline, last]: unknown[] = [undefined, undefined];

				for (const [i, { tx, changes }] of log.entries())
				{
					const isMine = i < made[field]! || world.own.some((other) => other.tx === String(tx));

					for (const { data } of changes.filter((change) => change.id === id))
					{
						// What I have saved myself is what my next change is made on.
						if (isMine && (data as Row)[field] !== last)
							baseline = (data as Row)[field];
						last = (data as Row)[field];
					}
				}
				if (last !== baseline && last !== value)
					expected.add(`${id}.${field}`);
			}
		}
		assert.deepEqual([...new Set(found)].sort(), [...expected].sort());
	});
});

// Counter-examples that random steps have found.

test('all has come to its end only when the connection is back, though nobody has written meanwhile', async (t) =>
{
	const world = new World(false, true, browser(t));
	const { server } = world;

	t.after(() => world.end());
	await world.begin();
	await world.step(['offline', 0, 0, 0]);
	await world.step(['lone update', 0, 0, 0]);
	world.setOffline(false);
	server.blocked.add('websocket');
	await world.step(['lone update', 1, 0, 1]);
	setTimeout(() => server.blocked.clear(), 20);
	await world.finish();
	assert.equal(server.database.rows.get('2')!.a, 1);
	world.checkEqual();
});
