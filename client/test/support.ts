// SPDX-License-Identifier: PostgreSQL
//
// support.ts
//	What the tests share: waiting for conditions, and clients of a fake server.

import assert from 'node:assert/strict';
import { RealtimeClient, type ClientOptions } from '../src/index.js';
import { FakeServer } from './fake-server.js';

/** Waits until a condition holds; fails with its text when it does not within some seconds. */
export async function until(condition: () => boolean, what = condition.toString(), ms = 5000): Promise<void>
{
	const end = performance.now() + ms;

	while (!condition())
	{
		assert.ok(performance.now() < end, `not in ${ms} ms: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 1));
	}
}

/** Lets everything go on that can go on without time passing. */
export async function turn(times = 3): Promise<void>
{
	for (let i = 0; i < times; i++)
		await new Promise((resolve) => setImmediate(resolve));
}

/** A server and a client of it, with short pauses. The client is closed when the test ends. */
export function setUp(t: { after: (work: () => void) => void }, options: ClientOptions = {}):
	{ server: FakeServer; client: RealtimeClient }
{
	const server = new FakeServer();
	const client = new RealtimeClient('http://fake.example/', {
		minDelay: 2, maxDelay: 20, WebSocket: server.WebSocket, fetch: server.fetch, ...options
	});

	t.after(() =>
	{
		client.close();
		server.drop();
	});
	return { server, client };
}
