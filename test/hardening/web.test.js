// SPDX-License-Identifier: PostgreSQL
//
// web.test.js
//	What pages, proxies, terminals and file systems would obey if it were let through: markup in events, line ends in headers,
//	streams and logs, paths that leave the static directory.

import test from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync, mkdtempSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Stage } from '../e2e/lib/stage.js';
import { request } from '../e2e/lib/http.js';
import { within } from '../e2e/lib/wait.js';

const top = mkdtempSync(path.join(process.env.RT_WORK, 'web.'));
const files = path.join(top, 'public');
mkdirSync(path.join(files, 'sub', 'deep'), { recursive: true });
mkdirSync(path.join(top, 'public2'));
writeFileSync(path.join(top, 'outside.txt'), 'SECRET');
writeFileSync(path.join(top, 'public2', 'x.txt'), 'SECRET');
writeFileSync(path.join(files, 'index.html'), '<!doctype html>index');
writeFileSync(path.join(files, 'sub', 'a.txt'), 'inside');
writeFileSync(path.join(files, '.env'), 'SECRET');
mkdirSync(path.join(files, '.git'));
writeFileSync(path.join(files, '.git', 'config'), 'SECRET');
symlinkSync(path.join(top, 'outside.txt'), path.join(files, 'link.txt'));
symlinkSync(top, path.join(files, 'up'));
symlinkSync('a.txt', path.join(files, 'sub', 'near.txt'));

const stage = await Stage.open('web', { flags: { static: files, 'log-format': 'text', workers: 1, 'log-level': 'debug' } });
const { notifier } = stage;

/** What is answered to bytes, until the connection ends. */
function exchange(text)
{
	return within('the end of the connection', new Promise((resolve) =>
	{
		const socket = net.connect(notifier.port, '127.0.0.1');
		let all = '';
		socket.setEncoding('latin1');
		socket.on('data', (data) => { all += data; });
		socket.on('close', () => resolve(all));
		socket.on('error', () => {});
		socket.write(text, 'latin1');
	}), 30);
}
const get = (target, headers = '') => exchange(`GET ${target} HTTP/1.1\r\nHost: x\r\n${headers}Connection: close\r\n\r\n`);

test('paths that leave the static directory, hidden files and links', async () =>
{
	assert.match(await get('/sub/a.txt'), /200 OK[^]*inside$/);
	assert.match(await get('/sub/near.txt'), /200 OK[^]*inside$/, 'a link that stays inside');
	const ups = ['../', '..%2f', '%2e%2e/', '%2e%2e%2f', '%2E%2E/', '..%5c', '..\\', '.%2e/', '%252e%252e/', '..;/', '....//', './../', '%c0%ae%c0%ae/', '..%00/', '..%0d%0a/'];
	for (const up of ups)
		for (const target of [`/${up}outside.txt`, `/sub/${up}${up}outside.txt`, `/sub/deep/${up}${up}${up}outside.txt`, `/${up}public2/x.txt`, `/${up.repeat(12)}etc/passwd`,
			`/sub${up}outside.txt`])
		{
			const answer = await get(target);
			assert.match(answer, /^HTTP\/1.1 4\d\d /, target);
			assert.ok(!/SECRET|root:/.test(answer), target);
		}
	for (const target of ['/link.txt', '/up/outside.txt', '/up/public2/x.txt', '/up/public/index.html/../../outside.txt', '/.env', '/%2eenv', '/.git/config', '/sub/../.env', '//etc/passwd',
		'/etc/passwd', 'file:///etc/passwd', 'http://x/../outside.txt', '/sub/a.txt/', '/sub/a.txt%00.html', '/index.html%00', `/${'a/'.repeat(4000)}`, `/${'a'.repeat(2000)}`, '/proc/self/environ', '*'])
	{
		const answer = await get(target);
		assert.match(answer, /^HTTP\/1.1 4\d\d /, target);
		assert.ok(!/SECRET|root:/.test(answer), target);
	}
});

test('no header is made of what was sent', async () =>
{
	// A redirect to a directory: its own path, never another host, never a second header.
	for (const target of ['/sub', '//sub', '///sub', '/%2fsub', '/sub%0d%0aX-Evil:%201', '/sub/deep', '//evil.example/sub', '/\\evil.example', '/sub?%0d%0aX-Evil:1', 'http://evil.example/sub'])
	{
		const head = (await get(target)).split('\r\n\r\n')[0];
		assert.ok(!/\r\nX-Evil/i.test(head), target);
		const location = /\r\nLocation: (.*)/.exec(head)?.[1];
		if (location !== undefined)
			assert.match(location, /^\/(?![/\\])/, target);
	}
	for (const origin of ['http://x\rX-Evil: 1', 'http://x\nX-Evil: 1', 'http://x\tX-Evil: 1', 'http://evil.example', 'x'.repeat(5000)])
	{
		const answer = await exchange(`GET /v1/events?feature=shop HTTP/1.1\r\nHost: x\r\nOrigin: ${origin}\r\nConnection: close\r\n\r\n`);
		assert.match(answer, /^HTTP\/1.1 4/);
		assert.ok(!/\r\nX-Evil|Access-Control-Allow-Origin/i.test(answer.split('\r\n\r\n')[0]), JSON.stringify(origin));
	}
	for (const broken of ['X: a\r\n b\r\n', 'X : a\r\n', 'X\r\n', ': a\r\n', 'Content-Length: 0\r\nContent-Length: 5\r\n', 'Content-Length: +5\r\n', 'Content-Length: 0x5\r\n',
		'Transfer-Encoding: chunked\r\n', 'Transfer-Encoding: xchunked\r\nContent-Length: 3\r\n', 'X: a\nY: b\r\n', 'X: a\rY: b\r\n', 'X: \u0000\r\n', 'Host: y\r\n'])
	{
		const answer = await exchange(`GET /healthz HTTP/1.1\r\nHost: x\r\n${broken}\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n`);
		assert.match(answer, /^HTTP\/1.1 400 /, JSON.stringify(broken));
		assert.equal(answer.split('HTTP/1.1 ').length, 2, `one answer, no smuggled second request: ${JSON.stringify(broken)}`);
	}
});

