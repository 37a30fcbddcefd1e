// SPDX-License-Identifier: PostgreSQL
//
// websocket.test.js
//	RFC 6455 against the notifier itself, case by case: the numbers are those of the Autobahn test suite, whose list this
//	follows. What is asked to be echoed there is asked for with ping here, whose ref comes back. test/server has the
//	same rules on the server alone, with frames of megabytes; here they meet sessions, tokens and limits.
//	Not here: 9 (performance: bench/), 12 and 13 (compression, which is not offered).

import test from 'node:test';
import assert from 'node:assert/strict';
import { Raw, frameOf, websocket, upgrade } from '../server/helper.js';
import { Stage } from '../e2e/lib/stage.js';

const stage = await Stage.open('websocket', { flags: { 'max-messages-per-minute': 1000000, workers: 1 } });
const server = stage.notifier;
const all = (...parts) => Buffer.concat(parts);
const message = (ref, padding = 0) => `{"op":"ping",${' '.repeat(padding)}"ref":${JSON.stringify(ref)}}`;
const start = (payload, opcode = 1) => frameOf(opcode, payload, { fin: false });
const middle = (payload) => frameOf(0, payload, { fin: false });
const end = (payload) => frameOf(0, payload);
const ping = (payload) => frameOf(9, payload);
const code = (n, reason = '') => all(Buffer.from([n >> 8, n & 255]), Buffer.from(reason));
const bytes = (hex) => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const greeting = Buffer.from(message('Hello-µ@ßöäüàá-UTF-8!!'));

/** What came: 'pong <payload>' for pong frames, 'ref <ref>' for answers, 'error <code>', at last 'close <code>'. */
async function hear(raw, n)
{
	const heard = [];
	while (heard.length < n)
	{
		const frame = await raw.frame();
		assert.equal(frame.rsv, 0);
		assert.ok(frame.fin, 'the notifier does not fragment');
		if (frame.opcode === 10)
			heard.push(`pong ${frame.text}`);
		else if (frame.opcode === 8)
		{
			heard.push(`close ${frame.code}`);
			raw.write(frameOf(8, frame.payload));
			await raw.end();
			break;
		}
		else if (frame.opcode === 9)
			raw.write(frameOf(10, frame.payload));
		else
		{
			const { op, ref, code: error } = JSON.parse(frame.text);
			if (op === 'pong')
				heard.push(`ref ${ref}`);
			else if (op === 'error' && ref === undefined && error === 'bad_frame')
				heard.push('error bad_frame');
		}
	}
	return heard;
}

/** Runs cases: name → [bytes, what is heard, options]. isChopped: one byte at a time. */
async function run(t, cases)
{
	let n = 0;
	for (const [name, [data, expected, { isChopped = false } = {}]] of Object.entries(cases))
	{
		const raw = await websocket(server);
		if (isChopped)
			for (const byte of data)
			{
				raw.write(Buffer.from([byte]));
				await new Promise((resolve) => setImmediate(resolve));
			}
		else
			raw.write(data);
		assert.deepEqual(await hear(raw, expected.length), expected, name);
		raw.destroy();
		n++;
	}
	t.diagnostic(`${n} cases`);
}
const closed = (n) => [`close ${n}`];
const each = (list, f) => Object.fromEntries(list.map(f));

test('1: framing of every length', async (t) =>
{
	const sized = (size) => message('x', size - message('x').length);
	await run(t, {
		'1.1.1 empty': [frameOf(1), ['error bad_frame']],
		...each([125, 126, 127, 128, 65535, 65536], (n) => [`1.1 ${n}`, [frameOf(1, sized(n)), ['ref x']]]),
		'1.1.8 65536 in one byte pieces of 997': [all(...Array.from({ length: 66 }, (_, i) => (i === 0 ? start : i === 65 ? end : middle)(
			sized(65536).slice(i * 997, i === 65 ? undefined : (i + 1) * 997)))), ['ref x']],
		'above max-message': [frameOf(1, sized(65537)), closed(1009)],
		...each([0, 125, 126, 65536], (n) => [`1.2 binary ${n}`, [frameOf(2, Buffer.alloc(n, 0xfe)), closed(1003)]]),
		'length 2^63': [bytes('81ff 8000000000000000 00000000'), closed(1002)],
		'length 2^62': [bytes('81ff 4000000000000000 00000000'), closed(1009)],
		'not in the shortest form, 16': [frameOf(1, 'x', { form: 16 }), closed(1002)],
		'not in the shortest form, 64': [frameOf(1, 'x'.repeat(300), { form: 64 }), closed(1002)],
		'not masked': [frameOf(1, greeting, { masked: false }), closed(1002)],
		'a ping that is not masked': [frameOf(9, 'x', { masked: false }), closed(1002)]
	});
});

