// SPDX-License-Identifier: PostgreSQL
//
// store.ts
//	EntityStore, the state manager: the rows of an entity, kept live, with local changes over them.
//
// Model
// 1. `rows` has the server's rows: a load replaces them, events change them. Local changes are operations
//	  (pending.ts) laid over them. What is shown is computed once per batch (`publish`).
// 2. Writes go through the application's API. The reply names its transaction; the operation ends when the
//	  position of the rows covers it, in the same batch that has its events. A reply without a transaction is
//	  followed by a read of the row, whose position covers the write.
// 3. The store lives while somebody has subscribed to it, or from start() to stop().

import { BulkOperations } from './bulk.js';
import type { BulkOperation, Item, Reply, StoreConfig, StoreState } from './config.js';
import type { RealtimeCore } from './core.js';
import { equal } from './equal.js';
import { RealtimeError, report } from './error.js';
import { Items } from './items.js';
import { Locks } from './locks.js';
import { comparator } from './order.js';
import { Outbox } from './outbox.js';
import { Pending, type Cause, type Conflict, type Operation, type PendingOperation } from './pending.js';
import { covers, includes, parsePosition } from './position.js';
import { type Id, type RealtimeEvent, type Row, type SnapshotRow, type Subscription } from './protocol.js';
import { usualReply } from './reply.js';
import { chosen, type Resolution } from './resolution.js';
import { Rows } from './rows.js';
import { afterwards, atEnd, batch, Listeners, Value } from './signal.js';
import { keyOf, requestOf, type Sink } from './view.js';

/** Sends a write: what the API call is, given the id that the row has by then. */
export type Request<T> = (id: Id, patch: Partial<T>) => Promise<unknown>;

/** Told of an event that was applied: the row's item (as it was, when it is gone), and the event. */
export type StoreHandler<T> = (item: Item<T> | undefined, event: RealtimeEvent<T>) => void;

export class EntityStore<T extends object = Row>
{
	readonly config: StoreConfig<T>;
	private readonly isCaching: boolean;
	private readonly state: Value<StoreState<T>>;
	private readonly rows: Rows;
	private readonly waiting: Pending;
	private readonly outbox: Outbox;
	private readonly bulkOperations: BulkOperations;
	private readonly locks: Locks;
	private readonly handlers = new Map<string, Listeners<[Item<T> | undefined, RealtimeEvent<T>]>>();
	private readonly conflictHandlers = new Listeners<[Conflict<T>]>();
	private readonly compare: ((a: T, b: T) => number) | undefined;
	private readonly display: Items<T>;
	private readonly timers = new Map<string, ReturnType<typeof setTimeout>>();
	private cause: Cause = { tx: undefined, at: undefined };
	private atText: string | undefined;
	private loadedAt: number | undefined;
	private isGapped = false;		// events were missed, and nothing was loaded since
	private isCurrent = false;		// the rows are what the stream says they are
	private hasMore = false;
	private isLoading = false;
	private problem: Error | null = null;
	private limit: number | undefined;
	private users = 0;
	private isStarted = false;
	private handle: ReturnType<RealtimeCore['open']> | undefined;
	private loads: { resolve: () => void; reject: (error: unknown) => void }[] = [];
	private unlisten: (() => void)[] = [];
	private isPublishing = false;
	private lastLocal = 0;

