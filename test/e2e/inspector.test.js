// SPDX-License-Identifier: PostgreSQL
//
// inspector.test.js
//	The inspector: off unless wanted, data for tokens of admin-role only, what it says of sessions and views, its bounds.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { request } from './lib/http.js';
import { now } from './lib/jwt.js';
import { Stage } from './lib/stage.js';
import { until } from './lib/wait.js';

const stage = await Stage.open('inspector', { isStarted: false });
const file = path.join(stage.directory, 'realtime.ini');
const configure = (...lines) => writeFileSync(file, `${lines.join('\n')}\n`);

configure('inspector = on', 'admin-role = web_clerk');
stage.notifier = await stage.start({ flags: { config: file, workers: 3, 'max-messages-per-minute': 100000,
	'allowed-origins': '*', 'max-subscriptions': 300, 'slow-timeout': 600 } });
const { notifier } = stage;
const admin = () => stage.token({ role: 'web_clerk', sub: 'operator' });

/** Another configuration, in force when it resolves. */
async function reload(...lines)
{
	const reloads = () => notifier.lines.filter((line) => line.event === 'reloaded').length;
	const before = reloads();

	configure(...lines);
	notifier.kill('SIGHUP');
	await until('the reload', () => reloads() > before);
}

/** Asks for data: { status, code, body, … }. */
async function ask(query = '', { token = admin(), headers = {}, ...options } = {})
{
	const answer = await request(`${notifier.url}/inspector/data${query && `?${query}`}`,
		{ headers: { ...(token && { authorization: `Bearer ${token}` }), ...headers }, ...options });
	const body = answer.body ? JSON.parse(answer.body) : undefined;

	return { ...answer, body, code: body?.error?.code };
}

/** Data that was given. */
async function data(query)
{
	const { status, body } = await ask(query);

	assert.equal(status, 200, JSON.stringify(body));
	return body;
}

test('it is off unless it is wanted', async () =>
{
	const plain = await stage.start({ flags: { 'admin-role': 'web_clerk' } });

	for (const where of ['/inspector', '/inspector/', '/inspector/inspector.js', '/inspector/data'])
	{
		const { status } = await request(plain.url + where, { headers: { authorization: `Bearer ${admin()}` } });

		assert.equal(status, 404, where);
	}
	await plain.stop();
});

