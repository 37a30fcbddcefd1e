// SPDX-License-Identifier: PostgreSQL
//
// feed.test.js
//	Server-sent events and long poll: what is asked, what comes, how it ends.

import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Server, Raw, request, websocket, pattern, stats, until, within } from './helper.js';

let server;
before(async () => { server = await Server.start(['--heartbeat', '2s', '--poll-timeout', '20s', '--max-messages-per-minute', '10000']); });
after(async () => { await server.stop(); });

// An open stream of events.
class Events {
	static async open(bytes, own = server, options = {}) {
		const events = new Events();
		events.raw = await Raw.open(own, options);
		events.raw.write(bytes);
		events.head = await events.raw.answer();
		return events;
	}

	// The next event: {id, data}, or a comment.
	async next() {
		const event = {};
		const block = (await this.raw.takeUntil('\n\n')).toString().trimEnd();
		for (const line of block.split('\n')) {
			if (line.startsWith(':')) return { comment: true };
			const colon = line.indexOf(': ');
			event[line.slice(0, colon)] = line.slice(colon + 2);
		}
		return event;
	}

	async json() {
		return JSON.parse((await this.next()).data);
	}
}

const asked = async (bytes) => {
	const events = await Events.open(bytes);
	assert.equal(events.head.status, 200);
	assert.equal((await events.json()).op, 'welcome');
	const list = [];
	while (events.raw.data.length > 0 || list.length === 0) list.push((await events.json()).asked);
	events.raw.destroy();
	return list;
};

const get = (query, headers) => request('GET', `/v1/events?${query}`, headers);
const post = (body, headers) => request('POST', '/v1/events', { 'Content-Type': 'application/json', ...headers }, JSON.stringify(body));

test('what a query asks for', async () => {
	assert.deepEqual(await asked(get('feature=orders&entity=order')), [{ op: 'subscribe', feature: 'orders', entity: 'order', ref: 0 }]);
	assert.deepEqual(await asked(get(`feature=a+b&action=created,updated&columns=id&filter=${encodeURIComponent('[["total","gt",0.10]]')}` +
		`&limit=3&order=total.desc&since=e%2F1%3A1%3A`)),
		[{ op: 'subscribe', feature: 'a b', action: ['created', 'updated'], columns: ['id'], filter: [['total', 'gt', 0.1]],
			limit: 3, order: ['total.desc'], ref: 0, since: 'e/1:1:' }]);
	assert.deepEqual(await asked(get('action=created')), [{ op: 'subscribe', action: 'created', ref: 0 }]);
	assert.deepEqual(await asked(get('feature=%C3%A9%22%5C')), [{ op: 'subscribe', feature: 'é"\\', ref: 0 }]);
	assert.deepEqual(await asked(get(`subscribe=${encodeURIComponent('[{"feature":"a"},{"feature":"b","ref":"x","since":"s","op":"auth"}]')}`,
		{ 'Last-Event-ID': 'e/9:9:' })),
		[{ op: 'subscribe', feature: 'a', ref: 0, since: 'e/9:9:' }, { op: 'subscribe', feature: 'b', ref: 'x', since: 's' }]);
});

test('what a body asks for', async () => {
	assert.deepEqual(await asked(post({ subscribe: [{ feature: 'a' }, { feature: 'b', since: null }], since: 'é/1' })),
		[{ op: 'subscribe', feature: 'a', ref: 0, since: 'é/1' }, { op: 'subscribe', feature: 'b', ref: 1, since: 'é/1' }]);
	const exact = request('POST', '/v1/events', {}, '{"subscribe":[{"filter":[["n","eq",0.10000000000000000001]]}]}');
	const events = await Events.open(exact);
	await events.next();
	assert.match((await events.next()).data, /0\.10000000000000000001/, 'numbers pass as written');
	events.raw.destroy();
});

test('what cannot be asked', async (t) => {
	for (const [name, bytes] of Object.entries({
		'no JSON': request('POST', '/v1/events', {}, 'nonsense'), 'a list': request('POST', '/v1/events', {}, '[]'),
		'nothing': request('POST', '/v1/events', {}, '{}'), 'no body': request('POST', '/v1/events'),
		'a subscription that is no object': request('POST', '/v1/events', {}, '{"subscribe":[1]}'),
		'bad UTF-8': Buffer.concat([Buffer.from(request('POST', '/v1/events', { 'Content-Length': 22 })), Buffer.from('{"subscribe":[],"x":"\xff"}', 'latin1')]),
		'a bad escape in a query': get('feature=%zz'), 'a zero in a query': get('feature=%00'), 'bad UTF-8 in a query': get('feature=%ff'),
		'a filter that is no JSON': get('filter=nonsense,'), 'a bad list': get('subscribe=x'),
		'a bad timeout': request('GET', '/v1/poll?feature=a&timeout=-1'),
	}))
		await t.test(name, async () => {
			const raw = await Raw.open(server);
			raw.write(bytes);
			const answer = await raw.answer();
			assert.equal(answer.status, 400);
			assert.equal(answer.json().error.code, 'bad_request');
			raw.destroy();
		});
});

