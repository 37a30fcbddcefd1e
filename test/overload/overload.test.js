// SPDX-License-Identifier: PostgreSQL
//
// overload.test.js
//	More than can be served, and what happens then: who reads gets all of it later, who does not is told; memory and disk
//	stay bounded; metrics show it; when it is over everything is as before. doc/operations.md states the policy.

import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import readline from 'node:readline';
import { run } from '../e2e/lib/database.js';
import { Stage } from '../e2e/lib/stage.js';
import { pause, until, within } from '../e2e/lib/wait.js';
import { writeFileSync } from 'node:fs';

const MB = 1024 * 1024;
const CLIENTS = Number(process.env.OVERLOAD_CLIENTS ?? 600);
const SECONDS = Number(process.env.OVERLOAD_SECONDS ?? 3);
const LIMIT = 64 * MB;			// realtime.max_log_size
const READERS = 198;			// that read, and two that stall
const SCHEMA = `
	CREATE TABLE hot (id bigserial PRIMARY KEY, n integer NOT NULL, body text); SELECT realtime.enable('hot', 'shop', 'hot');
	CREATE TABLE calm (id serial PRIMARY KEY, n integer); SELECT realtime.enable('calm', 'shop', 'calm');
	GRANT SELECT ON hot, calm TO web_anon; INSERT INTO hot (n, body) SELECT 0, repeat('x', 500) FROM generate_series(1, 200) i`;
/** A row with the mark that the load client counts. */
const INSERT = "INSERT INTO hot (n, body) VALUES (1, '~T' || (extract(epoch FROM clock_timestamp()) * 1000000)::bigint || repeat('x', 400))";
const stage = await Stage.open('overload', { schema: SCHEMA, flags: { workers: 1, 'max-queue': '1MB', 'total-memory': '64MB', 'slow-timeout': 4,
	'history-cache': '8MB', 'max-connections': 12000, 'max-messages-per-minute': 6000, drain: 2 } });
const hot = { feature: 'shop', entity: 'hot' };
const calm = { feature: 'shop', entity: 'calm' };
const script = path.join(stage.directory, 'hot.sql');
writeFileSync(script, `${INSERT};\n`);
const metrics = async (...names) =>
{
	const all = await stage.notifier.metrics();
	return names.map((name) => all.get(`realtime_${name}`));
};

/** Waits until metrics are 0, and says which are not. */
async function settled(...names)
{
	let values;
	await until('what waited is gone', async () => (values = await metrics(...names)).every((n) => n === 0), 30).catch((error) =>
		assert.fail(`${error.message}: ${names.map((name, i) => `${name} ${values[i]}`).join(', ')}`));
}

/** Writers for some seconds, as fast as they can; returns how many transactions there were. */
async function write(seconds, clients = 4)
{
	const { status, output } = await run('pgbench', ['-n', '-c', String(clients), '-j', '2', '-T', String(seconds), '-f', script, stage.database.name]);
	assert.equal(status, 0, output);
	return Number(/actually processed: (\d+)/.exec(output)[1]);
}

/** What the log has at most while something goes on, in bytes. */
async function watchLog(during)
{
	let most = 0;
	let isOver = false;
	const watching = (async () =>
	{
		for (; !isOver; await pause(50))
			most = Math.max(most, Number(JSON.parse(await stage.value('SELECT realtime.status()')).log_bytes));
	})();
	watching.catch(() => {});
	await during().finally(() => { isOver = true; });
	await watching;
	return most;
}

/** Many clients in a process of its own. */
async function load(options)
{
	const child = spawn(path.join(process.env.RT_WORK, 'load'), ['--target', `127.0.0.1:${stage.notifier.port}`, '--path', '/v1/ws', '--subprotocol', 'realtime.v1',
		...Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])], { stdio: ['pipe', 'pipe', 'inherit'] });
	stage.closers.push(() => child.kill('SIGKILL'));
	const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
	const next = async (what, seconds) => JSON.parse((await within(what, lines.next(), seconds)).value ?? 'null') ?? assert.fail(`${what}: the clients ended`);
	const ready = await next('all clients are ready', 120);
	return { ready, report: () => { child.stdin.write('report\n'); return next('a report', 30); },
		expect: (n, seconds) => { child.stdin.write(`expect ${n} ${seconds}\n`); return next('a report', seconds + 30); },
		end: async () => { child.stdin.write('quit\n'); if (child.exitCode === null) await once(child, 'exit'); } };
}

