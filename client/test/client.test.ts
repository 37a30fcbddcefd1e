// SPDX-License-Identifier: PostgreSQL
//
// client.test.ts
//	The client against the fake server: states, tokens, resuming, gaps, fallbacks, bad frames, listeners.

import assert from 'node:assert/strict';
import test from 'node:test';
import { RealtimeError, webSocket, type RealtimeEvent, type SnapshotRow, type Sink } from '../src/index.js';
import { setUp, turn, until } from './support.js';

/** A sink that writes down what it is told. */
function recorder(): Sink & { log: string[]; rows: Map<string, unknown>; seen: string[] }
{
	const log: string[] = [];
	const rows = new Map<string, unknown>();
	const seen: string[] = [];

	return {
		log, rows, seen,
		load: (loaded: SnapshotRow[]) =>
		{
			rows.clear();
			loaded.forEach(({ id, data }) => rows.set(String(id), data));
			log.push(`load ${loaded.length}`);
		},
		events: (events: RealtimeEvent[]) =>
		{
			for (const event of events)
			{
				seen.push(`${event.meta.tx}:${event.meta.seq}`);
				log.push(`${event.action} ${event.id}`);
				if (['created', 'updated', 'entered'].includes(event.action))
					rows.set(String(event.id), event.data);
				else if (['deleted', 'left'].includes(event.action))
					rows.delete(String(event.id));
			}
		},
		gap: (reason: string) => log.push(`gap ${reason}`),
		error: (error: RealtimeError) => log.push(`error ${error.code}`)
	};
}

test('connects when somebody subscribes, not before, and ends some time after the last is gone', async (t) =>
{
	const { server, client } = setUp(t, { linger: 5 });
	const states: string[] = [];
	const events: string[] = [];

	client.status.subscribe(({ state }) => states.push(state));
	await turn();
	assert.equal(server.opened, 0);
	assert.equal(client.status.value.state, 'disconnected');
	const end = client.subscribeToEntity('orders', 'order', ({ action, id }) => events.push(`${action} ${id}`));

	await until(() => server.session?.views.size === 1);
	server.database.insert({ id: 1 });
	await until(() => events.length === 1);
	assert.deepEqual(events, ['created 1']);
	end();
	server.database.insert({ id: 2 });
	await until(() => client.status.value.state === 'disconnected');
	assert.deepEqual(states, ['connecting', 'connected', 'disconnected']);
	assert.equal(client.status.value.reason, 'idle');
	assert.deepEqual(events, ['created 1']);
});

test('snapshot and stream join; a batch is applied whole, across views', async (t) =>
{
	const { server, client } = setUp(t);
	const [orders, all] = [recorder(), recorder()];
	let differences = 0;

	server.database.insert({ id: 1, status: 'new' });
	client.open({ feature: 'orders', entity: 'order', snapshot: true }, orders);
	client.open({ feature: 'orders' }, all);
	client.position.subscribe(() => { differences += Number(all.log.length + 1 !== orders.log.length); });
	await until(() => orders.log.length === 1);
	server.database.begin().update('1', { status: 'paid' }).insert({ id: 2 }).commit();
	await until(() => all.log.length === 2);
	assert.deepEqual(orders.log, ['load 1', 'updated 1', 'created 2']);
	assert.deepEqual([...orders.rows.values()], [{ id: 1, status: 'paid' }, { id: 2 }]);
	assert.equal(differences, 0);
});

test('what was not closed by a position is not applied, and comes again after a reconnect, once', async (t) =>
{
	const { server, client } = setUp(t);
	const sink = recorder();

	client.open({ feature: 'orders', entity: 'order', snapshot: true }, sink);
	await until(() => sink.log.length === 1);
	server.isManual = true;
	server.database.insert({ id: 1 });
	server.session.advance();
	server.session.deliver(1);
	assert.deepEqual(sink.log, ['load 0']);
	server.isManual = false;
	server.drop();
	server.database.insert({ id: 2 });
	await until(() => sink.log.length === 3);
	assert.deepEqual(sink.log, ['load 0', 'created 1', 'created 2']);
	assert.equal(client.stats.connections, 2);
	assert.equal(server.session.received.at(-1).since !== undefined, true);
});

