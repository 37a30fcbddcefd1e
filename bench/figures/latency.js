// SPDX-License-Identifier: PostgreSQL
//
// latency.js
//	From COMMIT's return to a hundred subscribers, beside a plpgsql trigger with pg_notify and a Node relay; and
//	how many transactions 32 writers commit that nothing holds back, with either. The subscribers' program stays on the
//	last core; with --fixed 0 the scheduler places it, and may for seconds put it on the core of the server that sends,
//	which it then preempts at each delivery: twice the time for the subscribers behind. With --awake 1 a loop of the
//	scheduler's class idle keeps each core awake: it gives way to everything, but on a virtual machine a core that
//	sleeps may take a large part of a millisecond to wake, once for each process that a commit goes through.

import { spawn } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { Child, freePort, untilListening } from '../lib/child.js';
import { markSql, pgbench } from '../lib/pgbench.js';
import { Bars, finish, group, growth, log, median, medianOf, readOptions, table } from '../lib/report.js';
import { DATABASE, WORK, checkReport, createDatabase, startLoad, startNotifier, startPublisher, subscribe }
	from '../lib/stage.js';

const options = readOptions({ runs: 3, rates: [10, 100, 1000, 5000], seconds: 5, subscribers: 100, connections: 16,
	writers: 32, awake: 0, fixed: 1, workers: 1 }, { runs: 1, rates: [10, 200], seconds: 1, subscribers: 10, writers: 4 });
const runs = [];
const floods = [];
const times = path.join(WORK, 'times');

/** Loops that only use what nobody else wants; they end with this process. */
function keepAwake()
{
	const loops = os.cpus().map(() => spawn('chrt', ['--idle', '0', process.execPath, '-e', 'for(;;);'], { stdio: 'ignore' }));

	process.on('exit', () => loops.forEach((loop) => loop.kill('SIGKILL')));
}

const SYSTEMS = {
	async notifier()
	{
		const child = await startNotifier({ workers: options.workers });

		return { child, table: 'orders', subscribe: (more) => subscribe(child, options.subscribers,
			{ feature: 'bench', entity: 'orders' }, more, { isFixed: options.fixed > 0 }) };
	},
	async relay()
	{
		const port = await freePort();
		const child = new Child('relay', process.execPath,
			[path.join(path.dirname(new URL(import.meta.url).pathname), '..', 'peers', 'relay.js'), port, DATABASE, 'peer']);

		await untilListening(port, child);
		return { child, table: 'peer',
			subscribe: (more) => startLoad(port, { connections: options.subscribers, ...more },
				{ isFixed: options.fixed > 0 }) };
	}
};

async function measure(system, rate)
{
	const running = await SYSTEMS[system]();
	const writer = await startPublisher(`INSERT INTO ${running.table} (note) VALUES ($1)`,
		{ connections: options.connections, times });
	const load = await running.subscribe({ times });
	const warm = await writer.ask(`rate ${rate} ${Math.min(1, options.seconds)}`);

	await load.ask(`expect ${warm.commits * options.subscribers} 30`);
	const before = running.child.cpu();
	load.say(`expect ${Math.floor(rate * options.seconds) * options.subscribers} ${options.seconds + 30}`);
	const written = await writer.ask(`rate ${rate} ${options.seconds}`);
	const report = JSON.parse(await load.line());

	checkReport(system, report, written.commits * options.subscribers, options.subscribers);
	runs.push({ system, rate, commits_per_s: written.commits / written.seconds, late: written.late,
		cpu_us: (running.child.cpu() - before) / written.commits, ...report.latency_us,
		early: report.early / report.events });
	await load.stop();
	await writer.stop();
	await running.child.stop();
}

/** Writers that wait for nothing but their commits, while the same subscribers get everything. */
async function flood(system)
{
	const running = await SYSTEMS[system]();
	const load = await running.subscribe();
	const script = `INSERT INTO ${running.table} (note) VALUES (${markSql(256)});\n`;
	const warm = await pgbench(script, options.writers, 1);
	await load.ask(`expect ${warm.commits * options.subscribers} 120`);
	const { commits, tps } = await pgbench(script, options.writers, options.seconds);
	const report = await load.ask(`expect ${commits * options.subscribers} 120`);

	checkReport(system, report, commits * options.subscribers, options.subscribers);
	floods.push({ system, tps, ...report.latency_us });
	await load.stop();
	await running.child.stop();
}

await createDatabase(`CREATE TABLE orders (id bigserial PRIMARY KEY, note text);
	SELECT realtime.enable('orders', 'bench', 'orders'); GRANT SELECT ON orders TO reader;
	CREATE TABLE peer (id bigserial PRIMARY KEY, note text);
	CREATE FUNCTION peer() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_notify('peer', json_build_object('event', TG_TABLE_NAME || '.' || lower(TG_OP),
			'data', row_to_json(NEW), 'old', row_to_json(OLD))::text);
		RETURN NULL;
	END
	$$;
	CREATE TRIGGER peer AFTER INSERT OR UPDATE OR DELETE ON peer FOR EACH ROW EXECUTE FUNCTION peer()`);
if (options.awake)
	keepAwake();
for (let i = 0; i < options.runs; i++)
	for (const rate of options.rates)
		for (const system of Object.keys(SYSTEMS))
		{
			log(`${rate} commits/s: repetition ${i + 1} of ${options.runs}, ${system}`);
			await measure(system, rate);
		}
for (let i = 0; i < options.runs; i++)
	for (const system of Object.keys(SYSTEMS))
	{
		log(`${options.writers} writers: repetition ${i + 1} of ${options.runs}, ${system}`);
		await flood(system);
	}

const bars = new Bars();
for (const rate of options.rates)
{
	const at = (system, member) => medianOf(runs, { system, rate }, member);

	if (rate <= 10)
		bars.most(`p50 us at ${rate} commits/s`, at('notifier', 'p50'), 1000);
	else
		for (const member of ['p50', 'p99'])
			bars.most(`${member} to the relay's at ${rate} commits/s`, at('notifier', member) / at('relay', member), 1);
}
bars.least(`TPS of ${options.writers} writers to those of the relay`,
	medianOf(floods, { system: 'notifier' }, 'tps') / medianOf(floods, { system: 'relay' }, 'tps'), 2.5);
table(['system', 'asked/s', 'commits/s', 'p50 us', 'p90', 'p99', 'p99.9', 'max', 'before COMMIT returned', 'CPU us/commit'],
	group(runs, ['system', 'rate']).map((some) => [some[0].system, some[0].rate,
		...['commits_per_s', 'p50', 'p90', 'p99', 'p99_9', 'max', 'early', 'cpu_us'].map((member) =>
			median(some.map((run) => run[member])))]));
table(['system', `TPS of ${options.writers} writers`, 'p50 us with COMMIT', 'p99'], group(floods, ['system']).map((some) =>
	[some[0].system, ...['tps', 'p50', 'p99'].map((member) => median(some.map((run) => run[member])))]));
const grown = growth('commits/s', 'p50 us', Object.keys(SYSTEMS).map((system) => ({ name: system,
	points: options.rates.map((rate) => [rate, medianOf(runs, { system, rate }, 'p50')]) })));
finish('latency', options, bars, runs, { floods, growth: grown });
