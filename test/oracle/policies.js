// SPDX-License-Identifier: PostgreSQL
//
// policies.js
//	Random tables, rows, policies, roles and claims: of the kinds that people use, and of those that
//	nobody should.

export const quote = (name) => `"${name.replaceAll('"', '""')}"`;
export const literal = (text) => `'${text.replaceAll("'", "''")}'`;

/**
 * The columns of every table: kind is how filter.js compares them, values are literals of the type
 * (SQL text without quotes) of which rows and policies are made.
 */
export const columns = {
	id: { type: 'integer', kind: 'number', values: [] },
	b: { type: 'boolean', kind: 'boolean', values: ['true', 'false'] },
	i2: { type: 'smallint', kind: 'number', values: ['0', '1', '2', '-3', '32767', '-32768'] },
	i4: { type: 'integer', kind: 'number', values: ['0', '1', '2', '-3', '2147483647', '-2147483648'] },
	i8: { type: 'bigint', kind: 'number', values: ['0', '1', '2', '-3', '9007199254740993', '9223372036854775807'] },
	o: { type: 'oid', kind: 'number', values: ['0', '1', '2', '4294967295'] },
	nu: {
		type: 'numeric', kind: 'number',
		values: ['0', '1', '1.0', '2.50', '-3', 'NaN', 'Infinity', '-Infinity', '123456789012345678901234567890', '0.1000']
	},
	n2: { type: 'numeric(8,2)', kind: 'number', values: ['0', '1', '2.5', '2.51', '-3', '999999.99', 'NaN'] },
	f4: { type: 'real', kind: 'number', values: ['0', '-0', '1', '0.1', '2.5', 'NaN', 'Infinity', '1e-40', '16777216'] },
	f8: { type: 'double precision', kind: 'number', values: ['0', '-0', '1', '0.1', '2.5', 'NaN', '-Infinity', '1e300', '5e-324'] },
	t: { type: 'text', kind: 'text', values: ['', 'a', 'A', 'b', 'u1', 'u2', 'ä', 'a ', '\u{1F600}', 'it\'s "quoted" \\ and\n', 'null'] },
	tc: { type: 'text COLLATE "C"', base: 'text', kind: 'text', values: ['', 'a', 'A', 'b', 'u1', 'u2', 'ä', '\u{1F600}', '\uFFFD'] },
	tn: { type: 'text COLLATE nocase', base: 'text', kind: 'text', values: ['a', 'A', 'b', 'u1', 'U1'] },
	vc: { type: 'varchar(8)', kind: 'text', values: ['', 'a', 'A', 'u1', 'u2', '12345678'] },
	ch: { type: 'char(4)', kind: 'text', values: ['', 'a', 'A', 'u1', 'abcd'] },
	cu: { type: 'bpchar', kind: 'text', values: ['', 'a', 'a ', 'u1'] },
	na: { type: 'name', kind: 'text', values: ['', 'a', 'A', 'reader_a', 'reader_b', 'u1'] },
	u: {
		type: 'uuid', kind: 'text',
		values: ['00000000-0000-0000-0000-000000000001', 'ffffffff-0000-0000-0000-000000000002', 'ABCDEF00-0000-0000-0000-000000000003']
	},
	d: { type: 'date', kind: 'date', values: ['2024-02-29', '2026-01-01', 'infinity', '-infinity', '0044-03-15 BC', '5874897-12-31'] },
	ts: { type: 'timestamp', kind: 'date', values: ['2024-02-29 12:00:00', '2024-02-29 12:00:00.5', 'infinity', '0001-01-01 00:00:00 BC', '294276-12-31 23:59:59'] },
	tz: { type: 'timestamptz', kind: 'date', values: ['2024-02-29 12:00:00+00', '2024-02-29 12:00:00.000001+02', '-infinity', '0044-03-15 12:00:00+00 BC', '2999-01-01 00:00:00+00'] },
	ti: { type: 'time', kind: 'text', values: ['00:00:00', '12:00:00', '12:00:00.5', '24:00:00'] },
	by: { type: 'bytea', kind: 'text', values: ['', '\\x00', '\\xff', '\\xdeadbeef', '\\x61'] },
	en: { type: 'mood', kind: 'text', values: ['sad', 'ok', 'very happy'] },
	dm: { type: 'email', kind: 'text', values: ['a@b', 'u1', 'c@d'] },
	di: { type: 'positive', kind: 'number', values: ['1', '2', '3'] },
	jb: { type: 'jsonb', values: ['null', '{"owner": "u1", "tags": ["a"]}', '{"owner": null}', '[1, 2]', '"text"', '1'] },
	js: { type: 'json', values: ['null', '{ "owner" : "u1" }', '[ ]', '"x"'] },
	ia: { type: 'integer[]', values: ['{}', '{1,2}', '{NULL,3}', '{{1,2},{3,4}}'] },
	ta: { type: 'text[]', values: ['{}', '{a,u1}', '{"b\\"c",NULL}', '{null}'] },
	iv: { type: 'interval', values: ['1 day', '-1 day +02:00:00', '1 mon', '00:00:00'] },
	ra: { type: 'int4range', values: ['[1,5)', 'empty', '(,)', '[3,3]'] },
	co: { type: 'pair', values: ['(1,a)', '(,)', '(2,"x,y")'] }
};

