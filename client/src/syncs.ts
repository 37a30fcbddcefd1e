// SPDX-License-Identifier: PostgreSQL
//
// syncs.ts
//	Who waits until all that a transaction did is applied.
//
// A two-way channel is asked for each transaction. A one-way channel says its position when it is opened:
// while somebody waits it is opened again and again, with growing pauses.

import type { Connection } from './connection.js';
import { RealtimeError } from './error.js';
import type { Timers } from './timers.js';

// Milliseconds until a one-way channel is opened anew; doubled each time.
const firstPause = 300;
const longestPause = 10000;

interface Sync
{
	tx: string;
	ref: number;
	isDone: boolean;
	resolve: () => void;
}

export class Syncs
{
	readonly #timers: Timers;
	readonly #connection: () => Connection;
	readonly #reopen: () => void;
	readonly #all = new Set<Sync>();
	#isPoking = false;
	#pause = firstPause;

	/** `reopen` opens a one-way channel anew. */
	constructor(timers: Timers, connection: () => Connection, reopen: () => void)
	{
		this.#timers = timers;
		this.#connection = connection;
		this.#reopen = reopen;
	}

	get size(): number
	{
		return this.#all.size;
	}

	/** Waits for a transaction; rejects when the signal says so. */
	add(tx: string, ref: number, signal?: AbortSignal): Promise<void>
	{
		return new Promise((resolve, reject) =>
		{
			const sync = { tx, ref, isDone: false, resolve };

			signal?.addEventListener('abort', () => this.#all.delete(sync) && reject(new RealtimeError('aborted')));
			this.#all.add(sync);
			this.#pause = firstPause;
			this.#send(sync);
		});
	}

	/** Asks again, on a new channel. */
	sendAll(): void
	{
		this.#all.forEach((sync) => this.#send(sync));
	}

	/** The server says that the stream covers a transaction. */
	synced(tx: string): void
	{
		for (const sync of this.#all)
			sync.isDone ||= sync.tx === tx;
	}

	/** Settles those whose transaction is applied. */
	resolve(isCovered: (tx: string) => boolean): void
	{
		for (const sync of this.#all)
		{
			if (sync.isDone || isCovered(sync.tx))
			{
				this.#all.delete(sync);
				sync.resolve();
			}
		}
		if (this.#all.size > 0)
			this.#poke();
	}

	/** The client was closed: its timers do not come. */
	rest(): void
	{
		this.#isPoking = false;
	}

	#send({ tx, ref }: Sync): void
	{
		if (!this.#connection().send({ op: 'sync', ref, tx }))
			this.#poke();
	}

	#poke(): void
	{
		if (!this.#connection().isOneWay || this.#isPoking)
			return;
		this.#isPoking = true;
		this.#timers.later(this.#pause, () =>
		{
			this.#isPoking = false;
			this.#pause = Math.min(this.#pause * 2, longestPause);
			if (this.#all.size > 0)
				this.#reopen();
		});
	}
}
