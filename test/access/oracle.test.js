// SPDX-License-Identifier: PostgreSQL
//
// oracle.test.js
//	The whole way, from a write to a browser: random tables, policies, grants, roles, claims, filters and
//	writers; for every change and every subscriber, what arrived is what PostgreSQL itself says of the old
//	and the new image under that role and claims. No leak, no omission.
//
// Model
// 1. A world is two tables and some rounds. In a round some sessions write at once, some of them to what policies
//	  read; subscribers are there before, or come meanwhile, with a snapshot or from a position. Then all
//	  settles and is compared. Between rounds policies change under the live subscriptions.
// 2. Sub-selects may see any state between commit and delivery: the states of a round are numbered.
// 3. A subscriber whom PostgreSQL itself gives an error is excused, and counted.
//
// ACCESS_SECONDS (40) is how long new worlds begin; ACCESS_WORLDS their number instead; ACCESS_SEED the
// first one's seed (else random; printed): ACCESS_SEED=n ACCESS_WORLDS=1 replays world n, but for the
// interleaving of sessions.

import test, { after } from 'node:test';
import assert from 'node:assert/strict';
import { Random } from '../oracle/random.js';
import { Stage } from '../e2e/lib/stage.js';
import { Refusal } from '../e2e/lib/peer.js';
import { ROLES, SCHEMA, SETUP, World, Writer } from './lib/world.js';
import { asReader, loadImages, project, visible } from './lib/truth.js';
import { Subscriber, expectEdges } from './lib/subscriber.js';

const seconds = Number(process.env.ACCESS_SECONDS ?? 40);
const worlds = process.env.ACCESS_WORLDS ? Number(process.env.ACCESS_WORLDS) : Infinity;
const firstSeed = Number(process.env.ACCESS_SEED ?? Math.floor(Math.random() * 2 ** 31));
const ROUNDS = 3;
const WRITERS = 3;
const totals = { worlds: 0, changes: 0, events: 0, subscribers: 0, snapshots: 0, replicas: 0, resumed: 0, gaps: 0, ambiguous: 0,
	excused: 0, again: 0, forbidden: 0, refused: 0, required: 0 };

const stage = await Stage.open('access_oracle', { schema: `${SETUP}; ${SCHEMA}`, isAnonymous: false,
	flags: { 'max-messages-per-minute': 1000000, 'policy-timeout': '20s', ...(process.env.ACCESS_LOG ? { 'log-level': 'debug' } : {}) } });
after(() => console.log(`seed ${firstSeed}: ${JSON.stringify(totals)}`));

const sql = stage.database.client;

class Play
{
	constructor(seed, number)
	{
		this.seed = seed;
		this.random = new Random(seed);
		this.world = new World(this.random, stage.database, number);
		this.subscribers = [];
		this.peers = [];
		this.lastAudit = 0;
		this.firstStates = new Map();
	}

	/** The members of one reader's claims. */
	reader()
	{
		const { random } = this;
		const role = random.pick([...ROLES, 'reader_a', 'reader_ab']);
		const claims = random.percent(8) ? {} : this.world.tables.item.generator.readerClaims();

		delete claims.exp;
		if (claims.sub === undefined && random.percent(70))
			claims.sub = 'u1';
		return { role, claims };
	}

	async peerOf({ role, claims })
	{
		const known = this.random.percent(50)
			&& this.peers.find((p) => p.reader === JSON.stringify({ role, claims }) && !p.closed);

		if (known)
			return known;
		// sub null is no token's: such a reader has none
		const peer = expectEdges(await stage.peer({ token: stage.token({ role, sub: undefined, ...claims,
			...(claims.sub === null ? { sub: undefined } : {}), exp: undefined }) }));
		peer.reader = JSON.stringify({ role, claims });
		this.peers.push(peer);
		return peer;
	}

	/** A random subscription, begun. */
	async join(kind, since)
	{
		const { random, world } = this;
		const reader = this.readers && random.percent(60) ? random.pick(this.readers) : this.reader();
		const isWild = kind !== 'snapshot' && random.percent(20);
		const tables = isWild ? Object.values(world.tables) : [random.pick(Object.values(world.tables))];
		const token = { ...reader, claims: Object.fromEntries(Object.entries({ role: reader.role, ...reader.claims })
			.filter(([name, value]) => !(name === 'sub' && value === null))) };
		const peer = await this.peerOf(reader);
		const subscriber = new Subscriber({ world, peer, reader: token, tables, isWild, kind, filter: { terms: [], sql: 'true' } });

		await subscriber.prepare();
		if (!isWild && !subscriber.isForbidden)
		{
			const [table] = tables;
			const readable = subscriber.readable.get(table);

			subscriber.filter = world.filter(table, readable);
			if (random.percent(25))
				subscriber.columns = random.some([...readable].filter((c) => c !== 'id'), 1, 6);
			await subscriber.prepare();
		}
		return this.begin(subscriber, kind === 'snapshot' ? { snapshot: true } : since ? { since } : {});
	}

