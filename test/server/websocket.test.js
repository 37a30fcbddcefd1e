// SPDX-License-Identifier: PostgreSQL
//
// websocket.test.js
//	RFC 6455 as the server must speak it, frame by frame: what is accepted, with which code the rest is
//	closed, and that written frames stay whole whatever happens between them.

import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { Server, Raw, frameOf, websocket, upgrade, request, pattern, stats, until, within, KEY } from './helper.js';

let server;
before(async () => { server = await Server.start(['--max-message', '64kB', '--max-messages-per-minute', '1000000']); });
after(async () => { await server.stop(); });

// Sends bytes and expects to be closed with a code.
async function closes(name, bytes, code) {
	await test(name, async () => {
		const raw = await websocket(server);
		raw.write(bytes);
		assert.equal((await raw.close()).code, code);
	});
}

// Sends bytes and expects a text back.
async function echoes(name, bytes, text) {
	await test(name, async () => {
		const raw = await websocket(server);
		raw.write(bytes);
		assert.equal(await raw.message(), text);
		raw.destroy();
	});
}

const utf8 = Buffer.from('κόσμε \u{1F600}');

test('conformance', async () => {
	await echoes('a text message', frameOf(1, 'hello'), 'hello');
	await echoes('an empty message', frameOf(1), '');
	for (const size of [125, 126, 127, 65535, 65536])
		await echoes(`${size} bytes`, frameOf(1, 'x'.repeat(size)), 'x'.repeat(size));
	await echoes('all of it in one byte pieces is the same', Buffer.concat([frameOf(1, utf8)]), utf8.toString());
	await echoes('three fragments', Buffer.concat([frameOf(1, 'a', { fin: false }), frameOf(0, 'b', { fin: false }),
		frameOf(0, 'c')]), 'abc');
	await echoes('empty fragments', Buffer.concat([frameOf(1, '', { fin: false }), frameOf(0, '', { fin: false }),
		frameOf(0, '')]), '');
	await echoes('a character cut between fragments', Buffer.concat([frameOf(1, utf8.subarray(0, 3), { fin: false }),
		frameOf(0, utf8.subarray(3, 12), { fin: false }), frameOf(0, utf8.subarray(12))]), utf8.toString());
	await echoes('a pong nobody asked for', Buffer.concat([frameOf(10, 'x'), frameOf(1, 'y')]), 'y');
	await echoes('a message of exactly the limit in two fragments',
		Buffer.concat([frameOf(1, 'x'.repeat(65000), { fin: false }), frameOf(0, 'y'.repeat(536))]),
		'x'.repeat(65000) + 'y'.repeat(536));

	await closes('a message above the limit', frameOf(1, 'x'.repeat(65537)), 1009);
	await closes('fragments above the limit', Buffer.concat([frameOf(1, 'x'.repeat(65000), { fin: false }),
		frameOf(0, 'y'.repeat(537))]), 1009);
	await closes('an announced length of 2^62', Buffer.from([0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]), 1009);
	await closes('a length with its highest bit set', Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]), 1002);
	await closes('a short length in the 16 bit form', frameOf(1, 'x', { form: 16 }), 1002);
	await closes('a short length in the 64 bit form', frameOf(1, 'x'.repeat(200), { form: 64 }), 1002);
	await closes('a binary message', frameOf(2, 'x'), 1003);
	await closes('a frame that is not masked', frameOf(1, 'x', { masked: false }), 1002);
	for (const rsv of [0x10, 0x20, 0x40])
		await closes(`reserved bit ${rsv}`, frameOf(1, 'x', { rsv }), 1002);
	for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
		await closes(`reserved opcode ${opcode}`, frameOf(opcode, 'x'), 1002);
	await closes('a fragmented ping', frameOf(9, 'x', { fin: false }), 1002);
	await closes('a ping of 126 bytes', frameOf(9, 'x'.repeat(126)), 1002);
	await closes('a continuation of nothing', frameOf(0, 'x'), 1002);
	await closes('a message inside a message', Buffer.concat([frameOf(1, 'a', { fin: false }), frameOf(1, 'b')]), 1002);
	for (const [name, bytes] of Object.entries({
		'a lone continuation byte': [0x80], 'an overlong form': [0xc0, 0xaf], 'a surrogate': [0xed, 0xa0, 0x80],
		'above U+10FFFF': [0xf4, 0x90, 0x80, 0x80], 'a cut character': [0xce], 'byte 0xff': [0x61, 0xff],
	}))
		await closes(`invalid UTF-8: ${name}`, frameOf(1, Buffer.from(bytes)), 1007);
	await closes('invalid UTF-8 in the second fragment, before the last came',
		Buffer.concat([frameOf(1, 'abc', { fin: false }), frameOf(0, Buffer.from([0xff]), { fin: false })]), 1007);
	await closes('a surrogate cut between fragments', Buffer.concat([frameOf(1, Buffer.from([0xed]), { fin: false }),
		frameOf(0, Buffer.from([0xa0, 0x80]))]), 1007);

	const code = (n, reason = '') => Buffer.concat([Buffer.from([n >> 8, n & 255]), Buffer.from(reason)]);
	for (const n of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 3000, 4999])
		await closes(`close ${n} comes back`, frameOf(8, code(n, 'bye')), n);
	for (const n of [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
		await closes(`close code ${n} is not allowed`, frameOf(8, code(n)), 1002);
	await closes('a close frame of one byte', frameOf(8, 'x'), 1002);
	await closes('a close reason that is not UTF-8', frameOf(8, Buffer.from([0x03, 0xe8, 0xff])), 1007);
	await closes('a close frame without a code', frameOf(8), undefined);
	await closes('messages after a close frame are not read', Buffer.concat([frameOf(8, code(1000)), frameOf(2, 'x')]), 1000);
});

