// SPDX-License-Identifier: PostgreSQL
//
// stage.ts
//	What came since the last position: nobody is told of it before the position that closes its batch. What is
//	on the stage when the connection ends is forgotten; it comes again.

import type { ClientOptions } from './core.js';
import { covers, parsePosition } from './position.js';
import type { Frame, RealtimeEvent } from './protocol.js';
import { afterwards } from './signal.js';
import type { Item, View } from './view.js';

export type DataFrame = Extract<Frame, { op: 'snapshot' | 'commit' | 'gap' }>;

type Options = Pick<ClientOptions, 'check' | 'onBadFrame'>;

/** Tells of a frame that could not be read, or of an event that is not known. */
export function tellBad({ onBadFrame }: Options, problem: string, what: unknown): void
{
	afterwards(() => onBadFrame?.(problem, what));
}

/** Whether an event is one that the application knows. Others are counted and told, and go no further. */
export function judge(options: Options, stats: { badEvents: number }): (event: RealtimeEvent) => boolean
{
	return (event) =>
	{
		const problem = options.check?.(event);

		if (problem)
		{
			stats.badEvents++;
			tellBad(options, problem, event);
		}
		return !problem;
	};
}

interface Counts
{
	duplicates: number;
	gaps: number;
}

export class Stage
{
	readonly #stats: Counts;
	readonly #isGood: (event: RealtimeEvent) => boolean;
	all: { view: View; item: Item }[] = [];

	/** `isGood` says of each event that was not had yet whether it may be passed on. */
	constructor(stats: Counts, isGood: (event: RealtimeEvent) => boolean)
	{
		this.#stats = stats;
		this.#isGood = isGood;
	}

	put(view: View, item: Item): void
	{
		this.all.push({ view, item });
	}

	/** Takes all of it away, or what is of one view. */
	clear(view?: View): Stage['all']
	{
		const { all } = this;

		this.all = all.filter((entry) => view && entry.view !== view);
		return all;
	}

	/** Puts what a frame carries on the stage. */
	take(view: View, frame: DataFrame): void
	{
		switch (frame.op)
		{
			case 'snapshot':
				if (frame.part && frame.part !== view.part)
					return view.part < 0 ? undefined : this.lose(view);
				view.rows = frame.part ? [...view.rows, ...frame.rows] : frame.rows;
				view.part = (frame.part ?? 0) + 1;
				if (frame.last)
				{
					view.part = 0;
					view.isExpecting = false;
					this.put(view, { kind: 'load', rows: view.rows });
					view.rows = [];
				}
				return;
			case 'commit':
			{
				const events = this.#unseen(view, frame.tx, frame.events);

				if (events.length > 0)
					this.put(view, { kind: 'events', tx: frame.tx, events });
				return;
			}
			case 'gap':
				this.#stats.gaps++;
				if (view.isResuming && view.need)
					view.isExpecting = true;
				view.had = parsePosition(frame.position);
				this.put(view, { kind: 'gap', reason: frame.reason, position: view.had });
		}
	}

	/** Something of a view did not arrive: what it was told is void. */
	lose(view: View): void
	{
		view.isExpecting = false;
		view.part = -1;
		this.put(view, { kind: 'gap', reason: 'bad_frame', position: undefined });
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

		this.#stats.duplicates += events.length - fresh.length;
		return fresh.filter(this.#isGood);
	}
}