/** Pairs of number columns and operands of another type, which PostgreSQL compares after a cast. */
const crossed = [
	['i2', 'integer', ['1', '32768', '-3']], ['i2', 'bigint', ['2', '70000']], ['i4', 'bigint', ['1', '3000000000']],
	['i4', 'numeric', ['1.0', '1.5', 'NaN', '2147483648']], ['i4', 'double precision', ['1', '1.5', 'NaN', '1e20']],
	['i8', 'integer', ['1', '-3']], ['i8', 'numeric', ['9223372036854775807', '1.5', '1e30']],
	['i8', 'double precision', ['1', '9007199254740992']], ['f4', 'double precision', ['0.1', '2.5', '1e300', 'NaN']],
	['f8', 'real', ['0.1', '2.5']], ['n2', 'numeric', ['2.50', '2.505', '1e20', 'Infinity']], ['nu', 'integer', ['1', '2']],
	['vc', 'text', ['u1', '123456789', '']], ['na', 'text', ['u1', 'x'.repeat(70)]], ['t', 'name', ['u1', 'a']],
	['dm', 'text', ['u1', 'c@d']], ['di', 'bigint', ['1', '9999999999']], ['ch', 'text', ['a', 'a   ', 'u1']],
	['d', 'timestamp', ['2024-02-29 00:00:00', 'infinity']], ['ts', 'date', ['2024-02-29']]
];

const comparisons = ['=', '=', '=', '=', '<>', '<', '<=', '>', '>='];
const equalOnly = new Set(['b']);
const plain = Object.keys(columns).filter((name) => columns[name].kind && name !== 'id');

/** The claims that readers may have, with the values to choose from. */
const claimValues = {
	sub: ['u1', 'u2', 'a', 'it\'s', null],
	tenant: ['00000000-0000-0000-0000-000000000001', 'FFFFFFFF-0000-0000-0000-000000000002'],
	level: [0, 1, 2, 2147483647],
	admin: [true, false],
	tenants: [[], ['00000000-0000-0000-0000-000000000001'], ['00000000-0000-0000-0000-000000000001', 'ffffffff-0000-0000-0000-000000000002']],
	names: [[], ['u1'], ['a', 'u1', 'a'], ['a', null]],
	app: [{ role: 'editor' }, { role: 'viewer', org: 2 }, {}],
	'weird "claim"': ['u1', 'a']
};

export const roles = ['reader_a', 'reader_b', 'reader_ab', 'reader_owner', 'reader_bypass'];

/** Makes the random parts of one world. */
export class Generator
{
	constructor(random, names)
	{
		this.random = random;
		this.names = names;		// column -> its name in this world
		this.depth = 0;
	}

	column(name)
	{
		return quote(this.names[name]);
	}

	/** A literal of a column's type, sometimes null. */
	constant(name, nullPercent = 5)
	{
		const type = columns[name].base ?? columns[name].type;

		if (this.random.percent(nullPercent))
			return `NULL::${type}`;
		return `${literal(this.random.pick(columns[name].values))}::${type}`;
	}

	/** All the claims as json. */
	claims()
	{
		const settings = "current_setting('request.jwt.claims', true)";

		return this.random.pick([
			`${settings}::json`, `${settings}::jsonb`, `nullif(${settings}, '')::jsonb`,
			`coalesce(${settings}, '{}')::json`, '(SELECT claims())', 'claims()'
		]);
	}

