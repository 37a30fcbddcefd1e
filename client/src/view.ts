// SPDX-License-Identifier: PostgreSQL
//
// view.ts
//	A server view and the listeners that share it. Data and pure decisions; views.ts acts.
//
// Model
// 1. Subscriptions with the same feature, entity, action, filter and columns are one view on the server:
//	  it may be subscribed to only once, whatever the listeners want besides.
// 2. A listener is `live` (gets what the stream brings), waits for a snapshot that the stream will bring
//	  (`wait`), or is loaded beside the stream (`side`), while what the stream brings is kept for it.
// 3. `since` is where the view resumes. It is undefined as long as nobody would miss anything by a
//	  fresh subscription.

import { covers, includes, parsePosition, type Position } from './position.js';
import type { Id, RealtimeEvent, SnapshotRow, Subscription } from './protocol.js';
import type { RealtimeError } from './error.js';

/** Who is told of a view. All calls of a batch are made before anybody is told of its results. */
export interface Sink
{
	/** Without a load: all after this position will come. */
	start?(position: string): void;

	/** All rows of the view, in a batch that ends at this position: what was known before is void. */
	load?(rows: SnapshotRow[], position: string): void;

	/** Events of one transaction, in order; or of several that were merged. The batch ends at this position. */
	events?(events: RealtimeEvent[], tx: string, position: string): void;

	/** Events were not delivered. With `snapshot`, load() follows. */
	gap?(reason: string): void;

	/** All that this position has seen is delivered. */
	position?(position: string): void;

	/** The server refuses the subscription, or has ended it. It is asked for again at the next connection. */
	error?(error: RealtimeError): void;
}

/** What a view was told, until the position comes that closes the batch. */
export type Item =
	| { kind: 'load'; rows: SnapshotRow[] }
	| { kind: 'events'; tx: string; events: RealtimeEvent[] }
	| { kind: 'gap'; reason: string; position: Position | undefined };

export interface Listener
{
	readonly sink: Sink;
	readonly subscription: Subscription;

	/** Says which listeners can share a load; empty: needs none. */
	readonly need: string;
	since?: string | undefined;
	state: 'live' | 'wait' | 'side';
	kept: Item[];

	/** Loaded up to here: older transactions of the stream are skipped. */
	floor?: Position | undefined;

	/** A position that covers `floor` has been asked for. */
	isCatchingUp?: boolean;
	abort?: AbortController | undefined;

	isStarted?: boolean;

	/** The code of the refusal that it was told of. */
	refusal?: string | undefined;
}

export interface View
{
	readonly key: string;
	readonly request: Subscription;
	readonly listeners: Set<Listener>;
	ref?: number;
	id?: string | undefined;
	isSent?: boolean;

	/** The server has refused it; it is asked again for a new listener and at a reconnect. */
	isRefused?: boolean;
	since?: string | undefined;

	/** The position of its `subscribed`. */
	begun?: string | undefined;

	/** What it has had, or will not get: `since`, or since a gap the gap's position. Older transactions come twice. */
	had?: Position | undefined;

	/** The `need` that the subscription was sent with. */
	need: string;

	/** A snapshot will come, as asked, or after a gap while resuming. */
	isExpecting?: boolean;
	isResuming?: boolean;
	rows: SnapshotRow[];

	/** The part of a snapshot that must come next; -1: none that follows another. */
	part: number;

	/** (tx, seq) of the batch under way: nothing is applied twice. */
	seen: Set<string>;
}

// What the server may not say the next time. A view that was left and is wanted again is already_subscribed
// until the server has read that it was left.
export const passing = ['unavailable', 'rate_limited', 'internal', 'too_many_subscriptions', 'already_subscribed'];

/** A key as text: itself for one column, canonical JSON for several. */
export function keyOf(id: Id): string
{
	return typeof id === 'string' ? id : JSON.stringify(Object.fromEntries(Object.entries(id).sort(
		([a], [b]) => a < b ? -1 : 1)));
}

