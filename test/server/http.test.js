// SPDX-License-Identifier: PostgreSQL
//
// http.test.js
//	Requests and answers: paths, methods, errors, what must not be accepted, static files, foreign pages.

import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Server, Raw, request, until, websocket, within } from './helper.js';

let server;
let directory;

before(async () => {
	directory = fs.mkdtempSync(path.join(os.tmpdir(), 'static.'));
	const files = path.join(directory, 'files');
	fs.mkdirSync(path.join(files, 'sub'), { recursive: true });
	fs.mkdirSync(path.join(files, '.git'));
	fs.writeFileSync(path.join(files, 'index.html'), '<h1>hello</h1>');
	fs.writeFileSync(path.join(files, 'sub', 'index.html'), 'sub');
	fs.writeFileSync(path.join(files, 'app.js'), 'export {};');
	fs.writeFileSync(path.join(files, 'a b.txt'), 'space');
	fs.writeFileSync(path.join(files, 'large.bin'), Buffer.alloc(5000000, 'abcdefghijklm'));
	fs.writeFileSync(path.join(files, 'empty.txt'), '');
	fs.writeFileSync(path.join(files, '.secret'), 'secret');
	fs.writeFileSync(path.join(files, '.git', 'config'), 'secret');
	fs.writeFileSync(path.join(directory, 'outside'), 'secret');
	fs.symlinkSync('../outside', path.join(files, 'link'));
	fs.symlinkSync('app.js', path.join(files, 'inner'));
	server = await Server.start(['--static', files, '--max-message', '10kB', '--handshake-timeout', '2s']);
});
after(async () => {
	await server.stop();
	fs.rmSync(directory, { recursive: true });
});

// Sends bytes over a connection of their own and gives the answer.
async function ask(bytes, own = server, options) {
	const raw = await Raw.open(own, options);
	raw.write(bytes);
	const answer = await raw.answer({ isHead: bytes.startsWith('HEAD') });
	answer.raw = raw;
	raw.destroy();
	return answer;
}

test('health, readiness, metrics', async () => {
	assert.equal((await ask(request('GET', '/healthz'))).status, 200);
	const ready = await ask(request('GET', '/readyz'));
	assert.equal(ready.status, 503);
	assert.equal(ready.json().error.code, 'unavailable');
	const metrics = await ask(request('GET', '/metrics'));
	assert.match(metrics.headers['content-type'], /^text\/plain; version=0\.0\.4/);
	assert.match(metrics.body, /^realtime_frames_out_total \d+$/m);
});

test('metrics are not for others', async () => {
	const own = await Server.start(['--trust-forwarded-for']);
	const from = (address, headers = {}) => ask(request('GET', '/metrics', { 'X-Forwarded-For': address, ...headers }), own);
	assert.equal((await from('192.0.2.1')).status, 401);
	assert.equal((await from('127.0.0.1, 192.0.2.1')).status, 401, 'the nearest proxy counts');
	assert.equal((await from('192.0.2.1', { Authorization: 'Bearer web' })).status, 403);
	assert.equal((await from('192.0.2.1', { Authorization: 'Bearer admin' })).status, 200);
	assert.equal((await from('127.0.0.1')).status, 200);
	assert.equal((await from('not an address')).status, 401);
	const raw = await websocket(own, { headers: { 'X-Forwarded-For': '10.9.8.7, 2001:db8::5' } });
	assert.equal(raw.welcome.address, '2001:db8::5');
	raw.destroy();
	await own.stop();
	assert.equal((await ask(request('GET', '/metrics', { 'X-Forwarded-For': '127.0.0.1' }))).status, 401,
		'through a proxy on this machine anybody may come');
});

