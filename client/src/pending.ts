// SPDX-License-Identifier: PostgreSQL
//
// pending.ts
//	Local changes that the server's rows do not show yet, and which of others' changes conflict with them.
//	Knows nothing of connections: it is told what changed and what was replied.
//
// Model
// 1. The server's rows are the base; what is shown is the base with the operations laid over it in the order
//	  they were made. An operation is dropped when the base has what it did: then nothing flickers, and a
//	  remote change is never lost by dropping one that failed.
// 2. A field conflicts when somebody else's transaction changed it to another value than mine after I changed it
//	  and before mine was committed. Transaction ids are not in commit order, so this is decided by
//	  values, by the order in which the stream brings transactions (which is commit order), and by
//	  what positions cover.
// 3. While a write is under way its transaction is not known: a change that comes meanwhile may be its own.
//	  It stays undecided until one reply names it, or all writes that were under way when it came have been answered.
//	  What it may conflict with is not sent until then.
// 4. For changes not sent yet, `baseline` is the server's value that the change was made on. My own
//	  transactions move it; another's do not: the field conflicts while base, baseline and mine are three.
// 5. For a write that was sent, the conflict shows after the fact: mine has overwritten theirs.

import { equal } from './equal.js';
import { covers, type Position } from './position.js';
import type { Id, Row } from './protocol.js';

/** A local change until the base shows it. */
export interface Operation<T = Row>
{
	/** What is done to the row. */
	readonly kind: 'add' | 'update' | 'remove';

	/** The row's key as text, see keyOf(). A row that is added may get another one with the reply. */
	readonly key: string;

	/** The row's key; of a row that is added, one of this client's until the reply says it. */
	readonly id: Id;

	/** The fields that it sets; of `add` the new row. */
	readonly patch: Readonly<Partial<T>>;

	/** draft: not to be sent yet. waiting: its turn has not come, or offline. sent: answered, not yet in the base. */
	readonly state: 'draft' | 'waiting' | 'sending' | 'sent';

	/** The transaction of the write, if the reply has named it. */
	readonly tx: string | undefined;

	/** How often it was sent. */
	readonly attempts: number;
}

export interface PendingOperation
{
	kind: 'add' | 'update' | 'remove';
	key: string;
	id: Id;
	patch: Row;
	baseline: Row;
	state: 'draft' | 'waiting' | 'sending' | 'sent';
	tx: string | undefined;

	/** The row of the reply. */
	row: Row | undefined;
	attempts: number;

	/** It may be sent: waits neither for a retry nor for the network. */
	isDue: boolean;

	/** The stream has what it did: the base has it as soon as it is current. */
	isSynced: boolean;

	/** What it is sent with; its name if it has one, by which another page can send it. */
	request: ((id: Id, patch: Row) => Promise<unknown>) | undefined;
	name: string | undefined;
	resolve: (reply: unknown) => void;
	reject: (error: unknown) => void;
}

/** The three values of a field in conflict. */
export interface ConflictField<V = unknown>
{
	/** What my change was made on. */
	readonly base: V;

	/** What I changed it to. */
	readonly local: V;

	/** What somebody else changed it to; undefined: the row is gone. */
	readonly remote: V;
}

/**
 * A row of which somebody else changed fields that I have changed, too. Ended by resolve(), or when nothing is left that
 * conflicts.
 */
export interface Conflict<T = Row>
{
	/** The row's key. */
	readonly id: Id;

	/** The row's key as text, see keyOf(). */
	readonly key: string;

	/** changed: mine is not sent. overwritten: mine was saved over theirs. deleted: the row is gone, mine is not sent. */
	readonly kind: 'changed' | 'overwritten' | 'deleted';

	/** The fields in conflict, no others. */
	readonly fields: { readonly [F in keyof T]?: ConflictField<T[F]> };
}

/** A change of a field that may be my own. */
interface Undecided
{
	op: PendingOperation;
	field: string;
	to: unknown;
	cause: Cause;
	order: number;