	async begin(subscriber, more)
	{
		try
		{
			await subscriber.subscribe(more);
		}
		catch (error)
		{
			if (!(error instanceof Refusal) && !subscriber.view && !/was closed|not within/.test(error.message))
				throw error;
			if (error.code === 'already_subscribed')
				return undefined;
			if (error.code === 'forbidden')
			{
				assert.ok(subscriber.isForbidden, `forbidden: ${subscriber.name}`);
				totals.forbidden++;
				return undefined;
			}
			if (error.code === 'internal')
				return this.excuse(subscriber, `refused: ${error.message}`);
			// subscribed, and then a policy failed in the snapshot
			if (/not within .*: the snapshot/.test(error.message) && subscriber.peer.frames.at(-1)?.code === 'internal')
				return this.excuse(subscriber, 'the snapshot failed');
			throw error;
		}
		assert.ok(!subscriber.isForbidden, `LEAK: not forbidden: ${subscriber.name}`);
		totals.subscribers++;
		this.subscribers.push(subscriber);
		return subscriber;
	}

	/** PostgreSQL must have an error, too, of any image of one of the tables. */
	async excuse(subscriber, why)
	{
		this.subscribers = this.subscribers.filter((s) => s !== subscriber);
		totals.excused++;
		for (const table of subscriber.tables)
			try
			{
				await asReader(this.world, subscriber.reader, undefined, async (session) =>
				{
					await session.query(`SELECT ctid FROM scratch.${table.name}`);
					await session.query(`SELECT ctid FROM public.${table.name}`);
				});
			}
			catch
			{
				return;
			}
		totals.refused++;
		if (process.env.ACCESS_LOG)
			console.log(`${why}\n${subscriber.name}\n${subscriber.tables.flatMap((t) => t.policies).join('\n')}\n` +
				stage.notifier.lines.filter((l) => /policy/.test(JSON.stringify(l))).slice(-1).map((l) => JSON.stringify(l)));
	}

	/** Transactions of one session. */
	async write(number, n)
	{
		const writer = new Writer(new Random(this.random.between(0, 2 ** 31)));
		const { random } = writer;
		const client = await stage.database.connect(`writer ${number}`);
		const tables = Object.values(this.world.tables);

		for (let i = 0; i < n; i++)
		{
			try
			{
				await client.query('BEGIN');
				for (let k = random.pick([1, 1, 1, 2, 3, 5]); k > 0; k--)
				{
					const statement = writer.statement(random.percent(60) ? tables[0] : tables[1]);

					if (!random.percent(20))
						await client.query(statement);
					else
					{
						await client.query('SAVEPOINT s');
						const failed = await client.query(statement).then(() => false, () => true);
						await client.query(failed || random.percent(40) ? 'ROLLBACK TO s' : 'RELEASE s');
					}
				}
				const { rows } = await client.query('SELECT pg_current_xact_id() AS tx');
				this.firstStates.set(rows[0].tx, this.world.state);
				await client.query(random.percent(93) ? 'COMMIT' : 'ROLLBACK');
			}
			catch (error)
			{
				if (!['40P01', '23505', '23514', '22003', '40001'].includes(error.code))
					throw Object.assign(error, { message: `${error.message}: ${error.where ?? ''}` });
				await client.query('ROLLBACK');
			}
		}
		await client.end();
	}

	/** Transactions that change what policies read, one after the other, sometimes rows with it. */
	async writeMembers(n)
	{
		const writer = new Writer(new Random(this.random.between(0, 2 ** 31)));
		const client = await stage.database.connect('members');

		for (let i = 0; i < n; i++)
			try
			{
				await client.query('BEGIN');
				await client.query(writer.memberStatement());
				if (writer.random.percent(50))
					await client.query(writer.statement(writer.random.pick(Object.values(this.world.tables))));
				const { rows } = await client.query('SELECT pg_current_xact_id() AS tx');
				this.firstStates.set(rows[0].tx, this.world.state + 1);
				await client.query('COMMIT');
				this.world.state++;
				await this.world.keepState(client);
			}
			catch (error)
			{
				if (!['40P01', '23505', '23514', '22003'].includes(error.code))
					throw error;
				await client.query('ROLLBACK');
			}
		await client.end();
	}

