// SPDX-License-Identifier: PostgreSQL
//
// auth.test.js
//	Who a peer is: tokens by message, header and subprotocol; wrong, expired and renewed ones; none.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { HandshakeRefused, Refusal } from './lib/peer.js';
import { makeKeys, makeToken, makeUnsignedToken, now, signToken } from './lib/jwt.js';
import { SECRET, Stage } from './lib/stage.js';

const stage = await Stage.open('auth', { isAnonymous: false,
	flags: { 'auth-timeout': 2, 'jwt-leeway': 0, 'jwt-audience': 'shop' } });
const claims = { aud: 'shop' };
const token = (more) => stage.token({ ...claims, ...more });
const item = { feature: 'shop', entity: 'item' };

const auth = (peer, text) => peer.ask({ op: 'auth', token: text });

describe('a good token', () =>
{
	test('in the first message', async () =>
	{
		const peer = await stage.peer();
		const expires = now() + 1000;
		const answer = await auth(peer, token({ sub: 'ada', exp: expires }));

		assert.deepEqual({ role: answer.role, user: answer.user, expires: answer.expires },
			{ role: 'web_user', user: 'ada', expires });
		assert.ok((await peer.subscribe(item)).id);
		await peer.close();
	});

	test('in the header', async () =>
	{
		const peer = await stage.peer({ token: token({ sub: 'grace' }) });

		assert.equal(peer.checker.identity.user, 'grace');
		assert.ok((await peer.subscribe(item)).id);
		await peer.close();
	});

	test('as a subprotocol', async () =>
	{
		const peer = await stage.peer({ protocols: ['realtime.v1', `bearer.${token()}`] });

		await peer.until('authenticated', () => peer.checker.identity);
		assert.equal(peer.socket.protocol, 'realtime.v1', 'the token is not chosen as protocol');
		assert.ok((await peer.subscribe(item)).id);
		await peer.close();
	});

	test('without an end, without a user', async () =>
	{
		const peer = await stage.peer();
		const answer = await auth(peer, makeToken({ role: 'web_user', ...claims }, SECRET));

		assert.equal(answer.expires, null);
		assert.equal(answer.user, null);
		await peer.close();
	});
});

test('the URL is never read for a token', async () =>
{
	const peer = await stage.peer({ notifier: { connect: (o) =>
		stage.notifier.connect.call({ wsUrl: `${stage.notifier.wsUrl}?token=${token()}&access_token=${token()}` }, o) } });

	assert.equal(await peer.refused({ op: 'subscribe', ...item }), 'unauthorized');
	await peer.close();
});

const wrong = {
	'another secret': () => makeToken({ role: 'web_user', ...claims }, 'x'.repeat(40)),
	'no signature': () => makeUnsignedToken({ role: 'web_user', ...claims }),
	'a changed payload': () =>
	{
		const [head, , tail] = token().split('.');
		const payload = Buffer.from(JSON.stringify({ role: 'postgres', ...claims })).toString('base64url');
		return [head, payload, tail].join('.');
	},
	'expired': () => token({ exp: now() - 10 }),
	'not yet valid': () => token({ nbf: now() + 1000 }),
	'another audience': () => token({ aud: 'bank' }),
	'no audience': () => token({ aud: undefined }),
	'no role': () => token({ role: undefined }),
	'a role that does not exist': () => token({ role: 'no_such_role' }),
	'a role that the notifier is no member of': () => token({ role: 'postgres' }),
	'a role that is no text': () => token({ role: ['web_user'] }),
	'an algorithm that is not configured': () => makeToken({ role: 'web_user', ...claims }, SECRET,
		{ alg: 'HS999' }),
	'not a token': () => 'abc',
	'empty parts': () => '..',
	'a huge token': () => `${'a'.repeat(20000)}.b.c`
};
describe('refused: error and close 4001', () =>
{
	for (const [name, make] of Object.entries(wrong))
		test(name, async () =>
		{
			const peer = await stage.peer();
			await assert.rejects(auth(peer, make()), (error) =>
			{
				assert.ok(error instanceof Refusal, error.stack);
				assert.equal(error.code, 'unauthorized');
				return true;
			});
			assert.equal((await peer.gone()).code, 4001);
		});
});

test('a wrong token in the header: 401, or refused with 4001', async () =>
{
	try
	{
		const peer = await stage.peer({ token: wrong['another secret'](), isAuthed: false });
		assert.equal((await peer.gone()).code, 4001);
	}
	catch (error)
	{
		assert.ok(error instanceof HandshakeRefused, error.stack);
		assert.equal(error.status, 401);
		assert.equal(error.code, 'unauthorized');
	}
});

test('without a token: nothing is answered but auth, then 4001', async () =>
{
	const peer = await stage.peer();

	assert.equal(await peer.refused({ op: 'subscribe', ...item }), 'unauthorized');
	assert.equal(await peer.refused({ op: 'sync', tx: '5' }), 'unauthorized');
	assert.equal((await peer.gone(10)).code, 4001);
});

test('an idle peer without a token: 4001 in time', async () =>
{
	const peer = await stage.peer();
	const start = performance.now();

	assert.equal((await peer.gone(10)).code, 4001);
	assert.ok(performance.now() - start > 1000, 'not before the time is over');
});

