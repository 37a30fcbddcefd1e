// SPDX-License-Identifier: PostgreSQL
//
// types.test.js
//	realtime-notifier --types: what it prints compiles under strict with the client and with code that uses it, holds
//	for the rows that events really have, and makes drift between code and database a compile error.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import { Database } from './lib/database.js';
import { Stage } from './lib/stage.js';
import { freePort } from './lib/notifier.js';

const top = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));
const stage = await Stage.open('types', { isStarted: false, schema: `
	CREATE TABLE plain (id integer PRIMARY KEY);` });
const { database } = stage;

await stage.sql(readFileSync(path.join(top, 'examples/orders/schema.sql'), 'utf8'));
await stage.sql(readFileSync(path.join(top, 'examples/orders/realtime.sql'), 'utf8'));

/** Runs the command; { status, out, err }. */
function print(flags = {}, environment = {})
{
	const args = ['--types', ...Object.entries({ database: database.conninfo(), ...flags })
		.flatMap(([flag, value]) => [`--${flag}`, value])];
	const child = spawn(process.env.RT_NOTIFIER, args, { stdio: ['ignore', 'pipe', 'pipe'],
		env: { ...process.env, PGPASSWORD: '', ...environment } });
	const result = { out: '', err: '' };

	child.stdout.setEncoding('utf8').on('data', (data) => { result.out += data; });
	child.stderr.setEncoding('utf8').on('data', (data) => { result.err += data; });
	return new Promise((resolve) => child.on('close', (status) => resolve({ ...result, status })));
}

/** The module of the database as it is. */
async function printed()
{
	const { status, out, err } = await print();

	assert.equal(status, 0, err);
	assert.equal(err, '');
	return out;
}

const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext,
	lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts', 'lib.dom.asynciterable.d.ts'], types: [],
	strict: true, noUncheckedIndexedAccess: true, verbatimModuleSyntax: true, skipLibCheck: true, noEmit: true };
let directories = 0;

/** Compiles a module of types with code beside it; what the compiler says of the two, "line N: text" for the code. */
function compile(types, code)
{
	const directory = path.join(stage.directory, `code${directories++}`);

	mkdirSync(directory);
	writeFileSync(path.join(directory, 'package.json'), '{ "type": "module" }');
	symlinkSync(path.join(top, 'client'), path.join(directory, 'client'));
	writeFileSync(path.join(directory, 'types.ts'), types);
	writeFileSync(path.join(directory, 'code.ts'), code);
	const files = ['types.ts', 'code.ts'].map((name) => path.join(directory, name));
	const program = ts.createProgram(files, options);

	return files.flatMap((name) => ts.getPreEmitDiagnostics(program, program.getSourceFile(name))).map((d) =>
	{
		const { line } = d.file.getLineAndCharacterOfPosition(d.start);

		return `${path.basename(d.file.fileName)} line ${line + 1}: ${ts.flattenDiagnosticMessageText(d.messageText, ' ')}`;
	});
}

/** Fails unless the compiler complains of exactly these lines of the code, each with a text. */
function complains(complaints, expected)
{
	assert.deepEqual(complaints.map((c) => c.match(/^(\S+ line \d+)/)[1]), expected.map(([line]) => `code.ts line ${line}`),
		complaints.join('\n'));
	expected.forEach(([, text], i) => assert.match(complaints[i], text));
}

/** The module as a program has it. */
async function run(types)
{
	const file = path.join(stage.directory, `module${directories++}.mjs`);

	writeFileSync(file, ts.transpileModule(types, { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 } })
		.outputText);
	return import(pathToFileURL(file).href);
}

/** The number of the line of a code that has a text. */
const lineOf = (code, text) => code.split('\n').findIndex((line) => line.includes(text)) + 1;

