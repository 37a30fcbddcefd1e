// SPDX-License-Identifier: PostgreSQL
//
// subscriber.js
//	One random subscription of the oracle, with what it must get.

import { covers, parsePosition } from '../../e2e/lib/position.js';
import { eventText, eventsOf, filteredImages, visible } from './truth.js';

const COUNTED = new Set(['created', 'updated', 'deleted', 'entered', 'left', 'status_changed', 'approved', 'raised']);

/** Row-level security makes edges without a filter: the checks of frames must let them pass. */
export function expectEdges(peer)
{
	const { checker } = peer;
	const take = checker.takeSubscribed;

	checker.takeSubscribed = (...args) =>
	{
		const view = take.apply(checker, args);
		view.isFiltered = true;
		return view;
	};
	return peer;
}

export class Subscriber
{
	/** @param {object} options world, peer, reader {role, claims}, tables, filter, columns, kind */
	constructor(options)
	{
		Object.assign(this, options);
		this.checked = 0;		// events of the view looked at
		this.gapsSeen = 0;
		this.readable = new Map();
		this.shown = new Map();
	}

	get name()
	{
		return `${this.peer.name}: ${this.kind} ${this.tables.map((t) => t.name)} role ${this.reader.role} ` +
			`claims ${JSON.stringify(this.reader.claims)} filter ${JSON.stringify(this.filter.terms)} columns ${this.columns}`;
	}

	/** Looks up what the role may read. */
	async prepare()
	{
		for (const table of this.tables)
		{
			const readable = await this.world.readable(table, this.reader.role);

			this.readable.set(table, readable);
			this.shown.set(table, this.columns ? new Set([...readable].filter((c) => c === 'id' || this.columns.includes(c)))
				: readable);
		}
	}

	get isForbidden()
	{
		return !this.isWild && this.readable.get(this.tables[0]).size === 0;
	}

	request(more)
	{
		const { world } = this;
		const [table] = this.tables;

		return { feature: world.feature, ...(this.isWild ? {} : { entity: table.name }),
			...(this.filter.terms.length > 0 ? { filter: this.filter.terms } : {}),
			...(this.columns ? { columns: this.columns.map((c) => table.names[c]) } : {}), ...more };
	}

	async subscribe(more = {})
	{
		this.view = await this.peer.subscribe(this.request(more));
		this.base = parsePosition(this.view.answer.position);
		return this.view;
	}

	get isEnded()
	{
		return !this.peer.views.has(this.view?.id) || this.peer.views.get(this.view.id) !== this.view;
	}

	/** The error that ended the view. */
	get end()
	{
		return this.peer.frames.find((f) => f.op === 'error' && f.view === this.view.id && f.ref === undefined);
	}

	/** What arrived since the last look: Map of tx to texts, by table's name. */
	arrived()
	{
		const byTx = new Map();

		this.otherKeys = new Set();		// named in meta
		for (const event of this.view.events.slice(this.checked))
		{
			const key = `${event.meta.tx} ${event.entity}`;
			if (!byTx.has(key))
				byTx.set(key, []);
			if (COUNTED.has(event.action))
				byTx.get(key).push(eventText(event));
			for (const member of ['oldId', 'newId'])
				if (member in event.meta)
					this.otherKeys.add(`${event.meta.tx} ${event.entity} ${event.meta[member]}`);
		}
		this.checked = this.view.events.length;
		return byTx;
	}

	gaps()
	{
		const gaps = this.view.gaps.slice(this.gapsSeen).map((g) => g.reason);

		this.gapsSeen = this.view.gaps.length;
		return gaps;
	}