test('several requests over a connection', async () => {
	const raw = await Raw.open(server);
	raw.write(request('GET', '/healthz') + request('HEAD', '/healthz') + request('GET', '/app.js') + request('POST', '/v1/poll', {}, 'no'));
	assert.equal((await raw.answer()).body, 'ok\n');
	assert.equal((await raw.answer({ isHead: true })).headers['content-length'], '3');
	assert.equal((await raw.answer()).body, 'export {};');
	assert.equal((await raw.answer()).status, 400);
	raw.write(request('GET', '/healthz', { Connection: 'close' }));
	assert.equal((await raw.answer()).headers.connection, 'close');
	await raw.end();
});

test('HTTP/1.0', async () => {
	const raw = await Raw.open(server);
	raw.write('GET /healthz HTTP/1.0\r\n\r\n');
	assert.equal((await raw.answer()).status, 200);
	await raw.end();
});

test('a request in single bytes', async () => {
	const raw = await Raw.open(server);
	raw.socket.setNoDelay(true);
	for (const byte of request('POST', '/v1/poll', {}, 'x')) {
		raw.write(byte);
		await new Promise((resolve) => setImmediate(resolve));
	}
	assert.equal((await raw.answer()).status, 400);
	raw.destroy();
});

test('what is refused, and its connection with it', async (t) => {
	const bad = {
		'a bare line feed': 'GET /healthz HTTP/1.1\nHost: a\r\n\r\n',
		'a bare line feed in the headers': 'GET /healthz HTTP/1.1\r\nHost: a\nX: y\r\n\r\n',
		'a bare carriage return': 'GET /healthz HTTP/1.1\r\nHost: a\rX: y\r\n\r\n',
		'a space before the colon': 'GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n',
		'a folded line': 'GET /healthz HTTP/1.1\r\nHost: a\r\n b\r\n\r\n',
		'no Host': 'GET /healthz HTTP/1.1\r\n\r\n',
		'two Hosts': request('GET', '/healthz', { Host: ['a', 'b'] }),
		'two lengths': request('POST', '/v1/poll', { 'Content-Length': ['1', '2'] }),
		'two equal lengths': request('POST', '/v1/poll', { 'Content-Length': ['1', '1'] }),
		'a list of lengths': request('POST', '/v1/poll', { 'Content-Length': '1, 1' }),
		'a signed length': request('POST', '/v1/poll', { 'Content-Length': '+1' }),
		'a hexadecimal length': request('POST', '/v1/poll', { 'Content-Length': '0x1' }),
		'an empty length': request('POST', '/v1/poll', { 'Content-Length': '' }),
		'chunks': request('POST', '/v1/poll', { 'Transfer-Encoding': 'chunked' }),
		'chunks and a length': request('POST', '/v1/poll', { 'Transfer-Encoding': 'chunked', 'Content-Length': '5' }),
		'an obscured coding': request('POST', '/v1/poll', { 'Transfer-Encoding': 'xchunked' }),
		'a zero byte': 'GET /healthz HTTP/1.1\r\nHost: a\0b\r\n\r\n',
		'a bad method': 'G(T /healthz HTTP/1.1\r\nHost: a\r\n\r\n',
		'HTTP/2': 'GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n',
		'HTTP/0.9': 'GET /healthz\r\n\r\n',
		'two spaces': 'GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n',
		'a relative target': 'GET healthz HTTP/1.1\r\nHost: a\r\n\r\n',
		'too many headers': request('GET', '/healthz', Object.fromEntries(Array.from({ length: 80 }, (_, i) => [`X-${i}`, 'y']))),
		'only an empty line': '\r\n\r\n\r\n',
		'TLS': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
	};
	for (const [name, bytes] of Object.entries(bad))
		await t.test(name, async () => {
			const raw = await Raw.open(server);
			raw.write(Buffer.from(bytes + 'GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n', 'latin1'));
			const answer = await raw.answer();
			assert.equal(answer.status, 400);
			assert.equal(answer.json().error.code, 'bad_request');
			assert.equal((await raw.rest()).length, 0, 'nothing more is answered');
		});
	await t.test('an endless head', async () => {
		const raw = await Raw.open(server);
		raw.write(`GET /healthz HTTP/1.1\r\nX: ${'y'.repeat(50000)}`);
		assert.equal((await raw.answer()).status, 413);
		await raw.end();
	});
	await t.test('a large body', async () => {
		const raw = await Raw.open(server);
		raw.write(request('POST', '/v1/poll', {}, 'x'.repeat(10241)));
		const answer = await raw.answer();
		assert.equal(answer.status, 413);
		assert.equal(answer.json().error.code, 'too_large');
		await raw.end();
	});
	await t.test('an enormous length', async () => {
		const raw = await Raw.open(server);
		raw.write(request('POST', '/v1/poll', { 'Content-Length': '99999999999999999999' }));
		assert.equal((await raw.answer()).status, 400);
		await raw.end();
	});
});

