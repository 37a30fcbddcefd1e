// SPDX-License-Identifier: PostgreSQL
//
// access.test.js
//	What a role may see: columns, entities, and events addressed to a user.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { Stage } from './lib/stage.js';
import { until } from './lib/wait.js';

const stage = await Stage.open('access');
const item = { feature: 'shop', entity: 'item' };
const clerk = { claims: { role: 'web_clerk' } };

describe('columns that the role may not read', () =>
{
	test('are in no snapshot, data or old; their changes alone are not sent', async () =>
	{
		const peer = await stage.peer(clerk);
		await peer.settle(await stage.write("INSERT INTO item VALUES (1, 'a', 'draft', 1, 'o', '{}', 'hush')"));
		const view = await peer.subscribe({ ...item, snapshot: true });
		const wild = await peer.subscribe({ feature: 'shop' });
		const filtered = await peer.subscribe({ ...item, filter: [['status', 'eq', 'open']] });
		let tx = await stage.write("INSERT INTO item VALUES (2, 'b', 'draft', 2, 'o', '{}', 'hush')");
		tx = await stage.write("UPDATE item SET secret = 'hush hush', amount = 5 WHERE id = 2");
		tx = await stage.write("UPDATE item SET secret = 'quiet', status = 'open' WHERE id = 2");
		tx = await stage.write('DELETE FROM item WHERE id = 2');
		await peer.settle(tx);

		assert.deepEqual(view.rows.map((r) => Object.keys(r.data)), [['id', 'name', 'status']]);
		assert.deepEqual(view.story, ['created 2', 'updated 2', 'status_changed 2', 'deleted 2']);
		assert.deepEqual(wild.story, view.story);
		assert.deepEqual(filtered.story, ['entered 2', 'status_changed 2', 'deleted 2']);
		for (const { events } of [view, wild, filtered])
		{
			assert.ok(!JSON.stringify(events).includes('hush'));
			assert.ok(!JSON.stringify(events).includes('quiet'));
			for (const { action, data, old } of events)
				if (['created', 'updated', 'entered', 'deleted'].includes(action))
				{
					assert.deepEqual(Object.keys(data), ['id', 'name', 'status']);
					assert.ok(!old || Object.keys(old).join() === 'status');
				}
		}
		await peer.close();
	});

	test('cannot be filtered, ordered or asked for', async () =>
	{
		const peer = await stage.peer(clerk);
		for (const request of [{ ...item, filter: [['secret', 'eq', 'hush']] },
			{ ...item, filter: [['secret', 'is', null]] }, { ...item, filter: [['amount', 'gt', 1]] },
			{ ...item, columns: ['name', 'secret'] }, { ...item, snapshot: true, order: ['secret'] }])
			assert.equal(await peer.refused({ op: 'subscribe', ...request }), 'forbidden',
				JSON.stringify(request));
		await peer.close();
	});

	test('a key that the role may not read', async () =>
	{
		await stage.sql(`CREATE TABLE keyed (id integer PRIMARY KEY, name text);
			SELECT realtime.enable('keyed', 'shop', 'keyed');
			GRANT SELECT (name) ON keyed TO web_clerk`);
		const peer = await stage.peer(clerk);
		assert.equal(await peer.refused({ op: 'subscribe', feature: 'shop', entity: 'keyed' }), 'forbidden');
		const wild = await peer.subscribe({ feature: 'shop' });
		await peer.settle(await stage.write("INSERT INTO keyed VALUES (77, 'x')"));
		assert.deepEqual(wild.story, []);
		await peer.close();
	});

	test('two roles on one view get each their own', async () =>
	{
		const one = await stage.peer(clerk);
		const two = await stage.peer({ claims: { role: 'web_user' } });
		const views = [await one.subscribe(item), await two.subscribe(item)];
		const tx = await stage.write("INSERT INTO item (id, name, secret) VALUES (3, 'c', 'hush')");
		await one.settle(tx);
		await two.settle(tx);
		assert.equal(views[0].events[0].data.secret, undefined);
		assert.equal(views[1].events[0].data.secret, 'hush');
		await one.close();
		await two.close();
	});
});