test('frames that come twice are applied once', async (t) =>
{
	const { server, client } = setUp(t);
	const sink = recorder();

	client.open({ feature: 'orders', entity: 'order' }, sink);
	await until(() => client.position.value !== undefined);
	server.isManual = true;
	const { tx } = server.database.insert({ id: 1 });
	const [view] = server.session.views.keys();
	const event = {
		event: 'orders.order.created', feature: 'orders', entity: 'order', action: 'created', id: '1', data: { id: 1 },
		meta: { tx: String(tx), seq: 0, priority: 'normal' }
	};
	const commit = { op: 'commit', view, tx: String(tx), part: 0, last: true, events: [event] };

	server.session.send(commit);
	server.session.send(commit);
	server.session.send({ op: 'position', position: server.database.position() });
	server.session.send(commit);
	server.session.send({ op: 'position', position: server.database.position() });
	server.session.deliver();
	assert.deepEqual(sink.log, ['created 1']);
	assert.equal(client.stats.duplicates, 2);
});

test('identical subscriptions are one view; a snapshot on a live view is loaded beside it', async (t) =>
{
	const { server, client } = setUp(t);
	const [feed, list, other] = [recorder(), recorder(), recorder()];

	server.database.insert({ id: 1 });
	client.open({ feature: 'orders', entity: 'order', action: '*' }, feed);
	await until(() => client.position.value !== undefined);
	server.database.insert({ id: 2 });
	await until(() => feed.log.length === 1);
	client.open({ feature: 'orders', entity: 'order', snapshot: true }, list);
	const end = client.open({ feature: 'orders', entity: 'order', snapshot: true, limit: 1 }, other);
	server.database.insert({ id: 3 });
	await until(() => list.log.length > 0 && other.log.length > 0 && feed.log.length === 2);
	server.database.insert({ id: 4 });
	await until(() => feed.log.length === 3 && list.rows.size === 4 && other.rows.has('4'));
	assert.equal(server.sessions.size, 1);
	assert.equal(server.session.views.size, 1);
	assert.deepEqual([...list.rows.keys()].sort(), ['1', '2', '3', '4']);
	assert.equal(new Set(list.seen).size, list.seen.length);
	end();
	server.database.insert({ id: 5 });
	await until(() => feed.log.length === 4);
	assert.equal(other.rows.has('5'), false);
});

test('a load beside the stream that is further than the stream at rest: a position is asked for', async (t) =>
{
	const { server, client } = setUp(t);
	const positions: string[] = [];

	client.open({ feature: 'orders', entity: 'order' }, recorder());
	await until(() => client.position.value !== undefined);
	await turn(5);
	server.database.isSilent = true;
	server.database.begin().rollback();
	server.database.begin();		// and one that stays open
	client.open({ feature: 'orders', entity: 'order', snapshot: true }, { position: (position) => positions.push(position) });
	await until(() => positions.length === 1);
	assert.deepEqual(positions, [server.database.position()]);
});

test('a listener that resumes an older position joins a live view without loss or double', async (t) =>
{
	const { server, client } = setUp(t);
	const [feed, late] = [recorder(), recorder()];
	const since = server.database.position();

	server.database.insert({ id: 1 });
	client.open({ feature: 'orders', entity: 'order' }, feed);
	await until(() => client.position.value !== undefined);
	client.open({ feature: 'orders', entity: 'order', since }, late);
	server.database.insert({ id: 2 });
	await until(() => late.log.length >= 2);
	server.database.insert({ id: 3 });
	await until(() => late.log.length >= 3);
	assert.deepEqual(late.log, ['created 1', 'created 2', 'created 3']);
	assert.deepEqual(feed.log, ['created 2', 'created 3']);
});

for (const crash of [false, true])
{
	test(`history is ${crash ? 'void' : 'gone'} at a reconnect: gap, then a fresh snapshot`, async (t) =>
	{
		const { server, client } = setUp(t);
		const [list, feed] = [recorder(), recorder()];

		server.database.insert({ id: 1 });
		client.open({ feature: 'orders', entity: 'order', snapshot: true }, list);
		client.open({ feature: 'orders', entity: 'order' }, feed);
		await until(() => list.log.length === 1);
		server.blocked.add('websocket').add('events').add('poll');
		server.drop();
		server.database.remove('1');
		server.database.insert({ id: 2 });
		if (crash)
			server.database.crash();
		else
			server.database.forget();
		server.blocked.clear();
		await until(() => list.log.length === 3);
		const reason = crash ? 'epoch' : 'history';

		assert.deepEqual(list.log, ['load 1', `gap ${reason}`, 'load 1']);
		assert.deepEqual([...list.rows.keys()], ['2']);
		assert.deepEqual(feed.log, [`gap ${reason}`]);
		server.database.insert({ id: 3 });
		await until(() => feed.log.length === 2);
	});
}

