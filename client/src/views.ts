// SPDX-License-Identifier: PostgreSQL
//
// views.ts
//	All subscriptions of a client over one connection. Applies batches whole, resumes, loads again after gaps, and shares
//	server views between listeners.
//
// Model
// 1. Frames with data are kept on the stage until the `position` frame that closes their batch; then all
//	  of it is applied in one go, across views. What was staged when the connection ends is forgotten:
//	  it comes again, because views resume from the last position applied.
// 2. A view resumes with `since`. What its position has seen, or what this batch had already, is
//	  dropped: each (tx, seq) is applied once.
// 3. A listener that needs rows while its view is live for others is loaded beside the stream, by one
//	  request of the long poll (joins.ts).
// 4. A frame that cannot be read is a gap for the views whose data it may have carried.

import { fetchItems } from './beside.js';
import { Connection, type ConnectionHandler, type ConnectionOptions } from './connection.js';
import type { ClientOptions, ClientStats } from './core.js';
import { RealtimeError } from './error.js';
import { Joins } from './joins.js';
import { covers, includes, parsePosition, type Position } from './position.js';
import type { BadFrame, Frame, RealtimeEvent, Subscription } from './protocol.js';
import { batch, Value } from './signal.js';
import { judge, Stage, tellBad } from './stage.js';
import { Syncs } from './syncs.js';
import { Timers } from './timers.js';
import { createListener, createView, deliver, passing, requestOf, subscribeMessage, type Item, type Listener, type Sink,
	type View } from './view.js';

export class Views implements ConnectionHandler
{
	/** The position up to which all is applied. */
	readonly at = new Value<string | undefined>(undefined);
	readonly connection: Connection;
	readonly timers = new Timers();
	readonly #views = new Map<string, View>();
	readonly #ids = new Map<string, View[]>();
	readonly #stats: ClientStats;
	readonly #stage: Stage;
	readonly #isGood: (event: RealtimeEvent) => boolean;
	readonly #syncs = new Syncs(this.timers, () => this.connection, () => this.#changed());
	readonly #joins = new Joins(this);
	#parsed: Position | undefined;
	#lastRef = 0;
	#lingering: ReturnType<typeof setTimeout> | undefined;
	#isReopening = false;

	constructor(base: URL, readonly options: ClientOptions & ConnectionOptions, stats: ClientStats)
	{
		this.#stats = stats;
		this.#stage = new Stage(stats, this.#isGood = judge(options, stats));
		this.connection = new Connection(base, options, this);
	}

