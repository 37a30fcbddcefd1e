// SPDX-License-Identifier: PostgreSQL
//
// store.ts
//	EntityStore, the state manager: the rows of an entity, kept live, with local changes over them.
//
// Model
// 1. `rows` has the server's rows: a load replaces them, events change them (source.ts). Local changes are operations
//	  (pending.ts) laid over them. What is shown is computed once per batch (`publish`).
// 2. Writes go through the application's API (writes.ts, outbox.ts). The reply names its transaction; the operation ends
//	  when the position of the rows covers it, in the same batch that has its events. A reply without a transaction
//	  is followed by a read of the row, whose position covers the write.
// 3. The store lives while somebody has subscribed to it, or from start() to stop().

import { BulkOperations } from './bulk.js';
import type { BulkOperation, Item, StoreConfig, StoreState } from './config.js';
import type { RealtimeCore } from './core.js';
import { RealtimeError, report } from './error.js';
import { Items } from './items.js';
import { Locks } from './locks.js';
import { comparator } from './order.js';
import { Pending, type Cause, type Conflict, type Operation } from './pending.js';
import { parsePosition } from './position.js';
import type { Id, RealtimeEvent, Row } from './protocol.js';
import { Queue } from './queue.js';
import type { Resolution } from './resolution.js';
import { Rows } from './rows.js';
import { afterwards, atEnd, batch, Listeners, Value } from './signal.js';
import { idOf, Source } from './source.js';
import { keyOf } from './view.js';
import { Writes } from './writes.js';

// Milliseconds that a store stays live when nobody watches it: whoever is back at once finds it as it was.
const lingering = 5000;

/** Sends a write: what the API call is, given the id that the row has by then. */
export type Request<T> = (id: Id, patch: Partial<T>) => Promise<unknown>;

/** Told of an event that was applied: the row's item (as it was, when it is gone), and the event. */
export type StoreHandler<T> = (item: Item<T> | undefined, event: RealtimeEvent<T>) => void;

/**
 * The state manager: the rows of an entity, kept live, with local changes over them. Live while somebody has subscribed,
 * or from start() to stop().
 */
export class EntityStore<T extends object = Row>
{
	/** What it was made with. */
	readonly config: StoreConfig<T>;
	private readonly state: Value<StoreState<T>>;
	private readonly rows = new Rows((key, before, after) => this.changed(key, before, after));
	private readonly waiting: Pending;
	private readonly source: Source;
	private readonly writes: Writes;
	private readonly queue: Queue | undefined;
	private readonly bulkOperations: BulkOperations;
	private readonly locks = new Locks((key) => this.display.touch(key));
	private readonly held = new Set<string>();		// keys of the rows that I have locked here
	private readonly handlers = new Map<string, Listeners<[Item<T> | undefined, RealtimeEvent<T>]>>();
	private readonly conflictHandlers = new Listeners<[Conflict<T>]>();
	private readonly compare: ((a: T, b: T) => number) | undefined;
	private readonly display: Items<T>;
	private cause: Cause = { tx: undefined, at: undefined };
	private users = 0;
	private idle: ReturnType<typeof setTimeout> | undefined;
	private unlisten: (() => void)[] = [];
	private isPublishing = false;

	/** Usually made by `client.entity()`. Nothing happens until somebody subscribes. */
	constructor(client: RealtimeCore, config: StoreConfig<T>)
	{
		const { order, sort, storage, keepQueue, locks = globalThis.navigator?.locks } = config;

		this.config = config;
		this.compare = sort ?? (order && comparator(order) as (a: T, b: T) => number);
		this.waiting = new Pending(config.enableConflictDetection ?? true);
		this.bulkOperations = new BulkOperations(config.bulkTimeout ?? 60000, () => this.publish());
		this.display = new Items(config, this.waiting, this.locks, () => this.publish());
		this.source = new Source(client, config, this.rows, {
			loading: (at) =>
			{
				this.cause = { tx: undefined, at };
				this.waiting.noteLoad();
			},
			loaded: () =>
			{
				this.display.showAll();
				void this.queue?.restore();
			},
			events: (events, position) => this.takeEvents(events, position),
			reached: (isBack) =>
			{
				this.writes.settle();
				if (isBack || this.writes.outbox.isHolding)
					afterwards(() => this.writes.outbox.release());
			},
			missed: () => this.locks.clear().forEach((key) => this.display.touch(key)),
			changed: () => this.publish()
		});
		this.writes = new Writes(client, config, this.waiting, this.rows, this.source, this.display);
		if (keepQueue && storage && locks)
			this.queue = new Queue(storage, `${this.source.key} queue`, locks, (kept) => this.writes.restore(kept));
		this.state = new Value<StoreState<T>>({
			items: [], itemsById: new Map(), loading: false, error: null, conflicts: [], hasConflicts: false,
			pending: [], bulk: [], hasMore: false
		});
	}