describe('the page', () =>
{
	test('is static text for everybody, under a strict policy', async () =>
	{
		const page = await request(`${notifier.url}/inspector`);

		assert.equal(page.status, 200);
		assert.equal(page.headers['content-type'], 'text/html; charset=utf-8');
		const policy = page.headers['content-security-policy'];

		for (const part of [/default-src 'none'/, /script-src 'self'/, /style-src 'self'/, /frame-ancestors 'none'/, /base-uri 'none'/,
			/require-trusted-types-for 'script'/])
			assert.match(policy, part);
		assert.doesNotMatch(policy, /unsafe|\*|https?:/);
		assert.equal(page.headers['x-frame-options'], 'DENY');
		assert.equal(page.headers['referrer-policy'], 'no-referrer');
		assert.equal(page.headers['x-content-type-options'], 'nosniff');
		// nothing that the policy would have to allow, and nothing from elsewhere
		assert.doesNotMatch(page.body, /<script(?! type="module" src="inspector\/)|<style|\sstyle=|\son[a-z]+=|https?:\/\//i);
	});

	test('has its files', async () =>
	{
		const { body } = await request(`${notifier.url}/inspector`);
		const names = [...body.matchAll(/(?:src|href)="(inspector\/[^"]+)"/g)].map((m) => m[1]);
		const script = await request(`${notifier.url}/inspector/inspector.js`);

		names.push(...[...script.body.matchAll(/from '\.\/([^']+)'/g)].map((m) => `inspector/${m[1]}`));
		assert.equal(names.length, 5);
		for (const name of names)
		{
			const answer = await request(`${notifier.url}/${name}`);

			assert.equal(answer.status, 200, name);
			assert.match(answer.headers['content-type'], name.endsWith('.css') ? /^text\/css/ : /^text\/javascript/);
			assert.match(answer.headers['content-security-policy'], /default-src 'none'/);
			assert.match(answer.body, /^\/[/*] SPDX/);
		}
		assert.equal((await request(`${notifier.url}/inspector/../inspector/x`)).status, 404);
		assert.equal((await request(`${notifier.url}/inspector/`)).headers.location, '../inspector');
		assert.equal((await request(`${notifier.url}/inspector`, { method: 'HEAD' })).body, '');
		assert.equal((await request(`${notifier.url}/inspector`, { method: 'POST' })).status, 405);
	});
});

describe('data are refused', () =>
{
	const refused = (query, options, status, code) => async () =>
	{
		const answer = await ask(query, typeof options === 'function' ? options() : options);

		assert.deepEqual([answer.status, answer.code], [status, code], answer.body?.error?.message);
		assert.deepEqual(Object.keys(answer.body), ['error']);
		assert.equal(answer.headers['cache-control'], 'no-store');
	};

	test('without a token, from this machine, too', refused('', { token: null }, 401, 'unauthorized'));
	test('with a token in the address', async () =>
	{
		const token = admin();

		await refused(`token=${token}`, { token: null }, 401, 'unauthorized')();
		await refused(`access_token=${token}`, { token: null }, 401, 'unauthorized')();
	});
	test('to another role', refused('', () => ({ token: stage.token({ role: 'web_user' }) }), 403, 'forbidden'));
	test('to a role like it', refused('', () => ({ token: stage.token({ role: 'WEB_CLERK' }) }), 403, 'forbidden'));
	test('with an expired token', refused('', () => ({ token: stage.token({ role: 'web_clerk', exp: now() - 60 }) }), 401, 'expired'));
	test('with a token that others signed', refused('', () => ({ token: stage.token({ role: 'web_clerk' },
		'another secret of more than 32 bytes, ours') }), 401, 'unauthorized'));
	test('with nonsense', refused('', { token: 'nonsense' }, 401, 'unauthorized'));
	test('to pages of other origins, allowed or not', refused('', { headers: { origin: 'https://evil.example' } }, 403, 'forbidden'));
	test('to other methods', refused('', { method: 'POST', body: '' }, 405, 'bad_request'));
	test('for an unknown parameter', refused('all=1', {}, 400, 'bad_request'));
	test('for too many rows', refused('sessions=101', {}, 400, 'bad_request'));

	test('and it is logged, without the token', async () =>
	{
		const token = stage.token({ role: 'web_user', sub: 'curious' });
		const before = await notifier.metric('refusals_total{code="forbidden"}');

		await refused('', { token }, 403, 'forbidden')();
		assert.equal(await notifier.metric('refusals_total{code="forbidden"}'), before + 1);
		assert.ok(notifier.lines.some((line) => line.event === 'refused' && /inspector/.test(line.reason)), notifier.tail());
		assert.ok(!notifier.log.includes(token));
	});

	test('admin-role and the inspector itself can be taken away by SIGHUP', async () =>
	{
		const token = admin();
		// of every worker: connections that are open at once go to different ones
		const all = async (status, message, options = { token }) =>
		{
			const answers = await Promise.all(Array(6).fill().map(() => ask('', options)));

			assert.deepEqual(answers.map((a) => [a.status, a.body.error?.message]), Array(6).fill([status, message]));
		};

		await all(200);
		await reload('inspector = on', 'admin-role = web_user');
		await all(403, 'the inspector is for the role admin-role');
		await all(200, undefined, { token: stage.token({ role: 'web_user' }) });
		await reload('inspector = on');
		await all(403, 'admin-role is not set');
		await reload('inspector = off', 'admin-role = web_clerk');
		await all(404, 'there is nothing here');
		assert.equal(await notifier.status('/inspector'), 404);
		await reload('inspector = on', 'admin-role = web_clerk');
		await all(200);
	});
});

test('numbers are those of /metrics', async () =>
{
	await stage.write('INSERT INTO item (id) VALUES (1)');
	const { stats, workers, sessions, views } = await data('sessions=0&views=0');

	assert.equal(workers, 3);
	assert.deepEqual([sessions.list, views.list], [[], []]);
	const metrics = await notifier.metrics();

	for (const name of Object.keys(stats))
		assert.ok(metrics.has(`realtime_${name}`), name);
	await until('the commit counts', async () => (await data('sessions=0&views=0')).stats.commits_in_total > 0);
	assert.equal(stats.source_up, 1);
});

test('sessions of every transport, with who they are and what they want', async () =>
{
	const ws = await stage.peer({ claims: { role: 'web_user', sub: 'anna "<b>' } });
	const sse = await stage.events({ claims: { role: 'web_user', sub: 'ben' }, subscribe: [{ feature: 'shop', entity: 'item' }] });
	const silent = await stage.peer();

	await ws.subscribe({ feature: 'shop', entity: 'item' });
	await ws.subscribe({ feature: 'shop', entity: 'item', filter: [['name', 'eq', 'a secret name'], ['id', 'not.in', [4711]]] });
	await ws.subscribe({ feature: '*', entity: '*', action: ['created', 'deleted'] });
	await sse.subscribed(1);
	const { sessions, views } = await until('roles are known', async () =>
	{
		const answer = await data('');

		return answer.sessions.list.every((s) => s.role !== null) && answer;
	});

	assert.equal(sessions.seen, 3);
	assert.equal(sessions.matching, 3);
	assert.equal(sessions.next, null);
	const of = (user) => sessions.list.find((s) => s.user === user);

	assert.deepEqual(Object.keys(of('ben')), ['worker', 'id', 'age', 'transport', 'queue', 'frames', 'subscriptions', 'behind', 'role',
		'user', 'address', 'views']);
	assert.equal(of('anna "<b>').transport, 'websocket');
	assert.equal(of('anna "<b>').id, ws.welcome.session);
	assert.equal(of('anna "<b>').role, 'web_user');
	assert.equal(of('anna "<b>').subscriptions, 3);
	assert.deepEqual(of('anna "<b>').views.toSorted(), ['*.*', 'shop.item', 'shop.item']);
	assert.equal(of('ben').transport, 'sse');
	assert.equal(of(null).role, 'web_anon');
	assert.ok(sessions.list.every((s) => s.address === '127.0.0.1' && s.age >= 0 && s.queue >= 0));

	// equal views of one worker are one
	assert.ok(views.seen === 3 || views.seen === 4);
	const filtered = views.list.find((v) => v.filter.length === 2);

	assert.deepEqual(filtered.filter.toSorted(), ['id not.in', 'name eq']);
	assert.equal(filtered.name, 'shop.item');
	assert.equal(filtered.role, 'web_user');
	assert.deepEqual(views.list.find((v) => v.name === '*.*').actions, ['created', 'deleted']);
	// no constants of filters, which say something about people
	assert.doesNotMatch(JSON.stringify(views), /secret name|4711/);
	assert.equal(views.list.reduce((sum, v) => sum + v.subscriptions, 0), 4);

	for (const [find, n] of [['ben', 1], ['web_', 3], ['web_anon', 1], ['127.0.0', 3], [encodeURIComponent('"<b>'), 1], ['nobody', 0]])
	{
		const found = (await data(`find=${find}`)).sessions;

		assert.deepEqual([found.matching, found.list.length, found.seen], [n, n, 3], find);
	}
	await Promise.all([ws.close(), sse.close(), silent.close()]);
	await until('nobody is left', async () => (await data('')).sessions.seen === 0);
});

test('pages hold every session once, in each order', async () =>
{
	const peers = await Promise.all(Array(120).fill().map((_, i) => stage.peer({ claims: { sub: `user${i}` } })));

	await Promise.all(peers.slice(0, 30).map((peer) => peer.subscribe({ feature: 'shop', entity: 'item' })));
	for (const sort of ['queue', 'subscriptions', 'oldest', 'newest'])
	{
		const seen = [];
		let next;
		let pages = 0;

		do
		{
			const { sessions } = await data(`sessions=25&views=0&sort=${sort}${next ? `&after=${next}` : ''}`);

			assert.equal(sessions.matching, 120);
			assert.ok(sessions.list.length <= 25);
			seen.push(...sessions.list);
			({ next } = sessions);
			pages++;
		} while (next && pages < 20);
		assert.equal(pages, 5, sort);
		assert.deepEqual(seen.map((s) => s.user).toSorted(), peers.map((_, i) => `user${i}`).toSorted(), sort);
		if (sort === 'subscriptions')
			assert.deepEqual(seen.map((s) => s.subscriptions), [...Array(30).fill(1), ...Array(90).fill(0)]);
	}
	await Promise.all(peers.map((peer) => peer.close()));
});

test('the reader that does not read comes first', async () =>
{
	const slow = await stage.peer({ claims: { sub: 'slow' } });
	const quick = await Promise.all(Array(5).fill().map(() => stage.peer()));

	for (const peer of [slow, ...quick])
		await peer.subscribe({ feature: 'shop', entity: 'item', keep: false });
	slow.pauseReading();
	let id = 1000;
	const first = await until('its queue grows', async () =>
	{
		await stage.write(`INSERT INTO item (id, name) SELECT g, repeat('x', 1000) FROM generate_series(${id}, ${id + 499}) g`);
		id += 500;
		const { sessions, stats } = await data('sessions=3');

		assert.ok(sessions.list.every((s, i, list) => i === 0 || list[i - 1].queue >= s.queue));
		return sessions.list[0].queue > 500000 && stats.queue_bytes >= sessions.list[0].queue && sessions.list[0];
	}, 60);

	assert.equal(first.user, 'slow');
	assert.ok(first.frames > 0);
	slow.terminate();
	await Promise.all(quick.map((peer) => peer.close()));
});

test('sessions with policies that PostgreSQL evaluates are seen once', async () =>
{
	await stage.sql(`
		CREATE TABLE guarded (id integer PRIMARY KEY, owner text);
		CREATE TABLE member (name text);
		GRANT SELECT ON guarded, member TO web_user;
		ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
		CREATE POLICY p ON guarded USING (EXISTS (SELECT FROM member WHERE name = current_setting('request.jwt.claims')::json ->> 'sub'
			AND guarded.owner = name));
		SELECT realtime.enable('guarded', 'shop', 'guarded')`);
	const peer = await stage.peer({ claims: { sub: 'moved' } });

	await peer.subscribe({ feature: 'shop', entity: 'guarded' });
	const { sessions, views } = await data('');

	assert.deepEqual(sessions.list.map((s) => [s.user, s.views]), [['moved', ['shop.guarded']]]);
	assert.deepEqual(views.list.map((v) => [v.name, v.policies]), [['shop.guarded', 'evaluated']]);
	await peer.close();
});

test('looks while sessions come and go, and lookers that do not wait', async () =>
{
	let isOver = false;
	const churn = Array(6).fill().map(async () =>
	{
		while (!isOver)
		{
			const peer = await stage.peer({ claims: { sub: 'guest' } });

			await peer.subscribe({ feature: 'shop', entity: 'item', keep: false });
			peer.terminate();
		}
	});
	const impatient = (async () =>
	{
		while (!isOver)
		{
			const socket = net.connect(notifier.port, '127.0.0.1');

			socket.on('error', () => {});
			await new Promise((resolve) => socket.write(
				`GET /inspector/data HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${admin()}\r\n\r\n`, resolve));
			socket.destroy();
		}
	})();

	try
	{
		for (let i = 0; i < 30; i++)
		{
			const answers = await Promise.all(Array(5).fill().map((_, k) => ask(`sort=${k % 2 ? 'newest' : 'queue'}`)));

			for (const { status, body, code } of answers)
			{
				assert.ok(status === 200 || code === 'unavailable', `${status} ${code}`);
				if (status === 200)
					assert.ok(body.sessions.list.length <= 50 && body.sessions.list.every((s) => s.user === 'guest' || s.user === null));
			}
		}
	}
	finally
	{
		isOver = true;
		await Promise.allSettled([...churn, impatient]);
	}
	await Promise.all([...churn, impatient]);
	await until('all are gone', async () => (await data('')).sessions.seen === 0);
});

test('one connection asks again and again, and more than once at a time', async () =>
{
	const socket = net.connect(notifier.port, '127.0.0.1');
	const one = `GET /inspector/data?sessions=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${admin()}\r\n\r\n`;
	let text = '';

	socket.setEncoding('utf8').on('data', (piece) => { text += piece; });
	socket.write(one + one + `GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n`);
	await until('three answers', () => (text.match(/HTTP\/1\.1 200 OK/g) ?? []).length === 3);
	assert.match(text, /ok\n$/);
	socket.destroy();
});
