// SPDX-License-Identifier: PostgreSQL
//
// oracle.test.js
//	Random tables, policies, roles, claims and rows: what realtime.access_policy() and
//	realtime.visible_images() say of each row's image is what PostgreSQL itself says when that role
//	selects from the table.
//
// A world is one table with its rows, and some sets of policies one after the other, made of one seed. ORACLE_WORLDS (60) is how many,
// ORACLE_SEED the first one's seed (else random; printed): ORACLE_SEED=n ORACLE_WORLDS=1 replays
// world n alone.

import test from 'node:test';
import assert from 'node:assert/strict';
import pg from 'pg';
import { passes } from './filter.js';
import { Generator, columns, literal, quote, roles } from './policies.js';
import { Random } from './random.js';

const database = 'realtime_oracle';
const worlds = Number(process.env.ORACLE_WORLDS ?? 60);
const firstSeed = Number(process.env.ORACLE_SEED ?? Math.floor(Math.random() * 2 ** 31));
const rounds = 4;			// sets of policies of a world
const rowsPerWorld = 24;

/** A connection of a user. Values come as text. */
async function connect(user, to = database)
{
	const client = new pg.Client({ user, database: to, types: { getTypeParser: () => (text) => text } });

	client.on('error', () => {});
	await client.connect();
	return client;
}

const setup = `
	CREATE EXTENSION realtime;
	CREATE ROLE reader_a; CREATE ROLE reader_b; CREATE ROLE reader_ab; CREATE ROLE reader_owner;
	CREATE ROLE reader_bypass BYPASSRLS;
	GRANT reader_a, reader_b TO reader_ab;
	CREATE ROLE oracle_notifier LOGIN;
	GRANT realtime_notifier, reader_a, reader_b, reader_ab, reader_owner, reader_bypass TO oracle_notifier;
	GRANT CREATE, USAGE ON SCHEMA public TO reader_owner;
	CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
	CREATE TYPE mood AS ENUM ('sad', 'ok', 'very happy');
	CREATE DOMAIN email AS text;
	CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
	CREATE TYPE pair AS (x integer, y text);
	CREATE TABLE member (item integer, usr text);
	INSERT INTO member VALUES (0, 'u1'), (1, 'u2'), (2, 'u1'), (-3, 'a'), (1, 'reader_a');
	CREATE TABLE guarded (item integer, usr text, PRIMARY KEY (item, usr));
	INSERT INTO guarded SELECT * FROM member;
	ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON guarded USING (usr = current_setting('request.jwt.claims', true)::json ->> 'sub');
	CREATE VIEW member_view WITH (security_invoker) AS SELECT * FROM guarded;
	GRANT SELECT ON member, guarded, member_view TO PUBLIC;
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
		AS $$ SELECT EXISTS (SELECT FROM guarded WHERE item = $1 AND usr = uid()) $$;
`;

/** The statements that make a world's table. */
function tableStatements(random, names)
{
	const others = Object.keys(columns).filter((name) => name !== 'id');
	const order = ['id', ...random.some(others, others.length, others.length)];
	const list = (some) => some.map((name) => `${quote(names[name])} ${columns[name].type}`).join(', ');
	const shape = random.pick(['plain', 'plain', 'dropped', 'partitioned', 'inherited']);
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
		statements.push('CREATE TABLE item_1 (more text) INHERITS (item)');
	statements.push('GRANT SELECT ON item TO PUBLIC',
		'CREATE FUNCTION item_is_open(item) RETURNS boolean LANGUAGE sql STABLE'
		+ ` AS $$ SELECT ($1).${quote(names.b)} IS NOT FALSE $$`);
	return { statements, order, shape };
}

/** Column names: mostly plain, some hostile. */
function columnNames(random)
{
	const names = {};

	for (const name of Object.keys(columns))
		names[name] = name !== 'id' && random.percent(10)
			? random.pick(['"', '\\', ' ', 'Ä', '\'', ',"eq",', '\n', '\u{1F600}', 'select']) + name : name;
	return names;
}

