// SPDX-License-Identifier: PostgreSQL
//
// names.test.js
//	Every SQL function with names and values that are meant to be read as something else: quotes, comments, formats, control
//	characters, Unicode, 63 bytes. What is taken arrives as it was; what is not leaves a plain error; nothing else happens.

import test from 'node:test';
import assert from 'node:assert/strict';
import { Stage } from '../e2e/lib/stage.js';

const stage = await Stage.open('names', { flags: { workers: 1 }, schema: 'CREATE TABLE canary (id integer PRIMARY KEY); GRANT SELECT ON canary TO web_anon' });
const quote = (name) => `"${name.replaceAll('"', '""')}"`;

const NAMES = ['it\'s', 'a"b', '"; DROP TABLE canary; --', '\'); DROP TABLE canary; --', '$1', '%s%n%I', 'back\\slash', '\\x27', 'E\'\\\'', '/* */', '--',
	'$$', '$q$', 'select', 'NULL', 'Ünïcödé', '\u{1F600}', '\u202Egnp', '<script>alert(1)</script>', '&quot;', '${x}', '{{x}}', 'a.b', 'a,b', '{a,b}',
	'(a)', ' lead', 'trail ', 'x'.repeat(63), 'ä'.repeat(31), 'tab\there', 'new\nline', '\u0001', '\u007f', '__proto__', 'constructor', 'toString', 'old', 'new', 'ctid'];
const isControl = (name) => /[\u0000-\u001f\u007f]/.test(name);

test('tables, columns and schemas however they are named', async (t) =>
{
	let n = 0;
	for (const name of NAMES.filter((x) => x !== 'ctid'))
	{
		const table = `${quote(name)}.${quote(name)}`;
		await stage.sql(`CREATE SCHEMA ${quote(name)}; GRANT USAGE ON SCHEMA ${quote(name)} TO web_anon;
			CREATE TABLE ${table} (${quote(name)} text PRIMARY KEY, ${quote(`${name}`.slice(0, 20) + '2')} text); GRANT SELECT ON ${table} TO web_anon`);
		await stage.sql('SELECT realtime.enable($1::regclass, $2, $3, key => $4, status_column => $5, columns => $6, affects => ARRAY[$1::regclass])',
			[table, `f${n}`, `e${n}`, [name], name, [name, `${name}`.slice(0, 20) + '2']]);
		await stage.sql('SELECT realtime.define_event($1::regclass, $2, status => $3, columns => $4)', [table, 'named.x', name, [name]]);
		const peer = await stage.peer();
		const view = await peer.subscribe({ feature: `f${n}`, entity: `e${n}`, filter: [[name, 'neq', 'other'], [name, 'not.like', 'zzz%']], columns: [name], snapshot: true,
			order: [`${name}.desc`] });
		await stage.sql(`INSERT INTO ${table} VALUES ($1, $1)`, [name]);
		await peer.settle(await stage.write(`UPDATE ${table} SET ${quote(name)} = ${quote(name)}`));
		assert.equal(view.events.length, 1, name);
		assert.equal(view.events[0].id, name);
		assert.deepEqual(Object.entries(view.events[0].data), [[name, name]]);
		await peer.close();
		await stage.sql(`ALTER TABLE ${table} RENAME TO renamed; DROP SCHEMA ${quote(name)} CASCADE`);
		n++;
	}
	t.diagnostic(`${n} names`);
	assert.equal(await stage.value("SELECT count(*) FROM realtime.entities WHERE feature ~ '^f[0-9]'"), '0', 'dropped tables are unregistered');
});

