// SPDX-License-Identifier: PostgreSQL
//
// view.js
//	One subscription as its client sees it: what it asked for, what came, what must hold of it.

import { covers, isWithin, parsePosition } from './position.js';

const ROW_ACTIONS = new Set(['created', 'updated', 'deleted', 'entered', 'left', 'truncated']);
const GAP_REASONS = new Set(['epoch', 'history', 'bulk', 'resync', 'slow', 'access', 'omitted', 'error']);
const MEMBERS = new Set(['event', 'feature', 'entity', 'action', 'id', 'data', 'old', 'meta']);
const PRIORITIES = new Set(['low', 'normal', 'high', 'critical']);
const PART_MAX = 256 * 1024;		// bytes of a frame, unless one event alone is larger
const PART_SLACK = 4 * 1024;

export class View
{
	/**
	 * @param {object} request the subscribe message
	 * @param {object} frame its answer
	 * @param {boolean} keep whether events and rows are kept for the test to look at
	 */
	constructor(request, frame, keep)
	{
		this.request = request;
		this.id = frame.view;
		this.answer = frame;
		this.keep = keep;
		this.base = parsePosition(frame.position);	// what it covers must not come (again)
		this.isLive = !request.since && !request.snapshot;	// else until the next position frame
		this.snapshotParts = 0;
		this.isSnapshotDone = !request.snapshot || Boolean(request.since);
		this.commits = [];			// {tx, events, merged, parts, batch}
		this.events = [];
		this.rows = [];				// of the snapshot
		this.gaps = [];
		this.seen = new Set();		// "tx/seq" that base does not cover
		this.open = undefined;		// a commit whose last part has not come
		this.isOpenSnapshot = false;
		this.eventCount = 0;
		this.actions = new Set([request.action ?? '*'].flat());
		if (this.actions.has('updated'))
			this.actions.add('entered').add('left');
		this.isFiltered = Array.isArray(request.filter) && request.filter.length > 0;
	}

	/** Row of the events as text, for short comparisons: "created 17". */
	get story()
	{
		return this.events.map(({ action, id }) =>
			(id === null ? action : `${action} ${typeof id === 'string' ? id : JSON.stringify(id)}`));
	}

	get ids()
	{
		return this.rows.map(({ id }) => id);
	}

	snapshot(frame, fail)
	{
		if (this.isSnapshotDone)
			fail('a snapshot that was not asked for, or after its last part');
		if (frame.part !== this.snapshotParts)
			fail(`snapshot part ${frame.part}, expected ${this.snapshotParts}`);
		this.snapshotParts++;
		this.isOpenSnapshot = !frame.last;
		for (const row of frame.rows)
			if (Object.keys(row).sort().join() !== 'data,id' || row.data === null)
				fail('a row of a snapshot has id and data');
		if (this.keep)
			this.rows.push(...frame.rows);
		if (frame.last)
		{
			this.isSnapshotDone = true;
			this.snapshotParts = 0;
			const ids = this.rows.map(({ id }) => JSON.stringify(id));
			if (new Set(ids).size !== ids.length)
				fail('a row stands twice in the snapshot');
		}
	}

	gap(frame, fail)
	{
		if (!GAP_REASONS.has(frame.reason))
			fail('unknown reason of a gap');
		if (this.open)
			fail('a gap between the parts of a transaction');
		const position = parsePosition(frame.position);
		// Within a batch, commits behind the gap may be covered by its position. Where history is lost
		// the view begins anew: nothing of before may come.
		if (position.epoch !== this.base.epoch || ['epoch', 'history'].includes(frame.reason))
		{
			this.base = position;
			this.seen.clear();
		}
		if (this.request.since && this.request.snapshot && !this.isLive && ['epoch', 'history'].includes(frame.reason))
			this.isSnapshotDone = false;	// history is gone: the snapshot comes in its place
		if (!this.isSnapshotDone)
		{
			this.snapshotParts = 0;			// and begins again
			this.isOpenSnapshot = false;
			this.rows = [];
		}
		if (this.keep)
			this.gaps.push({ ...frame, after: this.eventCount });
	}

