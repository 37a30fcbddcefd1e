// SPDX-License-Identifier: PostgreSQL
//
// stopped.test.js
//	Processes that stand still at the worst moment: a backend that has been told not to ring and has not
//	committed, and a notifier that is armed. Others' events still arrive; writers recover.
//
// RT_LATE_WRITER is the library of test/modules/late_writer: SQL at pre-commit, after realtime has
// written the log and looked whether somebody is armed.

import test from 'node:test';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { run } from './lib/database.js';
import { Stage } from './lib/stage.js';
import { pause, until } from './lib/wait.js';

const stage = await Stage.open('stopped');
/** The doorbell's lock tag in pg_locks: the relation that cannot exist. */
const DOORBELL = `relation = 9999
	AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
const item = { feature: 'shop', entity: 'item' };
let id = 0;
const insert = () => stage.write(`INSERT INTO item (id) VALUES (${++id})`);

/** Times from write to event, in ms. */
async function latencies(peer, view, n)
{
	const times = [];
	for (let i = 0; i < n; i++)
	{
		const start = performance.now();
		const tx = await insert();
		await peer.until('the event', () => view.events.some((e) => e.meta.tx === tx), { seconds: 15 });
		times.push(performance.now() - start);
	}
	return times.sort((a, b) => a - b);
}

test('a backend stopped right after its probe', async (t) =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe(item);
	const key = 4242;
	const victim = await stage.database.connect('victim');
	await victim.query(`LOAD '${process.env.RT_LATE_WRITER}'`);
	const pid = Number((await victim.query('SELECT pg_backend_pid() AS pid')).rows[0].pid);
	const holder = await stage.database.connect('holder');
	await holder.query('SELECT pg_advisory_lock($1)', [key]);

	// Nobody armed at the probe, so that it is told not to ring: keep the notifier busy meanwhile.
	let isBusy = true;
	const busy = (async () =>
	{
		const client = await stage.database.connect('busy');
		for (let n = 0; isBusy; n++)
			await client.query('INSERT INTO other VALUES ($1)', [n]);
		await client.end();
	})();
	// If the notifier is at rest at that moment, the victim rings instead: then once more.
	let own;
	let commit;
	for (let holds = '0'; holds === '0';)
	{
		if (commit)
		{
			await holder.query('SELECT pg_advisory_unlock($1)', [key]);
			await commit;
			await holder.query('SELECT pg_advisory_lock($1)', [key]);
		}
		await until('the notifier is busy', async () => await stage.database.armed() === 0);
		await victim.query('BEGIN');
		await victim.query(`SET LOCAL late_writer.sql = 'SELECT pg_advisory_xact_lock(${key})'`);
		own = ++id;
		await victim.query(`INSERT INTO item (id) VALUES (${own})`);
		commit = victim.query('COMMIT');
		commit.catch(() => {});			// awaited below
		await until('it waits between probe and commit', async () => await stage.value(
			`SELECT count(*) FROM pg_locks WHERE pid = ${pid} AND NOT granted`) === '1');
		// It was told not to ring and says so by its lock.
		holds = await stage.value(`SELECT count(*) FROM pg_locks WHERE pid = ${pid} AND ${DOORBELL}
			AND mode = 'RowExclusiveLock' AND granted`);
	}
	process.kill(pid, 'SIGSTOP');
	await holder.query('SELECT pg_advisory_unlock($1)', [key]);
	isBusy = false;
	await busy;

	try
	{
		// Longer than any re-arming attempt; others' events come all the while.
		const end = performance.now() + 4000;
		let worst = [];
		while (performance.now() < end)
		{
			worst.push(...await latencies(peer, view, 5));
			await pause(150);
		}
		worst = worst.sort((a, b) => a - b);
		t.diagnostic(`beside a stopped backend: ${worst.length} events, median ` +
			`${worst[worst.length >> 1].toFixed(1)} ms, longest ${worst.at(-1).toFixed(1)} ms`);
		assert.ok(worst.at(-1) < 1500, 'within a poll interval');
		assert.ok(!view.story.includes(`created ${own}`));
	}
	finally
	{
		process.kill(pid, 'SIGCONT');
	}
	await commit;
	await peer.until('its event', () => view.story.includes(`created ${own}`), { seconds: 5 });
	await stage.database.untilArmed(1);
	await victim.end();
	await holder.end();
	await peer.close();
});

test('an armed notifier stopped: others\' events arrive, writers recover within 15 s', { timeout: 120000 },
	async (t) =>
{
	// The other one has a role of its own, to tell their sessions apart.
	await stage.sql(`DO $$ BEGIN IF to_regrole('live_too') IS NULL THEN CREATE ROLE live_too LOGIN; END IF; END $$;
		GRANT realtime_notifier, web_anon TO live_too`);
	const other = await stage.start({ database: stage.conninfo.replace('user=live ', 'user=live_too ') });
	const armed = async (role) => await stage.value(`SELECT count(*) FROM pg_locks l
		JOIN pg_stat_activity a USING (pid) WHERE ${DOORBELL} AND l.mode = 'ShareLock' AND l.granted
			AND a.usename = $1`, [role]) === '1';
	const peer = await stage.peer({ notifier: other });
	const view = await peer.subscribe({ ...item, keep: true });
	const stuck = await stage.peer();			// of the notifier that is stopped
	const missed = await stuck.subscribe(item);
	const bells = () => other.metric('doorbells_total');

	/** Transactions per second of 8 writers for some seconds. */
	const tps = async (seconds) =>
	{
		const { status, output } = await run('pgbench', ['-n', '-c', '8', '-j', '2', '-T', String(seconds),
			'-f', script, stage.database.name]);
		assert.equal(status, 0, output);
		return Number(/tps = ([0-9.]+)/.exec(output)[1]);
	};

	const script = `${stage.directory}/update.sql`;
	await stage.sql('CREATE TABLE counter (id integer PRIMARY KEY, n integer)');
	await stage.sql("SELECT realtime.enable('counter', 'shop', 'counter')");
	await stage.sql('INSERT INTO counter SELECT i, 0 FROM generate_series(1, 1000) i');
	writeFileSync(script, '\\set id random(1, 1000)\nUPDATE counter SET n = n + 1 WHERE id = :id;\n');
	await tps(1);
	const base = await tps(3);
	await until('both rest', async () => await armed('live') && await armed('live_too'));
	stage.notifier.kill('SIGSTOP');
	const start = performance.now();
	let recovered;
	let stopped;
	try
	{
		const times = await latencies(peer, view, 10);
		t.diagnostic(`beside a stopped notifier: median ${times[5].toFixed(1)} ms, longest ${times[9].toFixed(1)} ms`);
		assert.ok(times[9] < 1500);
		assert.ok(await armed('live'), 'it was stopped while it was armed');
		const watching = until('its lock is gone',
			async () => !await armed('live') && performance.now() - start, 40, 100)
			.then((ms) => { recovered = ms; }, (error) => { recovered = error; });
		stopped = await tps(3);
		await watching;
		assert.equal(typeof recovered, 'number', String(recovered));
		const before = await bells();
		const after = await tps(3);
		t.diagnostic(`TPS: ${base.toFixed()} before, ${stopped.toFixed()} beside a stopped armed notifier, ` +
			`${after.toFixed()} after; its lock was gone after ${(recovered / 1000).toFixed(1)} s; ` +
			`${await bells() - before} bells in the last run`);
		assert.ok(recovered < 15000, 'within 15 s');
		assert.ok(after > base * 0.5, `TPS recovers: ${after} of ${base}`);
	}
	finally
	{
		stage.notifier.kill('SIGCONT');
	}
	// It comes back, and its own subscribers lose nothing.
	const tx = await insert();
	await stuck.settle(tx, 30);
	assert.deepEqual(missed.story, view.story.concat(view.story.includes(`created ${id}`) ? [] : [`created ${id}`]));
	await stage.database.untilArmed(2);
	await peer.close();
	await stuck.close();
	await other.stop();
});
