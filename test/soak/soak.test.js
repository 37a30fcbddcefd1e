// SPDX-License-Identifier: PostgreSQL
//
// soak.test.js
//	Writers, readers who stay, readers who come and go by every transport, snapshots, resumptions, bulk operations, DDL, for
//	SOAK_MINUTES; then the slopes of what must not grow: memory and descriptors of the notifier and of a writing backend, the
//	log, the catalogs and the extension's tables. The first third is not judged: caches fill. Of the notifier's memory what is
//	allocated is judged closely; resident memory has what was freed, too, in pieces that are used again sooner or later.

import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { Stage } from '../e2e/lib/stage.js';
import { Chance, pause } from '../e2e/lib/wait.js';
import { grows, slopeOf, thirds } from './slopes.js';

const MINUTES = Number(process.env.SOAK_MINUTES ?? 0.6);
const IS_SANITIZED = Boolean(process.env.SOAK_SANITIZED);
const seed = Number(process.env.SOAK_SEED ?? 1);
const chance = new Chance(seed);
// Without the allocator's caches of threads, which fill for a quarter of an hour, what is allocated is what is in use.
process.env.GLIBC_TUNABLES = 'glibc.malloc.tcache_count=0';
const stage = await Stage.open('soak', { flags: { workers: 2, 'history-cache': '1MB', 'max-messages-per-minute': 1000000, heartbeat: 2 } });
const item = { feature: 'shop', entity: 'item' };

/** kB: 3/2 of realtime.max_log_size. How much the retention holds follows the rate of writing, so the log is judged by its most. */
const LOG_MAX = 12 * 1024;

/** What autovacuum leaves before it is due, and what caches and allocators keep: growth below is not told from that. */
const FLOORS = { 'allocated by the notifier, kB': 512, 'resident memory of the notifier, kB': 4096, 'private memory of a writing backend, kB': 1024, 'the log, kB': LOG_MAX, 'catalogs, kB': 2048,
	'the extension\'s tables, kB': 512, 'views and sessions': 10 };

const resident = async (pid) => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))[1]);
const anonymous = async (pid) => Number(/RssAnon:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))[1]);
const descriptors = async (pid) => (await readdir(`/proc/${pid}/fd`)).length;

