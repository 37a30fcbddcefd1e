// SPDX-License-Identifier: PostgreSQL
//
// hostile.test.js
//	A client that means harm hurts nobody else: others' latency and the daemon's memory stay bounded, and
//	both are printed.

import test, { after } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { Stage } from './lib/stage.js';
import { Chance, pause, until, within } from './lib/wait.js';

const MB = 1024 * 1024;
const seed = Number(process.env.E2E_SEED ?? Date.now() % 1e9);
const chance = new Chance(seed);
const stage = await Stage.open('hostile', { flags: { 'max-queue': '1MB', 'slow-timeout': 2,
	'handshake-timeout': 2, 'auth-timeout': 5, 'max-connections': 600, heartbeat: 2 } });
const { notifier } = stage;
const item = { feature: 'shop', entity: 'item' };
const sockets = new Set();
after(() =>
{
	for (const socket of sockets)
		socket.destroy();
});

/** A plain TCP connection. */
function dial()
{
	const socket = net.connect(notifier.port, '127.0.0.1');
	sockets.add(socket);
	socket.on('error', () => {});
	socket.gone = new Promise((resolve) => socket.on('close', () =>
	{
		sockets.delete(socket);
		resolve();
	}));
	return new Promise((resolve) =>
	{
		socket.once('connect', () => resolve(socket));
		socket.once('close', () => resolve(socket));
	});
}

const HANDSHAKE = 'GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
	'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
	'Sec-WebSocket-Protocol: realtime.v1\r\n\r\n';

/** A WebSocket connection whose frames are made by hand. */
async function raw()
{
	const socket = await dial();
	const answer = new Promise((resolve) => socket.once('data', resolve));
	socket.write(HANDSHAKE);
	await Promise.race([answer, socket.gone]);
	socket.resume();
	return socket;
}

/** The bytes of a masked frame. */
function frame(opcode, payload, { fin = true, length = payload.length, rsv = 0, isMasked = true } = {})
{
	const head = [(fin ? 0x80 : 0) | rsv << 4 | opcode];
	const mask = isMasked ? 0x80 : 0;
	if (length < 126)
		head.push(mask | length);
	else if (length < 65536)
		head.push(mask | 126, length >> 8, length & 255);
	else
		head.push(mask | 127, 0, 0, ...[40, 32, 24, 16, 8, 0].map((s) => Math.floor(length / 2 ** s) & 255));
	if (!isMasked)
		return Buffer.concat([Buffer.from(head), payload]);
	const key = length > 10000 ? Buffer.alloc(4) : randomBytes(4);		// zero leaves the bytes as they are
	return Buffer.concat([Buffer.from(head), key,
		length > 10000 ? payload : Buffer.from(payload.map((b, i) => b ^ key[i % 4]))]);
}
const textFrame = (text) => frame(1, Buffer.from(text));

/** A bystander that times events while something goes on. */
class Bystander
{
	static async start()
	{
		const it = new Bystander();
		it.peer = await stage.peer();
		it.view = await it.peer.subscribe({ feature: 'shop', entity: 'other' });
		it.client = await stage.database.connect('bystander');
		it.times = [];
		it.memoryBefore = await notifier.memory();
		it.memory = it.memoryBefore;
		it.isOver = false;
		it.running = it.run();
		it.running.catch(() => {});
		return it;
	}

	async run()
	{
		for (let n = 0; !this.isOver; n++)
		{
			const start = performance.now();
			const seen = this.view.events.length;
			await this.client.query('INSERT INTO other VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET name = $1',
				[`${start}`]);
			await this.peer.until('the event', () => this.view.events.length > seen, { seconds: 30 });
			this.times.push(performance.now() - start);
			this.memory = Math.max(this.memory, await notifier.memory());
			await pause(5);
		}
	}

	async stop(t, what, { longest = 3000, growth = 64 * MB } = {})
	{
		this.isOver = true;
		await this.running;
		this.times.sort((a, b) => a - b);
		const at = (p) => this.times[Math.floor((this.times.length - 1) * p)];
		t.diagnostic(`${what}: bystander ${this.times.length} events, median ${at(0.5).toFixed(1)} ms, p99 ` +
			`${at(0.99).toFixed(1)} ms, longest ${at(1).toFixed(1)} ms; daemon ${(this.memoryBefore / MB).toFixed(1)} ` +
			`to at most ${(this.memory / MB).toFixed(1)} MB`);
		assert.ok(this.times.length > 0);
		assert.ok(at(1) < longest, 'latency stays bounded');
		assert.ok(this.memory - this.memoryBefore < growth, 'memory stays bounded');
		await this.client.end();
		await this.peer.close();
	}
}

