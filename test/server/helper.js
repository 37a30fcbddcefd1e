// SPDX-License-Identifier: PostgreSQL
//
// helper.js
//	Starts the test double (double.c) and speaks to it: bytes, frames, messages. Waits are on what
//	happens, with one deadline for all that fails late.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import net from 'node:net';
import tls from 'node:tls';
import path from 'node:path';

const PROGRAM = process.env.SERVER_DOUBLE ?? path.resolve(import.meta.dirname ?? '.', 'double');
const DEADLINE_MS = 30000;
const running = new Set();

process.on('exit', () => { for (const child of running) child.kill('SIGKILL'); });

// Rejects when a promise takes too long, saying what was waited for.
export function within(what, promise, ms = DEADLINE_MS) {
	let timer;
	const late = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
	});
	return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Asks again until the answer is true.
export async function until(what, ask, ms = DEADLINE_MS) {
	const end = Date.now() + ms;
	for (;;) {
		const answer = await ask();
		if (answer) return answer;
		if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`);
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}

// A running double. flags are the daemon's; prefix is a command to start it with.
export class Server {
	static async start(flags = [], { prefix = [], env = {} } = {}) {
		const server = new Server();
		const argv = [...prefix, PROGRAM, '--listen', '127.0.0.1:0', '--anon-role', 'web', ...flags];
		server.log = '';
		server.process = spawn(argv[0], argv.slice(1),
			{ stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } });
		server.exited = once(server.process, 'exit');
		running.add(server.process);
		server.process.on('exit', () => running.delete(server.process));
		// a test that failed may leave it behind, and must not wait for it
		server.process.unref();
		server.process.stderr.unref();
		server.process.stderr.on('data', (data) => { server.log += data; });
		await until('the server listens', () => {
			if (server.process.exitCode !== null) throw new Error(`the server ended:\n${server.log}`);
			const found = /listening address=127\.0\.0\.1:(\d+)/.exec(server.log);
			if (found) server.port = Number(found[1]);
			return found;
		});
		return server;
	}

	get url() {
		return `http://127.0.0.1:${this.port}`;
	}

	// Ends it as an operator does. Its exit status also says whether a sanitizer complained.
	async stop() {
		this.process.kill('SIGTERM');
		const [code, signal] = await within('the server ends', this.exited, 60000);
		if (code !== 0) throw new Error(`the server ended with ${code ?? signal}:\n${this.log.slice(-8000)}`);
	}
}

// A connection that sends and receives bytes, and reads HTTP and frames out of them.
export class Raw {
	static async open(server, options = {}) {
		const raw = new Raw();
		raw.data = Buffer.alloc(0);
		raw.chunks = [];
		raw.ended = false;
		raw.waiting = [];
		raw.socket = options.path ? net.connect(options.path)
			: options.tls ? tls.connect({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false, ...options.tls })
				: net.connect({ port: server.port, host: '127.0.0.1', ...options.connect });
		raw.socket.unref();
		raw.socket.on('error', (error) => { raw.error = error; });
		raw.socket.on('data', (data) => {
			raw.chunks.push(data);
			raw.wake();
		});
		raw.socket.on('end', () => { raw.ended = true; raw.wake(); });
		raw.socket.on('close', () => { raw.ended = true; raw.closed = true; raw.wake(); });
		await within('connect', once(raw.socket, options.tls ? 'secureConnect' : 'connect'));
		return raw;
	}

	wake() {
		for (const resolve of this.waiting.splice(0)) resolve();
	}

	async more(what) {
		if (this.chunks.length === 0) {
			if (this.ended) throw new Error(`${what}: the connection ended`);
			await within(what, new Promise((resolve) => this.waiting.push(resolve)));
			if (this.chunks.length === 0 && this.ended) throw new Error(`${what}: the connection ended`);
		}
		this.data = Buffer.concat([this.data, ...this.chunks.splice(0)]);
	}

	write(bytes) {
		this.socket.write(bytes);
	}

	async take(n, what = `${n} bytes`) {
		while (this.data.length < n) await this.more(what);
		const bytes = this.data.subarray(0, n);
		this.data = this.data.subarray(n);
		return bytes;
	}

	async takeUntil(mark) {
		let at;
		while ((at = this.data.indexOf(mark)) < 0) await this.more(JSON.stringify(mark));
		return this.take(at + mark.length);
	}

	// Everything until the end.
	async rest() {
		for (;;) {
			try {
				await this.more('the end');
			} catch (error) {
				if (/the connection ended/.test(error.message)) break;
				throw error;
			}
		}
		const bytes = this.data;
		this.data = Buffer.alloc(0);
		return bytes;
	}

	// Whether the connection ends, whatever comes before.
	async end() {
		await this.rest();
	}

