// SPDX-License-Identifier: PostgreSQL
//
// core.ts
//	RealtimeCore, the client without the state manager: its options, and what an application calls. How subscriptions
//	live is in views.ts, how the connection does in connection.ts.

import type { ConnectionOptions, Status } from './connection.js';
import { RealtimeError } from './error.js';
import { serverSentEvents } from './events.js';
import { listen, type Callback, type ListenOptions, type Unsubscribe } from './listen.js';
import { longPoll } from './poll.js';
import type { FilterTerm, Id, Priority, RealtimeEvent, Row, SnapshotRow, Subscription } from './protocol.js';
import type { Observable } from './signal.js';
import type { EventStream } from './stream.js';
import { requestOf, type Item, type Sink } from './view.js';
import { Views } from './views.js';
import { webSocket } from './websocket.js';

export type { ListenOptions } from './listen.js';

/** How a client connects, and whom it tells what it could not read. */
export interface ClientOptions extends Partial<ConnectionOptions>
{
	/** Milliseconds that the connection is kept when nobody wants anything any more. Default: 5 s. */
	linger?: number;

	/** Told of each frame that could not be read, and of each event that `check` finds bad. They are counted in `stats`, too. */
	onBadFrame?: (problem: string, frame: unknown) => void;

	/** What is wrong with an event; such events are dropped. See `registry` of RealtimeClient. */
	check?: ((event: RealtimeEvent) => string | undefined) | undefined;
}

/** Which rows read() and get() ask for. */
export interface ReadOptions
{
	/** Terms that must all hold. Default: every row. */
	filter?: FilterTerm[];

	/** The columns to receive; the key always comes. Default: all. */
	columns?: string[];

	/** At most so many rows. Default: all. */
	limit?: number;

	/** Columns as `column`, `column.asc` or `column.desc`; default: key order. */
	order?: string[];

	/** The last row of the page before: the next one begins after it. Needs an order by one unique column. */
	after?: Row;

	/** Ends the request: the promise rejects as that of fetch does. */
	signal?: AbortSignal;
}

/** What read() has read. */
export interface Page<T = Row>
{
	/** The rows, in the order that was asked for. */
	rows: SnapshotRow<T>[];

	/** Where a subscription goes on from these rows. */
	position: string;
}

/** What a client has counted since it was made. The numbers grow in the same object. */
export interface ClientStats
{
	/** Frames that could not be read. They were dropped; what they may have carried is a gap. */
	badFrames: number;

	/** Events that `check` found bad. They were dropped. */
	badEvents: number;

	/** Events that came again. They were dropped. */
	duplicates: number;

	/** Gaps that the server has told, each once for each view. */
	gaps: number;

	/** How often the server has taken us: at each connection, and when a one-way channel asks for something else. */
	connections: number;
}

/** A client without the state manager: subscriptions over one connection, which is made when needed and kept up for ever. */
export class RealtimeCore
{
	/** What was counted so far. */
	readonly stats: ClientStats = { badFrames: 0, badEvents: 0, duplicates: 0, gaps: 0, connections: 0 };
	readonly #views: Views;