// Uses what the orders example has, as an application would.
const application = `
import { RealtimeClient } from './client/src/index.js';
import { ACTIONS, ENTITIES, FEATURES, PRIORITIES, REGISTRY, STATUSES } from './types.js';
import type { Action, Entity, Feature, Id, Row, Status } from './types.js';

type Order = Row<'orders', 'order'>;
const client = new RealtimeClient('ws://127.0.0.1:1/v1/ws');
const store = client.entity<Order>(FEATURES.orders, ENTITIES.orders.order);
export const trackings: (string | null)[] = store.items.map(({ data }) => data.tracking);
export const isShipped = (order: Order): boolean => order.status === STATUSES.orders.order.shipped;
export const isCancelled = (order: Order): boolean => order.status === 'cancelled';
export const onEvent = (action: Action<'orders', 'order'>): string | undefined =>
{
	switch (action)
	{
		case 'approved': return 'good';
		case ACTIONS.orders.order['order.shipped']: return 'on its way';
		default: return undefined;
	}
};
export const priority: 'high' = PRIORITIES.orders.order.approved;
export const statuses: Status<'orders', 'order'>[] = Object.values(STATUSES.orders.order);
export const id: Id<'orders', 'order'> = '17';
export function open<F extends Feature, E extends Entity<F>>(feature: F, entity: E & string)
{
	return client.entity<Row<F, E>>(feature, entity);
}
export const total: number | string = open('orders', 'order').items[0]!.data.total;
export const registry: { readonly [feature: string]: { readonly [entity: string]:
	{ readonly actions: readonly string[]; readonly key: readonly string[] } } } = REGISTRY;
`;

test('the module compiles under strict with the client and code that uses it', async () =>
{
	assert.deepEqual(compile(await printed(), application), []);
});

test('what is wrong does not compile', async () =>
{
	const wrong = `
import { ACTIONS } from './types.js';
import type { Entity, Row } from './types.js';
export const a: Row<'orders', 'order'>['status'] = 'lost';
export const b: Entity<'orders'> = 'invoice';
export const c = ACTIONS.orders.order.inspected;
export const d = (row: Row<'orders', 'order'>) => row.total.toFixed(2);
export const e = (row: Row<'orders', 'order'>) => { row.id = '3'; };
export const f = (row: Row<'orders', 'order'>) => row.tracking.length;
`;

	complains(compile(await printed(), wrong), [[4, /'"lost"' is not assignable/], [5, /'"invoice"' is not assignable/],
		[6, /'inspected' does not exist/], [7, /'toFixed' does not exist/], [8, /read-only/], [9, /possibly 'null'/]]);
});

describe('drift is a compile error:', () =>
{
	/** Changes the database, compiles, and changes it back. */
	async function drift(change, back, expected)
	{
		await stage.sql(change);
		try
		{
			complains(compile(await printed(), application), expected.map(([text, error]) => [lineOf(application, text), error]));
		}
		finally
		{
			await stage.sql(back);
		}
		assert.deepEqual(compile(await printed(), application), []);
	}

	test('a column dropped', () => drift('ALTER TABLE orders.orders DROP COLUMN tracking CASCADE',
		`ALTER TABLE orders.orders ADD COLUMN tracking text`,
		[['data.tracking', /'tracking' does not exist/]]));

	test('a column renamed', () => drift('ALTER TABLE orders.orders RENAME COLUMN total TO amount',
		'ALTER TABLE orders.orders RENAME COLUMN amount TO total', [['data.total;', /'total' does not exist/]]));

	test('a column that is not captured any more', () => drift(
		`SELECT realtime.enable('orders.orders', 'orders', 'order', status_column => 'status', exclude => '{tracking}')`,
		`SELECT realtime.enable('orders.orders', 'orders', 'order', status_column => 'status')`,
		[['data.tracking', /'tracking' does not exist/]]));

	test('a column that may be null now', () => drift('ALTER TABLE orders.orders ALTER COLUMN total DROP NOT NULL',
		'ALTER TABLE orders.orders ALTER COLUMN total SET NOT NULL', [['data.total;', /null/]]));

	test('an action removed', () => drift(`SELECT realtime.drop_event('orders.orders', 'order.shipped')`,
		`SELECT realtime.define_event('orders.orders', 'order.shipped', status => 'shipped', priority => 'high')`,
		[["ACTIONS.orders.order['order.shipped']", /'order.shipped' does not exist/]]));

	test('a priority changed', () => drift(
		`SELECT realtime.define_event('orders.orders', 'approved', columns => '{approval}', condition => 'NEW.approval = ''approved''')`,
		`SELECT realtime.define_event('orders.orders', 'approved', columns => '{approval}', condition => 'NEW.approval = ''approved''',
			priority => 'high')`,
		[['PRIORITIES.orders.order.approved', /"normal"/]]));

	test('a status removed', () => drift(
		`ALTER TABLE orders.orders DROP CONSTRAINT orders_status_check,
			ADD CONSTRAINT orders_status_check CHECK (status IN ('pending', 'paid', 'shipped', 'delivered'))`,
		`ALTER TABLE orders.orders DROP CONSTRAINT orders_status_check,
			ADD CONSTRAINT orders_status_check CHECK (status IN ('pending', 'paid', 'shipped', 'delivered', 'cancelled'))`,
		[["'cancelled'", /no overlap/]]));

	test('an entity unregistered', async () =>
	{
		const code = `
import { ENTITIES } from './types.js';
import type { Row } from './types.js';
export const name = ENTITIES.orders.payment;
export type Payment = Row<'orders', 'payment'>;
`;

		assert.deepEqual(compile(await printed(), code), []);
		await stage.sql(`SELECT realtime.disable('orders.payments')`);
		complains(compile(await printed(), code), [[4, /'payment' does not exist/], [5, /constraint/]]);
	});
});