	/** A text that depends on the reader alone. */
	readerText()
	{
		return this.random.pick([
			() => `(${this.claims()} ->> 'sub')`,
			() => `(${this.claims()} ->> 'sub')`,
			() => `(SELECT ${this.claims()} ->> 'sub')`,
			() => "current_setting('request.jwt.claim.sub', true)",
			() => "nullif(current_setting('request.jwt.claim.sub', true), '')",
			() => `(${this.claims()} #>> '{app,role}')`,
			() => `(${this.claims()} ->> 'weird "claim"')`,
			() => 'uid()',
			() => '(SELECT uid())',
			() => 'uid_definer()',
			() => 'uid_plpgsql()',
			() => 'uid_immutable()',
			() => 'current_user::text',
			() => "lower('U' || '1')"
		])();
	}

	/** A comparison with something that depends on the reader. */
	readerTerm()
	{
		const { random } = this;
		const operator = random.pick(['=', '=', '=', '<>']);

		return random.pick([
			() => `${this.column(random.pick(['t', 't', 'tc', 'tn', 'vc', 'dm', 'ch']))} ${operator} ${this.readerText()}`,
			() => `${this.readerText()} ${operator} ${this.column('t')}`,
			() => `${this.column('na')} = current_user`,
			() => `${this.column('u')} ${operator} (${this.claims()} ->> 'tenant')::uuid`,
			() => `${this.column(random.pick(['i4', 'i8', 'i2']))} ${random.pick(comparisons)} (${this.claims()} ->> 'level')::int`,
			() => `${this.column('u')} IN (SELECT json_array_elements_text(current_setting('request.jwt.claims', true)::json -> 'tenants')::uuid)`,
			() => `${this.column('u')} = ANY (ARRAY(SELECT (jsonb_array_elements_text(current_setting('request.jwt.claims', true)::jsonb -> 'tenants'))::uuid))`,
			() => `${this.column('t')} IN (SELECT json_array_elements_text(current_setting('request.jwt.claims', true)::json -> 'names'))`,
			() => `${this.column('t')} NOT IN (SELECT json_array_elements_text(current_setting('request.jwt.claims', true)::json -> 'names'))`,
			() => `(${this.claims()} ->> 'admin')::boolean`,
			() => `${this.column('b')} = (${this.claims()} ->> 'admin')::boolean`,
			() => `${this.column('i4')} IS DISTINCT FROM (${this.claims()} ->> 'level')::int`,
			() => "pg_has_role('reader_a', 'member')",
			() => `(SELECT ${this.claims()} ->> 'sub') IS NOT NULL`
		])();
	}

	/** What only the executor can decide. */
	otherTerm()
	{
		const { random } = this;

		return random.pick([
			() => `EXISTS (SELECT FROM member m WHERE m.item = ${this.column('i4')} AND m.usr = ${this.readerText()})`,
			() => `${this.column('i4')} IN (SELECT m.item FROM member m WHERE m.usr = ${this.readerText()})`,
			() => `${this.column('t')} NOT IN (SELECT m.usr FROM guarded m WHERE m.item = 1)`,
			() => `(SELECT count(*) FROM member_view v WHERE v.item = ${this.column('i4')}) > 0`,
			() => `is_member(${this.column('i4')})`,
			() => `${this.column('t')} LIKE ${literal(random.pick(['u%', '%a%', '_']))}`,
			() => `length(${this.column('t')}) > 1`,
			() => `${this.column('tz')} < now()`,
			() => `${this.column('d')} >= current_date`,
			() => `${this.column('jb')} ->> 'owner' = ${this.readerText()}`,
			() => `${this.column('js')} ->> 'owner' = ${this.readerText()}`,
			() => `${this.column('jb')} IS NULL`,
			() => `${this.column('jb')} @> '{"owner": "u1"}'`,
			() => `${this.column('ia')} && ARRAY[1, 3]`,
			() => `${this.readerText()} = ANY (${this.column('ta')})`,
			() => `${this.column('ia')}[2] = 2`,
			() => `${this.column('ra')} @> ${this.column('i4')}`,
			() => `(${this.column('co')}).y = 'a'`,
			() => `${this.column('co')} IS NOT NULL`,
			() => `${this.column('co')} IS NULL`,
			() => `${this.column('iv')} > interval '1 hour'`,
			() => `${this.column('i2')} = ${this.column('i4')}`,
			() => `${this.column('t')} < ${this.column('tc')} COLLATE "C"`,
			() => `${this.column('t')} < 'b' COLLATE "C"`,
			() => `${this.column('t')} = 'A' COLLATE nocase`,
			() => `item IS NOT NULL`,
			() => `item_is_open(item)`,
			() => `${this.column('cu')} = ${this.constant('cu')}`
		])();
	}

