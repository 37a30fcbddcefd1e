// SPDX-License-Identifier: PostgreSQL
//
// tail.test.js
//	realtime-notifier --tail: what it prints in a pipe and on a terminal, over losses, gaps and refusals.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { WebSocketServer } from 'ws';
import { now } from './lib/jwt.js';
import { freePort } from './lib/notifier.js';
import { Stage } from './lib/stage.js';
import { until, within } from './lib/wait.js';

const stage = await Stage.open('tail');
const running = new Set();
let id = 0;

stage.closers.push(() => running.forEach((tail) => tail.child.kill('SIGKILL')));

/** A subscriber that runs: its lines so far, and how it ended. */
class Tail
{
	constructor(events, flags = {}, { environment = {}, command } = {})
	{
		const args = ['--tail', events,
			...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)])];
		const [program, ...rest] = command ? command([process.env.RT_NOTIFIER, ...args])
			: [process.env.RT_NOTIFIER, ...args];

		this.out = '';
		this.err = '';
		this.child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'],
			env: { ...process.env, TERM: 'xterm', ...environment } });
		running.add(this);
		this.child.stdout.setEncoding('utf8').on('data', (data) => { this.out += data; });
		this.child.stderr.setEncoding('utf8').on('data', (data) => { this.err += data; });
		this.exited = new Promise((resolve) => this.child.on('close', (status, signal) =>
		{
			running.delete(this);
			this.exit = { status, signal };
			resolve(this.exit);
		}));
	}

	get lines()
	{
		return this.out.split('\n').slice(0, -1);
	}

	get events()
	{
		return this.lines.map((line) => JSON.parse(line));
	}

	get story()
	{
		return this.events.map((e) => (e.op ? `${e.op} ${e.reason}` : `${e.event} ${e.id}`));
	}

	/** Writes rows until one is seen: then it is subscribed. Forgets what it has printed by then. */
	async live()
	{
		const before = id;
		await until(`the first event; ${this.err}`, async () =>
		{
			assert.ok(!this.exit, this.err);
			await insert();
			return this.out !== '';
		}, 20, 100);
		assert.ok(id > before);
		await until('the last of them', () => this.out.includes(`"id":"${id}"`)
			|| new RegExp(`\\b${id}\\b`).test(this.out.replace(/"meta":.*|\d+:\d+:\d+\S*/g, '')));	// a time is no id
		this.out = '';
	}

	lineWith(text)
	{
		return until(`a line with ${text}`, () =>
		{
			const line = this.lines.find((l) => l.includes(text));

			assert.ok(line || !this.exit, `it ended without ${text}: ${this.err}`);
			return line;
		});
	}

	async stop()
	{
		this.child.kill('SIGTERM');
		await within('the subscriber ends', this.exited);
		assert.deepEqual(this.exit, { status: 0, signal: null }, this.err);
		assert.doesNotMatch(this.err, /Sanitizer|runtime error/);
	}

	/** How it ends by itself: its status, its message. */
	async refused(status = 1)
	{
		await within('the subscriber ends', this.exited);
		assert.equal(this.exit.status, status, this.err);
		assert.doesNotMatch(this.err, /Sanitizer|runtime error/);
		return this.err;
	}
}

/** A row of its own. */
async function insert(name = 'x')
{
	await stage.write('INSERT INTO item (id, name, status) VALUES ($1, $2, \'new\')', [++id, name]);
	return id;
}

const here = (notifier = stage.notifier) => ({ url: `ws://127.0.0.1:${notifier.port}` });

