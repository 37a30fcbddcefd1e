// SPDX-License-Identifier: PostgreSQL
//
// realinput.test.js
//	pgbench's TPC-B at 16 clients on four enabled tables, 200 subscribers of mixed views, a third of them
//	disconnecting at random and resuming, others coming with a snapshot mid-run: at the end each replica is
//	what the same SELECT finds. So, too, while notifiers are killed and taken over from, and while
//	PostgreSQL is restarted. At every position of the ledgers, the sums of all four tables are equal.
//
// REALINPUT_SECONDS (5) is how long pgbench runs in each test, REALINPUT_SUBSCRIBERS (200) how many there
// are, REALINPUT_SEED what chance decides (printed); REALINPUT_PGBENCH are more arguments of pgbench.
// Needs RT_PGDATA, a cluster of this process's user that may be restarted.

import test, { after } from 'node:test';
import assert from 'node:assert/strict';
import path from 'node:path';
import { Database, connect, endAll, run } from './lib/database.js';
import { Notifier } from './lib/notifier.js';
import { Part, Subscriber } from './lib/subscriber.js';
import { covers } from './lib/position.js';
import { Chance, pause, until } from './lib/wait.js';

const seconds = Number(process.env.REALINPUT_SECONDS ?? 5);
const count = Number(process.env.REALINPUT_SUBSCRIBERS ?? 200);
const seed = Number(process.env.REALINPUT_SEED ?? Date.now() % 1e9);
const more = (process.env.REALINPUT_PGBENCH ?? '').split(' ').filter(Boolean);
const data = process.env.RT_PGDATA;
const entities = ['accounts', 'branches', 'tellers', 'history'];
const KEYS = { accounts: 'aid', branches: 'bid', tellers: 'tid', history: 'id' };
after(endAll);

/** pgbench's tables, enabled as bank.accounts and so on. */
async function createBank(name)
{
	const database = await Database.create(name);
	process.env.PGDATABASE = name;
	const { status, output } = await run('pgbench', ['-i', '-q', '-s', '1']);
	assert.equal(status, 0, output);
	await database.sql('ALTER TABLE pgbench_history ADD COLUMN id bigserial PRIMARY KEY');
	for (const entity of entities)
		await database.sql(`SELECT realtime.enable('pgbench_${entity}', 'bank', '${entity}', bulk_threshold => NULL);
			GRANT SELECT ON pgbench_${entity} TO web_anon`);
	return database;
}

/** Rows of one table as replicas have them. */
const select = (entity, where, columns) =>
	`SELECT ${columns ?? '*'} FROM pgbench_${entity} ${where ? `WHERE ${where}` : ''}`;

/** A copy of all tables and its position, shared by those who ask at about the same time. */
class Copies
{
	constructor(name)
	{
		this.name = name;
		this.made = 0;
	}

	get()
	{
		if (this.latest && performance.now() - this.at < 2000)
			return this.latest;
		this.at = performance.now();
		this.latest = this.read();
		this.latest.catch(() => { this.latest = undefined; });
		return this.latest;
	}

	async read()
	{
		const client = await connect(this.name, 'copy');
		try
		{
			const database = new Database(this.name);
			await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
			const { rows } = await client.query('SELECT realtime.position() AS position');
			const bases = new Map();
			for (const entity of entities)
				bases.set(entity, await database.rows(select(entity), `q.${KEYS[entity]}`, client));
			await client.query('COMMIT');
			this.made++;
			return { position: rows[0].position, bases };
		}
		finally
		{
			await client.end().catch(() => {});
		}
	}
}