/** Somebody connected who times one event after the other. */
class Bystander
{
	static async start()
	{
		const it = Object.assign(new Bystander(), { times: [], isOver: false, most: 0, queue: 0 });
		it.peer = await stage.peer();
		it.view = await it.peer.subscribe(calm);
		it.client = await stage.database.connect('bystander');
		it.before = await stage.notifier.memory();
		it.running = it.run();
		it.running.catch(() => {});
		return it;
	}

	async run()
	{
		for (let n = 0; !this.isOver; n++)
		{
			const from = performance.now();
			const seen = this.view.events.length;
			await this.client.query('INSERT INTO calm (n) VALUES ($1)', [n]);
			await this.peer.until('the event', () => this.view.events.length > seen, { seconds: 30 });
			this.times.push(performance.now() - from);
			this.most = Math.max(this.most, await stage.notifier.memory());
			this.queue = Math.max(this.queue, ...await metrics('queue_bytes'));
			await pause(5);
		}
	}

	async stop(t, what)
	{
		this.isOver = true;
		await this.running;
		this.times.sort((a, b) => a - b);
		const at = (p) => this.times[Math.floor((this.times.length - 1) * p)].toFixed(1);
		t.diagnostic(`${what}: ${this.times.length} events of a bystander, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms; ` +
			`memory ${(this.before / MB).toFixed(1)} to at most ${(this.most / MB).toFixed(1)} MB, queues at most ${(this.queue / MB).toFixed(1)} MB`);
		assert.ok(this.times.length > 0);
		await this.client.end();
		await this.peer.close();
		return this.most - this.before;
	}
}

test('writers faster than the fan-out, one reader in a hundred stalled', async (t) =>
{
	const readers = await load({ connections: READERS, say: JSON.stringify({ op: 'subscribe', ref: 1, ...hot, action: 'created' }), ready: '"op":"subscribed"' });
	const stalled = [];
	for (let i = 0; i < 2; i++)
	{
		const peer = await stage.peer();
		stalled.push({ peer, view: await peer.subscribe(hot) });
		peer.pauseReading();
	}
	const by = await Bystander.start();
	await readers.report();
	const [before] = await metrics('slow_gaps_total');
	let written;
	const most = await watchLog(async () => { written = await write(SECONDS); });
	// Who reads gets each transaction in its own time, or is told.
	await until('the stream has passed', async () => (await metrics('source_lag_transactions'))[0] === 0, 60);
	let report = await readers.report();
	let arrived = report.events;
	let least = report.least;
	for (let quiet = 0; quiet < 5 && arrived < written * READERS; await pause(200))
	{
		report = await readers.report();
		arrived += report.events;
		least += report.least;
		quiet = report.events === 0 ? quiet + 1 : 0;
	}
	const [after] = await metrics('slow_gaps_total');
	const grown = await by.stop(t, `${written} transactions in ${SECONDS} s to ${READERS} readers`);
	t.diagnostic(`${arrived} of ${written * READERS} events arrived, at least ${least} each; ${after - before} queues were dropped with a gap; ${report.closed} closed`);
	t.diagnostic(`a log of at most ${(most / MB).toFixed(1)} MB`);
	assert.ok(most < 2 * LIMIT, 'a notifier that cannot keep up does not hold the log');
	assert.equal(report.closed, 0);
	assert.ok(arrived <= written * READERS, 'nothing doubled');
	assert.ok(arrived === written * READERS || after - before > 2, 'what does not come is told');
	assert.ok(grown < 64 * MB + 128 * MB, `memory: total-memory, history-cache and what the allocator keeps; ${grown / MB} MB`);
	for (const { peer, view } of stalled)
	{
		peer.resumeReading();
		await peer.until('its gap, or its end', () => peer.closed || view.gaps.some((g) => g.reason === 'slow'), { seconds: 30, orClosed: true });
		// After slow-timeout its connection is ended whether or not it takes the close frame: then it sees 1006.
		assert.ok(view.gaps.some((g) => g.reason === 'slow') || peer.closed.code === 4008 || peer.frames.some((f) => f.code === 'slow') ||
			(peer.closed.code === 1006 && (await metrics('slow_closes_total'))[0] > 0), JSON.stringify(peer.closed));
		peer.terminate();
	}
	await settled('queue_bytes', 'source_lag_transactions');
	await readers.end();
});

