// SPDX-License-Identifier: PostgreSQL
//
// filters.js
//	What filters.json is made of: rows as SQL, filters, and filters that must be refused. What each
//	filter says of each row is PostgreSQL's answer (generate.js).

export const enums = { mood: ['sad', 'ok', 'happy'] };
export const domains = { positive: 'integer', code: 'character varying(8)' };

// rows: one SQL literal per column, null for NULL. refused: filters that get bad_request, with why.
export const cases = [
	{
		name: 'integer',
		types: { n: 'integer' },
		rows: [['5'], ['-7'], ['0'], ['2147483647'], [null]],
		filters: [
			[['n', 'eq', 5]], [['n', 'eq', '5']], [['n', 'eq', ' 5 ']], [['n', 'neq', 5]], [['n', 'lt', 0]], [['n', 'lte', 0]],
			[['n', 'gt', 0]], [['n', 'gte', '2147483647']], [['n', 'in', [0, '5', 99]]], [['n', 'not.in', [0, 5]]],
			[['n', 'not.eq', 5]], [['n', 'not.lt', 0]], [['n', 'is', null]], [['n', 'not.is', null]], [['n', 'is', 'null']],
		],
		refused: [
			[[['n', 'eq', 'five']], 'no integer'], [[['n', 'eq', '']], 'no integer'], [[['n', 'eq', 1.5]], 'no integer'],
			[[['n', 'eq', 2147483648]], 'out of range'], [[['n', 'eq', true]], 'no integer'], [[['n', 'in', [1, 'x']]], 'no integer'],
			[[['n', 'like', '5%']], 'like is for text'], [[['n', 'ilike', '5%']], 'ilike is for text'], [[['n', 'is', true]], 'is true is for boolean'],
			[[['missing', 'eq', 1]], 'no such column'],
		],
	},
	{
		name: 'smallint and oid',
		types: { s: 'smallint', o: 'oid' },
		rows: [['-32768', '4294967295'], ['12', '0']],
		filters: [[['s', 'eq', -32768]], [['o', 'gt', 1]], [['o', 'eq', '4294967295']], [['s', 'lt', 12], ['o', 'gte', 0]]],
		refused: [[[['s', 'eq', 32768]], 'out of range'], [[['o', 'eq', 'pg_class']], 'no number']],
	},
	{
		name: 'bigint beyond 2^53',
		types: { n: 'bigint' },
		rows: [['9007199254740991'], ['9007199254740992'], ['9007199254740993'], ['-9007199254740993'], ['9223372036854775807'], ['42'], [null]],
		filters: [
			[['n', 'eq', '9007199254740993']], [['n', 'eq', '9007199254740992']], [['n', 'eq', 9007199254740991]],
			[['n', 'gt', '9007199254740992']], [['n', 'lt', 0]], [['n', 'gte', '9223372036854775807']],
			[['n', 'in', ['9007199254740993', 42]]], [['n', 'neq', 42]],
		],
		refused: [[[['n', 'eq', '9223372036854775808']], 'out of range']],
	},
	{
		name: 'numeric: by value, whatever the scale',
		types: { n: 'numeric' },
		rows: [['1.50'], ['1.5'], ['0.1'], ['-0.00'], ['12345678901234567890.5'], ['1e30'], ['NaN'], ['Infinity'], ['-Infinity'], [null]],
		filters: [
			[['n', 'eq', 1.5]], [['n', 'eq', '1.500']], [['n', 'eq', '15e-1']], [['n', 'eq', 0.1]], [['n', 'eq', 0]],
			[['n', 'eq', '12345678901234567890.50']], [['n', 'eq', '12345678901234567890.51']], [['n', 'eq', '1000000000000000000000000000000']],
			[['n', 'gt', 1.5]], [['n', 'lt', '0']], [['n', 'eq', 'NaN']], [['n', 'gte', 'Infinity']], [['n', 'lt', 'NaN']],
			[['n', 'in', ['1.50', 'nan']]], [['n', 'neq', 1.5]], [['n', 'not.gt', 1.5]],
		],
		refused: [[[['n', 'eq', '1,5']], 'no number'], [[['n', 'eq', '0x10']], 'no number']],
	},
	{
		name: 'numeric with a scale: the filter value is not rounded to it',
		types: { n: 'numeric(10,2)' },
		rows: [['1.23'], ['1.2'], ['100']],
		filters: [[['n', 'eq', '1.234']], [['n', 'eq', '1.2']], [['n', 'gt', 1.229]], [['n', 'eq', 100]]],
	},
	{
		name: 'double precision',
		types: { f: 'double precision' },
		rows: [['0.1'], ['0.30000000000000004'], ['1e300'], ['-0'], ['NaN'], ['Infinity'], ['-Infinity'], [null]],
		filters: [
			[['f', 'eq', 0.1]], [['f', 'eq', '0.30000000000000004']], [['f', 'eq', 0.3]], [['f', 'eq', 1e300]], [['f', 'eq', 0]],
			[['f', 'eq', 'NaN']], [['f', 'neq', 'NaN']], [['f', 'gt', 'Infinity']], [['f', 'gte', 'Infinity']], [['f', 'lt', 0]], [['f', 'eq', '-inf']],
			[['f', 'in', ['NaN', 0.1]]], [['f', 'not.gt', 1]],
		],
		refused: [[[['f', 'eq', '1e400']], 'out of range'], [[['f', 'eq', 'x']], 'no number']],
	},
	{
		name: 'real: the filter value is rounded to it, too',
		types: { f: 'real' },
		rows: [['0.1'], ['16777216'], ['3.4e38'], ['NaN']],
		filters: [[['f', 'eq', 0.1]], [['f', 'eq', '16777217']], [['f', 'gt', 1]], [['f', 'lt', 'NaN']]],
		refused: [[[['f', 'eq', '1e39']], 'out of range']],
	},
	{
		name: 'boolean',
		types: { b: 'boolean' },
		rows: [['true'], ['false'], [null]],
		filters: [
			[['b', 'eq', true]], [['b', 'eq', 'false']], [['b', 'eq', 't']], [['b', 'eq', 1]], [['b', 'neq', true]], [['b', 'lt', true]],
			[['b', 'in', [true, false]]], [['b', 'is', true]], [['b', 'is', false]], [['b', 'is', null]], [['b', 'is', 'true']], [['b', 'is', 'null']],
			[['b', 'not.is', true]], [['b', 'not.is', false]], [['b', 'not.eq', true]],
		],
		refused: [[[['b', 'eq', 2]], 'no boolean'], [[['b', 'eq', 'maybe']], 'no boolean'], [[['b', 'like', 't%']], 'like is for text']],
	},
	{
		name: 'text: by code point, nothing normalised',
		types: { t: 'text' },
		rows: [['apple'], ['Zebra'], ['éclair'], ['e\u0301clair'], ['\uff5e'], ['\u{1f600}'], [''], ['5'], ['true'], ['tab\t"quote" back\\slash / \u0001'], [null]],
		filters: [
			[['t', 'eq', 'apple']], [['t', 'eq', 'Apple']], [['t', 'eq', '']], [['t', 'eq', 'éclair']], [['t', 'eq', 5]], [['t', 'eq', true]],
			[['t', 'eq', 'tab\t"quote" back\\slash / \u0001']], [['t', 'lt', 'a']], [['t', 'gt', 'z']], [['t', 'gt', '\uff5e']], [['t', 'gte', '\u{1f600}']],
			[['t', 'lte', '']], [['t', 'neq', 'apple']], [['t', 'in', ['apple', '', '5']]], [['t', 'not.in', ['apple', '']]],
			[['t', 'eq', 'apple ']], [['t', 'is', null]], [['t', 'not.is', null]], [['t', 'eq', 'null']],
		],
		refused: [[[['t', 'is', true]], 'is true is for boolean']],
	},
	{
		name: 'like',
		types: { t: 'text' },
		rows: [['100%'], ['100 percent'], ['a_b'], ['axb'], ['a\\b'], ['a\nb'], ['\u{1f600}'], ['Hello'], ['ÉCOLE'], [''], [null]],
		filters: [
			[['t', 'like', '100%']], [['t', 'like', '100\\%']], [['t', 'like', 'a_b']], [['t', 'like', 'a\\_b']], [['t', 'like', 'a\\\\b']],
			[['t', 'like', '_']], [['t', 'like', '__']], [['t', 'like', '%']], [['t', 'like', '']], [['t', 'like', '%l%o']], [['t', 'like', 'hello']], [['t', 'like', 'H\\ello']],
			[['t', 'like', '%%_']], [['t', 'like', 'a%']], [['t', 'ilike', 'hello']], [['t', 'ilike', 'HE%']], [['t', 'ilike', 'École']], [['t', 'ilike', 'École'.toUpperCase()]],
			[['t', 'ilike', '%COLE']], [['t', 'ilike', 'A\\_B']], [['t', 'not.like', 'a%']], [['t', 'not.ilike', '%e%']],
		],
		refused: [[[['t', 'like', 100]], 'a pattern is a string'], [[['t', 'like', 'abc\\']], 'the pattern ends with its escape'], [[['t', 'ilike', '\\']], 'the pattern ends with its escape'], [[['t', 'like', '%\\']], 'the pattern ends with its escape']],
	},
	{
		name: 'character varying, character and name',
		types: { v: 'character varying(10)', c: 'character(5)', m: 'name' },
		rows: [['abc', 'ch', 'someone'], ['ABC', 'ch\t', 'Someone'], ['abc  ', '', 'x'], [null, null, null]],
		filters: [
			[['v', 'eq', 'abc']], [['v', 'eq', 'longer than ten characters']], [['v', 'like', 'ab%']], [['v', 'ilike', 'abc']], [['v', 'gt', 'abc']],
			[['c', 'eq', 'ch']], [['c', 'eq', 'ch   ']], [['c', 'eq', 'ch        ']], [['c', 'eq', '']], [['c', 'in', ['ch', 'x']]], [['c', 'like', 'ch']], [['c', 'like', 'ch   ']], [['c', 'like', 'ch%']], [['c', 'lt', 'ch']], [['c', 'lte', 'ch']],
			[['m', 'eq', 'someone']], [['m', 'ilike', 'SOME%']], [['m', 'lt', 'a']],
		],
	},
	{
		name: 'date',
		types: { d: 'date' },
		rows: [['2026-03-05'], ['0044-03-15 BC'], ['0001-01-01'], ['12026-01-01'], ['infinity'], ['-infinity'], [null]],
		filters: [
			[['d', 'eq', '2026-03-05']], [['d', 'eq', '20260305']], [['d', 'lt', '0001-01-01']], [['d', 'lt', '0045-01-01 BC']], [['d', 'gt', '9999-12-31']],
			[['d', 'eq', 'infinity']], [['d', 'lte', '-infinity']], [['d', 'in', ['2026-03-05', 'infinity']]], [['d', 'neq', '2026-03-05']],
			[['d', 'eq', '0044-03-15 BC']], [['d', 'is', null]],
		],
		refused: [[[['d', 'eq', '2026-02-30']], 'no date'], [[['d', 'eq', 20.26]], 'no date'], [[['d', 'like', '2026%']], 'like is for text']],
	},
	{
		name: 'timestamp',
		types: { t: 'timestamp without time zone' },
		rows: [['2026-03-05 12:34:56.5'], ['2026-03-05 12:34:56'], ['2026-03-05 00:00'], ['0044-03-15 12:00 BC'], ['0044-03-15 12:00'], ['infinity'], ['-infinity'], [null]],
		filters: [
			[['t', 'eq', '2026-03-05T12:34:56.500']], [['t', 'eq', '2026-03-05']], [['t', 'gt', '2026-03-05 12:34:56']], [['t', 'lt', '0001-01-01']],
			[['t', 'gt', '0044-03-15 11:59:59 BC']], [['t', 'gte', 'infinity']], [['t', 'eq', '-infinity']], [['t', 'gte', '2026-03-05 12:34:56.499999']],
		],
		refused: [[[['t', 'eq', 'soon']], 'no timestamp']],
	},
	{
		name: 'timestamp with time zone: UTC where the value names none',
		types: { t: 'timestamp with time zone' },
		rows: [['2026-03-05 12:00+00'], ['2026-03-05 12:00:00.000001+00'], ['0044-03-15 12:00+00 BC'], ['12026-01-01 00:00+00'], ['infinity'], ['-infinity'], [null]],
		filters: [
			[['t', 'eq', '2026-03-05T12:00:00Z']], [['t', 'eq', '2026-03-05 14:00:00+02']], [['t', 'eq', '2026-03-05 12:00']], [['t', 'eq', '2026-03-05T17:45:00+05:45']],
			[['t', 'gt', '2026-03-05T12:00:00Z']], [['t', 'lt', '0001-01-01T00:00:00Z']], [['t', 'gt', '9999-12-31T23:59:59Z']], [['t', 'eq', 'infinity']], [['t', 'neq', '-infinity']],
			[['t', 'in', ['2026-03-05T12:00:00+00:00', 'infinity']]],
		],
		refused: [[[['t', 'eq', '2026-13-05T12:00:00Z']], 'no timestamp']],
	},
	{
		name: 'time',
		types: { t: 'time without time zone' },
		rows: [['12:34:56.789'], ['12:34:56'], ['00:00'], ['24:00'], [null]],
		filters: [[['t', 'eq', '12:34:56.7890']], [['t', 'eq', '00:00']], [['t', 'gt', '12:34:56']], [['t', 'gte', '24:00:00']], [['t', 'lt', '12:34:56.7']]],
		refused: [[[['t', 'eq', '25:00']], 'no time']],
	},
	{
		name: 'uuid',
		types: { u: 'uuid' },
		rows: [['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'], ['00000000-0000-0000-0000-000000000000'], [null]],
		filters: [
			[['u', 'eq', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']], [['u', 'eq', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11']], [['u', 'eq', '{a0eebc999c0b4ef8bb6d6bb9bd380a11}']],
			[['u', 'gt', '00000000-0000-0000-0000-000000000000']], [['u', 'neq', '00000000-0000-0000-0000-000000000000']], [['u', 'in', ['00000000000000000000000000000000']]],
		],
		refused: [[[['u', 'eq', 'a0eebc99']], 'no uuid'], [[['u', 'like', 'a0%']], 'like is for text']],
	},
	{
		name: 'bytea',
		types: { b: 'bytea' },
		rows: [['\\x00ff5c'], ['\\x'], ['\\x616263'], ['\\xde'], ['\\xdead'], [null]],
		filters: [
			[['b', 'eq', '\\x00ff5c']], [['b', 'eq', '\\x00FF5C']], [['b', 'eq', 'abc']], [['b', 'eq', '']], [['b', 'lt', '\\x01']], [['b', 'gt', '\\xde']], [['b', 'in', ['\\x', '\\xdead']]],
		],
		refused: [[[['b', 'eq', '\\x0']], 'no bytea'], [[['b', 'like', '%']], 'like is for text']],
	},
	{
		name: 'enum: equality only',
		types: { m: 'mood' },
		rows: [['sad'], ['happy'], [null]],
		filters: [[['m', 'eq', 'sad']], [['m', 'neq', 'sad']], [['m', 'in', ['ok', 'happy']]], [['m', 'not.in', ['ok']]], [['m', 'is', null]]],
		refused: [[[['m', 'eq', 'angry']], 'no label of the enum'], [[['m', 'eq', 'SAD']], 'no label of the enum'], [[['m', 'gt', 'sad']], 'enums have no order here'], [[['m', 'like', 's%']], 'like is for text']],
	},
	{
		name: 'domain: as its base type',
		types: { p: 'positive', c: 'code' },
		rows: [['7', 'A-1'], ['8', 'b-2']],
		filters: [[['p', 'eq', 7]], [['p', 'gt', -1]], [['c', 'like', 'A%']], [['c', 'ilike', 'B-_']], [['p', 'in', [7, 8]], ['c', 'neq', 'A-1']]],
		refused: [[[['p', 'eq', 'x']], 'no integer']],
	},
	{
		name: 'other types: only is null',
		types: { j: 'jsonb', a: 'integer[]', i: 'interval', r: 'int4range', p: 'point', tz: 'time with time zone', ip: 'inet' },
		rows: [['{"a": 1}', '{1,2}', '1 day', '[1,5)', '(1,2)', '12:00+01', '10.0.0.1'], ['null', '{}', '0', 'empty', '(0,0)', '00:00+00', '::1'], [null, null, null, null, null, null, null]],
		filters: [[['j', 'is', null]], [['j', 'not.is', null]], [['a', 'not.is', null]], [['i', 'is', null]], [['r', 'not.is', null]], [['p', 'is', null]], [['tz', 'is', null]], [['ip', 'not.is', null]]],
		refused: [
			[[['j', 'eq', '{}']], 'no equality here'], [[['a', 'eq', '{1,2}']], 'no equality here'], [[['i', 'gt', '1 hour']], 'no order here'], [[['r', 'eq', '[1,5)']], 'no equality here'],
			[[['p', 'in', ['(1,2)']]], 'no equality here'], [[['tz', 'eq', '12:00+01']], 'no equality here'], [[['ip', 'eq', '10.0.0.1']], 'no equality here'], [[['j', 'like', '%']], 'like is for text'], [[['j', 'is', true]], 'is true is for boolean'],
		],
	},
	{
		name: 'several terms: all must be true; unknown is not true',
		types: { a: 'integer', b: 'integer', c: 'text' },
		rows: [['1', '2', 'x'], ['1', null, 'x'], [null, '3', 'x'], [null, null, null], ['2', '2', 'y']],
		filters: [
			[], [['a', 'eq', 1], ['b', 'eq', 2]], [['a', 'eq', 1], ['b', 'neq', 2]], [['a', 'not.eq', 2], ['c', 'eq', 'x']], [['a', 'neq', 1], ['b', 'eq', 3]],
			[['a', 'is', null], ['b', 'is', null]], [['a', 'gte', 1], ['a', 'lt', 2]], [['a', 'eq', 1], ['a', 'eq', 2]], [['b', 'not.is', null], ['c', 'in', ['x', 'z']], ['a', 'lte', 1]],
		],
	},
	{
		name: 'names of columns',
		types: { 'a.b': 'integer', 'Mixed Case': 'text', 'q"uote': 'integer', 'ünïcode': 'integer', 'not': 'integer' },
		rows: [['1', 'x', '2', '3', '4'], ['0', 'y', '0', '0', '0']],
		filters: [[['a.b', 'eq', 1]], [['Mixed Case', 'eq', 'x']], [['q"uote', 'gt', 1]], [['ünïcode', 'eq', 3]], [['not', 'not.eq', 4]]],
		refused: [[[['mixed case', 'eq', 'x']], 'no such column'], [[['', 'eq', 1]], 'no such column']],
	},
];
