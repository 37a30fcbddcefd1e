// SPDX-License-Identifier: PostgreSQL
//
// shared.test.ts
//	Tabs that share one connection: through a SharedWorker's hub, and by electing a leader. Tabs, locks and channels
//	are made here; the hub and the clients are real.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { RealtimeClient, type ClientOptions, type RealtimeEvent } from '../src/index.js';
import { Hub, sharedTransports, type Line } from '../src/shared.js';
import { FakeServer } from './fake-server.js';
import { turn, until } from './support.js';

/** The browser: locks and channels that its pages share, until a page is killed. */
class Browser
{
	private readonly held = new Map<string, symbol>();
	private readonly queue: { name: string; page: symbol; work: () => unknown }[] = [];
	private readonly channels = new Set<{ page: symbol; name: string; onmessage: ((event: { data: unknown }) => void) | null }>();
	private readonly dead = new Set<symbol>();

	/** What a page has of it. */
	page(): { locks: Pick<LockManager, 'request'>; BroadcastChannel: typeof BroadcastChannel; kill: () => void }
	{
		const browser = this;
		const page = Symbol('page');

		class Channel
		{
			readonly page = page;
			onmessage: ((event: { data: unknown }) => void) | null = null;

			constructor(readonly name: string)
			{
				browser.channels.add(this);
			}

			postMessage(data: unknown): void
			{
				const copy = structuredClone(data);

				for (const other of browser.channels)
				{
					if (other !== this && other.name === this.name && !browser.dead.has(page))
						setImmediate(() => !browser.dead.has(other.page) && browser.channels.has(other) && other.onmessage?.({ data: copy }));
				}
			}

			close(): void
			{
				browser.channels.delete(this);
			}
		}
		return {
			BroadcastChannel: Channel as unknown as typeof BroadcastChannel,
			locks: {
				request: (async (name: string, work: () => unknown) =>
				{
					browser.queue.push({ name, page, work });
					browser.grant();
				}) as LockManager['request']
			},
			kill: () =>
			{
				this.dead.add(page);
				for (const [name, holder] of this.held)
				{
					if (holder === page)
						this.held.delete(name);
				}
				this.grant();
			}
		};
	}

	/** Gives free locks to those who wait for them. */
	private grant(): void
	{
		for (const entry of [...this.queue])
		{
			if (this.held.has(entry.name))
				continue;
			this.queue.splice(this.queue.indexOf(entry), 1);
			if (this.dead.has(entry.page))
				continue;
			this.held.set(entry.name, entry.page);
			setImmediate(() => void Promise.resolve(entry.work()).then(() =>
			{
				if (this.held.get(entry.name) === entry.page)
					this.held.delete(entry.name);
				this.grant();
			}));
		}
	}
}

interface TabOfTest
{
	client: RealtimeClient;
	rows: () => string;
	seen: string[];
	hubs: Hub[];
	kill: () => void;
}

/** Opens tabs with a store and a feed each. */
function tabs(t: TestContext, server: FakeServer, browser: Browser, count: number, token?: () => string,
	delays: Partial<ClientOptions> = { minDelay: 2, maxDelay: 20 }): TabOfTest[]
{
	return Array.from({ length: count }, () =>
	{
		const page = browser.page();
		const hubs: Hub[] = [];
		const options = { ...delays, WebSocket: server.WebSocket, fetch: server.fetch };
		const client = new RealtimeClient('http://fake.example', {
			...options, ...(token && { token }), transports: sharedTransports({
				name: 'test', ...page, hub: (url) =>
				{
					const hub = new Hub(url, options);

					hubs.push(hub);
					return hub;
				}
			})
		});
		const store = client.entity('orders', 'order', { order: ['id'] });
		const seen: string[] = [];

		client.subscribeToEntity('orders', 'order', ({ meta }: RealtimeEvent) => seen.push(`${meta.tx}:${meta.seq}`));
		store.start();
		const kill = () =>
		{
			client.close();
			hubs.forEach((hub) => hub.client.close());
			page.kill();
		};

		t.after(() =>
		{
			store.stop();
			kill();
		});
		return { client, seen, hubs, kill, rows: () => store.items.map(({ id, data }) => `${id}${data.s ?? ''}`).join() };
	});
}

test('tabs share one connection; when the one that has it goes, another takes over and nothing is lost', async (t) =>
{
	const server = new FakeServer();
	const browser = new Browser();
	const expected: string[] = [];
	const insert = (id: number) => expected.push(`${server.database.insert({ id }).id}:0`);

	server.database.insert({ id: 1 });
	const all = tabs(t, server, browser, 3);

	await until(() => all.every(({ rows, client }) => rows() === '1' && client.position.value !== undefined));
	assert.equal(server.sessions.size, 1);
	insert(2);
	await until(() => all.every(({ rows, seen }) => rows() === '1,2' && seen.length === 1));
	assert.equal(all.filter(({ hubs }) => hubs.length > 0).length, 1);
	await all[2]!.client.sync(server.database.begin().rollback().id);
	// The leader goes: killed, as a tab that crashes.
	const leader = all.find(({ hubs }) => hubs.length > 0)!;
	const others = all.filter((tab) => tab !== leader);

	leader.kill();
	insert(3);
	await until(() => others.every(({ rows }) => rows() === '1,2,3'));
	assert.equal(server.sessions.size, 1);
	assert.deepEqual(others.map(({ seen }) => seen), [expected, expected]);
	// One that only listens goes: the hub hears of it.
	const hub = others.flatMap(({ hubs }) => hubs)[0]!;

	assert.equal(hub.size, 2);
	others.find(({ hubs }) => hubs.length === 0)!.kill();
	await until(() => hub.size === 1);
});

