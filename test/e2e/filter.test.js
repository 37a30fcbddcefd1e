// SPDX-License-Identifier: PostgreSQL
//
// filter.test.js
//	Every operator with every type, against PostgreSQL: the rows of the snapshot are those that SQL
//	finds, and the same rows written again arrive in the stream if and only if they are among them.

import test, { before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { Stage } from './lib/stage.js';

const SCHEMA = `
	CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
	CREATE DOMAIN short AS text CHECK (length(VALUE) < 100);
	CREATE TABLE typed (id integer PRIMARY KEY, i2 smallint, i4 integer, i8 bigint, n numeric, f4 real,
		f8 double precision, t text, v varchar(20), c char(5), s short, b boolean, d date,
		ts timestamp, tz timestamptz, tm time, u uuid, m mood, j json, jb jsonb, a integer[], by bytea,
		iv interval, p point);
	SELECT realtime.enable('typed', 'shop', 'typed');
	GRANT SELECT ON typed TO web_anon;
	INSERT INTO typed (id) VALUES (1);
	INSERT INTO typed VALUES
		(2, 1, 1, 1, 1, 1, 1, 'a', 'a', 'a', 'a', true, '2026-01-01', '2026-01-01 00:00',
			'2026-01-01 00:00Z', '00:00', '00000000-0000-0000-0000-000000000001', 'sad', '1', '1', '{1}',
			'\\x01', '1 day', '(0,0)'),
		(3, -5, -5, -5, -5.50, -5.5, -5.5, 'B', 'B', 'B', 'B', false, '1999-12-31',
			'1999-12-31 23:59:59.999999', '1999-12-31 23:59:59.5+02', '23:59:59.5',
			'ffffffff-0000-4000-8000-000000000001', 'happy', '{}', '{}', '{}', '\\x', '1 month', '(1,1)'),
		(4, 32767, 2147483647, 9223372036854775807, 123456789012345678901234567890.123456789, 3.4e38,
			1.7e308, 'Äpfel%_\\', 'äpfel', 'Ä', 'ä', true, 'infinity', 'infinity', 'infinity', '12:00',
			'12345678-1234-1234-1234-123456789abc', 'ok', 'null', 'null', '{1,2}', '\\xff', '-1 day', '(2,2)'),
		(5, 10, 10, 9007199254740993, 0.1, 0.1, 0.1, 'ab''"\\n', 'ab', 'ab   ', 'ab', false, '-infinity',
			'-infinity', '-infinity', '12:00:00.000001', '12345678-1234-1234-1234-123456789abd', 'ok',
			'"x"', '"x"', '{3}', '\\x00', '0', '(3,3)'),
		(6, 9, 9, 9007199254740992, 'NaN', 'NaN', 'NaN', '', '', '', '', NULL, '2026-11-22',
			'2026-11-22 19:00:00.5', '2026-11-22 19:00:00.5Z', '19:00', NULL, NULL, NULL, NULL, NULL, NULL,
			NULL, NULL),
		(7, 100, 100, -9223372036854775808, 'Infinity', 'Infinity', 'Infinity', '10', '10', '10', '10',
			true, '2026-02-28', '2026-02-28 12:00', '2026-02-28 12:00+01', '12:00',
			'12345678-1234-1234-1234-123456789abc', 'happy', '[1]', '[1]', '{1}', '\\x0a', '1 hour', '(4,4)'),
		(8, 0, 0, 0, -0.0, '-0', '-0', 'aé😀z', 'aé😀z', 'é', 'é', true, '0044-03-15 BC',
			'0044-03-15 10:00 BC', '0044-03-15 10:00 BC', '00:00:01', NULL, 'sad', '0', '0', '{0}', '\\xdead',
			'1 s', '(5,5)');`;
const stage = await Stage.open('filter', { schema: SCHEMA,
	flags: { 'max-subscriptions': 2000, 'max-messages-per-minute': 100000 } });
const typed = { feature: 'shop', entity: 'typed' };
const SQL = { eq: '=', neq: '<>', lt: '<', lte: '<=', gt: '>', gte: '>=', like: 'LIKE', ilike: 'ILIKE' };
const TEXTS = ['t', 'v', 'c', 's'];

/** Values to compare with, by column. */
const VALUES = {
	i2: [0, 10, '9', -5], i4: [1, '10', 2147483647], i8: ['9007199254740993', 9007199254740992, 0],
	n: [0.1, '123456789012345678901234567890.123456789', 0, 'NaN', 'Infinity', -5.5, '1.000'],
	f4: [0.1, 1, 'NaN', 0, '-Infinity'], f8: [0.1, 0, 'NaN', 'Infinity', '1e0'],
	t: ['a', 'B', '', '10', 'ab\'"\\n', 'b', 'aé😀z', 'Äpfel%_\\'], v: ['ab', 'a', 'Z'], c: ['a', 'ab', 'ab   '],
	s: ['ä', 'a'], b: [true, false, 'true'],
	d: ['2026-01-01', '2026-11-22', 'infinity', '0044-03-15 BC'],
	ts: ['2026-01-01 00:00', '2026-11-22T19:00:00.5', 'infinity'],
	tz: ['2026-01-01T00:00:00Z', '2026-11-22 21:00:00.5+02', '-infinity', '2026-02-28 11:00:00+00'],
	tm: ['12:00', '23:59:59.5'], u: ['12345678-1234-1234-1234-123456789ABC'], m: ['ok']
};
const ORDERED = ['eq', 'neq', 'lt', 'lte', 'gt', 'gte'];
const EQUALS = ['eq', 'neq'];
const UNORDERED = ['m'];

const cases = [];
for (const [column, values] of Object.entries(VALUES))
{
	for (const value of values)
		for (const operator of UNORDERED.includes(column) ? EQUALS : ORDERED)
			cases.push([[column, operator, value]]);
	cases.push([[column, 'in', values]], [[column, 'not.in', values]], [[column, 'is', null]],
		[[column, 'not.is', 'null']], [[column, 'not.eq', values[0]]]);
	if (!UNORDERED.includes(column))
		cases.push([[column, 'not.gt', values[0]]]);
}
for (const column of TEXTS)
	for (const [operator, pattern] of [['like', 'a%'], ['like', '_'], ['like', '%\\%\\_%'], ['like', ''],
		['ilike', 'A%'], ['ilike', '%P%'], ['ilike', 'ä%'], ['like', '%😀_'], ['not.like', 'a%'], ['like', 'ab%'],
		['not.ilike', '%'], ['like', '%\\\\'], ['like', 'aé_z'], ['like', '%%__%%']])
		cases.push([[column, operator, pattern]]);
for (const column of ['j', 'jb', 'a', 'by', 'iv', 'p'])
	cases.push([[column, 'is', null]], [[column, 'not.is', null]]);
cases.push([['b', 'is', true]], [['b', 'is', false]], [['b', 'not.is', true]], [['b', 'not.is', 'false']],
	[['b', 'is', 'true']],
	[['i4', 'gt', 0], ['i4', 'lt', 100]], [['i4', 'gt', 0], ['t', 'like', 'a%'], ['b', 'is', true]],
	[['i2', 'in', [1, -5, 32767]], ['i4', 'neq', 1]], [['i4', 'eq', 1], ['i4', 'eq', 10]], []);

const quote = (value) => `'${String(value).replaceAll("'", "''")}'`;

/** A term as SQL, text by code points, ilike as the protocol has it. */
function condition([column, operator, value])
{
	const isNegated = operator.startsWith('not.');
	const op = operator.replace('not.', '');
	const isText = TEXTS.includes(column);
	const left = isText ? `${column} COLLATE "C"` : column;
	let sql;

	if (op === 'is' && ['j', 'jb'].includes(column))
		sql = `${column} IS NULL OR ${column}::text = 'null'`;	// data shows both as null
	else if (op === 'is')
		sql = `${column} IS ${String(value)}`;
	else if (op === 'in')
		sql = `${left} IN (${value.map(quote)})`;
	else
		sql = `${left} ${SQL[op]} ${quote(value)}`;
	return isNegated ? `NOT (${sql})` : `(${sql})`;
}

const outcomes = [];
before(async () =>
{
	const peer = await stage.peer();

	for (const filter of cases)
	{
		const where = filter.map(condition).join(' AND ') || 'true';
		const outcome = { filter, where };
		outcome.expected = await stage.sql(`SELECT id FROM typed WHERE ${where} ORDER BY id`)
			.then((rows) => rows.map((r) => r.id), (error) => `SQL: ${error.message}`);
		try
		{
			outcome.view = await peer.subscribe({ ...typed, filter, snapshot: true });
		}
		catch (error)
		{
			// Another spelling of a filter is the same view.
			if (error.code === 'already_subscribed')
				outcome.view = peer.views.get(error.frame.view);
			else
				outcome.refusal = error.message;
		}
		outcomes.push(outcome);
	}
	// The same rows again, by INSERT, and moved in by an UPDATE of a row of nulls.
	const columns = (await stage.value(`SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = 'typed'::regclass AND attnum > 1`));
	await stage.write(`INSERT INTO typed SELECT id + 100, ${columns} FROM typed WHERE id < 100`);
	await stage.write('INSERT INTO typed SELECT id + 200 FROM typed WHERE id < 100');
	const tx = await stage.write(`UPDATE typed x SET (${columns}) = (SELECT ${columns} FROM typed y
		WHERE y.id = x.id - 200) WHERE id > 200`);
	await peer.settle(tx, 60);
	await peer.close();
});

describe('snapshot and stream agree with SQL', () =>
{
	for (const [index, filter] of cases.entries())
		test(JSON.stringify(filter), () =>
		{
			const { expected, view, refusal, where } = outcomes[index];

			assert.equal(refusal, undefined, `SQL finds ${JSON.stringify(expected)}`);
			assert.ok(Array.isArray(expected), `${expected}: ${where}`);
			assert.deepEqual(view.ids, expected, `snapshot, WHERE ${where}`);
			const created = view.events.filter((e) => e.action === 'created').map((e) => Number(e.id));
			assert.deepEqual(created.filter((i) => i < 200), expected.map((i) => Number(i) + 100),
				`created, WHERE ${where}`);
			// Rows of nulls may match before, too: then they change within the view, or leave it.
			const now = new Set(created.filter((i) => i > 200));
			for (const { action, id } of view.events)
				if (action === 'entered')
					now.add(Number(id));
				else if (action === 'left')
					now.delete(Number(id));
			assert.deepEqual([...now].sort((a, b) => a - b), expected.map((i) => Number(i) + 200),
				`after the update, WHERE ${where}: ${view.story}`);
		});
});

describe('types without an order or equality here are refused', () =>
{
	for (const column of ['j', 'jb', 'a', 'iv', 'p'])
		for (const operator of ['eq', 'lt', 'in', 'like'])
			test(`${column} ${operator}`, async () =>
			{
				const peer = await stage.peer();
				const value = { j: '1', jb: '1', a: '{1}', iv: '1 day', p: '(0,0)' }[column];
				assert.equal(await peer.refused({ op: 'subscribe', ...typed,
					filter: [[column, operator, operator === 'in' ? [value] : value]] }), 'bad_request');
				await peer.close();
			});
});

test('many filters by equality on one column: each event reaches its own', async () =>
{
	const peer = await stage.peer();
	const views = [];

	for (let i = 0; i < 300; i++)
		views.push(await peer.subscribe({ ...typed, filter: [['i4', 'eq', 50000 + i], ['id', 'gt', 1000]] }));
	const tx = await stage.write(`INSERT INTO typed (id, i4)
		SELECT 2000 + i, 50000 + i FROM generate_series(0, 299, 3) i`);
	await peer.settle(tx);
	views.forEach((view, i) => assert.deepEqual(view.story, i % 3 === 0 ? [`created ${2000 + i}`] : []));
	await peer.close();
});

test('text values keep a filter apart from its look-alike of another type', async () =>
{
	const peer = await stage.peer();
	const number = await peer.subscribe({ ...typed, filter: [['i4', 'eq', 10], ['id', 'gt', 3000]] });
	// The same view: the value is the same once converted. Or another one: both are right.
	const text = await peer.subscribe({ ...typed, filter: [['i4', 'eq', '10'], ['id', 'gt', 3000]] })
		.catch((error) =>
		{
			assert.equal(error.code, 'already_subscribed');
			return number;
		});
	await peer.settle(await stage.write('INSERT INTO typed (id, i4) VALUES (3001, 10), (3002, 11)'));
	assert.deepEqual(number.story, ['created 3001']);
	assert.deepEqual(text.story, ['created 3001']);
	await peer.close();
});
