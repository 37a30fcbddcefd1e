// SPDX-License-Identifier: PostgreSQL
//
// attack.test.js
//	What attackers try: foreign origins, tokens of every wrong kind, claims that are SQL or worse, columns and
//	rows that are to be inferred, rights that were taken away.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeKeys, makeToken, makeUnsignedToken, now, signToken } from '../e2e/lib/jwt.js';
import { HandshakeRefused } from '../e2e/lib/peer.js';
import { request as http } from '../e2e/lib/http.js';
import { SECRET } from '../e2e/lib/stage.js';
import { CLAIMS, Desk } from './lib/desk.js';

const good = { aud: 'live', iss: 'https://id.example' };
const CLAIM_POLICY = `owner = ${CLAIMS} ->> 'sub'`;
const desk = await Desk.open('attack', { isAnonymous: false, flags: { 'allowed-origins': 'https://app.example', 'jwt-audience': 'live',
	'jwt-issuer': 'https://id.example' }, schema: `
	DO $$ BEGIN IF to_regrole('access_stranger') IS NULL THEN CREATE ROLE access_stranger; CREATE ROLE access_super SUPERUSER;
		CREATE ROLE "access odd ""role"; GRANT access_super, "access odd ""role" TO live; END IF; END $$;
	CREATE TABLE own (id integer PRIMARY KEY, owner text, secret text, n integer);
	CREATE TABLE evaluated (LIKE own INCLUDING ALL); CREATE TABLE per_claim (LIKE own INCLUDING ALL); CREATE TABLE open (LIKE own INCLUDING ALL);
	SELECT realtime.enable(t, 'x', t::text, status_column => 'secret') FROM unnest('{own,evaluated,per_claim,open}'::regclass[]) t;
	GRANT SELECT ON own, evaluated, per_claim TO web_user, access_stranger, "access odd ""role";
	GRANT SELECT (id, owner) ON open TO web_user;
	ALTER TABLE own ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON own USING (${CLAIM_POLICY});
	ALTER TABLE evaluated ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON evaluated USING (owner LIKE '%' AND position(owner IN ${CLAIMS} ->> 'sub') = 1 AND ${CLAIM_POLICY});
	ALTER TABLE per_claim ENABLE ROW LEVEL SECURITY;
	CREATE POLICY p ON per_claim USING (owner = current_setting('request.jwt.claim.sub', true))`,
	claims: good });
const { stage } = desk;
const token = (claims = {}) => makeToken({ role: 'web_user', sub: 'ada', exp: now() + 600, ...good, ...claims }, SECRET);

/** How a token is answered in the handshake and in the first message. */
async function refusal(text)
{
	const byHeader = await stage.notifier.connect({ token: text, isAuthed: false }).then(async (peer) => `closed ${(await peer.gone()).code}`,
		(error) => (error instanceof HandshakeRefused ? `HTTP ${error.status}` : error.message));
	const peer = await stage.notifier.connect();
	peer.send({ op: 'auth', ref: 1, token: text });
	const end = await peer.gone();

	assert.ok(!peer.checker.identity, 'authenticated');
	return [byHeader, end.code];
}

describe('cross-site WebSocket hijacking', () =>
{
	const connect = (headers) => stage.notifier.connect({ token: token(), headers }).then((peer) => peer.close().then(() => 'open'),
		(error) => error.status);

	test('foreign origins are refused before anything else, on every transport', async () =>
	{
		for (const origin of ['https://evil.example', 'http://app.example', 'https://app.example.evil.example', 'https://app.example:444', 'null',
			'https://app.example/', 'https://evil.example#https://app.example', '', 'file://', `https://127.0.0.1.evil.example`])
		{
			assert.equal(await connect({ origin }), 403, `Origin: ${origin}`);
			for (const where of ['/v1/events', '/v1/poll'])
			{
				const { status } = await http(`${stage.notifier.url}${where}?feature=x&entity=own&timeout=1`,
					{ headers: { origin, authorization: `Bearer ${token()}` }, seconds: 10 });
				assert.equal(status, 403, `${where} Origin: ${origin}`);
			}
		}
		assert.equal(await connect({ origin: 'https://app.example' }), 'open');
		assert.equal(await connect({}), 'open');
		assert.equal(await connect({ origin: `http://127.0.0.1:${stage.notifier.port}` }), 'open');
	});

	test('a forged Host does not make a foreign origin the page\'s own', async () =>
	{
		for (const headers of [{ origin: 'http://evil.example', host: 'evil.example' }, { origin: 'http://evil.example', 'x-forwarded-host': 'evil.example' }])
			assert.notEqual(await connect(headers), undefined);
		assert.equal(await connect({ origin: 'http://evil.example', 'x-forwarded-host': 'evil.example' }), 403);
	});
});

