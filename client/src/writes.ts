// SPDX-License-Identifier: PostgreSQL
//
// writes.ts
//	A store's local changes from the call to their end: made, sent by the outbox, confirmed by their transaction or
//	rolled back, resolved when they conflict. Knows no subscription.

import type { StoreConfig } from './config.js';
import type { RealtimeCore } from './core.js';
import { equal } from './equal.js';
import { RealtimeError, report } from './error.js';
import type { Items } from './items.js';
import { Outbox } from './outbox.js';
import type { Operation, Pending, PendingOperation } from './pending.js';
import { covers, includes, parsePosition } from './position.js';
import type { Id, Row } from './protocol.js';
import { refusalOf, type KeptOperation } from './queue.js';
import { usualReply } from './reply.js';
import { chosen, type Resolution } from './resolution.js';
import type { Rows } from './rows.js';
import { batch, Listeners } from './signal.js';
import { idOf, type Source } from './source.js';
import { keyOf } from './view.js';

type Send = PendingOperation['request'];

/** How a change is sent: a call, or the name of one (a function of `api` or of `requests`). */
export type SendBy = ((...args: any[]) => Promise<unknown>) | string;

/** A request to create a row takes no id. */
const forAdd = (send: Send): Send => send && ((_id, patch) => (send as unknown as (patch: Row) => Promise<unknown>)(patch));

export class Writes
{
	readonly outbox: Outbox;

	/** Told of each change of a former page: it was sent, or why not. */
	readonly replayed = new Listeners<[Operation, Error | undefined]>();

	constructor(private readonly client: RealtimeCore, private readonly config: StoreConfig<any>, private readonly pending: Pending,
		private readonly rows: Rows, private readonly source: Source, private readonly display: Items<any>)
	{
		const { readReply = usualReply, isOffline, offlineLimit = 100, retries = 3, catchUpTimeout = 5000 } = config;

		this.outbox = new Outbox(pending, {
			read: (reply) => readReply(reply),
			isOffline: isOffline ?? (() => globalThis.navigator?.onLine === false),
			isBehind: () => source.isStarted && source.isBehind,
			isConflicting: (op) => pending.conflictFields(op, this.rowOf(op.key), true).length > 0,
			replied: (op, tx, row) => this.replied(op, tx, row),
			failed: (op, error) => this.failed(op, error),
			touch: (key) => display.touch(key)
		}, { offlineLimit, retries, catchUpTimeout });
	}

	add(data: Row, how: SendBy = 'create'): Promise<unknown>
	{
		const id = idOf(this.config, data) ?? `local:${Math.random().toString(36).slice(2)}`;
		const { name, send } = this.requestOf(how);

		return this.outbox.put({
			kind: 'add', key: keyOf(id), id, patch: { ...data }, baseline: {}, name,
			request: forAdd(send)
		});
	}

	update(id: Id, patch: Row, how: SendBy = 'update'): Promise<unknown>
	{
		const key = keyOf(id);
		const row = this.rowOf(key);
		const baseline = Object.fromEntries(Object.keys(patch).map((field) => [field, row?.[field]]));
		const { name, send } = this.requestOf(how);

		return this.outbox.put({ kind: 'update', key, id, patch: { ...patch }, baseline, name, request: send });
	}

	remove(id: Id, how: SendBy = 'remove'): Promise<unknown>
	{
		const { name, send } = this.requestOf(how);

		return this.outbox.put({ kind: 'remove', key: keyOf(id), id, patch: {}, baseline: {}, name, request: send });
	}

	edit(id: Id, patch: Row): void
	{
		const key = keyOf(id);
		const row = this.rowOf(key);

		batch(() =>
		{
			const draft = this.draft(key) ?? this.outbox.add({
				kind: 'update', key, id, patch: {}, baseline: {}, state: 'draft', name: undefined, request: undefined,
				resolve: () => {}, reject: () => {}
			});

			for (const [field, value] of Object.entries(patch))
			{
				if (!Object.hasOwn(draft.patch, field))
					draft.baseline[field] = row?.[field];
				draft.patch[field] = value;
			}
			this.display.touch(key);
		});
	}