test('markup in events, names and errors: types that no browser renders', async () =>
{
	const evil = '</script><script>alert(document.cookie)</script><img src=x onerror=alert(1)>';
	await stage.sql('INSERT INTO item (id, name) VALUES (1, $1)', [evil]);
	for (const [target, options] of [['/v1/poll?feature=shop&entity=item&snapshot=true&timeout=1', {}], [`/v1/poll?feature=${encodeURIComponent(evil)}&timeout=1`, {}],
		[`/v1/events?subscribe=${encodeURIComponent(evil)}`, {}], [`/${encodeURIComponent(evil)}`, {}], [`/v1/nothing?${encodeURIComponent(evil)}`, {}],
		['/v1/poll', { method: 'POST', body: evil }], ['/v1/poll', { method: 'POST', body: { subscribe: [{ feature: evil }], timeout: 1 } }], ['/metrics', {}], ['/healthz', {}]])
	{
		const { headers, body } = await request(notifier.url + target, options);
		assert.match(headers['content-type'], /^(application\/json|text\/plain)/, target);
		assert.equal(headers['x-content-type-options'], 'nosniff', target);
		if (headers['content-type'].startsWith('application/json'))
			JSON.parse(body);
	}
	const page = await request(`${notifier.url}/`);
	assert.equal(page.headers['x-frame-options'], 'SAMEORIGIN');
	assert.equal(page.headers['x-content-type-options'], 'nosniff');
});

test('line ends in values do not make lines of a stream of events', async () =>
{
	const events = await stage.events({ subscribe: [{ feature: 'shop', entity: 'item' }] });
	const [view] = await events.subscribed(1);
	const hostile = ['a\n\ndata: {"op":"gap"}\n\n', '\r\rid: 9-9/9:9:\r\r', '\u2028event: x\u2029', 'x\u0085y'];
	let id = 100;
	for (const text of hostile)
		await stage.sql('INSERT INTO item (id, name, note) VALUES ($1, $2, $3)', [++id, text, `{"a":\n\n"b"\r\n,\n\n"c":1}`]);
	const tx = await stage.write('INSERT INTO item (id) VALUES (200)');
	await events.covered(tx);
	assert.deepEqual(view.events.slice(0, 4).map((e) => e.data.name), hostile);
	assert.deepEqual(view.events[0].data.note, { a: 'b', c: 1 });
	assert.equal(events.violation, undefined);
	await events.close();
	// Columns and keys that a page's objects would take for their own.
	const peer = await stage.peer();
	await stage.sql(`CREATE TABLE odd (id text PRIMARY KEY, "__proto__" text, "constructor" text); SELECT realtime.enable('odd', 'shop', 'odd'); GRANT SELECT ON odd TO web_anon`);
	const odd = await peer.subscribe({ feature: 'shop', entity: 'odd' });
	await peer.settle(await stage.write(`INSERT INTO odd VALUES ('__proto__', 'p', 'c')`));
	assert.equal(odd.events[0].id, '__proto__');
	assert.deepEqual(Object.keys(odd.events[0].data), ['id', '__proto__', 'constructor']);
	assert.equal({}.p, undefined);
	await peer.close();
});

test('no line of the log is made of what was sent, and no terminal obeys it', async () =>
{
	const mark = 'FORGED';
	const user = `u\n2026-01-01T00:00:00.000Z error ${mark} \u001b[2J\u001b]0;x\u0007 \u009b31m`;
	const peer = await stage.peer({ claims: { sub: user } });
	await peer.refused({ op: 'subscribe', feature: 'shop', entity: 'hidden' });
	await peer.refused({ op: 'subscribe', feature: `x\n${mark}`, entity: '\u001b[2J' });
	await peer.close();
	await exchange(`GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: ${mark}\u001b[2J\r\nConnection: close\r\n\r\n`);
	await exchange(`GET /v1/events HTTP/1.1\r\nHost: x\r\nOrigin: http://${mark}\u009b\r\nConnection: close\r\n\r\n`);
	await stage.notifier.connect({ token: `${mark}.a.b` }).then(() => assert.fail('taken'), () => {});
	assert.ok(/refused/.test(notifier.log), 'refusals are logged');
	for (const line of notifier.log.split('\n').filter((l) => l !== ''))
	{
		assert.match(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (error|warning|info|debug) [a-z_]+( |$)/, line);
		// eslint-disable-next-line no-control-regex
		assert.ok(!/[\u0000-\u001f\u007f-\u009f]/.test(line), JSON.stringify(line));
		assert.ok(!line.includes(` error ${mark}`) || line.includes('\\n'), line);
	}
});