test('a message byte by byte', async () => {
	const raw = await websocket(server);
	raw.socket.setNoDelay(true);
	for (const byte of Buffer.concat([frameOf(1, utf8.subarray(0, 4), { fin: false }), frameOf(9, 'p'), frameOf(0, utf8.subarray(4))])) {
		raw.write(Buffer.from([byte]));
		await new Promise((resolve) => setImmediate(resolve));
	}
	const pong = await raw.frame();
	assert.deepEqual([pong.opcode, pong.text], [10, 'p']);
	assert.equal(await raw.message(), utf8.toString());
	raw.destroy();
});

test('control frames between fragments', async () => {
	const raw = await websocket(server);
	raw.write(Buffer.concat([frameOf(1, 'a', { fin: false }), frameOf(9, '1'), frameOf(0, 'b', { fin: false }),
		frameOf(9, '2'), frameOf(10, '3'), frameOf(0, 'c')]));
	const seen = [];
	for (let i = 0; i < 3; i++) {
		const frame = await raw.frame();
		seen.push([frame.opcode, frame.text]);
	}
	assert.deepEqual(seen, [[10, '1'], [10, '2'], [1, 'abc']]);
	raw.destroy();
});

test('pings of 0 and 125 bytes come back', async () => {
	const raw = await websocket(server);
	raw.write(Buffer.concat([frameOf(9), frameOf(9, 'x'.repeat(125))]));
	assert.equal((await raw.frame()).text, '');
	assert.equal((await raw.frame()).text, 'x'.repeat(125));
	raw.destroy();
});

test('messages right behind the handshake', async () => {
	const raw = await Raw.open(server);
	raw.write(Buffer.concat([Buffer.from(upgrade()), frameOf(1, 'early'), frameOf(9, 'p')]));
	assert.equal((await raw.answer()).status, 101);
	assert.equal(JSON.parse(await raw.message()).op, 'welcome');
	const seen = [await raw.frame(), await raw.frame()].map((f) => f.text).sort();
	assert.deepEqual(seen, ['early', 'p']);
	raw.destroy();
});

