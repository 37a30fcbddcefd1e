// SPDX-License-Identifier: PostgreSQL
//
// locks.ts
//	Who has locked which row, from the custom events `locked` and `unlocked` and from the rows themselves.
//	Locks end by themselves when they expire.

import type { Lock } from './config.js';
import type { RealtimeEvent } from './protocol.js';
import { keyOf } from './view.js';

/** A time as milliseconds since 1970; undefined for none. */
function time(value: unknown): number | undefined
{
	const ms = typeof value === 'string' ? Date.parse(value) : value;

	return typeof ms === 'number' && Number.isFinite(ms) ? ms : undefined;
}

export class Locks
{
	private readonly all = new Map<string, Lock>();
	private timer: ReturnType<typeof setTimeout> | undefined;

	/** `expired` is called with the key of a row whose lock has ended by itself. */
	constructor(private readonly expired: (key: string) => void)
	{
	}

	get(key: string): Lock | undefined
	{
		return this.all.get(key);
	}

	/** Takes an event; whether it locks or unlocks a row. `data` names `lockedBy`, `type`, `expiresAt`. */
	take({ action, id, data }: RealtimeEvent): boolean
	{
		if (id === null || (action !== 'locked' && action !== 'unlocked'))
			return false;
		this.set(keyOf(id), action === 'unlocked' ? undefined : {
			owner: String(data?.lockedBy ?? data?.owner ?? ''),
			...(typeof data?.type === 'string' && { type: data.type }),
			...(time(data?.expiresAt) !== undefined && { expiresAt: time(data?.expiresAt)! })
		});
		return true;
	}

	set(key: string, lock: Lock | undefined): void
	{
		if (lock)
			this.all.set(key, lock);
		else
			this.all.delete(key);
		this.wait();
	}

	/** The keys of the rows that somebody has locked; forgets the locks. */
	clear(): string[]
	{
		const keys = [...this.all.keys()];

		this.all.clear();
		clearTimeout(this.timer);
		return keys;
	}

	/** The keys of the rows that an owner has locked. */
	of(owner: string): string[]
	{
		return [...this.all].filter(([, lock]) => lock.owner === owner).map(([key]) => key);
	}

	/** Waits for the lock that ends first. */
	private wait(): void
	{
		const ends = [...this.all.values()].map(({ expiresAt = Infinity }) => expiresAt);
		const first = Math.min(...ends);

		clearTimeout(this.timer);
		if (first === Infinity)
			return;
		this.timer = setTimeout(() =>
		{
			for (const [key, { expiresAt = Infinity }] of this.all)
			{
				if (expiresAt <= Date.now())
				{
					this.all.delete(key);
					this.expired(key);
				}
			}
			this.wait();
		}, Math.min(Math.max(first - Date.now(), 0) + 1, 2 ** 31 - 1));
	}
}
