// SPDX-License-Identifier: PostgreSQL
//
// judge.js
//	Judges what came for one subscription, over all its connections, by the truth. Knows the protocol's promises
//	and nothing of how a client or a notifier keeps them.
//
// Model
// 1. A trail is what came, in order: start (subscribed), snapshot, commit, position, gap, end. `covered` is the position up
//	  to which everything has come; what comes after it is a batch until the next position.
// 2. At each position: every transaction of the table that it covers and `covered` does not must be in the
//	  batch, whole, event for event as the model makes them from the audit's images, and nothing else; in an order
//	  that agrees with each row's history and each writer's. So, at a position, all views of a session have the
//	  same transactions: those it covers.
// 3. After a snapshot the rows must be those of the model at the next position. A merged frame makes the batch
//	  looser: its events are of transactions between the positions, each delete among them is there if a window merged
//	  it, and the rows at its end are compared.
// 4. A connection that ends takes its batch with it; what it had must be true all the same.
// 5. A gap is a fault unless the truth has the reason for it.

import { covers, isWithin, parsePosition } from '../../e2e/lib/position.js';
import { isBulk, stateAt } from './truth.js';
import { maySee, readable } from './world.js';

const MAY_BE_OMITTED = new Set(['note']);
const short = (x) => JSON.stringify(x)?.slice(0, 400);
const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);
const ROW_ACTIONS = new Set(['created', 'updated', 'deleted', 'entered', 'left', 'truncated']);

export class Judge
{
	/** @param {object} watch entity, reader, filter, columns, actions, trail, name
	 *  @param {object} court truth, excuse(watch, gap, covered) => text when there is none, violate(text) */
	constructor(watch, court)
	{
		Object.assign(this, { watch, court });
		const { columns, entity, reader } = watch;
		const allowed = readable(entity, reader.role);
		this.shows = (c) => (!columns || c === 'id' || columns.includes(c)) && (!allowed || allowed.includes(c));
		this.has = (row) => maySee(entity, reader, row) && watch.filter.has(row);
		this.reset();
		this.counts = { transactions: 0, events: 0, positions: 0, snapshots: 0, gaps: 0, resumed: 0, discarded: 0, merged: 0, windows: 0 };
	}

	reset()
	{
		this.covered = undefined;
		this.list = undefined;			// id -> row as shown; undefined: not known
		this.joining = undefined;		// {rows, isWhole}: a snapshot is coming
		this.batch = [];
		this.isLoose = false;			// events covered already may come until the next position: after a gap
	}

	/** A subscription with a new client: everything so far is void. */
	violate(what)
	{
		this.court.violate(`${this.watch.name}: ${what}${this.isBroken ? '' : `\nafter ${this.recent?.join('; ')}`}`);
		this.isBroken = true;
	}

	/** Judges what came since the last time. */
	run()
	{
		const { trail } = this.watch;

		for (const item of trail.splice(0))
		{
			this.recent = [...(this.recent ?? []).slice(-11), [item.type, item.since && `since ${item.since}`, item.snapshot, item.position, item.tx, item.reason,
				item.rows?.length].filter((x) => x !== undefined).join(' ')];
			if (this.isBroken && item.type !== 'start')
				continue;
			this[item.type](item);
		}
	}

	start({ since, snapshot, position })
	{
		this.finish();
		if (this.isBroken && since !== undefined)
			return;						// until it begins anew
		this.isBroken = false;
		this.isLoose = false;
		this.joining = undefined;
		if (since !== undefined)
		{
			this.counts.resumed++;
			if (since !== this.covered?.text)
				this.violate(`resumed from ${since}, but was at ${this.covered?.text}`);
			this.mayRestart = snapshot;
			return;
		}
		this.mayRestart = false;
		this.list = undefined;
		this.covered = parsePosition(position);
		this.isFresh = true;			// nothing is live before the first position
		if (snapshot)
			this.joining = { rows: new Map(), isWhole: false };
	}

	/** The connection is lost, or the view: what came last is void, but must have been true. */
	finish()
	{
		const batch = this.batch.splice(0);

		if (this.openParts)
			batch.pop();				// cut within
		this.openParts = undefined;
		this.counts.discarded += batch.length;
		const era = this.covered && this.court.truth.eras.get(this.covered.epoch);
		if (era && !this.isBroken)
			for (const commit of batch)
				this.checkTrue(commit, era);
	}

