// SPDX-License-Identifier: PostgreSQL
//
// replica.js
//	A view's rows by id, kept by nothing but the frames of one subscription, that distrusts each event.
//
// An event fits only the state that it was made from: a row that is created or enters must be new, one
// that is updated, deleted or leaves must be there, `old` must be what the replica has in the changed
// columns and `data` what it has in the others. So an event that is lost, doubled or out of order is an
// error at the next change of its row. Merged frames and views with columns are checked less.

const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);

/** The text of an event's or row's id: what rows are kept by. */
export const keyText = (id) => (typeof id === 'string' ? id : JSON.stringify(id));

export class Replica
{
	/** @param {Map<string, object>} [base] rows shared with others, never changed here */
	constructor(base)
	{
		this.base = base;
		this.clear();
	}

	clear()
	{
		this.own = new Map();		// id -> row; undefined: not there, whatever the base has
		this.isComplete = true;		// false after a gap, until the data was read again
		this.events = 0;
		this.hidden = this.base ? new Set() : undefined;
	}

	/** Forgets the shared rows, too: what follows is whole. */
	reset()
	{
		this.base = undefined;
		this.clear();
	}

	get(id)
	{
		return this.own.has(id) ? this.own.get(id) : this.base?.get(id);
	}

	set(id, row)
	{
		if (row === undefined && !this.base)
			this.own.delete(id);
		else
			this.own.set(id, row);
	}

	/** All rows: [id, row] pairs. */
	*rows()
	{
		if (this.base)
			for (const [id, row] of this.base)
				if (!this.own.has(id))
					yield [id, row];
		for (const [id, row] of this.own)
			if (row !== undefined)
				yield [id, row];
	}

	load(rows)
	{
		for (const { id, data } of rows)
			this.set(keyText(id), data);
	}

	/** Applies one event; throws when it does not fit. is: { isMerged, isPartial } */
	apply(event, { isMerged = false, isPartial = false } = {})
	{
		const fail = (why) =>
		{
			throw new Error(`replica: ${why}: ${JSON.stringify(event).slice(0, 600)}`);
		};
		const id = keyText(event.id);
		const current = this.get(id);

		this.events++;
		switch (event.action)
		{
			case 'created':
			case 'entered':
				if (current && !isMerged)
					fail(`the row is there already as ${JSON.stringify(current).slice(0, 300)}`);
				return this.set(id, this.complete(event, current));
			case 'updated':
				if (!current && !isMerged)
					fail('the row is not there');
				if (!isMerged && !isPartial)
					this.check(event, current, fail);
				return this.set(id, this.complete(event, current));
			case 'deleted':
			case 'left':
				if (!current && !isMerged)
					fail('the row is not there');
				return this.set(id, undefined);
			case 'truncated':
				return this.reset();
			default:
				return undefined;			// status_changed, defined and custom actions
		}
	}

	/** What an update says of the row before must be so. */
	check(event, current, fail)
	{
		for (const column of Object.keys(event.data))
			if (event.old && column in event.old)
			{
				if (!same(event.old[column], current[column]))
					fail(`old ${column} should be ${JSON.stringify(current[column])}`);
			}
			else if (!same(event.data[column], current[column]))
				fail(`${column} changed without old, was ${JSON.stringify(current[column])}`);
	}

	/** The new row, with values that the event left out taken from the row before. */
	complete(event, current)
	{
		const row = { ...event.data };

		for (const column of event.meta.omitted ?? [])
			if (!(column in row) && current && column in current)
				row[column] = current[column];
		return row;
	}

	/** Differences from rows as the database has them: Map of id to row. */
	differences(rows, name = '')
	{
		const differences = [];
		const seen = new Set();
		const text = (row) => (row === undefined ? 'nothing' : sorted(row));

		for (const [id, row] of rows)
		{
			seen.add(id);
			const own = this.get(id);
			if (!isPlainlySame(own, row) && text(own) !== text(row))
				differences.push(`${name} ${id}: table ${text(row)}, replica ${text(own)}`);
		}
		for (const [id, row] of this.rows())
			if (!seen.has(id))
				differences.push(`${name} ${id}: only in the replica, ${text(row)}`);
		return differences;
	}
}

/** Whether two rows have the same columns with the same simple values: the usual case, fast. */
function isPlainlySame(a, b)
{
	if (a === undefined || b === undefined)
		return a === b;
	for (const column in b)
		if (a[column] !== b[column])
			return false;
	return Object.keys(a).length === Object.keys(b).length;
}

/** A row as text in which the order of columns does not count. */
function sorted(row)
{
	return JSON.stringify(Object.fromEntries(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1))));
}
