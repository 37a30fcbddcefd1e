// SPDX-License-Identifier: PostgreSQL
//
// world.js
//	Random tables with policies, grants, roles and writers: what the oracle watches. Policies and columns
//	of `item` come from test/oracle; `doc` is a table as applications have it.
//
// Model
// 1. Each table has a twin in schema scratch, with the same row type, owner and policies, without triggers:
//	  what PostgreSQL says of an image is asked there.
// 2. A trigger of plain SQL writes each change with both images to the table audit, in the same transaction.
// 3. member and guarded are read by policies. Their states are numbered; state n is kept in member_n and
//	  guarded_n, so that policies can be asked as of any of them.

import { Generator, columns, literal, quote } from '../../oracle/policies.js';

export { literal, quote };

export const ROLES = ['reader_a', 'reader_b', 'reader_ab', 'reader_owner', 'reader_bypass'];

export const SETUP = `
	DO $$ BEGIN
		IF to_regrole('reader_a') IS NULL THEN
			CREATE ROLE reader_a; CREATE ROLE reader_b; CREATE ROLE reader_ab; CREATE ROLE reader_owner;
			CREATE ROLE reader_bypass BYPASSRLS;
			GRANT reader_a, reader_b TO reader_ab;
			GRANT reader_a, reader_b, reader_ab, reader_owner, reader_bypass TO live;
		END IF;
	END $$`;

export const SCHEMA = `
	CREATE SCHEMA scratch;
	GRANT USAGE ON SCHEMA scratch TO PUBLIC;
	CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
	CREATE TYPE mood AS ENUM ('sad', 'ok', 'very happy');
	CREATE DOMAIN email AS text;
	CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
	CREATE TYPE pair AS (x integer, y text);
	CREATE TABLE member (item integer, usr text, PRIMARY KEY (item, usr));
	INSERT INTO member VALUES (0, 'u1'), (1, 'u2'), (2, 'u1'), (-3, 'a'), (1, 'reader_a');
	CREATE TABLE guarded (item integer, usr text, PRIMARY KEY (item, usr));
	INSERT INTO guarded SELECT * FROM member;
	ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON guarded USING (usr = current_setting('request.jwt.claims', true)::json ->> 'sub');
	CREATE VIEW member_view WITH (security_invoker) AS SELECT * FROM guarded;
	GRANT SELECT ON member, guarded, member_view TO PUBLIC;
	SELECT realtime.enable('member', 'acl', 'member'), realtime.enable('guarded', 'acl', 'guarded');
	CREATE FUNCTION claims() RETURNS jsonb LANGUAGE sql STABLE
		AS $$ SELECT coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb $$;
	CREATE FUNCTION uid() RETURNS text LANGUAGE sql STABLE AS $$ SELECT claims() ->> 'sub' $$;
	CREATE FUNCTION uid_definer() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
		AS $$ SELECT claims() ->> 'sub' $$;
	CREATE FUNCTION uid_plpgsql() RETURNS text LANGUAGE plpgsql STABLE
		AS $$ BEGIN RETURN nullif(current_setting('request.jwt.claim.sub', true), ''); END $$;
	CREATE FUNCTION uid_immutable() RETURNS text LANGUAGE plpgsql IMMUTABLE
		AS $$ BEGIN RETURN nullif(current_setting('request.jwt.claim.sub', true), ''); END $$;
	CREATE FUNCTION is_member(integer) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
		AS $$ SELECT EXISTS (SELECT FROM guarded WHERE item = $1 AND usr = uid()) $$;`;

/** Columns of doc: a table as applications have it. */
const DOC = {
	id: { type: 'integer', values: [] },
	owner: { type: 'text', values: ['u1', 'u2', 'a', "it's", ''] },
	tenant: { type: 'uuid', values: columns.u.values },
	level: { type: 'integer', values: ['0', '1', '2', '3'] },
	status: { type: 'text', values: ['draft', 'open', 'approved', 'secret'] },
	secret: { type: 'text', values: ['hush', 'quiet', 'psst'] },
	is_public: { type: 'boolean', values: ['true', 'false'] }
};

