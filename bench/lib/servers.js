// SPDX-License-Identifier: PostgreSQL
//
// servers.js
//	The servers of the fan-out: how each is started, subscribed to, and made to send events.
//
// Each has start() → { child, port }, load (options of load.c) and publish(running, n, bytes), which sends n
// events of so many bytes in one go.

import { writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Child, freePort, untilListening } from './child.js';
import { READY, WORK, startNotifier, startPublisher } from './stage.js';

const SUBSCRIBE = JSON.stringify({ op: 'subscribe', ref: 1, feature: 'bench', entity: 'item' });

/** Microseconds since 1970, finer than Date. */
const now = () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000));
const message = (bytes) => `~T${now()}`.padEnd(bytes, 'x');

async function run(name, program, args, ports)
{
	const child = new Child(name, program, args, { isServer: true });

	for (const port of ports)
		await untilListening(port, child);
	return child;
}

function connect(port, greeting)
{
	return new Promise((resolve, reject) =>
	{
		const socket = net.connect(port, '127.0.0.1', () => { socket.write(greeting); resolve(socket); });
		socket.setNoDelay(true).on('error', reject).resume();
	});
}

/** One that sends what its stdin says. */
const byStdin = {
	publish: (running, n, bytes) => running.child.say(`burst ${n} ${bytes}`)
};

/** One that gets messages by TCP, all of a burst in one write. */
const byTcp = (encode) => ({
	publish: (running, n, bytes) => running.socket.write(Buffer.concat(Array.from({ length: n },
		() => encode(message(bytes)))))
});

/** Ours: n transactions, or one with n events. */
const notifier = (sql, count) => ({
	load: { path: '/v1/ws', subprotocol: 'realtime.v1', say: SUBSCRIBE, ready: READY },
	async start()
	{
		const child = await startNotifier();
		const publisher = await startPublisher(sql);

		return { child, port: child.port, publisher };
	},
	publish: (running, n) => running.publisher.ask(`burst ${count(n)}`)
});

const EMIT = "realtime.emit('bench', 'item', 'news', jsonb_build_object('text', $1::text))";

const floor = (how) => ({
	...byStdin,
	load: {},
	isFloor: true,
	async start()
	{
		const port = await freePort();

		return { child: await run('floor', path.join(WORK, 'floor'), [port, how], [port]), port };
	}
});

const node = (file, load) => ({
	...byStdin,
	load,
	async start()
	{
		const port = await freePort();
		const program = path.join(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname),
			'..', 'peers', file);

		return { child: await run(file, process.execPath, [program, port], [port]), port };
	}
});

const nchan = {
	...byTcp((text) => Buffer.from('POST /pub HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain\r\n'
		+ `Content-Length: ${text.length}\r\n\r\n${text}`)),
	load: { path: '/sub' },
	async start()
	{
		const port = await freePort();
		const config = path.join(WORK, `nginx.${port}.conf`);
		const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) =>
			`${name}_temp_path ${WORK}/nginx.${name};`).join(' ');

		writeFileSync(config, `load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
worker_processes 1; daemon off; pid ${config}.pid; error_log ${config}.log; worker_rlimit_nofile 20000;
events { worker_connections 19000; }
http {
	access_log off; ${temporary} keepalive_requests 1000000; tcp_nodelay on;
	server {
		listen 127.0.0.1:${port} backlog=4096;
		location = /pub { nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 100; }
		location = /sub { nchan_subscriber websocket; nchan_channel_id bench;
			nchan_subscriber_first_message newest; }
	}
}
`);
		const child = await run('nginx', '/usr/sbin/nginx', ['-c', config, '-e', `${config}.log`], [port]);

		return { child, port, socket: await connect(port, '') };
	}
};

const mosquitto = {
	...byTcp((text) =>
	{
		const rest = 5 + text.length;

		return Buffer.concat([Buffer.from([0x30, (rest & 0x7f) | 0x80, rest >> 7, 0, 3]),
			Buffer.from(`b/x${text}`)]);
	}),
	load: { path: '/mqtt', subprotocol: 'mqtt', encoding: 'hex',
		say: ['100c00044d51545404020000' + '0000', '820800010003622f7800'], ready: '9003' },
	async start()
	{
		const port = await freePort();
		const tcp = await freePort();
		const config = path.join(WORK, `mosquitto.${port}.conf`);

		writeFileSync(config, `allow_anonymous true
persistence false
log_type error
set_tcp_nodelay true
listener ${port} 127.0.0.1
protocol websockets
listener ${tcp} 127.0.0.1
`);
		const child = await run('mosquitto', '/usr/sbin/mosquitto', ['-c', config], [port, tcp]);

		return { child, port,
			socket: await connect(tcp, Buffer.from('100c00044d51545404020000' + '0000', 'hex')) };
	}
};

const nats = {
	...byTcp((text) => Buffer.from(`PUB b ${text.length}\r\n${text}\r\n`)),
	load: { encoding: 'hex', ready: Buffer.from('PONG').toString('hex'),
		say: Buffer.from('CONNECT {"verbose":false}\r\nSUB b 1\r\nPING\r\n').toString('hex') },
	async start()
	{
		const port = await freePort();
		const tcp = await freePort();
		const config = path.join(WORK, `nats.${port}.conf`);

		writeFileSync(config, `listen: "127.0.0.1:${tcp}"
websocket { listen: "127.0.0.1:${port}", no_tls: true }
`);
		const child = await run('nats-server', '/usr/sbin/nats-server', ['-c', config, '-l', `${config}.log`],
			[port, tcp]);

		return { child, port, socket: await connect(tcp, 'CONNECT {"verbose":false}\r\n') };
	}
};

export const SERVERS = {
	notifier: notifier(`SELECT ${EMIT}`, (n) => n),
	'notifier 1tx': { ...notifier(`SELECT ${EMIT} FROM generate_series(1, 20)`, (n) => n / 20),
		isBurstOnly: true },
	floor: floor('send'),
	'floor coalesced': { ...floor('coalesce'), isBurstOnly: true },
	nchan,
	ws: node('ws.js', {}),
	mosquitto,
	nats,
	'socket.io': node('socketio.js',
		{ path: '/socket.io/?EIO=4&transport=websocket', say: '40', ready: '40{"sid"' })
};
