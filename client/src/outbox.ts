// SPDX-License-Identifier: PostgreSQL
//
// outbox.ts
//	Sends local changes: those of a row one after the other, none while offline or in conflict, again after
//	a network failure where repeating is safe.
//
// Model
// 1. What is to be sent while offline is `held`. When the network is back, it is not sent before the rows have
//	  what others did meanwhile: else nobody could see that it conflicts. Where that cannot be known (the notifier is
//	  away), it goes after `catchUpTimeout`.
// 2. After a network failure an update or a removal waits, longer each time; then, if the rows are behind, as in 1.

import { RealtimeError } from './error.js';
import type { Pending, PendingOperation } from './pending.js';
import type { Row } from './protocol.js';

export interface OutboxHost
{
	/** Reads a reply. Throws when it is a refusal. */
	read(reply: unknown): { tx?: string | number | undefined; row?: object | null | undefined };
	isOffline(): boolean;

	/** Whether what others did may not be known. */
	isBehind(): boolean;

	/** Whether somebody else's change must be dealt with first. */
	isConflicting(op: PendingOperation): boolean;
	replied(op: PendingOperation, tx: string | undefined, row: Row | undefined): void;
	failed(op: PendingOperation, error: unknown): void;

	/** A row is to be shown anew. */
	touch(key: string): void;
}

export interface OutboxLimits
{
	/** How many changes may wait while offline. */
	offlineLimit: number;

	/** How often an update or a removal is sent again. */
	retries: number;

	/** Milliseconds that what was held waits for the rows at most. */
	catchUpTimeout: number;
}

/** What an operation is made with. */
export type NewOperation = Pick<PendingOperation, 'kind' | 'key' | 'id' | 'patch' | 'baseline' | 'name' | 'request'>;

/** Whether an error says that nobody knows what became of the request. */
function isNetworkError(error: unknown): boolean
{
	return error instanceof TypeError || (error instanceof RealtimeError && error.code === 'network');
}

export class Outbox
{
	private readonly retrying = new Map<PendingOperation, ReturnType<typeof setTimeout>>();
	private readonly held = new Set<PendingOperation>();
	private catchUp: ReturnType<typeof setTimeout> | undefined;

	constructor(private readonly pending: Pending, private readonly host: OutboxHost, private readonly limits: OutboxLimits)
	{
	}

	/** Adds a change, or what a draft becomes, and sends it when its turn comes. The promise has the reply, or the error. */
	put(op: NewOperation, draft?: PendingOperation): Promise<unknown>
	{
		if (this.isFull)
			return Promise.reject(new RealtimeError('offline', 'offline, and no more changes can wait'));
		return new Promise((resolve, reject) =>
		{
			const added = this.add({ ...op, state: 'waiting', resolve, reject }, draft);

			// In order: nothing overtakes what is held.
			if (this.held.size > 0)
				this.hold(added);
			this.pump();
		});
	}

	/** Adds an operation as it is. A draft stays the same object: what is undecided about it goes with it. */
	add(op: Omit<PendingOperation, 'tx' | 'row' | 'attempts' | 'isDue' | 'isSynced'>, draft = {}): PendingOperation
	{
		const full = Object.assign(draft, { ...op, tx: undefined, row: undefined, attempts: 0, isDue: true, isSynced: false });

		this.pending.ops.push(full);
		this.host.touch(op.key);
		return full;
	}

	/** Takes changes of a former page, which come before all others. They wait like those of an offline time. */
	takeOver(ops: PendingOperation[]): void
	{
		this.pending.ops.unshift(...ops);
		for (const op of ops)
		{
			this.hold(op);
			this.host.touch(op.key);
		}
	}

	/** How many more changes may wait. */
	get room(): number
	{
		return this.limits.offlineLimit - this.pending.ops.filter(({ state }) => state === 'waiting').length;
	}

	/** Whether a change would have to wait and cannot. */
	get isFull(): boolean
	{
		return (this.host.isOffline() || this.held.size > 0) && this.room <= 0;
	}

	/** Whether something waits for the rows. */
	get isHolding(): boolean
	{
		return this.held.size > 0;
	}

	/** Sends what can be sent now. */
	pump(): void
	{
		const busy = new Set<string>();

		if (this.host.isOffline())
		{
			this.endWait();
			this.pending.ops.filter(({ state, isDue }) => state === 'waiting' && isDue).forEach((op) => this.hold(op));
			return;
		}
		this.awaitRows();
		for (const op of [...this.pending.ops])
		{
			if (op.state === 'waiting' && op.isDue && !busy.has(op.key) && !this.host.isConflicting(op))
				void this.send(op);
			if (op.state === 'waiting' || op.state === 'sending')
				busy.add(op.key);
		}
	}

	/** The rows have what others did: what was held goes, and what waits for a retry. */
	release(): void
	{
		this.endWait();
		if (this.host.isOffline())
			return;
		for (const op of [...this.held, ...this.retrying.keys()])
		{
			clearTimeout(this.retrying.get(op));
			op.isDue = true;
		}
		this.held.clear();
		this.retrying.clear();
		this.pump();
	}

	private hold(op: PendingOperation): void
	{
		op.isDue = false;
		this.held.add(op);
	}

	/** What is held waits for the rows from now on. */
	private awaitRows(): void
	{
		for (const op of this.held)
		{
			if (!this.pending.ops.includes(op))
				this.held.delete(op);
		}
		if (this.held.size === 0)
			this.endWait();
		else
			this.catchUp ??= setTimeout(() => this.release(), this.limits.catchUpTimeout);
	}

	private endWait(): void
	{
		clearTimeout(this.catchUp);
		this.catchUp = undefined;
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
			if (isNetworkError(error) && op.kind !== 'add' && op.attempts <= this.limits.retries)
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
			this.retrying.delete(op);
			op.isDue = true;
			if (this.host.isBehind())
				this.hold(op);
			this.pump();
		}, Math.min(30000, 500 * 2 ** op.attempts)));
	}
}