	commit(frame, size, batch, fail)
	{
		if (!this.isSnapshotDone)
			fail('a commit before the snapshot is complete');
		if (this.open ? (frame.tx !== this.open.tx || frame.part !== this.open.parts) : frame.part !== 0)
			fail(`part ${frame.part} of ${frame.tx}, expected ${this.open?.parts ?? 0} of ` +
				`${this.open?.tx ?? 'another'}`);
		if (frame.events.length === 0)
			fail('no events');
		if (size > PART_MAX + PART_SLACK && frame.events.length > 1)
			fail(`a part of ${size} bytes with ${frame.events.length} events`);
		this.open ??= { tx: frame.tx, parts: 0, events: [], merged: frame.merged === true, batch, seq: -1 };
		const commit = this.open;
		commit.parts++;
		for (const event of frame.events)
			this.event(event, commit, frame, fail);
		if (this.keep)
			commit.events.push(...frame.events);
		if (!frame.last)
			return;
		this.open = undefined;
		if (!this.keep)
			return;
		this.commits.push(commit);
		this.events.push(...commit.events);
	}

	event(event, commit, frame, fail)
	{
		const { meta } = event;

		checkEvent(event, fail);
		if (!commit.merged)
		{
			if (meta.merged)
				fail('a merged event in a frame that is not merged');
			if (meta.tx !== frame.tx)
				fail(`an event of ${meta.tx} in the frame of ${frame.tx}`);
			if (meta.seq <= commit.seq)
				fail(`seq ${meta.seq} after ${commit.seq}`);
			commit.seq = meta.seq;
		}
		const mark = `${meta.tx}/${meta.seq}`;
		if (this.seen.has(mark))
			fail(`(tx, seq) ${mark} came twice`);
		this.seen.add(mark);
		if (covers(this.base, meta.tx))
			fail(`${mark} is covered by ${this.base.text.slice(0, 200)}`);
		this.checkAsked(event, fail);
		this.eventCount++;
	}

	/** What was not subscribed to must not come. */
	checkAsked(event, fail)
	{
		const { feature = '*', entity = '*', columns } = this.request;
		const { actions } = this;

		if ((feature !== '*' && event.feature !== feature) || (entity !== '*' && event.entity !== entity))
			fail('an event of another entity');
		if (!this.isFiltered && (event.action === 'entered' || event.action === 'left'))
			fail('an edge of a view without a filter');
		if (!actions.has('*') && !actions.has(event.action))
			fail('an action that was not asked for');
		if (columns && ROW_ACTIONS.has(event.action) && event.data)
		{
			const key = typeof event.id === 'object' ? Object.keys(event.id ?? {}) : this.key ?? ['id'];
			for (const column of [...Object.keys(event.data), ...Object.keys(event.old ?? {})])
				if (!columns.includes(column) && !key.includes(column))
					fail(`column ${column} was not asked for`);
		}
	}

	position(position, fail)
	{
		if (this.isOpenSnapshot)
			fail(`a position before the snapshot of view ${this.id} is complete`);
		if (!this.isSnapshotDone)
			return;					// it has not begun: the position is the other views'
		if (this.open)
			fail(`a position before transaction ${this.open.tx} of view ${this.id} is complete`);
		// A gap or an answer may have told a later one already.
		if (position.epoch !== this.base.epoch || !isWithin(position, this.base))
		{
			this.base = position;
			this.seen.clear();
		}
		this.isLive = true;
	}
}

/** The form of an event as the protocol has it. */
function checkEvent(event, fail)
{
	const { feature, entity, action, id, meta } = event;

	for (const member of Object.keys(event))
		if (!MEMBERS.has(member))
			fail(`member ${member} of an event`);
	if (event.event !== `${feature}.${entity}.${action}`)
		fail('the name of an event does not match its parts');
	if (!(id === null || typeof id === 'string' || typeof id === 'object') || id === undefined)
		fail('an id is text, an object or null');
	if (!meta || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/.test(meta.timestamp) ||
		!/^\d+$/.test(meta.tx) || !Number.isInteger(meta.seq) || meta.seq < 0 ||
		!PRIORITIES.has(meta.priority) || !('userId' in meta) || !('sessionId' in meta))
		fail('meta is not as it should be');
	if (action === 'resync' || action === 'gap')
		fail('a marker of the log instead of a gap');
	const has = (member) => event[member] !== undefined;
	if (action === 'left' ? has('data') || has('old') : !has('data'))
		fail(`data of ${action}`);
	if (has('old') && ['created', 'deleted', 'entered', 'truncated', 'status_changed'].includes(action))
		fail(`old in ${action}`);
	if (action === 'updated' && !(has('old') && Object.keys(event.old).length > 0))
		fail('updated without old');
	if (action === 'status_changed' &&
		Object.keys(event.data).sort().join() !== 'new_status,old_status')
		fail('data of status_changed');
	if (['created', 'updated', 'entered', 'deleted', 'left'].includes(action) && id === null)
		fail(`${action} without an id`);
}