/** The mix of subscriptions: what the n-th subscriber has. */
function makeParts(n, copies, chance)
{
	const copy = () => copies.get();
	const whole = (entity) => [new Part({ feature: 'bank', entity }, { tables: [{ entity }] })];
	const some = (entity, filter, where, extra = {}) =>
		[new Part({ feature: 'bank', entity, filter, ...extra },
			{ tables: [{ entity, where, columns: extra.columns?.join(', ') }] })];
	const all = { tables: entities.map((entity) => ({ entity })), copy };
	const low = chance.int(0, 9) * 10000;

	switch (n % 20)
	{
		case 0: return { name: 'everything', parts: [new Part({}, all)] };
		case 1: return { name: 'the feature', parts: [new Part({ feature: 'bank' }, all)] };
		case 2: return { name: 'ledger', isLedger: true, parts: [
			new Part({ feature: 'bank', entity: 'accounts', filter: [['abalance', 'neq', 0]] },
				{ tables: [{ entity: 'accounts', where: 'abalance <> 0' }], sum: 'abalance' }),
			new Part({ feature: 'bank', entity: 'branches' }, { tables: [{ entity: 'branches' }], sum: 'bbalance' }),
			new Part({ feature: 'bank', entity: 'tellers' }, { tables: [{ entity: 'tellers' }], sum: 'tbalance' }),
			new Part({ feature: 'bank', entity: 'history' }, { tables: [{ entity: 'history' }], sum: 'delta' })] };
		case 3: case 4: return { name: 'tellers', parts: whole('tellers') };
		case 5: return { name: 'branches', parts: whole('branches') };
		case 6: return { name: 'history', parts: whole('history') };
		case 7: return n < 60 ? { name: 'accounts', parts: whole('accounts') } :
			{ name: 'tellers in any feature', parts: [new Part({ feature: '*', entity: 'tellers' },
				{ tables: [{ entity: 'tellers' }], copy })] };
		case 8: return { name: 'accounts of a range', parts: some('accounts',
			[['aid', 'gt', low], ['aid', 'lte', low + 10000]], `aid > ${low} AND aid <= ${low + 10000}`) };
		case 9: return { name: 'credit', parts: some('accounts', [['abalance', 'gt', 1000]], 'abalance > 1000') };
		case 10: return { name: 'debt', parts: some('accounts', [['abalance', 'lt', 0]], 'abalance < 0',
			{ columns: ['aid', 'abalance'] }) };
		case 11: return { name: 'tellers in credit', parts: some('tellers', [['tbalance', 'gte', 0]], 'tbalance >= 0') };
		case 12: return { name: 'one teller', parts: some('tellers', [['tid', 'eq', 1 + n % 10]], `tid = ${1 + n % 10}`) };
		case 13: return { name: 'three tellers\' history', parts: some('history', [['tid', 'in', [1, 2, 3]]],
			'tid IN (1, 2, 3)') };
		case 14: return { name: 'large history', parts: some('history', [['delta', 'gt', 4000]], 'delta > 4000') };
		case 15: return { name: 'not small history', parts: some('history',
			[['delta', 'not.lt', 0], ['filler', 'is', null]], 'NOT delta < 0 AND filler IS NULL') };
		case 16: return { name: 'one account each', parts: some('accounts', [['aid', 'eq', 1 + n * 37]],
			`aid = ${1 + n * 37}`) };
		case 17: return { name: 'branch in debt', parts: some('branches', [['bbalance', 'lt', 0]], 'bbalance < 0') };
		case 18: return { name: 'tellers\' balances', parts: [new Part({ feature: 'bank', entity: 'tellers',
			columns: ['tid', 'tbalance'] }, { tables: [{ entity: 'tellers', columns: 'tid, tbalance' }] })] };
		default: return { name: 'two views', parts: [...whole('branches'),
			...some('tellers', [['tbalance', 'lt', 0]], 'tbalance < 0')] };
	}
}

/** The four sums of a ledger at a position must be one. */
function checkLedger(subscriber)
{
	const sums = subscriber.parts.map((part) => [...part.replicas.values()][0].sum);

	subscriber.checks = (subscriber.checks ?? 0) + 1;
	if (new Set(sums).size !== 1)
		throw new Error(`${subscriber.name}: at a position the sums are ${sums}`);
}

class Bank
{
	static async open(t, name, notifiers, flags = {})
	{
		const bank = new Bank();

		bank.t = t;
		bank.chance = new Chance(seed);
		bank.database = await createBank(name);
		bank.notifiers = [];
		bank.flags = { 'anon-role': 'web_anon', 'drain': 0, 'max-queue': '64MB', 'log-format': 'json', ...flags };
		for (let i = 0; i < notifiers; i++)
			bank.notifiers.push(await Notifier.start({ name: `notifier ${i}`, database: bank.database.conninfo(),
				flags: bank.flags }));
		bank.copies = new Copies(name);
		bank.subscribers = [];
		bank.running = [];
		t.diagnostic(`REALINPUT_SEED=${seed}`);
		return bank;
	}

	/** Starts n subscribers; those of index 2 mod 3 will come and go. */
	subscribe(n, urls = () => this.notifiers.map((notifier) => notifier.wsUrl))
	{
		for (let i = 0; i < n; i++)
		{
			const index = this.subscribers.length;
			const { name, parts, isLedger } = makeParts(index, this.copies, this.chance);
			const subscriber = new Subscriber({ name: `${index} ${name}`, parts, isEager: this.chance.int(0, 1) === 1,
				urls, chance: new Chance(seed + index + 1), onPosition: isLedger ? checkLedger : undefined });
			subscriber.kind = name;
			if (name === 'the feature')
				recordOrder(subscriber);
			this.subscribers.push(subscriber);
			this.running.push(subscriber.run());
		}
	}

