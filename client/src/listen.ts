// SPDX-License-Identifier: PostgreSQL
//
// listen.ts
//	The subscribeTo… functions of the client: events to a callback or, without one, as a stream. Knows nothing
//	of connections: it opens sinks.

import { report, type RealtimeError } from './error.js';
import type { FilterTerm, RealtimeEvent, Subscription } from './protocol.js';
import { afterwards } from './signal.js';
import { EventStream } from './stream.js';
import type { Sink } from './view.js';

/** Options of the subscribeTo… functions. */
export interface ListenOptions
{
	/** Terms that must all hold. Needs a feature and an entity. */
	filter?: FilterTerm[];

	/** The columns to receive; the key always comes. Needs a feature and an entity. */
	columns?: string[];

	/** Milliseconds that events may be held and merged; see `window` of a Subscription. */
	window?: number;

	/** A position to begin from; default: now. */
	since?: string;

	/** Ends the subscription. */
	signal?: AbortSignal;

	/** Events are missing here. The subscription goes on. */
	onGap?: (reason: string) => void;

	/**
	 * The server refuses the subscription, or has ended it. Without this a stream fails, and for a callback the console
	 * says so.
	 */
	onError?: (error: RealtimeError) => void;
}

/** Told of each event. What it throws goes to the console and ends nothing. */
export type Callback<E> = (event: E) => void;

/** Ends what it was returned by. A second call does nothing. */
export type Unsubscribe = () => void;

/** Listens to the events of a subscription for which `where` holds; `rest` is [callback, options] or [options]. */
export function listen(open: (subscription: Subscription, sink: Sink) => Unsubscribe, subscription: Subscription,
	rest: unknown[], where: (event: RealtimeEvent) => boolean = () => true): Unsubscribe | EventStream<RealtimeEvent>
{
	const callback = typeof rest[0] === 'function' ? rest[0] as Callback<RealtimeEvent> : undefined;
	const { signal, onGap, onError, filter, columns, since, window } = (callback ? rest[1] : rest[0]) as ListenOptions ?? {};
	const stream = callback ? undefined : new EventStream<RealtimeEvent>();
	let isOver = false;

	const push = callback ?? ((event) => stream!.push(event));
	const close = signal?.aborted ? () => {} : open({ ...subscription, filter, columns, since, window } as Subscription, {
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