	/** Some come while others write. */
	async joinMeanwhile()
	{
		for (let i = this.random.between(1, 3); i > 0; i--)
		{
			await new Promise((resolve) => setTimeout(resolve, this.random.between(0, 40)));
			const live = this.subscribers.filter((s) => !s.isEnded && s.peer.token);
			const since = live.length > 0 ? this.random.pick(live).peer.token : undefined;
			const subscriber = await this.join(this.random.pick(['live', 'live', 'snapshot', 'since']), since);

			if (subscriber)
				subscriber.isNew = true;
		}
	}

	async settle()
	{
		const { rows } = await sql.query('SELECT pg_current_xact_id() AS tx');

		await Promise.all(this.peers.filter((p) => !p.closed).map((p) => p.settle(rows[0].tx, 60)));
	}

	async round()
	{
		const { world } = this;
		const firstState = world.state;

		this.firstStates = new Map();
		await Promise.all([...Array.from({ length: WRITERS }, (_, i) => this.write(i, this.random.between(3, 8))),
			this.random.percent(60) ? this.writeMembers(this.random.between(1, 2)) : undefined, this.joinMeanwhile()]);
		await this.settle();
		const changes = await loadImages(world, this.lastAudit);
		if (changes.length > 0)
			this.lastAudit = changes.at(-1).n;
		const first = (tx) => (tx === undefined ? firstState : this.firstStates.get(tx) ?? firstState);
		// The others that come late are looked at against the same images: those who resume.
		await this.resume();
		for (const subscriber of [...this.subscribers])
			await this.checkOne(subscriber, changes, first);
		await this.checkReplicas(firstState);
		this.token = this.subscribers.find((s) => !s.isEnded)?.peer.token ?? this.token;
	}

	/** From a position of before or within the round. */
	async resume()
	{
		for (const since of [this.token].filter(Boolean))
			if (this.random.percent(60))
			{
				const subscriber = await this.join('since', since);

				if (subscriber)
				{
					totals.resumed++;
					await subscriber.peer.until('it is live', () => subscriber.view.isLive || subscriber.isEnded, { seconds: 60 });
				}
			}
		await this.settle();
	}

	async checkOne(subscriber, changes, first)
	{
		if (subscriber.isEnded)
		{
			const { code } = subscriber.end ?? {};

			if (code === 'unavailable')
				return this.again(subscriber);
			assert.equal(code, 'internal', `${subscriber.name} ended: ${JSON.stringify(subscriber.end)}`);
			return this.excuse(subscriber, `ended: ${JSON.stringify(subscriber.end)}`);
		}
		// What comes after a snapshot depends on when it was taken: its first round is the replica's business.
		const isStrict = !(subscriber.isNew && subscriber.kind === 'snapshot');
		const result = await subscriber.check(changes, first, this.world.state, { isStrict });

		subscriber.isNew = false;
		if (result.error)
			return this.excuse(subscriber, result.error.message);
		totals.changes += result.changes;
		totals.events += result.events;
		totals.ambiguous += result.ambiguous;
		totals.gaps += result.gaps.length;
		subscriber.roundGaps = result.gaps;
		if (result.gaps.some((reason) => reason !== 'access' && reason !== 'omitted'))
			throw new Error(`${subscriber.name}: gaps ${result.gaps}`);
		return undefined;
	}

	/** A view whose policy must be evaluated now: subscribed anew, as its client would. */
	async again(subscriber)
	{
		totals.again++;
		this.subscribers = this.subscribers.filter((s) => s !== subscriber);
		const next = new Subscriber({ ...subscriber, view: undefined, kind: 'live', checked: 0, gapsSeen: 0 });

		await next.prepare();
		await this.begin(next, {});
	}

	/** The rows of a table as a reader sees them now: Map of id to shown data, or an Error. */
	async rowsOf(subscriber, state)
	{
		const [table] = subscriber.tables;
		const { rows: all } = await sql.query(`SELECT id, realtime.row_json(x, '${table.numeric}')::text AS row,
			(${subscriber.filter.sql}) IS TRUE AS passes FROM public.${table.name} x`);
		const seen = await visible(this.world, subscriber.reader, table, state, { isTwin: false });

		if (seen instanceof Error)
			return seen;
		return new Map(all.filter(({ id, passes }) => passes === 't' && seen.has(id))
			.map(({ id, row }) => [id, JSON.stringify(project(table, JSON.parse(row), subscriber.shown.get(table)))]));
	}