	/**
	 * Compares what arrived with what must have.
	 * @param {object[]} changes of the round, with images in the twins
	 * @param {function} firstState the earliest state that counts for a transaction
	 * @param {number} lastState the latest
	 * @returns {object} counts, or {error} when PostgreSQL itself says nothing but an error
	 */
	async check(changes, firstState, lastState, { isStrict = true } = {})
	{
		const arrived = this.arrived();
		// The gap of a change of policies that had not come when the round began: what it covers may not have been sent.
		const late = this.isAwaitingGap && this.view.gaps[this.gapsSeen];
		const gaps = this.gaps();
		const isExcused = late && late.reason === 'access' ? ((until) => (tx) => covers(until, tx))(parsePosition(late.position)) : () => false;
		const counts = { changes: 0, events: 0, ambiguous: 0 };
		const problems = [];

		for (const table of this.tables)
		{
			const shown = this.shown.get(table);
			const mine = shown.size === 0 ? [] : changes.filter((c) => c.table === table);
			const isAsked = (c) => !covers(this.base, c.tx) && !(this.joined && covers(this.joined, c.tx));
			const truth = await this.truthOf(table, mine.length > 0, firstState, lastState);

			if (truth.error)
				return { error: truth.error };
			const byTx = new Map();
			for (const change of mine.filter(isAsked))
			{
				if (!byTx.has(change.tx))
					byTx.set(change.tx, []);
				byTx.get(change.tx).push(change);
			}
			for (const [tx, list] of byTx)
			{
				const key = `${tx} ${table.name}`;
				const got = arrived.get(key) ?? [];

				arrived.delete(key);
				counts.changes += list.length;
				counts.events += got.length;
				const problem = this.compare(list, got, truth, firstState(tx), lastState, gaps, counts);
				if (problem && isStrict && !(got.length === 0 && isExcused(tx)))
					problems.push(`transaction ${tx}, ${table.name}: ${problem}`);
			}
			for (const change of mine.filter((c) => !isAsked(c)))
				if (!isStrict)
					arrived.delete(`${change.tx} ${table.name}`);
		}
		if (isStrict)
			for (const [key, got] of arrived)
				if (got.length > 0)
					problems.push(`LEAK: nothing of ${key} may come, but ${got.join('\n')}`);
		this.isAwaitingGap = false;
		if (problems.length > 0)
			throw new Error(`${this.name}\ngaps ${gaps}\n${problems.slice(0, 3).join('\n')}`);
		return { ...counts, gaps };
	}

	/** Sets of visible images by state, and the filter's. */
	async truthOf(table, isNeeded, firstState, lastState)
	{
		const states = new Map();

		for (let state = isNeeded ? firstState() : lastState; state <= lastState && isNeeded; state++)
		{
			const images = await visible(this.world, this.reader, table, state);

			if (images instanceof Error)
				return { error: images };
			states.set(state, images);
		}
		return { states, filtered: isNeeded ? await filteredImages(this.world, table, this.filter.sql) : new Set() };
	}

	/** The events of one transaction in one table: undefined, or what is wrong. */
	compare(changes, got, truth, first, last, gaps, counts)
	{
		let at = 0;
		const shownOf = (c) => this.shown.get(c.table);

		for (const change of changes)
		{
			const options = new Set();		// lists of events, joined
			const has = (image, which) => (!image ? [undefined] : [...new Set(which.map((s) =>
				truth.states.get(s).has(image.ctid)))]);
			const states = Array.from({ length: last - first + 1 }, (_, i) => first + i);
			const lists = [];

			for (const mayOld of has(change.old, states))
				for (const mayNew of has(change.new, states))
				{
					const edge = { was: mayOld && truth.filtered.has(change.old.ctid), is: mayNew && truth.filtered.has(change.new.ctid) };
					// What follows from a change of the key may leave out what was, as the image is not at hand.
					for (const isTold of change.op === 'UPDATE' && change.old.data.id !== change.new.data.id && mayOld ? [true, false] : [mayOld])
					{
						const list = eventsOf(change, { ...edge, mayOld: isTold }, shownOf(change), this.readable.get(change.table));
						const text = list.join('\n');
						if (!options.has(text))
							lists.push(list);
						options.add(text);
					}
				}
			if (isAmbiguous(change) && gaps.includes('omitted'))
			{
				counts.ambiguous++;
				lists.push([]);
			}
			lists.sort((a, b) => b.length - a.length);
			const isBoth = states.some((s) => change.old && change.new && truth.states.get(s).has(change.old.ctid)
				&& truth.states.get(s).has(change.new.ctid));
			const isOther = (id) => changes.some((c) => c !== change && [c.old?.data.id, c.new?.data.id].includes(id));
			for (const row of [change.old, change.new])
				if (!isBoth && change.op === 'UPDATE' && change.old.data.id !== change.new.data.id && !isOther(row.data.id)
					&& this.otherKeys.has(`${change.tx} ${change.table.name} ${row.data.id}`))
					return `LEAK: the key ${row.data.id} of a hidden row`;
			const fit = lists.find((list) => list.every((text, i) => got[at + i] === text));
			if (!fit)
				return `${kindOf(lists, got, at)}: expected ${lists.map((l) => l.join('\n') || 'nothing').join('\nor ')}\n` +
					`got ${got.slice(at).join('\n') || 'nothing'}\nof ${change.op} ${JSON.stringify(change.old?.data)}\n` +
					`=> ${JSON.stringify(change.new?.data)}`;
			at += fit.length;
		}
		return at < got.length ? `LEAK or double: ${got.slice(at).join('\n')}` : undefined;
	}
}

const kindOf = (lists, got, at) => lists.some((l) => l.length === 0) || got.length - at > 0 ? 'LEAK or difference' : 'OMISSION';

/** Images that JSON writes alike: null and json null. */
function isAmbiguous({ table, old, new: now })
{
	return table.name === 'item' && [old, now].some((row) => row &&
		(row.data[table.names.jb] === null || row.data[table.names.js] === null));
}