	end()
	{
		this.finish();
	}

	snapshot({ rows, last })
	{
		if (!this.joining || this.joining.isWhole)
			return this.violate('a snapshot that nobody asked for');
		if (this.batch.length > 0)
			return this.violate('commits before the snapshot');
		for (const { id, data } of rows)
			this.joining.rows.set(String(id), data);
		this.joining.isWhole = last;
		if (last)
			this.counts.snapshots++;
		return undefined;
	}

	commit({ tx, part, last, events, merged })
	{
		if (this.joining && !this.joining.isWhole)
			return this.violate(`a commit before the snapshot: ${tx}`);
		if (part === 0)
			this.batch.push({ tx: Number(tx), events: [], merged: merged === true });
		const commit = this.batch.at(-1);
		commit.events.push(...events);
		this.openParts = last ? undefined : tx;
		this.counts.events += events.length;
		return undefined;
	}

	gap({ reason, position, mayRestart })
	{
		const excuse = this.court.excuse(this.watch, reason, this.covered, position);

		this.counts.gaps++;
		if (excuse)
			return this.violate(`a gap without need: ${reason}: ${excuse}`);
		this.finish();					// what came before it must have been true
		this.covered = parsePosition(position);
		this.isLoose = true;			// the rest of the batch may be missing
		this.list = undefined;
		this.joining = mayRestart ? { rows: new Map(), isWhole: false } : undefined;
		return undefined;
	}

	position({ position: text })
	{
		const position = parsePosition(text);
		const { covered } = this;

		if (this.joining && !this.joining.isWhole)
			return undefined;			// of the other views
		this.counts.positions++;
		if (this.openParts)
			return this.violate(`a position within transaction ${this.openParts}`);
		if (!covered)
			return this.violate('a position before anything');
		if (position.epoch !== covered.epoch)
			return this.violate(`another epoch without a gap: ${covered.text} to ${text}`);
		if (!isWithin(covered, position) && !this.isLoose && !this.isFresh && !isWithin(position, covered))
			return this.violate(`the position is not after the last one: ${covered.text} to ${text}`);
		const era = this.court.truth.eras.get(position.epoch);
		if (!era)
			return this.violate(`a position of an unknown epoch: ${text}`);
		const batch = this.batch.splice(0);
		this.judge(batch, covered, position, era);
		// A position right after subscribing or a gap may be older than what it told.
		if (isWithin(covered, position))
			this.covered = position;
		else if (!isWithin(position, covered))
			return this.violate(`positions that neither covers: ${covered.text} and ${text}`);
		this.isLoose = this.isFresh = false;
		return undefined;
	}

	/** Everything between two positions. */
	judge(batch, from, to, era)
	{
		const { entity } = this.watch;
		const isJoined = this.joining?.isWhole;
		const isMerged = batch.some((c) => c.merged);

		this.counts.merged += batch.filter((c) => c.merged).length;
		this.checkOrder(batch);
		if (!isMerged)
			for (const commit of batch)
			{
				this.checkTrue(commit, era);
				if (!covers(to, commit.tx))
					this.violate(`transaction ${commit.tx} is not covered by the position that follows, ${to.text}`);
				if (covers(from, commit.tx) && !this.isLoose)
					this.violate(`transaction ${commit.tx} came again: ${from.text} covers it`);
			}
		if (isMerged)
			this.checkMerged(batch, from, to, era, isJoined);
		if (!isJoined && !isMerged && !this.isLoose)
		{
			const came = new Map(batch.map((c) => [c.tx, c]));
			for (const tx of era.between(entity, from, to))
				if (!came.has(tx.xid) && this.expected(tx) !== undefined && this.expected(tx).length > 0)
					this.violate(`LOSS: transaction ${tx.xid} between ${from.text} and ${to.text}: ${short(this.expected(tx))}`);
		}
		if (isJoined)
		{
			this.list = this.joining.rows;
			this.joining = undefined;
		}
		for (const { events, merged } of batch)
			for (const event of events)
				if (this.list)			// until a summary makes it void
					this.apply(event, merged || isJoined || this.isThin);
		// TRUNCATE is not MVCC-safe: a snapshot may miss rows that a truncation which it does not see took away.
		const isTruncated = isJoined && (era.byEntity.get(entity) ?? []).some((tx) => !covers(to, tx.xid)
			&& tx.changes.get(entity).some((c) => c.op === 'TRUNCATE'));
		this.isThin = isTruncated || (this.isThin && !isJoined);	// until the truncation comes
		if (this.list && (isJoined || isMerged) && !this.isThin)
			this.compare(stateAt(era, entity, to), `at ${to.text}`);
	}

