// SPDX-License-Identifier: PostgreSQL
//
// tls.test.js
//	The same over TLS: written frames stay whole, versions, certificates that change.

import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Server, Raw, frameOf, request, websocket, pattern, until, stats } from './helper.js';

let directory;
let server;
const file = (name) => path.join(directory, name);

// A self-signed certificate of a name.
function certify(name) {
	execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
		'-subj', `/CN=${name}`, '-keyout', file('key.new'), '-out', file('cert.new')], { stdio: 'ignore' });
	fs.renameSync(file('key.new'), file('key.pem'));
	fs.renameSync(file('cert.new'), file('cert.pem'));
}

before(async () => {
	directory = fs.mkdtempSync(path.join(os.tmpdir(), 'tls.'));
	certify('first.example');
	server = await Server.start(['--tls-certificate', file('cert.pem'), '--tls-key', file('key.pem'),
		'--workers', '2', '--handshake-timeout', '2s', '--max-messages-per-minute', '100000']);
});
after(async () => {
	await server.stop();
	fs.rmSync(directory, { recursive: true });
});

test('requests', async () => {
	const raw = await Raw.open(server, { tls: {} });
	assert.match(raw.socket.getProtocol(), /^TLSv1\.[23]$/);
	assert.equal(raw.socket.getPeerCertificate().subject.CN, 'first.example');
	raw.write(request('GET', '/healthz') + request('GET', '/healthz', { Connection: 'close' }));
	assert.equal((await raw.answer()).body, 'ok\n');
	assert.equal((await raw.answer()).body, 'ok\n');
	await raw.end();
});

test('HTTP/2 is not agreed on', async () => {
	const raw = await Raw.open(server, { tls: { ALPNProtocols: ['h2', 'http/1.1'] } });
	assert.equal(raw.socket.alpnProtocol, 'http/1.1');
	raw.write(request('GET', '/healthz'));
	assert.equal((await raw.answer()).status, 200);
	raw.destroy();
});

test('old versions are refused', async () => {
	for (const version of ['TLSv1', 'TLSv1.1'])
		await assert.rejects(Raw.open(server, { tls: { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' } }));
	const raw = await Raw.open(server, { tls: { maxVersion: 'TLSv1.2' } });
	assert.equal(raw.socket.getProtocol(), 'TLSv1.2');
	raw.destroy();
});

test('frames of many megabytes to a slow reader, with pings between', async () => {
	const raw = await websocket(server, { tls: {} });
	raw.socket.pause();
	raw.write(Buffer.concat([frameOf(1, '{"op":"send","count":3,"size":4000000}'), frameOf(9, 'a'), frameOf(9, 'b')]));
	raw.socket.resume();
	let n = 0;
	let pongs = 0;
	while (n < 3 || pongs === 0) {
		const frame = await raw.frame();
		if (frame.opcode === 10) pongs++;
		else assert.ok(frame.text === pattern(n++, 4000000), `frame ${n} is whole`);
	}
	raw.destroy();
});

test('small frames, coalesced and cut anywhere, with pings', async () => {
	const raw = await websocket(server, { tls: {} });
	raw.socket.pause();
	raw.send('{"op":"send","count":50000,"size":200}');
	for (let i = 0; i < 10; i++) raw.write(frameOf(9, `${i}`));
	raw.socket.resume();
	let n = 0;
	let pongs = 0;
	while (n < 50000 || pongs < 10) {
		const frame = await raw.frame();
		if (frame.opcode === 10) pongs++;
		else assert.ok(frame.text === pattern(n, 200), `frame ${n++} is whole`);
	}
	raw.destroy();
});

test('a large message of the peer in one record after the other', async () => {
	const raw = await websocket(server, { tls: {} });
	raw.send('x'.repeat(65536));
	assert.equal((await raw.message()).length, 65536);
	raw.send('y');
	assert.equal(await raw.message(), 'y');
	raw.destroy();
});

test('closing', async () => {
	const raw = await websocket(server, { tls: {} });
	raw.write(Buffer.concat([frameOf(1, '{"op":"send","count":5,"size":100}'), frameOf(1, '{"op":"close","code":4003,"reason":"expired"}')]));
	for (let n = 0; n < 5; n++) assert.equal(await raw.message(), pattern(n, 100));
	assert.deepEqual(await raw.close(), { code: 4003, reason: 'expired' });
});

test('events and polls', async () => {
	const raw = await Raw.open(server, { tls: {} });
	raw.write(request('GET', '/v1/poll?feature=none') + request('GET', '/v1/events?feature=a'));
	assert.equal((await raw.answer()).json().frames.length, 2);
	assert.equal((await raw.answer()).headers['content-type'], 'text/event-stream');
	await raw.takeUntil('\n\n');
	raw.destroy();
});

test('who never shakes hands, or speaks without TLS', async () => {
	const silent = await Raw.open(server);
	const plain = await Raw.open(server);
	plain.write(request('GET', '/healthz'));
	await Promise.all([silent.end(), plain.end()]);
});

test('idle connections', async (t) => {
	const watcher = await websocket(server, { tls: {} });
	const { kb } = await stats(watcher);
	const holder = spawn(process.execPath, ['hold.js', String(server.port), '500', 'tls'], { stdio: ['pipe', 'pipe', 'inherit'] });
	let out = '';
	holder.stdout.on('data', (data) => { out += data; });
	await until('all are open', () => out.includes('held'));
	const now = await stats(watcher);
	assert.ok(now.open === 501);
	if (!process.env.SERVER_SANITIZED) t.diagnostic(`${Math.round(((now.kb - kb) * 1024) / 500)} bytes of memory per idle connection over TLS`);
	holder.stdin.end();
	await once(holder, 'exit');
	await until('all are gone', async () => (await stats(watcher)).open === 1);
	watcher.destroy();
});

test('certificates that change', async () => {
	const old = await websocket(server, { tls: {} });
	certify('second.example');
	server.process.kill('SIGHUP');
	await until('the new one is shown', async () => {
		const raw = await Raw.open(server, { tls: {} });
		const name = raw.socket.getPeerCertificate().subject.CN;
		raw.destroy();
		return name === 'second.example';
	});
	fs.writeFileSync(file('cert.pem'), 'no certificate');
	const from = server.log.length;
	server.process.kill('SIGHUP');
	await until('the reload is through', () => /tls_(failed|unreadable)/.test(server.log.slice(from)));
	const raw = await Raw.open(server, { tls: {} });
	assert.equal(raw.socket.getPeerCertificate().subject.CN, 'second.example', 'a bad file changes nothing');
	raw.destroy();
	old.send('still here');
	assert.equal(await old.message(), 'still here');
	old.destroy();
	certify('first.example');
});

test('a certificate that cannot be read ends the start', async () => {
	await assert.rejects(Server.start(['--tls-certificate', file('none.pem'), '--tls-key', file('key.pem')]), /the server ended/);
});