	/** Ends the connection until somebody wants something again. Views stay. */
	close(): void
	{
		clearTimeout(this.#lingering);
		this.timers.clear();
		this.#isReopening = false;
		this.#syncs.rest();
		this.connection.close();
	}

	/** Resolves when all that a transaction did is applied. */
	sync(tx: string | bigint, signal?: AbortSignal): Promise<void>
	{
		const text = String(tx);

		if (this.#stage.all.length === 0 && covers(this.#parsed, text))
			return Promise.resolve();
		this.#want();
		return this.#syncs.add(text, ++this.#lastRef, signal);
	}

	/** Asks beside the stream what a subscription brings, as items; returns the position they end at. */
	async fetchItems(subscription: Subscription, signal: AbortSignal, items: Item[]): Promise<string>
	{
		const { base, token } = this.connection;
		const { fetch, token: ask } = this.options;
		const stage = new Stage({ duplicates: 0, gaps: 0 }, this.#isGood);
		const position = await fetchItems({ base, token, fetch }, ask, subscription, signal, stage);

		items.push(...stage.all.map(({ item }) => item));
		return position;
	}

	get #all(): View[]
	{
		return [...this.#views.values()];
	}

	/** Needs a connection. */
	#want(): void
	{
		clearTimeout(this.#lingering);
		this.connection.open();
	}

	/** The lowest level: a sink that is told what a subscription brings. Returns the function that ends it. */
	open(subscription: Subscription, sink: Sink): (() => void) & { reload(): void }
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
			void this.#joins.load(view, one);
		else if (view.id !== undefined)
			queueMicrotask(() => this.#start(view, one));
		this.#want();

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
				this.reload(view);
			}
		};

		return Object.assign(close, { reload });
	}

	/** Sends a view's subscription now, or opens a one-way channel anew soon. */
	#send(view: View): void
	{
		if (this.connection.isOneWay)
			return this.#changed();
		// Those who subscribe in the same turn share the message.
		queueMicrotask(() =>
		{
			if (!view.isSent && view.listeners.size > 0 && this.connection.isOpen)
				this.connection.send(this.#message(view));
		});
	}

	#message(view: View): object
	{
		return subscribeMessage(view, ++this.#lastRef);
	}

	/** All subscriptions, for a channel that is opened: everything begins anew. */
	subscriptions(): object[]
	{
		this.lost();
		return this.#all.map((view) => this.#message(view));
	}

	/** What a one-way channel asks for has changed: opens it anew, once for all changes of a turn. */
	#changed(): void
	{
		if (this.#isReopening)
			return;
		this.#isReopening = true;
		this.timers.later(0, () =>
		{
			this.#isReopening = false;
			this.connection.reopen();
		});
	}

	/** The connection takes messages. A one-way channel has its subscriptions already, but perhaps not all. */
	ready(): void
	{
		this.#stats.connections++;
		if (!this.connection.isOneWay)
		{
			for (const message of this.subscriptions())
				this.connection.send(message);
		}
		else if (this.#all.some((view) => !view.isSent))
			this.#changed();
		this.#syncs.sendAll();
		this.#release();
	}

	/** What was not closed by a position is void; views must be subscribed anew. */
	lost(): void
	{
		this.#stage.clear();
		this.#ids.clear();
		for (const view of this.#all)
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
				this.connection.send({ op: 'unsubscribe', ref: ++this.#lastRef, view: view.id });
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
				this.connection.close('idle');
		}, this.options.linger);
	}

	/** Takes a frame that is good. */
	frame(frame: Frame): void
	{
		switch (frame.op)
		{
			case 'subscribed':
				return this.#subscribed(frame.ref, frame.view, frame.position);
			case 'position':
				return this.#apply(frame.position);
			case 'synced':
				this.#syncs.synced(frame.tx);
				if (this.#stage.all.length === 0)
					this.#resolveSyncs();
				return;
			case 'error':
				return this.#refused(frame);
			case 'snapshot':
			case 'commit':
			case 'gap':
				for (const view of this.#ids.get(frame.view) ?? [])
					this.#stage.take(view, frame);
		}
	}

	/** A view is subscribed to: from its position on everything will come. */
	#subscribed(ref: unknown, id: string, position: string): void
	{
		const view = this.#all.find((one) => one.ref === ref && one.isSent);

		if (!view)
			return void this.connection.send({ op: 'unsubscribe', ref: ++this.#lastRef, view: id });
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
				void this.#joins.load(view, one);
			this.#start(view, one);
		}
		// While nothing has come, where that view began that began first is where we are.
		const starts = this.#all.filter((one) => !one.isRefused).map(({ since }) => since);

		if (this.at.value !== undefined || !this.#isWhole || starts.includes(undefined))
			return;
		const start = starts.reduce((a, b) => includes(parsePosition(a!), parsePosition(b!)) ? b : a)!;

		this.#parsed = parsePosition(start);
		this.at.set(start);
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
		const stage = this.#stage.clear();
		const parsed = parsePosition(position);

		batch(() =>
		{
			for (const { view, item } of stage)
			{
				for (const one of [...view.listeners])
					deliver(view, one, item, position);
			}
			for (const view of this.#all)
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
						this.#joins.catchUp(one, parsed);
						continue;
					}
					one.floor = one.since = undefined;
					one.sink.position?.(position);
				}
				if ([...view.listeners].some((one) => one.state === 'wait'))
					this.reload(view);
			}
			if (this.#isWhole)
			{
				this.#parsed = parsed;
				this.at.set(position);
			}
			this.#resolveSyncs();
		});
	}

	/** Whether each view that the server does not refuse has what positions say: none is still to begin or resume. */
	get #isWhole(): boolean
	{
		return this.#all.every((view) => view.isRefused ||
			(view.id !== undefined && !view.isResuming && !view.isExpecting));
	}

	/** Settles those who wait for a transaction that is now applied. */
	#resolveSyncs(): void
	{
		if (!this.#isWhole)
			return;
		this.#syncs.resolve((tx) => covers(this.#parsed, tx));
		this.#release();
	}

	/** Loads again for the listeners that wait: by a new subscription if it is all of them, else beside. */
	reload(view: View): void
	{
		const [first, ...others] = view.listeners;

		if (view.id === undefined)
			return;
		if (first!.state === 'wait' && others.every((one) => one.state === 'wait' && one.need === first!.need) &&
			this.#ids.get(view.id)?.length === 1)
		{
			this.#ids.delete(view.id);
			this.#stage.clear(view);
			this.connection.send({ op: 'unsubscribe', ref: ++this.#lastRef, view: view.id });
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
				void this.#joins.load(view, one);
			}
		}
	}

	/** The server refuses a message. */
	#refused(frame: Extract<Frame, { op: 'error' }>): void
	{
		const error = new RealtimeError(frame.code, frame.message);
		const isEnd = frame.ref === undefined && frame.view !== undefined;

		for (const view of this.#all)
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
			for (const { item } of this.#stage.all.filter((entry) => entry.view === first && entry.item.kind !== 'load'))
				this.#stage.put(view, item);
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
			this.timers.later((0.5 + this.options.random()) * this.options.minDelay * 5, () =>
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
	bad(bad: BadFrame, frame: unknown): void
	{
		this.#stats.badFrames++;
		tellBad(this.options, bad.problem, frame);
		if (!bad.isLoss)
			return;
		for (const view of this.#all)
		{
			if (bad.view !== undefined ? this.#ids.get(bad.view)?.includes(view) : view.id !== undefined)
				this.#stage.lose(view);
		}
	}
}
