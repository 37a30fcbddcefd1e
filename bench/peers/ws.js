// SPDX-License-Identifier: PostgreSQL
//
// ws.js
//	A broadcasting server as one writes it with `ws`: ws.js PORT; "burst N BYTES" on stdin.

import { createInterface } from 'node:readline';
import { WebSocketServer } from 'ws';

const server = new WebSocketServer({ port: Number(process.argv[2]), host: '127.0.0.1' });

createInterface({ input: process.stdin }).on('line', (line) =>
{
	const [, n, bytes] = line.split(' ').map(Number);

	for (let i = 0; i < n; i++)
	{
		const message = `~T${Date.now()}000`.padEnd(bytes, 'x');

		for (const client of server.clients)
			client.send(message);
	}
});