	/** A comparison of a column with constants. */
	plainTerm()
	{
		const { random } = this;
		const name = random.pick(plain);
		const column = this.column(name);
		const list = () => Array.from({ length: random.between(1, 4) }, () => this.constant(name, 6)).join(', ');
		const type = columns[name].base ?? columns[name].type;

		return random.pick([
			() => `${column} ${equalOnly.has(name) ? '=' : random.pick(comparisons)} ${this.constant(name)}`,
			() => `${column} ${random.pick(comparisons)} ${this.constant(name)}`,
			() => `${this.constant(name)} ${random.pick(comparisons)} ${column}`,
			() => `${column} IN (${list()})`,
			() => `${column} NOT IN (${list()})`,
			() => `${column} = ANY (ARRAY[${list()}])`,
			() => `${column} <> ALL (ARRAY[]::${type.replace(/ COLLATE.*/, '')}[])`,
			() => `${column} <> ANY (ARRAY[${list()}])`,
			() => `${column} BETWEEN ${this.constant(name, 0)} AND ${this.constant(name, 0)}`,
			() => `${column} IS NULL`,
			() => `${column} IS NOT NULL`,
			() => `${column} IS DISTINCT FROM ${this.constant(name)}`,
			() => `${column} IS NOT DISTINCT FROM ${this.constant(name)}`,
			() => this.column('b'),
			() =>
			{
				const [other, otherType, values] = random.pick(crossed);
				const constant = `${literal(random.pick(values))}::${otherType}`;

				return random.percent(50) ? `${this.column(other)} ${random.pick(comparisons)} ${constant}`
					: `${constant} ${random.pick(comparisons)} ${this.column(other)}`;
			}
		])();
	}

	/** A boolean expression. */
	expression(depth = this.random.pick([0, 0, 1, 1, 2, 3]))
	{
		const { random } = this;
		const sub = () => `(${this.expression(depth - 1)})`;

		if (depth <= 0)
		{
			if (random.percent(4))
				return random.pick(['true', 'false', 'NULL::boolean']);
			return random.percent(45) ? this.plainTerm() : random.percent(65) ? this.readerTerm() : this.otherTerm();
		}
		return random.pick([
			() => `${sub()} AND ${sub()}`,
			() => `${sub()} OR ${sub()}`,
			() => `${sub()} OR ${sub()}`,
			() => `NOT ${sub()}`,
			() => `${sub()} IS ${random.pick(['', 'NOT '])}${random.pick(['TRUE', 'FALSE', 'UNKNOWN', 'NULL'])}`,
			() => `COALESCE(${sub()}, ${random.pick(['true', 'false', sub()])})`,
			() => `CASE WHEN ${sub()} THEN ${sub()} ${random.percent(70) ? `ELSE ${sub()} ` : ''}END`,
			() => `CASE WHEN ${sub()} THEN ${sub()} WHEN ${sub()} THEN ${sub()} END`,
			() => `(${sub()}) = ${random.pick(['true', 'false', sub()])}`
		])();
	}

	/** The members of one reader's claims. */
	readerClaims()
	{
		const claims = {};

		for (const [name, values] of Object.entries(claimValues))
			if (this.random.percent(75))
				claims[name] = this.random.pick(values);
		claims.exp = this.random.between(1, 4000000000);
		return claims;
	}

	/** CREATE POLICY statements. */
	policies()
	{
		const { random } = this;
		const statements = [];
		const n = random.pick([0, 1, 1, 1, 2, 2, 3, 4]);

		for (let i = 0; i < n; i++)
		{
			const kind = i > 0 && random.percent(35) ? 'RESTRICTIVE' : 'PERMISSIVE';
			const command = random.pick(['ALL', 'ALL', 'SELECT', 'SELECT', 'SELECT', 'INSERT', 'UPDATE']);
			const to = random.percent(70) ? 'PUBLIC' : random.some(['reader_a', 'reader_b', 'reader_owner'], 1, 2).join(', ');
			const expression = this.expression();

			statements.push(`CREATE POLICY "p ${i}" ON item AS ${kind} FOR ${command} TO ${to} `
				+ (command === 'INSERT' ? `WITH CHECK (${expression})`
					: random.percent(3) && command === 'ALL' ? 'WITH CHECK (true)' : `USING (${expression})`));
		}
		return statements;
	}
}