test('transaction ids that are used again after a crash are not taken for old ones', async (t) =>
{
	const { server, client } = setUp(t);
	const [list, feed, beside] = [recorder(), recorder(), recorder()];

	client.open({ feature: 'orders', entity: 'order' }, feed);
	await until(() => client.position.value !== undefined);
	client.open({ feature: 'orders', entity: 'order', snapshot: true }, list);
	client.open({ feature: 'orders', entity: 'order', since: server.database.position() }, beside);
	await until(() => list.log.length === 1);
	assert.equal(server.requests.length, 1, 'nothing is asked for where nothing can be missing');
	for (let i = 0; i < 5; i++)
		server.database.begin().rollback();
	await client.sync('104');
	server.blocked.add('websocket').add('events').add('poll');
	server.drop();
	server.database.crash(4);
	server.blocked.clear();
	await until(() => client.stats.connections === 2 && list.log.length === 3);
	assert.equal(server.database.insert({ id: 1 }).id, '101');
	server.database.insert({ id: 2 });
	await until(() => feed.log.length === 3 && list.log.length === 5 && beside.log.length === 3);
	assert.deepEqual(feed.log, ['gap epoch', 'created 1', 'created 2']);
	assert.deepEqual(beside.log, feed.log);
	assert.deepEqual(list.log, ['load 0', 'gap epoch', 'load 0', 'created 1', 'created 2']);
});

test('a gap on a live view loads again: in the stream when all listeners want it, else beside', async (t) =>
{
	const { server, client } = setUp(t);
	const [list, feed] = [recorder(), recorder()];
	const gap = () =>
	{
		const [view] = server.session.views.keys();

		server.inject({ op: 'gap', view, reason: 'bulk', position: server.database.position() });
		server.changed();
	};

	client.open({ feature: 'orders', entity: 'order', snapshot: true }, list);
	await until(() => list.log.length === 1);
	server.database.rows.set('7', { id: 7 });
	gap();
	await until(() => list.log.length === 3);
	assert.deepEqual(list.log, ['load 0', 'gap bulk', 'load 1']);
	assert.equal(server.requests.length, 0);

	client.open({ feature: 'orders', entity: 'order' }, feed);
	server.database.rows.set('8', { id: 8 });
	gap();
	await until(() => list.log.length === 5);
	assert.deepEqual(list.log.slice(3), ['gap bulk', 'load 2']);
	assert.equal(server.requests.length, 1);
	assert.deepEqual(feed.log, ['gap bulk']);
	server.database.insert({ id: 9 });
	await until(() => list.rows.has('9') && feed.log.length === 2);
});

test('bad frames are counted and reported, thrown nowhere, and a gap where data may be lost', async (t) =>
{
	const problems: string[] = [];
	const { server, client } = setUp(t, { onBadFrame: (problem) => problems.push(problem) });
	const list = recorder();

	server.database.insert({ id: 1 });
	client.open({ feature: 'orders', entity: 'order', snapshot: true }, list);
	await until(() => list.log.length === 1);
	for (const harmless of [{ op: 'position', position: 'nonsense' }, { op: 'welcome' }, { op: 'error' }, { op: 'future', x: 1 }])
		server.inject(harmless);
	assert.equal(client.stats.badFrames, 3);
	for (const bad of [{ op: 'commit', tx: '1' }, { op: 'commit', tx: '101', events: [{ event: 'a.b.c' }] }, '{', 7, [],
		{ op: 'snapshot', last: true, rows: [3] }, { op: 'snapshot', part: 3, last: true, rows: [] }])
	{
		const count = list.log.length;
		const [view] = server.session.views.keys();

		server.inject(typeof bad === 'object' && 'op' in bad ? { ...bad, view } : bad);
		server.changed();
		await until(() => list.log.length === count + 2, JSON.stringify(bad));
		assert.deepEqual(list.log.slice(count), ['gap bad_frame', 'load 1']);
	}
	// The last one is a part without those before it: a good frame.
	assert.equal(client.stats.badFrames, 9);
	assert.equal(problems.length, 9);
	assert.equal(client.status.value.state, 'connected');
	server.inject({ op: 'gap', view: 'nobody', reason: 'bulk', position: server.database.position() });
	assert.equal(client.stats.badFrames, 9);
});