test('a stream', async () => {
	const asker = await websocket(server);
	const events = await Events.open(get('feature=a&snapshot=true'));
	assert.equal(events.head.headers['content-type'], 'text/event-stream');
	assert.equal(events.head.headers['cache-control'], 'no-store');
	assert.equal((await events.json()).op, 'welcome');
	assert.equal((await events.json()).op, 'subscribed');
	assert.equal((await events.next()).data, pattern(0, 100000), 'a frame above a write');
	assert.deepEqual(await events.json(), { op: 'snapshot', rows: [] }, 'line ends in JSON end no event');
	assert.deepEqual(await events.next(), { id: 'e/2:2:', data: '{"op":"position","position":"e/2:2:"}' });
	asker.send('{"op":"publish","count":3,"size":300}');
	for (let n = 0; n < 3; n++) assert.equal((await events.next()).data, pattern(n, 300));
	asker.send('{"op":"burst","count":2000,"size":300}');
	for (let n = 0; n < 2000; n++) assert.equal((await events.next()).data, pattern(n, 300));
	assert.equal((await events.next()).comment, true, 'a comment at every heartbeat');
	events.raw.destroy();
	await until('the session is closed', async () => (await stats(asker)).sessions === 1);
	asker.destroy();
});

test('megabytes to a slow reader', async () => {
	const asker = await websocket(server);
	const events = await Events.open(get('feature=a'));
	await events.next();
	await events.next();
	events.raw.socket.pause();
	asker.send('{"op":"burst","count":4,"size":4000000}');
	await until('it was published', async () => JSON.parse(await asker.message()).op === 'published');
	events.raw.socket.resume();
	for (let n = 0; n < 4; n++) {
		let event = await events.next();
		while (event.comment) event = await events.next();
		assert.ok(event.data === pattern(n, 4000000));
	}
	events.raw.destroy();
	asker.destroy();
});

test('refusals', async () => {
	for (const path of ['/v1/events', '/v1/poll'])
		for (const [headers, token, status, code] of [[{ Authorization: 'Bearer bad' }, undefined, 401, 'unauthorized'],
			[{}, 'bad', 401, 'unauthorized'], [{}, 'busy', 503, 'unavailable']]) {
			const raw = await Raw.open(server);
			raw.write(request('POST', path, headers, JSON.stringify({ token, subscribe: [] })));
			const answer = await raw.answer();
			assert.equal(answer.status, status);
			assert.equal(answer.json().error.code, code);
			if (status === 401) assert.equal(answer.headers['www-authenticate'], 'Bearer');
			raw.destroy();
		}
});

test('a stream that ends', async () => {
	const own = await Server.start(['--anon-role', '', '--auth-timeout', '1s', '--poll-timeout', '30s']);
	const events = await Events.open(get('feature=a'), own);
	assert.equal((await events.json()).op, 'welcome');
	assert.equal((await events.json()).op, 'subscribed');
	let event = await events.next();
	while (event.comment) event = await events.next();
	assert.deepEqual(JSON.parse(event.data), { op: 'error', code: 'unauthorized', message: 'unauthorized', close: 4001 });
	await events.raw.end();
	const raw = await Raw.open(own);
	raw.write(request('GET', '/v1/poll?feature=a'));
	const answer = await raw.answer();
	assert.equal(answer.status, 401);
	assert.equal(answer.json().error.code, 'unauthorized');
	raw.destroy();
	await own.stop();
});

// One poll over a connection.
async function poll(raw, query) {
	raw.write(request('GET', `/v1/poll?${query}`));
	const answer = await raw.answer();
	assert.equal(answer.status, 200);
	return answer.json();
}

test('a poll waits for news and its position', async () => {
	const asker = await websocket(server);
	const raw = await Raw.open(server);
	raw.write(request('GET', '/v1/poll?feature=a'));
	await until('it is there', async () => (await stats(asker)).sessions === 2);
	asker.send('{"op":"position","text":"e/3:3:"}');
	await asker.message();
	asker.send('{"op":"publish","count":2,"size":100}');
	await asker.message();
	assert.equal(raw.data.length + raw.chunks.length, 0, 'no answer before the position');
	asker.send('{"op":"position","text":"e/4:4:"}');
	const answer = (await raw.answer()).json();
	assert.deepEqual(answer.frames.map((f) => f.op), ['welcome', 'subscribed', 'position', 'commit', 'commit', 'position']);
	assert.equal(answer.position, 'e/4:4:');
	await until('its session is closed', async () => (await stats(asker)).sessions === 1);
	raw.destroy();
	asker.destroy();
});