test('revoking SELECT stops the stream; what follows is never seen', async () =>
{
	await stage.sql('GRANT SELECT ON hidden TO web_user');
	const peer = await stage.peer({ claims: {} });
	const view = await peer.subscribe({ feature: 'shop', entity: 'hidden' });
	await peer.settle(await stage.write("INSERT INTO hidden VALUES (1, 'seen')"));
	assert.deepEqual(view.story, ['created 1']);
	await stage.sql('REVOKE SELECT ON hidden FROM web_user');
	// Rights are looked at anew within seconds; then the view says so, or is silent.
	let n = 1;

	await until('events stop', async () =>
	{
		const before = view.events.length;
		n++;
		await peer.settle(await stage.write(`INSERT INTO hidden VALUES (${n}, 'after')`));
		return view.events.length === before;
	}, 30, 300);
	await peer.close();
});

test('a sync that a view withholds is answered when the view ends, not with the next heartbeat', async () =>
{
	const notifier = await stage.start({ flags: { 'database-pool': 1 } });
	await stage.sql('GRANT SELECT ON hidden TO web_user');
	const peer = await stage.peer({ notifier, claims: {} });
	const view = await peer.subscribe({ feature: 'shop', entity: 'hidden' });
	const witness = await stage.peer({ notifier });
	await witness.subscribe({ feature: 'shop', entity: 'other' });
	// With the backend stopped that looks up rights, the view is suspended until it goes on.
	const pool = Number(await stage.value(`SELECT pid FROM pg_stat_activity WHERE application_name = 'realtime-notifier'
		AND query NOT LIKE '%realtime.read%' ORDER BY backend_start DESC LIMIT 1`));
	let answer;

	process.kill(pool, 'SIGSTOP');
	try
	{
		await stage.sql('REVOKE SELECT ON hidden FROM web_user');
		const tx = await stage.write("INSERT INTO hidden VALUES (4711, 'after'); INSERT INTO other VALUES (4711, 'x')");
		await witness.covered(tx);		// a sync of its own would have the source asked again and again
		answer = peer.settle(tx);
		await peer.ask({ op: 'ping' });
		assert.equal(peer.frames.some((f) => f.op === 'error'), false);
	}
	finally
	{
		process.kill(pool, 'SIGCONT');
	}
	await answer;
	assert.equal((await peer.frame('the end of the view', (f) => f.view === view.id && f.op === 'error')).code,
		'forbidden');
	assert.deepEqual(view.story, []);
	await peer.close();
	await witness.close();
});