describe('in a pipe', () =>
{
	test('events are JSON, one a line, as they are', async () =>
	{
		const tail = new Tail('shop.item', here());
		await tail.live();
		const row = await insert('line\nbreak "quoted" \u2028 ä');
		await stage.write("UPDATE item SET status = 'open' WHERE id = $1", [row]);
		await stage.write("INSERT INTO other VALUES (1, 'not asked for')");
		await stage.write('DELETE FROM item WHERE id = $1', [row]);
		await tail.lineWith('deleted');
		assert.deepEqual(tail.story, [`shop.item.created ${row}`, `shop.item.updated ${row}`,
			`shop.item.status_changed ${row}`, `shop.item.deleted ${row}`]);
		assert.equal(tail.events[0].data.name, 'line\nbreak "quoted" \u2028 ä');
		assert.equal(tail.err, '');
		await tail.stop();
	});

	test('one action, every feature, an address out of --listen', async () =>
	{
		const deleted = new Tail('shop.item.deleted', { listen: `*:${stage.notifier.port}` });
		const all = new Tail('*', { listen: `127.0.0.1:${stage.notifier.port}` });
		await all.live();
		await until('it is subscribed', async () =>
		{
			await stage.write('DELETE FROM item WHERE id = $1', [await insert()]);
			return deleted.out;
		});
		await stage.write("SELECT realtime.emit('chat', 'message', 'said', '{\"text\":\"hello\"}')");
		await all.lineWith('hello');
		assert.ok(deleted.story.every((line) => line.startsWith('shop.item.deleted')));
		assert.ok(all.story.some((line) => line.startsWith('chat.message.said')));
		await deleted.stop();
		await all.stop();
	});

	test('a large transaction', async () =>
	{
		const tail = new Tail('shop.other', here());
		await until('it is subscribed', async () =>
		{
			await stage.write("INSERT INTO other VALUES (2, 'y') ON CONFLICT (id) DO UPDATE SET name = other.name || 'y'");
			return tail.out;
		});
		tail.out = '';
		await stage.write("INSERT INTO other SELECT n, repeat('x', 3000) FROM generate_series(1000, 1400) n");
		await until('all of it', () => tail.lines.filter((line) => line.includes('"created"')).length >= 401);
		assert.deepEqual(tail.events.filter((e) => e.action === 'created').map((e) => Number(e.id)),
			Array.from({ length: 401 }, (_, i) => 1000 + i));
		await tail.stop();
	});

	test('a gap is a line of its own', async () =>
	{
		const tail = new Tail('shop.item', here());
		await tail.live();
		await stage.sql("BEGIN; SET LOCAL realtime.enabled = off; UPDATE item SET name = 'unseen'; COMMIT");
		await tail.lineWith('gap');
		const row = await insert();
		await tail.lineWith(`"id":"${row}"`);
		// The other worker may have delivered the insert before this test only now.
		assert.deepEqual(tail.story.slice(tail.story.indexOf('gap resync')),
			['gap resync', `shop.item.created ${row}`]);
		await tail.stop();
	});

	test('a reader that goes ends it', async () =>
	{
		const tail = new Tail('shop.item', here(),
			{ command: (argv) => ['bash', '-c', 'set -o pipefail; "$@" | head -n 1', 'x', ...argv] });
		await until('head has its line', async () =>
		{
			await insert();
			return tail.exit;
		}, 20, 100);
		assert.equal(tail.lines.length, 1);
		assert.deepEqual(tail.exit, { status: 0, signal: null }, tail.err);
	});
});

describe('over a loss', () =>
{
	for (const [name, end] of [['of the notifier, in order', (n) => n.stop()],
		['of the notifier, by kill -9', (n) => n.crash()]])
		test(`${name}: each event once`, async () =>
		{
			const port = await freePort();
			let notifier = await stage.start({ port });
			const tail = new Tail('shop.item', here(notifier));
			await tail.live();
			const expected = [];
			for (let round = 0; round < 3; round++)
			{
				expected.push(await insert(), await insert());
				await end(notifier);
				expected.push(await insert());
				notifier = await stage.start({ port });
				expected.push(await insert());
				await tail.lineWith(`"id":"${expected.at(-1)}"`);
			}
			assert.deepEqual(tail.events.map((e) => Number(e.id)), expected);
			assert.equal(tail.err.split('\n').filter((line) => line.includes('trying again')).length, 3, tail.err);
			await tail.stop();
			await notifier.stop();
		});
});

