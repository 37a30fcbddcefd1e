// SPDX-License-Identifier: PostgreSQL
//
// workers.js
//	One worker against two: what sharing nothing costs and gains. Fan-out of one view to many, whose frames
//	each worker builds for itself; and filtered subscriptions, where each worker looks for the one that matches.

import { Bars, finish, group, log, median, medianOf, readOptions, table } from '../lib/report.js';
import { READY, checkReport, createDatabase, startLoad, startNotifier, startPublisher } from '../lib/stage.js';

const options = readOptions({ runs: 3, workers: [1, 2], subscribers: 1000, filtered: 10000, events: 1000 },
	{ runs: 1, subscribers: 50, filtered: 200, events: 40 });
const runs = [];
const CASES = {
	'fan-out, one at a time': { burst: 1, receivers: () => options.subscribers, events: 4 },
	'fan-out, bursts of 20': { burst: 20, receivers: () => options.subscribers, events: 1 },
	'one match': { burst: 20, receivers: () => 1, events: 1 }
};
const LOADS = 2;			// programs that receive: one could be what is measured

async function subscribe(notifier, name)
{
	const isFiltered = name === 'one match';
	const connections = isFiltered ? 20 : options.subscribers / LOADS;
	const each = isFiltered ? options.filtered / LOADS / connections : 1;
	const loads = [];

	for (let i = 0; i < LOADS; i++)
		loads.push(await startLoad(notifier.port, { connections, first: i * connections, each, answers: each,
			path: '/v1/ws', subprotocol: 'realtime.v1', ready: READY, say: isFiltered
				? '{"op":"subscribe","feature":"bench","entity":"orders","filter":[["customer","eq",%i]]}'
				: '{"op":"subscribe","feature":"bench","entity":"orders"}' }));
	return loads;
}

/** Publishes and waits until all have got all. */
async function publish(loads, writer, { burst, receivers }, events)
{
	for (let sent = 0; sent < events; sent += burst)
	{
		await writer.ask(`burst ${burst}`);
		for (let due = burst * receivers(); due > 0;)
			for (const load of loads)
			{
				const report = await load.ask(due > 0 ? `expect ${receivers() > 1 ? burst * receivers() / LOADS : 1} `
					+ `${receivers() > 1 ? 60 : 0.01}` : 'report');

				due -= report.events;
			}
	}
}

async function measure(workers, name)
{
	const what = CASES[name];
	const notifier = await startNotifier({ workers, 'max-subscriptions': 100000 });
	const loads = await subscribe(notifier, name);
	const writer = await startPublisher('INSERT INTO orders (customer, note) '
		+ `VALUES (floor(random() * ${options.filtered}), $1)`);
	const events = Math.ceil(options.events / what.events / what.burst) * what.burst;

	await publish(loads, writer, what, what.burst * 5);
	const before = notifier.cpu();
	const began = performance.now();
	await publish(loads, writer, what, events);
	const deliveries = events * what.receivers();
	runs.push({ case: name, workers, cpu_us: (notifier.cpu() - before) / deliveries,
		deliveries_per_s: deliveries / (performance.now() - began) * 1000 });
	for (const load of loads)
	{
		checkReport(name, await load.ask('report'), 0);
		await load.stop();
	}
	await writer.stop();
	await notifier.stop();
}

await createDatabase(`CREATE TABLE orders (id bigserial PRIMARY KEY, customer integer, note text);
	SELECT realtime.enable('orders', 'bench', 'orders', bulk_threshold => NULL);
	GRANT SELECT ON orders TO reader`);
for (let i = 0; i < options.runs; i++)
	for (const name of Object.keys(CASES))
		for (const workers of options.workers)
		{
			log(`repetition ${i + 1} of ${options.runs}, ${name}, ${workers} workers`);
			await measure(workers, name);
		}

table(['case', 'workers', 'CPU us/delivery', 'min', 'max', 'deliveries/s', 'CPU to 1', 'rate to 1'],
	group(runs, ['case', 'workers']).map((some) =>
	{
		const [cpu, rate] = ['cpu_us', 'deliveries_per_s'].map((member) => median(some.map((run) => run[member])));
		const one = (member) => medianOf(runs, { case: some[0].case, workers: 1 }, member);

		return [some[0].case, some[0].workers, cpu, Math.min(...some.map((run) => run.cpu_us)),
			Math.max(...some.map((run) => run.cpu_us)), rate, cpu / one('cpu_us'), rate / one('deliveries_per_s')];
	}));
finish('workers', options, new Bars(), runs);