/** Makes the table, rows and policies of a world; returns what the checks need. */
async function makeWorld(admin, random)
{
	const names = columnNames(random);
	const generator = new Generator(random, names);
	const { statements, order, shape } = tableStatements(random, names);
	const numeric = random.pick(['auto', 'auto', 'string']);

	await admin.query('DROP TABLE IF EXISTS item CASCADE');
	for (const statement of statements)
		await admin.query(statement);
	for (let id = 0; id < rowsPerWorld; id++)
		await admin.query(`INSERT INTO ${shape === 'inherited' && id % 3 === 0 ? 'item_1' : 'item'}`
			+ ` (${order.map((name) => quote(names[name])).join(', ')}) VALUES (`
			+ order.map((name) => name === 'id' ? id : generator.constant(name, 15)).join(', ') + ')');
	const security = [];

	if (random.percent(95))
		security.push('ALTER TABLE item ENABLE ROW LEVEL SECURITY');
	if (random.percent(30))
		security.push('ALTER TABLE item FORCE ROW LEVEL SECURITY');
	if (random.percent(50))
		security.push('ALTER TABLE item OWNER TO reader_owner');
	for (const statement of security)
		await admin.query(statement);
	await admin.query(`SELECT realtime.enable('item', "numeric" => '${numeric}')`);
	const { rows } = await admin.query(`SELECT id, realtime.row_json(item, '${numeric}')::text AS image FROM item ORDER BY id`);
	const kinds = Object.fromEntries(Object.keys(columns).map((name) => [names[name], columns[name].kind]));

	return { names, generator, policies: [], security, shape, kinds, images: rows.map((row) => row.image) };
}

/** Gives a world other policies. */
async function changePolicies(admin, world)
{
	const { rows } = await admin.query("SELECT polname FROM pg_policy WHERE polrelid = 'item'::regclass");

	for (const { polname } of rows)
		await admin.query(`DROP POLICY ${quote(polname)} ON item`);
	world.policies = world.generator.policies();
	for (const statement of world.policies)
		await admin.query(statement);
}

/** What PostgreSQL says: a Set of visible ids, or the error. In a session of its own: no settings are left over. */
async function askPostgres(role, claims)
{
	const session = await connect('postgres');

	try
	{
		await session.query(`BEGIN; SET LOCAL ROLE ${role}`);
		await session.query("SELECT set_config('request.jwt.claims', $1, true)", [JSON.stringify(claims)]);
		for (const [name, value] of Object.entries(claims))
			if (/^[a-z_]+$/.test(name) && value !== null)
				await session.query('SELECT set_config($1, $2, true)', [`request.jwt.claim.${name}`,
					typeof value === 'string' ? value : JSON.stringify(value)]);
		const { rows } = await session.query('SELECT id FROM item');
		return { ids: new Set(rows.map((row) => Number(row.id))) };
	}
	catch (error)
	{
		return { error };
	}
	finally
	{
		await session.end();
	}
}

/** A one-dimensional array of booleans as PostgreSQL writes it. */
const parseBooleans = (text) => text === '{}' ? []
	: text.replace(/[{}]/g, '').split(',').map((value) => ({ t: true, f: false, NULL: null })[value]);

/** Whether more than one row is written like this image: json columns that are null, lists in lists. */
function isAmbiguous(image, names)
{
	const row = JSON.parse(image);

	return row[names.jb] === null || row[names.js] === null;
}