	/** What is merged is of transactions that changed the table and came since; a window drops no delete. */
	checkMerged(batch, from, to, era, isJoined)
	{
		const { entity, window, actions } = this.watch;
		const events = batch.flatMap((commit) => commit.events);

		for (const { action, id, meta } of events)
		{
			if (!era.transactions.get(Number(meta.tx))?.changes.has(entity))
				this.violate(`PHANTOM: ${action} ${id} of ${meta.tx}, which changed nothing here`);
			if (!covers(to, meta.tx))
				this.violate(`${action} ${id} of ${meta.tx}, which the position that follows does not cover: ${to.text}`);
			if (covers(from, meta.tx) && !this.isLoose)
				this.violate(`${action} ${id} of ${meta.tx} came again: ${from.text} covers it`);
		}
		// A reader that is too slow is merged, too, and gets nothing of what came and went; not of views of all actions.
		if (!window || actions || isJoined || this.isLoose)
			return;
		const expected = era.between(entity, from, to).map((tx) => this.expected(tx));
		const gone = (list) => list.filter((e) => ['deleted', 'left', 'truncated'].includes(e.action))
			.map((e) => `${e.action} ${e.id}`).sort().join();

		this.counts.windows++;
		if (!expected.includes(undefined) && gone(expected.flat()) !== gone(events))
			this.violate(`LOSS in a window between ${from.text} and ${to.text}: ${short(gone(expected.flat()))} went, ${short(gone(events))} came`);
	}

	/** Frames agree with each row's history, and each writer's transactions with his order. */
	checkOrder(batch)
	{
		const seen = new Set();
		const lastOf = new Map();
		const era = this.court.truth.eras.get(this.covered.epoch);

		for (const { tx, merged } of batch)
		{
			if (seen.has(tx) && !merged)
				this.violate(`transaction ${tx} came twice in a batch`);
			seen.add(tx);
			const known = era?.transactions.get(tx);
			if (!known || merged || known.writer === null)
				continue;
			if (lastOf.get(known.writer) > known.k)
				this.violate(`transaction ${tx} of writer ${known.writer} (${known.k}) after ${lastOf.get(known.writer)}`);
			lastOf.set(known.writer, known.k);
		}
	}

	/** The events of one transaction are those of the model. */
	checkTrue(commit, era)
	{
		if (commit.merged)
			return;
		const tx = era.transactions.get(commit.tx);
		if (!tx?.changes.has(this.watch.entity))
		{
			this.violate(`PHANTOM: transaction ${commit.tx} changed nothing here: ${short(commit.events)}`);
			return;
		}
		this.counts.transactions++;
		const expected = this.expected(tx);
		if (expected === undefined)		// summed up: no rows
		{
			if (commit.events.some((e) => ROW_ACTIONS.has(e.action) && e.action !== 'truncated'))
				this.violate(`rows of transaction ${commit.tx}, which is summed up: ${short(commit.events)}`);
			return;
		}
		const got = commit.events;
		for (let i = 0; i < Math.max(expected.length, got.length); i++)
		{
			const problem = differ(expected[i], got[i]);
			if (problem)
			{
				this.violate(`transaction ${commit.tx}, event ${i} of ${expected.length} (${got.length} came): ${problem}\n` +
					`expected ${short(expected[i])}\ngot ${short(got[i])}`);
				return;
			}
		}
	}

	/** What a transaction is to this view; undefined: summed up. */
	expected(tx)
	{
		const { entity, actions } = this.watch;
		const changes = tx.changes.get(entity);

		if (isBulk(changes))
			return undefined;
		const events = changes.flatMap((change) => this.eventsOf(change));
		return actions ? events.filter((e) => actions.has(e.action)) : events;
	}

	project(row)
	{
		return Object.fromEntries(Object.entries(row).filter(([c]) => this.shows(c)));
	}