/** The part of a subscription that makes the view; wildcards left out, actions in order. */
export function requestOf({ feature, entity, action, filter, columns, window }: Subscription): Subscription
{
	const actions = typeof action === 'string' ? [action] : [...new Set(action)].sort();

	return {
		...(feature !== undefined && feature !== '*' && { feature }),
		...(entity !== undefined && entity !== '*' && { entity }),
		...(actions.length > 0 && !actions.includes('*') && { action: actions }),
		...(filter?.length && { filter }),
		...(columns && { columns: [...new Set(columns)].sort() }),
		...(window !== undefined && { window })
	};
}

/** A listener, not part of a view yet. */
export function createListener(subscription: Subscription, sink: Sink): Listener
{
	const { snapshot, limit, order, since } = subscription;

	return {
		sink, subscription, since, kept: [],
		need: snapshot ? JSON.stringify([limit, order]) : '',
		state: snapshot ? 'wait' : 'live'
	};
}

/** A view without listeners. */
export function createView(key: string, request: Subscription): View
{
	return { key, request, listeners: new Set(), need: '', rows: [], part: 0, seen: new Set() };
}

/**
 * The message that subscribes to a view now, and who of its listeners will be loaded beside it. Resumes
 * if it can; else it is sent for those that can share one load.
 */
export function subscribeMessage(view: View, ref: number): object
{
	const listeners = [...view.listeners];
	let loader: Listener | undefined;

	view.ref = ref;
	view.isSent = true;
	view.isRefused = false;
	view.id = undefined;
	view.rows = [];
	view.part = 0;
	view.seen.clear();
	if (view.since !== undefined)
	{
		loader = listeners.find((one) => one.need && one.state === 'live');
		for (const one of listeners)
		{
			if (one.state === 'wait')
				one.state = 'side';
		}
	}
	else
	{
		loader = listeners.find((one) => one.need && one.since === undefined) ??
			(listeners.every((one) => one.since !== undefined) ? listeners[0] : undefined);
		for (const one of listeners)
		{
			if (one.need === '' && one.since === undefined)
				one.state = 'live';
			else if (loader && one.need === loader.need && one.since === loader.since)
				one.state = one.since === undefined ? 'wait' : 'live';
			else
				one.state = 'side';
		}
		view.since = loader?.since;
	}
	view.had = view.since === undefined ? undefined : parsePosition(view.since);
	view.need = loader?.need ?? '';
	view.isResuming = view.since !== undefined;
	view.isExpecting = !view.isResuming && view.need !== '';
	return {
		op: 'subscribe', ref, ...view.request,
		...(loader?.need && {
			snapshot: true, limit: loader.subscription.limit, order: loader.subscription.order
		}),
		...(view.isResuming && { since: view.since })
	};
}

/** Gives an item of the stream to a listener, or keeps it for later. */
export function deliver(view: View, one: Listener, item: Item, position: string): void
{
	switch (item.kind)
	{
		case 'load':
			if (one.need === '' || one.need !== view.need)
				return;
			one.abort?.abort();
			one.abort = one.floor = one.since = undefined;
			one.kept = [];
			one.state = 'live';
			return one.sink.load?.(item.rows, position);
		case 'events':
			if (one.state === 'side')
				one.kept.push(item);
			else if (one.state === 'live')
			{
				const events = item.events.filter(({ meta }) => !covers(one.floor, meta.tx));

				if (events[0])
					one.sink.events?.(events, item.tx, position);
			}
			return;
		case 'gap':
			if (one.state === 'side')
				one.kept.push(item);
			else if (one.state === 'live' && !(item.position && one.floor && includes(one.floor, item.position)))
			{
				// What was loaded stays loaded, unless history has started anew.
				if (item.position && item.position.epoch !== one.floor?.epoch)
					one.floor = undefined;
				one.sink.gap?.(item.reason);
				if (one.need)
					one.state = 'wait';
			}
	}
}
