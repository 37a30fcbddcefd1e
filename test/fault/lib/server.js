// SPDX-License-Identifier: PostgreSQL
//
// server.js
//	The cluster under test: killed, stopped, restarted, failed over. Needs RT_PGDATA, RT_BINDIR, PGHOST, PGPORT.

import { spawn } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { connect } from '../../e2e/lib/database.js';
import { freePort } from '../../e2e/lib/notifier.js';
import { until } from '../../e2e/lib/wait.js';

/** Runs one of PostgreSQL's programs without the clients' settings. */
function program(name, args)
{
	const env = Object.fromEntries(Object.entries(process.env).filter(([k]) => !k.startsWith('PG') || k === 'PG_CONFIG'));

	return new Promise((resolve, reject) =>
	{
		const child = spawn(path.join(process.env.RT_BINDIR, name), args, { env, stdio: ['ignore', 'ignore', 'ignore'] });
		child.on('error', reject);
		child.on('close', resolve);
	});
}

export class Server
{
	constructor()
	{
		this.data = process.env.RT_PGDATA;
		this.others = [];
	}

	get port()
	{
		return Number(process.env.PGPORT);
	}

	pid(data = this.data)
	{
		return Number(readFileSync(path.join(data, 'postmaster.pid'), 'utf8').split('\n')[0]);
	}

	ctl(action, ...more)
	{
		return program('pg_ctl', ['-D', this.data, '-l', path.join(this.data, 'server.log'), '-w', '-s', '-t', '60', ...more, action]);
	}

	async restart(mode)
	{
		await this.ctl('stop', '-m', mode);
		await this.start();
	}

	/** Refused as long as a process of before holds the shared memory. */
	start()
	{
		return until('the server starts', async () => (await this.ctl('start')) === 0, 60, 200);
	}

	/** A connection once it takes them; writes go, too: it is no standby. */
	up(database)
	{
		return until('the server takes connections', async () =>
		{
			const client = await connect(database, 'driver', { connectionTimeoutMillis: 5000 }).catch(() => undefined);
			const ready = await client?.query('SELECT NOT pg_is_in_recovery() AS up').catch(() => undefined);
			if (ready?.rows[0].up === 't')
				return client;
			client?.connection.stream.destroy();
			return undefined;
		}, 60, 100);
	}

	async backends(client, condition)
	{
		const { rows } = await client.query(`SELECT pid FROM pg_stat_activity WHERE ${condition}`);

		return rows.map(({ pid }) => Number(pid));
	}

	/** A streaming standby, caught up. */
	async standby(client)
	{
		const data = path.join(process.env.RT_WORK, `standby.${this.others.length}`);
		const port = await freePort();

		if (await program('pg_basebackup', ['-D', data, '-R', '-c', 'fast', '-X', 'stream', '-h', process.env.PGHOST,
			'-p', String(this.port), '-U', 'postgres', '--no-sync']) !== 0)
			throw new Error('pg_basebackup failed');
		appendFileSync(path.join(data, 'postgresql.auto.conf'), `port = ${port}\n`);
		const status = await program('pg_ctl', ['-D', data, '-l', path.join(data, 'server.log'), '-w', '-s', 'start']);
		if (status !== 0)
			throw new Error('the standby does not start');
		this.others.push(data);
		await until('the standby streams', async () => (await client.query(
			'SELECT count(*) AS n FROM pg_stat_replication WHERE state = \'streaming\'')).rows[0].n === '1');
		return { data, port };
	}

	/** The standby becomes the server; the old one's directory and port are returned. */
	async promote({ data, port })
	{
		const old = { data: this.data, port: this.port };

		await program('pg_ctl', ['-D', data, '-w', '-s', 'promote']);
		this.data = data;
		process.env.PGPORT = String(port);
		return old;
	}

	/** What a server that is out of use has in a table. Nobody else may come to it: it is on another port than the server. */
	async autopsy({ data, port }, database, sql)
	{
		await until('the old server starts', async () => await program('pg_ctl', ['-D', data, '-l', path.join(data, 'server.log'),
			'-w', '-s', 'start']) === 0, 60, 200);
		const client = await connect(database, 'autopsy', { port });
		const { rows } = await client.query(sql);
		await client.end();
		await program('pg_ctl', ['-D', data, '-m', 'immediate', '-w', '-s', 'stop']);
		return rows;
	}

	async close()
	{
		for (const data of this.others)
			await program('pg_ctl', ['-D', data, '-m', 'immediate', '-w', '-s', 'stop']);
	}
}
