// SPDX-License-Identifier: PostgreSQL
//
// protocol.ts
//	The frames of realtime.v1 as types, and the check that what came is one. See doc/protocol.md. Knows
//	no transport and no state.

import { parsePosition } from './position.js';

/** How urgent an event is. */
export type Priority = 'low' | 'normal' | 'high' | 'critical';

/** A row's key: text for one column of any type, an object of texts for several. */
export type Id = string | Record<string, string>;

/** A row as it comes from the database. */
export type Row = Record<string, unknown>;

/** Where an event comes from. */
export interface EventMeta
{
	/** Clock time before the commit: ISO 8601, UTC, microseconds. It says nothing about order. */
	timestamp: string;

	/** The transaction, as `pg_current_xact_id()` gives it. */
	tx: string;

	/** The event's number in its transaction, from 0. Some may be missing: what is not for this subscription. */
	seq: number;

	/** Who did it: `realtime.user`, else the claim `sub`, else the role. What the writer says, not a proof. */
	userId: string | null;

	/** The application's session, if it has set `realtime.session`. */
	sessionId: string | null;

	/** How urgent it is. */
	priority: Priority;

	/** Columns that the row has and `data` or `old` does not: too large, or large and unchanged. */
	omitted?: string[];

	/** It stands for several events of its row, of which it is the last. */
	merged?: true;

	/** Of a `deleted` that a change of the key made: the key that the row has now. */
	newId?: Id;

	/** Of a `created` that a change of the key made: the key that the row had. */
	oldId?: Id;

	/** The only user whom the event is for. */
	toUser?: string;
}

/** What happened, as the database wrote it. */
export interface RealtimeEvent<T = Row>
{
	/** `feature.entity.action`. */
	event: string;

	/** The feature that the table, or the topic, is registered under. */
	feature: string;

	/** The entity that it is in the feature. */
	entity: string;

	/** `created`, `updated`, `deleted`, …, or one that the database defines or emits. */
	action: string;

	/** The row's key; null: it is of no row. */
	id: Id | null;

	/** The row: as it is now, of `deleted` as it was, of `left` missing. Of other actions whatever they say. */
	data: T;

	/** Of an update: what the columns were that have changed. */
	old?: Partial<T>;

	/** Which transaction, who, how urgent. */
	meta: EventMeta;
}

/** How a term compares. See doc/protocol.md for which types can be compared how. */
export type Operator = 'eq' | 'neq' | 'lt' | 'lte' | 'gt' | 'gte' | 'in' | 'like' | 'ilike' | 'is';

/** `[column, operator, value]`; all terms of a filter must hold. */
export type FilterTerm = [column: string, operator: Operator | `not.${Operator}`, value: unknown];

/** What one wants to hear of. Missing feature, entity or action means every. */
export interface Subscription
{
	/** One feature. */
	feature?: string;

	/** One entity. */
	entity?: string;

	/** One action or several. `updated` includes `entered` and `left`. */
	action?: string | string[];

	/** Terms that must all hold. Needs a feature and an entity. */
	filter?: FilterTerm[];

	/** The columns to receive; the key always comes. Needs a feature and an entity. */
	columns?: string[];

	/** The rows come first. Needs a feature and an entity. */
	snapshot?: boolean;

	/** At most so many rows of the snapshot; events come of all. */
	limit?: number;

	/** The snapshot's order: columns as `column`, `column.asc` or `column.desc`. Default: by key. */
	order?: string[];

	/** A position to resume from: what it has not seen comes, no snapshot. If history does not reach back: a gap. */
	since?: string;

	/** Milliseconds that commits may be held and merged at the server; 0: not at all. Default: the server's. */
	window?: number;
}

/** A row as it is loaded. */
export interface SnapshotRow<T = Row>
{
	/** Its key. */
	id: Id;

	/** Its columns. */
	data: T;
}

/** Comes back in the answer to the message that had it. */
export type Ref = string | number;

