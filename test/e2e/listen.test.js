// SPDX-License-Identifier: PostgreSQL
//
// listen.test.js
//	Where a notifier listens: several TCP addresses, a unix socket, TLS; and bad configurations.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import { Peer } from './lib/peer.js';
import { request } from './lib/http.js';
import { Notifier, freePort } from './lib/notifier.js';
import { Stage } from './lib/stage.js';
import { until } from './lib/wait.js';

const stage = await Stage.open('listen', { isStarted: false });
const item = { feature: 'shop', entity: 'item' };
let id = 0;

/** A peer on a URL gets a snapshot, an event and a large one. */
async function use(url, socket)
{
	const peer = await Peer.connect(url, { socket });
	const view = await peer.subscribe({ ...item, snapshot: true });
	await peer.settle(await stage.write(`INSERT INTO item (id, name) VALUES (${++id}, repeat('x', 600000))`));
	assert.deepEqual(view.story, [`created ${id}`]);
	assert.equal(view.events[0].data.name.length, 600000);
	await peer.close();
}

test('two TCP addresses and a unix socket', async () =>
{
	const socket = path.join(stage.directory, 's');
	const ports = [await freePort(), await freePort()];
	const notifier = await stage.start({ port: ports[0],
		flags: { listen: `127.0.0.1:${ports[0]}, 127.0.0.1:${ports[1]}, unix:${socket}` } });
	for (const port of ports)
		await use(`ws://127.0.0.1:${port}/v1/ws`);
	await use(`ws+unix://${socket}:/v1/ws`);
	assert.equal((await request('http://x/healthz', { socketPath: socket })).status, 200);
	await notifier.stop();
	assert.ok(!existsSync(socket), 'the socket goes with it');
});

test('a unix socket left by a dead notifier is taken over; one in use is not', async () =>
{
	const socket = path.join(stage.directory, 't');
	const port = await freePort();
	const flags = { listen: `127.0.0.1:${port}, unix:${socket}` };
	const first = await stage.start({ port, flags });
	await first.crash();
	assert.ok(existsSync(socket));
	const second = await stage.start({ port, flags });
	await use(`ws+unix://${socket}:/v1/ws`);
	const third = await Notifier.start({ isReady: false, database: stage.conninfo,
		flags: { ...stage.flags, listen: `unix:${socket}` } });
	assert.notEqual((await third.exited).status, 0);
	await third.forget();
	await use(`ws+unix://${socket}:/v1/ws`);
	await second.stop();
});

describe('TLS', () =>
{
	const certificate = (name) =>
	{
		const files = { cert: path.join(stage.directory, `${name}.crt`), key: path.join(stage.directory, `${name}.key`) };
		execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1',
			'-nodes', '-keyout', files.key, '-out', files.cert, '-days', '30', '-subj', `/CN=${name}`,
			'-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'], { stdio: 'ignore' });
		return files;
	};
	let notifier;
	let files;

	test('WebSocket and HTTP over TLS', async () =>
	{
		files = certificate('first');
		const port = await freePort();
		notifier = await stage.start({ port, isReady: false,
			flags: { 'tls-certificate': files.cert, 'tls-key': files.key } });
		const ca = readFileSync(files.cert);
		await until('ready', async () =>
			(await request(`https://127.0.0.1:${port}/readyz`, { ca, seconds: 5 }).catch(() => ({}))).status === 200);
		await use(`wss://127.0.0.1:${port}/v1/ws`, { ca });
		const answer = await request(`https://127.0.0.1:${port}/v1/poll`, { ca, method: 'POST',
			body: { subscribe: [{ ...item, snapshot: true }], timeout: 1 } });
		assert.equal(answer.status, 200);
		assert.ok(answer.body.length > 600000);
		await assert.rejects(Peer.connect(`ws://127.0.0.1:${port}/v1/ws`), 'no plain text on a TLS port');
	});

	test('old versions of TLS are refused; a handshake that stops is cut', async () =>
	{
		const code = await new Promise((resolve) =>
		{
			const socket = tls.connect({ port: notifier.port, host: '127.0.0.1', rejectUnauthorized: false,
				minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
			() => resolve('connected'));
			socket.on('error', (error) => resolve(error.code));
		});
		assert.notEqual(code, 'connected');
	});

	test('a new certificate at SIGHUP; sessions stay', async () =>
	{
		const peer = await Peer.connect(`wss://127.0.0.1:${notifier.port}/v1/ws`,
			{ socket: { ca: readFileSync(files.cert) } });
		const view = await peer.subscribe(item);
		const next = certificate('second');
		for (const [to, from] of [[files.cert, next.cert], [files.key, next.key]])
			writeFileSync(to, readFileSync(from));
		notifier.kill('SIGHUP');
		await until('the new certificate is shown', () => new Promise((resolve) =>
		{
			const socket = tls.connect({ port: notifier.port, host: '127.0.0.1', rejectUnauthorized: false },
				() =>
				{
					resolve(socket.getPeerCertificate().subject.CN === 'second');
					socket.destroy();
				});
			socket.on('error', () => resolve(false));
		}));
		await peer.settle(await stage.write(`INSERT INTO item (id) VALUES (${++id})`));
		assert.deepEqual(view.story, [`created ${id}`]);
		await peer.close();
		await notifier.stop();
	});
});

describe('a start that cannot be', () =>
{
	const attempts = {
		'an unknown flag': { dance: 'yes' },
		'a number that is none': { workers: 'many' },
		'a number out of range': { heartbeat: 0 },
		'a certificate without a key': { 'tls-certificate': '/nonexistent' },
		'a secret file that is not there': { 'jwt-secret-file': '/nonexistent/secret' },
		'a key set that is not there': { jwks: '/nonexistent/jwks.json' },
		'a configuration file that is not there': { config: '/nonexistent/file' },
		'an address that is none': { listen: 'nowhere' },
		'a directory that is not there': { static: '/nonexistent' },
		'a port in use': undefined
	};
	for (const [name, flags] of Object.entries(attempts))
		test(name, async () =>
		{
			let more = flags;
			let other;
			if (!more)
			{
				other = await stage.start();
				more = { listen: `127.0.0.1:${other.port}` };
			}
			const notifier = await Notifier.start({ isReady: false, database: stage.conninfo,
				flags: { ...stage.flags, ...more } });
			const { status, signal } = await Promise.race([notifier.exited,
				new Promise((resolve) => setTimeout(resolve, 15000, {}))]);
			if (status === undefined)
				await notifier.crash();
			assert.equal(signal, null);
			assert.ok(status > 0 && status < 90, `${status}: ${notifier.tail()}`);
			assert.ok(notifier.log.trim().length > 0, 'and says why');
			notifier.check();
			await notifier.forget();
			await other?.stop();
		});

	test('--version and --help', () =>
	{
		const version = execFileSync(process.env.RT_NOTIFIER, ['--version'], { encoding: 'utf8' });
		assert.match(version, /\d+\.\d+/);
		assert.match(execFileSync(process.env.RT_NOTIFIER, ['--help'], { encoding: 'utf8' }), /--anon-role/);
	});
});
