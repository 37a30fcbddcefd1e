// SPDX-License-Identifier: PostgreSQL
//
// truth.js
//	What happened in the database, from the audit rows and the tables: the model that frames are judged by.
//	Knows no frame and no notifier.
//
// Model
// 1. An era is the life of a server between two crashes or promotions; its positions have an epoch of their own. Within
//	  an era a transaction id is one transaction.
// 2. Audit rows are taken out of the table whenever nobody writes: at the end of a round, and after a crash
//	  before writers go on. So they belong to the era that ends or goes on there.
// 3. n, from a sequence, is taken while the row is locked: it orders the changes of one row as they were made.

import { covers, parsePosition } from '../../e2e/lib/position.js';
import { BULK, TABLES } from './world.js';

export class Era
{
	constructor(epoch)
	{
		this.epoch = epoch;
		this.transactions = new Map();	// xid -> {xid, writer, k, changes: Map of entity to list}
		this.baseline = new Map();		// entity -> Map of id to row, before all of these
		this.serial = 0;
	}

	/** Those of an entity that `to` covers and `from` does not. */
	between(entity, from, to)
	{
		return (this.byEntity?.get(entity) ?? []).filter(({ xid }) => covers(to, xid) && !covers(from, xid));
	}

	index()
	{
		this.byEntity = new Map(TABLES.map((t) => [t, [...this.transactions.values()].filter((tx) => tx.changes.has(t))]));
	}
}

export class Truth
{
	constructor()
	{
		this.eras = new Map();			// epoch -> Era
		this.known = new Set();			// audit rows that have been taken: "n xid"
		this.era = undefined;
		this.changes = 0;
	}

	/** The tables as they are are the beginning of what follows. Nobody writes. */
	async begin(client)
	{
		const { rows } = await client.query('SELECT realtime.position() AS p');
		const { epoch } = parsePosition(rows[0].p);
		const era = new Era(epoch);

		for (const table of TABLES)
		{
			const { rows: all } = await client.query(`SELECT to_jsonb(x) AS row FROM ${table} x`);
			era.baseline.set(table, new Map(all.map(({ row }) => JSON.parse(row)).map((row) => [String(row.id), row])));
		}
		era.index();
		if (this.era?.epoch !== epoch && this.eras.has(epoch))
			throw new Error(`the epoch ${epoch} came back`);
		if (this.era?.epoch !== epoch)
			this.known.clear();			// the numbers of a lost tail are given out again
		this.eras.set(epoch, era);
		this.era = era;
		return era;
	}

	/** Takes the audit rows: of the present era. */
	async take(client)
	{
		const { rows } = await client.query('DELETE FROM audit RETURNING n, xid, writer, k, entity, op, old, new');

		this.add(rows);
	}

	add(rows)
	{
		rows.sort((a, b) => Number(a.n) - Number(b.n));
		for (const { n, xid, writer, k, entity, op, old, new: now } of rows)
		{
			if (this.known.has(`${n} ${xid}`))
				continue;
			this.known.add(`${n} ${xid}`);
			this.changes++;
			const tx = this.transaction(Number(xid));
			tx.writer ??= writer;
			tx.k ??= Number(k);
			if (!tx.changes.has(entity))
				tx.changes.set(entity, []);
			tx.changes.get(entity).push({ n: Number(n), op, old: old && JSON.parse(old), new: now && JSON.parse(now) });
		}
		this.era.index();
	}

	transaction(xid)
	{
		const { transactions } = this.era;

		if (!transactions.has(xid))
			transactions.set(xid, { xid, changes: new Map() });
		return transactions.get(xid);
	}

	/** All is judged: forgets what is over. Nobody writes. */
	async turn(client)
	{
		this.eras.clear();
		this.known.clear();
		await this.begin(client);
	}
}

/** Whether a transaction is summed up in a table. */
export const isBulk = (changes) => changes.filter((c) => c.op !== 'TRUNCATE').length > BULK;

/** The rows of a table as of a position: what began, and the changes that it covers. */
export function stateAt(era, entity, position)
{
	const rows = new Map(era.baseline.get(entity));
	const changes = (era.byEntity.get(entity) ?? []).filter(({ xid }) => covers(position, xid))
		.flatMap((tx) => tx.changes.get(entity)).sort((a, b) => a.n - b.n);

	for (const { op, old, new: now } of changes)
	{
		if (op === 'TRUNCATE')
			rows.clear();
		if (old)
			rows.delete(String(old.id));
		if (now)
			rows.set(String(now.id), now);
	}
	return rows;
}