test('expiry: a warning, then 4003; frames until then', async () =>
{
	const peer = await stage.peer({ token: token({ seconds: 4 }) });
	const view = await peer.subscribe(item);
	const warned = await peer.frame('expiring', (f) => f.op === 'expiring');

	assert.equal(warned.expires, peer.checker.identity.expires);
	const tx = await stage.write("INSERT INTO item VALUES (1, 'before expiry')");
	await peer.settle(tx);
	assert.deepEqual(view.story, ['created 1']);
	const end = await peer.gone(15);
	assert.equal(end.code, 4003);
	assert.ok(Date.now() / 1000 >= warned.expires - 1, 'not before its time');
	assert.ok(peer.frames.some((f) => f.op === 'error' && f.code === 'expired') ||
		/expired/.test(end.reason));
});

test('renewal: auth again, and the session goes on beyond the first token', async () =>
{
	const peer = await stage.peer({ token: token({ sub: 'u1', seconds: 3 }) });
	const view = await peer.subscribe(item);

	await peer.frame('expiring', (f) => f.op === 'expiring');
	const answer = await auth(peer, token({ sub: 'u1', seconds: 3600 }));
	assert.equal(answer.role, 'web_user');
	// Beyond the end of the first: a heartbeat's worth of other work would do, the clock must pass.
	const first = now() + 4;
	await peer.until('the first token is over', () =>
	{
		peer.timer ??= setInterval(() => peer.wake(), 50);
		return now() > first;
	});
	clearInterval(peer.timer);
	const tx = await stage.write("INSERT INTO item VALUES (2, 'after renewal')");
	await peer.settle(tx);
	assert.deepEqual(view.story, ['created 2']);
	await peer.close();
});

test('a wrong renewal is an error while the earlier token holds', async () =>
{
	const peer = await stage.peer({ token: token() });

	await peer.subscribe(item);
	assert.equal(await peer.refused({ op: 'auth', token: wrong['another secret']() }), 'unauthorized');
	assert.equal((await peer.ask({ op: 'ping' })).op, 'pong');
	await peer.close();
});

test('a renewal does not make somebody else of the session silently', async () =>
{
	// Either refused, or the new role's rights hold from then on.
	const peer = await stage.peer({ token: token({ role: 'web_user' }) });
	const view = await peer.subscribe(item);
	let answer;
	try
	{
		answer = await auth(peer, token({ role: 'web_nobody', sub: 'u2' }));
	}
	catch (error)
	{
		assert.ok(error instanceof Refusal, error.stack);
	}
	const tx = await stage.write("INSERT INTO item VALUES (3, 'for web_user')");
	await peer.settle(tx);
	if (answer)
	{
		assert.equal(answer.role, 'web_nobody');
		assert.deepEqual(view.story, [], 'web_nobody may not read item');
	}
	else
		assert.deepEqual(view.story, ['created 3']);
	await peer.close();
});

test('the log says why and never shows a token', async () =>
{
	const bad = wrong['another secret']();
	const peer = await stage.peer();

	await peer.refused({ op: 'auth', token: bad });
	await peer.gone();
	assert.match(stage.notifier.log, /signature/);
	assert.ok(!stage.notifier.log.includes(bad.split('.')[2]));
	assert.ok(!stage.notifier.log.includes(SECRET));
});

describe('key sets', () =>
{
	const rsa = makeKeys('RS256', 'r1');
	const ec = makeKeys('ES256', 'e1');
	const stranger = makeKeys('RS256', 'r1');
	let notifier;

	test('RS256 and ES256 by a JWKS file', async () =>
	{
		const file = path.join(stage.directory, 'jwks.json');
		writeFileSync(file, JSON.stringify({ keys: [rsa.jwk, ec.jwk] }));
		notifier = await stage.start({ flags: { jwks: file, 'jwt-secret-file': undefined } });
		for (const keys of [rsa, ec])
		{
			const peer = await stage.peer({ notifier });
			const answer = await auth(peer, signToken({ role: 'web_user', sub: 'k', ...claims }, keys));
			assert.equal(answer.user, 'k');
			await peer.close();
		}
	});

	test('a stranger\'s key of the same name; HS256 with the public key as secret', async () =>
	{
		const pem = rsa.privateKey;
		const confused = makeToken({ role: 'web_user', ...claims },
			JSON.stringify(rsa.jwk), { kid: 'r1' });
		for (const text of [signToken({ role: 'web_user', ...claims }, stranger), confused,
			signToken({ role: 'web_user', ...claims }, { ...rsa, kid: 'e1', privateKey: pem })])
		{
			const peer = await stage.peer({ notifier });
			assert.equal(await peer.refused({ op: 'auth', token: text }), 'unauthorized');
			assert.equal((await peer.gone()).code, 4001);
		}
	});
});

test('anonymous: --anon-role is taken on without a token', async () =>
{
	const notifier = await stage.start({ flags: { 'anon-role': 'web_anon' } });
	const peer = await stage.peer({ notifier });
	const view = await peer.subscribe({ ...item, snapshot: true });

	assert.ok(view.rows.length > 0);
	assert.equal(await peer.refused({ op: 'subscribe', feature: 'shop', entity: 'hidden' }), 'forbidden');
	await peer.close();
	// A token still counts.
	const known = await stage.peer({ notifier, token: token({ sub: 'ada' }) });
	assert.equal(known.checker.identity.role, 'web_user');
	await known.close();
});