	eventsOf({ op, old, new: now })
	{
		const was = old && this.has(old);
		const is = now && this.has(now);
		const deleted = () => ({ action: 'deleted', id: String(old.id), data: this.project(old) });
		const created = () => ({ action: 'created', id: String(now.id), data: this.project(now) });

		if (op === 'TRUNCATE')
			return [{ action: 'truncated', id: null }];
		if (op === 'INSERT')
			return is ? [created()] : [];
		if (op === 'DELETE')
			return was ? [deleted()] : [];
		const changed = Object.keys(now).filter((c) => !same(old[c], now[c]));
		if (changed.length === 0)
			return [];
		if (old.id !== now.id)
			return [...(was ? [deleted()] : []), ...(is ? [created()] : [])];
		const shown = changed.filter((c) => this.shows(c));
		if (was && is)
			return shown.length === 0 ? [] : [{ action: 'updated', id: String(now.id), data: this.project(now),
				old: Object.fromEntries(shown.map((c) => [c, old[c]])) }];
		if (is)
			return [{ action: 'entered', id: String(now.id), data: this.project(now) }];
		return was ? [{ action: 'left', id: String(old.id) }] : [];
	}

	apply({ action, id, data, meta }, isLenient)
	{
		const { list } = this;
		const key = String(id);

		switch (action)
		{
			case 'created': case 'entered':
				if (list.has(key) && !isLenient)
					this.violate(`${action} ${key}, which is there`);
				list.set(key, fill(data, meta.omitted, list.get(key)));
				break;
			case 'updated':
				if (!list.has(key) && !isLenient)
					this.violate(`updated ${key}, which is not there`);
				list.set(key, fill(data, meta.omitted, list.get(key)));
				break;
			case 'deleted': case 'left':
				if (!list.delete(key) && !isLenient)
					this.violate(`${action} ${key}, which is not there`);
				break;
			case 'truncated': list.clear(); this.isThin = false; break;
			case 'bulk_created': case 'bulk_updated': case 'bulk_deleted':
				this.list = undefined;	// to be read again
				break;
			default:
		}
	}

	/** The list is what the rows, all of the table's, are to this view. */
	compare(rows, when)
	{
		const mine = new Map([...rows].filter(([, row]) => this.has(row)).map(([id, row]) => [id, this.project(row)]));

		this.compareList(mine, when, ['more']);		// a column that comes and goes without an audit row
	}

	compareList(mine, when, except)
	{
		for (const [id, row] of mine)
			if (!this.list.has(id))
				return this.violate(`${when}: row ${id} is missing: ${short(row)}`);
			else if (!sameRow(row, this.list.get(id), undefined, except))
				return this.violate(`${when}: row ${id} should be ${short(row)} and is ${short(this.list.get(id))}`);
		for (const id of this.list.keys())
			if (!mine.has(id))
				return this.violate(`${when}: row ${id} is too much: ${short(this.list.get(id))}`);
		return undefined;
	}
}

/** A value that an event left out and nobody had: of a row that entered. A client must read it. */
const UNKNOWN = Symbol('unknown');

/** A row with the values that an event left out. */
const fill = (data, omitted, before) => (omitted ? { ...data,
	...Object.fromEntries(omitted.filter((c) => !(c in data)).map((c) => [c, before && c in before ? before[c] : UNKNOWN])) } : data);

function sameRow(a, b, omitted = [], except = [])
{
	const columns = new Set([...Object.keys(a), ...Object.keys(b)]);

	for (const c of columns)
		if (b[c] !== UNKNOWN && !except.includes(c) && !same(a[c], b[c]) && !(omitted.includes(c) && MAY_BE_OMITTED.has(c) && !(c in b)))
			return false;
	return true;
}

/** What is wrong with an event; undefined: nothing. */
function differ(expected, got)
{
	if (!expected)
		return 'LEAK or too much';
	if (!got)
		return 'LOSS';
	if (expected.action !== got.action || expected.id !== got.id)
		return 'another event';
	if (expected.action === 'truncated')
		return undefined;
	const omitted = got.meta.omitted;
	for (const member of ['data', 'old'])
		if (Boolean(expected[member]) !== Boolean(got[member]) ||
			(expected[member] && !sameRow(expected[member], got[member], omitted)))
			return `${member} differs`;
	return undefined;
}