const claimsOf = "current_setting('request.jwt.claims', true)::json";

/** Policies of the kinds that people use. */
const DOC_TERMS = [
	`owner = (${claimsOf} ->> 'sub')`,
	`owner = (SELECT ${claimsOf} ->> 'sub')`,
	'owner = uid()',
	`tenant = (${claimsOf} ->> 'tenant')::uuid`,
	`tenant IN (SELECT json_array_elements_text(${claimsOf} -> 'tenants')::uuid)`,
	`level <= (${claimsOf} ->> 'level')::int`,
	`owner = ANY (ARRAY(SELECT json_array_elements_text(${claimsOf} -> 'names')))`,
	'is_public',
	'NOT is_public AND owner IS NOT NULL',
	"status = 'approved'",
	"status IN ('open', 'approved')",
	"status <> 'secret'",
	'owner IS NULL',
	"status LIKE '%e%'",
	"pg_has_role('reader_a', 'member')",
	"current_user = 'reader_b'",
	`(${claimsOf} #>> '{app,role}') = 'editor'`,
	"length(secret) > 4",
	'true', 'false'
];

/** The same, of those that read other tables. */
const READING_TERMS = [
	'EXISTS (SELECT FROM member m WHERE m.item = level AND m.usr = uid())',
	`level IN (SELECT m.item FROM member m WHERE m.usr = ${claimsOf} ->> 'sub')`,
	'level IN (SELECT g.item FROM guarded g)',
	'(SELECT count(*) FROM member_view v WHERE v.item = level) > 0',
	'NOT EXISTS (SELECT FROM member m WHERE m.usr = owner)',
	'is_member(level)'
];

export class World
{
	/** @param {Random} random @param {Database} database @param {number} number */
	constructor(random, database, number)
	{
		this.random = random;
		this.database = database;
		this.feature = `w${number}`;
		this.tables = {};
		this.state = 0;			// of member and guarded
		this.asked = new Map();	// truth.js: what PostgreSQL said
		this.log = [];			// statements, for messages
	}

	/** Runs statements on tables and twins. */
	async both(statements)
	{
		const { client } = this.database;

		for (const statement of statements)
		{
			this.log.push(statement);
			await client.query(statement);
			await client.query('SET search_path = scratch, public');
			await client.query(statement).finally(() => client.query('RESET search_path'));
		}
	}

	async open()
	{
		const { client } = this.database;

		await client.query(`DROP TABLE IF EXISTS public.item, scratch.item, public.doc, scratch.doc, audit CASCADE;
			CREATE TABLE audit (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, xid xid8, entity text, op text)`);
		await this.makeItem();
		await this.makeDoc();
		for (const table of Object.values(this.tables))
			await this.finishTable(table);
		await this.keepState();
	}

	async makeItem()
	{
		const { random } = this;
		const names = {};
		const others = Object.keys(columns).filter((name) => name !== 'id');
		const order = ['id', ...random.some(others, others.length, others.length)];
		const shape = random.pick(['plain', 'plain', 'dropped', 'partitioned', 'inherited']);

		for (const name of Object.keys(columns))
			names[name] = name !== 'id' && random.percent(10)
				? random.pick(['"', '\\', ' ', 'Ä', '\'', ',"eq",', '\n', '\u{1F600}', 'select']) + name : name;
		const list = (some) => some.map((name) => `${quote(names[name])} ${columns[name].type}`).join(', ');
		const statements = [];
		if (shape === 'partitioned')
			statements.push(`CREATE TABLE item (${list(order)}, PRIMARY KEY (id)) PARTITION BY RANGE (id)`,
				'CREATE TABLE item_1 PARTITION OF item FOR VALUES FROM (0) TO (10)',
				`CREATE TABLE item_2 (gone integer, ${list([...order].reverse())})`,
				'ALTER TABLE item_2 DROP COLUMN gone, ALTER id SET NOT NULL',
				'ALTER TABLE item ATTACH PARTITION item_2 DEFAULT');
		else if (shape === 'dropped')
			statements.push(`CREATE TABLE item (gone_1 text, ${list(order)}, gone_2 uuid, PRIMARY KEY (id))`,
				'ALTER TABLE item DROP COLUMN gone_1', 'ALTER TABLE item DROP COLUMN gone_2');
		else
			statements.push(`CREATE TABLE item (${list(order)}, PRIMARY KEY (id))`);
		if (shape === 'inherited')
			statements.push('CREATE TABLE item_1 (more text, PRIMARY KEY (id)) INHERITS (item)');
		for (const statement of statements)
			await this.database.client.query(statement);
		this.log.push(...statements);
		this.tables.item = { name: 'item', shape, order, names, columns, numeric: random.pick(['auto', 'auto', 'string']),
			generator: new Generator(random, names), filterable: ['i4', 'b', 't', 'u', 'i8', 'en'], settings: '' };
	}