	/**
	 * `url` is the notifier's, http(s) or ws(s); by default where the page comes from. Throws a TypeError when it is none.
	 * Connects when needed.
	 */
	constructor(url: string | URL = globalThis.location?.origin, options: ClientOptions = {})
	{
		const base = new URL(url, globalThis.location?.href);

		base.protocol = base.protocol.replace('ws', 'http');
		base.pathname = base.pathname.replace(/\/v1\/(ws|events|poll)$/, '');
		this.#views = new Views(base, {
			transports: [webSocket, serverSentEvents, longPoll],
			minDelay: 1000,
			maxDelay: 30000,
			connectTimeout: 10000,
			upgradeInterval: 60000,
			stableAfter: 10000,
			linger: 5000,
			fetch: (...args) => globalThis.fetch(...args),
			WebSocket: globalThis.WebSocket,
			random: Math.random,
			...options
		}, this.stats);
	}

	/** The connection's state and why, to be watched. */
	get status(): Observable<Status>
	{
		return this.#views.connection.status;
	}

	/** The position up to which all is applied, to be watched. */
	get position(): Observable<string | undefined>
	{
		return this.#views.at;
	}

	/** Connects before anybody subscribes. Not needed. */
	connect(): void
	{
		this.#views.connection.open();
	}

	/** Ends the connection until somebody subscribes again or connect() is called. Subscriptions stay. */
	close(): void
	{
		this.#views.close();
	}

	/** Tries again now instead of at the end of the pause. */
	wake(): void
	{
		this.#views.connection.wake();
	}

	/** Every event of a feature, until the function that it returns, or the signal. */
	subscribeToFeature(feature: string, callback: Callback<RealtimeEvent>, options?: ListenOptions): Unsubscribe;

	/** The same as a stream, until it is left. */
	subscribeToFeature(feature: string, options?: ListenOptions): EventStream<RealtimeEvent>;
	subscribeToFeature(feature: string, ...rest: unknown[]): unknown
	{
		return this.#listen({ feature }, rest);
	}

	/** Every event of an entity, until the function that it returns, or the signal. */
	subscribeToEntity<T = Row>(feature: string, entity: string, callback: Callback<RealtimeEvent<T>>,
		options?: ListenOptions): Unsubscribe;

	/** The same as a stream, until it is left. */
	subscribeToEntity<T = Row>(feature: string, entity: string, options?: ListenOptions): EventStream<RealtimeEvent<T>>;
	subscribeToEntity(feature: string, entity: string, ...rest: unknown[]): unknown
	{
		return this.#listen({ feature, entity }, rest);
	}

	/** One action of an entity, or several, until the function that it returns, or the signal. */
	subscribeToEvent<T = Row>(feature: string, entity: string, action: string | string[],
		callback: Callback<RealtimeEvent<T>>, options?: ListenOptions): Unsubscribe;

	/** The same as a stream, until it is left. */
	subscribeToEvent<T = Row>(feature: string, entity: string, action: string | string[],
		options?: ListenOptions): EventStream<RealtimeEvent<T>>;
	subscribeToEvent(feature: string, entity: string, action: string | string[], ...rest: unknown[]): unknown
	{
		return this.#listen({ feature, entity, action }, rest);
	}

	/** All events of a priority, or of several, whatever they are of; until the function that it returns, or the signal. */
	subscribeByPriority(priority: Priority | Priority[], callback: Callback<RealtimeEvent>,
		options?: ListenOptions): Unsubscribe;

	/** The same as a stream, until it is left. */
	subscribeByPriority(priority: Priority | Priority[], options?: ListenOptions): EventStream<RealtimeEvent>;
	subscribeByPriority(priority: Priority | Priority[], ...rest: unknown[]): unknown
	{
		return this.#listen({}, rest, ({ meta }) => priority.includes(meta.priority));
	}

	/**
	 * The events that are addressed to this user alone (`emit(…, to_user => …)`), until the function that it returns, or
	 * the signal.
	 */
	subscribeToUser(callback: Callback<RealtimeEvent>, options?: ListenOptions): Unsubscribe;

	/** The same as a stream, until it is left. */
	subscribeToUser(options?: ListenOptions): EventStream<RealtimeEvent>;
	subscribeToUser(...rest: unknown[]): unknown
	{
		return this.#listen({}, rest, ({ meta }) => meta.toUser !== undefined);
	}

	/** The lowest level: a sink that is told what a subscription brings. Returns the function that ends it. */
	open(subscription: Subscription, sink: Sink): Unsubscribe & {
		/** Asks for the rows of a subscription with `snapshot` again; load() follows. Nothing, while they are being loaded. */
		reload(): void;
	}
	{
		return this.#views.open(subscription, sink);
	}

	/**
	 * Rows as they are now, once. Rejects with a RealtimeError when the server refuses, as fetch does when it cannot be
	 * reached, and with `bad_request` when `after` has no column to go by.
	 */
	async read<T = Row>(feature: string, entity: string, options: ReadOptions = {}): Promise<Page<T>>
	{
		const { after, filter = [], order, limit, columns, signal = new AbortController().signal } = options;
		const terms = [...filter];

		if (after)
		{
			const [column, direction] = (order?.[0] ?? '').split('.');

			if (!column || after[column] === undefined || after[column] === null)
				throw new RealtimeError('bad_request', 'after needs an order by a column of the row');
			terms.push([column, direction === 'desc' ? 'lt' : 'gt', after[column]]);
		}
		const items: Item[] = [];
		const position = await this.#views.fetchItems({
			...requestOf({ feature, entity, filter: terms, ...(columns && { columns }) }),
			snapshot: true, limit, order
		} as Subscription, signal, items);

		for (const item of items)
		{
			if (item.kind === 'load')
				return { rows: item.rows as SnapshotRow<T>[], position };
		}
		throw new RealtimeError('incomplete', 'no rows');
	}

	/** One record by its id, or null. Rejects as read() does. */
	async get<T = Row>(feature: string, entity: string, id: Id, options: ReadOptions & {
		/** The column of a one-column key. Default: `id`. */
		key?: string;
	} = {}): Promise<T | null>
	{
		const { key = 'id', ...rest } = options;
		const terms = Object.entries(typeof id === 'string' ? { [key]: id } : id)
			.map(([column, value]): FilterTerm => [column, 'eq', value]);
		const { rows } = await this.read<T>(feature, entity, { ...rest, filter: [...rest.filter ?? [], ...terms] });

		return rows[0]?.data ?? null;
	}

	/**
	 * Resolves when all that a transaction did, or that it did nothing, is applied here. Never, if there is none such.
	 * Rejects with `aborted` when the signal says so.
	 */
	sync(tx: string | number | bigint, signal?: AbortSignal): Promise<void>
	{
		return this.#views.sync(String(tx), signal);
	}

	#listen(subscription: Subscription, rest: unknown[], where?: (event: RealtimeEvent) => boolean):
		Unsubscribe | EventStream<RealtimeEvent>
	{
		return listen((...args) => this.open(...args), subscription, rest, where);
	}
}
