// SPDX-License-Identifier: PostgreSQL
//
// limits.test.js
//	Many connections, too many connections, no descriptors; memory of an idle connection.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Server, Raw, request, websocket, until, stats } from './helper.js';

const MANY = Number(process.env.SERVER_CONNECTIONS ?? 10000);

test('connections in all', async () => {
	const server = await Server.start(['--max-connections', '5', '--workers', '3']);
	const raws = await Promise.all(Array.from({ length: 5 }, () => websocket(server)));
	const refused = await Raw.open(server);
	refused.write(request('GET', '/healthz'));
	const answer = await refused.answer();
	assert.equal(answer.status, 429);
	assert.equal(answer.json().error.code, 'too_many_connections');
	await refused.end();
	raws[0].destroy();
	await until('a place is free', async () => {
		const raw = await Raw.open(server);
		raw.write(request('GET', '/healthz'));
		const { status } = await raw.answer().catch(() => ({}));
		raw.destroy();
		return status === 200;
	});
	assert.match(server.log, /refused code=too_many_connections address=127\.0\.0\.1/);
	raws.forEach((raw) => raw.destroy());
	await server.stop();
});

test('connections are spread over the workers', async () => {
	const server = await Server.start(['--workers', '3']);
	const raws = [];
	for (let i = 0; i < 9; i++) raws.push(await websocket(server));
	for (const raw of raws) assert.equal((await stats(raw)).sessions, 3);
	raws.forEach((raw) => raw.destroy());
	await server.stop();
});

test('connections of an address, changed while it runs', async () => {
	const server = await Server.start(['--max-connections-per-address', '2']);
	const raws = [await websocket(server, { connect: { localAddress: '127.0.0.2' } }),
		await websocket(server, { connect: { localAddress: '127.0.0.2' } })];
	assert.equal(raws[0].welcome.address, '127.0.0.2');
	await assert.rejects(websocket(server, { connect: { localAddress: '127.0.0.2' } }));
	raws.push(await websocket(server, { connect: { localAddress: '127.0.0.3' } }));
	raws.forEach((raw) => raw.destroy());
	await server.stop();
});

test('no descriptors left', async () => {
	const server = await Server.start(['--workers', '1'], { prefix: ['prlimit', '--nofile=64'] });
	const raws = [];
	const first = await websocket(server);
	while (!server.log.includes('descriptors_exhausted')) {
		raws.push(await Raw.open(server));
		await new Promise((resolve) => setImmediate(resolve));
		assert.ok(raws.length < 200);
	}
	first.send('still here');
	assert.equal(await first.message(), 'still here');
	const spent = (await stats(first)).cpu;
	await new Promise((resolve) => setTimeout(resolve, 500));
	assert.ok((await stats(first)).cpu - spent < 250000, 'the loop does not spin');
	raws.forEach((raw) => raw.destroy());
	await until('it recovers', async () => {
		const raw = await Raw.open(server);
		raw.write(request('GET', '/healthz'));
		const { status } = await raw.answer().catch(() => ({}));
		raw.destroy();
		return status === 200;
	});
	first.destroy();
	await server.stop();
});

test('a peer that sends and never reads costs no CPU and no memory', async () => {
	const server = await Server.start(['--max-messages-per-minute', '1000000']);
	const watcher = await websocket(server);
	const raw = await websocket(server);
	raw.socket.pause();
	const ask = Buffer.concat(Array(1000).fill(Buffer.from('"' + 'x'.repeat(1000) + '"')).map((text) => {
		const head = Buffer.from([0x81, 0xfe, text.length >> 8, text.length & 255, 0, 0, 0, 0]);
		return Buffer.concat([head, text]);
	}));
	for (let i = 0; i < 30; i++) raw.write(ask);		// 30 MB of messages whose answers are not read
	let last;
	await until('it is stuck', async () => {
		const now = raw.socket.bytesWritten - raw.socket.writableLength;
		const is = now === last;
		last = now;
		await new Promise((resolve) => setTimeout(resolve, 300));
		return is;
	});
	const before = await stats(watcher);
	await new Promise((resolve) => setTimeout(resolve, 1000));
	const after = await stats(watcher);
	assert.ok(after.cpu - before.cpu < 100000, `${after.cpu - before.cpu} microseconds`);
	assert.ok(after.kb < 60000 || process.env.SERVER_SANITIZED, `${after.kb} kB`);
	raw.destroy();
	await until('it is gone', async () => (await stats(watcher)).sessions === 1);
	watcher.destroy();
	await server.stop();
});

// Connections are held by a process of their own: one process has too few descriptors for both ends.
test(`${MANY} idle connections`, async (t) => {
	const server = await Server.start(['--workers', '1', '--max-connections', String(MANY + 10), '--heartbeat', '600s']);
	const watcher = await websocket(server);
	const before = await stats(watcher);
	const holder = spawn(process.execPath, ['hold.js', String(server.port), String(MANY)], { stdio: ['pipe', 'pipe', 'inherit'] });
	let out = '';
	holder.stdout.on('data', (data) => { out += data; });
	await until('all are open', () => {
		assert.equal(holder.exitCode, null, 'the holder ended');
		return out.includes('held');
	}, 120000);
	assert.equal((await stats(watcher)).sessions, MANY + 1);
	const kb = (await stats(watcher)).kb - before.kb;
	t.diagnostic(`${Math.round((kb * 1024) / MANY)} bytes of memory per idle WebSocket connection`);
	if (!process.env.SERVER_SANITIZED) assert.ok((kb * 1024) / MANY <= 3072, `${kb} kB`);
	watcher.send('{"op":"publish","count":1,"size":256}');
	const published = JSON.parse(await watcher.message());
	t.diagnostic(`one frame to all of them: ${published.us} microseconds of CPU`);
	holder.stdin.end();
	await once(holder, 'exit');
	await until('all are gone', async () => (await stats(watcher)).sessions === 1, 60000);
	watcher.destroy();
	await server.stop();
});

test('draining does not wait for who does not read', async () => {
	const server = await Server.start(['--drain', '1s']);
	const raw = await websocket(server);
	raw.socket.pause();
	raw.send('{"op":"send","count":5,"size":5000000}');
	const feed = await Raw.open(server);
	feed.socket.pause();
	feed.write(request('GET', '/v1/events?feature=a&snapshot=true&limit=200'));
	const watcher = await websocket(server);
	await until('all are there', async () => (await stats(watcher)).sessions === 3);
	const started = Date.now();
	await Promise.all([server.stop(), watcher.close()]);
	assert.ok(Date.now() - started < 12000, `${Date.now() - started} ms`);
	raw.destroy();
	feed.destroy();
});
