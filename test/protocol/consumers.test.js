// SPDX-License-Identifier: PostgreSQL
//
// consumers.test.js
//	The consumers of examples/consumers against a server that plays a script: each prints every event
//	once, resumes by its position, and remembers both when it is killed.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const DIRECTORY = fileURLToPath(new URL('../../examples/consumers/', import.meta.url));
const SUBSCRIPTIONS = [{ feature: 'o', entity: 'o' }];
const SECONDS = 30;

const at = (n) => `1-ab/${n}:${n}:`;
const position = (n) => ({ op: 'position', position: at(n) });
const commit = (tx, seqs, more) => ({ op: 'commit', view: '1', tx: String(tx), part: 0, last: true, ...more,
	events: seqs.map((seq) => ({ event: 'o.o.sent', feature: 'o', entity: 'o', action: 'sent', id: null, data: 'é'.repeat(10),
		meta: { timestamp: '2026-11-22T19:00:00.123456Z', tx: String(tx), seq, userId: null, sessionId: null, priority: 'normal' } })) });

// One connection of the script: what since must be, what is sent, whether it ends by itself.
const SCRIPT = [
	{ since: undefined, frames: [commit(10, [0, 1]), position(11), commit(11, [0])], ends: true },
	{ since: at(11), frames: [commit(11, [0, 1]), position(12), commit(13, [0], { merged: true }), commit(14, [0])], ends: true },
	{ since: at(12), frames: [commit(12, [0]), commit(13, [0]), commit(14, [0]), { op: 'later' }, position(15), commit(15, [0])] },
	{ since: at(15), frames: [commit(15, [0, 1]), { op: 'gap', view: '1', reason: 'bulk', position: at(16) }, position(16)] },
];
// What each of two runs prints, and what the state's file must hold before the first is killed.
const RUNS = [
	{ printed: ['10/0', '10/1', '11/0', '11/1', '13/0', '14/0', '12/0', '13/0', '14/0', '15/0'], state: ({ seen }) => seen.includes('15/0') },
	{ printed: ['15/1', 'bulk'], state: ({ since }) => since === at(16) },
];

// A server that plays the script; since of each connection is checked there.
async function serve()
{
	const faults = [];
	const script = [...SCRIPT];
	const server = http.createServer(async (request, response) =>
	{
		let body = '';
		for await (const data of request)
			body += data;
		const { subscribe, since } = JSON.parse(body);
		const step = script.shift();

		if (!step)
			return response.writeHead(503).end('{"error":{"code":"unavailable","message":"the script is over"}}');
		try
		{
			assert.equal(`${request.method} ${request.url}`, 'POST /v1/events');
			assert.equal(request.headers.authorization, 'Bearer secret');
			assert.deepEqual(subscribe, SUBSCRIPTIONS);
			assert.equal(since ?? undefined, step.since);
		}
		catch (error)
		{
			faults.push(error);
		}
		response.writeHead(200, { 'content-type': 'text/event-stream' });
		const frames = [{ op: 'welcome', session: 's', protocol: 1, epoch: '1-ab', heartbeat: 25 },
			{ op: 'subscribed', ref: 0, view: '1', position: since ?? at(10), feature: 'o', entity: 'o' }, ...step.frames];
		const text = frames.map((frame) => `${frame.op === 'position' ? `id: ${frame.position}\n` : ''}data: ${JSON.stringify(frame)}\n\n`).join(':\n\n');
		const bytes = Buffer.from(text);
		// In two pieces, cut inside a character.
		const cut = bytes.indexOf(0xc3) + 1;
		response.write(bytes.subarray(0, cut));
		setImmediate(() => (step.ends ? response.end(bytes.subarray(cut)) : response.write(bytes.subarray(cut))));
	});

	server.listen(0, '127.0.0.1');
	await once(server, 'listening');
	return { server, faults, url: `http://127.0.0.1:${server.address().port}` };
}

// The state that a consumer has kept; null before it has.
function read_state(file)
{
	try
	{
		return JSON.parse(readFileSync(file, 'utf8'));
	}
	catch
	{
		return null;
	}
}

// Runs a consumer until its state is as wanted, then kills it with all it started; returns its lines.
async function consume(command, args, is_done)
{
	const file = args.at(-1);
	const child = spawn(command, args, { detached: true, env: { ...process.env, REALTIME_TOKEN: 'secret' } });
	const closed = once(child, 'close');
	const timer = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), SECONDS * 1000);
	let out = '';
	let err = '';

	child.stderr.on('data', (data) => { err += data; });
	child.stdout.setEncoding('utf8');
	child.stdout.on('data', (data) => { out += data; });
	for (let state = null; child.exitCode === null && child.signalCode === null && !(state && is_done(state)); state = read_state(file))
		await wait(20);
	clearTimeout(timer);
	if (child.exitCode === null && child.signalCode === null)
		process.kill(-child.pid, 'SIGKILL');
	await closed;
	const lines = out.split('\n').filter(Boolean).map((line) => JSON.parse(line));
	assert.notEqual(lines.length, 0, err);
	for (const line of lines)
		assert.ok(line.op === 'gap' || line.data === 'é'.repeat(10), JSON.stringify(line));
	return lines.map((line) => line.reason ?? `${line.meta.tx}/${line.meta.seq}`);
}

describe('consumers', { concurrency: false }, () =>
{
	for (const [command, name] of [[process.execPath, 'consumer.mjs'], ['python3', 'consumer.py'], ['bash', 'consumer.sh']])
		test(name, async () =>
		{
			const { server, faults, url } = await serve();
			const directory = mkdtempSync(join(tmpdir(), 'consumer-'));
			const args = [join(DIRECTORY, name), url, JSON.stringify(SUBSCRIPTIONS), join(directory, 'state.json')];

			try
			{
				for (const { printed, state } of RUNS)
					assert.deepEqual(await consume(command, args, state), printed);
				assert.deepEqual(faults, []);
			}
			finally
			{
				server.closeAllConnections();
				server.close();
				rmSync(directory, { recursive: true });
			}
		});
});
