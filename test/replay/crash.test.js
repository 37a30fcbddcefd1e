// SPDX-License-Identifier: PostgreSQL
//
// crash.test.js
//	kill -9 in the middle of TPC-B: first of a backend (all others are ended and the server
//	recovers), then of the postmaster. After each, an old position must be refused for its epoch, a
//	reader starts over with a new copy, and the log from its first row on still rebuilds the tables:
//	no commit survived without its events and no event without its commit. What a reader showed is
//	in the log as it was shown; with asynchronous commits, because it had the WAL flushed first.
//	There the WAL writer is stopped, so that commits are lost and their transaction ids used again.
//
// Needs RT_PGDATA, a cluster of this process's user that may be killed.

import test from 'node:test';
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Reader, connect } from './reader.js';
import { Replica } from './replica.js';
import { createDatabase, createTpcb, endAll, pause, random, run, seconds } from './workload.js';

const data = process.env.RT_PGDATA;

/** Waits until a function gives a true value; fails after some seconds. */
async function until(what, seconds, f)
{
	const end = Date.now() + seconds * 1000;

	for (;;)
	{
		const value = await f();
		if (value)
			return value;
		assert.ok(Date.now() < end, `${what} within ${seconds} s`);
		await pause(50);
	}
}

/** The server takes connections and writes again. */
async function isUp()
{
	let client;
	try
	{
		client = await connect('probe');
		await client.query('SELECT 1');
		return true;
	}
	catch
	{
		return false;
	}
	finally
	{
		await client?.end().catch(() => {});
	}
}