test('features, entities, roles, users and data of topics', async () =>
{
	for (const name of NAMES)
	{
		if (isControl(name))
		{
			await assert.rejects(stage.sql('SELECT realtime.register_topic($1, $1)', [name]), (error) => error.code === '42602', JSON.stringify(name));
			continue;
		}
		const role = `role ${name}`.slice(0, 63);
		await stage.sql(`CREATE ROLE ${quote(role)}; SELECT 1`);
		await stage.sql('SELECT realtime.register_topic($1, $1)', [name]);
		for (const call of ['grant_subscribe', 'grant_emit', 'revoke_emit', 'revoke_subscribe'])
			await stage.sql(`SELECT realtime.${call}($1, $1, $2)`, [name, Buffer.byteLength(role) > 63 ? 'public' : role]);
		await stage.sql("SELECT realtime.grant_subscribe($1, $1, 'web_anon')", [name]);
		const peer = await stage.peer();
		const view = await peer.subscribe({ feature: name, entity: name });
		const data = { [name]: name, list: [name] };
		await stage.sql('BEGIN');
		await stage.sql("SELECT set_config('realtime.user', $1, true), set_config('realtime.session', $1, true)", [name]);
		await stage.sql('SELECT realtime.emit($1, $1, $2, $3, id => $1)', [name, 'told', JSON.stringify(data)]);
		const operation = await stage.value('SELECT realtime.bulk_start($1, $1, $1, 1)', [name]);
		await stage.sql('SELECT realtime.bulk_complete($1, $2)', [operation, JSON.stringify({ errors: [name] })]);
		const tx = await stage.value('SELECT pg_current_xact_id()');
		await stage.sql('COMMIT');
		await peer.settle(tx);
		const told = view.events.find((e) => e.action === 'told');
		assert.deepEqual([told.feature, told.entity, told.id, told.meta.userId, told.meta.sessionId], [name, name, name, name, name]);
		assert.deepEqual(told.data, JSON.parse(JSON.stringify(data)));
		assert.ok(view.events.some((e) => e.action === 'bulk_completed' && e.data.errors[0] === name));
		await peer.close();
		await stage.sql('SELECT realtime.drop_topic($1, $1)', [name]);
		await stage.sql(`DROP ROLE ${quote(role)}`);
	}
});

test('what is no name is refused: actions, operations, ids, conditions', async () =>
{
	await stage.sql("SELECT realtime.enable('canary', 'c', 'c')");
	for (const action of ['', 'a b', 'a\'b', 'a"b', 'created', 'resync', 'gap', 'a\nb', 'x'.repeat(64), 'ä', '<b>', null])
		await assert.rejects(stage.sql("SELECT realtime.emit('c', 'c', $1)", [action]), JSON.stringify(action));
	for (const id of ['', 'x', "'; DROP TABLE canary; --", '00000000-0000-0000-0000-000000000000', null])
		for (const call of ['bulk_progress($1, 1)', 'bulk_complete($1)'])
			await stage.sql(`SELECT realtime.${call}`, [id]).then(() => assert.equal(id, null), () => {});
	for (const condition of ['true); DROP TABLE canary; --', 'true; DROP TABLE canary', '(SELECT true)', 'EXISTS (SELECT FROM canary)', 'true UNION SELECT true', 'true --',
		'new.id = 1 FROM canary', 'count(*) > 0', 'nonesuch(new.id)', 'new.nonesuch', '1', '', '$1', 'pg_sleep(1)', 'generate_series(1, 2) > 0', 'row_number() OVER () > 1'])
		await assert.rejects(stage.sql("SELECT realtime.define_event('canary', 'x', condition => $1)", [condition]), condition);
	for (const position of ["'; DROP TABLE canary; --", '', '/', 'x/1:1:', `1-0/1:2:${'1,'.repeat(9000)}`, '1-\u0001/1:1:', null])
		await stage.sql('SELECT realtime.position_error($1)', [position]).then((rows) => assert.ok(rows), () => {});
	for (const id of ['1', "1' OR true --", '{"a":1}', '', '{', '\u0001', '"'.repeat(50)])
		assert.equal(await stage.value("SELECT realtime.forget('canary', $1)", [id]), '0');
	await assert.rejects(stage.sql("SELECT realtime.set_log_persistence('unlogged; DROP TABLE canary')"));
	await assert.rejects(stage.sql("SELECT realtime.enable('canary', notify => 'x''; DROP TABLE canary; --')"));
	assert.equal(await stage.value('SELECT count(*) FROM canary'), '0');
});

test('values too long for a NOTIFY, a name, a setting: the writer\'s transaction commits', async () =>
{
	await stage.sql(`CREATE TABLE loud (id text PRIMARY KEY, x text); SELECT realtime.enable('loud', repeat('f', 128), repeat('"', 128), notify => 'always', notify_data => true);
		GRANT SELECT ON loud TO web_anon`);
	const listener = await stage.database.connect('listener');
	const payloads = [];
	listener.on('notification', ({ payload }) => payloads.push(payload));
	await listener.query('LISTEN realtime');
	await stage.sql('BEGIN');
	await stage.sql("SELECT set_config('realtime.user', repeat(E'\\x01\"', 50000), true), set_config('realtime.session', repeat('ä', 50000), true)");
	await stage.sql("INSERT INTO loud SELECT repeat('\"', 2000 + i), repeat(E'\\x02', 100000) FROM generate_series(1, 3) i");
	await stage.sql('COMMIT');
	await listener.query('SELECT 1');
	assert.ok(payloads.length > 0 && payloads.every((p) => Buffer.byteLength(p) < 8000), `${payloads.map((p) => p.length)}`);
	for (const payload of payloads)
		if (payload !== '')
			JSON.parse(payload);
	assert.equal(await stage.value("SELECT count(*) FROM realtime.event WHERE feature = repeat('f', 128) AND action = 'created'"), '3');
	await assert.rejects(stage.sql("SELECT realtime.register_topic(repeat('f', 129), 'x')"));
	await listener.end();
});

