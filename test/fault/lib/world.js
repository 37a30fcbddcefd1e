// SPDX-License-Identifier: PostgreSQL
//
// world.js
//	What the fault driver writes to: tables with their policies, and writers. Knows nothing of notifiers.
//
// Model
// 1. Four tables with the same columns: plain (no row-level security), doc (policies that compare columns with
//	  claims), memo (a policy that PostgreSQL must evaluate), big (long values, transactions in many parts).
// 2. Plain SQL triggers write each change with both images to the table audit, in the same transaction: the truth
//	  that frames are compared with. It owes nothing to the extension.
// 3. Writers obey a gate: while it is closed they neither write nor connect. A server that crashed is
//	  looked at before they go on, so that each audit row is known to be of before or after.

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { connect } from '../../e2e/lib/database.js';
import { Chance, pause } from '../../e2e/lib/wait.js';

export const FEATURE = 'fault';
export const TABLES = ['plain', 'doc', 'memo', 'big'];
export const BULK = 100;		// rows of a transaction and table above which it is summed up
export const OWNERS = ['u1', 'u2', 'u3', 'u4'];
const CLAIMS = "current_setting('request.jwt.claims', true)::json";

export const ROLES = `
	DO $$ BEGIN
		IF to_regrole('fault_user') IS NULL THEN
			CREATE ROLE fault_user; CREATE ROLE fault_clerk;
			GRANT fault_user, fault_clerk TO live;
		END IF;
	END $$`;

export const SCHEMA = `
	CREATE TABLE audit (n bigserial PRIMARY KEY, xid xid8 NOT NULL DEFAULT pg_current_xact_id(), writer int, k bigint,
		entity text NOT NULL, op text NOT NULL, old jsonb, new jsonb);
	CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.audit (writer, k, entity, op, old, new) VALUES (
			nullif(current_setting('fault.writer', true), '')::int, nullif(current_setting('fault.k', true), '')::bigint,
			TG_TABLE_NAME, TG_OP, CASE WHEN TG_OP IN ('UPDATE', 'DELETE') THEN to_jsonb(OLD) END,
			CASE WHEN TG_OP IN ('UPDATE', 'INSERT') THEN to_jsonb(NEW) END);
		RETURN NULL;
	END $$;
	CREATE TABLE slowness (seconds float NOT NULL);
	INSERT INTO slowness VALUES (0);
	CREATE FUNCTION memo_visible(level int, note text) RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER
		SET search_path = public AS $$
	DECLARE s float := (SELECT seconds FROM slowness);
	BEGIN
		IF s > 0 AND ${CLAIMS} ->> 'n' = '1' THEN PERFORM pg_sleep(s); END IF;
		RETURN (level + length(note) + coalesce((${CLAIMS} ->> 'n')::int, 0)) % 3 <> 0;
	END $$;
	${TABLES.map((t) => `
	CREATE TABLE ${t} (id int PRIMARY KEY, owner text, level int NOT NULL, status text NOT NULL, note text NOT NULL,
		amount numeric(10,2) NOT NULL);
	CREATE TRIGGER audit_row AFTER INSERT OR UPDATE OR DELETE ON ${t} FOR EACH ROW EXECUTE FUNCTION audit();
	CREATE TRIGGER audit_truncate AFTER TRUNCATE ON ${t} FOR EACH STATEMENT EXECUTE FUNCTION audit();
	SELECT realtime.enable('${t}', '${FEATURE}', '${t}', bulk_threshold => ${BULK});
	GRANT SELECT ON ${t} TO fault_user;`).join('')}
	ALTER TABLE big ALTER note SET STORAGE EXTERNAL;
	GRANT SELECT (id, level, status) ON plain TO fault_clerk;
	GRANT SELECT ON doc TO fault_clerk;
	ALTER TABLE doc ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON doc TO fault_user USING (owner = (${CLAIMS} ->> 'sub') OR level = 0);
	CREATE POLICY done ON doc TO fault_clerk USING (status = 'done');
	ALTER TABLE memo ENABLE ROW LEVEL SECURITY;
	CREATE POLICY evaluated ON memo USING (memo_visible(level, note));
	SELECT realtime.register_topic('${FEATURE}', 'news');`;