test('a storm of subscriptions', async (t) =>
{
	const by = await Bystander.start();
	const before = (await metrics('subscriptions'))[0];
	// 40 distinct views of 100 sessions each: filters that PostgreSQL converts, and snapshots.
	const readers = await load({ connections: 100, concurrency: 100, each: 40, burst: 40, answers: 40, ready: '"op":"subscribed"',
		say: JSON.stringify({ op: 'subscribe', ref: 1, ...hot, snapshot: true, limit: 5, filter: [['n', 'neq', 1], ['id', 'neq', 1]] }).replace('["id","neq",1]', '["id","neq",-%i]') });
	const [now] = await metrics('subscriptions');
	t.diagnostic(`${now - before} subscriptions in ${readers.ready.seconds} s`);
	assert.equal(now - before, 4000);
	await settled('database_queue', 'queue_bytes', 'snapshot_bytes');
	const grown = await by.stop(t, '4,000 subscriptions of 4,000 views at once');
	assert.ok(grown < 160 * MB, `${grown / MB} MB`);
	await readers.end();
	await until('all are gone', async () => (await metrics('sessions', 'subscriptions', 'views')).every((n) => n === 0));
});

test(`${CLIENTS} clients come back at once after a restart`, async (t) =>
{
	const first = await stage.peer();
	await first.subscribe(calm);
	const since = first.token;
	await first.close();
	for (let i = 0; i < 50; i++)
		await stage.sql(INSERT);
	stage.notifier.kill('SIGTERM');
	assert.equal((await within('it ends', stage.notifier.exited)).status, 0);
	await stage.notifier.spawn();
	const by = await Bystander.start();
	const rss = await stage.notifier.memory();
	const from = performance.now();
	const readers = await load({ connections: CLIENTS, concurrency: CLIENTS, ready: '"op":"subscribed"',
		say: JSON.stringify({ op: 'subscribe', ref: 1, ...hot, action: 'created', since }) });
	const replayed = await readers.expect(CLIENTS * 50, 60);
	const seconds = (performance.now() - from) / 1000;
	const [cache, log] = await metrics('resumes_cache_total', 'resumes_log_total');
	const held = await stage.notifier.memory() - rss;
	await by.stop(t, `${CLIENTS} clients that resume`);
	t.diagnostic(`all subscribed in ${readers.ready.seconds} s and had what they missed in ${seconds.toFixed(2)} s; ${(held / CLIENTS / 1024).toFixed(1)} kB each; ${cache} resumptions from memory, ${log} from the log`);
	assert.deepEqual([replayed.least, replayed.most, replayed.closed], [50, 50, 0], 'each gets what it missed, once');
	assert.ok(held < CLIENTS * 32 * 1024 + 64 * MB, `${held / MB} MB`);
	await readers.end();
	await until('all are gone', async () => (await metrics('sessions'))[0] === 0, 60);
});

test('a session that LISTENs and idles in a transaction', async (t) =>
{
	const idle = await stage.database.connect('idle');
	await idle.query('LISTEN realtime');
	await idle.query('BEGIN; SELECT 1');
	const usage = async () => Number(await stage.value('SELECT pg_notification_queue_usage()'));
	const peer = await stage.peer();
	const view = await peer.subscribe(calm);
	const written = await write(SECONDS);
	const tx = await stage.write('INSERT INTO calm (n) VALUES (-1)');
	await peer.settle(tx, 30);
	assert.ok(view.events.some((e) => e.data.n === -1), 'events do not wait for the queue');
	const bells = await stage.notifier.metric('doorbells_total');
	t.diagnostic(`${written} transactions under load left ${((await usage()) * 8192).toFixed(3)} MB in the queue; ${bells} bells`);
	assert.ok((await usage()) * 8192 < 8, 'under load nobody rings: the queue does not grow with what is written');
	// Those who asked for a NOTIFY of each commit do fill it.
	await stage.sql("SELECT realtime.enable('hot', 'shop', 'hot', notify => 'always', notify_data => true)");
	const before = await usage();
	if (process.env.OVERLOAD_NOTIFY)
	{
		writeFileSync(`${script}.all`, `INSERT INTO hot (n, body) SELECT 1, repeat('y', 7000) FROM generate_series(1, 90);\n`);
		// Not much further: from a quarter on bells are empty.
		for (let now = await usage(); now <= 0.25; now = await usage())
		{
			const { status, output } = await run('pgbench', ['-n', '-c', '4', '-j', '2', '-T', '10', '-f', `${script}.all`, stage.database.name]);
			assert.equal(status, 0, output);
			t.diagnostic(`the queue is ${(now * 100).toFixed(1)} % full`);
		}
		const status = JSON.parse(await stage.value('SELECT realtime.status()'));
		assert.equal(status.ok, false);
		assert.ok(status.problems.some((p) => /notification queue/.test(p)), 'status() says so');
		const full = await usage();
		await write(5);
		t.diagnostic(`over a quarter: ${((await usage()) - full).toExponential(1)} more in 5 s, empty bells`);
		assert.ok((await usage()) - full < 0.001);
	}
	else
		await write(2);
	assert.ok((await usage()) > before, 'the queue grows');
	assert.ok(Number(JSON.parse(await stage.value('SELECT realtime.status()')).notify_queue_usage) > 0, 'and status() shows it');
	await stage.sql("SELECT realtime.enable('hot', 'shop', 'hot')");
	await idle.query('COMMIT');
	await until('it is empty again', async () => (await usage()) === 0);
	await idle.end();
	await peer.close();
});