	save(id: Id, how: SendBy = 'update'): Promise<unknown>
	{
		const key = keyOf(id);
		const draft = this.draft(key);
		const { name, send } = this.requestOf(how);

		if (!draft)
			return Promise.resolve();
		if (this.pending.conflictFields(draft, this.rowOf(key)).length > 0)
			return Promise.reject(new RealtimeError('conflict', 'somebody else changed the same fields'));
		return batch(() =>
		{
			const { isFull } = this.outbox;

			// What cannot wait stays a draft.
			if (!isFull)
				this.drop(draft);
			return this.outbox.put({ kind: 'update', key, id, patch: draft.patch, baseline: draft.baseline, name, request: send }, draft);
		});
	}

	discard(id: Id): void
	{
		const draft = this.draft(keyOf(id));

		if (draft)
			this.drop(draft);
	}

	async resolve(id: Id, how: Resolution<Row>): Promise<unknown>
	{
		const key = keyOf(id);
		const conflict = this.pending.conflicts(this.rows.map).find((one) => one.key === key);

		if (!conflict)
			return undefined;
		const values = chosen(conflict, how);
		const row = this.rowOf(key);
		const sent = batch(() =>
		{
			const overwritten = [...this.pending.overwritten.get(key)?.keys() ?? []];
			const patch: Row = {};
			let isSaving = false;

			this.pending.overwritten.delete(key);
			for (const field of overwritten)
				patch[field] = values[field];
			for (const op of this.pending.of(key))
			{
				for (const field of this.pending.conflictFields(op, row))
				{
					delete patch[field];
					op.baseline[field] = row?.[field];
					if (equal(values[field], row?.[field]))
						delete op.patch[field];
					else
						op.patch[field] = values[field];
				}
				if (Object.keys(op.patch).length === 0 && op.kind === 'update' && op.state !== 'sent')
				{
					this.drop(op);
					op.reject(new RealtimeError('conflict', "the other's values were kept"));
				}
				else
					isSaving ||= op.state === 'draft';
			}
			this.display.touch(key);
			return [
				isSaving ? this.save(id) : undefined,
				Object.keys(patch).length > 0 ? this.update(id, patch) : undefined
			];
		});

		this.outbox.pump();
		return (await Promise.all(sent)).find((reply) => reply !== undefined);
	}

	/** Drops what is not sent. */
	clear(): void
	{
		for (const op of this.pending.ops.filter(({ state }) => state === 'draft' || state === 'waiting'))
		{
			this.drop(op);
			op.reject(new RealtimeError('cleared', 'the changes were dropped'));
		}
		// Nothing waits for the rows any more.
		this.outbox.pump();
	}

	/** Takes the changes that a former page has left. */
	restore(kept: KeptOperation[]): void
	{
		const refused: (() => void)[] = [];
		const { room } = this.outbox;
		const ops = kept.map((one, i): PendingOperation =>
		{
			const { name, send } = this.requestOf(one.name ?? '');
			const { isTried: _, ...rest } = one;
			const op: PendingOperation = {
				...rest, state: 'waiting', tx: undefined, row: undefined, attempts: 0, isDue: false, isSynced: false,
				request: one.kind === 'add' ? forAdd(send) : send,
				resolve: () => this.replayed.emit({ ...op }, undefined),
				reject: (error) => this.replayed.emit({ ...op }, error as Error)
			};
			const error = refusalOf(one, name !== undefined) ??
				(i < room ? undefined : new RealtimeError('offline', 'too many changes wait'));

			if (error)
				refused.push(() => this.refuse(op, error));
			return op;
		});

		batch(() =>
		{
			this.outbox.takeOver(ops);
			refused.forEach((refuse) => refuse());
		});
		// Where the rows are live already, no position need come.
		if (this.source.isCurrent && !this.source.isBehind)
			this.outbox.release();
		else
			this.outbox.pump();
	}

