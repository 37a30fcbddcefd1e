// SPDX-License-Identifier: PostgreSQL
//
// reader.js
//	Reads the commit log as a notifier does: a position is a snapshot, nothing is locked.
//
// What is new in a poll is what its snapshot sees and the last one did not: transactions at or
// above the last snapshot's xmax, and those that were running in it (xip). One statement returns
// the new snapshot and the rows it sees: SQL that anybody could write, or realtime.read().

import pg from 'pg';
import { Replica } from './replica.js';

// All values as their text: JSON is parsed here, once and exactly.
const types = { getTypeParser: () => (text) => text };

const clients = new Set();

/** Ends the connections that a failed test left open: they would keep the process alive. */
export function endConnections()
{
	for (const client of clients)
		client.connection.stream.destroy();
}

/** Connects with the environment's settings (PGHOST …). */
export async function connect(application = 'replay', database = process.env.PGDATABASE)
{
	const client = new pg.Client({ database, application_name: application, types });
	client.on('error', () => {});	// a killed server; the next query reports it
	client.on('end', () => clients.delete(client));
	clients.add(client);
	await client.connect();
	return client;
}

/** Splits epoch/xmin:xmax:xip,… */
export function parsePosition(position)
{
	const [epoch, snapshot] = position.split('/');
	const [xmin, xmax, xip] = snapshot.split(':');
	return { epoch, snapshot, xmin, xmax, xip: xip === '' ? [] : xip.split(',') };
}

const POLL = `
	SELECT pg_current_snapshot() AS snapshot, l.xid, l.part, l.lsn, l.events
	FROM (VALUES (1)) AS one
		LEFT JOIN realtime.commit_log l ON l.xid >= $1::xid8 OR l.xid = ANY ($2::xid8[])
	ORDER BY l.lsn, l.xid, l.part`;

export class Reader
{
	/**
	 * @param {string} name for messages
	 * @param {object[]} tables as Replica's
	 * @param {boolean} isSql reads by SQL, not by realtime.read()
	 */
	constructor(name, tables, { isSql = false } = {})
	{
		this.isSql = isSql;
		this.name = name;
		this.replica = new Replica(tables);
		this.polls = 0;
		this.copies = 0;
		this.isHeld = false;		// does not read
		this.isFlushing = false;	// shows only what is durable, for asynchronous commits
		this.shown = undefined;		// a Map of "xid/part" to the row's text, if kept
	}

	async connect()
	{
		this.client = await connect(`reader ${this.name}`);
		await this.client.query(`SET default_transaction_isolation = 'read committed';
			SET default_transaction_read_only = on; SET enable_seqscan = off`);
	}

	async disconnect()
	{
		await this.client?.end().catch(() => {});
		this.client = undefined;
	}

	/** Reads position and tables in one snapshot: the stream goes on exactly from there. */
	async copy()
	{
		this.replica.clear();
		await this.client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
		const { rows } = await this.client.query('SELECT realtime.position() AS position');
		this.position = rows[0].position;
		for (const [name, table] of this.replica.tables)
			for (const row of await readTable(this.client, table))
				this.replica.load(table, row);
		await this.client.query('COMMIT');
		this.copies++;
	}

	/** Reads what is new by SQL: a position and the log's rows. */
	async pollSql()
	{
		const { epoch, xmax, xip } = parsePosition(this.position);
		const { rows } = await this.client.query({ name: 'poll', text: POLL, values: [xmax, xip] });
		const found = rows.filter((row) => row.xid !== null);	// one empty row of the outer join

		// Flushes all that was written until now, thus what the poll saw; if the server dies before
		// that, nothing was shown.
		if (this.isFlushing && found.length > 0)
			await this.client.query('SELECT realtime.flush()');
		return [`${epoch}/${rows[0].snapshot}`, found];
	}

	/** The same by realtime.read(). What is last is checked against what comes after it. */
	async pollRead()
	{
		const { rows: [head, ...found] } = await this.client.query({ name: 'read',
			text: 'SELECT * FROM realtime.read($1)', values: [this.position] });

		if (head.gap !== null)
			throw new Error(`${this.name}: gap ${head.gap} at ${this.position}`);
		found.forEach((row, i) =>
		{
			if ((row.is_last === 't') !== (found[i + 1]?.xid !== row.xid))
				throw new Error(`${this.name}: is_last of ${row.xid}/${row.part} is ${row.is_last}`);
		});
		return [head.position, found];
	}

	/** Reads and applies what is new; returns how many log rows that was. */
	async poll()
	{
		const [position, rows] = await (this.isSql ? this.pollSql() : this.pollRead());

		for (const row of rows)
		{
			this.shown?.set(`${row.xid}/${row.part}`, row.events);
			this.replica.applyRow(row.xid, Number(row.part), JSON.parse(row.events));
		}
		this.position = position;
		this.polls++;
		if (rows.length > 0)
			this.onRows?.();		// told right after rows were shown
		return rows.length;
	}

	/** Why the position is void, or null; asked after reading, in a statement of its own. */
	async positionError(position = this.position)
	{
		const { rows } = await this.client.query(
			'SELECT realtime.position_error($1) AS error', [position]);
		return rows[0].error;
	}

	/** Polls every few milliseconds until stop() says so, then once more. */
	async follow(stop, interval)
	{
		while (!stop())
		{
			const n = this.isHeld ? 0 : await this.poll();
			await new Promise((resolve) => setTimeout(resolve, n > 0 ? interval / 4 : interval));
		}
		await this.poll();
	}

	/** Every difference between the tables as they are now and what the events made of them. */
	async differences()
	{
		const found = [];

		for (const [name, table] of this.replica.tables)
			found.push(...this.replica.difference(name, await readTable(this.client, table)));
		return found;
	}
}

/** All rows of a table, as events show them. */
export async function readTable(client, table)
{
	const { rows } = await client.query(
		`SELECT realtime.row_json(t) AS row FROM ${table.relation} t`);
	return rows.map(({ row }) => JSON.parse(row));
}
