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

	/** The item of a row as it is shown; undefined when it is not. */
	private build(key: string, row: BaseRow | undefined, hasConflict: boolean): Item<T> | undefined
	{
		const { user, lockOf, canEdit, canDelete, enableOptimisticUpdates = true } = this.config;
		const ops = this.pending.of(key);
		const data = this.pending.overlay(key, row?.data, enableOptimisticUpdates) as T | undefined;

		if (!data)
			return undefined;
		const lock = this.locks.get(key) ?? lockOf?.(data);
		const isLocked = !!lock && lock.owner !== user && (lock.expiresAt ?? Infinity) > Date.now();
		const isDeleting = ops.some(({ kind }) => kind === 'remove');
		const isFree = !isLocked && !isDeleting;

		return {
			id: row?.id ?? ops[0]!.id,
			key: this.names.get(key) ?? key,
			data,
			isLoading: ops.some(({ state }) => state === 'sending' || state === 'sent'),
			isDeleting,
			hasUnsavedChanges: ops.some(({ state }) => state !== 'sent'),
			hasConflict,
			isLocked,
			lockedBy: lock?.owner ?? null,
			canEdit: isFree && (canEdit?.(data) ?? true),
			canDelete: isFree && (canDelete?.(data) ?? true),
			local: this.local.get(key) ?? {}
		};
	}
}
