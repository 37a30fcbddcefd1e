// SPDX-License-Identifier: PostgreSQL
//
// driver.js
//	The fault driver: writers, clients and notifiers, a schedule of faults, and the judge. See README.md.
//
// driver.js [--seed S] [--seconds N] [--only FAULT[,FAULT]] [--except FAULT[,FAULT]] [--clients N]
//	Rounds: while all write, one fault is played; then writers rest, all is healed, every client must have a
//	last transaction, and everything that came is judged. Without --seconds each fault is played once, in order;
//	with it they follow by chance until the time is over. Ends with 1 if anything was violated.

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Database, connect, endAll } from '../e2e/lib/database.js';
import { makeToken, now } from '../e2e/lib/jwt.js';
import { Notifier, makeDirectory } from '../e2e/lib/notifier.js';
import { parsePosition } from '../e2e/lib/position.js';
import { Chance, pause, until } from '../e2e/lib/wait.js';
import { Client } from './lib/client.js';
import { FAULTS } from './lib/faults.js';
import { Judge } from './lib/judge.js';
import { Server } from './lib/server.js';
import { Truth, isBulk } from './lib/truth.js';
import { FILTERS, Gate, OWNERS, ROLES, SCHEMA, TABLES, Writer } from './lib/world.js';
import { Wire } from './lib/wire.js';

const SECRET = 'a secret of 32 bytes or more, for faults';
const WRITERS = 4;
const SETTLE = 45;				// s, below poll-max: a lost bell is not repaired by the fallback poll
const NAME = 'fault';
const { values: args } = parseArgs({ options: { seed: { type: 'string' }, seconds: { type: 'string' }, only: { type: 'string' }, except: { type: 'string' },
	clients: { type: 'string', default: '14' } } });

export class Run
{
	constructor(seed)
	{
		this.seed = seed;
		this.chance = new Chance(seed);
		this.gate = new Gate();
		this.truth = new Truth();
		this.server = new Server();
		this.violations = [];
		this.excuses = new Map();		// reason -> Set of entities, or of '*', in this round
		this.writers = [];
		this.clients = [];
		this.table = new Map();			// fault -> {runs, violations, gaps}
		this.name = NAME;
	}

	violate(text)
	{
		this.violations.push(text);
		if (this.violations.length - (this.told ?? 0) <= 8)
			console.log(`# VIOLATION in ${this.fault?.name ?? 'set-up'}: ${text}`);
	}

	async open()
	{
		const { chance } = this;

		this.database = await Database.create(NAME);
		this.sql = this.database.client;
		await this.sql.query(ROLES);
		await this.sql.query(`ALTER ROLE live PASSWORD 'live'`);
		await this.sql.query(SCHEMA);
		if (process.env.FAULT_PLANTED === 'policy-on-current-row')
			await this.sql.query('ALTER ROLE live BYPASSRLS; GRANT SELECT ON memo TO live');
		await this.truth.begin(this.sql);
		this.directory = await makeDirectory();
		const secret = path.join(this.directory, 'secret');
		writeFileSync(secret, `${SECRET}\n`);
		this.config = path.join(this.directory, 'notifier.conf');
		this.configure();
		this.clock = path.join(this.directory, 'clock');
		this.setClock('+0s');
		this.databaseWire = await Wire.open(() => ({ port: this.server.port, host: '127.0.0.1' }), chance);
		this.notifiers = [];
		this.wires = [];
		for (let i = 0; i < 2; i++)
			await this.addNotifier({ 'jwt-secret-file': secret, config: this.config, drain: 1, workers: 1 + i, heartbeat: 2,
				'poll-max': '60s', 'slow-timeout': 3, 'policy-timeout': '2s', 'max-messages-per-minute': 1000000 });
		this.writers = Array.from({ length: WRITERS }, (_, number) => new Writer({ number, seed: chance.int(0, 2 ** 31), database: NAME,
			gate: this.gate, directory: this.directory, ddl: (tables) => { this.excuse('resync', ...tables); this.excuse('access', ...tables); } }));
		this.gate.shut();
		this.running = this.writers.map((w) => w.run().catch((error) => this.violate(error.stack)));
		this.clients = Array.from({ length: Number(args.clients) }, (_, i) => this.addClient(i));
		this.running.push(...this.clients.map((c) => c.run().catch((error) => this.violate(error.stack))));
	}

	/** The notifiers' clock is so much off. */
	setClock(step)
	{
		writeFileSync(this.clock, step);
	}