test('polls one after the other on a connection', async () => {
	const raw = await Raw.open(server);
	for (let i = 0; i < 3; i++) {
		const answer = await poll(raw, 'feature=none');
		assert.deepEqual(answer.frames.map((f) => f.op), ['welcome', 'error'], 'when all is refused nothing is waited for');
		assert.equal(answer.position, null);
	}
	raw.write(request('GET', '/v1/poll?feature=none') + request('GET', '/v1/poll?feature=none&since=s') + request('GET', '/healthz'));
	assert.equal((await raw.answer()).json().position, null);
	assert.equal((await raw.answer()).json().position, 's');
	assert.equal((await raw.answer()).body, 'ok\n');
	raw.destroy();
});

test('a poll that is over', async () => {
	const raw = await Raw.open(server);
	const started = Date.now();
	const answer = await poll(raw, 'feature=a&timeout=1');
	assert.deepEqual(answer.frames.map((f) => f.op), ['welcome', 'subscribed']);
	assert.equal(answer.position, 'e/1:1:', 'that of the subscription');
	assert.equal((await poll(raw, 'feature=a&timeout=1&since=e%2F0%3A0%3A')).position, 'e/0:0:', 'the one asked with');
	assert.ok(Date.now() - started >= 1900);
	raw.destroy();
});

test('a poll is not over while a subscription is in the past', async () => {
	const asker = await websocket(server);
	const raw = await Raw.open(server);
	const ask = async (message) => { asker.send(message); await asker.message(); };
	// One that has nothing to catch up with is answered at once.
	assert.deepEqual((await poll(raw, 'feature=a&timeout=0&since=e%2F0%3A0%3A')).frames.map((f) => f.op), ['welcome', 'subscribed']);
	raw.write(request('GET', '/v1/poll?feature=a&timeout=20&since=e%2F0%3A0%3A'));
	await until('it is there', async () => (await stats(asker)).sessions === 2);
	await ask('{"op":"behind","is":true}');
	await ask('{"op":"position","text":"e/3:3:"}');
	await ask('{"op":"publish","count":1,"size":100}');
	await ask('{"op":"position","text":"e/4:4:"}');
	await stats(asker);
	assert.equal(raw.data.length + raw.chunks.length, 0, 'no answer with news and a position');
	await ask('{"op":"behind","is":false}');
	await ask('{"op":"position","text":"e/5:5:"}');
	const answer = (await raw.answer()).json();
	assert.deepEqual(answer.frames.map((f) => f.op), ['welcome', 'subscribed', 'position', 'commit', 'position', 'position']);
	assert.equal(answer.position, 'e/5:5:');
	// One that takes longer than it may begins to be answered, and blanks go on.
	raw.write(request('GET', '/v1/poll?feature=a&timeout=1&since=e%2F0%3A0%3A'));
	await until('it is there', async () => (await stats(asker)).sessions === 2);
	await ask('{"op":"behind","is":true}');
	// Who is asked meanwhile stays.
	await until('blanks come', async () => await stats(asker) && / $/.test(Buffer.concat([raw.data, ...raw.chunks]).toString()));
	const head = await raw.answer();
	assert.deepEqual([head.status, head.headers['content-length']], [200, undefined]);
	await ask('{"op":"behind","is":false}');
	await ask('{"op":"position","text":"e/6:6:"}');
	const late = JSON.parse((await raw.rest()).toString());
	assert.deepEqual(late.frames.map((f) => f.op), ['welcome', 'subscribed', 'position']);
	assert.equal(late.position, 'e/6:6:');
	raw.destroy();
	asker.destroy();
});