test(`${MINUTES} minutes of the same load (SOAK_SEED=${seed})`, { timeout: (MINUTES + 3) * 60000 }, async (t) =>
{
	const end = performance.now() + MINUTES * 60000;
	const isOver = () => performance.now() > end;
	const load = spawn(path.join(process.env.RT_WORK, 'load'), ['--target', `127.0.0.1:${stage.notifier.port}`, '--path', '/v1/ws', '--subprotocol', 'realtime.v1',
		'--connections', '50', '--say', JSON.stringify({ op: 'subscribe', ref: 1, ...item }), '--ready', '"op":"subscribed"'], { stdio: ['pipe', 'ignore', 'inherit'] });
	stage.closers.push(() => load.kill('SIGKILL'));
	const writer = await stage.database.connect('writer');
	const writerPid = Number((await writer.query('SELECT pg_backend_pid() AS pid')).rows[0].pid);
	const counts = { writes: 0, visits: 0, polls: 0, ddl: 0, bulks: 0 };

	const write = async () =>
	{
		while (!isOver())
		{
			const id = chance.int(1, 300);
			await writer.query(chance.pick([`INSERT INTO item (id, name, status) VALUES (${id}, 'n', 'open') ON CONFLICT (id) DO UPDATE SET amount = ${id}, name = 'm${id}'`,
				`DELETE FROM item WHERE id = ${id}`, `BEGIN; UPDATE item SET status = 'approved' WHERE id < ${id % 20}; SAVEPOINT s; UPDATE item SET name = 'x' WHERE id < 10; ROLLBACK TO s; COMMIT`]));
			counts.writes++;
		}
	};
	const visit = async () =>
	{
		const client = await stage.database.connect('visitor');
		for (let since; !isOver(); counts.visits++)
		{
			const peer = await stage.notifier.connect({ keep: false });
			await peer.subscribe({ ...item, filter: [['id', 'gt', chance.int(1, 300)]], snapshot: true });
			if (since)
				await peer.subscribe({ feature: 'shop', entity: 'other', since });
			await peer.settle(await stage.database.writeOn(client, `INSERT INTO other VALUES (${chance.int(1, 50)}, 'o') ON CONFLICT (id) DO UPDATE SET name = 'p' || random()`), 60);
			since = peer.token;
			if (chance.int(0, 1))
				await peer.close();
			else
				peer.terminate();
			if (peer.violation)
				throw peer.violation;
		}
		await client.end();
	};
	const poll = async () =>
	{
		for (; !isOver(); counts.polls++)
		{
			const events = await stage.events({ subscribe: [item] });
			await events.subscribed(1);
			await stage.poller({ subscribe: [{ ...item, snapshot: true, limit: 5 }] }).poll(1);
			await events.close();
			stage.peers.length = 0;
		}
	};
	const change = async () =>
	{
		const client = await stage.database.connect('ddl');
		for (; !isOver(); counts.ddl++, await pause(300))
		{
			await client.query(`CREATE TABLE brief (id integer PRIMARY KEY, x text); SELECT realtime.enable('brief', 'shop', 'brief'); INSERT INTO brief VALUES (1);
				GRANT SELECT ON brief TO web_anon; ALTER TABLE brief ADD COLUMN y integer; DROP TABLE brief`);
			await client.query(`SELECT realtime.bulk_complete(realtime.bulk_start('shop', 'item', 'soak', 1))`);
			counts.bulks++;
		}
		await client.end();
	};

	const samples = { 'allocated by the notifier, kB': [], 'resident memory of the notifier, kB': [], 'descriptors of the notifier': [], 'private memory of a writing backend, kB': [], 'the log, kB': [],
		'catalogs, kB': [], 'the extension\'s tables, kB': [], 'views and sessions': [] };
	const watch = async () =>
	{
		for (const from = performance.now(); !isOver(); await pause(Math.max(100, MINUTES * 100)))
		{
			const x = (performance.now() - from) / 60000;
			const [sizes] = await stage.sql(`SELECT (realtime.status() ->> 'log_bytes')::bigint / 1024 AS log,
				(SELECT sum(pg_total_relation_size(oid)) / 1024 FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r') AS catalogs,
				(SELECT sum(pg_total_relation_size(oid)) / 1024 FROM pg_class WHERE relnamespace = 'realtime'::regnamespace AND relkind = 'r'
					AND relname NOT LIKE 'commit_log%') AS own`);
			const metrics = await stage.notifier.metrics();
			for (const [name, y] of Object.entries({ 'allocated by the notifier, kB': metrics.get('realtime_allocated_bytes') / 1024,
				'resident memory of the notifier, kB': await resident(stage.notifier.pid),
				'descriptors of the notifier': await descriptors(stage.notifier.pid), 'private memory of a writing backend, kB': await anonymous(writerPid),
				'the log, kB': Number(sizes.log), 'catalogs, kB': Number(sizes.catalogs), 'the extension\'s tables, kB': Number(sizes.own),
				'views and sessions': metrics.get('realtime_views') + metrics.get('realtime_sessions') }))
				samples[name].push({ x, y });
		}
	};
	await Promise.all([write(), visit(), visit(), poll(), change(), watch()]);
	load.stdin.end();
	t.diagnostic(Object.entries(counts).map(([name, n]) => `${n} ${name}`).join(', '));
	assert.ok(Object.values(counts).every((n) => n > 0));
	if (IS_SANITIZED)
		return;						// its memory is the sanitizer's
	for (const [name, all] of Object.entries(samples))
	{
		const judged = all.slice(Math.floor(all.length / 3));
		const { slope, low, high, mean } = slopeOf(judged);
		t.diagnostic(`${name}: mean ${mean.toFixed(0)}, slope ${slope.toFixed(1)} a minute (95 %: ${low.toFixed(1)} to ${high.toFixed(1)}), ${judged.length} samples; thirds ` +
			thirds(all).map((y) => y.toFixed(0)).join(', '));
	}
	for (const [name, all] of Object.entries(samples))
		assert.ok(!grows(all.slice(Math.floor(all.length / 3)), 0.10, FLOORS[name] ?? 0), `${name} grows`);
	const most = Math.max(...samples['the log, kB'].map((p) => p.y));
	assert.ok(most < LOG_MAX, `the log had ${most} kB`);
});