	async makeDoc()
	{
		const names = Object.fromEntries(Object.keys(DOC).map((name) => [name, name]));
		const order = Object.keys(DOC);

		await this.database.client.query(`CREATE TABLE doc (${order.map((name) =>
			`${name} ${DOC[name].type}`).join(', ')}, PRIMARY KEY (id))`);
		this.tables.doc = { name: 'doc', shape: 'plain', order, names, columns: DOC, numeric: 'auto',
			filterable: ['owner', 'level', 'is_public', 'status'],
			settings: ", status_column => 'status'" };
	}

	/** Twin, audit, registration, row-level security, first policies and grants. */
	async finishTable(table)
	{
		const { random } = this;
		const { client } = this.database;
		const { name } = table;

		await client.query(`CREATE TABLE scratch.${name} (LIKE public.${name})`);
		await client.query(`GRANT SELECT ON scratch.${name} TO PUBLIC`);
		if (name === 'item')
			for (const schema of ['public', 'scratch'])
				await client.query(`CREATE FUNCTION ${schema}.item_is_open(${schema}.item) RETURNS boolean LANGUAGE sql STABLE
					AS $$ SELECT ($1).${quote(table.names.b)} IS NOT FALSE $$`);
		await client.query(`ALTER TABLE audit ADD old_${name} public.${name}, ADD new_${name} public.${name}`);
		const row = (which) => `ROW(${table.order.map((c) => `${which}.${quote(table.names[c])}`).join(', ')})::public.${name}`;
		await client.query(`CREATE OR REPLACE FUNCTION scratch.audit_${name}() RETURNS trigger LANGUAGE plpgsql AS $a$ BEGIN
			IF TG_OP = 'INSERT' THEN
				INSERT INTO public.audit (xid, entity, op, new_${name}) VALUES (pg_current_xact_id(), '${name}', TG_OP, ${row('NEW')});
			ELSIF TG_OP = 'DELETE' THEN
				INSERT INTO public.audit (xid, entity, op, old_${name}) VALUES (pg_current_xact_id(), '${name}', TG_OP, ${row('OLD')});
			ELSE
				INSERT INTO public.audit (xid, entity, op, old_${name}, new_${name})
					VALUES (pg_current_xact_id(), '${name}', TG_OP, ${row('OLD')}, ${row('NEW')});
			END IF;
			RETURN NULL; END $a$`);
		for (const on of table.shape === 'inherited' ? [name, `${name}_1`] : [name])
			await client.query(`CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON public.${on}
				FOR EACH ROW EXECUTE FUNCTION scratch.audit_${name}()`);
		const security = [];
		if (random.percent(95))
			security.push(`ALTER TABLE ${name} ENABLE ROW LEVEL SECURITY`);
		if (random.percent(30))
			security.push(`ALTER TABLE ${name} FORCE ROW LEVEL SECURITY`);
		if (random.percent(40))
			security.push(`ALTER TABLE ${name} OWNER TO reader_owner`);
		await this.both(security);
		await this.grant(table);
		await this.changePolicies(table);
		await client.query(`SELECT realtime.enable('public.${name}', '${this.feature}', '${name}', "numeric" => '${table.numeric}'
			${table.settings})`);
		if (name === 'doc')
			await client.query(`SELECT realtime.define_event('doc', 'approved', status => 'approved'),
				realtime.define_event('doc', 'raised', condition => 'NEW.level > OLD.level')`);
	}

