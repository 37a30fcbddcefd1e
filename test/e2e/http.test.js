// SPDX-License-Identifier: PostgreSQL
//
// http.test.js
//	Health, readiness, metrics, limits of connections and messages, origins, paths that there are not.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { HandshakeRefused } from './lib/peer.js';
import { request } from './lib/http.js';
import { Proxy } from './lib/proxy.js';
import { Stage } from './lib/stage.js';
import { until, within } from './lib/wait.js';

const stage = await Stage.open('http', { isStarted: false });
const proxy = await Proxy.open(stage.directory);
stage.closers.push(() => proxy.close());
const viaProxy = `host=${stage.directory} port=${proxy.port} user=live dbname=${stage.database.name}`;
const site = path.join(stage.directory, 'site');
mkdirSync(site);
writeFileSync(path.join(site, 'index.html'), '<!doctype html><title>list</title>');
writeFileSync(path.join(site, 'a b.js'), 'export default 1;\n');
writeFileSync(path.join(stage.directory, 'outside.txt'), 'not for you');
stage.notifier = await stage.start({ database: viaProxy, flags: { static: site, workers: 1,
	'max-connections': 30, 'max-connections-per-user': 3, 'max-messages-per-minute': 60,
	'max-message': '4kB', 'handshake-timeout': 2, 'allowed-origins': 'https://shop.example' } });
const { notifier } = stage;
const item = { feature: 'shop', entity: 'item' };

const refusedWith = (status, code) => (error) =>
{
	assert.ok(error instanceof HandshakeRefused, error.stack);
	assert.deepEqual([error.status, error.code], [status, code]);
	return true;
};

test('/healthz and /readyz; not ready while the database is away, ready again after', async () =>
{
	assert.equal(await notifier.status('/healthz'), 200);
	assert.equal(await notifier.status('/readyz'), 200);
	const peer = await stage.peer();
	const view = await peer.subscribe(item);
	proxy.refuse();
	await until('not ready', async () => (await notifier.status('/readyz')) === 503);
	assert.equal(await notifier.status('/healthz'), 200);
	const tx = await stage.write("INSERT INTO item (id) VALUES (1)");
	// What is asked for now waits for the database, or is told to try again.
	const asked = peer.refused({ op: 'subscribe', feature: 'shop', entity: 'other', snapshot: true });
	proxy.allow();
	await until('ready', async () => (await notifier.status('/readyz')) === 200, 30);
	const code = await asked;
	assert.ok(code === 'unavailable' || code.startsWith('not refused'), code);
	await peer.until('the snapshot, or a word', () => code === 'unavailable' ||
		[...peer.views.values()].at(-1).isSnapshotDone ||
		peer.frames.some((f) => f.op === 'error' && f.code === 'unavailable'), { seconds: 30 });
	await peer.settle(tx);
	assert.deepEqual(view.story, ['created 1'], 'a pause and no loss');
	assert.deepEqual(view.gaps, []);
	await peer.close();
});

test('/metrics', async () =>
{
	const { status, headers, body } = await request(`${notifier.url}/metrics`);
	assert.equal(status, 200);
	assert.match(headers['content-type'], /^text\/plain; ?version=0\.0\.4/);
	const described = new Set();
	for (const line of body.trimEnd().split('\n'))
	{
		const comment = /^# (HELP|TYPE) ((?:realtime|process)_[a-z_]+) (.+)$/.exec(line);
		if (comment)
		{
			described.add(comment[2]);
			continue;
		}
		const [, name] = /^((?:realtime|process)_[a-z_]+)(?:\{[a-z_]+="(?:[^"\\\n]|\\.)*"(?:,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})? -?[0-9.e+]+$/
			.exec(line) ?? assert.fail(line);
		assert.ok(described.has(name), `${name} is described`);
	}
	const before = await notifier.metrics();
	const peer = await stage.peer();
	await peer.subscribe({ ...item, snapshot: true });
	await peer.settle(await stage.write("INSERT INTO item (id) VALUES (2), (3)"));
	assert.equal(await peer.refused({ op: 'subscribe', feature: 'shop', entity: 'hidden' }), 'forbidden');
	const after = await notifier.metrics();
	const grew = (name) => after.get(`realtime_${name}`) - before.get(`realtime_${name}`);
	assert.equal(grew('sessions'), 1);
	assert.equal(grew('subscriptions'), 1);
	assert.equal(grew('commits_in_total'), 1);
	assert.equal(grew('events_in_total'), 2);
	assert.equal(grew('events_out_total'), 2);
	assert.equal(grew('snapshots_total'), 1);
	assert.ok(grew('bytes_out_total') > 0);
	assert.ok([...after].some(([name, value]) => /forbidden/.test(name) &&
		value > (before.get(name) ?? 0)), 'refusals by code');
	await peer.close();
	await until('the session is gone', async () =>
		(await notifier.metric('sessions')) === before.get('realtime_sessions'));
});

test('paths and methods', async () =>
{
	const status = async (where, options) => (await request(notifier.url + where, options)).status;

	assert.equal(await status('/nothing'), 404);
	assert.equal(await status('/v1/nothing'), 404);
	assert.equal(await status('/healthz', { method: 'POST', body: '{}' }), 405);
	assert.equal(await status('/v1/poll', { method: 'PUT', body: '{}' }), 405);
	assert.ok([400, 426].includes(await status('/v1/ws')), 'no upgrade');
});