/** Whether a role with claims may see a row: the policies above once more. */
export function maySee(entity, { role, sub, n }, row)
{
	switch (entity)
	{
		case 'doc': return role === 'fault_clerk' ? row.status === 'done' : row.owner === sub || row.level === 0;
		case 'memo': return (row.level + row.note.length + n) % 3 !== 0;
		default: return true;
	}
}

/** Columns that a role may read; undefined: all. */
export const readable = (entity, role) => (entity === 'plain' && role === 'fault_clerk' ? ['id', 'level', 'status'] : undefined);

/** Filters: as requested, as SQL, and as a function on rows. */
export const FILTERS = [
	{ terms: [], sql: 'true', has: () => true },
	{ terms: [['level', 'gte', 2]], sql: 'level >= 2', has: (r) => r.level >= 2 },
	{ terms: [['status', 'eq', 'open']], sql: "status = 'open'", has: (r) => r.status === 'open' },
	{ terms: [['status', 'neq', 'done'], ['level', 'lt', 4]], sql: "status <> 'done' AND level < 4",
		has: (r) => r.status !== 'done' && r.level < 4 },
	{ terms: [['owner', 'in', ['u1', 'u2']]], sql: "owner IN ('u1', 'u2')", has: (r) => ['u1', 'u2'].includes(r.owner) },
	{ terms: [['amount', 'gt', 50]], sql: 'amount > 50', has: (r) => r.amount > 50 },
	{ terms: [['owner', 'is', null]], sql: 'owner IS NULL', has: (r) => r.owner === null }
];

export class Gate
{
	constructor()
	{
		this.busy = 0;
		this.open();
	}

	open()
	{
		this.isOpen = true;
		this.opened = Promise.resolve();
	}

	/** Nobody begins anything; who has begun goes on. */
	shut()
	{
		if (!this.isOpen)
			return;
		this.isOpen = false;
		const { promise, resolve } = defer();
		this.opened = promise;
		this.let = resolve;
		const { open } = this;
		this.open = () =>
		{
			this.open = open;
			open.call(this);
			resolve();
		};
	}

	/** Until nobody is at it. */
	async idle(seconds = 60)
	{
		const end = performance.now() + seconds * 1000;

		while (this.busy > 0)
		{
			if (performance.now() > end)
				throw new Error(`not within ${seconds} s: writers come to rest`);
			await pause(10);
		}
	}
}

function defer()
{
	let resolve;
	const promise = new Promise((r) => { resolve = r; });

	return { promise, resolve };
}

