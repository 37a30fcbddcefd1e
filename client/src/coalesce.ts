// SPDX-License-Identifier: PostgreSQL
//
// coalesce.ts
//	A window of time in which events of one row become one: for rows that change faster than anybody looks. An
//	optional module. Knows a client's open() and nothing of stores.
//
// Model
// 1. Events and positions are held for at most `ms`, then given on as one batch, in order.
// 2. Of a row's `updated` events the last one stays, with the values that the first one found; one that follows
//	  `created` or `entered` becomes part of it; one that `deleted` or `left` follows goes. Nothing else is ever dropped.
// 3. Events that name values they leave out (`meta.omitted`), and those of rows that the owner is busy with (it has changes
//	  of its own, and must see whose each is), are given on one by one.
// 4. A load, a gap or an error gives on what is held first. So does flush(), for an owner that waits for one of these.

import type { RealtimeCore } from './core.js';
import type { RealtimeEvent, Subscription } from './protocol.js';
import { batch } from './signal.js';
import { keyOf, type Sink } from './view.js';

/** What has come in, and what of it was given on, in how many batches. */
export interface CoalesceStats
{
	events: number;
	applied: number;
	batches: number;
}

/** Opens a subscription of a client; `isBusy` says of a row's key that each of its events is needed. */
export interface Coalesce
{
	(client: Pick<RealtimeCore, 'open'>, subscription: Subscription, sink: Sink, isBusy?: (key: string) => boolean):
		(() => void) & { reload(): void; flush(): void };
	readonly stats: CoalesceStats;
}

// More than these are not held: a store that is flooded does not wait for the window's end.
const most = 10000;

/** The later of two events of a row, with what only the earlier one says; undefined where both are needed. */
function merge(earlier: RealtimeEvent, later: RealtimeEvent): RealtimeEvent | undefined
{
	if (later.action !== 'updated' || later.meta.omitted?.length)
		return undefined;
	if (earlier.action === 'updated')
		return { ...later, old: { ...later.old, ...earlier.old } };
	const { oldId } = earlier.meta;

	return { ...earlier, data: later.data, meta: { ...later.meta, ...(oldId !== undefined && { oldId }) } };
}

/** What of events must be given on, in order. */
export function coalesceEvents(events: readonly RealtimeEvent[], isBusy: (key: string) => boolean = () => false): RealtimeEvent[]
{
	const out = new Set<RealtimeEvent>();
	const last = new Map<string, RealtimeEvent>();		// of each row that the next one may be merged with

	for (const event of events)
	{
		const { action, id, entity, feature } = event;
		const row = id === null ? undefined : keyOf(id);
		const key = `${feature} ${entity} ${row}`;
		const before = last.get(key);
		let now = event;

		if (row === undefined || isBusy(row))
		{
			// Of all rows, perhaps.
			if (row === undefined)
				last.clear();
		}
		else if (action === 'deleted' || action === 'left')
		{
			if (before?.action === 'updated')
				out.delete(before);
			last.delete(key);
		}
		else if (['created', 'entered', 'updated'].includes(action))
		{
			const merged = before && merge(before, event);

			if (merged)
			{
				out.delete(before);
				now = merged;
			}
			last.set(key, now);
		}
		out.add(now);
	}
	return [...out];
}

/** A window of so many milliseconds, to be given to one store (`through`) or to any number of subscriptions. */
export function coalesce(ms: number): Coalesce
{
	const stats: CoalesceStats = { events: 0, applied: 0, batches: 0 };

	const open = (...[client, subscription, sink, isBusy]: Parameters<Coalesce>): ReturnType<Coalesce> =>
	{
		let held: RealtimeEvent[] = [];
		let position: string | undefined;
		let timer: ReturnType<typeof setTimeout> | undefined;

		const flush = () =>
		{
			const events = coalesceEvents(held, isBusy);
			const at = position;

			clearTimeout(timer);
			timer = position = undefined;
			if (held.length > 0)
				stats.batches++;
			held = [];
			stats.applied += events.length;
			batch(() =>
			{
				for (let from = 0, to; from < events.length; from = to)
				{
					const { tx } = events[from]!.meta;

					for (to = from + 1; to < events.length && events[to]!.meta.tx === tx;)
						to++;
					sink.events?.(events.slice(from, to), tx);
				}
				if (at !== undefined)
					sink.position?.(at);
			});
		};

		const close = client.open(subscription, {
			start: (at) => sink.start?.(at),
			load: (rows, at) =>
			{
				flush();
				sink.load?.(rows, at);
			},
			events: (events) =>
			{
				stats.events += events.length;
				held.push(...events);
				timer ??= setTimeout(flush, ms);
				if (held.length >= most)
					flush();
			},
			gap: (reason) =>
			{
				flush();
				sink.gap?.(reason);
			},
			position: (at) =>
			{
				position = at;
				if (timer === undefined)
					flush();
			},
			error: (error) =>
			{
				flush();
				sink.error?.(error);
			}
		});

		return Object.assign(() =>
		{
			clearTimeout(timer);
			close();
		}, { reload: () => close.reload(), flush });
	};

	return Object.assign(open, { stats });
}
