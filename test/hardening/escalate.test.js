// SPDX-License-Identifier: PostgreSQL
//
// escalate.test.js
//	An owner of tables, no superuser, against whoever touches them: the notifier's login, which reads the whole log and may
//	become other roles; superusers, whose sessions and workers commit his changes; readers of his tables.
//
// What his code reaches is told by locks: a session's advisory lock outlives the transaction that took it, also a read-only one.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { connect } from '../e2e/lib/database.js';
import { Stage } from '../e2e/lib/stage.js';
import { until } from '../e2e/lib/wait.js';

/** What evil code tries, whoever runs it: each success is a lock, whose class is the attack's number. */
const EVIL = `
	CREATE FUNCTION lair.attempt(attack integer) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		-- whose rights there are: 1 ran at all, 2 with those of a superuser, 3 with those of the notifier's login
		PERFORM pg_advisory_lock_shared(attack, 1);
		IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
			PERFORM pg_advisory_lock_shared(attack, 2);
		END IF;
		IF current_user = 'live' THEN
			PERFORM pg_advisory_lock_shared(attack, 3);
		END IF;
		-- 4: back to the login, 5: on to another role, 6: the log is read
		BEGIN
			PERFORM set_config('role', 'none', true);
			IF current_user = 'live' THEN PERFORM pg_advisory_lock_shared(attack, 4); END IF;
			PERFORM count(*) FROM realtime.commit_log;
			PERFORM pg_advisory_lock_shared(attack, 6);
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
		BEGIN
			EXECUTE 'SET LOCAL ROLE web_clerk';
			PERFORM pg_advisory_lock_shared(attack, 5);
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
		BEGIN
			EXECUTE 'RESET SESSION AUTHORIZATION';
			IF current_user = 'live' THEN PERFORM pg_advisory_lock_shared(attack, 4); END IF;
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
		-- what the next user of the connection would have
		BEGIN
			PERFORM set_config('search_path', 'lair, pg_catalog', false), set_config('statement_timeout', '0', false),
				set_config('application_name', 'poisoned', false), set_config('request.jwt.claims', '{"sub":"poison"}', false);
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END $$;`;

const stage = await Stage.open('escalate', { flags: { 'database-pool': 2, workers: 1 }, schema: `
	DO $$ BEGIN IF to_regrole('mallory') IS NULL THEN CREATE ROLE mallory LOGIN; END IF; END $$;
	CREATE SCHEMA lair AUTHORIZATION mallory;
	GRANT USAGE ON SCHEMA lair TO PUBLIC;
	CREATE TABLE secret (id integer PRIMARY KEY, word text); SELECT realtime.enable('secret');
	CREATE TABLE public.tick (id integer PRIMARY KEY); SELECT realtime.enable('public.tick'); GRANT SELECT ON public.tick TO web_anon, web_user;` });
const mallory = await connect(stage.database.name, 'mallory', { user: 'mallory' });
await mallory.query(EVIL);

/** What an attack has reached in sessions of others than its author. */
const reached = async (attack) => (await stage.sql(`SELECT DISTINCT objid FROM pg_locks JOIN pg_stat_activity a USING (pid)
	WHERE locktype = 'advisory' AND classid = ${attack} AND a.usename <> 'mallory'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1`)).map((row) => Number(row.objid));
const POLICY = 1;
const CAST = 2;
const DOMAIN = 3;
const SHADOW = 4;