	/** Until all subscribers are there. */
	async ready(secondsToWait = 60)
	{
		await until('all subscribers are there', () =>
		{
			this.fail();
			return this.subscribers.every((s) => s.isReady);
		}, secondsToWait, 50).catch((error) =>
		{
			const missing = this.subscribers.filter((s) => !s.isReady);
			throw new Error(`${error.message}: ${missing.length} are not, such as ${missing[0]?.name} after ` +
				`${missing[0]?.sessions} sessions: ${missing[0]?.peer?.checker.recent.join('\n')}\n` +
				this.notifiers[0].tail(10));
		});
	}

	fail()
	{
		const failed = this.subscribers.find((s) => s.failure);
		if (failed)
			throw new Error(`${failed.name}: ${failed.failure.stack}`);
		for (const notifier of this.notifiers)
			notifier.check();
	}

	/** pgbench for some seconds; when it is interrupted, again with the time that is left. */
	async load(mayFail = false)
	{
		const end = performance.now() + seconds * 1000;
		let transactions = 0;
		for (let n = 0; performance.now() < end; n++)
		{
			const left = Math.max(1, Math.round((end - performance.now()) / 1000));
			const { status, output } = await run('pgbench', ['-c', '16', '-j', '2', '-T', String(left),
				...(n === 0 ? [] : ['-n']), ...more]);
			transactions += Number(/actually processed: (\d+)/.exec(output)?.[1] ?? 0);
			if (status !== 0)
			{
				assert.ok(mayFail, output);
				await pause(100);
			}
		}
		return transactions;
	}

	/** A third of the subscribers lose their connection now and then, until over() says so. */
	async disturb(over)
	{
		while (!over())
		{
			await pause(this.chance.int(20, 80));
			const coming = this.subscribers.filter((_, i) => i % 3 === 2);
			for (let i = 0; i < 3; i++)
				this.chance.pick(coming).drop();
		}
	}

	/** All have everything: then each replica is what the same SELECT finds. */
	async finish(transactions, expectedGaps = [])
	{
		const { t } = this;
		// The last word to all, in every table.
		const tx = await this.database.write(`UPDATE pgbench_tellers SET filler = 'end' WHERE tid = 1`);
		await this.ready(120);
		await Promise.all(this.subscribers.map((s) => s.peer.settle(tx, 120))).catch((error) =>
		{
			this.fail();
			throw error;
		});
		this.fail();
		assert.ok(this.subscribers.every((s) => covers(s.peer.position, tx)), 'positions cover the last word');
		const cache = new Map();
		const rowsOf = (entity, where, columns) =>
		{
			const sql = select(entity, where, columns);
			if (!cache.has(sql))
				cache.set(sql, this.database.rows(sql, `q.${KEYS[entity]}`));
			return cache.get(sql);
		};
		const sum = (f) => this.subscribers.reduce((n, s) => n + f(s), 0);
		const gaps = {};
		for (const s of this.subscribers)
			for (const [reason, n] of Object.entries(s.gaps))
				gaps[reason] = (gaps[reason] ?? 0) + n;
		t.diagnostic(`pgbench: ${transactions} transactions; ${this.subscribers.length} subscribers: ` +
			`${sum((s) => s.events)} events, ${sum((s) => s.dropped)} came again and were dropped, ` +
			`${sum((s) => s.sessions)} sessions, ${sum((s) => s.resumptions)} resumptions, ` +
			`${sum((s) => s.snapshots)} snapshots, ${sum((s) => s.merges)} merged frames, ` +
			`${sum((s) => s.checks ?? 0)} ledgers added up, gaps ${JSON.stringify(gaps)}, ` +
			`${this.copies.made} copies by SQL`);
		for (const subscriber of this.subscribers)
			assert.deepEqual((await subscriber.differences(rowsOf)).slice(0, 3), []);
		assert.deepEqual(Object.keys(gaps).filter((reason) => !expectedGaps.includes(reason)), []);
		await this.checkOrder();
		assert.ok(transactions > 50, `only ${transactions} transactions`);
		assert.ok(sum((s) => s.checks ?? 0) > 20, 'ledgers were added up');
		return gaps;
	}