	/** The operation was on its way already, or saved. */
	isSent: boolean;
	waits: Set<PendingOperation>;
	answered: PendingOperation[];
}

/** Why the base changes: a transaction, with the position before its batch; or a load, with its own position. */
export interface Cause
{
	tx: string | undefined;
	at: Position | undefined;
}

export class Pending
{
	ops: PendingOperation[] = [];
	readonly overwritten = new Map<string, Map<string, ConflictField>>();
	private readonly mine = new Set<string>();
	private readonly seen = new Map<string, number>();
	private undecided: Undecided[] = [];
	private count = 0;

	constructor(private readonly isDetecting: boolean)
	{
	}

	/** The operations on a row, in order. */
	of(key: string): PendingOperation[]
	{
		return this.ops.filter((op) => op.key === key);
	}

	/** Those whose reply is awaited. */
	get flying(): PendingOperation[]
	{
		return this.ops.filter(({ state }) => state === 'sending');
	}

	isMine(tx: string): boolean
	{
		return this.mine.has(tx);
	}

	/** An event of a transaction comes; called before its effect. */
	note(tx: string): void
	{
		this.count++;
		if (!this.seen.has(tx) && (this.mine.has(tx) || this.flying.length > 0))
			this.seen.set(tx, this.count);
	}

	/** A load comes; called before its effect. It is later than all events until now. */
	noteLoad(): void
	{
		this.count++;
	}

	/** A row of the base becomes another (undefined: there is none). */
	changed(key: string, before: Row | undefined, after: Row | undefined, cause: Cause): void
	{
		if (!this.isDetecting)
			return;
		for (const op of this.ops)
		{
			if (op.key !== key || op.kind !== 'update')
				continue;
			for (const field of Object.keys(op.patch))
			{
				if (!equal(before?.[field], after?.[field]))
					this.judge(op, field, after?.[field], cause);
			}
		}
	}

	/** A field of an operation changed in the base: decides whose change it is, now or later. */
	private judge(op: PendingOperation, field: string, to: unknown, cause: Cause): void
	{
		this.undecided.push({
			op, field, to, cause, order: this.count, isSent: op.state === 'sending' || op.state === 'sent',
			waits: new Set(this.flying), answered: []
		});
		this.decideAll();
	}

	/** Decides what can be: all of known transactions, and what waits for no reply. */
	private decideAll(): void
	{
		const isReady = ({ waits, cause: { tx } }: Undecided) => waits.size === 0 || (tx !== undefined && this.mine.has(tx));
		const ready = this.undecided.filter(isReady);

		this.undecided = this.undecided.filter((one) => !isReady(one));
		ready.forEach((one) => this.decide(one));
	}

	private decide({ op, field, to, cause, order, isSent, answered }: Undecided): void
	{
		// A load does not say whose change it shows, nor a reply without transaction what it did: that is mine which has
		// the value that I have saved.
		const isSaved = (other: PendingOperation) => other.state === 'sent' && other.key === op.key && equal(other.patch[field], to) &&
			(other.tx === undefined || (cause.tx === undefined && (!cause.at || covers(cause.at, other.tx))));

		if ((cause.tx !== undefined && this.mine.has(cause.tx)) || [...answered, ...this.ops].some(isSaved))
		{
			op.baseline[field] = to;
			// What came before and is decided later does not take the baseline back.
			this.undecided = this.undecided.filter((one) => one.op !== op || one.field !== field || one.isSent || one.order > order);
			return;
		}
		if (!isSent || op.state !== 'sent' || op.tx === undefined || (cause.tx === undefined && !cause.at))
			return;

		const mine = this.seen.get(op.tx);
		const isLater = mine !== undefined ? mine < order : covers(cause.at, op.tx);

		if (!isLater && !equal(to, op.patch[field]))
		{
			const fields = this.overwritten.get(op.key) ?? new Map<string, ConflictField>();

			fields.set(field, { base: op.baseline[field], local: op.patch[field], remote: to });
			this.overwritten.set(op.key, fields);
		}
	}

