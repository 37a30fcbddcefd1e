// SPDX-License-Identifier: PostgreSQL
//
// source.ts
//	Where a store's rows come from: the subscription, the cache and its age, the storage for a warm start, and the
//	application's API while the notifier cannot be reached. Knows no local changes.
//
// Model
// 1. Rows are `current` when they are what the stream says: from a load, or a resumption, to the next gap or stop.
// 2. Age counts from the last full load. Events are no load.

import type { Saved, StoreConfig } from './config.js';
import type { RealtimeCore } from './core.js';
import { report } from './error.js';
import { parsePosition, type Position } from './position.js';
import type { Id, RealtimeEvent, Row, SnapshotRow, Subscription } from './protocol.js';
import type { Rows } from './rows.js';
import { afterwards, batch } from './signal.js';
import { requestOf } from './view.js';

// Milliseconds that a storage has to answer.
const patience = 1000;

export interface SourceHost
{
	/** Rows will be replaced by those of a load; they have all that the position has seen. */
	loading(position: Position | undefined): void;

	/** Rows were replaced, or are there from the storage. */
	loaded(): void;
	events(events: readonly RealtimeEvent[], position: string): void;

	/** The rows have all that `rows.at` has seen; `isBack`: for the first time since the connection was lost. */
	reached(isBack: boolean): void;

	/** Events were missed. */
	missed(): void;

	/** What is shown of the source has changed. */
	changed(): void;
}

export class Source
{
	isStarted = false;
	isCurrent = false;
	hasMore = false;
	isLoading = false;
	problem: Error | null = null;

	/** The connection was lost, and nothing has come since: others' changes may not be known. */
	isBehind = false;
	private readonly isCaching: boolean;
	private readonly timers = new Map<string, ReturnType<typeof setTimeout>>();
	private atText: string | undefined;
	private loadedAt: number | undefined;
	private isGapped = false;		// events were missed, and nothing was loaded since
	private limit: number | undefined;
	private handle: ReturnType<RealtimeCore['open']> | undefined;
	private loads: { resolve: () => void; reject: (error: unknown) => void }[] = [];
	private unwatch: () => void = () => {};

	constructor(private readonly client: RealtimeCore, private readonly config: StoreConfig<any>, private readonly rows: Rows,
		private readonly host: SourceHost)
	{
		this.isCaching = config.enableCaching ?? true;
		this.limit = config.limit;
	}

	/** Milliseconds since the last full load. */
	get cacheAge(): number
	{
		return this.loadedAt === undefined ? Infinity : Date.now() - this.loadedAt;
	}

	get isCacheStale(): boolean
	{
		return !this.isCaching || this.isGapped || this.cacheAge > (this.config.cacheTTL ?? 300000);
	}

	/** What the rows are kept under. */
	get key(): string
	{
		const { feature, entity, order, storageKey } = this.config;

		return storageKey ?? JSON.stringify([feature, entity, requestOf(this.config), this.limit, order]);
	}

	start(): void
	{
		const { storage, api } = this.config;

		this.isStarted = true;
		this.isBehind = this.client.status.value.state !== 'connected';
		this.setLoading(true);
		if (storage && this.isCaching && this.loadedAt === undefined)
			void this.warm();
		else
			this.open();
		this.unwatch = this.client.status.subscribe(({ state }) =>
		{
			if (state === 'connected')
				return;
			this.isBehind = true;
			if (api?.list)
				this.fallBack();
		});
		if (api?.list)
			this.fallBack();
	}

	/** Is not live any more. Rows stay if caching is on, and are resumed from. */
	stop(): void
	{
		this.persist();
		this.isStarted = this.isCurrent = false;
		this.handle?.();
		this.handle = undefined;
		this.unwatch();
		this.timers.forEach(clearTimeout);
		this.timers.clear();
		if (!this.isCaching)
			this.clear();
		this.setLoading(false);
	}

	/** Forgets all rows, also in the storage. */
	clear(): void
	{
		this.loadedAt = this.atText = this.rows.at = undefined;
		this.rows.load([]);
		this.config.storage?.remove(this.key).catch(report);
	}