describe('refused', () =>
{
	test('by the notifier', async () =>
	{
		assert.match(await new Tail('shop.nothing', here()).refused(), /unknown_entity/);
		assert.match(await new Tail('shop.hidden', here()).refused(), /forbidden/);
		assert.match(await new Tail('shop.item', { url: `${here().url}/other` }).refused(), /HTTP status 404/);
	});

	test('before it starts', async () =>
	{
		assert.match(await new Tail('a.b.c.d', here()).refused(), /FEATURE\.ENTITY/);
		assert.match(await new Tail('shop.', here()).refused(), /FEATURE\.ENTITY/);
		assert.match(await new Tail('*', { url: 'ftp://x' }).refused(), /--url takes/);
		assert.match(await new Tail('*', { ...here(), 'token-file': '/nonexistent' }).refused(), /cannot open/);
		assert.match(await new Tail('*', { listen: `127.0.0.1:${await freePort()}` }).refused(), /cannot connect/);
	});
});

test('a token from a file; the next one when it expires', async () =>
{
	const file = path.join(stage.directory, 'token');
	const put = (claims) =>
	{
		writeFileSync(`${file}.new`, `${stage.token(claims)}\n`);
		renameSync(`${file}.new`, file);
	};
	const notifier = await stage.start({ flags: { 'anon-role': '', 'jwt-leeway': 0, 'auth-timeout': 1 } });

	assert.match(await new Tail('shop.item', here(notifier)).refused(), /unauthorized/);
	put({ seconds: -10 });
	assert.match(await new Tail('shop.item', { ...here(notifier), 'token-file': file }).refused(), /unauthorized/);

	put({ seconds: 3, sub: 'u7' });
	const expires = now() + 3;
	const tail = new Tail('shop.item', { ...here(notifier), 'token-file': file });
	await tail.live();
	put({ seconds: 3600, sub: 'u7' });
	const seen = [];
	await until('the first token is over', async () =>
	{
		seen.push(await insert());
		return now() > expires + 2;
	}, 20, 50);
	seen.push(await insert());
	await tail.lineWith(`"id":"${seen.at(-1)}"`);
	assert.deepEqual(tail.events.map((e) => Number(e.id)), seen);
	await tail.stop();

	put({ seconds: 2, sub: 'u7' });
	assert.match(await new Tail('shop.item', { ...here(notifier), 'token-file': file }).refused(), /expired/);
	await notifier.stop();
});

test('a token expires while the next one, read already, is under way', async () =>
{
	const file = path.join(stage.directory, 'token');
	const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => 'realtime.v1' });
	const tokens = [];
	let session = 0;
	const position = '1-0123456789abcdef/10:10:';

	writeFileSync(file, 'first\n');
	server.on('connection', (socket) =>
	{
		const number = ++session;
		const send = (frame) => socket.send(JSON.stringify(frame));
		const end = () =>
		{
			// Both tell it, as the notifier does.
			send({ op: 'error', code: 'expired', message: 'the token expired', close: 4003 });
			socket.close(4003, 'expired');
		};
		send({ op: 'welcome', session: String(number), protocol: 1, epoch: '1-0123456789abcdef', heartbeat: 25 });
		socket.on('message', (data) =>
		{
			const message = JSON.parse(data);
			if (message.op === 'auth')
			{
				tokens.push(`${number} ${message.token}`);
				if (number === 1 && message.token === 'second')
					end();			// it came too late
				else
					send({ op: 'authenticated', ref: message.ref, role: 'web_user', expires: null });
				return;
			}
			send({ op: 'subscribed', ref: message.ref, view: '1', position, feature: 'shop', entity: 'item' });
			if (number > 1)
			{
				end();				// and no other token is there
				return;
			}
			writeFileSync(file, 'second\n');
			send({ op: 'expiring', expires: now() + 5 });
		});
	});
	await new Promise((resolve) => server.on('listening', resolve));
	stage.closers.push(() => server.close());
	const tail = new Tail('shop.item', { listen: `127.0.0.1:${server.address().port}`, 'token-file': file });
	const { status } = await within('its end', tail.exited);
	assert.deepEqual(tokens, ['1 first', '1 second', '2 second']);
	assert.match(tail.err, /expired/);
	assert.notEqual(status, 0);
});

