// SPDX-License-Identifier: PostgreSQL
//
// resume.js
//	Thousands come back at once, each with 10,000 missed events: how long it takes, what memory, and what
//	those notice who are connected. The events are in the notifier's recent batches, or it has just been started
//	and has to read the log.

import { Bars, finish, group, log, median, medianOf, readOptions, table } from '../lib/report.js';
import { BYSTANDERS_SCHEMA, Bystanders } from '../lib/bystanders.js';
import { READY, checkReport, createDatabase, readMetrics, startLoad, startNotifier, startPublisher }
	from '../lib/stage.js';

const options = readOptions({ runs: 1, connections: 5000, events: 10000, bytes: 64, concurrency: 2000,
	bystanders: 100, rate: 100, calm: 4, workers: 1 },
{ runs: 1, connections: 50, events: 200, bystanders: 5, calm: 0.2 });
const runs = [];
const CASES = ['recent', 'from the log'];

/** So many transactions, and the position before them. */
async function write(admin)
{
	const { rows: [{ position }] } = await admin.query('SELECT realtime.position()::text AS position');
	const writer = await startPublisher('INSERT INTO orders (note) VALUES ($1)', { bytes: options.bytes });

	for (let left = options.events; left > 0; left -= 100)
		await writer.ask(`burst ${Math.min(left, 100)}`);
	await writer.stop();
	return position;
}

async function measure(admin, name)
{
	let notifier = name === 'recent' ? await startNotifier({ workers: options.workers }) : undefined;
	const since = await write(admin);
	notifier ??= await startNotifier({ workers: options.workers });
	const bystanders = await Bystanders.start(notifier, options.bystanders, options.rate);
	await bystanders.during(Promise.resolve(), options.calm / 2);
	const before = await bystanders.during(Promise.resolve(), options.calm);
	const memory = notifier.memory();
	const cpu = notifier.cpu();
	const total = options.connections * options.events;
	const began = performance.now();
	// other machines, in truth: they take what PostgreSQL, the notifier and the bystanders leave
	const storm = startLoad(notifier.port, { connections: options.connections, path: '/v1/ws',
		concurrency: options.concurrency, subprotocol: 'realtime.v1', ready: READY,
		say: JSON.stringify({ op: 'subscribe', feature: 'bench', entity: 'orders', since }) }, { isNice: true });
	const caught = storm.then(async (load) =>
	{
		const report = await load.ask(`expect ${total} 300`);

		checkReport(name, report, total, options.connections);
		return { load, report, seconds: (performance.now() - began) / 1000 };
	});
	const during = await bystanders.during(caught);
	const { load, report, seconds } = await caught;
	const metrics = await readMetrics(notifier);

	runs.push({ case: name, connections: options.connections, events: options.events, seconds,
		events_per_s: total / seconds, bytes_per_s: report.bytes / seconds, bytes: report.bytes / total,
		cpu_us: (notifier.cpu() - cpu) / total, peak_bytes: notifier.memory('VmHWM') - memory,
		resumes_cache: metrics.resumes_cache_total, resumes_log: metrics.resumes_log_total,
		before, during, p99_ratio: during.p99 / before.p99 });
	await load.stop();
	await bystanders.stop();
	await notifier.stop();
}

const admin = await createDatabase(`${BYSTANDERS_SCHEMA};
	CREATE TABLE orders (id bigserial PRIMARY KEY, note text);
	SELECT realtime.enable('orders', 'bench', 'orders', bulk_threshold => NULL);
	GRANT SELECT ON orders TO reader`);
for (let i = 0; i < options.runs; i++)
	for (const name of CASES)
	{
		log(`${options.connections} come back, ${name}: repetition ${i + 1} of ${options.runs}`);
		await measure(admin, name);
	}

const bars = new Bars();
for (const name of CASES)
{
	bars.most(`${name}: p99 of the connected, during to before`, medianOf(runs, { case: name }, 'p99_ratio'), 2);
	bars.most(`${name}: kB of memory at most, per connection`,
		medianOf(runs, { case: name }, 'peak_bytes') / options.connections / 1024, 64);
}
table(['case', 'connections', 'events each', 'seconds', 'events/s', 'MB/s', 'CPU us/event', 'peak MB',
	'connected: p50 us before', 'during', 'p99 before', 'during'], group(runs, ['case']).map((some) =>
{
	const of = (get) => median(some.map(get));

	return [some[0].case, some[0].connections, some[0].events, of((run) => run.seconds),
		of((run) => run.events_per_s), of((run) => run.bytes_per_s) / 1e6, of((run) => run.cpu_us),
		of((run) => run.peak_bytes) / 2 ** 20,
		...['p50', 'p99'].flatMap((member) => [of((run) => run.before[member]), of((run) => run.during[member])])];
}));
finish('resume', options, bars, runs);