test('what events have fits the types', async () =>
{
	await stage.sql(`
		CREATE TYPE mood AS ENUM ('good', 'it''s bad', 'so"so');
		CREATE TYPE point3 AS (x bigint, y numeric, m mood, list integer[]);
		CREATE TYPE nest AS (p point3, many point3[]);
		CREATE TYPE odd AS ENUM ('x');
		CREATE FUNCTION odd_json(odd) RETURNS json IMMUTABLE LANGUAGE sql AS 'SELECT ''{"a":[1]}''::json';
		CREATE CAST (odd AS json) WITH FUNCTION odd_json(odd);
		CREATE DOMAIN size AS text NOT NULL CHECK (VALUE IN ('S', 'M'));
		CREATE DOMAIN count_d AS bigint;
		CREATE DOMAIN grid AS integer[][];
		CREATE TABLE every (
			id bigint PRIMARY KEY, id2 bigint NOT NULL, n numeric, n2 numeric, f real, f2 double precision, f3 double precision, b boolean,
			s smallint, o oid, t text, c char(4), v varchar(9) CHECK (v = 'one' OR v = 'two'), u uuid, y bytea, d date,
			ts timestamp, tz timestamptz, ti time, iv interval, m mood, ms mood[], p point3, ne nest, odd odd, sz size, cd count_d, g grid,
			a integer[], a2 text[][], j json, jb jsonb, r int4range, i inet, mo money, bit bit(3), x xml, rc regclass, pt point,
			made bigint GENERATED ALWAYS AS (id * 2) STORED, e tsvector, em text[], secret text, nothing text,
			w text CHECK (lower(w) = 'x'), nv text, k1 text CHECK (k1 = 'a') NOT NULL);
		ALTER TABLE every ADD CHECK (nv IN ('only', 'new')) NOT VALID;
		ALTER TABLE every DROP COLUMN nothing;
		CREATE TABLE every_string (LIKE every, PRIMARY KEY (id, k1));
		SELECT realtime.enable('every', 'kinds', 'every', exclude => '{secret}');
		SELECT realtime.enable('every_string', 'kinds', 'strings', "numeric" => 'string', exclude => '{secret}');`);
	const values = `17, 9007199254740993, 1.5, 1e40, 'NaN', 'Infinity', 0.1, true, 3, 7, E'a\\nb', 'x', 'one',
		'00000000-0000-4000-8000-000000000000', '\\x00ff', '2026-11-22', 'infinity', now(), '12:00', '1 day', 'it''s bad',
		'{good,NULL}', '(1,2.5,good,"{1,NULL}")', '("(9007199254740993,,,)","{""(,,,)""}")', 'x', 'S', 5, '{{1,2},{3,NULL}}', '{1,NULL}',
		NULL, '{"a": [1, null]}', '5', '[1,5)', '10.0.0.1', '1.50', B'101', '<a/>', 'pg_class', '(1,2)'`;
	await stage.sql(`
		INSERT INTO every (id, id2, n, n2, f, f2, f3, b, s, o, t, c, v, u, y, d, ts, tz, ti, iv, m, ms, p, ne, odd, sz, cd, g, a, a2, j, jb,
			r, i, mo, bit, x, rc, pt, e, em, secret, w, nv, k1) VALUES (${values}, 'a b', '{}', 'hidden', 'X', 'new', 'a');
		INSERT INTO every (id, id2, sz, k1) VALUES (1, 2, 'M', 'a');
		INSERT INTO every_string SELECT * FROM every`);
	const events = (await stage.sql(`SELECT event FROM realtime.event WHERE feature = 'kinds' ORDER BY tx, seq`)).map((r) => r.event);
	const types = await printed();
	const good = events.map((text, i) =>
	{
		const { entity, data, id } = JSON.parse(text);

		return `export const row${i}: Row<'kinds', '${entity}'> = ${JSON.stringify(data)};
export const id${i}: Id<'kinds', '${entity}'> = ${JSON.stringify(id)};\n`;
	}).join('');

	assert.equal(events.length, 4);
	assert.deepEqual(compile(types, `import type { Id, Row } from './types.js';\n${good}`), []);

	// Not because everything would fit: the types are as narrow as they are said to be.
	const bad = `
import type { Id, Row } from './types.js';
type R = Row<'kinds', 'every'>;
type S = Row<'kinds', 'strings'>;
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
export const same: [
	Same<R['id'], number | string>, Same<R['n'], number | string | null>, Same<S['n'], string | null>, Same<S['id'], string>,
	Same<R['f2'], number | 'NaN' | 'Infinity' | '-Infinity' | null>, Same<R['b'], boolean | null>, Same<R['s'], number | null>,
	Same<R['t'], string | null>, Same<R['v'], 'one' | 'two' | null>, Same<R['k1'], 'a'>,
	Same<R['m'], 'good' | "it's bad" | 'so"so' | null>, Same<R['ms'], ('good' | "it's bad" | 'so"so' | null)[] | null>,
	Same<NonNullable<R['p']>['x'], number | string | null>, Same<NonNullable<S['p']>['x'], string | null>,
	Same<NonNullable<NonNullable<S['ne']>['p']>['y'], string | null>, Same<R['odd'], unknown>, Same<R['sz'], 'S' | 'M'>,
	Same<R['cd'], number | string | null>, Same<R['g'], (number | null)[][] | null>, Same<R['a'], (number | null)[] | null>,
	Same<R['a2'], (string | null)[][] | null>, Same<R['j'], unknown>, Same<R['r'], string | null>, Same<R['w'], string | null>,
	Same<R['nv'], string | null>, Same<'secret' extends keyof R ? 1 : 2, 2>, Same<'nothing' extends keyof R ? 1 : 2, 2>,
	Same<Id<'kinds', 'every'>, string>, Same<Id<'kinds', 'strings'>, { id: string; k1: string }>
] = [${Array(29).fill('true').join(', ')}];
`;
	assert.deepEqual(compile(types, bad), []);
});