/** What the server sends. */
export type Frame =
	| {
		/** The first frame of a connection. */
		op: 'welcome';

		/** The session's name in the server's log. */
		session: string;

		/** The version: 1. */
		protocol: number;

		/** Which history the server has; see Position. */
		epoch: string;

		/** Seconds: the server says something at least so often. */
		heartbeat: number;
	}
	| {
		/** The token was taken; or whom the session is of without one. */
		op: 'authenticated';

		/** That of the message; missing: it came with the request. */
		ref?: Ref;

		/** The role in the database. */
		role?: string;

		/** The claim `sub`. */
		user?: string | null;

		/** Seconds since 1970: the token's end; null: it has none. */
		expires?: number | null;
	}
	| {
		/** A subscription was taken. */
		op: 'subscribed';

		/** That of the message. */
		ref: Ref;

		/** The view's name in the frames that follow. */
		view: string;

		/** Everything that it does not cover will come. */
		position: string;
	}
	| {
		/** Rows of a view. */
		op: 'snapshot';

		/** The view. */
		view: string;

		/** The part's number, from 0. */
		part?: number;

		/** No part follows. */
		last: boolean;

		/** The rows, in the order that was asked for. */
		rows: SnapshotRow[];
	}
	| {
		/** What a transaction did. */
		op: 'commit';

		/** The view. */
		view: string;

		/** The transaction. */
		tx: string;

		/** The part's number, from 0. */
		part?: number;

		/** No part follows. */
		last?: boolean;

		/** Several transactions, of which updates of the same row became one. */
		merged?: boolean;

		/** The events, in order; never empty. */
		events: RealtimeEvent[];
	}
	| {
		/** The end of a batch: what came before may be shown. */
		op: 'position';

		/** Where to resume from. */
		position: string;
	}
	| {
		/** The stream covers a transaction that was asked for. */
		op: 'synced';

		/** That of the message. */
		ref?: Ref;

		/** The transaction. */
		tx: string;

		/** One that covers it. */
		position: string;
	}
	| {
		/** Events of a view are missing. */
		op: 'gap';

		/** The view. */
		view: string;

		/** Why: see doc/protocol.md. */
		reason: string;

		/** The view is live from here. */
		position: string;
	}
	| {
		/** A subscription was ended as was asked for. */
		op: 'unsubscribed';

		/** That of the message. */
		ref?: Ref;

		/** The view. */
		view?: string;
	}
	| {
		/** The token ends soon. */
		op: 'expiring';

		/** Seconds since 1970: when. */
		expires: number;
	}
	| {
		/** The answer to a ping. */
		op: 'pong';

		/** That of the message. */
		ref?: Ref;
	}
	| {
		/** A refusal; with `view` and without `ref`, the end of a view. */
		op: 'error';

		/** That of the message; missing: it answers none. */
		ref?: Ref;

		/** What to act on: see doc/protocol.md. */
		code: string;

		/** For people. */
		message?: string;

		/** The view that it is about. */
		view?: string;

		/** The close code: the connection ends. */
		close?: number;
	};

/** Why a frame was not taken. */
export interface BadFrame
{
	problem: string;

	/** The view whose data the frame may have carried; undefined: cannot be told. */
	view?: string;

	/** Whether data may be lost with it: it is none of the frames that carry none. */
	isLoss: boolean;
	of?: string;
}