test('the hub\'s connection is lost: tabs say so, stay connected to it, and miss nothing; a gap is mended', async (t) =>
{
	const server = new FakeServer();
	const all = tabs(t, server, new Browser(), 2);

	server.database.insert({ id: 1 });
	await until(() => all.every(({ rows }) => rows() === '1'));
	server.blocked.add('websocket').add('events').add('poll');
	server.drop();
	await until(() => all.every(({ client }) => client.status.value.state === 'reconnecting'));
	server.database.insert({ id: 2 });
	server.blocked.clear();
	await until(() => all.every(({ rows, client }) => rows() === '1,2' && client.status.value.state === 'connected'));
	assert.deepEqual(all.map(({ client }) => client.stats.connections), [1, 1]);
	server.blocked.add('websocket').add('events').add('poll');
	server.drop();
	await until(() => all.every(({ client }) => client.status.value.state === 'reconnecting'));
	server.database.remove('1');
	server.database.insert({ id: 3 });
	server.database.forget();
	server.blocked.clear();
	await until(() => all.every(({ rows }) => rows() === '2,3'));
	assert.ok(all.every(({ client }) => client.stats.gaps > 0 && client.stats.badFrames === 0));
	server.database.insert({ id: 4 });
	await until(() => all.every(({ rows }) => rows() === '2,3,4'));
});

test('a pause of the hub ends when a tab is looked at, and when one comes; a tab that comes says what the hub has', async (t) =>
{
	const server = new FakeServer();
	const browser = new Browser();
	const slow = { minDelay: 1e8, maxDelay: 1e8, random: () => 1 };		// only waking ends a pause
	const [first] = tabs(t, server, browser, 1, () => 'token', slow);
	const state = (tab: TabOfTest) => tab.client.status.value.state;
	const lose = async () =>
	{
		server.blocked.add('websocket').add('events').add('poll');
		server.drop();
		await until(() => state(first!) === 'reconnecting');
		await until(() => server.sessions.size === 0);
	};

	server.database.insert({ id: 1 });
	await until(() => first!.rows() === '1');
	await lose();
	server.blocked.clear();
	first!.client.wake();
	await until(() => state(first!) === 'connected' && server.sessions.size === 1);
	await lose();
	// All is still blocked: the new one's waking does not help, and it says so.
	const [second] = tabs(t, server, browser, 1, () => 'token', slow);

	await until(() => state(second!) === 'reconnecting');
	assert.equal(server.sessions.size, 0);
	server.blocked.clear();
	const [third] = tabs(t, server, browser, 1, () => 'token', slow);

	server.database.insert({ id: 2 });
	await until(() => [first!, second!, third!].every((tab) => tab.rows() === '1,2' && state(tab) === 'connected'));
	assert.equal(server.sessions.size, 1);
});

test('the hub uses the tabs\' token, and asks them for another', async (t) =>
{
	const server = new FakeServer();
	let count = 0;

	server.isTokenNeeded = true;
	server.refuses = (token) => token === undefined;
	const all = tabs(t, server, new Browser(), 2, () => `token ${++count}`);

	await until(() => all.every(({ client }) => client.position.value !== undefined));
	server.inject({ op: 'expiring', expires: 1 });
	await until(() => server.session.received.filter(({ op }) => op === 'auth').length === 2);
	assert.match(server.session.received.filter(({ op }) => op === 'auth')[1].token, /^token [34]$/);
	server.refused = ({ entity }) => entity === 'secret' ? 'forbidden' : undefined;
	await assert.rejects(all[1]!.client.subscribeToEntity('orders', 'secret').next(), { code: 'forbidden' });
});

test('a line that the hub does not know is told to come again', async () =>
{
	const said: any[] = [];
	const line: Line = { post: (message) => said.push(message) };
	const hub = new Hub('http://fake.example', { WebSocket: new FakeServer().WebSocket });

	hub.receive(line, { message: { op: 'ping' } });
	assert.deepEqual(said, [{ closed: 'the hub does not know this tab' }]);
	hub.receive(line, { open: { token: undefined } });
	hub.receive(line, { message: { op: 'nonsense', ref: 3 } });
	assert.equal(JSON.parse(JSON.stringify(said)).at(-1).frame.code, 'bad_request');
	hub.close();
	assert.deepEqual(said.at(-1), { closed: 'the hub ends' });
	await turn();
});

test('a tab that was told a position before it subscribed is told it again behind its rows', async (t) =>
{
	const server = new FakeServer();
	const hub = new Hub('http://fake.example', { WebSocket: server.WebSocket, fetch: server.fetch });
	const subscribe = { message: { op: 'subscribe', ref: 1, feature: 'orders', entity: 'order', snapshot: true } };
	const tab = () =>
	{
		const said: string[] = [];
		const line: Line = {
			post: ({ frame }) => frame && said.push((({ op, position }: any) => op === 'position' ? `position ${position}` : op)(frame))
		};

		hub.receive(line, { open: { token: undefined } });
		return { line, said };
	};

	t.after(() => hub.close());
	server.database.insert({ id: 1 });
	const [first, second] = [tab(), tab()];

	hub.receive(first.line, subscribe);
	await until(() => first.said.at(-1)!.startsWith('position'));
	await until(() => second.said.at(-1)!.startsWith('position'));
	hub.receive(second.line, subscribe);
	await until(() => second.said.includes('snapshot') && second.said.at(-1)!.startsWith('position'));
	assert.deepEqual(second.said, ['welcome', first.said.at(-1), 'subscribed', 'snapshot', first.said.at(-1)]);
});

test('where nothing can be shared, the usual transports are used', () =>
{
	assert.deepEqual(sharedTransports({ name: 'x' }).map(({ name }) => name), ['websocket', 'events', 'poll']);
});