test('TLS, by TCP and by a unix socket', async () =>
{
	const socket = path.join(stage.directory, 's');
	const key = path.join(stage.directory, 'key.pem');
	const certificate = path.join(stage.directory, 'certificate.pem');
	const port = await freePort();

	execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
		'-keyout', key, '-out', certificate, '-days', '2', '-subj', '/CN=localhost',
		'-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'], { stdio: 'ignore' });
	const notifier = await stage.start({ port, isReady: false, flags: { listen: `unix:${socket}, localhost:${port}`,
		'tls-certificate': certificate, 'tls-key': key } });
	await until('it is ready', () => notifier.log.includes('"ready"'));

	const bySocket = new Tail('shop.item',
		{ listen: `unix:${socket}`, 'tls-certificate': certificate, 'tls-key': key },
		{ environment: { SSL_CERT_FILE: certificate } });
	await bySocket.live();
	await bySocket.stop();

	const trusted = new Tail('shop.item', { url: `wss://localhost:${port}` },
		{ environment: { SSL_CERT_FILE: certificate } });
	await trusted.live();
	await trusted.stop();

	assert.match(await new Tail('shop.item', { url: `wss://localhost:${port}` }).refused(), /cannot connect/);
	await notifier.stop();

	const plain = await stage.start({ flags: { listen: `unix:${socket}` }, isReady: false });
	await until('it is ready', () => plain.log.includes('"ready"'));
	const tail = new Tail('shop.item', { listen: `unix:${socket}` });
	await tail.live();
	await tail.stop();
	await plain.stop();
});

describe('on a terminal', () =>
{
	// script(1) gives it one
	const onTerminal = (argv) => ['script', '-q', '-e', '-c',
		argv.map((a) => `'${a.replaceAll("'", "'\\''")}'`).join(' '), '/dev/null'];

	for (const isColoured of [true, false])
		test(`lines for people, ${isColoured ? 'coloured' : 'NO_COLOR'}`, async () =>
		{
			const tail = new Tail('shop.item', here(),
				{ command: onTerminal, environment: isColoured ? {} : { NO_COLOR: '1' } });
			await tail.live();
			const row = await insert('\u001b]0;title\u0007\u009b31m \u007f ä');
			await stage.write("UPDATE item SET status = 'open' WHERE id = $1", [row]);
			await tail.lineWith('status_changed');
			const colour = /\u001b\[[0-9;]*m/g;
			assert.equal(colour.test(tail.out), isColoured, JSON.stringify(tail.out));
			const text = tail.out.replace(colour, '').replaceAll('\r', '');
			// eslint-disable-next-line no-control-regex
			assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
			assert.match(text, new RegExp(`^\\d\\d:\\d\\d:\\d\\d\\.\\d{3} shop\\.item created ${row} .*ä`, 'm'));
			assert.match(text, new RegExp(`shop\\.item updated ${row} status "new" -> "open"$`, 'm'));
			tail.child.kill('SIGTERM');
			await within('it ends', tail.exited);
		});
});

test('the program says what it takes', () =>
{
	const run = (...args) => execFileSync(process.env.RT_NOTIFIER, args, { encoding: 'utf8' });

	assert.match(run('--help'), /--tail FEATURE\.ENTITY/);
	assert.match(run('--version'), /^realtime-notifier \d/);
});