	// ---- what it shows

	/** Everything that is shown: the same object until something changes. */
	get value(): StoreState<T>
	{
		return this.state.value;
	}

	/** The rows as they are shown, sorted. An item that did not change is the same object as before. */
	get items(): readonly Item<T>[]
	{
		return this.value.items;
	}

	/** The same items by keyOf(id): the id itself for keys of one column. */
	get itemsById(): ReadonlyMap<string, Item<T>>
	{
		return this.value.itemsById;
	}

	/** Whether rows are awaited, the first or fresh ones. */
	get loading(): boolean
	{
		return this.value.loading;
	}

	/** What went wrong: a refused subscription, a refused write, api.list(). Null again with the next load. */
	get error(): Error | null
	{
		return this.value.error;
	}

	/** The bulk operations of the entity: those that run, and those that ended lately. */
	get bulk(): readonly BulkOperation[]
	{
		return this.value.bulk;
	}

	/** The rows of which somebody else changed fields that I have changed, too. */
	get conflicts(): readonly Conflict<T>[]
	{
		return this.value.conflicts;
	}

	/** Whether there are conflicts. */
	get hasConflicts(): boolean
	{
		return this.value.hasConflicts;
	}

	/** My changes that the server's rows do not show yet, drafts too, in order. */
	get pending(): readonly Operation<T>[]
	{
		return this.value.pending;
	}

	/** Calls the listener after each change. The store is live while somebody has subscribed. */
	subscribe(listener: (value: StoreState<T>) => void): () => void
	{
		const unsubscribe = this.state.subscribe(listener);
		let isOver = false;

		this.users++;
		this.start();
		return () =>
		{
			if (isOver)
				return;
			isOver = true;
			unsubscribe();
			if (--this.users === 0)
				this.idle = setTimeout(() => this.users === 0 && this.stop(), lingering);
		};
	}

	/** An item by its id. */
	get(id: Id): Item<T> | undefined
	{
		return this.itemsById.get(keyOf(id));
	}

	/** The items for which a function of the row (and the item) is true, in the order of `items`. */
	getItemsWhere(where: (data: Readonly<T>, item: Item<T>) => boolean): Item<T>[]
	{
		return this.items.filter((item) => where(item.data, item));
	}

	/** The items whose `statusField` has this value, or one of these. */
	getItemsByStatus(status: unknown): Item<T>[]
	{
		const field = (this.config.statusField ?? 'status') as keyof T;
		const wanted = Array.isArray(status) ? status : [status];

		return this.getItemsWhere((data) => wanted.includes(data[field]));
	}

	/** Milliseconds since the last full load; events do not count as one. Infinity: there was none. */
	get cacheAge(): number
	{
		return this.source.cacheAge;
	}

	/** Whether the rows may not be used without a load: older than `cacheTTL`, events were missed, or caching is off. */
	get isCacheStale(): boolean
	{
		return this.source.isCacheStale;
	}

	// ---- its life

	/** Begins to be live. Not needed where somebody subscribes. */
	start(): void
	{
		clearTimeout(this.idle);
		if (this.source.isStarted)
			return;
		const { outbox } = this.writes;
		const pump = () => outbox.pump();

		for (const name of ['online', 'offline'])
			globalThis.addEventListener?.(name, pump);
		this.unlisten = [
			() => ['online', 'offline'].forEach((name) => globalThis.removeEventListener?.(name, pump)),
			...(this.config.dependsOn ?? []).map((one) => one.subscribe(() => this.display.recheck()))
		];
		this.source.start();
		this.display.recheck();
	}

	/** Is not live any more; gives back the locks that lock() has taken. Rows stay if caching is on, and are resumed from. */
	stop(): void
	{
		if (!this.source.isStarted)
			return;
		for (const key of this.held)
			this.unlock(this.rows.map.get(key)?.id ?? key).catch(report);
		this.unlisten.forEach((end) => end());
		this.locks.stop();
		this.bulkOperations.forget();
		batch(() => this.source.stop());
	}

	/** Forgets all rows and all changes that are not sent, also in the storage: for when another user comes. */
	clear(): void
	{
		batch(() =>
		{
			this.writes.clear();
			this.source.clear();
		});
	}

	/**
	 * Resolves when rows are there that are not stale; loads them if need be, in any case with `isForced`. Begins to be live.
	 * Rejects when the server refuses; waits while it cannot be reached.
	 */
	load(isForced = false): Promise<void>
	{
		const wasStarted = this.source.isStarted;

		this.start();
		return this.source.load(isForced, wasStarted);
	}

	/** With a limit: loads so many rows more. */
	loadMore(count = this.config.limit ?? 0): Promise<void>
	{
		this.source.loadMore(count);
		return this.load(true);
	}