test('a body that is announced first', async () => {
	const raw = await Raw.open(server);
	raw.write(request('POST', '/v1/poll', { Expect: '100-continue', 'Content-Length': '2' }));
	assert.equal((await raw.takeUntil('\r\n\r\n')).toString(), 'HTTP/1.1 100 Continue\r\n\r\n');
	raw.write('{}');
	assert.equal((await raw.answer()).status, 400);
	raw.destroy();
});

test('paths and methods', async () => {
	assert.equal((await ask(request('GET', '/nothing'))).status, 404);
	assert.equal((await ask(request('DELETE', '/v1/events'))).status, 405);
	assert.equal((await ask(request('DELETE', '/v1/events'))).headers.allow, 'GET, POST, OPTIONS');
	assert.equal((await ask(request('POST', '/healthz'))).status, 405);
	assert.equal((await ask(request('GET', 'http://elsewhere.example/healthz'))).status, 200);
	assert.equal((await ask(request('OPTIONS', '*'))).status, 405);
});

test('static files', async (t) => {
	await t.test('index, types, headers', async () => {
		const index = await ask(request('GET', '/'));
		assert.equal(index.body, '<h1>hello</h1>');
		assert.equal(index.headers['content-type'], 'text/html; charset=utf-8');
		assert.equal(index.headers['x-content-type-options'], 'nosniff');
		assert.equal((await ask(request('GET', '/app.js'))).headers['content-type'], 'text/javascript; charset=utf-8');
		assert.equal((await ask(request('GET', '/a%20b.txt'))).body, 'space');
		assert.equal((await ask(request('GET', '/empty.txt'))).body, '');
		assert.equal((await ask(request('GET', '/inner'))).body, 'export {};');
		assert.equal((await ask(request('HEAD', '/'))).headers['content-length'], '14');
		assert.equal((await ask(request('GET', '/sub/?x=1'))).body, 'sub');
	});
	await t.test('a directory without its slash', async () => {
		const answer = await ask(request('GET', '/sub'));
		assert.equal(answer.status, 301);
		assert.equal(answer.headers.location, '/sub/');
		assert.equal((await ask(request('GET', '//sub'))).headers.location, '/sub/', 'no other host');
	});
	await t.test('unchanged', async () => {
		const { etag } = (await ask(request('GET', '/'))).headers;
		assert.equal((await ask(request('GET', '/', { 'If-None-Match': etag }))).status, 304);
		assert.equal((await ask(request('GET', '/', { 'If-None-Match': `"x", ${etag}` }))).status, 304);
		assert.equal((await ask(request('GET', '/', { 'If-None-Match': '"x"' }))).status, 200);
	});
	for (const target of ['/../outside', '/sub/../../outside', '/%2e%2e/outside', '/..%2foutside', '/sub/%2e%2e/%2e%2e/outside',
		'/.secret', '/%2esecret', '/.git/config', '/link', '/app.js%00.txt', '/app.js/', '/sub/.', '/%', '/%zz', '/..\\outside'])
		await t.test(`not ${target}`, async () => {
			const answer = await ask(request('GET', target));
			assert.equal(answer.status, 404);
			assert.ok(!answer.body.includes('secret'));
		});
	await t.test('5 MB to a slow reader, and what was asked behind it', async () => {
		const raw = await Raw.open(server);
		raw.socket.pause();
		raw.write(request('GET', '/large.bin') + request('GET', '/healthz'));
		raw.socket.resume();
		const answer = await raw.answer();
		assert.equal(answer.body.length, 5000000);
		assert.ok(answer.body === Buffer.alloc(5000000, 'abcdefghijklm').toString());
		assert.equal((await raw.answer()).body, 'ok\n');
		raw.destroy();
	});
});