test('statuses of enums, domains and booleans; a topic', async () =>
{
	await stage.sql(`
		CREATE TYPE level AS ENUM ('low', 'high');
		CREATE DOMAIN phase AS varchar(20) CHECK (VALUE IN ('begin', 'end'));
		CREATE TABLE s1 (id integer PRIMARY KEY, status level);
		CREATE TABLE s2 (id integer PRIMARY KEY, status phase);
		CREATE TABLE s3 (id integer PRIMARY KEY, status text);
		CREATE TABLE s4 (id integer PRIMARY KEY, status text CHECK (status IN ('a', 'b')) CHECK (status IN ('b', 'c')));
		SELECT realtime.enable(('s' || n)::regclass, 'statuses', 's' || n, status_column => 'status') FROM generate_series(1, 4) n;
		SELECT realtime.register_topic('statuses', 'topic')`);
	const { STATUSES, REGISTRY, ACTIONS } = await run(await printed());

	assert.deepEqual(STATUSES.statuses, { s1: { low: 'low', high: 'high' }, s2: { begin: 'begin', end: 'end' }, s3: {},
		s4: { b: 'b' }, topic: {} });
	assert.deepEqual(REGISTRY.statuses.topic.key, []);
	assert.equal(REGISTRY.statuses.topic.actions[0], '*');
	assert.deepEqual(Object.keys(ACTIONS.statuses.s1).slice(0, 5), ['created', 'updated', 'deleted', 'truncated', 'status_changed']);
	assert.deepEqual(compile(await printed(), `
import type { Action, Row } from './types.js';
export const action: Action<'statuses', 'topic'> = 'whatever';
export const row: Row<'statuses', 'topic'> = { any: 1 };
`), []);
});