test('falls back from WebSocket to events to poll, and comes back by itself', async (t) =>
{
	const { server, client } = setUp(t, { upgradeInterval: 5 });
	const list = recorder();
	let id = 0;
	const works = async (transport: string) =>
	{
		await until(() => client.status.value.transport === transport);
		server.database.insert({ id: ++id });
		await until(() => list.rows.has(String(id)));
	};

	server.blocked.add('websocket').add('events');
	client.open({ feature: 'orders', entity: 'order', snapshot: true }, list);
	await works('poll');
	server.blocked.delete('websocket');
	await works('websocket');
	server.blocked.add('websocket');
	server.blocked.delete('events');
	server.drop();
	await works('events');
	server.blocked.delete('websocket');
	await works('websocket');
	assert.equal(new Set(list.seen).size, list.seen.length);
	assert.deepEqual([...list.rows.keys()], ['1', '2', '3', '4']);
	assert.deepEqual(list.log.filter((line) => line.startsWith('gap')), []);
});

for (const blocked of [['websocket'], ['websocket', 'events']])
{
	test(`without ${blocked.join(' and ')}: new subscriptions, sync and resuming work`, async (t) =>
	{
		const { server, client } = setUp(t);
		const [list, feed] = [recorder(), recorder()];

		blocked.forEach((name) => server.blocked.add(name));
		client.open({ feature: 'orders', entity: 'order', snapshot: true }, list);
		await until(() => list.log.length === 1);
		client.subscribeToEvent('orders', 'order', 'approved', ({ id }) => feed.log.push(`approved ${id}`));
		await until(() => [...server.sessions.keys()].some(({ views }) => views.size === 2));
		await client.sync(server.database.insert({ id: 1 }).id);
		assert.deepEqual(list.log, ['load 0', 'created 1']);
		server.database.emit('approved', '1', null);
		await until(() => feed.log.length === 1);
		const nothing = server.database.begin();

		setTimeout(() => nothing.rollback(), 20);
		await client.sync(nothing.id);
		server.drop();
		server.database.insert({ id: 2 });
		await until(() => list.rows.has('2'));
		assert.equal(new Set(list.seen).size, list.seen.length);
		assert.deepEqual(list.log.filter((line) => !line.startsWith('created') && line !== 'approved 1'), ['load 0']);
	});
}

test('never gives up, with growing random pauses; wake() does not wait', async (t) =>
{
	const random = [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125];
	const { server, client } = setUp(t, { minDelay: 8, maxDelay: 1e7, random: () => random.shift() ?? 1e9 });
	const list = recorder();

	server.blocked.add('websocket').add('events').add('poll');
	client.open({ feature: 'orders', entity: 'order', snapshot: true }, list);
	await until(() => random.length === 0);
	assert.equal(client.status.value.state, 'connecting');
	assert.equal(client.status.value.reason, 'network');
	// The next pause is, as good as, for ever.
	await until(() => client.status.value.attempt === 8);
	server.blocked.clear();
	client.wake();
	await until(() => list.log.length === 1);
	random.push(1, 0.5, 0.5, 0.5);
	server.blocked.add('websocket').add('events').add('poll');
	server.drop();
	await until(() => client.status.value.state === 'reconnecting' && client.status.value.attempt > 2);
	server.blocked.clear();
	client.wake();
	await until(() => client.status.value.state === 'connected');
});

test('wake() while an attempt is under way: it goes on, and should it fail, the pause after it is short again', async (t) =>
{
	const answers: ((token: string) => void)[] = [];
	const { server, client } = setUp(t, {
		minDelay: 1, maxDelay: 1e7, random: () => 1, transports: [webSocket],
		token: () => new Promise<string>((resolve) => { answers.push(resolve); })
	});
	const asked = async (count: number) => until(() => answers.length === count, `attempt ${count}`);

	server.blocked.add('websocket');
	client.connect();
	for (let i = 1; i <= 6; i++)
	{
		await asked(i);
		answers[i - 1]!('token');
		await until(() => client.status.value.attempt === i, `attempt ${i} has failed`);
	}
	await asked(7);
	client.wake();
	await turn();
	assert.equal(answers.length, 7, 'the attempt under way is the one');
	answers[6]!('token');
	await until(() => client.status.value.attempt === 1, 'it counts from the beginning');
	await asked(8);
	client.wake();
	server.blocked.clear();
	answers[7]!('token');
	await until(() => client.status.value.state === 'connected');
	assert.equal(answers.length, 8);
});

