// SPDX-License-Identifier: PostgreSQL
//
// database.js
//	Databases of the running cluster (PGHOST, PGPORT …) and what tests do in them. Values come as their
//	text: JSON is parsed by who wants it.

import { spawn } from 'node:child_process';
import path from 'node:path';
import pg from 'pg';
import { until } from './wait.js';

const types = { getTypeParser: () => (text) => text };
const clients = new Set();
const children = new Set();

/** A connection. */
export async function connect(database, application = 'test', more = {})
{
	const client = new pg.Client({ database, application_name: application, types, ...more });

	client.on('error', () => {});		// a server that ends; the next query reports it
	client.on('end', () => clients.delete(client));
	clients.add(client);
	await client.connect();
	return client;
}

/** Ends programs and connections that tests left. */
export function endAll()
{
	for (const client of clients)
		client.connection.stream.destroy();
	for (const child of children)
		child.kill('SIGKILL');
}

/** Runs one of PostgreSQL's programs; resolves to its exit status and output. */
export function run(program, args)
{
	return new Promise((resolve, reject) =>
	{
		const child = spawn(path.join(process.env.RT_BINDIR, program), args,
			{ stdio: ['ignore', 'pipe', 'pipe'] });
		let output = '';
		children.add(child);
		child.stdout.on('data', (data) => { output += data; });
		child.stderr.on('data', (data) => { output += data; });
		child.on('error', reject);
		child.on('close', (status) =>
		{
			children.delete(child);
			resolve({ status, output });
		});
	});
}

/** The roles of all tests: the notifier's login, and roles of browsers. */
const ROLES = `
	DO $$ BEGIN
		PERFORM pg_advisory_xact_lock(1);
		IF to_regrole('live') IS NULL THEN
			CREATE ROLE live LOGIN;
			CREATE ROLE web_anon;
			CREATE ROLE web_user;
			CREATE ROLE web_clerk;
			CREATE ROLE web_nobody;
			GRANT web_anon, web_user, web_clerk, web_nobody TO live;
		END IF;
	END $$`;

export class Database
{
	/** A new database with the extension, for the notifier's login. */
	static async create(name)
	{
		const admin = await connect('postgres', 'setup');

		await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
		await admin.query(`CREATE DATABASE ${name}`);
		await admin.query(ROLES);
		await admin.end();
		const database = new Database(name);
		database.client = await connect(name);
		await database.sql('CREATE EXTENSION realtime; GRANT realtime_notifier TO live');
		return database;
	}

	constructor(name)
	{
		this.name = name;
	}

	/** A libpq connection string for the notifier. */
	conninfo(more = '')
	{
		return `host=${process.env.PGHOST} port=${process.env.PGPORT} user=live dbname=${this.name} ${more}`;
	}

	/** Rows of a statement, or of the last of several. */
	async sql(text, values)
	{
		const result = await this.client.query(text, values);

		return (Array.isArray(result) ? result.at(-1) : result).rows;
	}

	/** The first value of the first row. */
	async value(text, values)
	{
		return Object.values((await this.sql(text, values))[0])[0];
	}

	/** Runs SQL in a transaction; returns its id as text. */
	async write(text, values)
	{
		return this.writeOn(this.client, text, values);
	}

	async writeOn(client, text, values)
	{
		await client.query('BEGIN');
		try
		{
			await client.query(text, values);
			const { rows } = await client.query('SELECT pg_current_xact_id() AS tx');
			await client.query('COMMIT');
			return rows[0].tx;
		}
		catch (error)
		{
			await client.query('ROLLBACK').catch(() => {});
			throw error;
		}
	}

	/** After the server was restarted. */
	async reconnect()
	{
		this.client = await until('the server takes connections',
			() => connect(this.name).catch(() => undefined), 60);
	}

	connect(application)
	{
		return connect(this.name, application);
	}

	/** The rows of a query as snapshots show them: Map of id to parsed row. */
	async rows(query, key = 'id', client = this.client)
	{
		const { rows } = await client.query(
			`SELECT ${key}::text AS id, realtime.row_json(q) AS row FROM (${query}) q`);

		return new Map(rows.map(({ id, row }) => [id, JSON.parse(row)]));
	}

	/** Sessions that are armed. */
	async armed()
	{
		return Number(await this.value("SELECT realtime.status() ->> 'armed'"));
	}

	untilArmed(n = 1, seconds = 20)
	{
		return until(`${n} notifiers armed`, async () => (await this.armed()) === n, seconds);
	}

	async end()
	{
		await this.client.end().catch(() => {});
	}
}