	/** Ends the operations that the rows show. */
	settle(): void
	{
		const { at } = this.rows;

		for (const op of this.pending.ops)
		{
			if (op.state === 'sent' && this.source.isCurrent && (op.isSynced || (op.tx !== undefined && covers(at, op.tx))))
				this.drop(op);
		}
	}

	/** What a change is sent with, and its name if it has one. */
	private requestOf(how: SendBy): { name: string | undefined; send: Send }
	{
		const { api, requests } = this.config;

		if (typeof how !== 'string')
			return { name: undefined, send: how };
		const own = requests && Object.hasOwn(requests, how) ? requests[how] : undefined;
		const of = api as Record<string, ((...args: unknown[]) => Promise<unknown>) | undefined> | undefined;

		if (!own && !of?.[how])
		{
			return {
				name: undefined,
				send: async () => { throw new RealtimeError('bad_request', `this store has no api.${how}`); }
			};
		}
		return { name: how, send: async (...args) => own ? own(...args) : of![how]!(...args) };
	}

	private rowOf(key: string): Row | undefined
	{
		return this.rows.map.get(key)?.data;
	}

	private draft(key: string): PendingOperation | undefined
	{
		return this.pending.of(key).find(({ state }) => state === 'draft');
	}

	private drop(op: PendingOperation): void
	{
		this.pending.drop(op);
		this.display.touch(op.key);
	}

	private refuse(op: PendingOperation, error: unknown): void
	{
		this.failed(op, error);
		op.reject(error);
	}

	/** A write was accepted. */
	private replied(op: PendingOperation, tx: string | undefined, row: Row | undefined): void
	{
		batch(() =>
		{
			const id = op.kind === 'add' && row ? idOf(this.config, row) : undefined;

			if (id !== undefined)
				this.display.rename(op.key, keyOf(id), id);
			this.pending.replied(op, tx, row);
			if (op.kind === 'remove')
			{
				for (const draft of this.pending.of(op.key).filter(({ state }) => state === 'draft'))
					this.drop(draft);
			}
			this.display.release(op);
			this.display.touch(op.key);
			this.settle();
		});
		if (!this.pending.ops.includes(op) || !this.source.isStarted)
			return;
		if (tx !== undefined)
			void this.client.sync(tx).then(() => this.synced(op));
		else
			void this.barrier(op);
	}

	/** The stream has what an operation did. */
	private synced(op: PendingOperation): void
	{
		batch(() =>
		{
			op.isSynced = true;
			this.settle();
		});
	}

	/** For a reply without transaction: reads the row; what that read has seen has the write. */
	private async barrier(op: PendingOperation): Promise<void>
	{
		const { feature, entity } = this.config;

		for (let attempt = 0; this.source.isStarted && this.pending.ops.includes(op); attempt++)
		{
			try
			{
				const position = parsePosition((await this.client.read(feature, entity, { limit: 1 })).position);
				const isThere = () => this.rows.at?.epoch !== position?.epoch || includes(this.rows.at, position);

				while (this.source.isStarted && !isThere())
					await new Promise<void>((resolve) => { const end = this.client.position.subscribe(() => { end(); resolve(); }); });
				return this.synced(op);
			}
			catch (error)
			{
				report(error);
				await new Promise((resolve) => setTimeout(resolve, Math.min(30000, 500 * 2 ** attempt)));
			}
		}
	}

	/** A write was refused: it is as if it had never been. */
	private failed(op: PendingOperation, error: unknown): void
	{
		batch(() =>
		{
			this.pending.landed(op);
			this.drop(op);
			this.display.release(op);
			// What was to follow on a row that was not created cannot be sent.
			for (const other of op.kind === 'add' ? this.pending.of(op.key) : [])
			{
				this.drop(other);
				other.reject(error);
			}
			this.source.setError(error instanceof Error ? error : new Error(String(error)));
		});
	}
}
