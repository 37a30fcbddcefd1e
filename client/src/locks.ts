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
	private readonly derived = new Map<string, number>();		// when the locks end that rows say
	private timer: ReturnType<typeof setTimeout> | undefined;
	private first = Infinity;		// when the timer comes

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
		this.all.delete(key);
		if (!lock)
			return;
		this.all.set(key, lock);
		this.wait(lock.expiresAt);
	}

	/** The lock that a row's columns say, or none. It is looked at again when it ends. */
	derive(key: string, lock: Lock | null | undefined): void
	{
		const { expiresAt } = lock ?? {};

		if (expiresAt === this.derived.get(key))
			return;
		this.derived.delete(key);
		if (expiresAt === undefined)
			return;
		this.derived.set(key, expiresAt);
		this.wait(expiresAt);
	}

	/** The keys of the rows that somebody has locked; forgets the locks. */
	clear(): string[]
	{
		const keys = [...this.all.keys()];

		this.all.clear();
		return keys;
	}

	/** Nobody looks any more. */
	stop(): void
	{
		clearTimeout(this.timer);
		this.first = Infinity;
		this.derived.clear();
	}

	/** Waits for the end of a lock, if none ends before. */
	private wait(end = Infinity): void
	{
		if (end >= this.first)
			return;
		this.first = end;
		clearTimeout(this.timer);
		this.timer = setTimeout(() => this.expire(), Math.min(Math.max(end - Date.now(), 0) + 1, 2 ** 31 - 1));
	}

	/** Ends what has expired. */
	private expire(): void
	{
		const now = Date.now();
		const keys = new Set<string>();

		for (const [key, { expiresAt = Infinity }] of this.all)
		{
			if (expiresAt <= now && this.all.delete(key))
				keys.add(key);
		}
		for (const [key, expiresAt] of this.derived)
		{
			if (expiresAt <= now && this.derived.delete(key))
				keys.add(key);
		}
		this.first = Infinity;
		for (const { expiresAt } of this.all.values())
			this.wait(expiresAt);
		for (const expiresAt of this.derived.values())
			this.wait(expiresAt);
		keys.forEach((key) => this.expired(key));
	}
}