test('the handshake', async (t) => {
	const status = async (headers, method) => {
		const raw = await Raw.open(server);
		raw.write(method ? upgrade(headers).replace('GET', method) : upgrade(headers));
		const answer = await raw.answer();
		raw.destroy();
		return answer;
	};
	await t.test('answers our subprotocol', async () => {
		assert.equal((await status({})).headers['sec-websocket-protocol'], 'realtime.v1');
	});
	await t.test('accepts none', async () => {
		const answer = await status({ 'Sec-WebSocket-Protocol': undefined });
		assert.equal(answer.status, 101);
		assert.equal(answer.headers['sec-websocket-protocol'], undefined);
	});
	await t.test('refuses others', async () => {
		assert.equal((await status({ 'Sec-WebSocket-Protocol': 'chat, mqtt' })).status, 400);
	});
	await t.test('finds ours among several headers', async () => {
		assert.equal((await status({ 'Sec-WebSocket-Protocol': ['chat', 'realtime.v2, realtime.v1'] })).status, 101);
	});
	await t.test('other versions', async () => {
		const answer = await status({ 'Sec-WebSocket-Version': '8' });
		assert.equal(answer.status, 426);
		assert.equal(answer.headers['sec-websocket-version'], '13');
	});
	for (const [name, headers] of Object.entries({ 'a short key': { 'Sec-WebSocket-Key': 'abc' },
		'no key': { 'Sec-WebSocket-Key': undefined } }))
		await t.test(name, async () => { assert.equal((await status(headers)).status, 400); });
	await t.test('two keys', async () => { assert.equal((await status({ 'Sec-WebSocket-Key': [KEY, KEY] })).status, 400); });
	await t.test('no upgrade', async () => { assert.equal((await status({ Upgrade: undefined })).status, 426); });
	await t.test('by POST', async () => { assert.equal((await status({}, 'POST')).status, 405); });
	await t.test('an extension is not taken up', async () => {
		const answer = await status({ 'Sec-WebSocket-Extensions': 'permessage-deflate' });
		assert.equal(answer.status, 101);
		assert.equal(answer.headers['sec-websocket-extensions'], undefined);
	});
});

test('tokens', async (t) => {
	const token = 'eyJhbGciOiJIUzI1NiJ9.' + 'a'.repeat(1500) + '.sig';
	await t.test('as a second subprotocol', async () => {
		const raw = await websocket(server, { headers: { 'Sec-WebSocket-Protocol': `realtime.v1, bearer.${token}` } });
		assert.equal(raw.welcome.token, token.length);
		assert.equal(raw.upgraded.headers['sec-websocket-protocol'], 'realtime.v1');
		raw.destroy();
	});
	await t.test('in the Authorization header', async () => {
		const raw = await websocket(server, { headers: { Authorization: `bearer ${token}` } });
		assert.equal(raw.welcome.token, token.length);
		raw.destroy();
	});
	await t.test('of 16 kB', async () => {
		const raw = await websocket(server, { headers: { Authorization: `Bearer ${'x'.repeat(16384)}` } });
		assert.equal(raw.welcome.token, 16384);
		raw.destroy();
	});
	for (const [bad, status, code] of [['bad', 401, 'unauthorized'], ['busy', 503, 'unavailable']])
		await t.test(`refused with ${status}`, async () => {
			const raw = await Raw.open(server);
			raw.write(upgrade({ Authorization: `Bearer ${bad}` }));
			const answer = await raw.answer();
			assert.equal(answer.status, status);
			assert.equal(answer.json().error.code, code);
			raw.destroy();
		});
	await t.test('never logged', () => { assert.ok(!server.log.includes('eyJ') && !server.log.includes('aaaaaa')); });
});

