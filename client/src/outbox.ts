// SPDX-License-Identifier: PostgreSQL
//
// outbox.ts
//	Sends local changes: those of a row one after the other, none while offline or in conflict, again after
//	a network failure where repeating is safe.

import { RealtimeError } from './error.js';
import type { Pending, PendingOperation } from './pending.js';
import type { Id, Row } from './protocol.js';

export interface OutboxHost
{
	/** Reads a reply. Throws when it is a refusal. */
	read(reply: unknown): { tx?: string | number | undefined; row?: object | null | undefined };
	isOffline(): boolean;

	/** Whether somebody else's change must be dealt with first. */
	isConflicting(op: PendingOperation): boolean;
	replied(op: PendingOperation, tx: string | undefined, row: Row | undefined): void;
	failed(op: PendingOperation, error: unknown): void;

	/** A row is to be shown anew. */
	touch(key: string): void;
}

/** Whether an error says that nobody knows what became of the request. */
function isNetworkError(error: unknown): boolean
{
	return error instanceof TypeError || (error instanceof RealtimeError && error.code === 'network');
}

export class Outbox
{
	private readonly retrying = new Map<PendingOperation, ReturnType<typeof setTimeout>>();

	constructor(private readonly pending: Pending, private readonly host: OutboxHost, private readonly limit: number,
		private readonly retries: number)
	{
	}

	/** Adds a change and sends it when its turn comes. The promise has the reply, or the error. */
	put(kind: PendingOperation['kind'], key: string, id: Id, patch: Row, baseline: Row,
		request: PendingOperation['request']): Promise<unknown>
	{
		const { ops } = this.pending;

		if (this.host.isOffline() && ops.filter(({ state }) => state === 'waiting').length >= this.limit)
			return Promise.reject(new RealtimeError('offline', 'offline, and no more changes can wait'));
		return new Promise((resolve, reject) =>
		{
			this.add({ kind, key, id, patch, baseline, state: 'waiting', request, resolve, reject });
			this.pump();
		});
	}

	/** Adds an operation as it is. */
	add(op: Omit<PendingOperation, 'tx' | 'row' | 'attempts' | 'isDue' | 'isSynced'>): PendingOperation
	{
		const full = { ...op, tx: undefined, row: undefined, attempts: 0, isDue: true, isSynced: false };

		this.pending.ops.push(full);
		this.host.touch(op.key);
		return full;
	}

	/** Sends what can be sent now. */
	pump(): void
	{
		const busy = new Set<string>();

		if (this.host.isOffline())
			return;
		for (const op of [...this.pending.ops])
		{
			if (op.state === 'waiting' && op.isDue && !busy.has(op.key) && !this.host.isConflicting(op))
				void this.send(op);
			if (op.state === 'waiting' || op.state === 'sending')
				busy.add(op.key);
		}
	}

	/** What waits for a retry goes now. */
	hurry(): void
	{
		for (const op of this.retrying.keys())
			this.due(op);
		this.pump();
	}

	private due(op: PendingOperation): void
	{
		clearTimeout(this.retrying.get(op));
		this.retrying.delete(op);
		op.isDue = true;
	}

	private async send(op: PendingOperation): Promise<void>
	{
		op.state = 'sending';
		op.attempts++;
		this.host.touch(op.key);
		try
		{
			if (!op.request)
				throw new RealtimeError('bad_request', `there is no api to ${op.kind} with`);
			const reply = await op.request(op.id, op.patch);
			const { tx, row } = this.host.read(reply);

			this.host.replied(op, tx === undefined || tx === null ? undefined : String(tx), row as Row ?? undefined);
			op.resolve(reply);
		}
		catch (error)
		{
			if (isNetworkError(error) && op.kind !== 'add' && op.attempts <= this.retries)
				this.again(op);
			else
			{
				this.host.failed(op, error);
				op.reject(error);
			}
		}
		this.pump();
	}

	/** Waits before an operation is sent again. */
	private again(op: PendingOperation): void
	{
		op.state = 'waiting';
		op.isDue = false;
		this.pending.landed(op);
		this.host.touch(op.key);
		this.retrying.set(op, setTimeout(() =>
		{
			this.due(op);
			this.pump();
		}, Math.min(30000, 500 * 2 ** op.attempts)));
	}
}