test('messages that are no messages: bad_frame, ten times, then 1008', async (t) =>
{
	const by = await Bystander.start();
	const peer = await stage.peer();
	const bad = ['', 'x', '5', '[]', '"op"', '{', '{"op":"ping"', '{"op":"ping"}}', 'null', '\u0000'];
	for (const text of bad)
		peer.send(text);
	const end = await peer.gone();
	assert.equal(end.code, 1008);
	const errors = peer.frames.filter((f) => f.op === 'error');
	assert.ok(errors.length >= 9 && errors.every((f) => f.code === 'bad_frame'), JSON.stringify(errors));
	await by.stop(t, 'bad frames');
});

test('binary 1003, bad UTF-8 1007, protocol errors 1002', async (t) =>
{
	const by = await Bystander.start();
	let peer = await stage.peer();
	peer.socket.send(Buffer.from('{"op":"ping"}'), { binary: true });
	assert.equal((await peer.gone()).code, 1003);
	for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x7b, 0xe2, 0x82]])
	{
		peer = await stage.peer();
		peer.socket.send(Buffer.from(bytes), { binary: false });
		assert.equal((await peer.gone()).code, 1007, String(bytes));
	}
	// Made by hand: what a library does not send.
	for (const bytes of [frame(1, Buffer.from('{"op":"ping"}'), { isMasked: false }),
		frame(3, Buffer.from('x')), frame(11, Buffer.from('x')), frame(1, Buffer.from('x'), { rsv: 4 }),
		frame(0, Buffer.from('x')), frame(9, Buffer.alloc(200)), frame(9, Buffer.from('x'), { fin: false }),
		frame(8, Buffer.from([3])), frame(8, Buffer.from([0, 5])), frame(1, Buffer.from('x'), { length: 2 ** 40 }),
		Buffer.concat([frame(1, Buffer.from('{'), { fin: false }), frame(1, Buffer.from('}'))])])
	{
		const socket = await raw();
		socket.write(bytes);
		await within(`the notifier hangs up on ${bytes.subarray(0, 16).toString('hex')}`, socket.gone, 15);
	}
	await by.stop(t, 'broken frames');
});

test('garbage instead of HTTP, and headers without end', async (t) =>
{
	const by = await Bystander.start();
	const garbage = ['\x16\x03\x01\x02\x00\x01\x00', randomBytes(5000), '\r\n\r\n\r\n\r\n', 'GET\r\n\r\n',
		'GET / HTTP/9.9\r\n\r\n', `GET /${'a'.repeat(100000)} HTTP/1.1\r\n\r\n`,
		`GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(20000)}`, `GET / HTTP/1.1\r\nX: ${'y'.repeat(1000000)}`,
		'POST /v1/poll HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n{}',
		'POST /v1/poll HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n{}',
		'POST /v1/poll HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n',
		'POST /v1/poll HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
		HANDSHAKE.replace('13', '12'), HANDSHAKE.replace(/Sec-WebSocket-Key.*\r\n/, ''), '\u0000'.repeat(10000)];
	for (let i = 0; i < 80; i++)
	{
		const socket = await dial();
		socket.resume();
		socket.write(i < garbage.length ? garbage[i] : chance.pick(garbage));
		if (chance.int(0, 3) === 0)
			socket.destroy();
	}
	await until('all of them are cut', () => sockets.size === 0, 20);
	await by.stop(t, 'garbage');
});

test('oversize frames, all at once', async (t) =>
{
	const by = await Bystander.start();
	const all = await Promise.all(Array.from({ length: 20 }, async () =>
	{
		const socket = await raw();
		for (let i = 0; i < 40 && !socket.destroyed; i++)
			socket.write(frame(i === 0 ? 1 : 0, Buffer.alloc(256 * 1024, 0x20), { fin: false }));
		return socket;
	}));
	await within('they are cut', Promise.all(all.map((s) => s.gone)), 20);
	await by.stop(t, '20 x 10 MB of fragments');
});

test('half-open sockets', async (t) =>
{
	const by = await Bystander.start();
	const all = [];
	for (let i = 0; i < 150; i++)
	{
		const socket = i % 3 === 0 ? await raw() : await dial();
		if (i % 3 === 1)
			socket.write('GET /v1/events?feature=shop HTTP/1.1\r\nHost: x\r\n');
		socket.pause();			// nothing is read, pings are not answered
		all.push(socket);
	}
	await within('all of them are cut', Promise.all(all.map((s) => { s.resume(); return s.gone; })), 40);
	await by.stop(t, '150 half-open sockets');
});