/** Stops the WAL writer: asynchronous commits stay in shared memory; returns its process id. */
async function stopWalWriter(setup)
{
	const { rows } = await setup.query(
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
	process.kill(Number(rows[0].pid), 'SIGSTOP');
	return Number(rows[0].pid);
}

/** One writing backend: when it is killed, the postmaster ends the others and recovers. */
async function aBackend(setup)
{
	const { rows } = await setup.query(`SELECT pid FROM pg_stat_activity
		WHERE application_name = 'pgbench' AND state <> 'idle' ORDER BY random() LIMIT 1`);
	assert.equal(rows.length, 1, 'a backend at work');
	return Number(rows[0].pid);
}

async function thePostmaster()
{
	return Number((await readFile(path.join(data, 'postmaster.pid'), 'utf8')).split('\n')[0]);
}

/** Starts the cluster again unless it recovers by itself. */
async function restart(what)
{
	if (what !== 'postmaster')
		return;
	// Refused as long as a process of before holds the shared memory.
	await until('restart', 60, async () =>
		(await run('pg_ctl', ['-D', data, '-l', path.join(data, 'server.log'), '-w', '-s', 'start']))
			.status === 0);
}

/** The next transaction id. */
async function nextXid(client)
{
	const { rows } = await client.query('SELECT pg_snapshot_xmax(pg_current_snapshot()) AS xid');
	return Number(rows[0].xid);
}

/** Replays the whole log onto the first copy and compares with the tables as they are. */
async function checkWholeLog(tables, firstCopy, firstPosition, what)
{
	const reader = new Reader('whole log', tables, { isSql: true });	// across epochs
	reader.replica = new Replica(tables);
	for (const [name, rows] of firstCopy)
		for (const row of rows)
			reader.replica.load(reader.replica.tables.get(name), row);
	await reader.connect();
	reader.position = firstPosition;
	const n = await reader.poll();
	assert.ok(n > 0);
	assert.deepEqual((await reader.differences()).slice(0, 5), [], what);
	await reader.disconnect();
	return n;
}

/** What the reader showed and the log does not have as it was shown. */
async function unhappened(setup, shown)
{
	const { rows } = await setup.query('SELECT xid, part, events FROM realtime.commit_log');
	const log = new Map(rows.map(({ xid, part, events }) => [`${xid}/${part}`, events]));
	return [...shown].filter(([mark, events]) => log.get(mark) !== events);
}

async function crash(t, commit)
{
	process.env.PGOPTIONS = `-c synchronous_commit=${commit}`;
	t.after(endAll);
	let setup = await createDatabase('replay_crash');
	const tables = await createTpcb(setup, 1);
	let reader = new Reader('first', tables);
	await reader.connect();
	await reader.copy();
	const firstPosition = reader.position;
	const firstCopy = new Map([...reader.replica.tables].map(([name, { rows }]) =>
		[name, [...rows.values()]]));
	let lost = 0;
	const epochs = [(await setup.query('SELECT realtime.current_epoch() AS e')).rows[0].e];

	for (const [what, choose] of [['backend', aBackend], ['postmaster', thePostmaster],
		['backend again', aBackend]])
	{
		let isOver = false;
		reader.isFlushing = commit === 'off';
		reader.shown = new Map();
		const following = reader.follow(() => isOver, 8).catch((error) => error);
		const load = run('pgbench', ['-n', '-c', '16', '-j', '2', '-T', '600']);
		await Promise.race([following.then((error) => { throw error; }),
			until('transactions under way', 60, () => reader.replica.transactions > 50)]);
		const walWriter = commit === 'off' && await stopWalWriter(setup);
		await pause(random(500, Math.max(1000, seconds * 150)));
		const victim = await choose(setup);
		// The worst moment: right after something was shown.
		await Promise.race([following, new Promise((resolve) =>
		{
			reader.onRows = () =>
			{
				reader.isHeld = commit === 'off';	// it would flush what commits meanwhile
				resolve();
			};
		})]);
		const xidShown = await nextXid(setup);
		let xidBefore = xidShown;
		if (commit === 'off')
			await until('commits that nobody has flushed', 20,
				async () => (xidBefore = await nextXid(setup)) > xidShown + 20);
		process.kill(victim, 'SIGKILL');
		if (walWriter)
			process.kill(walWriter, 'SIGKILL');
		reader.isHeld = false;
		await restart(what);
		const { status, output } = await load;
		assert.notEqual(status, 0, `pgbench lost its server: ${output}`);
		isOver = true;
		const error = await following;
		assert.ok(error instanceof Error, `${what}: the reader lost its connection`);
		assert.ok(error.code === undefined || /^(57P0|08|ECONN|EPIPE)/.test(error.code),
			`${what}: the reader failed otherwise: ${error.stack}`);

		// Recovered: another epoch, of which the old position is not.
		await setup.end().catch(() => {});
		await until('server up', 60, isUp);
		setup = await connect('setup');
		const { position, shown } = reader;
		const reused = xidBefore - await nextXid(setup);
		lost += Math.max(0, reused);
		epochs.push((await setup.query('SELECT realtime.current_epoch() AS e')).rows[0].e);
		assert.equal(new Set(epochs).size, epochs.length, `${what}: epochs ${epochs}`);
		await reader.disconnect();
		reader = new Reader(`after ${what}`, tables);
		await reader.connect();
		assert.equal(await reader.positionError(position), 'epoch', what);
		assert.deepEqual((await unhappened(setup, shown)).slice(0, 3), [], what);
		const n = await checkWholeLog(tables, firstCopy, firstPosition, `log and tables after ${what}`);
		t.diagnostic(`${what}: ${shown.size} transactions shown, ${n} in the whole log, ` +
			`transaction ids used again: ${reused > 0 ? `at least ${reused}` : 'not known'}`);
		await reader.copy();
		assert.equal(await reader.positionError(), null, what);
	}

	// The reader that started over follows to the end.
	let isOver = false;
	const following = reader.follow(() => isOver, 8);
	following.catch(() => {});		// reported below
	const { status, output } = await run('pgbench', ['-n', '-c', '16', '-j', '2', '-T', '3']);
	assert.equal(status, 0, output);
	isOver = true;
	await following;
	if (commit === 'off')
		assert.ok(lost > 0, 'commits were lost, or this test is none');
	assert.deepEqual((await reader.differences()).slice(0, 5), []);
	await checkWholeLog(tables, firstCopy, firstPosition, 'log and tables at the end');
	await reader.disconnect();
	await setup.end();
}

const options = { timeout: (seconds + 600) * 1000 };
test('kill -9 under load, synchronous commits', options, (t) => crash(t, 'on'));
test('kill -9 under load, asynchronous commits', options, (t) => crash(t, 'off'));