	/** Gives roles columns, or all. */
	async grant(table)
	{
		const { random } = this;
		const others = table.order.filter((c) => c !== 'id');
		const grants = [];

		for (const role of ROLES)
			if (random.percent(55))
				grants.push(`GRANT SELECT ON public.${table.name} TO ${role}`);
			else if (random.percent(85))
				grants.push(`GRANT SELECT (id, ${random.some(others, 1, others.length).map((c) =>
					quote(table.names[c])).join(', ')}) ON public.${table.name} TO ${role}`);
		for (const statement of grants)
			await this.database.client.query(statement);
		this.log.push(...grants);
	}

	docExpression()
	{
		const { random } = this;
		const term = () => `(${random.pick(random.percent(40) ? READING_TERMS : DOC_TERMS)})`;

		return random.pick([term, term, () => `${term()} OR ${term()}`, () => `${term()} AND ${term()}`,
			() => `(${term()} OR ${term()}) AND ${term()}`, () => `NOT ${term()}`])();
	}

	docPolicies()
	{
		const { random } = this;

		return Array.from({ length: random.pick([0, 1, 1, 1, 2, 2, 3]) }, (_, i) =>
			`CREATE POLICY "p ${i}" ON doc AS ${i > 0 && random.percent(35) ? 'RESTRICTIVE' : 'PERMISSIVE'}
				FOR ${random.pick(['ALL', 'SELECT', 'SELECT'])}
				TO ${random.percent(70) ? 'PUBLIC' : random.some(['reader_a', 'reader_b', 'reader_owner'], 1, 2).join(', ')}
				USING (${this.docExpression()})`);
	}

	/** Other policies: in one transaction, as a migration would. */
	async changePolicies(table)
	{
		const { client } = this.database;
		const { rows } = await client.query('SELECT polname FROM pg_policy WHERE polrelid = $1::regclass', [`public.${table.name}`]);
		const statements = rows.map(({ polname }) => `DROP POLICY ${quote(polname)} ON ${table.name}`);

		statements.push(...(table.name === 'item' ? table.generator.policies() : this.docPolicies()));
		await client.query('BEGIN');
		try
		{
			await this.both(statements);
			await client.query('COMMIT');
		}
		catch (error)
		{
			await client.query('ROLLBACK');
			throw error;
		}
		table.policies = statements.filter((s) => s.startsWith('CREATE'));
	}

	/** Keeps what member and guarded are now. */
	async keepState(client = this.database.client)
	{
		const n = this.state;

		await client.query(`DROP TABLE IF EXISTS scratch.member_${n}, scratch.guarded_${n};
			CREATE TABLE scratch.member_${n} AS SELECT * FROM public.member;
			CREATE TABLE scratch.guarded_${n} AS SELECT * FROM public.guarded`);
	}

	/** A random filter of a subscription on some readable columns, with its meaning in SQL. */
	filter(table, readable)
	{
		const { random } = this;
		const usable = table.filterable.filter((c) => readable.has(c));
		const terms = [];
		const conditions = [];

		for (const column of random.some(usable, 0, 2))
		{
			const { type, values } = table.columns[column];
			const name = quote(table.names[column]);
			const value = random.pick(values);
			const isOrdered = !['boolean', 'mood'].includes(type);
			const [operator, operand, sql] = random.pick([
				['eq', value, `${name} = ${literal(value)}`],
				['neq', value, `${name} <> ${literal(value)}`],
				['is', null, `${name} IS NULL`],
				['not.is', null, `${name} IS NOT NULL`],
				['in', [values[0], value], `${name} IN (${literal(values[0])}, ${literal(value)})`],
				...(isOrdered ? [['gte', value, type === 'text' ? `${name} COLLATE "C" >= ${literal(value)}`
					: `${name} >= ${literal(value)}`]] : [])]);
			terms.push([table.names[column], operator, type === 'boolean' && typeof operand === 'string' ? operand === 'true' : operand]);
			conditions.push(sql);
		}
		return { terms, sql: conditions.join(' AND ') || 'true' };
	}