test('a poll that comes to no present is refused, or cut when it has begun', async () => {
	const own = await Server.start(['--poll-timeout', '2s', '--max-messages-per-minute', '10000']);
	const asker = await websocket(own);
	const ask = async (message) => { asker.send(message); await asker.message(); };
	const raws = [await Raw.open(own), await Raw.open(own)];
	for (const raw of raws)
		raw.write(request('GET', '/v1/poll?feature=a&timeout=2'));
	await until('they are there', async () => (await stats(asker)).sessions === 3);
	await ask('{"op":"behind","is":true}');
	const refused = await raws[0].answer();
	assert.equal(refused.status, 503);
	assert.equal(refused.json().error.code, 'unavailable');
	assert.equal((await raws[1].answer()).status, 503);
	const large = await Raw.open(own);
	large.write(request('GET', '/v1/poll?feature=a&timeout=2'));
	await until('it is there', async () => (await stats(asker)).sessions === 2);
	await ask('{"op":"behind","is":true}');
	await ask('{"op":"publish","count":5,"size":100000}');
	assert.equal((await large.answer()).status, 200);
	const text = (await large.rest()).toString();
	assert.ok(text.length > 450000, `${text.length} bytes`);
	assert.throws(() => JSON.parse(text), 'without an end');
	for (const socket of [...raws, large, asker])
		socket.destroy();
	await own.stop();
});

test('a poll of much is sent as it comes', async () => {
	const raw = await Raw.open(server);
	raw.socket.pause();
	raw.write(request('GET', '/v1/poll?feature=a&snapshot=true&limit=100'));
	raw.socket.resume();
	const head = await raw.answer();
	assert.equal(head.status, 200);
	assert.equal(head.headers['content-length'], undefined);
	const answer = JSON.parse((await raw.rest()).toString());
	assert.equal(answer.frames.length, 104);
	assert.equal(answer.frames[50].n, 48);
	assert.equal(answer.position, 'e/2:2:');
});

test('who hangs up during a poll', async () => {
	const asker = await websocket(server);
	const raw = await Raw.open(server);
	raw.write(request('GET', '/v1/poll?feature=a'));
	await until('it is there', async () => (await stats(asker)).sessions === 2);
	raw.destroy();
	await until('it is gone', async () => (await stats(asker)).sessions === 1);
	asker.destroy();
});

test('with fetch', async () => {
	const answer = await fetch(`${server.url}/v1/events`, { method: 'POST', headers: { Authorization: 'Bearer good' },
		body: JSON.stringify({ subscribe: [{ feature: 'a' }] }) });
	assert.equal(answer.status, 200);
	const reader = answer.body.getReader();
	const { value } = await within('the first bytes', reader.read());
	assert.match(new TextDecoder().decode(value), /^data: \{"op":"welcome"/);
	await reader.cancel();
	const polled = await fetch(`${server.url}/v1/poll`, { method: 'POST', body: '{"subscribe":[{"feature":"none"}]}' });
	assert.equal((await polled.json()).frames.length, 2);
});

test('drain', async () => {
	const own = await Server.start(['--drain', '1s']);
	const sockets = await Promise.all(Array.from({ length: 10 }, () => websocket(own)));
	const events = await Events.open(get('feature=a'), own);
	const raw = await Raw.open(own);
	raw.write(request('GET', '/v1/poll?feature=a'));
	await until('all are there', async () => (await stats(sockets[0])).sessions === 12);
	const idle = await Raw.open(own);
	const started = Date.now();
	const stopped = own.stop();
	const times = await Promise.all(sockets.map(async (socket) => {
		assert.deepEqual(await socket.close(), { code: 1012, reason: 'the server restarts' });
		return Date.now() - started;
	}));
	assert.ok(Math.max(...times) - Math.min(...times) > 300, `spread: ${times}`);
	assert.equal((await events.json()).op, 'welcome');
	await events.json();
	assert.deepEqual(await events.json(), { op: 'error', code: 'unavailable', message: 'the server restarts', close: 1012 });
	await events.raw.end();
	assert.deepEqual((await raw.answer()).json().frames.map((f) => f.op), ['welcome', 'subscribed']);
	await idle.end();
	await stopped;
	assert.ok(Date.now() - started < 8000);
});

test('a session that ends itself says why once', async () => {
	const asker = await websocket(server);
	const events = await Events.open(get('feature=a'));
	const raw = await Raw.open(server);
	raw.write(request('GET', '/v1/poll?feature=a'));
	const socket = await websocket(server);
	await until('all are there', async () => (await stats(asker)).sessions === 4);
	asker.send('{"op":"end"}');
	const error = { op: 'error', code: 'expired', message: 'the token "has" expired', close: 4003 };
	await events.next();
	await events.next();
	assert.deepEqual(await events.json(), error);
	assert.equal((await events.raw.rest()).length, 0);
	assert.deepEqual(JSON.parse(await socket.message()), error);
	assert.deepEqual(await socket.close(), { code: 4003, reason: 'expired' });
	const answer = await raw.answer();
	assert.equal(answer.status, 401);
	assert.deepEqual(answer.json(), { error: { code: 'expired', message: 'the token "has" expired' } });
	raw.destroy();
	asker.destroy();
});
