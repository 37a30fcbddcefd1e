// SPDX-License-Identifier: PostgreSQL
//
// fanout.js
//	Server CPU per delivery of a 256-byte message to many subscribers: one event at a time, each begun when
//	the last has reached everybody, and bursts of 20.

import { Bars, finish, group, growth, log, median, medianOf, readOptions, table } from '../lib/report.js';
import { SERVERS } from '../lib/servers.js';
import { checkReport, createDatabase, startLoad } from '../lib/stage.js';
import { setTimeout as sleep } from 'node:timers/promises';

const BURST = 20;
const options = readOptions({ runs: 3, sizes: [100, 1000, 10000], deliveries: 100000, bytes: 256,
	only: Object.keys(SERVERS) }, { runs: 1, sizes: [50], deliveries: 2000 });
const runs = [];
const wire = {};		// bytes of a delivery of ours, by size and burst

/** So many bursts of so many events; what they cost. */
async function measure(server, running, load, size, burst, times)
{
	const bytes = server.isFloor ? Math.round(wire[`${size} ${burst}`] ?? options.bytes) - 4 : options.bytes;
	const sum = { deliveries: 0, frames: 0, bytes: 0, p50: [], p99: [] };
	const before = running.child.cpu();
	const began = performance.now();

	for (let i = 0; i < times; i++)
	{
		load.say(`expect ${size * burst} 60`);
		await server.publish(running, burst, bytes);
		const report = JSON.parse(await load.line());

		checkReport(running.child.name, report, size * burst, size);
		sum.deliveries += report.events;
		sum.frames += report.frames;
		sum.bytes += report.bytes;
		sum.p50.push(report.latency_us.p50);
		sum.p99.push(report.latency_us.p99);
	}
	const seconds = (performance.now() - began) / 1000;

	return { cpu_us: (running.child.cpu() - before) / sum.deliveries,
		deliveries_per_s: sum.deliveries / seconds, bytes: sum.bytes / sum.deliveries,
		frames: sum.frames / sum.deliveries, p50_us: median(sum.p50), p99_us: median(sum.p99) };
}

async function runServer(name, size)
{
	const server = SERVERS[name];
	const running = await server.start();
	const load = await startLoad(running.port, { connections: size, ...server.load });

	await sleep(200);
	for (const burst of [1, BURST])
	{
		if (burst === 1 && server.isBurstOnly)
			continue;
		// bursts are cheaper for most: more of them, so that the clock of CPU time is fine enough
		const times = Math.ceil(options.deliveries * (burst > 1 ? 2 : 1) / size / burst);

		await measure(server, running, load, size, burst, Math.ceil(times / 10));
		const figures = await measure(server, running, load, size, burst, times);
		if (name === 'notifier')
			wire[`${size} ${burst}`] = figures.bytes;
		runs.push({ server: name, subscribers: size, burst, ...figures,
			memory: running.child.memory() / size });
	}
	checkReport(name, await load.ask('report'), 0);
	await load.stop();
	running.socket?.destroy();
	await running.publisher?.stop();
	await running.child.stop();
}

await createDatabase(`SELECT realtime.register_topic('bench', 'item');
	SELECT realtime.grant_subscribe('bench', 'item', 'reader')`);
for (const size of options.sizes)
	for (let i = 0; i < options.runs; i++)
		for (const name of options.only)
		{
			log(`${size} subscribers: repetition ${i + 1} of ${options.runs}, ${name}`);
			await runServer(name, size);
		}

const bars = new Bars();
for (const size of options.sizes.filter((n) => n >= 1000 || options.isSmoke))
	for (const burst of [1, BURST])
	{
		const at = (server) => medianOf(runs, { server, subscribers: size, burst }, 'cpu_us');
		const ours = at('notifier');
		const peers = options.only.filter((name) => !/^notifier|^floor/.test(name)).map(at);
		const floor = at(burst > 1 ? 'floor coalesced' : 'floor');
		const what = `${size} subscribers, ${burst > 1 ? `bursts of ${burst}` : 'one at a time'}: CPU to `;

		bars.most(`${what}${burst > 1 ? 'coalesced floor' : 'floor'}`, ours / floor, burst > 1 ? 1.5 : 1.2);
		if (burst > 1)
			bars.most(`${what}coalesced floor, one transaction`, at('notifier 1tx') / floor, 1.5);
		if (peers.length > 0)
			bars.most(`${what}best peer`, ours / Math.min(...peers), burst > 1 ? 0.5 : 1);
	}
table(['server', 'subscribers', 'burst', 'CPU us/delivery', 'min', 'max', 'deliveries/s', 'p50 us', 'p99 us', 'bytes',
	'frames', 'kB/connection'],
group(runs, ['server', 'subscribers', 'burst']).map((some) => [some[0].server, some[0].subscribers, some[0].burst,
	median(some.map((run) => run.cpu_us)), Math.min(...some.map((run) => run.cpu_us)),
	Math.max(...some.map((run) => run.cpu_us)), ...['deliveries_per_s', 'p50_us', 'p99_us', 'bytes', 'frames',
		'memory'].map((member) => median(some.map((run) => run[member])) / (member === 'memory' ? 1024 : 1))]));
const grown = [1, BURST].flatMap((burst) => growth('subscribers', 'CPU us/event', options.only.map((server) =>
	({ name: `${server}, ${burst > 1 ? `bursts of ${burst}` : 'one at a time'}`, points: options.sizes.map((size) =>
		[size, size * medianOf(runs, { server, subscribers: size, burst }, 'cpu_us')]) }))));
finish('fanout', options, bars, runs, { growth: grown });