test('hostile names stay names', async () =>
{
	const names = ['__proto__', 'constructor', "it's", 'a"b', '`${process.exit(1)}`', '*/ throw 1 /*', '// x', '</script>',
		'back\\slash', 'class', '1st', 'ü', '\u2028', '\u202eabc', '😀', ' ', "'; throw new Error('x'); '"];
	const columns = [...names, 'line\nbreak', '\r', '\t'];
	const quote = (name) => `"${name.replaceAll('"', '""')}"`;
	const literal = (name) => `'${name.replaceAll("'", "''")}'`;

	for (const [i, name] of names.entries())
	{
		await stage.sql(`CREATE TABLE hostile${i} (${columns.map((c) => `${quote(c)} text`).join(', ')}, PRIMARY KEY (${quote(name)}))`);
		await stage.sql(`SELECT realtime.enable('hostile${i}', ${literal(name)}, ${literal(names.at(-1 - i))})`);
	}
	await stage.sql(`CREATE TYPE ${quote('t\u2028"\n*/')} AS ENUM (${names.map(literal).join(', ')}, 'line
break');
		ALTER TABLE hostile0 ADD COLUMN e ${quote('t\u2028"\n*/')}`);
	const types = await printed();
	const registered = await stage.sql('SELECT feature, entity, to_json(key) AS key FROM realtime.entities ORDER BY feature COLLATE "C", entity COLLATE "C"');
	const { REGISTRY, ENTITIES, FEATURES } = await run(types);
	const found = Object.keys(REGISTRY).flatMap((feature) => Object.keys(REGISTRY[feature]).map((entity) =>
		({ feature, entity, key: REGISTRY[feature][entity].key })));
	const sort = (list) => list.map((e) => JSON.stringify(e)).sort();

	assert.deepEqual(sort(found), sort(registered.map((r) => ({ ...r, key: JSON.parse(r.key) }))));
	assert.deepEqual(Object.values(FEATURES), Object.keys(REGISTRY));
	assert.ok(Object.hasOwn(ENTITIES, '__proto__'));
	for (const name of names)
		assert.ok(Object.hasOwn(REGISTRY, name), name);
	// Every row has every column, and nothing else is an error of the compiler.
	assert.deepEqual(compile(types, `
import type { Row } from './types.js';
export const row: Row<'constructor', ${JSON.stringify(names.at(-2))}> = {
${columns.map((c) => `[${JSON.stringify(c)}]: 'x'`).join(',\n')} };
`), []);
	assert.doesNotMatch(types, /[\u2028\u2029\u202e\r]/);
});

test('the same tables give the same bytes', async () =>
{
	const other = await Database.create('e2e_types_again');
	const same = await Database.create('e2e_types_same');
	const sql = (client) => client.sql(`
		CREATE TYPE zz AS (a aa);
		CREATE TABLE t (id bigint PRIMARY KEY, a aa, z zz);
		SELECT realtime.enable('t', 'same', 't');`);

	// oids and the order of registrations differ
	await other.sql(`CREATE TABLE x (id integer PRIMARY KEY); SELECT realtime.enable('x', 'zzz', 'x'); DROP TABLE x;
		CREATE TYPE aa AS ENUM ('q')`);
	await same.sql(`CREATE TYPE aa AS ENUM ('q')`);
	await sql(other);
	await sql(same);
	const results = await Promise.all([other, same, same].map((d) => print({ database: d.conninfo() })));

	await Promise.all([other.end(), same.end()]);

	assert.equal(results[0].status, 0, results[0].err);
	assert.match(results[0].out, /'public.aa'/);
	assert.equal(results[0].out, results[1].out);
	assert.equal(results[1].out, results[2].out);
});

test('a role that may only connect prints the same', async () =>
{
	await stage.sql(`DO $$ BEGIN IF to_regrole('types_only') IS NULL THEN CREATE ROLE types_only LOGIN; END IF; END $$`);
	const { status, out, err } = await print({ database: database.conninfo().replace('user=live', 'user=types_only') });

	assert.equal(status, 0, err);
	assert.equal(out, await printed());
});

describe('nothing is printed when', () =>
{
	test('the database has no extension', async () =>
	{
		const { status, out, err } = await print({ database: database.conninfo().replace(/dbname=\S+/, 'dbname=postgres') });

		assert.deepEqual([status, out], [1, '']);
		assert.match(err, /^realtime-notifier: cannot read the registry: .*"realtime.entities" does not exist\n.*CREATE EXTENSION realtime/);
	});

	test('the database does not exist', async () =>
	{
		const { status, out, err } = await print({ database: database.conninfo().replace(/dbname=\S+/, 'dbname=nowhere') });

		assert.deepEqual([status, out], [1, '']);
		assert.match(err, /^realtime-notifier: cannot connect: .*"nowhere" does not exist\n/);
	});

	test('nobody listens', async () =>
	{
		const { status, out, err } = await print({ database: `host=127.0.0.1 port=${await freePort()} password=verysecret` });

		assert.deepEqual([status, out], [1, '']);
		assert.match(err, /^realtime-notifier: cannot connect: /);
		assert.doesNotMatch(err, /verysecret/);
	});
});