	/** Files that a process writes end there. */
	limit(pid, bytes)
	{
		return new Promise((resolve, reject) => execFile('prlimit', ['--pid', String(pid), `--fsize=${bytes}:${bytes}`],
			(error) => (error ? reject(error) : resolve())));
	}

	configure(more = '')
	{
		writeFileSync(this.config, `max-queue = 64MB\n${more}`);
	}

	async addNotifier(flags)
	{
		const number = this.notifiers.length;
		const notifier = await Notifier.start({ name: `notifier ${number}`, flags,
			database: `host=127.0.0.1 port=${this.databaseWire.port} user=live password=live dbname=${NAME} application_name=notifier${number}`,
			environment: process.env.FAULT_CLOCK ? { LD_PRELOAD: process.env.FAULT_CLOCK, FAKETIME_TIMESTAMP_FILE: this.clock,
				FAKETIME_NO_CACHE: 1, FAKETIME_DONT_FAKE_MONOTONIC: 1, DONT_FAKE_MONOTONIC: 1, FAKETIME_DONT_RESET: 1 } : undefined });

		this.notifiers.push(notifier);
		this.wires.push(await Wire.open(() => ({ port: notifier.port, host: '127.0.0.1' }), this.chance));
	}

	addClient(i)
	{
		const { chance } = this;
		const kind = ['ws', 'ws', 'sse', 'poll'][i % 4];
		const role = chance.int(0, 3) ? 'fault_user' : 'fault_clerk';
		const reader = { role, sub: chance.pick(OWNERS), n: chance.int(0, 2) };
		const tables = role === 'fault_user' ? TABLES : ['plain', 'doc'];
		const watches = [];

		for (let k = chance.int(1, 3); k > 0; k--)
		{
			const entity = chance.pick(tables);
			let filter = chance.int(0, 2) ? chance.pick(FILTERS) : FILTERS[0];
			if (role === 'fault_clerk' && entity === 'plain' && /owner|amount/.test(filter.sql))
				[filter] = FILTERS;
			const columns = role === 'fault_user' && chance.int(0, 3) === 0 ? ['level', 'owner'] : undefined;
			const actions = chance.int(0, 2) === 0 ? new Set(['created', 'updated', 'deleted', 'entered', 'left', 'truncated']) : undefined;
			if (watches.some((w) => w.entity === entity))
				continue;
			const window = chance.int(0, 2) === 0 ? chance.pick([5, 100, 700, 5000]) : undefined;
			watches.push({ entity, filter, columns, actions, window, reader, trail: [] });
		}
		const client = new Client({ name: `client ${i} (${kind})`, kind, reader, watches, chance: new Chance(chance.int(0, 2 ** 31)), heartbeat: 2,
			token: makeToken({ role, sub: reader.sub, n: reader.n, exp: now() + 10 * 365 * 86400 }, SECRET),
			urls: () => this.wires.map((w) => `http://127.0.0.1:${w.port}`), violate: (text) => this.violate(text),
			viewEnded: (c, watch, frame) => this.viewEnded(c, watch, frame) });

		for (const watch of watches)
		{
			watch.client = client;
			watch.name = `${client.name} ${watch.entity} ${role} ${reader.sub} n ${reader.n} filter ${watch.filter.sql} columns ${watch.columns} window ${watch.window}`;
			watch.judge = new Judge(watch, { truth: this.truth, violate: (text) => this.violate(text),
				excuse: (...a) => this.needOf(...a) });
		}
		return client;
	}

	/** From now to the end of the round a gap of a reason has one. */
	excuse(reason, ...entities)
	{
		if (!this.excuses.has(reason))
			this.excuses.set(reason, new Set());
		for (const entity of entities.length ? entities : ['*'])
			this.excuses.get(reason).add(entity);
	}

	isExcused(reason, entity)
	{
		const set = this.excuses.get(reason);

		return Boolean(set && (set.has('*') || set.has(entity)));
	}

	/** Why a gap was not needed; undefined: it was. */
	needOf(watch, reason, covered, position)
	{
		if (this.isExcused(reason, watch.entity))
			return undefined;
		// Who has a view whose rows PostgreSQL judges is served behind that: all of his views are looked up as it is.
		if (reason === 'access' && this.isExcused(reason, 'memo') && watch.client.watches.some(({ entity }) => entity === 'memo'))
			return undefined;
		if (reason === 'epoch')
			return covered?.epoch !== parsePosition(position).epoch ? undefined : 'the epoch is the same';
		if (reason === 'bulk')
			return [...this.truth.eras.values()].some((era) => (era.byEntity.get(watch.entity) ?? [])
				.some((tx) => isBulk(tx.changes.get(watch.entity)))) ? undefined : 'no transaction is so large';
		return 'nothing happened that makes one';
	}

