// SPDX-License-Identifier: PostgreSQL
//
// filtered.js
//	What an event costs the notifier among 1,000 to 100,000 subscriptions with an equality each, of which
//	one matches: CPU, and with valgrind the instructions of its own code.

import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Bars, finish, group, growth, log, median, medianOf, readOptions, table } from '../lib/report.js';
import { WORK, checkReport, createDatabase, readMetrics, startLoad, startNotifier, startPublisher }
	from '../lib/stage.js';

const BURST = 50;
const options = readOptions({ runs: 3, sizes: [1000, 10000, 100000], connections: 100, events: 10000,
	instructions: [1000, 100000] }, { runs: 1, sizes: [200, 400], connections: 4, events: 200, instructions: [200] });
const runs = [];
const FLAGS = { 'max-subscriptions': 100000, 'max-message': '64kB' };

function subscribe(notifier, size)
{
	const each = size / options.connections;

	return startLoad(notifier.port, { connections: options.connections, each, answers: each, concurrency: 4,
		path: '/v1/ws', subprotocol: 'realtime.v1', ready: '"op":"subscribed"',
		say: '{"op":"subscribe","ref":%i,"feature":"bench","entity":"orders","filter":[["customer","eq",%i]]}' });
}

const publisher = (size) => startPublisher('INSERT INTO orders (customer, note) '
	+ `VALUES (floor(random() * ${size}), $1)`);

async function publish(load, publish_, events)
{
	for (let sent = 0; sent < events; sent += BURST)
	{
		load.say(`expect ${BURST} 60`);
		await publish_.ask(`burst ${BURST}`);
		checkReport('filtered', JSON.parse(await load.line()), BURST);
	}
}

async function measureCpu(size)
{
	const notifier = await startNotifier(FLAGS);
	const load = await subscribe(notifier, size);
	const writer = await publisher(size);
	const memory = notifier.memory();

	await publish(load, writer, Math.min(options.events, 1000));
	const polls = (await readMetrics(notifier)).polls_total;
	const before = notifier.cpu();
	await publish(load, writer, options.events);
	const cpu = notifier.cpu() - before;
	runs.push({ subscriptions: size, cpu_us: cpu / options.events, seconds: load.ready.seconds,
		polls: ((await readMetrics(notifier)).polls_total - polls) / options.events, memory: memory / size });
	await writer.stop();
	await load.stop();
	await notifier.stop();
}

/** Instructions in user space, by callgrind. */
async function measureInstructions(size)
{
	const out = path.join(WORK, `callgrind.${size}`);
	const notifier = await startNotifier(FLAGS, { program: ['valgrind', '--tool=callgrind',
		'--instr-atstart=no', `--callgrind-out-file=${out}`, process.env.RT_NOTIFIER] });
	const control = (...args) => execFileSync('callgrind_control', [...args, String(notifier.process.pid)],
		{ stdio: 'pipe' });
	const load = await subscribe(notifier, size);
	const writer = await publisher(size);
	const events = Math.ceil(options.events / 10 / BURST) * BURST;

	await publish(load, writer, BURST);
	control('-i', 'on');
	await publish(load, writer, events);
	control('-i', 'off');
	control('-d');
	runs.push({ subscriptions: size, instructions: await untilDump(out) / events });
	await writer.stop();
	await load.stop();
	await notifier.stop('SIGKILL');
}

/** What the files of callgrind have counted together; turning it off and on may write some, too. */
async function untilDump(out)
{
	for (const end = Date.now() + 60000; Date.now() < end; await sleep(100))
	{
		const total = readdirSync(WORK).filter((name) => name.startsWith(`${path.basename(out)}.`))
			.reduce((sum, name) => sum + Number(/^totals: (\d+)/m.exec(
				readFileSync(path.join(WORK, name), 'utf8'))?.[1] ?? 0), 0);

		if (total > 0)
			return total;
	}
	throw new Error('callgrind wrote no dump');
}

await createDatabase(`CREATE TABLE orders (id bigserial PRIMARY KEY, customer integer, note text);
	SELECT realtime.enable('orders', 'bench', 'orders', bulk_threshold => NULL);
	GRANT SELECT ON orders TO reader`);
for (let i = 0; i < options.runs; i++)
	for (const size of options.sizes)
	{
		log(`${size} subscriptions: repetition ${i + 1} of ${options.runs}`);
		await measureCpu(size);
	}
for (const size of options.instructions.filter((n) => n > 0))
{
	log(`${size} subscriptions: instructions`);
	await measureInstructions(size);
}

const bars = new Bars();
const [least, most] = [Math.min(...options.sizes), Math.max(...options.sizes)];
const at = (subscriptions, member) => medianOf(runs, { subscriptions }, member);

bars.most(`CPU per event, ${most} to ${least} subscriptions`, at(most, 'cpu_us') / at(least, 'cpu_us'), 1.3);
bars.most(`instructions per event, ${most} to ${least} subscriptions`,
	at(most, 'instructions') / at(least, 'instructions'), 1.3);
table(['subscriptions', 'CPU us/event', 'min', 'max', 'instructions/event', 'polls/event', 'bytes/subscription',
	'subscribed in s'],
group(runs.filter((run) => run.cpu_us), ['subscriptions']).map((some) => [some[0].subscriptions,
	median(some.map((run) => run.cpu_us)), Math.min(...some.map((run) => run.cpu_us)),
	Math.max(...some.map((run) => run.cpu_us)), at(some[0].subscriptions, 'instructions'),
	...['polls', 'memory', 'seconds'].map((member) => median(some.map((run) => run[member])))]));
const grown = growth('subscriptions', 'CPU us/event', [{ name: 'notifier',
	points: options.sizes.map((size) => [size, at(size, 'cpu_us')]) }]);
finish('filtered', options, bars, runs, { growth: grown });