test('origins', async (t) => {
	const attempt = async (own, origin, host = 'shop.example') => {
		const raw = await Raw.open(own);
		raw.write(upgrade({ Origin: origin, Host: host }));
		const answer = await raw.answer();
		raw.destroy();
		return answer;
	};
	await t.test('the same host by default', async () => {
		assert.equal((await attempt(server, 'https://shop.example')).status, 101);
		assert.equal((await attempt(server, 'http://shop.example:80')).status, 101);
		assert.equal((await attempt(server, 'http://Shop.Example:8090', 'shop.example:8090')).status, 101);
	});
	await t.test('others are forbidden', async () => {
		for (const origin of ['https://evil.example', 'https://shop.example.evil', 'http://shop.example:81', 'null', ''])
			assert.equal((await attempt(server, origin)).status, 403, origin);
		assert.match(server.log, /refused code=forbidden/);
	});
	await t.test('a list', async () => {
		const own = await Server.start(['--allowed-origins', 'https://a.example, https://b.example']);
		assert.equal((await attempt(own, 'https://b.example')).status, 101);
		assert.equal((await attempt(own, 'https://c.example')).status, 403);
		assert.equal((await attempt(own, 'https://shop.example')).status, 101, 'beside the own host');
		await own.stop();
	});
	await t.test('every', async () => {
		const own = await Server.start(['--allowed-origins', '*']);
		assert.equal((await attempt(own, 'null')).status, 101);
		await own.stop();
	});
});

test('with the ws package', async () => {
	const socket = new WebSocket(`ws://127.0.0.1:${server.port}/v1/ws`, 'realtime.v1');
	const messages = [];
	socket.on('message', (data) => messages.push(data.toString()));
	await within('open', new Promise((resolve) => socket.on('open', resolve)));
	assert.equal(socket.protocol, 'realtime.v1');
	socket.send('{"op":"send","count":100,"size":100000}');
	await until('100 messages', () => messages.length >= 101);
	assert.equal(messages[100], pattern(99, 100000));
	const closed = new Promise((resolve) => socket.on('close', (code, reason) => resolve([code, reason.toString()])));
	socket.send('{"op":"close","code":4003,"reason":"expired"}');
	assert.deepEqual(await within('close', closed), [4003, 'expired']);
});

// Reads n frames of the pattern and pongs between them, slowly and in odd pieces.
async function readPattern(raw, count, size, pings) {
	let n = 0;
	const pongs = [];
	while (n < count || pongs.length < pings) {
		const frame = await raw.frame();
		if (frame.opcode === 10) {
			pongs.push(frame.text);
			continue;
		}
		assert.equal(frame.opcode, 1);
		assert.ok(frame.text === pattern(n, size), `frame ${n} is whole`);
		n++;
	}
	return pongs;
}

test('frames of many megabytes to a small, slow reader, with pings between', async () => {
	const raw = await websocket(server, { connect: { highWaterMark: 1024 } });
	raw.socket.pause();
	raw.send('{"op":"send","count":3,"size":5000000}');
	// The double's answers to these come in any place between frames, never inside one.
	for (let i = 0; i < 5; i++) raw.write(frameOf(9, `ping ${i}`));
	raw.socket.resume();
	const pongs = await readPattern(raw, 3, 5000000, 1);
	assert.ok(pongs.length >= 1 && pongs.every((p) => /^ping \d$/.test(p)));
	raw.send('after');
	for (;;) {
		const frame = await raw.frame();
		if (frame.opcode === 1) {
			assert.equal(frame.text, 'after');
			break;
		}
	}
	raw.destroy();
});

test('small frames to a slow reader, coalesced and cut anywhere, with pings', async () => {
	const raw = await websocket(server);
	raw.socket.pause();
	raw.send('{"op":"send","count":60000,"size":200}');
	for (let i = 0; i < 10; i++) raw.write(frameOf(9, `${i}`));
	raw.socket.resume();
	let n = 0;
	let pongs = 0;
	while (n < 60000 || pongs < 10) {
		const frame = await raw.frame();
		if (frame.opcode === 10) pongs++;
		else assert.ok(frame.text === pattern(n, 200), `frame ${n++} is whole`);
	}
	raw.destroy();
});