test('a token is given in the first message, renewed before it expires and after it has', async (t) =>
{
	const reasons: string[] = [];
	let count = 0;
	const { server, client } = setUp(t, { token: async (reason) =>
	{
		reasons.push(reason);
		return `token ${++count}`;
	} });
	const list = recorder();

	server.isTokenNeeded = true;
	client.open({ feature: 'orders', entity: 'order', snapshot: true }, list);
	await until(() => list.log.length === 1);
	assert.deepEqual(server.session.received.map(({ op }) => op), ['auth', 'subscribe']);
	server.inject({ op: 'expiring', expires: 1 });
	await until(() => server.session.received.length === 3);
	assert.equal(server.session.received[2].token, 'token 2');
	server.drop(4003);
	await until(() => reasons.length === 3 && server.session?.views.size === 1);
	server.refuses = (token) => token !== 'token 4';
	server.drop(1006);
	await until(() => server.session?.views.size === 1, 'connected again');
	assert.deepEqual(reasons, ['connect', 'expiring', 'expired', 'connect']);
	server.refuses = (token) => token !== 'token 6';
	server.drop(1006);
	await until(() => reasons.length === 6 && server.session?.views.size === 1);
	assert.deepEqual(reasons.slice(4), ['connect', 'unauthorized']);
	assert.deepEqual(list.log, ['load 0']);
});

test('a refused token is the state error, with its reason, until it is taken', async (t) =>
{
	const { server, client } = setUp(t, { token: () => 'bad' });
	const states: string[] = [];

	client.status.subscribe(({ state, reason }) => states.push(`${state} ${reason ?? ''}`));
	server.refuses = () => true;
	client.connect();
	await until(() => client.status.value.state === 'error');
	assert.equal(client.status.value.reason, 'unauthorized');
	await until(() => server.opened > 5);
	assert.equal(client.status.value.state, 'error');
	server.refuses = () => false;
	await until(() => client.status.value.state === 'connected');
	assert.equal(states.at(-1), 'connected ');
});

test('a token on events: 401 asks for another, expiring opens the stream anew', async (t) =>
{
	let count = 0;
	const { server, client } = setUp(t, { token: () => `token ${++count}` });
	const list = recorder();

	server.blocked.add('websocket');
	server.isTokenNeeded = true;
	server.refuses = (token) => token === 'token 1' || token === undefined;
	client.open({ feature: 'orders', entity: 'order', snapshot: true }, list);
	await until(() => list.log.length === 1);
	server.inject({ op: 'expiring', expires: 1 });
	await until(() => server.requests.at(-1)!.body.token === 'token 3');
	server.database.insert({ id: 1 });
	await until(() => list.log.length === 2);
	assert.deepEqual(list.log, ['load 0', 'created 1']);
});

test('a silent connection is asked, and left when it does not answer', async (t) =>
{
	const { server, client } = setUp(t);

	server.heartbeat = 0.02;
	client.connect();
	await until(() => server.session?.received.some(({ op }) => op === 'ping'));
	const { opened } = server;

	assert.equal(opened, 1);
	server.isMute = true;
	await until(() => server.opened === 2);
	server.isMute = false;
	await until(() => client.status.value.state === 'connected');
});

test('the server refuses a subscription: only its listeners are told; what passes is tried again', async (t) =>
{
	const { server, client } = setUp(t);
	const [secret, busy, list] = [recorder(), recorder(), recorder()];
	let isBusy = true;

	server.refused = ({ entity }) => entity === 'secret' ? 'forbidden' : entity === 'busy' && isBusy ? 'unavailable' : undefined;
	client.open({ feature: 'orders', entity: 'secret', snapshot: true }, secret);
	client.open({ feature: 'orders', entity: 'busy', snapshot: true }, busy);
	client.open({ feature: 'orders', entity: 'order', snapshot: true }, list);
	await until(() => secret.log.length === 1 && list.log.length === 1);
	assert.deepEqual(secret.log, ['error forbidden']);
	isBusy = false;
	await until(() => busy.log.length === 1);
	assert.deepEqual(busy.log, ['load 0']);
	const stream = client.subscribeToEntity('orders', 'secret');

	await assert.rejects(stream.next(), { code: 'forbidden' });
	assert.deepEqual(await stream.next(), { done: true, value: undefined });
});