describe('rights that are looked up apply from where they were looked up, not to what the stream brings of before', () =>
{
	/** A notifier of its own, of which backends can be stopped: of the stream, and of the pool. */
	const start = async (t) =>
	{
		const notifier = await stage.start({ flags: { 'database-pool': 1, workers: 1 } });
		const newest = async (kind) => Number(await stage.value(`SELECT pid FROM pg_stat_activity
			WHERE application_name = 'realtime-notifier' AND query ${kind} '%realtime.read%' ORDER BY backend_start DESC LIMIT 1`));
		const [stream, pool] = [await newest('LIKE'), await newest('NOT LIKE')];
		const stopped = new Set();
		const stop = (pid) => { stopped.add(pid); process.kill(pid, 'SIGSTOP'); };
		const go = (pid) => { stopped.delete(pid); process.kill(pid, 'SIGCONT'); };

		t.after(() => [...stopped].forEach(go));
		return { notifier, stream, pool, stop, go };
	};

	/** Waits until the pool has looked up rights since that time. */
	const lookedUp = (pool, since) => until('a look-up', async () => Number(await stage.value(`SELECT count(*) FROM pg_stat_activity
		WHERE pid = ${pool} AND state = 'idle' AND (query LIKE '%has_any_column_privilege%' OR query = 'SELECT realtime.position()')
		AND query_start > '${since}'`)) > 0, 30);
	const now = () => stage.value('SELECT clock_timestamp()::text');

	test('found by the check before the stream has brought the change', async (t) =>
	{
		await stage.sql('GRANT SELECT ON hidden TO web_user; TRUNCATE hidden');
		const { notifier, stream, pool, stop, go } = await start(t);
		const peer = await stage.peer({ notifier, claims: {} });
		const [view, wild] = [await peer.subscribe({ feature: 'shop', entity: 'hidden' }), await peer.subscribe({ feature: 'shop' })];

		stop(stream);
		await stage.write("INSERT INTO hidden VALUES (1, 'before')");
		await stage.sql('REVOKE SELECT ON hidden FROM web_user');
		await stage.write("INSERT INTO hidden VALUES (2, 'after')");
		await lookedUp(pool, await now());
		await peer.ask({ op: 'ping' });
		assert.ok(peer.views.get(view.id) === view, 'not ended yet');
		go(stream);
		await peer.frame('the end of the view', (f) => f.view === view.id && f.op === 'error' && f.code === 'forbidden');
		await peer.until('a gap', () => wild.gaps.length > 0);
		assert.deepEqual([view.story, wild.story], [['created 1'], ['created 1']]);
		await peer.close();
	});

	test('looked up because of a change, when another has followed that the stream has not brought yet', async (t) =>
	{
		await stage.sql('GRANT SELECT ON hidden TO web_user; TRUNCATE hidden');
		const { notifier, stream, pool, stop, go } = await start(t);
		const peer = await stage.peer({ notifier, claims: {} });
		const witness = await stage.peer({ notifier });
		const view = await peer.subscribe({ feature: 'shop', entity: 'hidden' });

		await witness.subscribe({ feature: 'shop', entity: 'other' });
		stop(pool);
		await stage.sql('REVOKE SELECT ON hidden FROM web_user; GRANT SELECT (id) ON hidden TO web_user');
		await witness.covered(await stage.write("INSERT INTO other VALUES (4712, 'x')"));
		stop(stream);
		await stage.write("INSERT INTO hidden VALUES (3, 'hush')");
		await stage.sql('GRANT SELECT ON hidden TO web_user');
		const since = await now();

		go(pool);
		await lookedUp(pool, since);
		await peer.ask({ op: 'ping' });
		go(stream);
		await peer.until('a gap', () => view.gaps.length > 0);
		await peer.settle(await stage.write("INSERT INTO hidden VALUES (4, 'told')"));
		assert.ok(!JSON.stringify(view.events).includes('hush'), JSON.stringify(view.events));
		await peer.close();
		await witness.close();
		await stage.sql('REVOKE SELECT ON hidden FROM web_user');
	});
});

