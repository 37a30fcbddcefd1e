// SPDX-License-Identifier: PostgreSQL
//
// idle.js
//	Resident memory per idle connection with one subscription, by what the connection is.

import { Bars, digits, finish, group, log, median, medianOf, readOptions, table } from '../lib/report.js';
import { SERVERS } from '../lib/servers.js';
import { createDatabase, startLoad, startNotifier } from '../lib/stage.js';

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
const options = readOptions({ runs: 3, connections: 10000, only: [...Object.keys(KINDS), ...PEERS] },
	{ runs: 1, connections: 200 });
const runs = [];

/** What n connections add to a server that has seen a few. */
async function measure(what, running, load)
{
	const first = await startLoad(running.port, { connections: Math.ceil(options.connections / 100), ...load });
	const before = running.child.memory();
	const rest = await startLoad(running.port, { connections: options.connections, first: 1000, ...load });

	runs.push({ what, bytes: (running.child.memory() - before) / options.connections,
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
		}
		else
			await measure(what, await SERVERS[what].start(), SERVERS[what].load);
	}

const bars = new Bars();
const at = (what) => medianOf(runs, { what }, 'bytes');
const peers = PEERS.map(at).filter((value) => value !== undefined);

for (const what of ['WebSocket', 'server-sent events'])
	bars.most(`bytes of an idle connection, ${what}`, at(what), 3000);
if (peers.length > 0)
	bars.most('bytes of an idle WebSocket connection to the best peer', at('WebSocket') / Math.min(...peers), 1);
table(['what', 'bytes/connection', 'min', 'max', 'connected in s'], group(runs, ['what']).map((some) => [some[0].what,
	...[median, (list) => Math.min(...list), (list) => Math.max(...list)].map((f) =>
		Math.round(f(some.map((run) => run.bytes)))), digits(median(some.map((run) => run.seconds)))]));
finish('idle', options, bars, runs);