test('static files, and none outside', async () =>
{
	const page = await request(`${notifier.url}/`);
	assert.equal(page.status, 200);
	assert.match(page.headers['content-type'], /text\/html/);
	assert.match(page.body, /<title>list/);
	assert.match((await request(`${notifier.url}/a%20b.js`)).headers['content-type'], /javascript/);
	for (const where of ['/../outside.txt', '/%2e%2e/outside.txt', '/..%2foutside.txt', '//etc/passwd',
		'/site/../../outside.txt', '/.%2e/outside.txt', '/a%00b'])
	{
		// As raw bytes: a client library would tidy the path.
		const answer = await new Promise((resolve, reject) =>
		{
			const socket = net.connect(notifier.port, '127.0.0.1', () =>
				socket.write(`GET ${where} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`));
			let text = '';
			socket.on('data', (data) => { text += data; });
			socket.on('close', () => resolve(text));
			socket.on('error', reject);
		});
		assert.ok(!answer.includes('not for you') && !answer.includes('root:'), where);
		assert.match(answer, /^HTTP\/1\.[01] (400|403|404)/, where);
	}
});

describe('origins', () =>
{
	test('a foreign page: 403 forbidden, by every transport', async () =>
	{
		const headers = { origin: 'https://evil.example' };
		await assert.rejects(stage.peer({ headers }), refusedWith(403, 'forbidden'));
		await assert.rejects(stage.events({ headers, subscribe: [item] }), refusedWith(403, 'forbidden'));
		assert.equal((await request(`${notifier.url}/v1/poll`, { method: 'POST', headers,
			body: { subscribe: [item], timeout: 1 } })).status, 403);
	});

	test('the configured one, the own host, none', async () =>
	{
		for (const headers of [{ origin: 'https://shop.example' }, { origin: notifier.url }, {}])
			await (await stage.peer({ headers })).close();
		for (const origin of ['https://shop.example.evil.example', 'http://shop.example', 'null',
			'https://shop.example:444', 'https://SHOP.example.', ''])
			await assert.rejects(stage.peer({ headers: { origin } }), HandshakeRefused, origin);
	});
});

describe('handshake', () =>
{
	test('offered subprotocols must include ours', async () =>
	{
		await assert.rejects(stage.peer({ protocols: ['graphql-ws'] }), (error) => error instanceof Error);
		const none = await stage.peer({ protocols: [] });
		await none.close();
		const two = await stage.peer({ protocols: ['other', 'realtime.v1'] });
		assert.equal(two.socket.protocol, 'realtime.v1');
		await two.close();
	});

	test('a request that never ends is cut', async () =>
	{
		for (const text of ['', 'GET /v1/ws HT', 'GET /healthz HTTP/1.1\r\nHost: x\r\nX: '])
		{
			const socket = net.connect(notifier.port, '127.0.0.1', () => socket.write(text));
			socket.on('error', () => {});
			socket.resume();
			await within('the notifier hangs up', new Promise((resolve) => socket.on('close', resolve)), 15);
		}
	});
});

describe('limits', () =>
{
	test('connections of one user: 429 too_many_connections', async () =>
	{
		const peers = [];
		for (let i = 0; i < 3; i++)
			peers.push(await stage.peer({ claims: { sub: 'busy' } }));
		await assert.rejects(async () =>
		{
			const peer = await stage.peer({ token: stage.token({ sub: 'busy' }), isAuthed: false });
			const end = await peer.gone();
			if (end.code === 4029)
				throw new HandshakeRefused(429, '{"error":{"code":"too_many_connections"}}');
		}, refusedWith(429, 'too_many_connections'));
		await (await stage.peer({ claims: { sub: 'another' } })).close();
		await peers.pop().close();
		await until('a place is free', () => stage.peer({ claims: { sub: 'busy' } })
			.then((peer) => peers.push(peer), () => false));
		for (const peer of peers)
			await peer.close();
	});

	test('connections of all: 429, and free again', async () =>
	{
		const peers = [];
		const open = await notifier.metric('sessions');
		try
		{
			await assert.rejects(async () =>
			{
				for (let i = 0; i < 40; i++)
					peers.push(await stage.peer());
			}, refusedWith(429, 'too_many_connections'));
		}
		finally
		{
			for (const peer of peers)
				await peer.close();
		}
		assert.ok([29, 30].includes(peers.length + open), `${peers.length} and ${open}`);	// the last request's own
		await until('a place is free', () => stage.peer().then((peer) => peer.close().then(() => true), () => false));
	});

	test('messages: rate_limited, then 4029', async () =>
	{
		const peer = await stage.peer();
		for (let i = 0; i < 400 && !peer.closed; i++)
			peer.send({ op: 'ping', ref: i });
		const end = await peer.gone();
		assert.equal(end.code, 4029);
		const pongs = peer.frames.filter((f) => f.op === 'pong').length;
		assert.ok(pongs >= 50 && pongs <= 130, `${pongs} answered`);
		assert.ok(peer.frames.some((f) => f.op === 'error' && f.code === 'rate_limited') ||
			/rate/.test(end.reason));
	});

	test('a message too large: 1009', async () =>
	{
		const peer = await stage.peer();
		assert.equal((await peer.ask({ op: 'ping', pad: 'x'.repeat(3900) })).op, 'pong');
		peer.send({ op: 'ping', pad: 'x'.repeat(5000) });
		assert.equal((await peer.gone()).code, 1009);
	});

	test('a large message in fragments: 1009', async () =>
	{
		const peer = await stage.peer();
		for (let i = 0; i < 8 && !peer.closed; i++)
			peer.socket.send('x'.repeat(1000), { fin: false });
		assert.equal((await peer.gone()).code, 1009);
	});
});
