// SPDX-License-Identifier: PostgreSQL
//
// hold.js PORT COUNT [tls]
//	Opens so many WebSocket connections, prints "held" when all are welcomed, and holds them until its
//	standard input ends. Reads what comes and keeps nothing.

import net from 'node:net';
import tls from 'node:tls';
import { upgrade } from './helper.js';

const [port, count] = process.argv.slice(2, 4).map(Number);
const isTls = process.argv[4] === 'tls';
let open = 0;
let started = 0;

function start() {
	started++;
	const socket = isTls ? tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
		: net.connect({ port, host: '127.0.0.1' });
	let seen = '';
	socket.on(isTls ? 'secureConnect' : 'connect', () => socket.write(upgrade()));
	socket.on('error', (error) => { console.error(error.message); process.exit(1); });
	socket.on('close', () => { console.error('closed'); process.exit(1); });
	socket.on('data', (data) => {
		if (seen === null) return;
		seen += data.toString('latin1');
		if (!seen.includes('welcome')) return;
		seen = null;
		if (++open === count) console.log('held');
		if (started < count) start();
	});
}

for (let i = 0; i < Math.min(50, count); i++) start();
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
