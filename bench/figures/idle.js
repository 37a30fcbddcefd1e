// SPDX-License-Identifier: PostgreSQL
//
// idle.js
//	Resident memory per idle connection with one subscription, by what the connection is; the notifier's near the
//	limit of open files, too.

import { execFileSync } from 'node:child_process';
import { Bars, digits, finish, group, log, median, medianOf, readOptions, table } from '../lib/report.js';
import { SERVERS } from '../lib/servers.js';
import { createDatabase, startLoad, startNotifier } from '../lib/stage.js';

const SPARE = 10;		// those that asked whether the notifier is ready, until they are gone
const SUBSCRIBED = ['WebSocket', 'server-sent events'];
const PEERS = Object.keys(SERVERS).filter((name) => !/^notifier|^floor/.test(name));
const KINDS = {
	'a socket': { transport: 'silent' },
	'WebSocket, not subscribed': { path: '/v1/ws', subprotocol: 'realtime.v1', ready: '"op":"welcome"' },
	'WebSocket': SERVERS.notifier.load,
	'server-sent events': { transport: 'http', path: '/v1/events?feature=bench&entity=item',
		ready: '"op":"subscribed"' },
	'WebSocket, filtered': { path: '/v1/ws', subprotocol: 'realtime.v1', ready: '"op":"subscribed"',
		say: '{"op":"subscribe","feature":"bench","entity":"orders","filter":[["customer","eq",%n]]}' }
};
// as many as a process may have open, but for some hundred; a hard limit of millions would be another benchmark
const NEAR = Math.min(Number(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' })) || 20000, 20000) - 300;
const options = readOptions({ runs: 3, connections: 10000, near: NEAR, only: [...Object.keys(KINDS), ...PEERS] },
	{ runs: 1, connections: 200, near: 400 });
const runs = [];

/** What a process has for itself, in swap, too: pages of files the system takes away from who is idle. */
const memory = (child) => child.memory('RssAnon') + child.memory('VmSwap');

/** What n connections add to a server that has seen a few. */
async function measure(what, running, load, connections = options.connections)
{
	const first = await startLoad(running.port, { connections: Math.ceil(options.connections / 100), ...load });
	const before = memory(running.child);
	const rest = await startLoad(running.port, { connections, first: 1000, ...load });

	runs.push({ what, connections, bytes: (memory(running.child) - before) / connections,
		seconds: rest.ready.seconds });
	await rest.stop();
	await first.stop();
	running.socket?.destroy();
	await running.publisher?.stop();
	await running.child.stop();
}

await createDatabase(`SELECT realtime.register_topic('bench', 'item');
	SELECT realtime.grant_subscribe('bench', 'item', 'reader');
	CREATE TABLE orders (id bigserial PRIMARY KEY, customer integer, note text);
	SELECT realtime.enable('orders', 'bench', 'orders'); GRANT SELECT ON orders TO reader`);
for (let i = 0; i < options.runs; i++)
	for (const what of options.only)
	{
		log(`repetition ${i + 1} of ${options.runs}, ${what}`);
		if (KINDS[what])
		{
			const child = await startNotifier({ 'handshake-timeout': '10min' });
			await measure(what, { child, port: child.port }, KINDS[what]);
			if (!SUBSCRIBED.includes(what))
				continue;
			const full = await startNotifier({ 'max-connections': options.near });
			await measure(what, { child: full, port: full.port }, KINDS[what],
				options.near - Math.ceil(options.connections / 100) - SPARE);
		}
		else
			await measure(what, await SERVERS[what].start(), SERVERS[what].load);
	}

const bars = new Bars();
const at = (what) => medianOf(runs, { what, connections: options.connections }, 'bytes');
const peers = PEERS.map(at).filter((value) => value !== undefined);

for (const what of SUBSCRIBED)
	for (const [some] of group(runs.filter((run) => run.what === what), ['connections']))
		bars.most(`bytes of an idle connection, ${what}, ${some.connections}`,
			medianOf(runs, { what, connections: some.connections }, 'bytes'), 3000);
if (peers.length > 0)
	bars.most('bytes of an idle WebSocket connection to the best peer', at('WebSocket') / Math.min(...peers), 1);
table(['what', 'connections', 'bytes/connection', 'min', 'max', 'connected in s'],
	group(runs, ['what', 'connections']).map((some) => [some[0].what, some[0].connections,
	...[median, (list) => Math.min(...list), (list) => Math.max(...list)].map((f) =>
		Math.round(f(some.map((run) => run.bytes)))), digits(median(some.map((run) => run.seconds)))]));
finish('idle', options, bars, runs);
