// SPDX-License-Identifier: PostgreSQL
//
// connection.test.ts
//	The connection and what the browser says of the network; tokens that live for less than the server's notice.

import assert from 'node:assert/strict';
import test from 'node:test';
import { longPoll, serverSentEvents } from '../src/index.js';
import { browser, setUp, turn, until } from './support.js';

test('offline is told at once, with its reason; nothing is tried until online, which does not wait', async (t) =>
{
	const page = browser(t);
	const { server, client } = setUp(t, { minDelay: 1, maxDelay: 1e7, random: () => 1 });
	const states: string[] = [];
	const seen: unknown[] = [];

	client.status.subscribe(({ state, reason }) => states.push(`${state} ${reason ?? ''}`));
	client.subscribeToEntity('orders', 'order', ({ id }) => seen.push(id));
	await until(() => server.session?.views.size === 1);
	page.goOffline();
	assert.deepEqual([client.status.value.state, client.status.value.reason], ['reconnecting', 'offline']);
	server.database.insert({ id: 1 });
	await turn(20);
	assert.deepEqual([server.opened, server.sessions.size], [1, 0]);
	page.goOnline();
	await until(() => client.status.value.state === 'connected');
	await until(() => seen.length === 1);
	assert.deepEqual(states.filter((one, i) => one !== states[i - 1]), ['connecting ', 'connected ', 'reconnecting offline', 'connected ']);
	client.close();
	page.goOffline();
	assert.equal(client.status.value.state, 'disconnected', 'nobody wants a connection');
});

test('a page that starts offline says so, keeps its transport, and is live when the network comes', async (t) =>
{
	const page = browser(t);
	const { server, client } = setUp(t, { minDelay: 1, maxDelay: 1e7, random: () => 1 });

	page.goOffline();
	['websocket', 'events', 'poll'].forEach((name) => server.blocked.add(name));
	client.connect();
	await until(() => client.status.value.reason === 'offline');
	assert.equal(client.status.value.state, 'connecting');
	await turn(20);
	assert.equal(server.requests.length, 0, 'no other transport is tried');
	server.blocked.clear();
	page.goOnline();
	await until(() => client.status.value.state === 'connected');
	assert.equal(client.status.value.transport, 'websocket');
});

for (const transports of [undefined, [serverSentEvents], [longPoll]])
{
	test(`tokens that live for less than a minute are renewed at half of their time: ${transports?.[0]!.name ?? 'websocket'}`, async (t) =>
	{
		const reasons: string[] = [];
		const { server, client } = setUp(t, {
			...(transports && { transports }),
			token: (reason) => `token ${reasons.push(reason)}`
		});
		const ends = new Map<unknown, number>();
		let seconds = 40;

		// As a notifier does: less than its notice is left of each token, so it says so at once.
		server.greeting = (token) =>
		{
			ends.set(token, ends.get(token) ?? Date.now() / 1000 + seconds);
			return [{ op: 'expiring', expires: ends.get(token) }];
		};
		client.subscribeToEntity('orders', 'order', () => {});
		await until(() => client.status.value.state === 'connected' && server.session?.views.size === 1);
		await turn(100);
		assert.deepEqual(reasons, ['connect'], 'no token is asked for while the first is young');
		seconds = 2.4;
		client.close();
		client.connect();
		await until(() => reasons.length >= 4, 'renewed twice');
		assert.deepEqual(reasons.slice(0, 4), ['connect', 'connect', 'expiring', 'expiring']);
	});
}

test('an answer that comes in pieces for longer than an attempt may take', async (t) =>
{
	const position = '1-0123456789abcdef/10:10:';
	const frames = JSON.stringify({ frames: [
		{ op: 'welcome', session: '1', protocol: 1, epoch: '1-0123456789abcdef', heartbeat: 25 },
		{ op: 'subscribed', ref: 0, view: '1', position, feature: 'orders', entity: 'order' }, { op: 'position', position }
	], position }).replace(',{', ' '.repeat(20) + ',{');		// blanks, as signs of life
	let asked = 0;
	const { client } = setUp(t, {
		transports: [longPoll],
		connectTimeout: 300,
		fetch: (async (_url: unknown, { signal }: { signal: AbortSignal }) =>
		{
			if (asked++ > 0)		// the first answer is all that comes
				return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
			const bytes = new TextEncoder().encode(frames);
			let at = 0;
			return new Response(new ReadableStream({
				async pull(controller)
				{
					await new Promise((resolve) => setTimeout(resolve, 40));
					if (at >= bytes.length)
						return controller.close();
					controller.enqueue(bytes.subarray(at, at += 20));
				}
			}));
		}) as unknown as typeof fetch
	});
	const states: string[] = [];
	client.status.subscribe(({ state }) => states.push(state));
	client.subscribeToEntity('orders', 'order', () => {});
	await until(() => client.status.value.state === 'connected');
	assert.ok(frames.length / 20 * 40 > 600, 'twice what an attempt may take');
	assert.deepEqual(states.filter((one, i) => one !== states[i - 1]), ['connecting', 'connected']);
});