test('a log at its size limit', async (t) =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...hot, columns: ['id'] });
	const old = peer.token;
	let written = 0;
	writeFileSync(script, `${INSERT.replace('400', '3000')};\n`);
	const [from] = await metrics('bytes_in_total');
	const most = await watchLog(async () =>
	{
		while ((await metrics('bytes_in_total'))[0] - from < 200 * MB)
			written += await write(Math.max(SECONDS, 3));
		await peer.settle(await stage.write(INSERT), 60);
	});
	const bytes = (await metrics('bytes_in_total'))[0] - from;
	t.diagnostic(`${written} transactions, ${(bytes / MB).toFixed(0)} MB of events through a log of at most ${(most / MB).toFixed(1)} MB (realtime.max_log_size is 64 MB)`);
	assert.ok(most < 1.5 * LIMIT, `a quarter more than its limit, and what is written until a worker runs; ${most / MB} MB`);
	assert.ok(view.gaps.every((g) => g.reason === 'slow'), 'who is connected misses nothing of the history');
	const returning = await stage.peer();
	const missed = await returning.subscribe({ ...hot, since: old });
	await returning.until('a gap', () => missed.gaps.length > 0 || missed.events.length > 0);
	assert.deepEqual(missed.gaps.map((g) => g.reason), ['history'], 'who comes back too late is told');
	await returning.close();
	await peer.close();
});

test('a log at its size limit: read by several without a pause; few large transactions', async (t) =>
{
	const readers = await Promise.all([1, 2, 3].map((n) => stage.database.connect(`reader ${n}`)));
	let isOver = false;
	let reads = 0;
	// Each read holds all of the log for a fifth of a second, and there is always one under way.
	const reading = Promise.all(readers.map(async (reader, n) =>
	{
		for (await pause(n * 70); !isOver; reads++)
			await reader.query('SELECT count(*) FROM (SELECT FROM realtime.commit_log LIMIT 1) l, pg_sleep(0.2)');
		await reader.end();
	}));
	reading.catch(() => {});
	const bytes = async () => Number(await stage.value("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"));
	const from = await bytes();
	let most = await watchLog(async () =>
	{
		while (await bytes() - from < 400 * MB)			// WAL of the log and of the table
			await write(3);
	});
	isOver = true;
	await reading;
	t.diagnostic(`a log of at most ${(most / MB).toFixed(1)} MB during ${reads} reads`);
	assert.ok(reads > 3);
	assert.ok(most < 2 * LIMIT, `what is written while a read ends comes to it; ${most / MB} MB`);
	const writer = await stage.database.connect('writer');
	most = await watchLog(async () =>
	{
		for (let i = 0; i < 24; i++)
			await writer.query("INSERT INTO hot (n, body) SELECT 1, repeat('z', 8000) FROM generate_series(1, 1000)");
	});
	await writer.end();
	t.diagnostic(`a log of at most ${(most / MB).toFixed(1)} MB with 24 transactions of 8 MB`);
	assert.ok(most < 2 * LIMIT, `${most / MB} MB`);
});

test('all is as before', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe(calm);
	await peer.settle(await stage.write('INSERT INTO calm (id, n) VALUES (-1, 0)'));
	assert.deepEqual(view.story, ['created -1']);
	await peer.close();
	await settled('sessions', 'subscriptions', 'views', 'queue_bytes', 'snapshot_bytes');
	assert.equal(await stage.notifier.status('/readyz'), 200);
});
