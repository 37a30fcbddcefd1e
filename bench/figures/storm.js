// SPDX-License-Identifier: PostgreSQL
//
// storm.js
//	Thousands connect at once and ask for a snapshot of 100 rows each: how long it takes, what memory, and what
//	those notice who are connected.

import { Bars, finish, group, log, median, medianOf, readOptions, table } from '../lib/report.js';
import { BYSTANDERS_SCHEMA, Bystanders } from '../lib/bystanders.js';
import { checkReport, createDatabase, startLoad, startNotifier } from '../lib/stage.js';

const options = readOptions({ runs: 3, connections: 10000, rows: 100, concurrency: 2000, bystanders: 100,
	rate: 100, calm: 4, workers: 1, pool: 4 }, { runs: 1, connections: 100, rows: 10, bystanders: 5, calm: 0.2 });
const runs = [];
// one view for all, or a filtered view each, whose rows PostgreSQL reads for it alone
const CASES = {
	'the same rows': '{"op":"subscribe","feature":"bench","entity":"shared","snapshot":true}',
	'rows of their own': '{"op":"subscribe","feature":"bench","entity":"owned","snapshot":true,'
		+ '"filter":[["owner","eq",%n]]}'
};

async function measure(name)
{
	const notifier = await startNotifier({ workers: options.workers, 'database-pool': options.pool });
	const bystanders = await Bystanders.start(notifier, options.bystanders, options.rate);
	await bystanders.during(Promise.resolve(), options.calm / 2);
	const before = await bystanders.during(Promise.resolve(), options.calm);
	const memory = notifier.memory();
	const cpu = notifier.cpu();
	const began = performance.now();
	// other machines, in truth: they take what PostgreSQL, the notifier and the bystanders leave
	const storm = startLoad(notifier.port, { connections: options.connections, path: '/v1/ws',
		concurrency: options.concurrency, subprotocol: 'realtime.v1', say: CASES[name], ready: '"last":true,"rows":[' },
	{ isNice: true });
	const served = storm.then(async (load) =>
	{
		const rows = options.connections * options.rows;

		checkReport(name, await load.ask(`expect ${rows} 60`), rows, options.connections);
		return { load, seconds: (performance.now() - began) / 1000 };
	});
	const during = await bystanders.during(served);
	const { load, seconds } = await served;

	runs.push({ case: name, connections: options.connections, seconds, per_s: options.connections / seconds, each_ms: load.ready.each_ms,
		cpu_us: (notifier.cpu() - cpu) / options.connections,
		peak_bytes: notifier.memory('VmHWM') - memory, bytes: (notifier.memory() - memory) / options.connections,
		before, during, p99_ratio: during.p99 / before.p99 });
	await load.stop();
	await bystanders.stop();
	await notifier.stop();
}

await createDatabase(`${BYSTANDERS_SCHEMA};
	CREATE TABLE shared (id bigserial PRIMARY KEY, owner integer, note text);
	CREATE TABLE owned (id bigserial PRIMARY KEY, owner integer, note text);
	INSERT INTO shared (owner, note) SELECT 0, '~T' || to_char(n, 'FM0000000000000000') || repeat('x', 40)
	FROM generate_series(1, ${options.rows}) n;
	INSERT INTO owned (owner, note) SELECT n % ${options.connections},
		'~T' || to_char(n, 'FM0000000000000000') || repeat('x', 40)
	FROM generate_series(1, ${options.rows * options.connections}) n;
	CREATE INDEX ON owned (owner);
	SELECT realtime.enable('shared', 'bench', 'shared'), realtime.enable('owned', 'bench', 'owned');
	GRANT SELECT ON shared, owned TO reader; ANALYZE`);
for (let i = 0; i < options.runs; i++)
	for (const name of Object.keys(CASES))
	{
		log(`${options.connections} connections, ${name}: repetition ${i + 1} of ${options.runs}`);
		await measure(name);
	}

const bars = new Bars();
for (const name of Object.keys(CASES))
{
	bars.most(`${name}: p99 of the connected, during to before`, medianOf(runs, { case: name }, 'p99_ratio'), 2);
	bars.most(`${name}: kB of memory at most, per connection`,
		medianOf(runs, { case: name }, 'peak_bytes') / options.connections / 1024, 64);
}
table(['case', 'connections', 'seconds', 'connections/s', 'p50 ms each', 'p99', 'CPU us each', 'peak MB', 'bytes each then',
	'connected: p50 us before', 'during', 'p99 before', 'during'], group(runs, ['case']).map((some) =>
{
	const of = (get) => median(some.map(get));

	return [some[0].case, some[0].connections, of((run) => run.seconds), of((run) => run.per_s),
		of((run) => run.each_ms.p50), of((run) => run.each_ms.p99), of((run) => run.cpu_us),
		of((run) => run.peak_bytes) / 2 ** 20, of((run) => run.bytes),
		...['p50', 'p99'].flatMap((member) => [of((run) => run.before[member]), of((run) => run.during[member])])];
}));
finish('storm', options, bars, runs);
