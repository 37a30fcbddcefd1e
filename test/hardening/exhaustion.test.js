// SPDX-License-Identifier: PostgreSQL
//
// exhaustion.test.js
//	What strangers can use up before they have shown a token, and readers with one: connections, handshakes, memory, time.
//	Somebody who is connected gets his events meanwhile; what the strangers hold is bounded and comes back.

import test from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { Stage } from '../e2e/lib/stage.js';
import { pause, until, within } from '../e2e/lib/wait.js';

const MB = 1024 * 1024;
const stage = await Stage.open('exhaustion', { isAnonymous: false, flags: { workers: 1, 'handshake-timeout': 3, 'auth-timeout': 3, heartbeat: 5,
	'max-connections': 700, 'max-connections-per-address': 500, 'total-memory': '24MB', 'max-queue': '1MB', 'slow-timeout': 5, 'history-cache': '1MB' } });
const { notifier } = stage;
const sockets = new Set();

function dial(address, port = notifier.port)
{
	const socket = net.connect({ port, host: '127.0.0.1', localAddress: address });
	sockets.add(socket);
	socket.heard = '';
	socket.setEncoding('latin1');
	socket.on('data', (data) => { socket.heard += data; });
	socket.on('error', () => {});
	socket.gone = new Promise((resolve) => socket.on('close', () => { sockets.delete(socket); resolve(); }));
	return new Promise((resolve) => { socket.once('connect', () => resolve(socket)); socket.once('close', () => resolve(socket)); });
}

/** Runs something while a reader waits for events one by one; returns how far memory grew. */
async function beside(what, f, t)
{
	const peer = await stage.peer({ claims: { sub: 'bystander' } });
	const view = await peer.subscribe({ feature: 'shop', entity: 'other' });
	const before = await notifier.memory();
	const times = [];
	let most = before;
	let isOver = false;
	const running = (async () =>
	{
		for (let n = 0; !isOver; n++)
		{
			const from = performance.now();
			const seen = view.events.length;
			await stage.sql('INSERT INTO other VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET name = $1', [`${what} ${n}`]);
			await peer.until('the event', () => view.events.length > seen, { seconds: 30 });
			times.push(performance.now() - from);
			most = Math.max(most, await notifier.memory());
			await pause(10);
		}
	})();
	running.catch(() => {});
	await f();
	isOver = true;
	await running;
	times.sort((a, b) => a - b);
	t.diagnostic(`${what}: ${times.length} events beside it, p50 ${times[times.length >> 1].toFixed(1)} ms, p99 ` +
		`${times[Math.floor((times.length - 1) * 0.99)].toFixed(1)} ms; memory + ${((most - before) / MB).toFixed(1)} MB`);
	assert.ok(times.length > 0);
	await peer.close();
	return most - before;
}

test('slow heads, slow bodies, silence: all are cut within the handshake\'s time', async (t) =>
{
	const grown = await beside('400 slow requests', async () =>
	{
		const all = await Promise.all(Array.from({ length: 400 }, () => dial('127.0.0.9')));
		const drips = [];
		for (const [i, socket] of all.entries())
		{
			const text = ['', 'GET /v1/ws HTTP/1.1\r\nHost: x\r\nX: ', `POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n${'['.repeat(30000)}`,
				`GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(30)}`][i % 4];
			socket.write(text);
			if (i % 4 !== 0)
				drips.push(setInterval(() => socket.write('z'), 300));
		}
		await within('the end of all of them', Promise.all(all.map((s) => s.gone)), 40);
		drips.forEach(clearInterval);
	}, t);
	assert.ok(grown < 64 * MB);
	await until('their places are free', async () => sockets.size === 0);
});

