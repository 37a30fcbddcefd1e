// SPDX-License-Identifier: PostgreSQL
//
// core.ts
//	RealtimeCore, the client without the state manager: subscriptions over one connection. Applies batches whole, resumes, loads again after
//	gaps, and shares server views between listeners.
//
// Model
// 1. Frames with data are kept in `stage` until the `position` frame that closes their batch; then all
//	  of it is applied in one go, across views. What was staged when the connection ends is forgotten:
//	  it comes again, because views resume from the last position applied.
// 2. A view resumes with `since`. What its position has seen, or what this batch had already, is
//	  dropped: each (tx, seq) is applied once.
// 3. A listener that needs rows while its view is live for others is loaded beside the stream, by one
//	  request of the long poll (`loadBeside`); positions say exactly what of the stream comes after.
// 4. A frame that cannot be read is a gap for the views whose data it may have carried.

import { fetchItems } from './beside.js';
import { Connection, type ConnectionOptions, type Status } from './connection.js';
import { RealtimeError, report } from './error.js';
import { serverSentEvents } from './events.js';
import { longPoll } from './poll.js';
import { covers, includes, parsePosition, type Position } from './position.js';
import { type BadFrame, type FilterTerm, type Frame, type Id, type Priority, type RealtimeEvent,
	type Row, type SnapshotRow, type Subscription } from './protocol.js';
import { afterwards, batch, Value, type Observable } from './signal.js';
import { EventStream } from './stream.js';
import { createListener, createView, deliver, requestOf, subscribeMessage, type Item, type Listener, type Sink,
	type View } from './view.js';
import { webSocket } from './websocket.js';

export interface ClientOptions extends Partial<ConnectionOptions>
{
	/** Milliseconds that the connection is kept when nobody wants anything any more. */
	linger?: number;

	/** Told of each frame that could not be read. They are counted in `stats`, too. */
	onBadFrame?: (problem: string, frame: unknown) => void;
}

/** Options of the subscribeTo… functions. */
export interface ListenOptions
{
	filter?: FilterTerm[];
	columns?: string[];

	/** A position to begin from; default: now. */
	since?: string;
	signal?: AbortSignal;
	onGap?: (reason: string) => void;
	onError?: (error: RealtimeError) => void;
}

export interface ReadOptions
{
	filter?: FilterTerm[];
	columns?: string[];
	limit?: number;

	/** Columns as `column`, `column.asc` or `column.desc`; default: key order. */
	order?: string[];

	/** The last row of the page before: the next one begins after it. Needs an order by one unique column. */
	after?: Row;
	signal?: AbortSignal;
}

export interface Page<T = Row>
{
	rows: SnapshotRow<T>[];

	/** Where a subscription goes on from these rows. */
	position: string;
}

export interface ClientStats
{
	badFrames: number;
	duplicates: number;
	gaps: number;
	connections: number;
}

type Callback<E> = (event: E) => void;
type Unsubscribe = () => void;

// Milliseconds until a one-way channel is opened anew for a sync; doubled each time.
const firstPause = 300;

// What the server may not say the next time. A view that was left and is wanted again is already_subscribed
// until the server has read that it was left.
const passing = ['unavailable', 'rate_limited', 'internal', 'too_many_subscriptions', 'already_subscribed'];

export class RealtimeCore
{
	readonly stats: ClientStats = { badFrames: 0, duplicates: 0, gaps: 0, connections: 0 };
	readonly #connection: Connection;
	readonly #options: ClientOptions & ConnectionOptions;
	readonly #at = new Value<string | undefined>(undefined);
	readonly #views = new Map<string, View>();
	readonly #ids = new Map<string, View[]>();
	readonly #syncs = new Set<{ tx: string; ref: number; isDone: boolean; resolve: () => void }>();
	readonly #timers = new Set<ReturnType<typeof setTimeout>>();
	#parsed: Position | undefined;
	#stage: { view: View; item: Item }[] = [];
	#lastRef = 0;
	#lingering: ReturnType<typeof setTimeout> | undefined;
	#isReopening = false;
	#isPoking = false;
	#pause = firstPause;

