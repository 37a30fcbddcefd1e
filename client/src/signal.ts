// SPDX-License-Identifier: PostgreSQL
//
// signal.ts
//	Observable values, and batches. Knows nothing of realtime.
//
// Model
// 1. A batch has three phases: the work itself; then what was handed to `atEnd`, which computes; then
//	  what was handed to `afterwards`, which tells. So whoever is told of one value finds all the others
//	  up to date, too.
// 2. What is told may throw: it is reported, and the next one is told.

import { report } from './error.js';

/** A value that can be watched. */
export interface Observable<T>
{
	/** What it is now. */
	readonly value: T;

	/** Calls the listener after each change, not now. Returns the function that ends it. */
	subscribe(listener: (value: T) => void): () => void;
}

let depth = 0;
let ends: (() => void)[] = [];
let tellings: (() => void)[] = [];

/** Runs the queued phases, again as long as they queue more. */
function flush(): void
{
	while (ends.length > 0 || tellings.length > 0)
	{
		const work = ends.length > 0 ? ends : tellings;

		if (work === ends)
			ends = [];
		else
			tellings = [];
		for (const step of work)
		{
			try
			{
				step();
			}
			catch (error)
			{
				report(error);
			}
		}
	}
}

/** Runs work so that nobody is told of its parts before all of it is done. Nests. */
export function batch<R>(work: () => R): R
{
	depth++;
	try
	{
		return work();
	}
	finally
	{
		if (depth === 1)
			flush();
		depth--;
	}
}

/** Does this when the batch's work is done, before anybody is told; at once outside a batch. */
export function atEnd(step: () => void): void
{
	batch(() => ends.push(step));
}

/** Does this when the batch is computed, in the order of the calls; at once outside a batch. */
export function afterwards(step: () => void): void
{
	batch(() => tellings.push(step));
}

/** A set of functions to call; the call goes on when one throws. */
export class Listeners<A extends unknown[]>
{
	readonly #all = new Set<{ call: (...args: A) => void }>();

	get size(): number
	{
		return this.#all.size;
	}

	/** Adds a function; returns the one that removes it. The same function may be added twice. */
	add(call: (...args: A) => void): () => void
	{
		const entry = { call };

		this.#all.add(entry);
		return () => void this.#all.delete(entry);
	}

	/** Calls each. */
	emit(...args: A): void
	{
		for (const { call } of [...this.#all])
		{
			try
			{
				call(...args);
			}
			catch (error)
			{
				report(error);
			}
		}
	}
}

/** An observable value and the right to set it. */
export class Value<T> implements Observable<T>
{
	readonly #listeners = new Listeners<[T]>();
	#isDirty = false;

	constructor(public value: T)
	{
	}

	subscribe(listener: (value: T) => void): () => void
	{
		return this.#listeners.add(listener);
	}

	/** Sets the value; listeners hear of it once at the end of the batch. */
	set(value: T): void
	{
		if (Object.is(value, this.value))
			return;
		this.value = value;
		if (this.#isDirty)
			return;
		this.#isDirty = true;
		afterwards(() =>
		{
			this.#isDirty = false;
			this.#listeners.emit(this.value);
		});
	}
}
