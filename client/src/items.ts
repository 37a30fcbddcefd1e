// SPDX-License-Identifier: PostgreSQL
//
// items.ts
//	The items that a store shows: rows with local changes over them, and what only this client knows.
//
// Model
// 1. An item is made anew when its row is touched; else it is the same object as before.
// 2. Rows that come while an `add` is under way may be its own. They are held back until it is
//	  answered (`heldTime` at most): a new row is never shown twice.
// 3. `names` has, for rows whose key has changed, the one that they were first shown with.

import type { Item, StoreConfig } from './config.js';
import type { Locks } from './locks.js';
import type { Pending, PendingOperation } from './pending.js';
import type { Id } from './protocol.js';
import type { BaseRow } from './rows.js';

const heldTime = 3000;

type Rights = Pick<Item<unknown>, 'isLocked' | 'lockedBy' | 'canEdit' | 'canDelete'>;

export class Items<T extends object>
{
	private readonly shown = new Map<string, Item<T>>();
	private readonly dirty = new Set<string>();
	private readonly names = new Map<string, string>();
	private readonly held = new Map<string, Set<PendingOperation>>();
	private readonly local = new Map<string, Record<string, unknown>>();

	/** `touched` is called when compute() is needed. */
	constructor(private readonly config: StoreConfig<T>, private readonly pending: Pending,
		private readonly locks: Locks, private readonly touched: () => void)
	{
	}

	/** An item as it was shown last. */
	get(key: string): Item<T> | undefined
	{
		return this.shown.get(key);
	}

	/** A row is to be shown anew. */
	touch(key: string): void
	{
		this.dirty.add(key);
		this.touched();
	}

	setLocal(key: string, fields: Record<string, unknown>): void
	{
		this.local.set(key, { ...this.local.get(key), ...fields });
		this.touch(key);
	}

	/** Does not show a new row that may be that of an `add` under way. */
	hold(key: string, tx: string): void
	{
		const adds = this.pending.flying.filter((op) => op.kind === 'add' && op.key !== key);

		if (adds.length === 0 || this.pending.isMine(tx) || this.config.enableOptimisticUpdates === false)
			return;
		this.held.set(key, new Set(adds));
		setTimeout(() => this.show(key), heldTime);
	}

	/** Shows the rows that were held for an `add` that is answered. */
	release(op: PendingOperation): void
	{
		for (const [key, waits] of this.held)
		{
			if (waits.delete(op) && waits.size === 0)
				this.show(key);
		}
	}

	/** Does not hold a row any more. */
	show(key: string): void
	{
		if (this.held.delete(key))
			this.touch(key);
	}

	showAll(): void
	{
		for (const key of [...this.held.keys()])
			this.show(key);
	}

	/** A row has another key now. It is shown under the same one as before, with what is known of it here. */
	rename(from: string, to: string, id: Id): void
	{
		const fields = this.local.get(from);

		if (from === to)
			return;
		this.pending.rename(from, to, id);
		this.names.set(to, this.names.get(from) ?? from);
		this.names.delete(from);
		this.held.delete(to);
		if (fields)
		{
			this.local.delete(from);
			this.local.set(to, fields);
		}
		this.touch(from);
		this.touch(to);
	}

	/** Shows those rows anew whose locks and rights are others now, because of something besides them. */
	recheck(): void
	{
		for (const [key, item] of this.shown)
		{
			const now = this.rightsOf(key, item.data, item.isDeleting);

			if (Object.entries(now).some(([name, value]) => item[name as keyof Rights] !== value))
				this.touch(key);
		}
	}

	/** All items in the order of the rows, then those that are being added. */
	compute(rows: ReadonlyMap<string, BaseRow>, conflicting: ReadonlySet<string>): Item<T>[]
	{
		const keys = new Set(rows.keys());
		const items: Item<T>[] = [];

		for (const { kind, key } of this.config.enableOptimisticUpdates === false ? [] : this.pending.ops)
		{
			if (kind === 'add')
				keys.add(key);
		}
		for (const key of this.dirty)
			this.shown.delete(key);
		this.dirty.clear();
		for (const key of keys)
		{
			const hasConflict = conflicting.has(key);
			let item = this.shown.get(key);

			if (this.held.has(key))
				continue;
			if (!item || item.hasConflict !== hasConflict)
				item = this.build(key, rows.get(key), hasConflict);
			if (!item)
				continue;
			this.shown.set(key, item);
			items.push(item);
		}
		return items;
	}

	/** Who has locked a row, and what may be done with it. */
	private rightsOf(key: string, data: Readonly<T>, isDeleting: boolean): Rights
	{
		const { user, lockOf, canEdit, canDelete } = this.config;
		const said = this.locks.get(key);
		const found = said ?? lockOf?.(data);
		const lock = found && (found.expiresAt ?? Infinity) > Date.now() ? found : undefined;
		const isLocked = !!lock && lock.owner !== user;
		const isFree = !isLocked && !isDeleting;

		this.locks.derive(key, said ? undefined : lock);
		return {
			isLocked,
			lockedBy: lock?.owner ?? null,
			canEdit: isFree && (canEdit?.(data) ?? true),
			canDelete: isFree && (canDelete?.(data) ?? true)
		};
	}

	/** The item of a row as it is shown; undefined when it is not. */
	private build(key: string, row: BaseRow | undefined, hasConflict: boolean): Item<T> | undefined
	{
		const ops = this.pending.of(key);
		const data = this.pending.overlay(key, row?.data, this.config.enableOptimisticUpdates ?? true) as T | undefined;
		const isDeleting = ops.some(({ kind }) => kind === 'remove');

		if (!data)
		{
			this.locks.derive(key, undefined);
			return undefined;
		}
		return {
			id: row?.id ?? ops[0]!.id,
			key: this.names.get(key) ?? key,
			data,
			isLoading: ops.some(({ state }) => state === 'sending' || state === 'sent'),
			isDeleting,
			isWaiting: ops.some(({ state }) => state === 'waiting'),
			hasUnsavedChanges: ops.some(({ state }) => state === 'draft'),
			hasConflict,
			...this.rightsOf(key, data, isDeleting),
			local: this.local.get(key) ?? {}
		};
	}
}