test('a view that is left and wanted again at once', async (t) =>
{
	const { server, client } = setUp(t);
	const list = recorder();

	await new Promise<void>((resolve) =>
	{
		client.status.subscribe(({ state }) => state === 'connected' && resolve());
		client.connect();
	});
	const end = client.open({ feature: 'orders', entity: 'order', snapshot: true }, recorder());

	await Promise.resolve();
	end();
	client.open({ feature: 'orders', entity: 'order', snapshot: true }, list);
	await until(() => list.log.length === 1);
	assert.equal(server.session.views.size, 1);
});

test('two views to us that are one to the server share its frames', async (t) =>
{
	const { server, client } = setUp(t);
	const [one, two] = [recorder(), recorder()];
	let known: string | undefined;

	server.database.insert({ id: 1, a: 1, b: 1 });
	server.refused = ({ filter }) => filter?.[0][0] === 'b' && known !== undefined ? 'already_subscribed' : undefined;
	client.open({ feature: 'orders', entity: 'order', filter: [['a', 'eq', 1], ['b', 'eq', 1]] }, one);
	await until(() => server.session?.views.size === 1);
	[known] = server.session.views.keys();
	server.known = known;
	client.open({ feature: 'orders', entity: 'order', filter: [['b', 'eq', 1], ['a', 'eq', 1]] }, two);
	await turn(5);
	server.database.insert({ id: 2, a: 1, b: 1 });
	await until(() => one.log.length === 1 && two.log.length === 1);
	assert.deepEqual([one.log, two.log], [['created 2'], ['created 2']]);
	assert.equal(server.session.views.size, 1);
});

test('callbacks and iterators end by their own function or signal, and by nobody else\'s', async (t) =>
{
	const { server, client } = setUp(t);
	const got: string[] = [];
	const controller = new AbortController();
	const add = (name: string) => ({ id }: RealtimeEvent) => void got.push(`${name}${id}`);
	const endA = client.subscribeToEntity('orders', 'order', add('a'));

	client.subscribeToEntity('orders', 'order', add('b'), { signal: controller.signal });
	client.subscribeToEntity('orders', 'order', () => { throw new Error('of a listener: this is expected'); });
	const c = client.subscribeToEntity('orders', 'order');
	const d = client.subscribeToEntity('orders', 'order', { signal: controller.signal });

	client.subscribeToFeature('orders', add('f'));
	client.subscribeByPriority(['high', 'critical'], add('p'));
	client.subscribeToUser(add('u'));
	client.subscribeToEvent('orders', 'order', ['approved', 'rejected'], add('e'));
	await until(() => server.session?.views.size === 4);
	const { error } = console;

	console.error = () => {};
	t.after(() => { console.error = error; });
	server.database.insert({ id: 1 });
	await until(() => got.length === 3);
	server.database.emit('approved', '2', null, { meta: { priority: 'high', toUser: 'u' } });
	await until(() => got.length === 9);
	assert.deepEqual(got.slice(0, 3), ['a1', 'b1', 'f1']);
	assert.deepEqual(got.slice(3).sort(), ['a2', 'b2', 'e2', 'f2', 'p2', 'u2']);
	assert.equal((await c.next()).value!.id, '1');
	endA();
	endA();
	controller.abort();
	server.database.insert({ id: 3 });
	await until(() => got.length === 10);
	assert.equal(got[9], 'f3');
	const rest: unknown[] = [];

	for await (const { id } of c)
	{
		rest.push(id);
		if (id === '3')
			break;
	}
	assert.deepEqual(rest, ['2', '3']);
	assert.deepEqual([(await d.next()).value!.id, (await d.next()).value!.id, (await d.next()).done], ['1', '2', true]);
	assert.deepEqual(await c.next(), { done: true, value: undefined });
});