describe('events for a user', () =>
{
	const emit = (user) => `SELECT realtime.emit('chat', 'message', 'sent', '{"for":"${user}"}',
		to_user => '${user}')`;

	test('reach the sessions of that user, in every kind of view, and nobody else', async () =>
	{
		const requests = [{ feature: 'chat', entity: 'message' }, { feature: 'chat' }, {},
			{ feature: 'chat', entity: 'message', action: 'sent' }];
		const sessions = [];
		for (const sub of ['ada', 'grace', 'ada', undefined, 'ADA', 'a"da\\u', 'ü'])
		{
			const peer = await stage.peer(sub === undefined ? {} : { claims: { sub } });
			const views = [];
			for (const request of requests)
				views.push(await peer.subscribe(request));
			sessions.push({ sub, peer, views });
		}
		await stage.write(`${emit('ada')}; SELECT realtime.emit('chat', 'message', 'sent', '{"for":"all"}')`);
		await stage.write(emit('grace'));
		await stage.write(emit('nobody'));
		await stage.write(`SELECT realtime.emit('chat', 'message', 'sent', '{"for":"odd"}', to_user => E'a"da\\\\u')`);
		const tx = await stage.write(`SELECT realtime.emit('chat', 'message', 'sent', '{"for":"ü"}', to_user => 'ü')`);
		const expected = { ada: ['ada', 'all'], grace: ['all', 'grace'], 'a"da\\u': ['all', 'odd'], ü: ['all', 'ü'] };
		for (const { sub, peer, views } of sessions)
		{
			await peer.settle(tx);
			for (const view of views)
				assert.deepEqual(view.events.map((e) => e.data.for), expected[sub] ?? ['all'], `user ${sub}`);
			await peer.close();
		}
	});

	test('when many resume at once, each gets his own and what is for all, in order', async () =>
	{
		const item = { feature: 'chat', entity: 'message' };
		const all = (text) => `SELECT realtime.emit('chat', 'message', 'sent', '{"for":"${text}"}')`;
		const early = await stage.peer({ claims: { sub: 'eve' } });
		await early.subscribe(item);
		await early.covered(await stage.write(all('before')));
		const since = early.token;
		await early.close();
		const transactions = [[emit('ada'), all('one')], [emit('grace')], [all('two')],
			[all('three'), emit('ada'), emit('grace'), all('four'), emit('ada')], [emit('nobody')], [all('five')]];
		let last;
		for (const statements of transactions)
			last = await stage.write(statements.join('; '));
		const expected = {
			ada: ['ada', 'one', 'two', 'three', 'ada', 'four', 'ada', 'five'],
			grace: ['one', 'grace', 'two', 'three', 'grace', 'four', 'five'],
			eve: ['one', 'two', 'three', 'four', 'five']
		};
		const users = ['ada', 'grace', 'eve', 'ada', 'eve', 'grace', 'ada', 'grace'];
		const peers = await Promise.all(users.map((sub) => stage.peer({ claims: { sub } })));
		for (let round = 0; round < 3; round++)
		{
			const views = await Promise.all(peers.map((peer) => peer.subscribe({ ...item, since })));
			await Promise.all(peers.map((peer) => peer.settle(last)));
			for (const [i, view] of views.entries())
			{
				assert.deepEqual(view.events.map((e) => e.data.for), expected[users[i]], users[i]);
				await peers[i].ask({ op: 'unsubscribe', view: view.id });
			}
		}
		for (const peer of peers)
			await peer.close();
	});

	test('also when resumed, by server-sent events and by long poll', async () =>
	{
		const subscribe = [{ feature: 'chat', entity: 'message' }];
		const peer = await stage.peer({ claims: { sub: 'ada' } });
		await peer.subscribe(subscribe[0]);
		await peer.covered(await stage.write(emit('ada')));
		const since = peer.token;
		await peer.close();
		await stage.write(emit('grace'));
		await stage.write(emit('ada'));
		const last = await stage.write(emit('grace'));
		for (const [sub, n] of [['ada', 1], ['grace', 2], ['eve', 0]])
		{
			const again = await stage.peer({ claims: { sub } });
			const view = await again.subscribe({ ...subscribe[0], since });
			await again.settle(last);
			assert.deepEqual(view.events.filter((e) => e.action === 'sent').map((e) => e.data.for),
				Array(n).fill(sub));
			await again.close();
			const events = await stage.events({ claims: { sub }, subscribe, since });
			const [streamed] = await events.subscribed(1);
			const tx = await stage.write("SELECT realtime.emit('chat', 'message', 'end', '{}')");
			await events.covered(tx);
			assert.deepEqual(streamed.events.filter((e) => e.action === 'sent').map((e) => e.data.for),
				Array(n).fill(sub));
			await events.close();
			const poller = stage.poller({ claims: { sub }, subscribe });
			poller.position = since;
			await poller.poll(1);
			assert.deepEqual(poller.events.filter((e) => e.action === 'sent').map((e) => e.data.for),
				Array(n).fill(sub));
		}
	});
});