	viewEnded(client, watch, frame)
	{
		const isSlow = frame.code === 'internal' && watch.entity === 'memo' && watch.reader.n === this.slowGroup;
		// A snapshot that was begun with columns that are gone (or, after a crash, never were) ends its view.
		const isAltered = /snapshot could not be read/.test(frame.message) && this.isExcused('resync', watch.entity);
		if (!isSlow && !isAltered && frame.code !== 'unavailable' && !this.isExcused(`end ${frame.code}`, watch.entity))
			this.violate(`${watch.name} ended: ${JSON.stringify(frame)}`);
	}

	/** Something that makes the server lose what it had not flushed; then writers go on in a new era. */
	async crash(f, oldTail)
	{
		// Rights under row-level security are looked up anew then: what comes meanwhile makes another gap.
		this.excuse('access', 'doc', 'memo');
		// Who resumes may be told by the database before the notifier's stream has come to the new epoch.
		this.excuse('epoch');
		this.gate.shut();
		await f();
		this.sql = await this.server.up(NAME);
		this.database.client = this.sql;
		await this.gate.idle();
		if (oldTail)
			this.truth.add(await oldTail());
		await this.truth.take(this.sql);
		const before = this.truth.era.epoch;
		await this.truth.begin(this.sql);
		if (this.truth.era.epoch === before)
			this.violate('the server crashed and the epoch is the same');
		await this.endPrepared();
		this.gate.open();
	}

	/** Prepared transactions whose writer lost its connection. */
	async endPrepared()
	{
		const { rows } = await this.sql.query('SELECT gid FROM pg_prepared_xacts');

		for (const { gid } of rows)
			await this.sql.query(`${this.chance.int(0, 1) ? 'COMMIT' : 'ROLLBACK'} PREPARED '${gid}'`).catch(() => {});
	}

	async admin(text)
	{
		return this.sql.query(text);
	}

	async round(fault)
	{
		const count = this.violations.length;

		this.told = count;
		this.fault = fault;
		this.excuses.clear();
		this.slowGroup = undefined;
		this.gate.open();
		await pause(this.chance.int(300, 900));
		const start = performance.now();
		await fault.play(this).catch((error) => this.violate(`${fault.name}: ${error.stack}`));
		await pause(this.chance.int(300, 1200));
		const played = performance.now();
		await this.settle().catch((error) => this.violate(error.stack));
		const took = ((performance.now() - played) / 1000).toFixed(1);
		const changes = this.truth.changes;
		await this.judge();
		const row = this.table.get(fault.name) ?? { runs: 0, violations: 0, changes: 0 };
		row.runs++;
		row.violations += this.violations.length - count;
		row.changes += changes;
		this.table.set(fault.name, row);
		console.log(`${this.violations.length === count ? 'ok' : 'not ok'} - ${fault.name} # ${((played - start) / 1000).toFixed(1)} s, settled in ${took} s, ${changes} changes`);
	}

	/** Writers rest, all is healed, everybody has the last word. */
	async settle()
	{
		this.gate.shut();
		await this.gate.idle();
		this.databaseWire.heal();
		for (const wire of this.wires)
			wire.heal();
		for (const client of this.clients)
			client.isStalled = false;
		for (const notifier of this.notifiers)
			if (notifier.exit)
			{
				this.violate(`${notifier.name} ended with ${JSON.stringify(notifier.exit)}:\n${notifier.tail()}`);
				await notifier.spawn();
			}
		if (!await this.sql.query('SELECT 1').then(() => true, () => false))
			this.sql = this.database.client = await this.server.up(NAME);
		await this.endPrepared();
		const tx = await this.database.write('INSERT INTO plain VALUES (9999, NULL, 0, \'draft\', \'\', 0) ON CONFLICT (id) DO UPDATE SET amount = plain.amount + 1');
		await this.truth.take(this.sql);
		const { epoch } = this.truth.era;
		await until('every client has the last word', () => this.clients.every((c) => c.isSettled(epoch, tx)), SETTLE, 50)
			.catch((error) =>
			{
				for (const client of this.clients)
					for (const w of client.watches)
						if (!client.isSettled(epoch, tx))
							this.violate(`STUCK: ${error.message}: ${w.name} at ${w.token}, wants ${epoch} ${tx}, whole ${w.isWhole}; ` +
								`${JSON.stringify(client.losses)} ${client.peer?.checker.recent.slice(-3).join('\n')}`);
			});
	}