test('a reader of a stream who is too slow gets what was buffered, then an error', async (t) =>
{
	const { server, client } = setUp(t);
	const stream = client.subscribeToEntity('orders', 'order');

	await until(() => server.session?.views.size === 1);
	const transaction = server.database.begin();

	for (let id = 0; id < 10002; id++)
		transaction.insert({ id });
	transaction.commit();
	let count = 0;

	await assert.rejects(async () =>
	{
		for await (const event of stream)
			count += Number(event.action === 'created');
	}, { code: 'overflow' });
	assert.equal(count, 10001);		// one was waited for, the others were buffered
});

test('reads pages and single records, and says what is missing', async (t) =>
{
	const { server, client } = setUp(t);

	for (let id = 1; id <= 8; id++)
		server.database.insert({ id, status: id % 2 ? 'odd' : 'even' });
	const order = ['id.desc'];
	const first = await client.read('orders', 'order', { limit: 4, order });
	const second = await client.read('orders', 'order', { limit: 4, order, after: first.rows.at(-1)!.data });

	assert.deepEqual([...first.rows, ...second.rows].map(({ id }) => id), ['8', '7', '6', '5', '4', '3', '2', '1']);
	assert.equal(first.position, server.database.position());
	assert.deepEqual(await client.get('orders', 'order', '3'), { id: 3, status: 'odd' });
	assert.deepEqual(await client.get('orders', 'order', { id: '4', status: 'even' }), { id: 4, status: 'even' });
	assert.equal(await client.get('orders', 'order', '99'), null);
	await assert.rejects(client.read('orders', 'order', { limit: 4, after: { id: 1 } }), { code: 'bad_request' });
	server.refused = () => 'unknown_entity';
	await assert.rejects(client.read('orders', 'nothing'), { code: 'unknown_entity' });
	assert.equal(server.sessions.size, 0);
});

test('sync resolves when a transaction is applied, committed or not, also over a reconnect', async (t) =>
{
	const { server, client } = setUp(t);
	const list = recorder();

	client.open({ feature: 'orders', entity: 'order', snapshot: true }, list);
	await until(() => list.log.length === 1);
	const slow = server.database.begin().insert({ id: 1 });
	let isDone = false;
	const done = client.sync(slow.id).then(() => { isDone = true; });

	server.database.insert({ id: 2 });
	await until(() => list.log.length === 2);
	server.drop();
	await until(() => client.stats.connections === 2);
	await turn(10);
	assert.equal(isDone, false);
	slow.commit();
	await done;
	assert.deepEqual(list.log, ['load 0', 'created 2', 'created 1']);
	await client.sync(slow.id);
	await client.sync(server.database.begin().rollback().id);
});

test('importing and making a client needs no browser, and connects to nothing', async () =>
{
	const { RealtimeClient } = await import('../src/index.js');
	const client = new RealtimeClient('https://x.example/base');

	client.entity('orders', 'order');
	assert.equal(client.status.value.state, 'disconnected');
});

test('a window is asked for as it is given, none if none is; what was loaded beside the stream is not put back by what was merged', async (t) =>
{
	const { server, client } = setUp(t);
	const sink = recorder();

	client.subscribeToEntity('orders', 'order', () => {}, { window: 250, columns: ['id'] });
	client.subscribeToEntity('orders', 'line', () => {}, { window: 0 });
	client.subscribeToEntity('orders', 'note', () => {});
	client.open({ feature: 'orders', entity: 'order' }, sink);
	await until(() => server.session?.views.size === 4);
	assert.deepEqual(server.session!.received.filter(({ op }) => op === 'subscribe').map(({ entity, window }) => [entity, window]),
		[['order', 250], ['line', 0], ['note', undefined], ['order', undefined]]);

	// Concurrent transactions: the row beside the stream has seen the second one, not the first.
	const one: Sink & ReturnType<typeof recorder> = recorder();
	const [first, second] = [server.database.begin().insert({ id: 1 }), server.database.begin().insert({ id: 2 })];

	server.isMerging = true;
	second.commit();
	client.open({ feature: 'orders', entity: 'order', snapshot: true }, one);
	await until(() => one.log.includes('load 1'));
	first.commit();
	await until(() => one.rows.size === 2);
	assert.deepEqual([...one.rows.keys()].sort(), ['1', '2']);
	assert.deepEqual(one.log, ['load 1', 'created 1']);
});
