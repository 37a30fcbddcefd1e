// SPDX-License-Identifier: PostgreSQL
//
// sustained.js
//	Whether the notifier follows writers that nothing holds back, and how many commits per second it follows
//	when everybody gets everything.

import { setTimeout as sleep } from 'node:timers/promises';
import { Bars, finish, group, growth, log, median, medianOf, readOptions, table } from '../lib/report.js';
import { markSql, pgbench } from '../lib/pgbench.js';
import { READY, checkReport, createDatabase, readMetrics, startLoad, startNotifier, startPublisher, subscribe }
	from '../lib/stage.js';

const options = readOptions({ runs: 3, sizes: [1, 30, 1000], clients: 16, seconds: 5, 'step-seconds': 2, workers: 1 },
	{ runs: 1, sizes: [1, 4], clients: 2, seconds: 1, 'step-seconds': 0.5 });
const runs = [];
const MOST = Math.max(...options.sizes);
const BYTES = 64;
const BEHIND = 0.5;			// seconds after the last commit within which the last event must have come
const STEPS = 4;			// of the search

/** The largest lag that the notifier tells of, until stopped. */
function watchLag(notifier)
{
	const watch = { lag: 0, isOver: false };

	watch.done = (async () =>
	{
		for (; !watch.isOver; await sleep(50))
			watch.lag = Math.max(watch.lag, (await readMetrics(notifier)).source_lag_seconds);
	})();
	return watch;
}

/** Unthrottled writers; each event is for one subscriber, or for all of them. */
async function unthrottled(kind, subscribers)
{
	const notifier = await startNotifier({ workers: options.workers });
	const load = await (kind === 'own' ? startLoad(notifier.port, { connections: subscribers, path: '/v1/ws',
		subprotocol: 'realtime.v1', ready: READY,
		say: '{"op":"subscribe","feature":"bench","entity":"orders","filter":[["customer","eq",%n]]}' })
		: subscribe(notifier, subscribers, { feature: 'bench', entity: 'orders' }));
	const script = `\\set customer random(0, ${subscribers - 1})\n`
		+ `INSERT INTO orders (customer, note) VALUES (:customer, ${markSql(BYTES)});\n`;
	const factor = kind === 'own' ? 1 : subscribers;

	await load.ask(`expect ${(await pgbench(script, options.clients, 1)).commits * factor} 60`);
	const watch = watchLag(notifier);
	const cpu = notifier.cpu();
	const { commits, tps } = await pgbench(script, options.clients, options.seconds);
	const ended = performance.now();
	const report = await load.ask(`expect ${commits * factor} 60`);
	const behind = (performance.now() - ended) / 1000;

	watch.isOver = true;
	await watch.done;
	checkReport(`${kind} ${subscribers}`, report, commits * factor);
	runs.push({ case: kind, subscribers, tps, behind_s: behind, lag_s: watch.lag, ...report.latency_us,
		cpu_us: (notifier.cpu() - cpu) / commits, peak_bytes: notifier.memory('VmHWM') });
	await load.stop();
	await notifier.stop();
	return { tps, isKept: behind <= BEHIND };
}

/** Whether so many commits a second to everybody are followed. */
async function follows(subscribers, rate)
{
	const notifier = await startNotifier({ workers: options.workers });
	const load = await subscribe(notifier, subscribers, { feature: 'bench', entity: 'orders' });
	const writer = await startPublisher('INSERT INTO orders (note) VALUES ($1)',
		{ connections: options.clients, bytes: BYTES });
	const { commits, seconds } = await writer.ask(`rate ${rate} ${options['step-seconds']}`);
	const began = performance.now();
	const report = await load.ask(`expect ${commits * subscribers} ${options['step-seconds'] * 5}`);
	const isAll = report.events === commits * subscribers && report.closed === 0;
	const behind = (performance.now() - began) / 1000;

	await load.stop();
	await writer.stop();
	await notifier.stop();
	log(`${subscribers} subscribers, ${Math.round(commits / seconds)}/s: ${isAll ? `${behind.toFixed(2)} s` : 'much'} behind`);
	return isAll && behind <= BEHIND ? commits / seconds : 0;
}

/** The most commits per second to everybody: all that the writers can, or by halving on a logarithmic scale. */
async function sustained(subscribers)
{
	const first = subscribers < 100 ? await unthrottled('all', subscribers) : undefined;
	let [low, high] = [0, first?.tps ?? 8000];

	if (first?.isKept)
		low = first.tps;
	else
		for (let i = 0, rate = Math.min(high / 2, 1e6 / subscribers); i < STEPS; i++)
		{
			const reached = await follows(subscribers, rate);

			if (reached > 0)
				low = Math.max(low, reached);
			else
				high = Math.min(high, rate);
			rate = low > 0 ? Math.sqrt(low * high) : high / 2;
			if (high / (low || 1) < 1.1)
				break;
		}
	runs.push({ case: 'sustained', subscribers, tps: low, deliveries_per_s: low * subscribers, isBound: !first?.isKept });
}

await createDatabase(`CREATE TABLE orders (id bigserial PRIMARY KEY, customer integer, note text);
	SELECT realtime.enable('orders', 'bench', 'orders', bulk_threshold => NULL);
	GRANT SELECT ON orders TO reader`);
for (let i = 0; i < options.runs; i++)
{
	log(`repetition ${i + 1} of ${options.runs}: ${MOST} subscribers with events of their own`);
	await unthrottled('own', MOST);
	for (const size of options.sizes)
	{
		log(`repetition ${i + 1} of ${options.runs}: everything to ${size}`);
		await sustained(size);
	}
}

const bars = new Bars();
const least = Math.min(...options.sizes);
for (const [kind, subscribers] of [['all', least], ['own', MOST]])
	bars.most(`seconds behind ${options.clients} writers, ${subscribers} subscribers`,
		medianOf(runs, { case: kind, subscribers }, 'behind_s'), BEHIND);
table(['events are for', 'subscribers', 'commits/s', 'behind s', 'lag s', 'p50 us', 'p99 us', 'CPU us/commit', 'peak MB'],
	group(runs.filter((run) => run.case !== 'sustained'), ['case', 'subscribers']).map((some) => [
		some[0].case === 'own' ? 'one of them' : 'all', some[0].subscribers,
		...['tps', 'behind_s', 'lag_s', 'p50', 'p99', 'cpu_us'].map((member) => median(some.map((run) => run[member]))),
		median(some.map((run) => run.peak_bytes)) / 2 ** 20]));
table(['everything to', 'sustained commits/s', 'deliveries/s', 'bound by'],
	group(runs.filter((run) => run.case === 'sustained'), ['subscribers']).map((some) => [some[0].subscribers,
		...['tps', 'deliveries_per_s'].map((member) => median(some.map((run) => run[member]))),
		some.every((run) => run.isBound) ? 'deliveries' : 'the writers']));
const grown = growth('subscribers', 'sustained commits/s', [{ name: 'everything to all',
	points: options.sizes.map((size) => [size, medianOf(runs, { case: 'sustained', subscribers: size }, 'tps')]) }]);
finish('sustained', options, bars, runs, { growth: grown });
