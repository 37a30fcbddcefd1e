// SPDX-License-Identifier: PostgreSQL
//
// joins.ts
//	Loads a listener beside the stream, while the stream goes on for others, and joins the two. Positions say exactly
//	what of the stream comes after what was loaded.

import type { ClientOptions } from './core.js';
import type { ConnectionOptions } from './connection.js';
import { RealtimeError, report } from './error.js';
import { covers, includes, parsePosition, type Position } from './position.js';
import type { Subscription } from './protocol.js';
import { batch } from './signal.js';
import type { Timers } from './timers.js';
import { deliver, passing, type Item, type Listener, type View } from './view.js';

export interface JoinsHost
{
	readonly options: ClientOptions & ConnectionOptions;
	readonly timers: Timers;

	/** One request beside the stream: what a subscription brings, as items. Returns the position it ends at. */
	fetchItems(subscription: Subscription, signal: AbortSignal, items: Item[]): Promise<string>;

	/** A view's listeners that wait are to be loaded. */
	reload(view: View): void;
	sync(tx: bigint): Promise<void>;
}

export class Joins
{
	readonly #host: JoinsHost;

	constructor(host: JoinsHost)
	{
		this.#host = host;
	}

	/** Loads one listener beside the stream and joins the two; tries until it succeeds or is not wanted. */
	async load(view: View, one: Listener): Promise<void>
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
				text = await this.#host.fetchItems({
					...view.request,
					...(one.need && { snapshot: true, limit: one.subscription.limit, order: one.subscription.order }),
					...(since !== undefined && { since })
				} as Subscription, signal, items);
				const added = items.slice(count);

				const position = parsePosition(text);

				if (!position)
					throw new RealtimeError('incomplete', 'no position');
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
			await new Promise((resolve) => this.#host.timers.later(Math.min(this.#host.options.maxDelay, 100 * 2 ** attempt) *
				this.#host.options.random(), () => resolve(undefined)));
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
					one.sink.events?.(item.events, item.tx, text);
				else
					one.sink.gap?.(item.reason);
				if (item.kind !== 'events')
					one.state = item.kind === 'load' || !one.need ? 'live' : 'wait';
			}
			one.floor = parsePosition(text);
			for (const item of kept)
				deliver(view, one, item, view.since ?? text);
			if (one.state !== 'live')
				return this.#host.reload(view);
			if (view.since !== undefined && includes(parsePosition(view.since), one.floor))
			{
				one.floor = undefined;
				one.sink.position?.(view.since);
			}
			else
				this.catchUp(one, parsePosition(view.since ?? ''));
		});
	}

	/**
	 * A listener is loaded further than the stream has come, which is at rest perhaps: asks for the position of a
	 * transaction that makes the difference.
	 */
	catchUp(one: Listener, at: Position | undefined): void
	{
		const { floor } = one;

		if (one.isCatchingUp || !floor || at?.epoch !== floor.epoch)
			return;
		let tx = [...at.xip].find((xid) => covers(floor, xid)) ?? floor.xmax - 1n;

		while (floor.xip.has(tx))
			tx--;
		one.isCatchingUp = true;
		void this.#host.sync(tx).then(() => { one.isCatchingUp = false; });
	}
}