	/** Resolves when rows are there that are not stale. `wasStarted`: the subscription is not one of this turn. */
	load(isForced: boolean, wasStarted: boolean): Promise<void>
	{
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

	/** Loads so many rows more. */
	loadMore(count: number): void
	{
		this.limit = (this.limit ?? 0) + count;
		this.loadedAt = undefined;
		this.handle?.();
		this.handle = undefined;
		if (this.isStarted)
			this.open();
	}

	/** A full load. */
	set(rows: readonly SnapshotRow[], position?: string): void
	{
		this.host.loading(position === undefined ? undefined : parsePosition(position));
		this.rows.load(rows);
		this.loadedAt = Date.now();
		this.isGapped = false;
		this.hasMore = this.limit !== undefined && rows.length >= this.limit;
		this.host.loaded();
		this.becomeCurrent();
		afterwards(() => this.persist());
	}

	/** Events were missed. `isSelf`: the stream does not know; a load must be asked for. */
	gap(isSelf = false): void
	{
		this.isGapped = true;
		this.isCurrent = false;
		this.rows.at = this.atText = undefined;
		this.host.missed();
		this.setLoading(true);
		if (isSelf)
			afterwards(() => this.handle?.reload());
	}

	setLoading(isLoading: boolean): void
	{
		this.isLoading = isLoading;
		this.host.changed();
	}

	setError(problem: Error | null): void
	{
		this.problem = problem;
		this.host.changed();
	}

	/** Keeps the rows for a warm start. */
	persist(): void
	{
		const { storage } = this.config;

		clearTimeout(this.timers.get('save'));
		this.timers.delete('save');
		if (!storage || !this.isCaching || !this.isCurrent || this.atText === undefined || this.loadedAt === undefined)
			return;
		storage.save(this.key, {
			rows: [...this.rows.map.values()], position: this.atText, loadedAt: this.loadedAt
		} satisfies Saved).catch(report);
	}

	/** Takes rows from the storage, then subscribes. Live rows do not wait for a storage that does not answer. */
	private async warm(): Promise<void>
	{
		this.later('warm', patience, () => this.handle || this.open());
		const saved = await this.config.storage!.load(this.key).catch(report) as Saved | undefined;

		if (!this.isStarted || this.handle)
			return;
		if (saved && this.loadedAt === undefined)
		{
			batch(() =>
			{
				this.rows.load(saved.rows);
				this.setPosition(saved.position);
				// With a limit they are what was loaded and what has come since: shown, but loaded anew.
				if (this.limit === undefined)
					this.loadedAt = saved.loadedAt;
				this.host.loaded();
			});
		}
		this.open();
	}

	/** Subscribes: resumes from what is here if it is not stale. */
	private open(): void
	{
		const { feature, entity, filter, columns, order, window } = this.config;
		const since = this.isCacheStale ? undefined : this.atText;

		this.handle = this.client.open({
			feature, entity, filter, columns, order, window, limit: this.limit, snapshot: true, since
		} as Subscription, {
			load: (rows, position) => this.set(rows, position),
			events: (events, _, position) => this.host.events(events, position),
			position: (position) => this.setPosition(position),
			gap: () => this.gap(),
			error: (error) => this.refused(error)
		});
	}

	/** Uses api.list() while the notifier cannot be reached. */
	private fallBack(ms = this.config.fallbackAfter ?? 5000): void
	{
		const isNeeded = () => this.isStarted && this.client.status.value.state !== 'connected';
		const take = (data: Row[]) =>
		{
			if (isNeeded())
				batch(() => this.set(data.map((row) => ({ id: idOf(this.config, row) ?? '', data: { ...row } }))));
		};

		this.later('list', ms, () =>
		{
			if (!isNeeded())
				return;
			this.config.api!.list!().then(take, (error) => this.setError(error)).finally(() => this.isStarted &&
				this.fallBack(this.config.fallbackInterval ?? 30000));
		});
	}

	/** The rows are what the stream says. */
	private becomeCurrent(): void
	{
		this.isCurrent = true;
		this.problem = null;
		this.reached();
		this.setLoading(false);
		for (const { resolve } of this.loads.splice(0))
			afterwards(resolve);
	}

	/** All up to a position is in the rows. */
	private setPosition(text: string): void
	{
		this.atText = text;
		this.rows.at = parsePosition(text);
		if (!this.isCurrent && !this.isGapped && this.loadedAt !== undefined && this.handle)
			this.becomeCurrent();
		else
			this.reached();
		if (this.config.storage && !this.timers.has('save'))
			this.later('save', 1000, () => this.persist());
	}

	private reached(): void
	{
		const isBack = this.isBehind && this.isCurrent && this.client.status.value.state === 'connected';

		this.isBehind &&= !isBack;
		this.host.reached(isBack);
	}

	/** The subscription is refused. */
	private refused(error: Error): void
	{
		this.setLoading(false);
		this.setError(error);
		for (const { reject } of this.loads.splice(0))
			reject(error);
	}

	private later(name: string, ms: number, work: () => void): void
	{
		clearTimeout(this.timers.get(name));
		this.timers.set(name, setTimeout(work, ms));
	}
}

/** The id of a row that comes without one (from an API). */
export function idOf<T extends object>({ idOf: find, idField = 'id' }: StoreConfig<T>, row: T): Id | undefined
{
	if (find)
		return find(row);
	const id = (row as Row)[idField];

	return id === undefined || id === null ? undefined : String(id);
}