	/** A write was answered with success. */
	replied(op: PendingOperation, tx: string | undefined, row: Row | undefined): void
	{
		op.state = 'sent';
		op.tx = tx;
		op.row = row;
		if (tx !== undefined)
			this.mine.add(tx);
		this.landed(op);
	}

	/** A write has been answered, whatever the answer: what waited for it may be decided. */
	landed(op: PendingOperation): void
	{
		for (const one of this.undecided)
		{
			if (one.waits.delete(op))
				one.answered.push(op);
		}
		this.decideAll();
	}

	/** Drops an operation: the base has it, or it failed. */
	drop(op: PendingOperation): void
	{
		this.ops = this.ops.filter((other) => other !== op);
		if (this.undecided.length === 0 && this.flying.length === 0)
		{
			const wanted = new Set(this.ops.map(({ tx }) => tx));

			for (const tx of this.mine)
			{
				if (!wanted.has(tx))
					this.mine.delete(tx);
			}
			for (const tx of this.seen.keys())
			{
				if (!wanted.has(tx))
					this.seen.delete(tx);
			}
		}
	}

	/** A row has got another key: created rows get theirs from the server, and keys may be changed. */
	rename(from: string, to: string, id: Id): void
	{
		for (const op of this.of(from))
		{
			op.key = to;
			op.id = id;
		}
		const fields = this.overwritten.get(from);

		if (fields)
		{
			this.overwritten.delete(from);
			this.overwritten.set(to, fields);
		}
	}

	/** The fields of an operation not sent yet that conflict, or with `orMay` may do so; `row` is the base's. */
	conflictFields(op: PendingOperation, row: Row | undefined, orMay = false): string[]
	{
		if (!this.isDetecting || op.kind !== 'update' || (op.state !== 'draft' && op.state !== 'waiting'))
			return [];
		return Object.keys(op.patch).filter((field) => !equal(row?.[field], op.baseline[field]) &&
			!equal(row?.[field], op.patch[field]) &&
			(orMay || !this.undecided.some((one) => one.op === op && one.field === field)));
	}

	/** What is shown for a row: its base with the operations over it; undefined: it is not shown. */
	overlay(key: string, row: Row | undefined, isOptimistic: boolean): Row | undefined
	{
		let shown = row;

		for (const op of this.of(key))
		{
			if (op.state !== 'draft' && !isOptimistic)
				continue;
			if (op.kind === 'add')
				shown ??= { ...op.patch, ...op.row };
			else if (op.kind === 'remove')
				shown = op.state === 'sent' ? undefined : shown;
			else if (shown)
				shown = { ...shown, ...(op.row ? known(op.row, shown) : op.patch) };
		}
		return shown;
	}

	/** All conflicts, given the base. */
	conflicts(base: ReadonlyMap<string, { id: Id; data: Row }>): Conflict[]
	{
		const all = new Map<string, Conflict & { fields: Record<string, ConflictField> }>();
		const adding = new Set<string>();

		for (const op of this.ops)
		{
			const row = base.get(op.key)?.data;

			if (op.kind === 'add')
				adding.add(op.key);
			if (!row && adding.has(op.key))
				continue;
			for (const field of this.conflictFields(op, row))
			{
				const one = all.get(op.key) ?? { id: op.id, key: op.key, kind: row ? 'changed' : 'deleted', fields: {} };

				one.fields[field] = { base: op.baseline[field], local: op.patch[field], remote: row?.[field] };
				all.set(op.key, one);
			}
		}
		for (const [key, fields] of this.overwritten)
		{
			const row = base.get(key);

			if (!row)
				continue;
			const one = all.get(key) ?? { id: row.id, key, kind: 'overwritten', fields: {} };

			for (const [field, values] of fields)
				one.fields[field] ??= values;
			all.set(key, one);
		}
		return [...all.values()];
	}
}

/** The members of a reply's row that the row is known to have. */
function known(reply: Row, row: Row): Row
{
	return Object.fromEntries(Object.entries(reply).filter(([name]) => Object.hasOwn(row, name)));
}