test('2: pings and pongs', (t) => run(t, {
	'2.1': [ping(''), ['pong ']],
	'2.2': [ping('Hello, world!'), ['pong Hello, world!']],
	'2.3': [ping(bytes('00fffefdfcfb00ff')), [`pong ${bytes('00fffefdfcfb00ff')}`]],
	'2.4': [ping('x'.repeat(125)), [`pong ${'x'.repeat(125)}`]],
	'2.5': [ping('x'.repeat(126)), closed(1002)],
	'2.6': [ping('y'.repeat(125)), [`pong ${'y'.repeat(125)}`], { isChopped: true }],
	'2.7, 2.9': [all(frameOf(10), ping('p')), ['pong p']],
	'2.8': [all(frameOf(10, 'unsolicited'), frameOf(1, greeting)), ['ref Hello-µ@ßöäüàá-UTF-8!!']],
	'2.10': [all(...Array.from({ length: 10 }, (_, i) => ping(`${i}`))), Array.from({ length: 10 }, (_, i) => `pong ${i}`)],
	'2.11': [all(...Array.from({ length: 10 }, (_, i) => ping(`${i}`))), Array.from({ length: 10 }, (_, i) => `pong ${i}`), { isChopped: true }],
	'a pong of 126 bytes': [frameOf(10, 'x'.repeat(126)), closed(1002)]
}));

test('3: reserved bits', (t) => run(t, {
	...each([1, 2, 3, 4, 5, 6, 7], (n) => [`3.${n}`, [all(frameOf(1, message('a')), frameOf(1, message('b'), { rsv: n << 4 }), ping('x')), ['ref a', 'close 1002']]]),
	...each([1, 2, 4], (n) => [`a ping with ${n}`, [frameOf(9, 'x', { rsv: n << 4 }), closed(1002)]]),
	...each([1, 2, 4], (n) => [`a close with ${n}`, [frameOf(8, code(1000), { rsv: n << 4 }), closed(1002)]])
}));

test('4: opcodes', (t) => run(t, {
	...each([3, 4, 5, 6, 7, 11, 12, 13, 14, 15], (n) => [`4 opcode ${n}`, [all(frameOf(1, message('a')), frameOf(n, n % 2 ? '' : 'x'), ping('')),
		['ref a', 'close 1002']]])
}));

test('5: fragments', (t) => run(t, {
	'5.1': [all(start('frag', 9), end('ment')), closed(1002)],
	'5.2': [all(start('frag', 10), end('ment')), closed(1002)],
	'5.3': [all(start(greeting.subarray(0, 20)), end(greeting.subarray(20))), ['ref Hello-µ@ßöäüàá-UTF-8!!']],
	'5.5': [all(start(greeting.subarray(0, 20)), end(greeting.subarray(20))), ['ref Hello-µ@ßöäüàá-UTF-8!!'], { isChopped: true }],
	'5.6': [all(start(greeting.subarray(0, 20)), ping('p'), end(greeting.subarray(20))), ['pong p', 'ref Hello-µ@ßöäüàá-UTF-8!!']],
	'5.8': [all(start(greeting.subarray(0, 20)), ping('p'), end(greeting.subarray(20))), ['pong p', 'ref Hello-µ@ßöäüàá-UTF-8!!'], { isChopped: true }],
	'5.9': [all(end('x'), frameOf(1, message('a'))), closed(1002)],
	'5.12': [all(middle('x'), frameOf(1, message('a'))), closed(1002)],
	'5.15': [all(start(message('a').slice(0, 9)), end(message('a').slice(9)), middle('x'), frameOf(1, message('b'))), ['ref a', 'close 1002']],
	'5.16': [all(...Array.from({ length: 2 }, () => all(middle('f'), start('f'), end('f')))), closed(1002)],
	'5.18': [all(start('f'), frameOf(1, 'f')), closed(1002)],
	'5.19': [all(start(greeting.subarray(0, 9)), middle(greeting.subarray(9, 15)), ping('1'), middle(greeting.subarray(15, 20)), ping('2'), frameOf(10, '3'),
		middle(''), end(greeting.subarray(20))), ['pong 1', 'pong 2', 'ref Hello-µ@ßöäüàá-UTF-8!!']],
	'empty fragments': [all(start(''), middle(''), ping('x'), middle(message('a')), end('')), ['pong x', 'ref a']],
	'a close between fragments (7.1.5)': [all(start('x'), frameOf(8, code(1000)), end('y')), closed(1000)]
}));

