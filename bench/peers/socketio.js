// SPDX-License-Identifier: PostgreSQL
//
// socketio.js
//	A broadcasting server as one writes it with Socket.IO: socketio.js PORT; "burst N BYTES" on stdin.

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { Server } from 'socket.io';

const http = createServer();
const io = new Server(http, { serveClient: false, pingInterval: 3600000 });	// load.c knows no engine.io

http.listen(Number(process.argv[2]), '127.0.0.1');
createInterface({ input: process.stdin }).on('line', (line) =>
{
	const [, n, bytes] = line.split(' ').map(Number);

	for (let i = 0; i < n; i++)
		io.emit('event', `~T${Date.now()}000`.padEnd(bytes, 'x'));
});
