// SPDX-License-Identifier: PostgreSQL
//
// workload.js
//	What goes on in the database while readers read: pgbench, and sessions that keep transactions
//	open for seconds, roll them back in whole or in part, or leave them prepared.

import { spawn } from 'node:child_process';
import path from 'node:path';
import { connect, endConnections } from './reader.js';

export const seconds = Number(process.env.REPLAY_SECONDS ?? 15);
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const random = (from, to) => from + Math.floor(Math.random() * (to - from + 1));

const children = new Set();

/** Ends what a failed test left running: programs and connections. */
export function endAll()
{
	endConnections();
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

/** Runs pgbench; rejects unless every one of its clients came through. */
export async function pgbench(...args)
{
	const { status, output } = await run('pgbench', args);

	if (status !== 0)
		throw new Error(`pgbench ${args.join(' ')} ended with status ${status}: ${output}`);
	return output;
}

/** A prepared or committed end of a transaction, or none at all. */
const ends = ['COMMIT', 'ROLLBACK', 'COMMIT PREPARED', 'ROLLBACK PREPARED'];

/**
 * One session that works on TPC-B tables in long transactions until stop() says so. Returns how
 * many transactions ended in each way. Deadlocks between such sessions count as rollbacks.
 */
export async function hold(name, accounts, stop)
{
	const client = await connect(`holder ${name}`);
	const counts = { COMMIT: 0, ROLLBACK: 0, 'COMMIT PREPARED': 0, 'ROLLBACK PREPARED': 0, failed: 0 };

	for (let i = 0; !stop(); i++)
	{
		const end = ends[random(0, ends.length - 1)];
		const update = () => client.query('UPDATE pgbench_accounts SET abalance = abalance + $1 ' +
			'WHERE aid = $2', [random(-5000, 5000), random(1, accounts)]);
		try
		{
			await client.query('BEGIN');
			await update();
			await client.query(`INSERT INTO pgbench_history (tid, bid, aid, delta, mtime)
				SELECT 1, 1, g, g, now() FROM generate_series(1, 3) g`);
			await client.query('SAVEPOINT a');
			await update();
			await client.query('DELETE FROM pgbench_history WHERE id IN ' +
				'(SELECT id FROM pgbench_history ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED)');
			await client.query('SAVEPOINT b');
			await update();
			await client.query(random(0, 1) ? 'ROLLBACK TO a' : 'ROLLBACK TO b');
			await pause(random(200, 2500));
			await update();
			if (end.endsWith('PREPARED'))
			{
				await client.query(`PREPARE TRANSACTION '${name}-${i}'`);
				await pause(random(100, 1500));
				await client.query(`${end} '${name}-${i}'`);
			}
			else
				await client.query(end);
			counts[end]++;
		}
		catch (error)
		{
			if (error.code !== '40P01')		// deadlock_detected
				throw error;
			await client.query('ROLLBACK');
			counts.failed++;
		}
	}
	await client.end();
	return counts;
}

/** Enables tables for complete events, whatever their size. Keys are found by the extension. */
export async function enable(client, relations)
{
	const tables = [];

	for (const relation of relations)
	{
		await client.query('SELECT realtime.enable($1::regclass, bulk_threshold => NULL)', [relation]);
		const { rows } = await client.query(
			'SELECT feature, entity, to_json(key) AS key FROM realtime.entities WHERE relation = $1::regclass',
			[relation]);
		tables.push({ ...rows[0], key: JSON.parse(rows[0].key), relation });
	}
	return tables;
}

/** Makes a database of its own with the extension and points PGDATABASE to it. */
export async function createDatabase(name)
{
	const client = await connect('setup', 'postgres');
	await client.query(`DROP DATABASE IF EXISTS ${name}`);
	await client.query(`CREATE DATABASE ${name}`);
	await client.end();
	process.env.PGDATABASE = name;
	const setup = await connect('setup');
	await setup.query('CREATE EXTENSION realtime');
	await setup.query('SELECT realtime.current_epoch()');	// made once, by a read-write transaction
	return setup;
}

/** pgbench's own tables, all enabled; its history gets the key that it lacks. */
export async function createTpcb(setup, scale)
{
	await pgbench('-i', '-q', '-s', String(scale));
	await setup.query('ALTER TABLE pgbench_history ADD COLUMN id bigserial PRIMARY KEY');
	return enable(setup, ['pgbench_accounts', 'pgbench_branches', 'pgbench_tellers',
		'pgbench_history']);
}