	async judge()
	{
		for (const client of this.clients)
		{
			const lists = client.watches.map((watch) =>
			{
				watch.judge.run();
				return watch;
			});
			await this.compare(client.reader, lists);
			for (const watch of client.watches.filter((w) => w.judge.isBroken))
			{
				watch.token = undefined;	// what was wrong once begins anew
				client.peer?.socket?.terminate();
				client.peer?.request?.destroy();
			}
		}
		this.truth.changes = 0;
		await this.truth.turn(this.sql);
	}

	/** Each list is what PostgreSQL shows the role. */
	async compare({ role, sub, n }, watches)
	{
		await this.sql.query(`BEGIN READ ONLY; SET LOCAL ROLE ${role}; SET LOCAL request.jwt.claims = '${JSON.stringify({ role, sub, n })}'`);
		for (const { entity, filter, judge, name, token } of watches)
		{
			if (judge.isBroken)
				continue;
			const columns = role === 'fault_clerk' && entity === 'plain' ? 'id, level, status' : '*';
			const { rows } = await this.sql.query(`SELECT to_jsonb(x) AS row FROM (SELECT ${columns} FROM ${entity} WHERE ${filter.sql}) x`);
			const mine = new Map(rows.map(({ row }) => JSON.parse(row)).map((row) => [String(row.id), judge.project(row)]));
			if (!judge.list)
				this.violate(`${name}: no list at the end, at ${token}`);
			else
				judge.compareList(mine, 'in the end, as PostgreSQL shows it');
		}
		await this.sql.query('COMMIT');
	}

	async close()
	{
		for (const x of [...this.writers, ...this.clients])
			x.isOver = true;
		this.gate.open();
		for (const client of this.clients)
			client.stop();
		await Promise.all(this.running);
		for (const notifier of this.notifiers)
			await notifier.stop().catch((error) => this.violate(error.message));
		for (const wire of [...this.wires, this.databaseWire])
			await wire.close();
		await this.database.end();
		await this.server.close();
		endAll();
	}

	report()
	{
		const sum = {};
		const losses = {};
		const failures = {};
		const add = (to, from) => { for (const [k, v] of Object.entries(from)) to[k] = (to[k] ?? 0) + v; };

		for (const client of this.clients)
		{
			add(losses, client.losses);
			for (const watch of client.watches)
				add(sum, watch.judge.counts);
		}
		for (const writer of this.writers)
			add(failures, writer.failures);
		console.log(`\n| fault | runs | changes | violations |\n|---|---|---|---|`);
		for (const [name, { runs, changes, violations }] of this.table)
			console.log(`| ${name} | ${runs} | ${changes} | ${violations} |`);
		console.log(`\n# seed ${this.seed}: judged ${JSON.stringify(sum)}\n# ${this.clients.reduce((n, c) => n + c.sessions, 0)} sessions, ` +
			`ended by ${JSON.stringify(losses)}\n# ${this.writers.reduce((n, w) => n + w.commits, 0)} commits, ` +
			`writers' errors ${JSON.stringify(failures)}\n# ${this.violations.length} violations`);
	}
}

const seed = Number(args.seed ?? Math.floor(Math.random() * 2 ** 31));
const only = args.only?.split(',');
const except = args.except?.split(',') ?? [];
const faults = FAULTS.filter((f) => (!only || only.includes(f.name)) && !except.includes(f.name));
if (faults.length === 0)
{
	console.log(`no such fault; there are ${FAULTS.map((f) => f.name).join(' ')}`);
	process.exit(2);
}
console.log(`# test/fault/run --seed ${seed}${args.seconds ? ` --seconds ${args.seconds}` : ''}${args.only ? ` --only ${args.only}` : ''}`);
const run = new Run(seed);
try
{
	await run.open();
	const end = performance.now() + Number(args.seconds ?? 0) * 1000;
	await run.round(FAULTS[0]);
	for (let i = 0; (args.seconds ? performance.now() < end : i < faults.length) && run.violations.length < 2000; i++)
		await run.round(args.seconds ? run.chance.pick(faults) : faults[i]);
	await run.close();
}
catch (error)
{
	run.violate(error.stack);
	endAll();
}
run.report();
process.exit(run.violations.length > 0 ? 1 : 0);