describe('the notifier\'s login', () =>
{
	test('a policy cannot leave the reader\'s role while a snapshot is read, and leaves nothing in the connection', async () =>
	{
		await mallory.query(`CREATE TABLE lair.bait (id integer PRIMARY KEY, x integer);
			INSERT INTO lair.bait VALUES (1, 1);
			CREATE FUNCTION lair.judge(integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.attempt(1); RETURN true; END $$;
			ALTER TABLE lair.bait ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON lair.bait USING (lair.judge(x));
			GRANT SELECT ON lair.bait TO web_anon`);
		await mallory.query("SELECT realtime.enable('lair.bait', 'lair', 'bait')");
		const peer = await stage.peer();
		const view = await peer.subscribe({ feature: 'lair', entity: 'bait', snapshot: true });
		assert.deepEqual(view.rows.map((r) => r.id), ['1']);
		assert.deepEqual(await reached(POLICY), [1], 'the reader\'s rights, and no others');
		assert.equal(await stage.value(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'poisoned'`), '0');

		// The same on row images.
		await peer.close();
		const other = await stage.peer();
		const live = await other.subscribe({ feature: 'lair', entity: 'bait' });
		await other.settle(await stage.write('UPDATE lair.bait SET x = 2'));
		await other.until('the event', () => live.events.length === 1);
		assert.deepEqual(await reached(POLICY), [1]);
		await other.close();
	});

	test('a cast to json of his own type runs for nobody else: filters, snapshots, events', async () =>
	{
		await mallory.query(`CREATE TYPE lair.mood AS ENUM ('good', 'bad');
			CREATE FUNCTION lair.mood_json(lair.mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.attempt(2); RETURN '"cast"'; END $$;
			CREATE CAST (lair.mood AS json) WITH FUNCTION lair.mood_json(lair.mood);
			CREATE TABLE lair.moody (id integer PRIMARY KEY, m lair.mood, n integer);
			GRANT SELECT, INSERT ON lair.moody TO web_anon`);
		await mallory.query("SELECT realtime.enable('lair.moody', 'lair', 'moody')");
		const peer = await stage.peer();
		await peer.subscribe({ feature: 'lair', entity: 'moody', filter: [['m', 'eq', 'bad']] });
		assert.deepEqual(await reached(CAST), [], 'a constant of a filter');
		const view = await peer.subscribe({ feature: 'lair', entity: 'moody', snapshot: true });
		// A superuser's session commits what he wrote: as himself in a function, or in the index of a table.
		await stage.sql(`BEGIN; SET LOCAL ROLE mallory; INSERT INTO lair.moody VALUES (1, 'bad'); RESET ROLE; COMMIT`);
		assert.deepEqual(await reached(CAST), [], 'at the commit of a superuser');
		await mallory.query(`CREATE TABLE lair.indexed (x integer);
			INSERT INTO lair.indexed SELECT generate_series(1, 3);
			CREATE FUNCTION lair.stow(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
				INSERT INTO lair.moody VALUES ((random() * 1e9)::int, 'bad'); RETURN $1; EXCEPTION WHEN OTHERS THEN RETURN $1; END $$;
			CREATE INDEX ON lair.indexed (lair.stow(x))`);
		await stage.sql('ANALYZE lair.indexed');
		await stage.sql('REINDEX TABLE lair.indexed');
		assert.deepEqual(await reached(CAST), [], 'at the commit of a superuser\'s ANALYZE');
		await peer.settle(await stage.write('INSERT INTO public.tick VALUES (1)'));
		assert.equal(view.events[0].data.m, 'bad', 'the type\'s own text');
		await peer.close();
	});

	test('a superuser\'s cast to json is used, as ever', async () =>
	{
		await stage.sql(`CREATE TYPE public.hue AS ENUM ('red');
			CREATE FUNCTION public.hue_json(public.hue) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT '{"hue":"red"}'::json $$;
			CREATE CAST (public.hue AS json) WITH FUNCTION public.hue_json(public.hue)`);
		assert.equal(await stage.value("SELECT realtime.row_json(r) FROM (SELECT 'red'::public.hue AS h) r"), '{"h":{"hue":"red"}}');
	});

	test('a domain\'s check runs with nobody\'s rights but the reader\'s when row images are read', async () =>
	{
		await mallory.query(`CREATE FUNCTION lair.check_it(integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
				PERFORM lair.attempt(3); RETURN true; END $$;
			CREATE DOMAIN lair.checked AS integer CHECK (lair.check_it(VALUE));
			CREATE TYPE lair.span AS RANGE (subtype = lair.checked);
			CREATE TABLE lair.spans (id integer PRIMARY KEY, s lair.span, d lair.checked, a lair.checked[]);
			ALTER TABLE lair.spans ENABLE ROW LEVEL SECURITY;
			CREATE POLICY p ON lair.spans USING (NOT isempty(s) AND now() > '-infinity' AND (d IS NULL OR a IS NULL OR true));
			GRANT SELECT ON lair.spans TO web_anon`);
		await mallory.query("SELECT realtime.enable('lair.spans', 'lair', 'spans')");
		const peer = await stage.peer();
		const view = await peer.subscribe({ feature: 'lair', entity: 'spans', snapshot: true });
		await mallory.query("INSERT INTO lair.spans VALUES (1, '[1,5)', 3, '{1,2}')");
		await peer.until('the event', () => view.events.length === 1);
		assert.deepEqual(await reached(DOMAIN), [1], 'the reader\'s rights, and no others');
		// A constant of a filter: converted to the type below the domain.
		await peer.subscribe({ feature: 'lair', entity: 'spans', filter: [['d', 'eq', 7]] });
		assert.deepEqual(await reached(DOMAIN), [1]);
		await peer.close();
	});

	test('operators, functions and tables that shadow PostgreSQL\'s are not found', async () =>
	{
		// A schema that comes first in everybody's path, as ALTER ROLE and ALTER DATABASE can have it.
		await mallory.query(`CREATE FUNCTION lair.steal(anyelement, anyelement) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
				PERFORM lair.attempt(4); RETURN false; END $$;
			CREATE OPERATOR lair.= (LEFTARG = anyelement, RIGHTARG = anyelement, FUNCTION = lair.steal);
			CREATE OPERATOR lair.<> (LEFTARG = anyelement, RIGHTARG = anyelement, FUNCTION = lair.steal);
			CREATE FUNCTION lair.steal_text(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
				PERFORM lair.attempt(4); RETURN false; END $$;
			CREATE OPERATOR lair.= (LEFTARG = text, RIGHTARG = text, FUNCTION = lair.steal_text);
			CREATE FUNCTION lair.count(anyelement) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.attempt(4); RETURN 0; END $$;
			CREATE FUNCTION lair.format(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.attempt(4); RETURN ''; END $$;
			CREATE FUNCTION lair.to_jsonb(anyelement) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.attempt(4); RETURN '{}'; END $$;
			CREATE TABLE lair.pg_class (LIKE pg_catalog.pg_class); CREATE TABLE lair.pg_roles (LIKE pg_catalog.pg_roles)`);
		const path = 'lair, pg_catalog, public';
		await stage.sql(`ALTER ROLE live IN DATABASE ${stage.database.name} SET search_path = ${path}`);
		const notifier = await stage.start();
		const peer = await stage.peer({ notifier });
		const view = await peer.subscribe({ feature: 'tick', entity: 'tick', snapshot: true, filter: [['id', 'gt', 1]] });
		await peer.settle(await stage.write('INSERT INTO public.tick VALUES (2)'));
		assert.deepEqual(view.story, ['created 2']);
		assert.deepEqual(await reached(SHADOW), []);
		await peer.close();
		await notifier.stop();
		await stage.sql(`ALTER ROLE live IN DATABASE ${stage.database.name} RESET search_path`);

		// A superuser who calls everything with that path, and with temporary tables named like the catalog's.
		const root = await stage.database.connect('root');
		await root.query(`SET search_path = ${path}; CREATE TEMP TABLE pg_inherits (LIKE pg_catalog.pg_inherits);
			CREATE TEMP TABLE pg_trigger (LIKE pg_catalog.pg_trigger); CREATE TEMP TABLE registration (LIKE realtime.registration)`);
		await root.query(`CREATE TABLE public.plain (id integer PRIMARY KEY, status text)`);
		for (const call of ["enable('public.plain', status_column => 'status')", "define_event('public.plain', 'shown', status => 'x', condition => 'new.id > 0')",
			'status()', 'prune()', 'position()', "forget('public.plain', '1')", "drop_event('public.plain', 'shown')",
			"register_topic('t', 't')", "emit('t', 't', 'hello', '{}')", "grant_emit('t', 't', 'mallory')", "revoke_emit('t', 't', 'mallory')",
			"drop_topic('t', 't')", "bulk_complete(realtime.bulk_start('plain', 'plain', 'op'))", 'bulk_reap()', "disable('public.plain')",
			"row_json(r) FROM (SELECT 1 AS a, 'x'::text AS b) r", "access_policy('lair.bait', 'web_anon', '{}')", 'new_epoch()'])
			await root.query(`SELECT realtime.${call}`);
		await root.query('SELECT count FROM (SELECT pg_catalog.count(*) FROM realtime.event) x; SELECT * FROM realtime.entities');
		await root.query('CREATE TABLE public.later PARTITION OF public.parent FOR VALUES IN (1)').catch(() => {});
		assert.deepEqual(await reached(SHADOW), []);
		await root.end();
	});
});

describe('superusers', () =>
{
	test('DDL of theirs on his tables runs nothing of his', async () =>
	{
		await mallory.query(`CREATE TABLE lair.parent (id integer, m lair.mood, PRIMARY KEY (id)) PARTITION BY LIST (id);
			CREATE TABLE lair.part PARTITION OF lair.parent FOR VALUES IN (1)`);
		await mallory.query("SELECT realtime.enable('lair.parent', 'lair', 'parent')");
		await mallory.query("SELECT realtime.define_event('lair.parent', 'seen', condition => 'lair.judge(new.id)')");
		const before = await reached(POLICY);
		for (const ddl of ['CREATE TABLE lair.part2 PARTITION OF lair.parent FOR VALUES IN (2)', 'ALTER TABLE lair.parent ADD COLUMN z text',
			'ALTER TABLE lair.parent DETACH PARTITION lair.part', 'ALTER TABLE lair.parent ATTACH PARTITION lair.part FOR VALUES IN (1)',
			'ALTER TABLE lair.parent ENABLE ROW LEVEL SECURITY', 'GRANT SELECT ON lair.parent TO web_anon', 'TRUNCATE lair.parent',
			'ALTER TABLE lair.parent RENAME TO renamed', 'DROP TABLE lair.renamed', 'VACUUM (FULL) lair.moody', 'CLUSTER lair.moody USING moody_pkey',
			'SELECT realtime.prune()', 'SELECT realtime.status()'])
			await stage.sql(ddl);
		assert.deepEqual(await reached(POLICY), before);
	});

	test('nobody but owners and superusers changes what is registered, whatever he owns besides', async () =>
	{
		await mallory.query('RESET ALL');		// what his own attempts left
		const refused = async (sql) => assert.rejects(mallory.query(sql), (error) =>
		{
			assert.match(error.message, /permission denied|must be owner|is not registered/i, sql);
			return true;
		});
		await refused("SELECT realtime.enable('secret')");
		await refused("SELECT realtime.disable('secret')");
		await refused("SELECT realtime.register('secret', 'a', 'b', '{}')");
		await refused("SELECT realtime.unregister('secret')");
		await refused("SELECT realtime.define_event('secret', 'x', condition => 'true')");
		await refused("SELECT realtime.drop_event('secret', 'x')");
		await stage.sql('CREATE TABLE public.bare (id integer PRIMARY KEY)');
		await refused("SELECT realtime.add_triggers('bare')");
		await refused("SELECT realtime.lock_relation('secret')");
		await refused("SELECT realtime.forget('secret', '1')");
		await refused("SELECT realtime.grant_emit('secret', 'secret', 'mallory')");
		await refused("SELECT realtime.grant_subscribe('secret', 'secret', 'mallory')");
		await refused("SELECT realtime.emit('secret', 'secret', 'x')");
		await refused("SELECT realtime.bulk_start('secret', 'secret', 'x')");
		await refused("SELECT realtime.register_topic('a', 'b')");
		await refused("SELECT realtime.visible_images('secret', 'live', '{}', '{}')");
		await refused("SELECT realtime.access_policy('secret', 'live', '{}')");
		for (const table of ['registration', 'topic_grant', 'bulk_operation', 'commit_log', 'commit_log_0', 'log_state', 'log_floor', 'epoch', 'event'])
			for (const sql of ['SELECT count(*) FROM', 'DELETE FROM', 'TRUNCATE'])
				await assert.rejects(mallory.query(`${sql} realtime.${table}`), /permission denied|is not a table|cannot delete/, `${sql} ${table}`);
		for (const sql of ['CREATE TABLE realtime.x ()', 'CREATE FUNCTION realtime.x() RETURNS int LANGUAGE sql AS $$SELECT 1$$',
			'CREATE TRIGGER t BEFORE INSERT ON realtime.commit_log_0 FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
			'CREATE RULE r AS ON INSERT TO realtime.commit_log DO NOTHING', 'DROP EXTENSION realtime', 'ALTER EXTENSION realtime UPDATE',
			'DROP EVENT TRIGGER realtime_ddl_end', 'SELECT realtime.new_epoch()', 'SELECT realtime.position()', 'SELECT realtime.arm()',
			"SELECT realtime.set_log_persistence('unlogged')", 'SELECT realtime.prune()', 'SELECT realtime.bulk_reap()',
			'SELECT realtime.ddl_end()', 'SET realtime.retention = 1', 'SET realtime.max_log_size = 1', "SET realtime.on_error = 'gap'"])
			await assert.rejects(mallory.query(sql), (error) => /permission denied|must be owner|trigger functions can only be called as|can only be called|may only be called|must be called|not called by trigger manager|cannot be changed|non-owner/i
				.test(error.message), sql);
	});

	test('a trigger function of the extension on a table of his does not write into others\' topics', async () =>
	{
		await mallory.query(`CREATE TABLE lair.secret (id integer PRIMARY KEY, word text);
			CREATE TRIGGER realtime_capture AFTER INSERT OR UPDATE OR DELETE ON lair.secret FOR EACH ROW EXECUTE FUNCTION realtime.capture();
			CREATE TRIGGER t2 AFTER INSERT ON lair.secret FOR EACH ROW EXECUTE FUNCTION realtime.capture('secret', 'secret');
			INSERT INTO lair.secret VALUES (1, 'forged')`);
		assert.equal(await stage.value("SELECT count(*) FROM realtime.event WHERE event::text LIKE '%forged%'"), '0');
		await assert.rejects(mallory.query("SELECT realtime.enable('lair.secret', 'secret', 'secret')"), /already|exists|taken|unique|registered/i);
		// As a child of somebody else's table, or with his own as parent.
		await assert.rejects(mallory.query('CREATE TABLE lair.child () INHERITS (public.secret)'), /must be owner/);
		await assert.rejects(mallory.query('ALTER TABLE lair.secret INHERIT public.secret'), /must be owner/);
	});

	test('switching capture off is for owners', async () =>
	{
		await stage.sql('GRANT INSERT ON public.secret TO mallory');
		await mallory.query('SET realtime.enabled = off');
		await mallory.query("INSERT INTO public.secret VALUES (7, 'seen')");
		await mallory.query('RESET realtime.enabled');
		assert.equal(await stage.value("SELECT count(*) FROM realtime.event WHERE entity = 'secret' AND id = '7'"), '1');
	});
});

test('the notifier is well, and none of his code had more than a reader\'s rights', async () =>
{
	await until('ready', async () => (await stage.notifier.status('/readyz')) === 200);
	const peer = await stage.peer();
	const view = await peer.subscribe({ feature: 'tick', entity: 'tick' });
	await peer.settle(await stage.write('INSERT INTO public.tick VALUES (3)'));
	assert.deepEqual(view.story, ['created 3']);
	for (const attack of [POLICY, CAST, DOMAIN, SHADOW])
		assert.deepEqual((await reached(attack)).filter((n) => n > 1), [], `attack ${attack}`);
});