	/** Within each batch, transactions came in the log's order. */
	async checkOrder()
	{
		const rows = await this.database.sql('SELECT xid, min(lsn) AS lsn FROM realtime.commit_log GROUP BY xid ORDER BY 2, 1');
		const rank = new Map(rows.map(({ xid }, i) => [xid, i]));
		let pairs = 0;
		for (const subscriber of this.subscribers)
			for (const batch of subscriber.batches ?? [])
				for (let i = 1; i < batch.length; i++)
				{
					const [a, b] = [rank.get(batch[i - 1]), rank.get(batch[i])];
					if (a === undefined || b === undefined)
						continue;		// of an epoch before
					pairs++;
					assert.ok(a < b, `${subscriber.name}: ${batch[i - 1]} before ${batch[i]}`);
				}
		this.t.diagnostic(`${pairs} pairs of transactions in the log's order`);
	}

	async close()
	{
		for (const subscriber of this.subscribers)
			subscriber.stop();
		await Promise.all(this.running);
		for (const notifier of this.notifiers)
			if (!notifier.exit)
				await notifier.stop();
		await this.database.end();
	}
}

/** Keeps which transactions came in which batch. */
function recordOrder(subscriber)
{
	subscriber.batches = [];
	const { commit, position, lost } = subscriber;
	let batch = [];
	subscriber.commit = function (part, frame)
	{
		if (batch.at(-1) !== frame.tx && !frame.merged)
			batch.push(frame.tx);
		return commit.call(this, part, frame);
	};
	subscriber.position = function (frame)
	{
		if (batch.length > 1)
			subscriber.batches.push(batch);
		batch = [];
		return position.call(this, frame);
	};
	subscriber.lost = function ()
	{
		batch = [];
		return lost.call(this);
	};
}

/** One test: pgbench, subscribers, and what happens meanwhile. */
async function play(t, name, { notifiers = 1, flags, meanwhile = async () => {}, mayFail, expectedGaps })
{
	const bank = await Bank.open(t, name, notifiers, flags);
	try
	{
		let isOver = false;
		bank.subscribe(Math.ceil(count * 0.8));
		await bank.ready();
		const start = performance.now();
		const loading = bank.load(mayFail);
		const later = (async () =>
		{
			for (let i = 0; bank.subscribers.length < count; i++)
			{
				await pause(seconds * 700 / Math.max(1, count * 0.2));
				bank.subscribe(1);
			}
		})();
		const going = Promise.all([bank.disturb(() => isOver), later,
			meanwhile(bank, (share) => pause(Math.max(0, start + share * seconds * 1000 - performance.now())))]);
		going.catch(() => {});
		const transactions = await loading;
		isOver = true;
		await going;
		const written = performance.now();
		const gaps = await bank.finish(transactions, expectedGaps);
		t.diagnostic(`all had everything ${((performance.now() - written) / 1000).toFixed(1)} s after the last write`);
		return gaps;
	}
	finally
	{
		await bank.close();
	}
}

const options = { timeout: (seconds + 400) * 1000 };

test('TPC-B: every replica is what the SELECT finds', options, (t) => play(t, 'real_steady', {}));

test('a notifier is killed and restarted, a second one takes over half of the clients', options,
	(t) => play(t, 'real_killed', { notifiers: 2, meanwhile: async (bank, at) =>
	{
		const [first, second] = bank.notifiers;
		for (const [share, victim] of [[0.2, first], [0.5, second], [0.75, first]])
		{
			await at(share);
			await victim.crash();
			await pause(bank.chance.int(100, 1200));
			await victim.spawn();
		}
	} }));

/** Stops and starts the cluster. */
async function restart(mode)
{
	const { status, output } = await run('pg_ctl', ['-D', data, '-l', path.join(data, 'server.log'), '-w', '-s',
		'-m', mode, 'restart']);
	assert.equal(status, 0, output);
}

test('PostgreSQL is restarted, fast: a pause, no loss, no gap', options,
	(t) => play(t, 'real_fast', { mayFail: true, meanwhile: async (bank, at) =>
	{
		await at(0.4);
		await restart('fast');
		await bank.database.reconnect();
	} }));

test('PostgreSQL is restarted, immediate: gap epoch to all, then right again', options, async (t) =>
{
	const gaps = await play(t, 'real_immediate', { mayFail: true, expectedGaps: ['epoch'],
		meanwhile: async (bank, at) =>
		{
			await at(0.4);
			await restart('immediate');
			await bank.database.reconnect();
		} });
	assert.ok(gaps.epoch > 0);
});