test('closing sends what is queued, then the code', async () => {
	const raw = await websocket(server);
	raw.write(Buffer.concat([frameOf(1, '{"op":"send","count":50,"size":1000}'),
		frameOf(1, '{"op":"close","code":4008,"reason":"slow"}')]));
	assert.deepEqual(await readPattern(raw, 50, 1000, 0), []);
	assert.deepEqual(await raw.close(), { code: 4008, reason: 'slow' });
});

test('a peer that never reads its close is cut', async () => {
	const asker = await websocket(server);
	const before_ = (await stats(asker)).open;
	const raw = await websocket(server);
	raw.socket.pause();
	raw.write(Buffer.concat([frameOf(1, '{"op":"send","count":10,"size":3000000}'),
		frameOf(1, '{"op":"close","code":4008,"reason":"slow"}')]));
	await until('the session is closed at once', async () => (await stats(asker)).sessions === 1, 4000);
	await until('the connection is cut', async () => (await stats(asker)).open === before_, 15000);
	raw.destroy();
	asker.destroy();
});

test('a peer that answers no close frame is cut', async () => {
	const asker = await websocket(server);
	const open = (await stats(asker)).open;
	const raw = await websocket(server);
	raw.send('{"op":"close","code":4001,"reason":"unauthorized"}');
	assert.equal((await raw.frame()).code, 4001);
	await until('it is cut', async () => (await stats(asker)).open === open, 15000);
	asker.destroy();
});

test('a peer that breaks off', async () => {
	const asker = await websocket(server);
	const raw = await websocket(server);
	await until('two sessions', async () => (await stats(asker)).sessions === 2);
	raw.socket.resetAndDestroy();
	await until('one session', async () => (await stats(asker)).sessions === 1);
	asker.destroy();
});

test('messages are limited, pings are messages', async () => {
	const own = await Server.start(['--max-messages-per-minute', '20']);
	for (const bytes of [frameOf(1, 'x'), frameOf(9, 'x')]) {
		const raw = await websocket(own);
		raw.write(Buffer.concat(Array(21).fill(bytes)));
		for (let i = 0; i < 20; i++) assert.notEqual((await raw.frame()).opcode, 8);
		assert.deepEqual(await raw.close(), { code: 4029, reason: 'rate_limited' });
	}
	await own.stop();
});

test('liveness and the time for a token', async (t) => {
	const own = await Server.start(['--heartbeat', '1s', '--auth-timeout', '2s']);
	await t.test('pings at every heartbeat, and hangs up on who does not answer', async () => {
		const raw = await websocket(own);
		assert.equal((await raw.frame()).opcode, 9);
		await raw.end();
	});
	await t.test('stays with who answers', async () => {
		const raw = await websocket(own);
		for (let i = 0; i < 4; i++) {
			const ping = await raw.frame();
			assert.equal(ping.opcode, 9);
			raw.write(frameOf(10, ping.payload));
		}
		raw.destroy();
	});
	await own.stop();
});

test('a session without a token is closed in time', async () => {
	const own = await Server.start(['--auth-timeout', '1s', '--anon-role', '']);
	const late = await websocket(own);
	const started = Date.now();
	assert.deepEqual(await late.close(), { code: 4001, reason: 'unauthorized' });
	assert.ok(Date.now() - started < 5000);
	const early = await websocket(own);
	early.send('{"op":"auth","token":"good"}');
	assert.equal(JSON.parse(await early.message()).op, 'authenticated');
	await new Promise((resolve) => setTimeout(resolve, 2000));		// nothing may happen: there is nothing to wait for
	early.send('still here');
	assert.equal(await early.message(), 'still here');
	early.destroy();
	await own.stop();
});