// Members per op and their kinds (see `kinds`); with ? they may be missing.
const shapes: Record<string, string> = {
	welcome: 'session:s protocol:1 epoch:s heartbeat:h',
	authenticated: 'ref:r? role:s user:u expires:e',
	subscribed: 'ref:r view:s position:p feature:s entity:s',
	snapshot: 'view:s part:i last:b rows:a',
	commit: 'view:s tx:t part:i last:b events:a',
	position: 'position:p',
	synced: 'ref:r? tx:t position:p',
	gap: 'view:s reason:s position:p',
	unsubscribed: 'ref:r? view:s',
	expiring: 'expires:n',
	pong: 'ref:r?',
	error: 'ref:r? code:s message:u view:s? close:n?'
};
const kinds: Record<string, (value: any) => unknown> = {
	s: (value) => typeof value === 'string' && value !== '',
	u: (value) => typeof value === 'string' || value === null,
	t: (value) => typeof value === 'string' && digits.test(value),
	p: (value) => typeof value === 'string' && parsePosition(value),
	n: (value) => typeof value === 'number',
	e: (value) => typeof value === 'number' || value === null,
	h: (value) => typeof value === 'number' && value > 0,
	i: (value) => Number.isSafeInteger(value) && value >= 0,
	1: (value) => value === 1,
	b: (value) => typeof value === 'boolean',
	a: Array.isArray,
	r: (value) => value === null || typeof value === 'string' || kinds.i!(value)
};
const digits = /^\d{1,19}$/;
const carriers = ['snapshot', 'commit', 'gap'];

/** Whether a value is an object with members. */
export function isObject(value: unknown): value is Record<string, unknown>
{
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const isId = (id: unknown): boolean => typeof id === 'string' || isObject(id);

/** What is wrong with an event; undefined when nothing is. */
export function eventProblem(event: unknown): string | undefined
{
	if (!isObject(event))
		return 'a bad event';
	for (const name of ['event', 'feature', 'entity', 'action'])
	{
		if (typeof event[name] !== 'string')
			return `an event with a bad ${name}`;
	}
	if (event.id !== null && !isId(event.id))
		return 'an event with a bad id';
	if (event.old !== undefined && !isObject(event.old))
		return 'an event with a bad old';
	if (!isObject(event.meta) || !kinds.t!(event.meta.tx) || typeof event.meta.seq !== 'number')
		return 'an event with a bad meta';
	if (['created', 'updated', 'deleted', 'entered', 'left'].includes(event.action as string) && (!isId(event.id) ||
		(event.action !== 'left' && event.action !== 'deleted' && !isObject(event.data))))
		return 'an event with a bad data';
	return undefined;
}

/** What is wrong with an object as a frame; undefined when nothing is. */
function frameProblem(frame: Record<string, unknown>, shape: string): string | undefined
{
	for (const member of shape.split(' '))
	{
		const [name, kind] = member.split(':');
		const value = frame[name!];

		if (!(value === undefined && kind![1]) && !kinds[kind![0]!]!(value))
			return `${frame.op} with a bad ${name}`;
	}
	if (frame.op === 'snapshot')
	{
		return (frame.rows as unknown[]).every((row) => isObject(row) && isId(row.id) && isObject(row.data)) ? undefined :
			'snapshot with a bad rows';
	}
	if (frame.op === 'commit')
	{
		const events = frame.events as unknown[];

		return events.length > 0 ? events.map(eventProblem).find((problem) => problem) : 'commit with a bad events';
	}
	return undefined;
}

/**
 * Reads what came, text or object. Never throws. Returns the frame; or undefined for an op that this
 * version does not know, which is not an error; or what is wrong.
 */
export function readFrame(input: unknown): Frame | BadFrame | undefined
{
	let frame = input;

	if (typeof frame === 'string')
	{
		try
		{
			frame = JSON.parse(frame);
		}
		catch
		{
			return { problem: 'no JSON', isLoss: true };
		}
	}
	if (!isObject(frame) || typeof frame.op !== 'string')
		return { problem: 'no object with op', isLoss: true };
	if (!Object.hasOwn(shapes, frame.op))
		return undefined;

	const problem = frameProblem(frame, shapes[frame.op]!);

	return problem ? {
		problem, of: frame.op,
		isLoss: carriers.includes(frame.op),
		...(typeof frame.view === 'string' ? { view: frame.view } : {})
	} : frame as Frame;
}