test('WebSockets that never show a token, and fill what they may say', async (t) =>
{
	const grown = await beside('300 sessions without a token', async () =>
	{
		const all = await Promise.all(Array.from({ length: 300 }, () => dial('127.0.0.9')));
		for (const socket of all)
		{
			socket.write('GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
				'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
			// A message of 60 kB that never ends.
			const head = Buffer.from([0x01, 0xfe, 0xea, 0x60, 0, 0, 0, 0]);
			socket.write(Buffer.concat([head, Buffer.alloc(59000, 0x20)]));
		}
		await within('the end of all of them', Promise.all(all.map((s) => s.gone)), 40);
		assert.ok(all.every((s) => s.heard.includes('unauthorized')), 'each is told why');
	}, t);
	assert.ok(grown < 300 * 64 * 1024 + 64 * MB, `${grown}`);
});

test('one address does not take the places of others', async () =>
{
	const all = [];
	for (let i = 0; i < 520; i++)
		all.push(await dial('127.0.0.10'));
	const other = await dial('127.0.0.11');
	other.write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
	await within('the answer', other.gone);
	assert.match(other.heard, /^HTTP\/1.1 200/);
	await until('those beyond the limit are refused', () => all.filter((s) => /^HTTP\/1.1 429/.test(s.heard)).length === 20);
	assert.equal((await notifier.metrics()).get('realtime_refusals_total{code="too_many_connections"}') >= 20, true);
	all.forEach((s) => s.destroy());
	await until('their places are free', () => sockets.size === 0);
});

test('heads of 40 kB, thousands of headers, endless lines', async (t) =>
{
	const grown = await beside('huge heads', async () =>
	{
		for (const text of [`GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(41000)}\r\n\r\n`, `GET / HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(500)}\r\n`, 'G'.repeat(200000),
			`GET /${'a'.repeat(50000)} HTTP/1.1\r\n`, `GET / HTTP/1.1\r\nHost: x\r\nCookie: ${'a=b;'.repeat(60000)}`])
		{
			const socket = await dial('127.0.0.12');
			socket.write(text);
			await within('the end', socket.gone, 20);
			assert.match(socket.heard, /^HTTP\/1.1 4(00|13) /, text.slice(0, 30));
		}
	}, t);
	assert.ok(grown < 32 * MB);
});

test('TLS: handshakes that stop half-way, garbage, and renegotiation are cut', async (t) =>
{
	const key = path.join(stage.directory, 'key.pem');
	const certificate = path.join(stage.directory, 'cert.pem');
	execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out', certificate, '-days', '1',
		'-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'], { stdio: 'ignore' });
	const secure = await stage.start({ flags: { 'tls-certificate': certificate, 'tls-key': key }, isReady: false });
	const ask = () => new Promise((resolve) =>
	{
		const socket = tls.connect({ port: secure.port, host: '127.0.0.1', ca: readFileSync(certificate) }, () =>
			socket.write('GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'));
		let heard = '';
		socket.on('data', (data) => { heard += data; });
		socket.on('error', () => resolve(heard));
		socket.on('close', () => resolve(heard));
	});
	await until('it is ready', async () => /^HTTP\/1.1 200/.test(await ask()));
	const before = await secure.memory();
	// The first bytes of a ClientHello that promises 500, alone and dripping.
	const hello = Buffer.from('16030101f4010001f00303', 'hex');
	const all = await Promise.all(Array.from({ length: 200 }, () => dial('127.0.0.13', secure.port)));
	const drips = [];
	for (const [i, socket] of all.entries())
	{
		socket.write([hello, Buffer.alloc(0), Buffer.from('GET / HTTP/1.1\r\n\r\n'), hello][i % 4]);
		if (i % 4 === 3)
			drips.push(setInterval(() => socket.write(Buffer.from([0])), 300));
	}
	assert.match(await ask(), /^HTTP\/1.1 200/, 'others get in meanwhile');
	const during = await secure.memory();
	await within('the end of all of them', Promise.all(all.map((s) => s.gone)), 40);
	drips.forEach(clearInterval);
	t.diagnostic(`200 half handshakes: ${((during - before) / MB).toFixed(1)} MB`);
	assert.ok(during - before < 64 * MB);
	const output = execFileSync('sh', ['-c', `printf 'R\\n' | timeout 5 openssl s_client -tls1_2 -connect 127.0.0.1:${secure.port} 2>&1 || true`]).toString();
	assert.ok(!/RENEGOTIATING[^]*verify return:1[^]*verify return:1[^]*read R BLOCK/.test(output));
	for (const old of ['-tls1', '-tls1_1'])
		assert.match(execFileSync('sh', ['-c', `openssl s_client ${old} -connect 127.0.0.1:${secure.port} </dev/null 2>&1 || true`]).toString(), /alert|no protocols|wrong version|Cipher is \(NONE\)/);
	assert.match(await ask(), /^HTTP\/1.1 200/);
	await secure.stop();
});

