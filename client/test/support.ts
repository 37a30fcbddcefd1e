// SPDX-License-Identifier: PostgreSQL
//
// support.ts
//	What the tests share: waiting for conditions, and clients of a fake server.

import assert from 'node:assert/strict';
import { RealtimeClient, type RealtimeClientOptions } from '../src/index.js';
import { FakeServer } from './fake-server.js';

interface After
{
	after: (work: () => void) => void;
}

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

/** Keeps the console quiet while errors are expected. */
export function quiet(t: After): void
{
	const { error } = console;

	console.error = () => {};
	t.after(() => { console.error = error; });
}

/** The browser around a page: it goes offline and comes back. Its events reach whoever has added a listener since. */
export function browser(t: After): { goOffline: () => void; goOnline: () => void }
{
	const target = new EventTarget();
	const had = Object.getOwnPropertyDescriptors(globalThis);
	const names = ['addEventListener', 'removeEventListener', 'navigator'] as const;
	let onLine = true;
	const tell = (is: boolean) =>
	{
		onLine = is;
		target.dispatchEvent(new Event(is ? 'online' : 'offline'));
	};
	const values = {
		addEventListener: target.addEventListener.bind(target), removeEventListener: target.removeEventListener.bind(target),
		navigator: { get onLine() { return onLine; } }
	};

	for (const name of names)
		Object.defineProperty(globalThis, name, { configurable: true, writable: true, value: values[name] });
	t.after(() => names.forEach((name) =>
	{
		if (had[name])
			Object.defineProperty(globalThis, name, had[name]);
		else
			delete (globalThis as Record<string, unknown>)[name];
	}));
	return { goOffline: () => tell(false), goOnline: () => tell(true) };
}

/** A server and a client of it, with short pauses. The client is closed when the test ends. */
export function setUp(t: After, options: RealtimeClientOptions = {}):
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