	// One HTTP answer: status, headers, body.
	async answer({ isHead = false } = {}) {
		const head = (await this.takeUntil('\r\n\r\n')).toString('latin1');
		const [line, ...lines] = head.trimEnd().split('\r\n');
		const headers = Object.fromEntries(lines.map((l) => {
			const colon = l.indexOf(':');
			return [l.slice(0, colon).toLowerCase(), l.slice(colon + 1).trim()];
		}));
		const status = Number(line.split(' ')[1]);
		let body = '';
		if (headers['content-length'] !== undefined && !isHead)
			body = (await this.take(Number(headers['content-length']))).toString();
		return { status, headers, body, json: () => JSON.parse(body) };
	}

	// One frame of the server's: checked to be unmasked.
	async frame() {
		const [first, second] = await this.take(2, 'a frame');
		if (second & 0x80) throw new Error('the server masked a frame');
		let len = second & 0x7f;
		if (len === 126) len = (await this.take(2)).readUInt16BE();
		else if (len === 127) len = Number((await this.take(8)).readBigUInt64BE());
		const payload = Buffer.from(await this.take(len));
		return { fin: (first & 0x80) !== 0, rsv: first & 0x70, opcode: first & 0x0f, payload,
			text: payload.toString(), code: payload.length >= 2 ? payload.readUInt16BE() : undefined };
	}

	// The next text message.
	async message() {
		for (;;) {
			const frame = await this.frame();
			if (frame.opcode === 1) return frame.text;
			if (frame.opcode === 8) throw new Error(`closed with ${frame.code} ${frame.payload.subarray(2)}`);
		}
	}

	// The close frame and the end of the connection; messages before are left out.
	async close() {
		for (;;) {
			const frame = await this.frame();
			if (frame.opcode !== 8) continue;
			this.write(frameOf(8, frame.payload));
			await this.end();
			return { code: frame.code, reason: frame.payload.subarray(2).toString() };
		}
	}

	send(text) {
		this.write(frameOf(1, Buffer.from(text)));
	}

	destroy() {
		this.socket.destroy();
	}
}

// A client's frame. Options: fin, rsv, masked, and len to lie about.
export function frameOf(opcode, payload = Buffer.alloc(0), { fin = true, rsv = 0, masked = true, form } = {}) {
	payload = Buffer.from(payload);
	const len = payload.length;
	const size = form ?? (len < 126 ? 7 : len < 65536 ? 16 : 64);
	const head = Buffer.alloc(size === 7 ? 2 : size === 16 ? 4 : 10);
	head[0] = (fin ? 0x80 : 0) | rsv | opcode;
	head[1] = (masked ? 0x80 : 0) | (size === 7 ? len : size === 16 ? 126 : 127);
	if (size === 16) head.writeUInt16BE(len, 2);
	if (size === 64) head.writeBigUInt64BE(BigInt(len), 2);
	if (!masked) return Buffer.concat([head, payload]);
	const mask = Buffer.from([0x12, 0xa5, 0x7f, 0xc3]);
	for (let i = 0; i < len; i++) payload[i] ^= mask[i & 3];
	return Buffer.concat([head, mask, payload]);
}

export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

// The text of a request; headers of value undefined are left out.
export function request(method, target, headers = {}, body = '') {
	const all = { Host: 'test.example', ...(body ? { 'Content-Length': Buffer.byteLength(body) } : {}), ...headers };
	const lines = Object.entries(all).filter(([, value]) => value !== undefined)
		.flatMap(([name, value]) => [].concat(value).map((v) => `${name}: ${v}`));
	return `${method} ${target} HTTP/1.1\r\n${lines.map((l) => `${l}\r\n`).join('')}\r\n${body}`;
}

export function upgrade(headers = {}) {
	return request('GET', '/v1/ws', { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': KEY,
		'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Protocol': 'realtime.v1', ...headers });
}

// A connection upgraded to WebSocket, its welcome read.
export async function websocket(server, { headers, ...options } = {}) {
	const raw = await Raw.open(server, options);
	raw.write(upgrade(headers));
	const answer = await raw.answer();
	if (answer.status !== 101) throw new Error(`refused with ${answer.status} ${answer.body}`);
	const accept = createHash('sha1').update(KEY + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
	if (answer.headers['sec-websocket-accept'] !== accept) throw new Error('bad Sec-WebSocket-Accept');
	raw.upgraded = answer;
	raw.welcome = JSON.parse(await raw.message());
	return raw;
}

// What the double makes for {"op":"send"}: frame n of so many bytes.
export function pattern(n, size) {
	const start = `{"op":"commit","n":${n},"x":"`;
	const bytes = Buffer.alloc(size);
	bytes.write(start);
	for (let i = start.length; i < size - 2; i++) bytes[i] = 97 + (n * 7 + i) % 26;
	bytes.write('"}', size - 2);
	return bytes.toString('latin1');
}

// The double's figures, asked over a connection.
export async function stats(raw) {
	raw.send('{"op":"stats"}');
	for (;;) {
		const message = JSON.parse(await raw.message());
		if (message.op === 'stats') return message;
	}
}