test('snapshots of readers that do not read: bounded together, and told to try again', async (t) =>
{
	await stage.sql(`CREATE TABLE wide (id integer PRIMARY KEY, body text); ALTER TABLE wide ALTER body SET STORAGE PLAIN;
		SELECT realtime.enable('wide', 'shop', 'wide', bulk_threshold => 10); GRANT SELECT ON wide TO web_user;
		INSERT INTO wide SELECT i, repeat('w', 7000) FROM generate_series(1, 1500) i`);
	let refused = 0;
	const grown = await beside('40 snapshots of 10 MB each', async () =>
	{
		const peers = await Promise.all(Array.from({ length: 40 }, (_, i) => stage.peer({ claims: { sub: `r${i}` } })));
		for (const [i, peer] of peers.entries())
		{
			peer.send({ op: 'subscribe', ref: 1, feature: 'shop', entity: 'wide', snapshot: true, filter: [['id', 'neq', -1 - i]] });
			peer.checker.expect({ op: 'subscribe', ref: 1, feature: 'shop', entity: 'wide', snapshot: true, filter: [['id', 'neq', -1 - i]] });
			peer.pauseReading();
		}
		await until('all are read, or refused', async () => (await notifier.metric('database_queue')) === 0 &&
			(await notifier.metric('snapshot_bytes')) < 24 * MB && (await notifier.metrics()).get('realtime_refusals_total{code="unavailable"}') > 0, 60, 100);
		refused = (await notifier.metrics()).get('realtime_refusals_total{code="unavailable"}');
		peers.forEach((peer) => peer.terminate());
		await until('nothing of them is left', async () => (await notifier.metric('snapshot_bytes')) === 0, 30);
	}, t);
	t.diagnostic(`${refused} refused`);
	assert.ok(grown < 160 * MB, `${grown / MB} MB, of 400`);
	const peer = await stage.peer({ claims: { sub: 'later' } });
	const view = await peer.subscribe({ feature: 'shop', entity: 'wide', snapshot: true });
	assert.equal(view.rows.length, 1500, 'it recovers by itself');
	await peer.close();
});

test('patterns that cost text times pattern are given up: a gap, not seconds', async (t) =>
{
	const peer = await stage.peer({ claims: { sub: 'pattern' } });
	const views = [];
	for (let i = 0; i < 20; i++)
		views.push(await peer.subscribe({ feature: 'shop', entity: 'item', filter: [['name', i % 2 ? 'like' : 'ilike', `%${'a'.repeat(3000 + i)}b%`]] }));
	await beside('20 patterns on a text of 1 MB', async () =>
		peer.settle(await stage.write("INSERT INTO item (id, name) VALUES (77, repeat('a', 1000000))"), 30), t);
	for (const view of views)
		assert.deepEqual(view.gaps.map((g) => g.reason), ['omitted']);
	await peer.close();
});

test('what strangers cause is logged, without a line for each of a flood', async () =>
{
	const refused = notifier.lines.filter((l) => l.event === 'refused');
	assert.ok(refused.some((l) => l.code === 'too_many_connections'));
	assert.ok(refused.filter((l) => l.code === 'too_many_connections').length < 20);
	assert.equal(await notifier.metric('sessions'), 0);
});
