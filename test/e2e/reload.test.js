// SPDX-License-Identifier: PostgreSQL
//
// reload.test.js
//	Configuration by file and environment; SIGHUP takes over what can be, and leaves what is bad.

import test from 'node:test';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeToken, now } from './lib/jwt.js';
import { Stage } from './lib/stage.js';
import { until } from './lib/wait.js';

const stage = await Stage.open('reload', { isStarted: false, isAnonymous: false });
const item = { feature: 'shop', entity: 'item' };
const file = path.join(stage.directory, 'realtime.ini');
const secretFile = path.join(stage.directory, 'other-secret');
const configure = (lines) => writeFileSync(file, `# the tests' own\n${lines.join('\n')}\n`);
const OLD = 'the first secret, of more than 32 bytes';
const NEW = 'the second secret, of more than 32 bytes';
writeFileSync(secretFile, OLD);
configure(['max-subscriptions = 2', `jwt-secret-file = ${secretFile}`, 'anon-role = web_anon']);
stage.notifier = await stage.start({ flags: { config: file, 'jwt-secret-file': undefined },
	environment: { REALTIME_HEARTBEAT: '7' } });
const { notifier } = stage;

/** How many subscriptions a new session may have. */
async function limit()
{
	const peer = await stage.peer();
	let n = 0;
	while (n < 10 && await peer.refused({ op: 'subscribe', ...item, filter: [['id', 'eq', n]] })
		!== 'too_many_subscriptions')
		n++;
	await peer.close();
	return n;
}

const accepts = async (secret) =>
{
	const peer = await stage.peer();
	const answer = await peer.refused({ op: 'auth', token: makeToken({ role: 'web_user', exp: now() + 60 }, secret) });
	await peer.close();
	return answer.startsWith('not refused');
};

test('file, environment, and flags that win', async () =>
{
	assert.equal(await limit(), 2);
	const peer = await stage.peer();
	assert.equal(peer.welcome.heartbeat, 7);
	await peer.close();
	const other = await stage.start({ flags: { config: file, 'jwt-secret-file': undefined, heartbeat: 9 },
		environment: { REALTIME_HEARTBEAT: '7' } });
	const second = await stage.peer({ notifier: other });
	assert.equal(second.welcome.heartbeat, 9);
	await second.close();
	await other.stop();
});

test('SIGHUP: new limits for new sessions, and old sessions stay', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe(item);
	configure(['max-subscriptions = 4', `jwt-secret-file = ${secretFile}`, 'anon-role = web_anon']);
	notifier.kill('SIGHUP');
	await until('the new limit', async () => await limit() === 4);
	await peer.settle(await stage.write('INSERT INTO item (id) VALUES (1)'));
	assert.deepEqual(view.story, ['created 1']);
	await peer.close();
});

test('SIGHUP after SIGHUP: the last file counts', async () =>
{
	for (let n = 0; n < 30; n++)
	{
		configure([`max-subscriptions = ${1 + n % 5}`, `jwt-secret-file = ${secretFile}`, 'anon-role = web_anon']);
		notifier.kill('SIGHUP');
	}
	configure(['max-subscriptions = 4', `jwt-secret-file = ${secretFile}`, 'anon-role = web_anon']);
	notifier.kill('SIGHUP');
	await until('the last limit', async () => await limit() === 4);
});

test('SIGHUP: the secret is read again', async () =>
{
	assert.ok(await accepts(OLD));
	assert.ok(!await accepts(NEW));
	writeFileSync(secretFile, NEW);
	notifier.kill('SIGHUP');
	await until('the new secret', () => accepts(NEW));
	assert.ok(!await accepts(OLD));
});

test('SIGHUP: a bad file changes nothing, and the log says so', async () =>
{
	configure(['max-subscriptions = lots', 'anon-role = web_anon']);
	const seen = notifier.log.length;
	notifier.kill('SIGHUP');
	await until('a line about it', () => /max-subscriptions/.test(notifier.log.slice(seen)));
	assert.equal(await limit(), 4);
	assert.equal(await notifier.status('/readyz'), 200);
});

test('SIGHUP: no anonymous role any more', async () =>
{
	configure(['max-subscriptions = 4', `jwt-secret-file = ${secretFile}`, 'auth-timeout = 1']);
	notifier.kill('SIGHUP');
	await until('anonymous peers are refused', async () =>
	{
		const peer = await stage.peer();
		const code = await peer.refused({ op: 'subscribe', ...item });
		peer.terminate();
		return code === 'unauthorized';
	});
});