/** Compares the answers for one reader with PostgreSQL's; counts what was compared. */
async function checkReader(notifier, world, role, claims, counts)
{
	const text = JSON.stringify(claims);
	const truth = await askPostgres(role, claims);
	const where = () => [`role ${role}, claims ${text}`, world.shape, ...world.security, ...world.policies].join('\n');

	if (truth.error)
	{
		counts.errors++;
		return;
	}
	const answer = JSON.parse((await notifier.query('SELECT realtime.access_policy($1, $2, $3) AS answer',
		['item', role, text])).rows[0].answer);
	const visible = parseBooleans((await notifier.query('SELECT realtime.visible_images($1, $2, $3::text, $4) AS v',
		['item', role, text, world.images])).rows[0].v);

	counts[answer.mode]++;
	world.images.forEach((image, id) =>
	{
		const isVisible = truth.ids.has(id);
		const row = JSON.parse(image);
		const explain = (what) => `${what}: ${JSON.stringify(answer)}\nrow ${image}\n${where()}`;

		counts.rows++;
		if (visible[id] === null && isAmbiguous(image, world.names))
			counts.ambiguous++;
		else
			assert.equal(visible[id], isVisible, explain('visible_images'));
		if (answer.mode === 'all' || answer.mode === 'none')
			assert.equal(answer.mode === 'all', isVisible, explain('mode'));
		else if (answer.mode === 'filter')
			assert.equal(passes(answer.any, row, world.kinds), isVisible, explain('filter'));
		else if (answer.filter && isVisible)
			assert.ok(passes(answer.filter, row, world.kinds), explain('necessary condition'));
	});
	if (answer.mode === 'evaluate' && answer.claims)
	{
		// no other claim makes a difference
		const others = { noise: 1 };

		for (const name of answer.claims)
			if (name in claims)
				others[name] = claims[name];
		const again = parseBooleans((await notifier.query('SELECT realtime.visible_images($1, $2, $3::text, $4) AS v',
			['item', role, JSON.stringify(others), world.images])).rows[0].v);
		assert.deepEqual(again, visible, `claims ${JSON.stringify(answer.claims)}\n${where()}`);
		counts.reduced++;
	}
}

/** The answers for several readers of a role at once are those for each alone. */
async function checkMany(notifier, world, role, many)
{
	const texts = many.map((claims) => JSON.stringify(claims));
	const together = await notifier.query('SELECT realtime.visible_images($1, $2, $3::text[], $4) AS v',
		['item', role, texts, world.images]).then(({ rows }) => parseBooleans(rows[0].v), () => null);
	const alone = [];

	for (const text of texts)
		alone.push(...await notifier.query('SELECT realtime.visible_images($1, $2, $3::text, $4) AS v',
			['item', role, text, world.images]).then(({ rows }) => parseBooleans(rows[0].v), () => [null]));
	if (together)
		assert.deepEqual(together, alone);
}

/** Makes and checks the world of a seed. */
async function checkWorld(admin, notifier, seed, counts)
{
	const random = new Random(seed);
	const world = await makeWorld(admin, random);

	for (let round = 0; round < rounds; round++)
	{
		await changePolicies(admin, world);
		for (const role of [random.pick(roles), 'reader_a', 'reader_ab'])
			await checkReader(notifier, world, role, random.percent(10) ? {} : world.generator.readerClaims(), counts);
	}
	await checkMany(notifier, world, 'reader_a', [world.generator.readerClaims(), {}, world.generator.readerClaims()]);
}

test(`${worlds} worlds from seed ${firstSeed}`, { timeout: 3600 * 1000 }, async () =>
{
	const counts = { rows: 0, all: 0, none: 0, filter: 0, evaluate: 0, ambiguous: 0, reduced: 0, errors: 0 };
	const server = await connect('postgres', 'postgres');

	await server.query(`CREATE DATABASE ${database}`);
	await server.end();
	const admin = await connect('postgres');
	let notifier;

	try
	{
		await admin.query(setup);
		notifier = await connect('oracle_notifier');
		for (let i = 0; i < worlds; i++)
			await checkWorld(admin, notifier, firstSeed + i, counts).catch((error) =>
			{
				error.message = `ORACLE_SEED=${firstSeed + i} ORACLE_WORLDS=1: ${error.message}`;
				throw error;
			});
	}
	finally
	{
		await notifier?.end();
		await admin.end();
	}
	console.log(`rows compared: ${counts.rows}; answers: ${counts.all} all, ${counts.none} none, ${counts.filter} filter,`
		+ ` ${counts.evaluate} evaluate (${counts.reduced} with fewer claims); ambiguous: ${counts.ambiguous};`
		+ ` refused by PostgreSQL: ${counts.errors}`);
	// the generator must not wander off to where nothing is compared
	assert.ok(worlds < 20 || (counts.filter > 0 && counts.evaluate > 0 && counts.errors < counts.filter));
});