	/** Sets `loading`, for work of the application's own. The store sets it, too: with the next load or gap. */
	setLoading(loading: boolean): void
	{
		this.source.setLoading(loading);
	}

	/** Sets `error`; null: takes it away. The next load takes it away, too. */
	setError(error: Error | null): void
	{
		this.source.setError(error);
	}

	/** Does not show a bulk operation any more that has ended, or that nobody hears of; whether there was one. */
	dismissBulk(id: string): boolean
	{
		const isGone = this.bulkOperations.dismiss(id);

		if (isGone)
			this.publish();
		return isGone;
	}

	// ---- being told

	/** Called for each event of that action that was applied, after it is shown; `*`: all. Ends by the function. */
	on(action: string, handler: StoreHandler<T>): () => void
	{
		if (!this.handlers.has(action))
			this.handlers.set(action, new Listeners());
		return this.handlers.get(action)!.add(handler);
	}

	/** Called when a row begins to conflict. */
	onConflict(handler: (conflict: Conflict<T>) => void): () => void
	{
		return this.conflictHandlers.add(handler);
	}

	/** Called for each change of a former page (`keepQueue`): without an error when it was sent, else with why it was not. */
	onReplayed(handler: (operation: Operation<T>, error: Error | undefined) => void): () => void
	{
		return this.writes.replayed.add(handler as (operation: Operation, error: Error | undefined) => void);
	}

	/** For classes that extend this one: a row has come, also by `entered`. Called when it is shown. What it throws is reported. */
	protected onItemCreated(_item: Item<T>, _event: RealtimeEvent<T>): void {}

	/** A row has changed. */
	protected onItemUpdated(_item: Item<T>, _event: RealtimeEvent<T>): void {}

	/** A row is gone, also by `left`; the item is as it was. */
	protected onItemDeleted(_item: Item<T> | undefined, _event: RealtimeEvent<T>): void {}

	// ---- writing

	/**
	 * Creates a row. Shown at once under a key of its own until the reply says which row it is. The promise has the
	 * reply; or it rejects, and nothing is shown any more: with the API's error, `refused`, `offline` (too many wait) or
	 * `bad_request` (there is no such call).
	 */
	add(data: Partial<T>, request?: ((data: Partial<T>) => Promise<unknown>) | string): Promise<unknown>
	{
		return this.writes.add(data as Row, request);
	}

	/**
	 * Changes fields of a row. `request` is the API call, for custom actions too: `() => api.approve(id)`; or the
	 * name of one of `config.requests`. Shows at once. The promise has the reply; or it rejects as that of add() does, and
	 * the row is as if nothing had been. Rejects with `conflict` if resolve() leaves nothing of it.
	 */
	update(id: Id, patch: Partial<T>, request?: Request<T> | string): Promise<unknown>
	{
		return this.writes.update(id, patch as Row, request);
	}

	/** Deletes a row. It is shown as busy until the reply, then gone. Rejects as add() does; the row stays then. */
	remove(id: Id, request?: ((id: Id) => Promise<unknown>) | string): Promise<unknown>
	{
		return this.writes.remove(id, request);
	}

	/** Takes rows from elsewhere (an API) as the server's: a full load. */
	set(data: readonly T[]): void
	{
		batch(() => this.source.set(data.map((row) => ({ id: idOf(this.config, row) ?? '', data: { ...row } as Row }))));
	}

	/** Changes fields without sending them: a draft, until save() or discard(). */
	edit(id: Id, patch: Partial<T>): void
	{
		this.writes.edit(id, patch as Row);
	}

	/** Sends a row's draft, as update() does; nothing if there is none. Rejects with `conflict` while it has one. */
	save(id: Id, request?: Request<T> | string): Promise<unknown>
	{
		return this.writes.save(id, request);
	}

	/** Drops a row's draft. */
	discard(id: Id): void
	{
		this.writes.discard(id);
	}

	/** Fields that only this client knows, in `item.local`. They survive changes of the row. */
	setLocal(id: Id, fields: Record<string, unknown>): void
	{
		this.display.setLocal(keyOf(id), fields);
	}

	/**
	 * Locks a row through the API; who has it is known from the event, or from the row. Rejects when the API does, and with
	 * `bad_request` when it has no lock(). stop() gives it back.
	 */
	async lock(id: Id, type?: string): Promise<void>
	{
		await this.api('lock')(id, type);
		this.held.add(keyOf(id));
	}

	/** Gives a lock back through the API; with `isForced` another's, too. Rejects as lock() does. */
	async unlock(id: Id, isForced = false): Promise<void>
	{
		this.held.delete(keyOf(id));
		await this.api('unlock')(id, isForced);
	}

	/**
	 * Resolves a row's conflict. What I keep of mine is sent (again); what I take of theirs drops out of
	 * mine, whose promise then rejects with `conflict` if nothing is left of it.
	 */
	resolve(id: Id, how: Resolution<T>): Promise<unknown>
	{
		return this.writes.resolve(id, how as Resolution<Row>);
	}

