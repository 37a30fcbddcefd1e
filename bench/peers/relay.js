// SPDX-License-Identifier: PostgreSQL
//
// relay.js
//	What people write: LISTEN, and each notification to every WebSocket. relay.js PORT DATABASE CHANNEL

import pg from 'pg';
import { WebSocketServer } from 'ws';

const [port, database, channel] = process.argv.slice(2);
const client = new pg.Client({ database, application_name: 'relay' });

await client.connect();
await client.query(`LISTEN ${channel}`);
const server = new WebSocketServer({ port: Number(port), host: '127.0.0.1' });

client.on('notification', ({ payload }) =>
{
	for (const peer of server.clients)
		peer.send(payload);
});