describe('tokens', () =>
{
	const part = (value) => Buffer.from(value).toString('base64url');
	const raw = (claims, header = '{"alg":"HS256"}') =>
	{
		const text = `${part(header)}.${part(claims)}`;
		return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`;
	};
	const whole = { role: 'web_user', sub: 'ada', exp: now() + 600, ...good };
	const keys = makeKeys('RS256', 'k');
	const wrong = {
		'alg none': makeUnsignedToken(whole),
		'alg None with a signature': makeToken(whole, SECRET, { alg: 'None' }),
		'no signature': `${makeToken(whole, SECRET).split('.').slice(0, 2).join('.')}.`,
		'another secret': makeToken(whole, 'x'.repeat(32)),
		'an empty secret': makeToken(whole, ''),
		'RS256 of a stranger': signToken(whole, keys),
		'HS384 said, HS256 made': makeToken(whole, SECRET, { alg: 'HS384' }),
		'claims changed': (() => { const [h, , s] = makeToken(whole, SECRET).split('.'); return `${h}.${part(JSON.stringify({ ...whole, sub: 'eve' }))}.${s}`; })(),
		'its own key in the header': makeToken(whole, 'own key own key own key own key!', { jwk: { kty: 'oct', k: part('own key own key own key own key!') } }),
		'a key by URL': makeToken(whole, SECRET + 'x', { jku: `${stage.notifier.url}/jwks`, kid: '../../etc/passwd' }),
		'crit': makeToken(whole, SECRET, { crit: ['exp'] }),
		'expired': token({ exp: now() - 600 }),
		'exp as text': token({ exp: String(now() + 600) }),
		'not yet': token({ nbf: now() + 600 }),
		'issued in the future': token({ iat: now() + 600 }),
		'another audience': token({ aud: 'other' }),
		'no audience': token({ aud: undefined }),
		'another issuer': token({ iss: 'https://id.example.evil' }),
		'oversize': token({ filler: 'x'.repeat(17000) }),
		'sub twice': raw(`{"role":"web_user","sub":"eve","sub":"ada","aud":"live","iss":"https://id.example"}`),
		'role twice, once escaped': raw(`{"role":"web_user","r\\u006fle":"access_stranger","sub":"ada","aud":"live","iss":"https://id.example"}`),
		'sub is no text': token({ sub: ['ada'] }),
		'a null byte in sub': raw(`{"role":"web_user","sub":"ada\\u0000eve","aud":"live","iss":"https://id.example"}`),
		'a lone surrogate': raw(`{"role":"web_user","sub":"\\ud800","aud":"live","iss":"https://id.example"}`),
		'claims are a list': raw('["role","web_user"]'),
		'nested too deep': raw(`{"role":"web_user","aud":"live","iss":"https://id.example","x":${'['.repeat(5000)}${']'.repeat(5000)}}`),
		'encrypted': 'eyJhbGciOiJkaXIifQ.e.e.e.e',
		'not a token': 'Bearer',
		'an unknown role': token({ role: 'nobody_knows' }),
		'a role that is not granted': token({ role: 'access_stranger' }),
		'role none': token({ role: 'none' }),
		'role of another case': token({ role: 'WEB_USER' }),
		'role with SQL': token({ role: 'web_user; RESET ROLE' }),
		'the notifier\'s own role': token({ role: 'live' }),
		'the role that reads the log': token({ role: 'realtime_notifier' }),
		'the superuser': token({ role: 'postgres' }),
		'a superuser that is granted': token({ role: 'access_super' }),
		'a role of many': token({ role: ['web_user'] }),
		'pg_read_all_data': token({ role: 'pg_read_all_data' })
	};

	for (const [name, text] of Object.entries(wrong))
		test(`refused: ${name}`, async () =>
		{
			const [header, code] = await refusal(text);
			assert.ok(['HTTP 401', 'closed 4001'].includes(header), header);
			assert.equal(code, 4001);
		});

	test('nothing of a token is in the log, but each refusal is', async () =>
	{
		for (const text of Object.values(wrong))
			if (text.length > 20)
				for (const piece of text.split('.').filter((p) => p.length > 12))
					assert.ok(!stage.notifier.log.includes(piece), 'a token in the log');
		assert.ok(desk.log((l) => /refused/.test(JSON.stringify(l))).length > 40);
	});

	test('algorithm confusion: the public key as secret', async () =>
	{
		const file = path.join(stage.directory, 'jwks.json');
		const pem = keys.jwk;
		writeFileSync(file, JSON.stringify({ keys: [pem] }));
		const other = await stage.start({ flags: { 'jwt-secret-file': undefined, jwks: file, 'jwt-algorithms': 'HS256,RS256' } });
		const peer = await other.connect({ token: signToken(whole, keys) });
		assert.equal(peer.checker.identity.role, 'web_user');
		await peer.close();
		for (const secret of [pem.n, Buffer.from(pem.n, 'base64url'), JSON.stringify(pem), pem.e, ''])
			await assert.rejects(other.connect({ token: makeToken(whole, secret, { kid: 'k' }) }), (e) => e.status === 401);
		await other.stop();
	});
});

describe('claims reach SQL as values, and tell readers apart', () =>
{
	const subs = ["it's", '"; DROP TABLE own; --', '\\', "'||(SELECT 1)||'", '$1', '%', '\u{1F600}', '\t\n\u0001', '{}', 'null', "O'Brien\\'", 'ä',
		'x'.repeat(10000), ''];

	for (const table of ['own', 'evaluated', 'per_claim'])
		test(`hostile subjects on ${table}`, async () =>
		{
			let id = 0;
			for (const sub of subs)
			{
				// an empty setting is null in policies, as sql-reference.md says
				if (sub === '' && table === 'per_claim')
					continue;
				const peer = await desk.peer(undefined, { token: token({ sub, nested: { a: [{ b: "'" }] }, "o'dd \"name": ["'", { '\\': 1 }] }) });
				await desk.write(`INSERT INTO ${table} VALUES (${++id}, $q$${sub}$q$)`);
				const view = await peer.subscribe({ feature: 'x', entity: table, snapshot: true });
				await peer.settle(await desk.write(`INSERT INTO ${table} VALUES (${++id}, $q$${sub}$q$), (${++id}, 'other'), (${++id}, NULL), (${++id}, $q$${sub}%$q$)`));
				assert.deepEqual([view.ids, view.story], [[String(id - 4)], [`created ${id - 3}`]], sub.slice(0, 40));
				await peer.close();
			}
			assert.equal(await stage.value("SELECT count(*) FROM pg_class WHERE relname = 'own'"), '1');
		});

	test('names of claims however they are written: groups are not mixed up', async () =>
	{
		const names = ['https://id.example/claims', 'ärger', 'with "quotes"', 'back\\slash', 'tab\there', '\u{1F600}', "o'clock", 'sub2'];
		for (const [i, name] of names.entries())
		{
			const table = `named${i}`;
			await desk.sql(`CREATE TABLE ${table} (id integer PRIMARY KEY, who text); SELECT realtime.enable('${table}', 'named', '${table}');
				GRANT SELECT ON ${table} TO web_user; ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
				CREATE POLICY p ON ${table} USING (who LIKE '%' AND length(who) > 0 AND who || '' = (${CLAIMS} ->> E'${name.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'))`);
			// as PHP and Python write JSON: slashes and what is not ASCII escaped
			const escaped = JSON.stringify(name).replaceAll('/', '\\/').replace(/[^\x20-\x7e]/gu, (c) =>
				[...Array(c.length).keys()].map((k) => `\\u${c.charCodeAt(k).toString(16).padStart(4, '0')}`).join(''));
			const texts = [JSON.stringify(name), escaped, escaped];
			const readers = [];
			for (const [k, written] of texts.entries())
			{
				const who = `w${k}`;
				const claims = `{"role":"web_user","aud":"live","iss":"https://id.example","sub":"same",${written}:"${who}"}`;
				const part = (value) => Buffer.from(value).toString('base64url');
				const text = `${part('{"alg":"HS256"}')}.${part(claims)}`;
				const peer = await desk.peer(undefined, { token: `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}` });
				readers.push({ who, peer, view: await peer.subscribe({ feature: 'named', entity: table }) });
			}
			const tx = await desk.write(`INSERT INTO ${table} VALUES (0, 'w0'), (1, 'w1'), (2, 'w2')`);
			for (const { who, peer, view } of readers)
			{
				await peer.settle(tx);
				assert.deepEqual([view.story, view.gaps], [[`created ${who[1]}`], []], `LEAK or omission: claim ${texts[who[1]]}`);
				await peer.close();
			}
		}
	});

	test('roles with odd names; the settings of one reader are not another\'s', async () =>
	{
		const odd = await desk.peer(undefined, { token: token({ role: 'access odd "role', sub: 'odd' }) });
		const view = await odd.subscribe({ feature: 'x', entity: 'own', snapshot: true });
		const peer = await desk.peer(undefined, { token: token({ sub: undefined }) });
		const none = await peer.subscribe({ feature: 'x', entity: 'per_claim', snapshot: true });
		const tx = await desk.write("INSERT INTO own VALUES (9001, 'odd'), (9002, 'ada'); INSERT INTO per_claim VALUES (9001, 'ada'), (9002, ''), (9003, NULL)");
		await odd.settle(tx);
		await peer.settle(tx);
		assert.deepEqual([view.story, none.ids, none.story], [['created 9001'], [], []]);
	});
});

describe('what cannot be seen cannot be inferred', () =>
{
	const secret = { feature: 'x', entity: 'open' };

	test('unreadable columns: filters, order, columns, edges, status, meta.omitted, bulk', async () =>
	{
		const peer = await desk.peer(undefined, { token: token() });
		for (const more of [{ filter: [['secret', 'eq', 'a']] }, { filter: [['secret', 'is', null]] }, { filter: [['secret', 'not.like', 'x%']] },
			{ filter: [['n', 'gt', 1]] }, { filter: [['owner', 'eq', 'a'], ['n', 'gt', 1]] }, { columns: ['secret'] }, { columns: ['id', 'n'] },
			{ snapshot: true, order: ['n'] }, { snapshot: true, order: ['-secret'] }])
			assert.ok(['forbidden', 'bad_request'].includes(await peer.refused({ op: 'subscribe', ...secret, ...more })), JSON.stringify(more));
		assert.equal(await peer.refused({ op: 'subscribe', ...secret, filter: [['nonesuch', 'eq', 'a']] }), 'bad_request');
		const view = await peer.subscribe(secret);
		const filtered = await peer.subscribe({ ...secret, filter: [['owner', 'eq', 'ada']] });
		await desk.sql("ALTER TABLE open ALTER secret SET STORAGE EXTERNAL");
		let tx = await desk.write("INSERT INTO open VALUES (1, 'ada', repeat('hush', 5000), 42)");
		tx = await desk.write("UPDATE open SET n = 43, secret = secret || 'x'");
		tx = await desk.write("UPDATE open SET n = 44");
		tx = await desk.write("UPDATE open SET owner = 'bob', n = 45, secret = 'hush'");
		tx = await desk.write("DELETE FROM open");
		await peer.settle(tx);
		assert.deepEqual([view.story, filtered.story], [['created 1', 'updated 1', 'deleted 1'], ['created 1', 'left 1']]);
		const text = JSON.stringify([view.events, filtered.events]);
		assert.ok(!/hush|secret|omitted|4[2345],|"n"/.test(text.replace(/"meta":\{[^}]*\}/g, (meta) => meta.replace(/"(tx|timestamp|seq)":"?[^,"]*"?,?/g, ''))), text);
	});

	test('rows of others: gaps, counts and refusals tell nothing of them', async () =>
	{
		const peer = await desk.peer(undefined, { token: token({ sub: 'lurker' }) });
		const view = await peer.subscribe({ feature: 'x', entity: 'own', snapshot: true });
		const filtered = await peer.subscribe({ feature: 'x', entity: 'own', filter: [['secret', 'eq', 'x']] });
		const evaluated = await peer.subscribe({ feature: 'x', entity: 'evaluated' });
		let tx;
		for (const table of ['own', 'evaluated'])
		{
			tx = await desk.write(`INSERT INTO ${table} SELECT g, 'victim', 'x', g FROM generate_series(20001, 20050) g`);
			tx = await desk.write(`UPDATE ${table} SET secret = 'y' WHERE owner = 'victim'`);
			tx = await desk.write(`UPDATE ${table} SET id = id + 1000 WHERE owner = 'victim'`);
			tx = await desk.write(`DELETE FROM ${table} WHERE owner = 'victim'`);
		}
		await peer.settle(tx);
		for (const one of [view, filtered, evaluated])
			assert.deepEqual([one.story, one.gaps, one.rows], [[], [], []]);
	});

	test('bulk summaries of a table under row-level security name no keys', async () =>
	{
		await desk.sql("SELECT realtime.enable('own', 'x', 'own', bulk_threshold => 10)");
		const peer = await desk.peer(undefined, { token: token({ sub: 'lurker' }) });
		const view = await peer.subscribe({ feature: 'x', entity: 'own' });
		await peer.settle(await desk.write("INSERT INTO own SELECT g, 'victim' FROM generate_series(30001, 30050) g"));
		assert.deepEqual(view.gaps.map((g) => g.reason), ['bulk']);
		assert.ok(view.events.every((e) => e.data.keys === null), JSON.stringify(view.events));
	});
});

describe('resuming', () =>
{
	test('across a revocation of table, column and policy: the rights of now', async () =>
	{
		await desk.sql(`CREATE TABLE past (id integer PRIMARY KEY, owner text, secret text); SELECT realtime.enable('past', 'x', 'past');
			GRANT SELECT ON past TO web_user; ALTER TABLE past ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON past USING (true)`);
		const request = { feature: 'x', entity: 'past' };
		const first = await desk.peer(undefined, { token: token() });
		const view = await first.subscribe(request);
		await first.settle(await desk.write("INSERT INTO past VALUES (1, 'ada', 'hush')"));
		assert.equal(view.events[0].data.secret, 'hush');
		const since = first.token;
		await first.close();
		await desk.write("INSERT INTO past VALUES (2, 'ada', 'hush'), (3, 'eve', 'hush')");
		await desk.sql(`ALTER POLICY p ON past USING (${CLAIM_POLICY}); REVOKE SELECT ON past FROM web_user; GRANT SELECT (id, owner) ON past TO web_user`);
		let tx = await desk.write("INSERT INTO past VALUES (4, 'ada', 'hush'), (5, 'eve', 'hush'); DELETE FROM past WHERE id < 4");
		const second = await desk.peer(undefined, { token: token() });
		const again = await second.subscribe({ ...request, since });
		await second.settle(tx);
		assert.deepEqual(again.story.sort(), ['created 2', 'created 4', 'deleted 1', 'deleted 2']);
		assert.ok(!JSON.stringify(again.events).includes('hush'));
		await desk.sql('REVOKE SELECT ON past FROM web_user; REVOKE SELECT (id, owner) ON past FROM web_user');
		assert.equal(await second.frame('the view ends', (f) => f.op === 'error' && f.view).then((f) => f.code), 'forbidden');
		assert.equal(await second.refused({ op: 'subscribe', ...request, since }), 'forbidden');
		const wild = await second.subscribe({ feature: 'x', since });
		tx = await desk.write('DELETE FROM past');
		await second.settle(tx);
		assert.deepEqual(wild.events.filter((e) => e.entity === 'past'), []);
	});

	test('with another\'s position: what oneself may see', async () =>
	{
		const ada = await desk.peer(undefined, { token: token({ sub: 'first' }) });
		await ada.subscribe({ feature: 'x', entity: 'evaluated' });
		await ada.settle(await desk.write("INSERT INTO evaluated VALUES (40001, 'first')"));
		const since = ada.token;
		const tx = await desk.write("INSERT INTO evaluated VALUES (40002, 'first'), (40003, 'second')");
		for (const entity of ['evaluated'])
		{
			const eve = await desk.peer(undefined, { token: token({ sub: 'second' }) });
			const view = await eve.subscribe({ feature: 'x', entity, since });
			await eve.settle(tx);
			assert.deepEqual(view.story, ['created 40003']);
		}
	});
});

test('snapshots are read under the same role, claims and policies', async () =>
{
	await desk.sql(`CREATE TABLE snap (id integer PRIMARY KEY, owner text, secret text); SELECT realtime.enable('snap', 'x', 'snap');
		GRANT SELECT (id, owner) ON snap TO web_user; ALTER TABLE snap ENABLE ROW LEVEL SECURITY;
		CREATE POLICY p ON snap USING (owner = current_setting('request.jwt.claim.sub', true)
			OR owner = current_user || (${CLAIMS} ->> 'org') OR owner = (${CLAIMS} #>> '{deep,0,x}') OR owner = current_setting('request.jwt.claim.list', true));
		INSERT INTO snap VALUES (1, 'ada', 's'), (2, 'web_user7', 's'), (3, 'postgres7', 's'), (4, 'deep', 's'), (5, 'eve', 's'), (6, NULL, 's'), (7, '["l"]', 's')`);
	const peer = await desk.peer(undefined, { token: token({ sub: 'ada', org: 7, deep: [{ x: 'deep' }], list: ['l'] }) });
	const view = await peer.subscribe({ feature: 'x', entity: 'snap', snapshot: true });
	assert.deepEqual(view.ids, ['1', '2', '4', '7']);
	assert.deepEqual(view.rows.map((r) => Object.keys(r.data)), Array(4).fill(['id', 'owner']));
	const tx = await desk.write("UPDATE snap SET owner = owner || ''");
	await peer.settle(tx);
	await peer.settle(await desk.write('DELETE FROM snap'));
	assert.deepEqual(view.story.sort(), ['deleted 1', 'deleted 2', 'deleted 4', 'deleted 7']);
});

test('a claim that a token lacks is null in a snapshot, whatever the pool\'s sessions have had', async () =>
{
	await desk.sql(`CREATE TABLE lacking (id integer PRIMARY KEY, owner text); SELECT realtime.enable('lacking', 'x', 'lacking');
		GRANT SELECT ON lacking TO web_user; ALTER TABLE lacking ENABLE ROW LEVEL SECURITY;
		CREATE POLICY p ON lacking USING ((owner = current_setting('request.jwt.claim.team', true)) IS NOT FALSE);
		INSERT INTO lacking VALUES (1, 'red'), (2, 'blue'), (3, '')`);
	const snapshot = async (claims) =>
	{
		const peer = await desk.peer(undefined, { token: token(claims) });
		const view = await peer.subscribe({ feature: 'x', entity: 'lacking', snapshot: true });
		const { ids } = view;

		await peer.close();
		return ids;
	};

	for (let round = 0; round < 3; round++)
	{
		// As many at once as use every session of the pool.
		assert.deepEqual(await Promise.all(Array.from({ length: 12 }, (_, i) => snapshot({ team: 'red', sub: `u${i}` }))), Array(12).fill(['1']));
		assert.deepEqual(await Promise.all(Array.from({ length: 12 }, (_, i) => snapshot(i % 2 ? { sub: `u${i}` } : { team: '', sub: `u${i}` }))),
			Array(12).fill(['1', '2', '3']));
	}
});