	/** Resolves when no write is under way and all that were are shown by the server's rows. Drafts do not count. */
	settled(): Promise<void>
	{
		const isSettled = () => this.waiting.ops.every(({ state }) => state === 'draft');

		return new Promise((resolve) =>
		{
			if (isSettled())
				return resolve();
			const end = this.state.subscribe(() =>
			{
				if (!isSettled())
					return;
				end();
				resolve();
			});
		});
	}

	// ---- inside

	/** A function of the API, or an error that says that it is missing. */
	private api(name: 'lock' | 'unlock'): (...args: any[]) => Promise<unknown>
	{
		const { api } = this.config;

		if (!api?.[name])
			throw new RealtimeError('bad_request', `this store has no api.${name}`);
		return (...args) => (api[name] as (...args: unknown[]) => Promise<unknown>)(...args);
	}

	/** A row of the server changes. */
	private changed(key: string, before: Row | undefined, after: Row | undefined): void
	{
		this.waiting.changed(key, before, after, this.cause);
		if (!after)
		{
			this.waiting.overwritten.delete(key);
			this.display.show(key);
		}
		if (before !== after)
			this.display.touch(key);
	}

	private takeEvents(events: readonly RealtimeEvent[], position: string): void
	{
		for (const event of events)
			this.takeEvent(event, position);
		this.publish();
	}

	private takeEvent(event: RealtimeEvent, position: string): void
	{
		const { tx, newId, merged } = event.meta;

		// What was merged is the row as of the position, as in a load: whose change it is, the values must tell.
		this.cause = merged ? { tx: undefined, at: parsePosition(position) } : { tx, at: this.rows.at };
		this.waiting.note(tx);
		if (newId !== undefined && event.id !== null)
			this.display.rename(keyOf(event.id), keyOf(newId), newId);

		const old = event.id === null ? undefined : this.display.get(keyOf(event.id));
		const effect = this.rows.apply(event, this.source.hasMore);

		if (effect.kind === 'unknown')
			this.source.gap(true);
		if (effect.kind === 'created')
			this.display.hold(effect.key, tx);
		this.bulkOperations.take(event);
		if (this.locks.take(event))
			this.display.touch(keyOf(event.id!));
		afterwards(() => this.tell(effect.kind, old, event as unknown as RealtimeEvent<T>));
	}

	/** Tells the handlers of an event that is shown now. */
	private tell(kind: string, old: Item<T> | undefined, event: RealtimeEvent<T>): void
	{
		const item = event.id === null ? undefined : this.display.get(keyOf(event.id)) ?? old;

		try
		{
			if (kind === 'created' && item)
				this.onItemCreated(item, event);
			else if (kind === 'updated' && item)
				this.onItemUpdated(item, event);
			else if (kind === 'deleted')
				this.onItemDeleted(item, event);
		}
		catch (error)
		{
			report(error);
		}
		this.handlers.get(event.action)?.emit(item, event);
		this.handlers.get('*')?.emit(item, event);
	}

	/** Computes what is shown, once at the end of the batch. */
	private publish(): void
	{
		if (this.isPublishing)
			return;
		this.isPublishing = true;
		atEnd(() =>
		{
			this.isPublishing = false;
			this.compute();
		});
	}

	private compute(): void
	{
		const conflicts = this.waiting.conflicts(this.rows.map) as Conflict<T>[];
		const before = new Set(this.value.conflicts.map(({ key }) => key));
		const items = this.display.compute(this.rows.map, new Set(conflicts.map(({ key }) => key)));
		const { compare } = this;

		if (compare)
			items.sort((a, b) => compare(a.data, b.data));
		this.state.set({
			items,
			itemsById: new Map(items.map((item) => [keyOf(item.id), item])),
			loading: this.source.isLoading,
			error: this.source.problem,
			conflicts,
			hasConflicts: conflicts.length > 0,
			pending: this.waiting.ops.map((op) => ({ ...op }) as unknown as Operation<T>),
			bulk: this.bulkOperations.list,
			hasMore: this.source.hasMore
		});
		for (const conflict of conflicts)
		{
			if (!before.has(conflict.key))
				afterwards(() => this.tellConflict(conflict));
		}
		// What was held back by a conflict may go.
		if (before.size > 0)
			afterwards(() => this.writes.outbox.pump());
		if (this.queue?.save(this.waiting.ops))
			this.source.persist();		// what the changes were made on is kept with them
	}

	private tellConflict(conflict: Conflict<T>): void
	{
		this.conflictHandlers.emit(conflict);
		if (this.config.resolveConflict)
			this.resolve(conflict.id, this.config.resolveConflict).catch(report);
	}
}
