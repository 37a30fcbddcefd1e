// SPDX-License-Identifier: PostgreSQL
//
// queue.ts
//	Keeps the changes that are not sent yet over a reload of the page, in the store's storage.
//
// Model
// 1. Each page that has a store writes its own list; all lists are one record of the storage, which is read and
//	  written under a lock of its name.
// 2. A page holds a lock of its own as long as it lives. Whoever gets that lock knows that the page is gone, and takes
//	  its list over: no change is sent by two pages.
// 3. A change can be sent again by another page if its request has a name: functions cannot be kept.

import { RealtimeError, report } from './error.js';
import type { Storage } from './config.js';
import type { PendingOperation } from './pending.js';

/** A change as it is kept. */
export type KeptOperation = Pick<PendingOperation, 'kind' | 'key' | 'id' | 'patch' | 'baseline' | 'name'> & { isTried: boolean };

type Lists = Record<string, KeptOperation[]>;

/** The part of the browser's Web Locks that is needed. */
export type LockRequest = Pick<LockManager, 'request'>;

export class Queue
{
	private readonly owner = crypto.randomUUID();
	private kept = '[]';
	private isRestored = false;

	/** `restored` is called with what a page that is gone has left. */
	constructor(private readonly storage: Storage, private readonly key: string, private readonly locks: LockRequest,
		private readonly restored: (ops: KeptOperation[]) => void)
	{
		void locks.request(this.lockOf(this.owner), () => new Promise(() => {}));
	}

	/** Keeps what has not been answered of these; whether that has changed. */
	save(ops: readonly PendingOperation[]): boolean
	{
		const list = ops.filter(({ state }) => state === 'waiting' || state === 'sending')
			.map(({ kind, key, id, patch, baseline, name, attempts }): KeptOperation =>
				({ kind, key, id, patch, baseline, name, isTried: attempts > 0 }));
		const text = JSON.stringify(list);

		if (text === this.kept)
			return false;
		this.kept = text;
		void this.change((lists) => { lists[this.owner] = list; });
		return true;
	}

	/** Takes over the lists of pages that are gone, or of others as soon as they go. Once. */
	async restore(): Promise<void>
	{
		if (this.isRestored)
			return;
		this.isRestored = true;
		const lists = await this.storage.load(this.key).catch(report) as Lists | undefined;

		for (const owner of Object.keys(lists ?? {}))
		{
			if (owner !== this.owner)
				void this.locks.request(this.lockOf(owner), () => this.takeOver(owner));
		}
	}

	private async takeOver(owner: string): Promise<void>
	{
		let list: KeptOperation[] = [];

		// One step: a page that goes meanwhile has it, or has not.
		await this.change((lists) =>
		{
			list = lists[owner] ?? [];
			lists[this.owner] = [...list, ...lists[this.owner] ?? []];
			delete lists[owner];
		});
		if (list.length === 0)
			return;
		this.kept = '';
		this.restored(list);
	}

	private lockOf(owner: string): string
	{
		return `${this.key} ${owner}`;
	}

	/** Changes the record. */
	private async change(work: (lists: Lists) => void): Promise<void>
	{
		await this.locks.request(this.key, async () =>
		{
			const lists = await this.storage.load(this.key) as Lists | undefined ?? {};

			work(lists);
			for (const [owner, list] of Object.entries(lists))
			{
				if (list.length === 0)
					delete lists[owner];
			}
			if (Object.keys(lists).length > 0)
				await this.storage.save(this.key, lists);
			else
				await this.storage.remove(this.key);
		}).catch(report);
	}
}

/** Why a change of a former page is not sent again; undefined when it is. */
export function refusalOf({ kind, isTried }: KeptOperation, hasRequest: boolean): RealtimeError | undefined
{
	if (!hasRequest)
		return new RealtimeError('not_repeatable', 'the page was left before this change was sent: please make it again');
	if (kind === 'add' && isTried)
		return new RealtimeError('unknown_outcome', 'the page was left while this was created: nobody knows whether it was');
	return undefined;
}