test('6: UTF-8, and failing fast', (t) =>
{
	const inside = (hex) => frameOf(1, all(Buffer.from('{"op":"ping","ref":"'), bytes(hex), Buffer.from('"}')));
	const valid = ['ce ba e1 bd b9 cf 83 ce bc ce b5', 'c2 80', 'e0 a0 80', 'f0 90 80 80', '7f', 'df bf', 'ef bf bf', 'f4 8f bf bf', 'ed 9f bf', 'ee 80 80',
		'ef bf bd', 'ef bf be', 'f0 9f bf be', 'f0 af bf bf', 'f3 bf bf be', 'e2 80 a8'];
	const invalid = ['ce ba e1 bd b9 cf 83 ce bc ce b5 ed a0 80 65', 'f8 88 80 80 80', 'fc 84 80 80 80 80', 'f7 bf bf bf', 'f4 90 80 80', 'f5 80 80 80', '80', 'bf',
		'80 bf', '80 bf 80 bf 80 bf', 'c0 20', 'c1 bf', 'e0 20', 'f0 20 f1 20', 'fe', 'ff', 'fe fe ff ff', 'c0 af', 'e0 80 af', 'f0 80 80 af', 'f8 80 80 80 af',
		'c1 bf', 'e0 9f bf', 'f0 8f bf bf', 'c0 80', 'e0 80 80', 'ed a0 80', 'ed ad bf', 'ed ae 80', 'ed bf bf', 'ed a0 80 ed b0 80', 'df 22', 'ef bf 22', 'f7 bf bf'];
	const kosme = all(Buffer.from('{"op":"ping","ref":"'), bytes('ce ba e1 bd b9 cf 83 ce bc ce b5'), Buffer.from('"}'));
	return run(t, {
		'6.1.1': [frameOf(1), ['error bad_frame']],
		'6.1.2': [all(start(''), middle(''), end('')), ['error bad_frame']],
		'6.2.3': [all(...[...kosme].map((b, i) => (i === 0 ? start : i === kosme.length - 1 ? end : middle)(Buffer.from([b])))), [`ref ${bytes('ce ba e1 bd b9 cf 83 ce bc ce b5')}`]],
		...each(valid, (hex) => [`6 valid ${hex}`, [inside(hex), [`ref ${bytes(hex)}`]]]),
		...each(invalid, (hex) => [`6 invalid ${hex}`, [inside(hex), closed(1007)]]),
		...each(invalid, (hex) => [`6 invalid ${hex}, chopped`, [inside(hex), closed(1007), { isChopped: true }]]),
		...each(['ce', 'e1 bd', 'f0 90 80'], (hex) => [`6.6 cut at the end: ${hex}`, [frameOf(1, bytes(hex)), closed(1007)]]),
		'6.4.1 in the second fragment, before the last': [all(start(bytes('ce ba e1 bd b9')), middle(bytes('f4 90 80 80'))), closed(1007)],
		'6.4.2 at the first byte that is wrong': [all(start(bytes('ce ba')), frameOf(0, bytes('f4 90 80 80 65 64 69'), { fin: false }).subarray(0, 8)), closed(1007)]
	});
});

test('7: closing', (t) => run(t, {
	'7.1.1': [all(frameOf(1, message('a')), frameOf(8, code(1000))), ['ref a', 'close 1000']],
	'7.1.2': [all(frameOf(8, code(1000)), frameOf(8, code(1000))), closed(1000)],
	'7.1.3': [all(frameOf(8, code(1000)), ping('x')), closed(1000)],
	'7.1.4': [all(frameOf(8, code(1000)), frameOf(1, message('a'))), closed(1000)],
	'7.3.1': [frameOf(8), closed(undefined)],
	'7.3.2': [frameOf(8, 'a'), closed(1002)],
	'7.3.4': [frameOf(8, code(1000, 'Hello World!')), closed(1000)],
	'7.3.5': [frameOf(8, code(1000, '*'.repeat(123))), closed(1000)],
	'7.3.6': [frameOf(8, code(1000, '*'.repeat(124))), closed(1002)],
	'7.5.1': [frameOf(8, all(code(1000), bytes('cebae1bdb9cf83cebcceb5eda080656469746564'))), closed(1007)],
	...each([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999], (n) => [`7.7 ${n}`, [frameOf(8, code(n)), closed(n)]]),
	...each([0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535], (n) => [`7.9 ${n}`, [frameOf(8, code(n)), closed(1002)]]),
	'a fragmented close': [frameOf(8, code(1000), { fin: false }), closed(1002)]
}));

test('the handshake (RFC 6455 section 4.2)', async () =>
{
	for (const [name, headers, status] of [['as it should be', {}, 101], ['no Host', { Host: undefined }, 400], ['no Upgrade', { Upgrade: undefined }, 426],
		['another Upgrade', { Upgrade: 'h2c' }, 426], ['upper case', { Upgrade: 'WEBSOCKET', Connection: 'keep-alive, UPGRADE' }, 101],
		['no Connection', { Connection: undefined }, 426], ['no key', { 'Sec-WebSocket-Key': undefined }, 400],
		['a key of 15 bytes', { 'Sec-WebSocket-Key': Buffer.alloc(15).toString('base64') }, 400], ['version 8', { 'Sec-WebSocket-Version': '8' }, 426],
		['version 13, 8', { 'Sec-WebSocket-Version': '13, 8' }, 426], ['an unknown subprotocol', { 'Sec-WebSocket-Protocol': 'mqtt' }, 400],
		['two, one ours', { 'Sec-WebSocket-Protocol': 'mqtt, realtime.v1' }, 101], ['compression offered', { 'Sec-WebSocket-Extensions': 'permessage-deflate' }, 101],
		['a body', { 'Content-Length': '3' }, 400]])
	{
		const raw = await Raw.open(server);
		raw.write(upgrade(headers) + (headers['Content-Length'] ? 'abc' : ''));
		const answer = await raw.answer();
		assert.equal(answer.status, status, name);
		assert.equal(answer.headers['sec-websocket-extensions'], undefined, name);
		raw.destroy();
	}
});