/** What writers live with: conflicts, time limits, a server that ends, a full disk or table of connections. */
const LIVABLE = new Set(['40P01', '40001', '23505', '55P03', '57014', '57P01', '57P02', '57P03', '53100', '53200', '53300', '54000',
	'08006', '08003', '08001', '42704', '42701', '42703', '25P02', '58030', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOENT', '55000']);
const isLivable = (error) => LIVABLE.has(error.code) ||
	/Connection terminated|not queryable|Connection ended|could not extend file|File too large|connection was closed/.test(error.message);

export class Writer
{
	/** @param {object} options number, seed, database, gate, directory, ddl: (entity) => called for each DDL */
	constructor(options)
	{
		Object.assign(this, options);
		this.chance = new Chance(this.seed);
		this.k = 0;
		this.commits = 0;
		this.failures = {};
		this.isOver = false;
		this.settings = {};			// for each of its transactions
		this.file = path.join(this.directory, `copy.${this.number}`);
	}

	async run()
	{
		while (!this.isOver)
		{
			await this.gate.opened;
			this.gate.busy++;
			try
			{
				await this.turn();
			}
			catch (error)
			{
				if (!isLivable(error))
					throw new Error(`writer ${this.number}: ${error.code} ${error.message} ${error.where ?? ''}`, { cause: error });
				this.failures[error.code ?? 'lost'] = (this.failures[error.code ?? 'lost'] ?? 0) + 1;
				await this.recover(error);
			}
			finally
			{
				this.gate.busy--;
			}
			await pause(this.chance.float() < 0.1 ? this.chance.int(50, 300) : this.chance.int(0, this.pace ?? 15));
		}
		await this.client?.end().catch(() => {});
	}

	async recover()
	{
		const alive = this.client && await this.client.query('ROLLBACK').then(() => true, () => false);

		if (!alive)
		{
			this.client?.connection.stream.destroy();
			this.client = undefined;
		}
	}

	async turn()
	{
		const { chance } = this;

		if (!this.client)
		{
			const client = await connect(this.database, 'writer', { connectionTimeoutMillis: 20000 });
			await client.query(`SET lock_timeout = '2s'; SET statement_timeout = '20s'; SET fault.writer = ${this.number};
				SET synchronous_commit = ${this.number % 2 ? 'off' : 'on'}`);
			this.pid = Number((await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid);
			this.client = client;
		}
		if (!this.gate.isOpen)
			return undefined;			// shut while it connected, perhaps to another server than before
		const dice = chance.int(1, 1000);
		if (dice <= 4)
			return this.alter();
		if (dice <= 8)
			return this.transaction(async () => { await this.query(`TRUNCATE ${this.table()}`); await this.statement(); });
		if (dice <= 16)
			return this.bulk();
		if (dice <= 50)
			return this.prepared();
		if (dice <= 65)
			return this.long();
		if (dice <= 95)
			return this.copy();
		if (dice <= 125)
			return this.many();
		return this.transaction(async () =>
		{
			for (let i = chance.pick([1, 1, 1, 2, 3, 5]); i > 0; i--)
				await (chance.int(0, 4) > 0 ? this.statement() : this.savepoint());
		});
	}

	query(text)
	{
		return this.client.query(text);
	}

	async transaction(f, end = 'COMMIT')
	{
		await this.query(`BEGIN; SET LOCAL fault.k = ${++this.k}${this.before ?? ''}`);
		await f();
		await this.query(this.chance.int(1, 20) === 1 && end === 'COMMIT' ? 'ROLLBACK' : end);
		this.commits++;
	}

	table()
	{
		return this.chance.pick(['plain', 'plain', 'doc', 'doc', 'memo', 'memo', 'big']);
	}

	values(table, id)
	{
		const { chance } = this;
		const note = table === 'big' && chance.int(0, 3) === 0 ? `(SELECT string_agg(md5(g::text || random()), '') FROM generate_series(1, ${chance.int(100, 1500)}) g)`
			: `'${'abcdefghij'.slice(0, chance.int(0, 10))}'`;

		return `(${id}, ${chance.int(0, 6) === 0 ? 'NULL' : `'${chance.pick(OWNERS)}'`}, ${chance.int(0, 5)}, '${chance.pick(['draft', 'open', 'done'])}', ` +
			`${note}, ${chance.int(0, 10000) / 100})`;
	}

	async insert(table, ids)
	{
		await this.query(`INSERT INTO ${table} (id, owner, level, status, note, amount)
			VALUES ${ids.map((id) => this.values(table, id)).join(', ')}
			ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, level = excluded.level, status = excluded.status,
				note = excluded.note, amount = excluded.amount`);
	}

	async statement()
	{
		const { chance } = this;
		const table = this.table();
		const id = chance.int(1, 120);

		switch (chance.int(0, 11))
		{
			case 0: case 1: case 2: return this.insert(table, [id]);
			case 3: return this.insert(table, Array.from({ length: chance.int(2, 8) }, (_, i) => id + i));
			case 4: case 5: return this.query(`UPDATE ${table} SET level = ${chance.int(0, 5)} WHERE id = ${id}`);
			case 6: return this.query(`UPDATE ${table} SET amount = amount / 2 + 1, owner = '${chance.pick(OWNERS)}' WHERE id BETWEEN ${id} AND ${id + 4}`);
			case 7: return this.query(`UPDATE ${table} SET status = '${chance.pick(['draft', 'open', 'done'])}' WHERE id = ${id}`);
			case 8: return this.query(`UPDATE ${table} SET note = left(note || 'x', 12), level = (level + 1) % 6 WHERE id = ${id}`);
			case 9: return this.query(`DELETE FROM ${table} WHERE id BETWEEN ${id} AND ${id + chance.int(0, 2)}`);
			case 10: return this.query(`UPDATE ${table} SET id = ${chance.int(130, 160)} WHERE id = ${id}`);
			default: return this.query(`UPDATE ${table} SET level = level WHERE id = ${id}`);	// changes nothing
		}
	}

	async savepoint()
	{
		await this.query('SAVEPOINT s');
		await this.statement();
		await this.query(this.chance.int(0, 1) ? 'ROLLBACK TO s' : 'RELEASE s');
	}

	/** More rows than the table tells one by one. */
	bulk()
	{
		const table = this.chance.pick(['plain', 'doc']);

		return this.transaction(async () =>
		{
			await this.query(`DELETE FROM ${table} WHERE id > 1000`);
			await this.query(`INSERT INTO ${table} SELECT g, 'u1', g % 5, 'open', 'bulk', 1 FROM generate_series(1001, ${1001 + BULK * 2}) g`);
		});
	}

	/** Many rows with long values: a transaction of several parts. */
	many()
	{
		return this.transaction(async () =>
		{
			const from = this.chance.int(200, 260);
			await this.query(`DELETE FROM big WHERE id BETWEEN ${from} AND ${from + 15}`);
			await this.query(`INSERT INTO big SELECT g, 'u' || 1 + g % 4, g % 6, 'open', repeat(md5(g::text || random()), 1800), g
				FROM generate_series(${from}, ${from + 15}) g`);
		});
	}

	async prepared()
	{
		const name = `w${this.number}_${this.k + 1}`;

		await this.transaction(() => this.statement(), `PREPARE TRANSACTION '${name}'`);
		await pause(this.chance.int(0, 200));
		await this.query(this.chance.int(0, 4) ? `COMMIT PREPARED '${name}'` : `ROLLBACK PREPARED '${name}'`);
	}

	long()
	{
		return this.transaction(async () =>
		{
			await this.statement();
			await pause(this.chance.int(200, 1500));
			await this.statement();
		});
	}

	copy()
	{
		const table = this.table();
		const from = this.chance.int(300, 400);
		const ids = Array.from({ length: this.chance.int(1, 40) }, (_, i) => from + i);

		writeFileSync(this.file, ids.map((id) => `${id}\t${id % 3 ? 'u1' : '\\N'}\t${id % 5}\topen\tcopied\t${id / 4}\n`).join(''));
		return this.transaction(async () =>
		{
			await this.query(`DELETE FROM ${table} WHERE id BETWEEN ${from} AND ${ids.at(-1)}`);
			await this.query(`COPY ${table} (id, owner, level, status, note, amount) FROM '${this.file}'`);
		});
	}

	/** DDL in between. */
	async alter()
	{
		const table = this.chance.pick(['plain', 'memo', 'doc']);
		const [kind, sql] = this.chance.pick([
			['resync', `ALTER TABLE ${table} ADD COLUMN IF NOT EXISTS more int DEFAULT 7`],
			['resync', `ALTER TABLE ${table} DROP COLUMN IF EXISTS more`],
			['access', 'GRANT SELECT ON plain, doc TO fault_user'],
			['none', `CREATE INDEX IF NOT EXISTS ${table}_level ON ${table} (level)`],
			['none', `ANALYZE ${table}`]
		]);

		this.ddl(kind === 'access' ? ['plain', 'doc'] : [table]);
		await this.transaction(async () => { await this.query(sql); await this.statement(); });
	}
}