test('10,000 subscribe requests, one after the other', async (t) =>
{
	const by = await Bystander.start();
	let sent = 0;
	let sessions = 0;
	// A session that is cut comes back at once, until so many have been sent.
	while (sent < 10000)
	{
		const peer = await stage.peer({ keep: false });
		sessions++;
		for (let i = 0; i < 1000 && !peer.closed; i++, sent++)
		{
			const request = { op: 'subscribe', ref: i, ...item, snapshot: i % 2 === 0,
				filter: [['name', chance.pick(['eq', 'like', 'ilike', 'gt']), `${sent}${'%_'.repeat(20)}`]] };
			peer.checker.expect(request);
			peer.socket.send(JSON.stringify(request));
			if (i % 100 === 99)
				await pause(0);
		}
		await Promise.race([peer.gone(30).catch(() => {}), peer.ask({ op: 'ping', ref: 'end' }).catch(() => {})]);
		if (!peer.closed)
			peer.terminate();
	}
	t.diagnostic(`${sent} requests in ${sessions} sessions`);
	await by.stop(t, '10,000 subscribe requests', { longest: 5000 });
});

test('never reading, while much is written', async (t) =>
{
	const by = await Bystander.start();
	const all = [];
	for (let i = 0; i < 25; i++)
	{
		const socket = await raw();
		socket.pause();
		socket.write(textFrame(JSON.stringify({ op: 'subscribe', ref: 1, ...item })));
		// And asks for answers that it never takes.
		for (let n = 0; n < 300; n++)
			socket.write(textFrame(`{"op":"ping","ref":${n}}`));
		all.push(socket);
	}
	await stage.sql(`DO $$ BEGIN FOR i IN 1..2500 LOOP
		INSERT INTO item (id, name) VALUES (i, repeat('z', 6000)); COMMIT; END LOOP; END $$`);
	await until('only the bystander is left', async () => (await notifier.metric('sessions')) === 1, 40, 200);
	t.diagnostic(`${await notifier.metric('slow_closes_total')} closed for being slow`);
	for (const socket of all)
		socket.destroy();
	await by.stop(t, '25 readers that never read', { longest: 5000, growth: 128 * MB });
});

test('tokens and positions that are bombs', async (t) =>
{
	const by = await Bystander.start();
	const peer = await stage.peer();
	const deep = '['.repeat(30000);
	for (const text of [`{"op":"subscribe","filter":${deep}`, `{"op":"subscribe","ref":1,"filter":${deep}${']'.repeat(30000)}}`])
	{
		peer.send(text);
		const error = await peer.frame('an error', (f) => f.op === 'error');
		assert.ok(['bad_frame', 'bad_request'].includes(error.code), error.code);
	}
	const epoch = peer.welcome.epoch;
	for (const since of [`${epoch}/1:18446744073709551615:`, `${epoch}/18446744073709551616:18446744073709551617:`,
		`${epoch}/0:0:`, `${epoch}/1:99999999999:${'1,'.repeat(5000)}`, `${'e'.repeat(15000)}/1:2:`, '/1:2:', "'/1:2:",
		`${epoch}/-1:2:`, `${epoch}/1:2:1,1`, `${epoch}/ 1:2:`])
	{
		// Refused, or a gap; never the whole history without a word, never the end of the daemon.
		const request = { op: 'subscribe', ...item, since };
		const code = await peer.refused(request);
		if (code.startsWith('not refused'))
			for (const view of peer.views.values())
				await peer.ask({ op: 'unsubscribe', view: view.id });
		else
			assert.ok(['bad_position', 'bad_request', 'already_subscribed'].includes(code), `${code}: ${since.slice(0, 80)}`);
	}
	peer.terminate();
	await by.stop(t, 'bombs');
});

test('replays from the beginning, again and again', async (t) =>
{
	const first = await stage.peer();
	await first.until('a position', () => first.position);
	const since = first.position.text;
	await first.close();
	await stage.sql(`DO $$ BEGIN FOR i IN 1..1500 LOOP
		INSERT INTO item (id, name) VALUES (100000 + i, repeat('z', 3000)); COMMIT; END LOOP; END $$`);
	const by = await Bystander.start();
	await Promise.all(Array.from({ length: 40 }, async (_, i) =>
	{
		for (let n = 0; n < 3; n++)
		{
			const peer = await stage.peer({ keep: false, name: `replayer ${i}` });
			const code = await peer.refused({ op: 'subscribe', ...item, since });
			if (!code.startsWith('not refused'))
				assert.ok(['rate_limited', 'unavailable'].includes(code), code);
			peer.terminate();
		}
	}));
	await by.stop(t, '120 replays cut short', { longest: 5000, growth: 256 * MB });
});

test(`it is still well (E2E_SEED=${seed})`, async () =>
{
	assert.equal(await notifier.status('/readyz'), 200);
	const peer = await stage.peer();
	const view = await peer.subscribe(item);
	await peer.settle(await stage.write('INSERT INTO item (id) VALUES (-1)'));
	assert.deepEqual(view.story, ['created -1']);
	await peer.close();
	await until('its sessions are gone', async () => (await notifier.metric('sessions')) === 0, 40);
	assert.equal(await notifier.metric('queue_bytes'), 0);
	assert.equal(await notifier.metric('views'), 0);
});
