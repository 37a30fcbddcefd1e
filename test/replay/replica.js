// SPDX-License-Identifier: PostgreSQL
//
// replica.js
//	In-memory copies of tables, changed by nothing but events, that distrust every event.
//
// An event fits only the state that it was made from: `old` must be what the copy has in the changed
// columns, `data` what it has in all others, a created row must be new, a deleted one must be as the
// copy has it. So an event lost, doubled or out of order is an error at the next change of its row.
// Knows the form of events and nothing of where they come from.

/** Whether two values of event JSON are the same, member order included. */
function same(a, b)
{
	return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** The text of an event's or row's key: what the copies are indexed by. */
function keyText(id)
{
	return typeof id === 'string' ? id : JSON.stringify(id);
}

export class Replica
{
	/**
	 * @param {{feature: string, entity: string, relation: string, key: string[]}[]} tables
	 */
	constructor(tables)
	{
		this.tables = new Map();
		for (const table of tables)
			this.tables.set(`${table.feature}.${table.entity}`, { ...table, rows: new Map() });
		this.clear();
	}

	/** Forgets all rows and all that was seen, before a new copy. */
	clear()
	{
		for (const table of this.tables.values())
			table.rows.clear();
		this.seen = new Set();		// "tx/seq" of every event applied since the copy
		this.nextSeq = new Map();	// tx -> the seq its next event must have
		this.events = 0;
		this.transactions = 0;
		this.actions = {};			// how many events of each action
	}

	/** Adds a row of the initial copy. */
	load(table, row)
	{
		table.rows.set(this.keyOf(table, row), row);
	}

	/** The id that events give a row; key columns here are of types whose JSON is their text. */
	keyOf(table, row)
	{
		if (table.key.length === 1)
			return String(row[table.key[0]]);
		return JSON.stringify(Object.fromEntries(table.key.map((c) => [c, String(row[c])])));
	}

	/** Applies one log row: the events of a transaction, or of a part of it. */
	applyRow(xid, part, events)
	{
		if (part === 0)
			this.transactions++;
		for (const event of events)
			this.apply(xid, event);
	}

	/** Applies one event; throws when it does not fit. */
	apply(xid, event)
	{
		const fail = (why) =>
		{
			throw new Error(`${why}: ${JSON.stringify(event)}`);
		};
		const { tx, seq } = event.meta;
		const mark = `${tx}/${seq}`;

		if (tx !== String(xid))
			fail(`event of transaction ${tx} in the row of ${xid}`);
		if (this.seen.has(mark))
			fail('event seen twice');
		this.seen.add(mark);
		if (seq !== (this.nextSeq.get(tx) ?? 0))
			fail(`seq ${seq}, expected ${this.nextSeq.get(tx) ?? 0}`);
		this.nextSeq.set(tx, seq + 1);
		this.events++;
		this.actions[event.action] = (this.actions[event.action] ?? 0) + 1;
		if (event.event !== `${event.feature}.${event.entity}.${event.action}`)
			fail('event name does not match its parts');

		const table = this.tables.get(`${event.feature}.${event.entity}`);
		if (!table)
			fail('event of an unknown entity');
		switch (event.action)
		{
			case 'created': return this.created(table, event, fail);
			case 'updated': return this.updated(table, event, fail);
			case 'deleted': return this.deleted(table, event, fail);
			case 'truncated': return table.rows.clear();
			case 'status_changed': return undefined;
			default: return fail('unexpected action');
		}
	}

	created(table, event, fail)
	{
		const id = keyText(event.id);
		let row = event.data;

		if (table.rows.has(id))
			fail(`row ${id} exists already as ${JSON.stringify(table.rows.get(id))}`);
		if (event.meta.omitted)
		{
			// A key change moves a row: values that it did not touch are those of before.
			if (event.meta.oldId === undefined || keyText(event.meta.oldId) !== table.moved?.id)
				fail('created without all values');
			row = this.complete(row, event.meta.omitted, table.moved.row);
		}
		if (this.keyOf(table, row) !== id)
			fail('id and data disagree');
		table.rows.set(id, row);
	}

	updated(table, event, fail)
	{
		const id = keyText(event.id);
		const current = table.rows.get(id);
		const omitted = event.meta.omitted ?? [];
		let changed = 0;

		if (!current)
			fail(`row ${id} does not exist`);
		for (const column of Object.keys(event.data))
		{
			if (event.old && column in event.old)
			{
				changed++;
				if (!same(event.old[column], current[column]))
					fail(`old ${column} should be ${JSON.stringify(current[column])}`);
				if (same(event.old[column], event.data[column]))
					fail(`${column} did not change`);
			}
			else if (!same(event.data[column], current[column]))
				fail(`${column} changed without old, was ${JSON.stringify(current[column])}`);
		}
		if (changed === 0)
			fail('updated without a change');
		table.rows.set(id, this.complete(event.data, omitted, current));
	}

	deleted(table, event, fail)
	{
		const id = keyText(event.id);
		const current = table.rows.get(id);
		const omitted = event.meta.omitted ?? [];

		if (!current)
			fail(`row ${id} does not exist`);
		if (!same(this.complete(event.data, omitted, current), current))
			fail(`row was ${JSON.stringify(current)}`);
		table.rows.delete(id);
		table.moved = event.meta.newId === undefined ? undefined : { id, row: current };
	}

	/** A row with the values that an event left out taken from the row before, in its order. */
	complete(data, omitted, before)
	{
		if (omitted.length === 0)
			return data;
		const row = {};
		for (const column of Object.keys(before))
			row[column] = column in data || !omitted.includes(column) ? data[column] : before[column];
		return row;
	}

	/** Compares with rows read from the database: Map of entity name to array of rows. */
	difference(name, rows)
	{
		const table = this.tables.get(name);
		const differences = [];
		const ids = new Set();

		for (const row of rows)
		{
			const id = this.keyOf(table, row);
			ids.add(id);
			if (!same(row, table.rows.get(id)))
				differences.push(`${name} ${id}: table ${JSON.stringify(row)}, ` +
					`events ${JSON.stringify(table.rows.get(id))}`);
		}
		for (const id of table.rows.keys())
			if (!ids.has(id))
				differences.push(`${name} ${id}: only in the events`);
		return differences;
	}
}