	constructor(private readonly client: RealtimeCore, config: StoreConfig<T>)
	{
		const { enableConflictDetection = true, enableCaching = true } = config;

		this.config = config;
		this.isCaching = enableCaching;
		this.limit = config.limit;
		this.compare = config.sort ?? (config.order && comparator(config.order) as (a: T, b: T) => number);
		this.waiting = new Pending(enableConflictDetection);
		this.rows = new Rows((key, before, after) => this.changed(key, before, after));
		this.bulkOperations = new BulkOperations(config.bulkTimeout ?? 60000, () => this.publish());
		this.locks = new Locks((key) => this.touch(key));
		this.display = new Items(config, this.waiting, this.locks, () => this.publish());
		this.outbox = new Outbox(this.waiting, {
			read: (reply) => (config.readReply ?? usualReply)(reply) as Reply<T>,
			isOffline: config.isOffline ?? (() => globalThis.navigator?.onLine === false),
			isConflicting: (op) => this.waiting.conflictFields(op, this.rows.map.get(op.key)?.data).length > 0,
			replied: (op, tx, row) => this.replied(op, tx, row),
			failed: (op, error) => this.failed(op, error),
			touch: (key) => this.touch(key)
		}, config.offlineLimit ?? 100, config.retries ?? 3);
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

	get items(): readonly Item<T>[]
	{
		return this.value.items;
	}

	get itemsById(): ReadonlyMap<string, Item<T>>
	{
		return this.value.itemsById;
	}

	get loading(): boolean
	{
		return this.value.loading;
	}

	get error(): Error | null
	{
		return this.value.error;
	}

	get bulk(): readonly BulkOperation[]
	{
		return this.value.bulk;
	}

	get conflicts(): readonly Conflict<T>[]
	{
		return this.value.conflicts;
	}

	get hasConflicts(): boolean
	{
		return this.value.hasConflicts;
	}

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
			// Whoever is back at once (another page of the application) finds it as it was.
			if (--this.users === 0)
				this.later('stop', 5000, () => this.users === 0 && this.stop());
		};
	}

	/** An item by its id. */
	get(id: Id): Item<T> | undefined
	{
		return this.itemsById.get(keyOf(id));
	}

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

	/** Milliseconds since the last full load; events do not count as one. */
	get cacheAge(): number
	{
		return this.loadedAt === undefined ? Infinity : Date.now() - this.loadedAt;
	}

	get isCacheStale(): boolean
	{
		return !this.isCaching || this.isGapped || this.cacheAge > (this.config.cacheTTL ?? 300000);
	}

	// ---- its life

	/** Begins to be live. Not needed where somebody subscribes. */
	start(): void
	{
		const { storage, storageKey, api } = this.config;

		clearTimeout(this.timers.get('stop'));
		if (this.isStarted)
			return;
		this.isStarted = true;
		this.setLoading(true);
		if (storage && this.isCaching && this.loadedAt === undefined)
		{
			storage.load(storageKey ?? this.cacheKey).then((saved) =>
			{
				if (!this.isStarted || this.handle)
					return;
				if (saved && this.loadedAt === undefined)
				{
					batch(() =>
					{
						this.rows.load(saved.rows);
						this.setPosition(saved.position);
						this.loadedAt = saved.loadedAt;
					});
				}
				this.open();
			}, (error) =>
			{
				report(error);
				this.open();
			});
		}
		else
			this.open();

		const online = () => this.outbox.hurry();

		globalThis.addEventListener?.('online', online);
		this.unlisten = [
			() => globalThis.removeEventListener?.('online', online),
			this.client.status.subscribe(({ state }) =>
			{
				if (state === 'connected')
					this.outbox.hurry();
				else if (api?.list)
					this.fallBack();
			})
		];
		if (api?.list)
			this.fallBack();
	}

	/** Is not live any more; gives back my locks. Rows stay if caching is on, and are resumed from. */
	stop(): void
	{
		if (!this.isStarted)
			return;
		for (const key of this.config.user === undefined ? [] : this.locks.of(this.config.user))
			this.unlock(this.rows.map.get(key)?.id ?? key).catch(report);
		this.persist();
		this.isStarted = this.isCurrent = false;
		this.handle?.();
		this.handle = undefined;
		this.unlisten.forEach((end) => end());
		this.timers.forEach(clearTimeout);
		this.timers.clear();
		this.bulkOperations.forget();
		batch(() =>
		{
			if (!this.isCaching)
				this.clear();
			this.setLoading(false);
		});
	}

	/** Forgets all rows, also in the storage: for when another user comes. */
	clear(): void
	{
		this.loadedAt = this.atText = this.rows.at = undefined;
		this.rows.load([]);
		this.config.storage?.remove(this.config.storageKey ?? this.cacheKey).catch(report);
	}

	/** Resolves when rows are there that are not stale; loads them if need be, in any case with `isForced`. */
	load(isForced = false): Promise<void>
	{
		const wasStarted = this.isStarted;

		this.start();
		if (!isForced && !this.isCacheStale && this.isCurrent)
			return Promise.resolve();
		return new Promise((resolve, reject) =>
		{
			this.loads.push({ resolve, reject });
			this.setLoading(true);
			if (wasStarted)
				this.handle?.reload();
		});
	}

	/** With a limit: loads so many rows more. */
	loadMore(count = this.config.limit ?? 0): Promise<void>
	{
		this.limit = (this.limit ?? 0) + count;
		this.loadedAt = undefined;
		this.handle?.();
		this.handle = undefined;
		if (this.isStarted)
			this.open();
		return this.load(true);
	}

	setLoading(loading: boolean): void
	{
		this.isLoading = loading;
		this.publish();
	}

	setError(error: Error | null): void
	{
		this.problem = error;
		this.publish();
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

	/** For classes that extend this one: a row has come (also by `entered`), has changed, is gone (also by `left`). */
	protected onItemCreated(_item: Item<T>, _event: RealtimeEvent<T>): void {}
	protected onItemUpdated(_item: Item<T>, _event: RealtimeEvent<T>): void {}
	protected onItemDeleted(_item: Item<T> | undefined, _event: RealtimeEvent<T>): void {}

	// ---- writing

	/** Creates a row. Shown at once under a key of its own until the reply says which row it is. */
	add(data: Partial<T>, request: (data: Partial<T>) => Promise<unknown> = this.api('create')): Promise<unknown>
	{
		const known = this.idOf(data as T);
		const id = known ?? `local:${++this.lastLocal}`;

		return this.outbox.put('add', keyOf(id), id, { ...data } as Row, {}, (_id, patch) => request(patch as Partial<T>));
	}

	/** Changes fields of a row. `request` is the API call, for custom actions too: `() => api.approve(id)`. */
	update(id: Id, patch: Partial<T>, request: Request<T> = this.api('update')): Promise<unknown>
	{
		const key = keyOf(id);
		const row = this.rows.map.get(key)?.data;
		const baseline = Object.fromEntries(Object.keys(patch).map((field) => [field, row?.[field]]));

		return this.outbox.put('update', key, id, { ...patch } as Row, baseline,
			request as unknown as PendingOperation['request']);
	}

	/** Deletes a row. It is shown as busy until the reply, then gone. */
	remove(id: Id, request: (id: Id) => Promise<unknown> = this.api('remove')): Promise<unknown>
	{
		return this.outbox.put('remove', keyOf(id), id, {}, {}, request);
	}

	/** Takes rows from elsewhere (an API) as the server's: a full load. */
	set(data: readonly T[]): void
	{
		batch(() => this.loadRows(data.map((row) => ({ id: this.idOf(row) ?? '', data: { ...row } as Row }))));
	}

	/** Changes fields without sending them: a draft, until save() or discard(). */
	edit(id: Id, patch: Partial<T>): void
	{
		const key = keyOf(id);
		const row = this.rows.map.get(key)?.data;
		const draft = this.draft(key) ?? this.outbox.add({
			kind: 'update', key, id, patch: {}, baseline: {}, state: 'draft', request: undefined,
			resolve: () => {}, reject: () => {}
		});

		for (const [field, value] of Object.entries(patch))
		{
			if (!Object.hasOwn(draft.patch, field))
				draft.baseline[field] = row?.[field];
			draft.patch[field] = value;
		}
		this.touch(key);
	}

	/** Sends a row's draft. Rejects with `conflict` while it has one. */
	save(id: Id, request: Request<T> = this.api('update')): Promise<unknown>
	{
		const key = keyOf(id);
		const draft = this.draft(key);

		if (!draft)
			return Promise.resolve();
		if (this.waiting.conflictFields(draft, this.rows.map.get(key)?.data).length > 0)
			return Promise.reject(new RealtimeError('conflict', 'somebody else changed the same fields'));
		return batch(() =>
		{
			this.drop(draft);
			return this.outbox.put('update', key, id, draft.patch, draft.baseline,
				request as unknown as PendingOperation['request']);
		});
	}

	/** Drops a row's draft. */
	discard(id: Id): void
	{
		const draft = this.draft(keyOf(id));

		if (draft)
			this.drop(draft);
	}

	/** Fields that only this client knows, in `item.local`. They survive changes of the row. */
	setLocal(id: Id, fields: Record<string, unknown>): void
	{
		this.display.setLocal(keyOf(id), fields);
	}

	/** Locks a row through the API; who has it is known from the event, or from the row. */
	async lock(id: Id, type?: string): Promise<void>
	{
		await this.api('lock')(id, type);
	}

	async unlock(id: Id, isForced = false): Promise<void>
	{
		await this.api('unlock')(id, isForced);
	}

	/**
	 * Resolves a row's conflict. What I keep of mine is sent (again); what I take of theirs drops out of
	 * mine, whose promise then rejects with `conflict` if nothing is left of it.
	 */
	async resolve(id: Id, how: Resolution<T>): Promise<unknown>
	{
		const key = keyOf(id);
		const conflict = this.waiting.conflicts(this.rows.map).find((one) => one.key === key);

		if (!conflict)
			return undefined;
		const values = chosen(conflict, how as Resolution<Row>);
		const row = this.rows.map.get(key)?.data;
		const sent = batch(() =>
		{
			const overwritten = [...this.waiting.overwritten.get(key)?.keys() ?? []];
			const patch: Row = {};
			let isSaving = false;

			this.waiting.overwritten.delete(key);
			for (const field of overwritten)
				patch[field] = values[field];
			for (const op of this.waiting.of(key))
			{
				for (const field of this.waiting.conflictFields(op, row))
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
			this.touch(key);
			return [
				isSaving ? this.save(id) : undefined,
				Object.keys(patch).length > 0 ? this.update(id, patch as Partial<T>) : undefined
			];
		});

		this.outbox.pump();
		return (await Promise.all(sent)).find((reply) => reply !== undefined);
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

	private get cacheKey(): string
	{
		const { feature, entity, order } = this.config;

		return JSON.stringify([feature, entity, requestOf(this.config), this.limit, order]);
	}

	/** A function of the API, or one that says that it is missing. */
	private api(name: 'create' | 'update' | 'remove' | 'lock' | 'unlock'): (...args: any[]) => Promise<unknown>
	{
		const { api } = this.config;

		return async (...args) =>
		{
			if (!api?.[name])
				throw new RealtimeError('bad_request', `this store has no api.${name}`);
			return (api[name] as (...args: unknown[]) => Promise<unknown>)(...args);
		};
	}

	private idOf(row: T): Id | undefined
	{
		const { idOf, idField = 'id' } = this.config;

		if (idOf)
			return idOf(row);
		const id = (row as Row)[idField];

		return id === undefined || id === null ? undefined : String(id);
	}

	private draft(key: string): PendingOperation | undefined
	{
		return this.waiting.of(key).find(({ state }) => state === 'draft');
	}

	private drop(op: PendingOperation): void
	{
		this.waiting.drop(op);
		this.touch(op.key);
	}

	private later(name: string, ms: number, work: () => void): void
	{
		clearTimeout(this.timers.get(name));
		this.timers.set(name, setTimeout(work, ms));
	}

	/** Subscribes: resumes from what is here if it is not stale. */
	private open(): void
	{
		const { feature, entity, filter, columns, order } = this.config;
		const since = this.isCacheStale ? undefined : this.atText;
		const sink: Sink = {
			load: (rows, position) => this.loadRows(rows, position),
			events: (events, tx) => this.takeEvents(events, tx),
			position: (position) => this.setPosition(position),
			gap: () => this.gap(),
			error: (error) => this.refused(error)
		};

		this.handle = this.client.open({
			feature, entity, filter, columns, order, limit: this.limit, snapshot: true, since
		} as Subscription, sink);
	}

	/** Uses api.list() while the notifier cannot be reached. */
	private fallBack(ms = this.config.fallbackAfter ?? 5000): void
	{
		this.later('list', ms, () =>
		{
			if (!this.isStarted || this.client.status.value.state === 'connected')
				return;
			this.config.api!.list!().then((data) =>
			{
				if (this.isStarted && this.client.status.value.state !== 'connected')
				{
					this.problem = null;
					this.set(data);
				}
			}, (error) => this.setError(error)).finally(() => this.isStarted &&
				this.fallBack(this.config.fallbackInterval ?? 30000));
		});
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
			this.touch(key);
	}

	/** A full load. */
	private loadRows(rows: readonly SnapshotRow[], position?: string): void
	{
		this.cause = { tx: undefined, at: position === undefined ? undefined : parsePosition(position) };
		this.rows.load(rows);
		this.display.showAll();
		this.loadedAt = Date.now();
		this.isGapped = false;
		this.hasMore = this.limit !== undefined && rows.length >= this.limit;
		this.becomeCurrent();
		afterwards(() => this.persist());
	}

	/** The rows are what the stream says. */
	private becomeCurrent(): void
	{
		this.isCurrent = true;
		this.settle();
		this.isLoading = false;
		this.problem = null;
		for (const { resolve } of this.loads.splice(0))
			afterwards(resolve);
		this.publish();
	}

	private takeEvents(events: readonly RealtimeEvent[], tx: string): void
	{
		this.cause = { tx, at: this.rows.at };
		for (const event of events)
			this.takeEvent(event);
		this.publish();
	}

	private takeEvent(event: RealtimeEvent): void
	{
		const { tx, newId } = event.meta;

		this.cause = { tx, at: this.cause.at };
		this.waiting.note(tx);
		if (newId !== undefined && event.id !== null)
			this.display.rename(keyOf(event.id), keyOf(newId), newId);

		const old = event.id === null ? undefined : this.display.get(keyOf(event.id));
		const effect = this.rows.apply(event, this.hasMore);

		if (effect.kind === 'unknown')
			this.gap(true);
		if (effect.kind === 'created')
			this.display.hold(effect.key, tx);
		this.bulkOperations.take(event);
		if (this.locks.take(event))
			this.touch(keyOf(event.id!));
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

	/** All up to a position is in the rows. */
	private setPosition(text: string): void
	{
		this.atText = text;
		this.rows.at = parsePosition(text);
		if (!this.isCurrent && !this.isGapped && this.loadedAt !== undefined && this.handle)
			this.becomeCurrent();
		else
			this.settle();
		if (this.config.storage && !this.timers.has('save'))
			this.later('save', 1000, () => this.persist());
	}

	/** Ends the operations that the rows show. */
	private settle(): void
	{
		for (const op of this.waiting.ops)
		{
			const { at } = this.rows;

			if (op.state === 'sent' && this.isCurrent && (op.isSynced || (op.tx !== undefined && covers(at, op.tx))))
				this.drop(op);
		}
	}

	/** Events were missed. `isSelf`: the stream does not know; a load must be asked for. */
	private gap(isSelf = false): void
	{
		this.isGapped = true;
		this.isCurrent = false;
		this.rows.at = this.atText = undefined;
		for (const key of this.locks.clear())
			this.touch(key);
		this.isLoading = true;
		this.publish();
		if (isSelf)
			afterwards(() => this.handle?.reload());
	}

	/** The subscription is refused. */
	private refused(error: Error): void
	{
		this.setLoading(false);
		this.setError(error);
		for (const { reject } of this.loads.splice(0))
			reject(error);
	}

	/** A write was accepted. */
	private replied(op: PendingOperation, tx: string | undefined, row: Row | undefined): void
	{
		batch(() =>
		{
			const id = op.kind === 'add' && row ? this.idOf(row as T) : undefined;

			if (id !== undefined)
				this.display.rename(op.key, keyOf(id), id);
			this.waiting.replied(op, tx, row);
			if (op.kind === 'remove')
			{
				for (const draft of this.waiting.of(op.key).filter(({ state }) => state === 'draft'))
					this.drop(draft);
			}
			this.display.release(op);
			this.touch(op.key);
			this.settle();
		});
		if (!this.waiting.ops.includes(op) || !this.isStarted)
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

		for (let attempt = 0; this.isStarted && this.waiting.ops.includes(op); attempt++)
		{
			try
			{
				const position = parsePosition((await this.client.read(feature, entity, { limit: 1 })).position);
				const isThere = () => this.rows.at?.epoch !== position?.epoch || includes(this.rows.at, position);

				while (this.isStarted && !isThere())
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
			this.waiting.landed(op);
			this.drop(op);
			this.display.release(op);
			// What was to follow on a row that was not created cannot be sent.
			for (const other of op.kind === 'add' ? this.waiting.of(op.key) : [])
			{
				this.drop(other);
				other.reject(error);
			}
			this.setError(error instanceof Error ? error : new Error(String(error)));
		});
	}

	/** Keeps the rows for a warm start. */
	private persist(): void
	{
		const { storage, storageKey } = this.config;

		clearTimeout(this.timers.get('save'));
		this.timers.delete('save');
		if (!storage || !this.isCaching || !this.isCurrent || this.atText === undefined || this.loadedAt === undefined)
			return;
		storage.save(storageKey ?? this.cacheKey, {
			rows: [...this.rows.map.values()], position: this.atText, loadedAt: this.loadedAt
		}).catch(report);
	}

	/** A row is to be shown anew. */
	private touch(key: string): void
	{
		this.display.touch(key);
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
			loading: this.isLoading,
			error: this.problem,
			conflicts,
			hasConflicts: conflicts.length > 0,
			pending: this.waiting.ops.map((op) => ({ ...op }) as unknown as Operation<T>),
			bulk: this.bulkOperations.list,
			hasMore: this.hasMore
		});
		for (const conflict of conflicts)
		{
			if (!before.has(conflict.key))
				afterwards(() => this.tellConflict(conflict));
		}
		// What was held back by a conflict may go.
		if (before.size > 0)
			afterwards(() => this.outbox.pump());
	}

	private tellConflict(conflict: Conflict<T>): void
	{
		this.conflictHandlers.emit(conflict);
		if (this.config.resolveConflict)
			this.resolve(conflict.id, this.config.resolveConflict).catch(report);
	}
}