test('foreign pages', async () => {
	const own = await Server.start(['--allowed-origins', 'https://shop.example']);
	const preflight = await ask(request('OPTIONS', '/v1/events', { Origin: 'https://shop.example',
		'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'authorization,last-event-id' }), own);
	assert.equal(preflight.status, 204);
	assert.equal(preflight.headers['access-control-allow-origin'], 'https://shop.example');
	assert.equal(preflight.headers.vary, 'Origin');
	assert.match(preflight.headers['access-control-allow-headers'], /Authorization, Content-Type, Last-Event-ID/);
	const refused = await ask(request('OPTIONS', '/v1/poll', { Origin: 'https://evil.example' }), own);
	assert.equal(refused.status, 403);
	assert.equal(refused.headers['access-control-allow-origin'], undefined);
	const poll = await ask(request('POST', '/v1/poll', { Origin: 'https://shop.example' },
		'{"subscribe":[{"feature":"none"}],"timeout":5}'), own);
	assert.equal(poll.status, 200);
	assert.equal(poll.headers['access-control-allow-origin'], 'https://shop.example');
	const error = await ask(request('POST', '/v1/poll', { Origin: 'https://shop.example', Authorization: 'Bearer bad' },
		'{"subscribe":[]}'), own);
	assert.equal(error.status, 401);
	assert.equal(error.headers['access-control-allow-origin'], 'https://shop.example', 'the page may read the refusal');
	assert.equal((await ask(request('POST', '/v1/events', { Origin: 'https://evil.example' }, '{"subscribe":[]}'), own)).status, 403);
	await own.stop();
});

test('requests that never end', async () => {
	const raws = [await Raw.open(server), await Raw.open(server), await Raw.open(server)];
	raws[1].write('GET /healthz HTTP/1.1\r\nX-Slow: ');
	raws[2].write(request('POST', '/v1/poll', { 'Content-Length': '5' }));
	const drip = setInterval(() => raws[1].write('x'), 100);
	const started = Date.now();
	await Promise.all(raws.map((raw) => raw.end()));
	clearInterval(drip);
	assert.ok(Date.now() - started < 6000);
});

test('a directory that is not there ends the start', async () => {
	await assert.rejects(Server.start(['--static', path.join(directory, 'nowhere')]), /static_unreadable/);
});

test('unix socket', async () => {
	const socket = path.join(directory, 'socket');
	const own = await Server.start(['--listen', `127.0.0.1:0, unix:${socket}`]);
	await until('it listens', () => own.log.includes(`listening address=unix:${socket}`));
	assert.equal((await ask(request('GET', '/metrics'), own, { path: socket })).status, 200);
	const raw = await websocket(own, { path: socket });
	assert.equal(raw.welcome.address, 'unix');
	raw.send('{"op":"send","count":1,"size":3000000}');
	assert.equal((await raw.message()).length, 3000000);
	raw.destroy();
	own.process.kill('SIGKILL');
	await within('it ends', own.exited);
	assert.ok(fs.existsSync(socket));
	const next = await Server.start(['--listen', `127.0.0.1:0, unix:${socket}`]);
	await until('it takes the stale socket over', () => next.log.includes(`listening address=unix:${socket}`));
	await assert.rejects(Server.start(['--listen', `unix:${socket}`]), /the server ended/, 'a live one it does not');
	await next.stop();
	assert.ok(!fs.existsSync(socket));
});