	/** `url` is the notifier's, http(s) or ws(s); by default where the page comes from. Connects when needed. */
	constructor(url: string | URL = globalThis.location?.origin, options: ClientOptions = {})
	{
		const base = new URL(url, globalThis.location?.href);

		base.protocol = base.protocol.replace('ws', 'http');
		base.pathname = base.pathname.replace(/\/v1\/(ws|events|poll)$/, '');
		this.#options = {
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
		};
		this.#connection = new Connection(base, this.#options, {
			subscriptions: () => this.#subscriptions(),
			ready: (isOneWay) => this.#ready(isOneWay),
			lost: () => this.#lost(),
			frame: (frame) => this.#receive(frame),
			bad: (bad, frame) => this.#receiveBad(bad, frame)
		});
	}

	/** The connection's state and why, to be watched. */
	get status(): Observable<Status>
	{
		return this.#connection.status;
	}

	/** The position up to which all is applied, to be watched. */
	get position(): Observable<string | undefined>
	{
		return this.#at;
	}

	/** Connects before anybody subscribes. Not needed. */
	connect(): void
	{
		this.#connection.open();
	}

	/** Ends the connection until somebody subscribes again or connect() is called. Subscriptions stay. */
	close(): void
	{
		clearTimeout(this.#lingering);
		this.#timers.forEach(clearTimeout);
		this.#timers.clear();
		this.#isReopening = this.#isPoking = false;
		this.#connection.close();
	}

	/** Tries again now instead of at the end of the pause. */
	wake(): void
	{
		this.#connection.wake();
	}

	/** Every event of a feature. */
	subscribeToFeature(feature: string, callback: Callback<RealtimeEvent>, options?: ListenOptions): Unsubscribe;
	subscribeToFeature(feature: string, options?: ListenOptions): EventStream<RealtimeEvent>;
	subscribeToFeature(feature: string, ...rest: unknown[]): unknown
	{
		return this.#listen({ feature }, rest);
	}

	/** Every event of an entity. */
	subscribeToEntity<T = Row>(feature: string, entity: string, callback: Callback<RealtimeEvent<T>>,
		options?: ListenOptions): Unsubscribe;
	subscribeToEntity<T = Row>(feature: string, entity: string, options?: ListenOptions): EventStream<RealtimeEvent<T>>;
	subscribeToEntity(feature: string, entity: string, ...rest: unknown[]): unknown
	{
		return this.#listen({ feature, entity }, rest);
	}

	/** One action of an entity, or several. */
	subscribeToEvent<T = Row>(feature: string, entity: string, action: string | string[],
		callback: Callback<RealtimeEvent<T>>, options?: ListenOptions): Unsubscribe;
	subscribeToEvent<T = Row>(feature: string, entity: string, action: string | string[],
		options?: ListenOptions): EventStream<RealtimeEvent<T>>;
	subscribeToEvent(feature: string, entity: string, action: string | string[], ...rest: unknown[]): unknown
	{
		return this.#listen({ feature, entity, action }, rest);
	}

	/** All events of a priority, or of several, whatever they are of. */
	subscribeByPriority(priority: Priority | Priority[], callback: Callback<RealtimeEvent>,
		options?: ListenOptions): Unsubscribe;
	subscribeByPriority(priority: Priority | Priority[], options?: ListenOptions): EventStream<RealtimeEvent>;
	subscribeByPriority(priority: Priority | Priority[], ...rest: unknown[]): unknown
	{
		return this.#listen({}, rest, ({ meta }) => priority.includes(meta.priority));
	}

	/** The events that are addressed to this user alone (`emit(…, to_user => …)`). */
	subscribeToUser(callback: Callback<RealtimeEvent>, options?: ListenOptions): Unsubscribe;
	subscribeToUser(options?: ListenOptions): EventStream<RealtimeEvent>;
	subscribeToUser(...rest: unknown[]): unknown
	{
		return this.#listen({}, rest, ({ meta }) => meta.toUser !== undefined);
	}

	/** The lowest level: a sink that is told what a subscription brings. Returns the function that ends it. */
	open(subscription: Subscription, sink: Sink): Unsubscribe & { reload(): void }
	{
		const request = requestOf(subscription);
		const key = JSON.stringify(request);
		const view = this.#views.get(key) ?? createView(key, request);
		const one = createListener(subscription, sink);
		let isOpen = true;

		this.#views.set(key, view);
		if (view.isRefused)
			view.isSent = false;
		if (view.isSent && (one.need || one.since !== undefined))
		{
			const canShare = view.isExpecting && one.need === view.need && one.since === undefined;

			one.state = canShare ? 'wait' : 'side';
		}
		view.listeners.add(one);
		if (view.id !== undefined && one.state !== 'wait')
			view.since ??= view.begun;
		if (!view.isSent)
			this.#send(view);
		else if (one.state === 'side' && view.id !== undefined)
			void this.#loadBeside(view, one);
		else if (view.id !== undefined)
			queueMicrotask(() => this.#start(view, one));
		clearTimeout(this.#lingering);
		this.#connection.open();

		const close = () =>
		{
			if (!isOpen)
				return;
			isOpen = false;
			one.abort?.abort();
			view.listeners.delete(one);
			if (view.listeners.size === 0)
				this.#leave(view);
		};
		const reload = () =>
		{
			if (isOpen && one.state === 'live' && one.need)
			{
				one.state = 'wait';
				this.#reload(view);
			}
		};

		return Object.assign(close, { reload });
	}

	/** Rows as they are now, once. */
	async read<T = Row>(feature: string, entity: string, options: ReadOptions = {}): Promise<Page<T>>
	{
		const { after, filter = [], order, limit, columns, signal = new AbortController().signal } = options;
		const terms = [...filter];

		if (after)
		{
			const [column, direction] = (order?.[0] ?? '').split('.');

			if (!column || after[column] === undefined || after[column] === null)
				throw new RealtimeError('bad_request', 'after needs an order whose column the row has');
			terms.push([column, direction === 'desc' ? 'lt' : 'gt', after[column]]);
		}
		const items: Item[] = [];
		const position = await this.#fetchItems({
			...requestOf({ feature, entity, filter: terms, ...(columns && { columns }) }),
			snapshot: true, limit, order
		} as Subscription, signal, items);

		for (const item of items)
		{
			if (item.kind === 'load')
				return { rows: item.rows as SnapshotRow<T>[], position };
		}
		throw new RealtimeError('incomplete', 'the answer has no rows');
	}

	/** One record by its id, or null. `key` names the column of a one-column key. */
	async get<T = Row>(feature: string, entity: string, id: Id, options: ReadOptions & { key?: string } = {}):
		Promise<T | null>
	{
		const { key = 'id', ...rest } = options;
		const terms = Object.entries(typeof id === 'string' ? { [key]: id } : id)
			.map(([column, value]): FilterTerm => [column, 'eq', value]);
		const { rows } = await this.read<T>(feature, entity, { ...rest, filter: [...rest.filter ?? [], ...terms] });

		return rows[0]?.data ?? null;
	}

	/** Resolves when all that a transaction did, or that it did nothing, is applied here. Never, if there is none such. */
	sync(tx: string | number | bigint, signal?: AbortSignal): Promise<void>
	{
		return new Promise((resolve, reject) =>
		{
			const entry = { tx: String(tx), ref: ++this.#lastRef, isDone: false, resolve };

			signal?.addEventListener('abort', () => this.#syncs.delete(entry) && reject(new RealtimeError('aborted')));

			if (this.#stage.length === 0 && covers(this.#parsed, entry.tx))
				return resolve();
			this.#syncs.add(entry);
			this.#pause = firstPause;
			clearTimeout(this.#lingering);
			this.#connection.open();
			this.#sendSync(entry);
		});
	}

	#sendSync({ tx, ref }: { tx: string; ref: number }): void
	{
		if (!this.#connection.send({ op: 'sync', ref, tx }))
			this.#pokeStream();
	}

	/** A one-way channel says its position when it is opened: does that soon, until no sync waits. */
	#pokeStream(): void
	{
		if (!this.#connection.isOneWay || this.#isPoking)
			return;
		this.#isPoking = true;
		this.#later(this.#pause, () =>
		{
			this.#isPoking = false;
			this.#pause = Math.min(this.#pause * 2, 10000);
			if (this.#syncs.size > 0)
				this.#changed();
		});
	}

	/** A timer that ends with the client. */
	#later(ms: number, work: () => void): void
	{
		const timer = setTimeout(() =>
		{
			this.#timers.delete(timer);
			work();
		}, ms);

		this.#timers.add(timer);
	}

	/** The subscribeTo… functions: with a callback or, without, as a stream. */
	#listen(subscription: Subscription, rest: unknown[], where: (event: RealtimeEvent) => boolean = () => true):
		Unsubscribe | EventStream<RealtimeEvent>
	{
		const callback = typeof rest[0] === 'function' ? rest[0] as Callback<RealtimeEvent> : undefined;
		const { signal, onGap, onError, filter, columns, since } = (callback ? rest[1] : rest[0]) as ListenOptions ?? {};
		const stream = callback ? undefined : new EventStream<RealtimeEvent>();

		const push = callback ?? ((event) => stream!.push(event));
		const close = signal?.aborted ? () => {} : this.open({
			...subscription, ...(filter && { filter }), ...(columns && { columns }), ...(since !== undefined && { since })
		}, {
			events: (events) => events.filter(where).forEach((event) => afterwards(() => isOver || push(event))),
			gap: (reason) => afterwards(() => onGap?.(reason)),
			error: (error) => afterwards(() =>
			{
				if (onError)
					onError(error);
				else if (stream)
					stream.fail(error);
				else
					report(error);
			})
		});
		let isOver = false;
		const end = () =>
		{
			isOver = true;
			signal?.removeEventListener('abort', end);
			close();
			stream?.end();
		};

		signal?.addEventListener('abort', end);
		if (!stream)
			return end;
		stream.onend = end;
		if (signal?.aborted)
			stream.end();
		return stream;
	}

	/** Sends a view's subscription now, or opens a one-way channel anew soon. */
	#send(view: View): void
	{
		if (this.#connection.isOneWay)
			return this.#changed();
		// Those who subscribe in the same turn share the message.
		queueMicrotask(() =>
		{
			if (!view.isSent && view.listeners.size > 0 && this.#connection.isOpen)
				this.#connection.send(this.#message(view));
		});
	}

	#message(view: View): object
	{
		return subscribeMessage(view, ++this.#lastRef);
	}

	/** All subscriptions, for a channel that is opened: everything begins anew. */
	#subscriptions(): object[]
	{
		this.#lost();
		return [...this.#views.values()].map((view) => this.#message(view));
	}

	/** What a one-way channel asks for has changed: opens it anew, once for all changes of a turn. */
	#changed(): void
	{
		if (this.#isReopening)
			return;
		this.#isReopening = true;
		this.#later(0, () =>
		{
			this.#isReopening = false;
			this.#connection.reopen();
		});
	}

	/** The connection takes messages. A one-way channel has its subscriptions already, but perhaps not all. */
	#ready(isOneWay: boolean): void
	{
		this.stats.connections++;
		if (!isOneWay)
		{
			for (const message of this.#subscriptions())
				this.#connection.send(message);
		}
		else if ([...this.#views.values()].some((view) => !view.isSent))
			this.#changed();
		for (const sync of this.#syncs)
			this.#sendSync(sync);
		this.#release();
	}

	/** What was not closed by a position is void; views must be subscribed anew. */
	#lost(): void
	{
		this.#stage = [];
		this.#ids.clear();
		for (const view of this.#views.values())
		{
			view.isSent = false;
			view.id = undefined;
		}
	}

	/** Nobody listens to a view any more. */
	#leave(view: View): void
	{
		this.#views.delete(view.key);
		if (view.id !== undefined)
		{
			const rest = (this.#ids.get(view.id) ?? []).filter((other) => other !== view);

			if (rest.length > 0)
				this.#ids.set(view.id, rest);
			else
			{
				this.#ids.delete(view.id);
				this.#connection.send({ op: 'unsubscribe', ref: ++this.#lastRef, view: view.id });
			}
		}
		this.#release();
	}

	/** Ends the connection some time after nobody wants it. */
	#release(): void
	{
		clearTimeout(this.#lingering);
		if (this.#views.size > 0 || this.#syncs.size > 0)
			return;
		this.#lingering = setTimeout(() =>
		{
			if (this.#views.size === 0 && this.#syncs.size === 0)
				this.#connection.close('idle');
		}, this.#options.linger);
	}

	/** Takes a frame that is good. */
	#receive(frame: Frame): void
	{
		switch (frame.op)
		{
			case 'subscribed':
				return this.#subscribed(frame.ref, frame.view, frame.position);
			case 'position':
				return this.#apply(frame.position);
			case 'synced':
				for (const sync of this.#syncs)
					sync.isDone ||= sync.tx === frame.tx;
				if (this.#stage.length === 0)
					this.#resolveSyncs();
				return;
			case 'error':
				return this.#refused(frame);
			case 'snapshot':
			case 'commit':
			case 'gap':
				for (const view of this.#ids.get(frame.view) ?? [])
					this.#take(view, frame);
		}
	}

	/** Puts what a frame carries on the stage. */
	#take(view: View, frame: Extract<Frame, { view: string; op: 'snapshot' | 'commit' | 'gap' }>): void
	{
		switch (frame.op)
		{
			case 'snapshot':
				if (frame.part && frame.part !== view.part)
					return view.part < 0 ? undefined : this.#lose(view);
				view.rows = frame.part ? [...view.rows, ...frame.rows] : frame.rows;
				view.part = (frame.part ?? 0) + 1;
				if (frame.last)
				{
					view.part = 0;
					view.isExpecting = false;
					this.#stage.push({ view, item: { kind: 'load', rows: view.rows } });
					view.rows = [];
				}
				return;
			case 'commit':
			{
				const events = this.#unseen(view, frame.tx, frame.events);

				if (events.length > 0)
					this.#stage.push({ view, item: { kind: 'events', tx: frame.tx, events } });
				return;
			}
			case 'gap':
				this.stats.gaps++;
				if (view.isResuming && view.need)
					view.isExpecting = true;
				view.had = parsePosition(frame.position);
				this.#stage.push({ view, item: { kind: 'gap', reason: frame.reason, position: view.had } });
		}
	}

	/** The events of a commit that this view has not had. */
	#unseen(view: View, tx: string, events: RealtimeEvent[]): RealtimeEvent[]
	{
		const isOld = covers(view.had, tx);
		const fresh = isOld ? [] : events.filter(({ meta }) =>
		{
			const key = `${meta.tx}:${meta.seq}`;

			return !view.seen.has(key) && view.seen.add(key);
		});

		this.stats.duplicates += events.length - fresh.length;
		return fresh;
	}

	/** A view is subscribed to: from its position on everything will come. */
	#subscribed(ref: unknown, id: string, position: string): void
	{
		const view = [...this.#views.values()].find((one) => one.ref === ref && one.isSent);

		if (!view)
			return void this.#connection.send({ op: 'unsubscribe', ref: ++this.#lastRef, view: id });
		view.id = id;
		view.begun = position;
		view.had ??= parsePosition(position);
		this.#ids.set(id, [view]);
		for (const one of view.listeners)
			one.refusal = undefined;
		this.#begin(view, position);
	}

	/** Starts what waits for a view to be subscribed to. */
	#begin(view: View, position: string): void
	{
		if ([...view.listeners].some((one) => one.state !== 'wait'))
			view.since ??= position;
		for (const one of view.listeners)
		{
			if (one.state === 'side' && !one.abort)
				void this.#loadBeside(view, one);
			this.#start(view, one);
		}
		// While nothing has come, where that view began that began first is where we are.
		const starts = [...this.#views.values()].filter((one) => !one.isRefused).map(({ since }) => since);

		if (this.#at.value !== undefined || !this.#isWhole || starts.includes(undefined))
			return;
		const start = starts.reduce((a, b) => includes(parsePosition(a!), parsePosition(b!)) ? b : a)!;

		this.#parsed = parsePosition(start);
		this.#at.set(start);
	}

	/** Tells a listener that needs no load from where on it hears of its view, once. */
	#start(view: View, one: Listener): void
	{
		if (one.isStarted || one.need || one.state !== 'live' || view.since === undefined)
			return;
		one.isStarted = true;
		one.sink.start?.(view.since);
	}

	/** Closes a batch: everything on the stage is applied at once. */
	#apply(position: string): void
	{
		const stage = this.#stage;
		const parsed = parsePosition(position);

		this.#stage = [];
		batch(() =>
		{
			for (const { view, item } of stage)
			{
				for (const one of [...view.listeners])
					deliver(view, one, item, position);
			}
			for (const view of [...this.#views.values()])
			{
				if (view.id === undefined)
					continue;
				view.seen.clear();
				view.had = parsed;
				// No position comes while a view is joining: a snapshot that was to come has come, or never will.
				view.isExpecting = view.isResuming = false;
				for (const one of view.listeners)
				{
					if (one.state !== 'wait')
						view.since = position;
				}
				for (const one of [...view.listeners])
				{
					if (one.state !== 'live')
						continue;
					if (!includes(parsed, one.floor))
					{
						this.#catchUp(one, parsed);
						continue;
					}
					one.floor = one.since = undefined;
					one.sink.position?.(position);
				}
				if ([...view.listeners].some((one) => one.state === 'wait'))
					this.#reload(view);
			}
			if (this.#isWhole)
			{
				this.#parsed = parsed;
				this.#at.set(position);
			}
			this.#resolveSyncs();
		});
	}

	/** Whether each view that the server does not refuse has what positions say: none is still to begin or resume. */
	get #isWhole(): boolean
	{
		return [...this.#views.values()].every((view) => view.isRefused ||
			(view.id !== undefined && !view.isResuming && !view.isExpecting));
	}

	/** Settles those who wait for a transaction that is now applied. */
	#resolveSyncs(): void
	{
		if (!this.#isWhole)
			return;
		for (const sync of this.#syncs)
		{
			if (sync.isDone || covers(this.#parsed, sync.tx))
			{
				this.#syncs.delete(sync);
				sync.resolve();
			}
		}
		if (this.#syncs.size > 0)
			this.#pokeStream();
		else
			this.#release();
	}

	/** Loads again for the listeners that wait: by a new subscription if it is all of them, else beside. */
	#reload(view: View): void
	{
		const [first, ...others] = view.listeners;

		if (view.id === undefined)
			return;
		if (first!.state === 'wait' && others.every((one) => one.state === 'wait' && one.need === first!.need) &&
			this.#ids.get(view.id)?.length === 1)
		{
			this.#ids.delete(view.id);
			this.#stage = this.#stage.filter((entry) => entry.view !== view);
			this.#connection.send({ op: 'unsubscribe', ref: ++this.#lastRef, view: view.id });
			view.since = view.id = undefined;
			view.isSent = false;
			this.#send(view);
			return;
		}
		for (const one of view.listeners)
		{
			if (one.state === 'wait')
			{
				one.state = 'side';
				void this.#loadBeside(view, one);
			}
		}
	}

	/** One request beside the stream: what a subscription brings, as items. Returns the position it ends at. */
	#fetchItems(subscription: Subscription, signal: AbortSignal, items: Item[]): Promise<string>
	{
		const { base, token } = this.#connection;

		return fetchItems({ base, token, fetch: this.#options.fetch }, this.#options.token, subscription, signal, items);
	}

	/** Loads one listener beside the stream and joins the two; tries until it succeeds or is not wanted. */
	async #loadBeside(view: View, one: Listener): Promise<void>
	{
		const { signal } = one.abort = new AbortController();
		const joined = parsePosition(view.since ?? '');
		const items: Item[] = [];
		let { since } = one;
		let text = '';

		one.kept = [];
		await undefined;
		if (since !== undefined && !signal.aborted && includes(parsePosition(since), joined))
			return this.#join(view, one, items, since);
		for (let attempt = 0; ; attempt++)
		{
			try
			{
				const count = items.length;
				text = await this.#fetchItems({
					...view.request,
					...(one.need && { snapshot: true, limit: one.subscription.limit, order: one.subscription.order }),
					...(since !== undefined && { since })
				} as Subscription, signal, items);
				const added = items.slice(count);

				const position = parsePosition(text);

				if (!position)
					throw new RealtimeError('incomplete', 'the answer has no position');
				if (since === undefined ? added.some(({ kind }) => kind === 'load') : includes(position, joined) ||
					position.epoch !== joined?.epoch)
					break;
				if (since === undefined)
					items.length = count;
				else
					since = text;
			}
			catch (error)
			{
				if (signal.aborted)
					return;
				const isFinal = error instanceof RealtimeError && !passing.includes(error.code) && !error.detail;

				if (isFinal && error.code !== 'incomplete')
					return one.sink.error?.(error);
				report(error);
			}
			await new Promise((resolve) => this.#later(Math.min(this.#options.maxDelay, 100 * 2 ** attempt) *
				this.#options.random(), () => resolve(undefined)));
			if (signal.aborted)
				return;
		}
		if (!signal.aborted)
			this.#join(view, one, items, text);
	}

	/** A listener is loaded: gives it what was loaded, then what of the stream comes after that. */
	#join(view: View, one: Listener, items: Item[], text: string): void
	{
		const { kept } = one;

		batch(() =>
		{
			one.abort = one.since = undefined;
			one.kept = [];
			one.state = 'live';
			for (const item of items)
			{
				if (item.kind === 'load')
					one.sink.load?.(item.rows, text);
				else if (item.kind === 'events')
					one.sink.events?.(item.events, item.tx);
				else
					one.sink.gap?.(item.reason);
				if (item.kind !== 'events')
					one.state = item.kind === 'load' || !one.need ? 'live' : 'wait';
			}
			one.floor = parsePosition(text);
			for (const item of kept)
				deliver(view, one, item, view.since ?? text);
			if (one.state !== 'live')
				return this.#reload(view);
			if (view.since !== undefined && includes(parsePosition(view.since), one.floor))
			{
				one.floor = undefined;
				one.sink.position?.(view.since);
			}
			else
				this.#catchUp(one, parsePosition(view.since ?? ''));
		});
	}

	/**
	 * A listener is loaded further than the stream has come, which is at rest perhaps: asks for the position of a
	 * transaction that makes the difference.
	 */
	#catchUp(one: Listener, at: Position | undefined): void
	{
		const { floor } = one;

		if (one.isCatchingUp || !floor || at?.epoch !== floor.epoch)
			return;
		let tx = [...at.xip].find((xid) => covers(floor, xid)) ?? floor.xmax - 1n;

		while (floor.xip.has(tx))
			tx--;
		one.isCatchingUp = true;
		void this.sync(tx).then(() => { one.isCatchingUp = false; });
	}

	/** The server refuses a message. */
	#refused(frame: Extract<Frame, { op: 'error' }>): void
	{
		const error = new RealtimeError(frame.code, frame.message);
		const isEnd = frame.ref === undefined && frame.view !== undefined;

		for (const view of [...this.#views.values()])
		{
			if (isEnd ? view.id === frame.view : view.ref === frame.ref)
				this.#refuse(view, frame, error, isEnd);
		}
	}

	/** A view is refused, or ended by the server. */
	#refuse(view: View, frame: Extract<Frame, { op: 'error' }>, error: RealtimeError, isEnd: boolean): void
	{
		if (isEnd)
		{
			this.#ids.delete(view.id!);
			view.id = undefined;
		}
		if (frame.code === 'already_subscribed' && this.#ids.has(frame.view!) && !isEnd)
		{
			// The same view to the server, though not to us: shares its frames.
			const id = view.id = frame.view!;
			const [first] = this.#ids.get(id)!;

			view.begun = first!.begun;
			view.since ??= first!.since ?? first!.begun;
			for (const { item } of this.#stage.filter((entry) => entry.view === first && entry.item.kind !== 'load'))
				this.#stage.push({ view, item });
			view.isExpecting = view.isResuming = false;
			this.#ids.get(id)!.push(view);
			for (const one of view.listeners)
				one.state = one.need || one.since !== undefined ? 'side' : 'live';
			this.#begin(view, view.since!);
		}
		else if (frame.code === 'bad_position')
		{
			view.since = undefined;
			view.isSent = false;
			for (const one of view.listeners)
			{
				one.abort?.abort();
				one.abort = one.since = undefined;
				one.kept = [];
				one.sink.gap?.('position');
			}
			this.#send(view);
		}
		else if (passing.includes(frame.code))
		{
			this.#later((0.5 + this.#options.random()) * this.#options.minDelay * 5, () =>
			{
				if (this.#views.get(view.key) === view && view.id === undefined)
				{
					view.isSent = false;
					this.#send(view);
				}
			});
		}
		else
		{
			view.isRefused = true;
			for (const one of [...view.listeners])
			{
				if (one.refusal === frame.code)
					continue;
				one.refusal = frame.code;
				one.sink.error?.(error);
			}
		}
	}

	/** A frame that could not be read: counted, told, and a gap where it may have carried data. */
	#receiveBad(bad: BadFrame, frame: unknown): void
	{
		this.stats.badFrames++;
		afterwards(() => this.#options.onBadFrame?.(bad.problem, frame));
		if (!bad.isLoss)
			return;
		for (const view of this.#views.values())
		{
			if (bad.view !== undefined ? this.#ids.get(bad.view)?.includes(view) : view.id !== undefined)
				this.#lose(view);
		}
	}

	/** Something of a view did not arrive: what it was told is void. */
	#lose(view: View): void
	{
		view.isExpecting = false;
		view.part = -1;
		this.#stage.push({ view, item: { kind: 'gap', reason: 'bad_frame', position: undefined } });
	}
}
