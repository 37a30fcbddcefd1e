// SPDX-License-Identifier: PostgreSQL
//
// security_log.test.js
//	What is refused, and every limit that is hit, is one line of the log: what, why, from where, of whom; never what was
//	sent.

import test from 'node:test';
import assert from 'node:assert/strict';
import { HandshakeRefused } from './lib/peer.js';
import { request } from './lib/http.js';
import { makeToken } from './lib/jwt.js';
import { Stage } from './lib/stage.js';
import { until } from './lib/wait.js';

const stage = await Stage.open('security_log', { isAnonymous: false, flags: { 'max-subscriptions': 2, 'max-message': '2kB',
	'max-messages-per-minute': 30, 'max-connections-per-user': 1 } });
const { notifier } = stage;
const MARK = 'sent-by-somebody';		// in all that is sent
const members = ['time', 'level', 'event', 'code', 'why', 'reason', 'close', 'address', 'role', 'user'];
const item = { feature: 'shop', entity: 'item' };
const tokens = [];

const refusals = () => notifier.lines.filter(({ event }) => event === 'refused');

/** Does something that is refused, and asserts the line that says so: code, why (where the code does not say it), and of whom. */
function refuses(name, code, why, user, work)
{
	test(`${name}: ${code}`, async () =>
	{
		const before = refusals().length;
		const counted = async () => (await notifier.metrics()).get(`realtime_refusals_total{code="${code}"}`) ?? 0;
		const count = await counted();

		await work();
		const line = await until('the line', () => refusals().slice(before).find((one) => one.code === code));

		if (why)
			assert.match(line.why ?? line.reason, why);
		assert.equal(line.level, 'warning');
		assert.equal(line.address, '127.0.0.1');
		assert.equal(line.user ?? undefined, user);
		assert.deepEqual(Object.keys(line).filter((member) => !members.includes(member)), []);
		assert.ok(await counted() > count, 'and counted');
	});
}

/** A peer of a user, each time of another: one may have one connection. Asserts with which code it ends, if it does. */
async function as(user, work, end)
{
	const peer = await stage.peer({ token: remember(stage.token({ sub: user })) });

	await work(peer);
	if (end === undefined)
		return peer.close();
	return assert.equal((await peer.gone()).code, end);
}

function remember(token)
{
	tokens.push(token);
	return token;
}

refuses('a token of another secret', 'unauthorized', /signature/, undefined, async () =>
{
	const peer = await stage.peer();

	peer.send({ op: 'auth', ref: MARK, token: remember(makeToken({ role: 'web_user', sub: MARK }, 'x'.repeat(40))) });
	assert.equal((await peer.gone()).code, 4001);
});

refuses('no token', 'unauthorized', /token/, undefined, async () =>
{
	const peer = await stage.peer();

	assert.equal(await peer.refused({ op: 'subscribe', ...item, filter: [['name', 'eq', MARK]] }), 'unauthorized');
	await peer.close();
});

refuses('a foreign page', 'forbidden', /origin/i, undefined, async () =>
	assert.equal((await request(`${notifier.url}/v1/poll`, { method: 'POST', headers: { origin: 'https://evil.example' },
		body: { subscribe: [{ ...item, filter: [['name', 'eq', MARK]] }] } })).status, 403));

refuses('a subscription that the role may not have', 'forbidden', /role/, 'ann', () => as('ann', async (peer) =>
	assert.equal(await peer.refused({ op: 'subscribe', feature: 'shop', entity: 'hidden', filter: [['name', 'eq', MARK]] }), 'forbidden')));

refuses('a column that the role may not read', 'forbidden', /read/, 'eve', async () =>
{
	const peer = await stage.peer({ token: remember(stage.token({ sub: 'eve', role: 'web_clerk' })) });

	assert.equal(await peer.refused({ op: 'subscribe', ...item, filter: [['secret', 'eq', MARK]] }), 'forbidden');
	await peer.close();
});

refuses('too many subscriptions', 'too_many_subscriptions', /subscriptions/, 'ben', () => as('ben', async (peer) =>
{
	for (const name of ['a', 'b'])
		await peer.subscribe({ ...item, filter: [['name', 'eq', `${MARK} ${name}`]] });
	assert.equal(await peer.refused({ op: 'subscribe', ...item, filter: [['name', 'eq', MARK]] }), 'too_many_subscriptions');
}));

refuses('too many connections of a user', 'too_many_connections', undefined, 'cleo', () => as('cleo', async () =>
	assert.rejects(async () =>
	{
		const peer = await stage.peer({ token: remember(stage.token({ sub: 'cleo' })), isAuthed: false });

		throw new HandshakeRefused((await peer.gone()).code, '');
	}, ({ status }) => status === 429 || status === 4029)));

refuses('too many messages', 'rate_limited', undefined, undefined, () => as('dora', (peer) =>
{
	for (let n = 0; n < 100; n++)
		peer.send({ op: 'ping', ref: `${MARK} ${n}` });
}, 4029));

refuses('ten messages that are none', 'bad_frame', /JSON/, 'fred', () => as('fred', (peer) =>
{
	for (let n = 0; n < 10; n++)
		peer.send(`${MARK} {`);
}, 1008));

refuses('bytes that are no text', 'bad_frame', /UTF-8/, undefined, () => as('gina', (peer) =>
	peer.socket.send(Buffer.from([...Buffer.from(MARK), 0xff]), { binary: false }), 1007));

refuses('a message that is too large', 'too_large', /large/, undefined, () => as('henk', (peer) =>
	peer.send({ op: 'ping', pad: MARK.repeat(200) }), 1009));

test('nothing of all that was sent is in the log', () =>
{
	const { log } = notifier;

	assert.ok(refusals().length >= 11, 'the lines are there');
	assert.ok(!log.includes(MARK));
	for (const token of tokens)
	{
		for (const part of token.split('.'))
			assert.ok(!log.includes(part));
	}
});