	/** What a role may read of a table: a Set of columns; empty when nothing. */
	async readable(table, role)
	{
		const { rows } = await this.database.client.query(`SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass
			AND attnum > 0 AND NOT attisdropped AND has_column_privilege($2, attrelid, attnum, 'SELECT')`,
		[`public.${table.name}`, role]);
		const names = new Set(rows.map(({ attname }) => attname));

		return new Set(table.order.filter((c) => names.has(table.names[c])));
	}

	/** For messages. */
	describe()
	{
		return this.log.join(';\n');
	}
}

/** Makes the statements of one session. */
export class Writer
{
	constructor(random)
	{
		this.random = random;
	}

	/** A value of a column as SQL. */
	value(table, column, nullPercent = 12)
	{
		const { random } = this;
		const { type, base, values } = table.columns[column];

		if (random.percent(nullPercent))
			return 'NULL';
		return `${literal(random.pick(values))}::${base ?? type}`;
	}

	id()
	{
		return this.random.between(0, 24);
	}

	/** One random statement on a table. */
	statement(table)
	{
		const { random } = this;
		const column = () => random.pick(table.order.slice(1));
		const set = () => random.some(table.order.slice(1), 1, 3).map((c) =>
			`${quote(table.names[c])} = ${this.value(table, c)}`).join(', ');
		const target = `public.${table.name}`;
		const insert = (id, into = target) => `INSERT INTO ${into} (${table.order.map((c) => quote(table.names[c])).join(', ')})
			VALUES (${table.order.map((c) => (c === 'id' ? id : this.value(table, c))).join(', ')})`;

		return random.pick([
			// ids are unique in each of the tables only: the child has its own
			() => (table.shape === 'inherited' ? insert(1000 + this.id(), 'public.item_1') : insert(this.id())),
			() => insert(this.id()),
			() => `${insert(this.id())} ON CONFLICT (id) DO UPDATE SET ${set()}`,
			() => `UPDATE ${target} SET ${set()} WHERE id = ${this.id()}`,
			() => `UPDATE ${target} SET ${set()} WHERE id = ${this.id()}`,
			() => `UPDATE ${target} SET ${set()} WHERE id BETWEEN ${this.id()} AND ${this.id()}`,
			() => `UPDATE ${target} SET ${set()} WHERE id % ${random.between(2, 6)} = 0`,
			() => { const c = quote(table.names[column()]); return `UPDATE ${target} SET ${c} = ${c} WHERE id < 5`; },
			() => `UPDATE ${target} SET ${set()} WHERE id % 1000 = ${this.id()}`,
			() => `UPDATE ${target} SET id = id + ${random.pick([100, 200, 25])} WHERE id = ${this.id()}`,
			() => `UPDATE ${target} SET id = id % 25, ${set()} WHERE id BETWEEN 25 AND 999 AND id % 25 = ${this.id()}`,
			() => `DELETE FROM ${target} WHERE id = ${this.id()}`,
			() => `DELETE FROM ${target} WHERE id % 7 = ${random.between(0, 6)}`
		])();
	}

	/** A statement on what policies read. */
	memberStatement()
	{
		const { random } = this;
		const table = random.pick(['member', 'guarded']);
		const usr = literal(random.pick(['u1', 'u2', 'a', 'reader_a']));
		const item = random.pick([0, 1, 2, -3, 3]);

		return random.pick([
			() => `INSERT INTO ${table} VALUES (${item}, ${usr}) ON CONFLICT DO NOTHING`,
			() => `DELETE FROM ${table} WHERE usr = ${usr}`,
			() => `DELETE FROM ${table} WHERE item = ${item}`,
			() => `UPDATE ${table} SET item = item + 1 WHERE usr = ${usr} AND item < 3 AND NOT EXISTS (
				SELECT FROM ${table} o WHERE o.usr = ${usr} AND o.item = ${table}.item + 1)`
		])();
	}
}