	/** Snapshot and events together make what PostgreSQL shows; a change of what policies read that shows is told. */
	async checkReplicas(firstState)
	{
		for (const subscriber of [...this.subscribers])
		{
			if (subscriber.isWild || subscriber.isEnded)
				continue;
			const [table] = subscriber.tables;
			const now = await this.rowsOf(subscriber);

			if (now instanceof Error)
			{
				await this.excuse(subscriber, now.message);
				continue;
			}
			if (firstState !== this.world.state && subscriber.isThere)
			{
				const then = await this.rowsOf(subscriber, firstState);
				const isDifferent = !(then instanceof Error) && JSON.stringify([...then.keys()].sort()) !== JSON.stringify([...now.keys()].sort());

				if (isDifferent)
				{
					totals.required++;
					assert.ok(subscriber.roundGaps.includes('access'), `OMISSION: no gap access: ${subscriber.name}\n${table.policies.join('\n')}`);
				}
			}
			subscriber.isThere = true;
			if (subscriber.kind !== 'snapshot' || subscriber.view.gaps.length > 0)
				continue;
			const replica = new Map(subscriber.view.rows.map(({ id, data }) => [id, data]));
			const shown = [...subscriber.shown.get(table)].map((c) => table.names[c]);
			for (const { action, id, data } of subscriber.view.events)
				if (['created', 'updated', 'entered'].includes(action))
					replica.set(id, data);
				else if (['deleted', 'left'].includes(action))
					replica.delete(id);
			const order = (data) => JSON.stringify(Object.fromEntries(table.order.filter((c) => shown.includes(table.names[c]))
				.map((c) => [table.names[c], data[table.names[c]]])));
			// A round with other members may have changed what is shown without an event: then there is a gap.
			assert.deepEqual(Object.fromEntries([...replica].map(([id, data]) => [id, order(data)])), Object.fromEntries(now),
				`snapshot and events: ${subscriber.name}\n${table.policies.join('\n')}`);
			totals.replicas++;
			if (subscriber.view.events.length === 0)
				totals.snapshots++;
		}
	}

	async changePolicies()
	{
		const changed = new Set();

		for (const table of Object.values(this.world.tables))
			if (this.random.percent(60))
			{
				changed.add(table);
				await this.world.changePolicies(table);
			}
		await this.settle();
		for (const subscriber of [...this.subscribers])
			if (subscriber.isEnded)
				await this.checkOne(subscriber, [], () => this.world.state);
			else
			{
				// Rights are looked up off the stream: the gap that ends it may come later than the transaction.
				subscriber.isAwaitingGap = subscriber.tables.some((table) => changed.has(table))
					&& subscriber.view.gaps.length === subscriber.gapsSeen;
				subscriber.gapsSeen = subscriber.view.gaps.length;
			}
		await this.settle();
	}

	async run()
	{
		const { random, world } = this;

		await world.open();
		await this.write(9, 8);			// some rows before anybody looks
		const { rows } = await sql.query('SELECT coalesce(max(n), 0) AS n FROM audit');
		this.lastAudit = Number(rows[0].n);
		await loadImages(world, this.lastAudit);
		this.readers = Array.from({ length: 3 }, () => this.reader());
		for (let i = random.between(5, 8); i > 0; i--)
			await this.join(random.pick(['live', 'live', 'snapshot']));
		for (let i = 0; i < ROUNDS; i++)
		{
			if (i > 0)
				await this.changePolicies();
			await this.round();
		}
		for (const peer of this.peers)
			await peer.close();
		totals.worlds++;
	}
}

test(`worlds from seed ${firstSeed}`, { timeout: 3600 * 1000 }, async () =>
{
	const end = performance.now() + seconds * 1000;

	for (let i = 0; i < worlds && (performance.now() < end || worlds < Infinity); i++)
	{
		const play = new Play(firstSeed + i, i);

		await play.run().catch((error) =>
		{
			error.message = `ACCESS_SEED=${firstSeed + i} ACCESS_WORLDS=1: ${error.message}\n${play.world.describe()}`;
			throw error;
		});
	}
	// the generator must not wander off to where nothing is compared
	assert.ok(totals.worlds < 5 || (totals.events > totals.worlds * 20 && totals.excused < totals.subscribers / 3), JSON.stringify(totals));
});
