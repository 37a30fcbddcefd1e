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

export interface EventMeta
{
	timestamp: string;
	tx: string;
	seq: number;
	userId: string | null;
	sessionId: string | null;
	priority: Priority;
	omitted?: string[];
	newId?: Id;
	oldId?: Id;
	toUser?: string;
}

/** What happened, as the database wrote it. */
export interface RealtimeEvent<T = Row>
{
	event: string;
	feature: string;
	entity: string;
	action: string;
	id: Id | null;
	data: T;
	old?: Partial<T>;
	meta: EventMeta;
}

export type Operator = 'eq' | 'neq' | 'lt' | 'lte' | 'gt' | 'gte' | 'in' | 'like' | 'ilike' | 'is';

/** `[column, operator, value]`; all terms of a filter must hold. */
export type FilterTerm = [column: string, operator: Operator | `not.${Operator}`, value: unknown];

/** What one wants to hear of. Missing feature, entity or action means every. */
export interface Subscription
{
	feature?: string;
	entity?: string;
	action?: string | string[];
	filter?: FilterTerm[];
	columns?: string[];
	snapshot?: boolean;
	limit?: number;
	order?: string[];
	since?: string;
}

export interface SnapshotRow<T = Row>
{
	id: Id;
	data: T;
}

export type Ref = string | number;

/** What the server sends. */
export type Frame =
	| { op: 'welcome'; session: string; protocol: number; epoch: string; heartbeat: number }
	| { op: 'authenticated'; ref?: Ref; role?: string; user?: string | null; expires?: number | null }
	| { op: 'subscribed'; ref: Ref; view: string; position: string }
	| { op: 'snapshot'; view: string; part?: number; last: boolean; rows: SnapshotRow[] }
	| { op: 'commit'; view: string; tx: string; part?: number; last?: boolean; merged?: boolean;
		events: RealtimeEvent[] }
	| { op: 'position'; position: string }
	| { op: 'synced'; ref?: Ref; tx: string; position: string }
	| { op: 'gap'; view: string; reason: string; position: string }
	| { op: 'unsubscribed'; ref?: Ref; view?: string }
	| { op: 'expiring'; expires: number }
	| { op: 'pong'; ref?: Ref }
	| { op: 'error'; ref?: Ref; code: string; message?: string; view?: string; close?: number };

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