/** What an argument of a type may be that means harm, as SQL: hostile text where there can be any, else the ends of its range. */
function hostile(type, text)
{
	const literal = `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
	const json = `E'${JSON.stringify({ [text]: text, keys: [text] }).replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

	return {
		text: [literal], 'text[]': [`ARRAY[${literal}, NULL]`], name: [`${literal}::name`], json: [`${json}::json`], jsonb: [`${json}::jsonb`, `to_jsonb(${literal}::text)`],
		regclass: ["'canary'::regclass", "'pg_authid'::regclass", "'realtime.commit_log'::regclass", '0::regclass'], 'regclass[]': ["ARRAY['canary', 'pg_class', '0']::regclass[]"],
		integer: ['-2147483648', '2147483647'], bigint: ['-9223372036854775808', '9223372036854775807'], boolean: ['true'], record: [`ROW(${literal}, NULL, 1)`],
		anyelement: [`${literal}::text`],
	}[type] ?? [`NULL::${type}`];
}

test('every function of the schema, whatever its arguments: a result or a plain error', { timeout: 300000 }, async (t) =>
{
	await stage.sql('CREATE ROLE attacker LOGIN; GRANT USAGE ON SCHEMA realtime TO attacker');
	const functions = await stage.sql(`SELECT p.oid::regproc::text AS name, p.prokind AS kind, to_json(ARRAY(SELECT format_type(a, NULL) FROM unnest(p.proargtypes)
		WITH ORDINALITY AS x(a, n) ORDER BY n)) AS types FROM pg_proc p WHERE p.pronamespace = 'realtime'::regnamespace ORDER BY 1`);
	const texts = NAMES.filter((name, i) => i < 12 || isControl(name) || name.length > 50 || name === '__proto__');
	const counts = { calls: 0, refusals: 0 };
	const wrong = new Set();
	for (const user of ['attacker', 'postgres'])
	{
		const client = await stage.database.connect('hostile');
		await client.query(`SET SESSION AUTHORIZATION ${user}; SET lock_timeout = '2s'; SET statement_timeout = '20s'`);
		for (const { name, kind, ...rest } of functions)
			for (const text of texts)
			{
				const types = typeof rest.types === 'string' ? JSON.parse(rest.types) : rest.types;
				// Each argument's choices side by side; all of them hostile in one call, then all null.
				const choices = types.map((type) => hostile(type, text));
				const calls = Array.from({ length: Math.max(1, ...choices.map((c) => c.length)) }, (_, i) => choices.map((c) => c[i % c.length]));
				for (const args of [...calls, types.map((type) => `NULL::${type === 'record' || type === 'anyelement' ? 'text' : type}`)])
				{
					counts.calls++;
					// Rolled back: the next call finds all as it was.
					await client.query('BEGIN');
					await client.query(kind === 'p' ? `CALL ${name}(${args})` : `SELECT ${name}(${args})`).catch((error) =>
					{
						counts.refusals++;
						// Two are meant: triggers say what they are, and what is no row of the log is broken.
						if ((!error.code || /^(XX|57|58|08)/.test(error.code)) && !/not called by the|does not hold events/.test(error.message))
							wrong.add(`${name}(${args}) as ${user}: ${error.code} ${error.message}`.slice(0, 300));
					});
					await client.query('ROLLBACK');
				}
			}
		await client.end();
	}
	t.diagnostic(`${functions.length} functions, ${counts.calls} calls, ${counts.refusals} refusals`);
	assert.deepEqual([...wrong].slice(0, 20), []);
	assert.ok(functions.length > 40 && counts.refusals < counts.calls);
	assert.equal(await stage.value('SELECT count(*) FROM canary'), '0', 'it is there, and empty');
	assert.equal(await stage.value("SELECT realtime.status() ->> 'ok'"), 'true');
	await stage.sql('DROP OWNED BY attacker; DROP ROLE attacker');
});
