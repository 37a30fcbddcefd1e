// SPDX-License-Identifier: PostgreSQL
//
// faults.js
//	The faults: each is played once in a round, while all write. What it breaks and the driver does not heal
//	(Run.settle()), it mends itself.

import { connect } from '../../e2e/lib/database.js';
import { pause, until } from '../../e2e/lib/wait.js';

const some = (run, ms = 1500) => pause(run.chance.int(ms / 3, ms));
const one = (run) => run.chance.pick(run.notifiers);

/** Stops a process for a while. */
async function stopped(pid, f)
{
	process.kill(pid, 'SIGSTOP');
	try
	{
		await f();
	}
	finally
	{
		try
		{
			process.kill(pid, 'SIGCONT');
		}
		catch
		{
			// it was killed by others meanwhile
		}
	}
}

/** The clients' sides of all notifiers. */
async function onWires(run, f)
{
	for (let i = 0; i < 3; i++)
	{
		for (const wire of run.wires)
			f(wire);
		await some(run);
		for (const wire of run.wires)
			wire.heal();
		await some(run, 500);
	}
}

/** The same for the connections to the database. */
async function onDatabase(run, f, ms)
{
	for (let i = 0; i < 3; i++)
	{
		f(run.databaseWire);
		await some(run, ms);
		run.databaseWire.heal();
		await some(run, 600);
	}
}

/** What may happen when policies cannot be asked: their views end, and their clients come back. */
const withoutPolicies = (run) => run.excuse('end internal', 'memo');

/** A setting of the server, for a while. */
async function withSetting(run, name, value, f)
{
	await run.admin(`ALTER SYSTEM SET ${name} = ${value}`);
	await run.admin('SELECT pg_reload_conf()');
	try
	{
		await f();
	}
	finally
	{
		await run.admin(`ALTER SYSTEM RESET ${name}`);
		await run.admin('SELECT pg_reload_conf()');
	}
}

/** Prunes again and again until the log is gone, also while it is read. */
async function pruneAway(run, rounds)
{
	run.excuse('history');
	await withSetting(run, 'realtime.retention', "'1s'", async () =>
	{
		for (let i = 0; i < rounds; i++)
		{
			await pause(run.chance.int(150, 400));
			await run.admin('SELECT realtime.prune()');
		}
	});
}

/** A writer's backend. */
async function aWriter(run)
{
	return run.chance.pick(await until('a writer', async () =>
	{
		const pids = await run.server.backends(run.sql, "application_name = 'writer'");
		return pids.length > 0 && pids;
	}));
}

export const FAULTS = [
	{ name: 'none', play: () => pause(1500) },
	{ name: 'notifier-kill', play: async (run) =>
	{
		for (let i = 0; i < 2; i++)
		{
			const victim = one(run);
			await victim.crash();
			await some(run);
			await victim.spawn();
			await some(run, 600);
		}
	} },
	{ name: 'notifier-stop', play: (run) => stopped(one(run).pid, () => pause(run.chance.int(1000, 6000))) },
	{ name: 'armed-notifier-stop', play: async (run) =>
	{
		run.gate.shut();
		await run.gate.idle();
		await until('a notifier is armed', async () => await run.database.armed() > 0, 30);
		await stopped(one(run).pid, async () =>
		{
			run.gate.open();
			await pause(run.chance.int(2000, 5000));
		});
	} },
	{ name: 'doorbell', play: async (run) =>
	{
		// At rest and not quite: writes around the moment when notifiers arm, some of them held between
		// their look at the doorbell and their commit. Nothing else rings for them.
		run.gate.shut();
		await run.gate.idle();
		const client = await connect(run.name, 'late', {});
		const holder = await connect(run.name, 'holder', {});
		await client.query(`LOAD '${process.env.RT_LATE_WRITER}'`);
		// A long poll that begins looks up rights, and whoever waits for the position of a look-up has the log read.
		let back;
		const leave = new Promise((resolve) => { back = resolve; });
		const watchers = run.clients.filter((c) => c.kind !== 'poll' && c.watches.some((w) => w.entity === 'plain'));
		try
		{
			await Promise.all(run.clients.filter((c) => c.kind === 'poll').map((c) => c.stayAway(leave)));
			for (let i = 0; i < 8; i++)
			{
				// An even one finds nobody armed, which takes many writes at once, and commits while a notifier
				// waits to be armed: then only the poll after that sees it.
				const isHeld = i % 2 === 0;
				let n = 0;
				while (n++ < 10 || (isHeld && n < 500 && await run.database.armed() > 0))
					await run.database.write(`INSERT INTO plain VALUES (1, 'u1', 1, 'open', '', ${n}) ON CONFLICT (id) DO UPDATE SET amount = plain.amount + 1`);
				await holder.query('BEGIN');
				await client.query('BEGIN');
				if (isHeld)
				{
					await holder.query('SELECT pg_advisory_xact_lock(4177)');
					await client.query("SET LOCAL late_writer.sql = 'SELECT pg_advisory_xact_lock(4177)'");
				}
				else if (i % 4 === 1)
					await client.query(`SET LOCAL late_writer.sql = 'SELECT pg_sleep(${run.chance.int(5, 80) / 100})'`);
				await client.query(`INSERT INTO plain VALUES (${i % 3}, 'u1', 3, 'open', '', ${i + 51}) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount`);
				const [{ tx }] = (await client.query('SELECT pg_current_xact_id() AS tx')).rows;
				const committed = client.query('COMMIT');
				if (isHeld)
				{
					await until('a notifier waits to be armed', async () => (await run.database.sql(`SELECT FROM pg_locks
						WHERE locktype = 'relation' AND relation = 9999 AND mode = 'ShareLock' AND NOT granted`)).length > 0, 10, 2);
					await pause(run.chance.int(0, 60));
				}
				await holder.query('COMMIT');
				await committed;
				await until('the event of a single write', () => watchers.every((c) => c.isSettled(run.truth.era.epoch, tx)), 40, 5);
				await pause(run.chance.int(0, 250));
			}
		}
		finally
		{
			await holder.end();
			await client.end();
			back();
			run.gate.open();
		}
	} },
	{ name: 'rolling-upgrade', play: async (run) =>
	{
		for (const notifier of run.notifiers)
		{
			notifier.kill('SIGTERM');
			const { status } = await notifier.exited;
			notifier.check();
			if (status !== 0)
				run.violate(`${notifier.name} ended with ${status}`);
			await some(run, 300);
			await notifier.spawn();
		}
	} },
	{ name: 'reload', play: async (run) =>
	{
		for (let i = 0; i < 4; i++)
		{
			run.configure(i % 2 ? '' : 'history-cache = 0\nmax-snapshot = 64MB\n');
			for (const notifier of run.notifiers)
				notifier.kill('SIGHUP');
			await run.admin('SELECT pg_reload_conf()');
			await some(run, 600);
		}
	} },
	{ name: 'notifier-sessions-end', play: async (run) =>
	{
		withoutPolicies(run);
		for (let i = 0; i < 6; i++)
		{
			await run.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'live' AND random() < 0.7");
			await some(run, 500);
		}
	} },
	{ name: 'backend-kill', play: (run) => run.crash(async () =>
	{
		const victim = await aWriter(run);
		await some(run, 500);
		process.kill(victim, 'SIGKILL');
		await pause(200);
	}) },
	{ name: 'backend-stop', play: async (run) => stopped(await aWriter(run), () => pause(run.chance.int(1000, 3000))) },
	{ name: 'stop-between-probe-and-commit', play: async (run) =>
	{
		const client = await connect(run.name, 'late', {});
		await client.query(`LOAD '${process.env.RT_LATE_WRITER}'`);
		const [{ pid }] = (await client.query('SELECT pg_backend_pid() AS pid')).rows;
		await client.query('BEGIN');
		await client.query("SET LOCAL late_writer.sql = 'SELECT pg_sleep(0.5)'");
		await client.query("INSERT INTO plain VALUES (500, 'u1', 3, 'open', '', 77) ON CONFLICT (id) DO UPDATE SET amount = plain.amount + 1");
		const commit = client.query('COMMIT');
		await until('it waits before the commit', async () => (await run.sql.query(
			`SELECT wait_event FROM pg_stat_activity WHERE pid = ${pid}`)).rows[0]?.wait_event === 'PgSleep');
		await stopped(Number(pid), () => pause(run.chance.int(1000, 3000)));
		await commit;
		await client.end();
	} },
	{ name: 'postmaster-stop', play: (run) => stopped(run.server.pid(), () => pause(run.chance.int(1000, 3000))) },
	{ name: 'postmaster-kill', play: (run) => run.crash(async () =>
	{
		process.kill(run.server.pid(), 'SIGKILL');
		await run.server.start();
	}) },
	{ name: 'restart-fast', play: async (run) =>
	{
		withoutPolicies(run);
		const { epoch } = run.truth.era;
		await run.server.restart('fast');
		run.sql = run.database.client = await run.server.up(run.name);
		const [{ p }] = (await run.sql.query('SELECT realtime.position() AS p')).rows;
		if (!p.startsWith(`${epoch}/`))
			run.violate('a fast restart changed the epoch');
	} },
	{ name: 'restart-immediate', play: (run) => run.crash(() => run.server.restart('immediate')) },
	{ name: 'crash-asynchronous', play: async (run) =>
	{
		// Nobody but notifiers has the WAL of asynchronous commits flushed.
		const [walwriter] = await run.server.backends(run.sql, "backend_type = 'walwriter'");
		process.kill(walwriter, 'SIGSTOP');
		await some(run);
		await run.crash(async () =>
		{
			process.kill(walwriter, 'SIGKILL');
			await pause(200);
		});
	} },
	{ name: 'failover', play: async (run) =>
	{
		const standby = await run.server.standby(run.sql);
		const [receiver] = await run.server.backends(run.sql, "backend_type = 'walsender'");
		process.kill(receiver, 'SIGSTOP');		// a tail that the standby will never have
		await some(run, 2000);
		let old;
		await run.crash(async () =>
		{
			process.kill(run.server.pid(), 'SIGKILL');
			process.kill(receiver, 'SIGKILL');
			run.databaseWire.cut();
			old = await run.server.promote(standby);
		}, () => run.server.autopsy(old, run.name, 'SELECT n, xid, writer, k, entity, op, old, new FROM audit'));
	} },
	{ name: 'cut', play: (run) => onWires(run, (wire) => wire.cut(wire.some(0.6))) },
	{ name: 'half-open', play: (run) => onWires(run, (wire) => wire.hold(wire.some(0.6))) },
	{ name: 'reconnects-reordered', play: (run) => onWires(run, (wire) => { wire.orphan(wire.some(0.7)); wire.delay = 150; }) },
	{ name: 'delay', play: (run) => onWires(run, (wire) => { wire.delay = 60; }) },
	{ name: 'small-pieces', play: (run) => onWires(run, (wire) => { wire.piece = 1400; wire.delay = 2; }) },
	{ name: 'stalled-readers', play: async (run) =>
	{
		run.excuse('slow');
		run.configure('max-queue = 256kB\n');
		for (const notifier of run.notifiers)
			notifier.kill('SIGHUP');
		for (const client of run.clients)
			if (client.kind !== 'poll' && run.chance.int(0, 1))
			{
				client.isStalled = true;
				client.peer?.socket?._socket?.pause();
				client.peer?.response?.pause();
			}
		for (let i = 0; i < 6; i++)
		{
			await run.database.write(`INSERT INTO big SELECT g, 'u1', 3, 'open', repeat(md5(g::text || random()), 2000), 60
				FROM generate_series(600, 680) g ON CONFLICT (id) DO UPDATE SET note = excluded.note, level = 1 - big.level % 2`);
			await some(run, 600);
		}
		for (const client of run.clients)
		{
			client.isStalled = false;
			client.heard = performance.now();
			client.peer?.socket?._socket?.resume();
			client.peer?.response?.resume();
		}
		run.configure();
		for (const notifier of run.notifiers)
			notifier.kill('SIGHUP');
	} },
	{ name: 'database-cut', play: async (run) => { withoutPolicies(run); await onDatabase(run, (wire) => wire.cut(wire.some(0.7)), 800); } },
	{ name: 'database-cut-while-reading', play: async (run) =>
	{
		// Large transactions come in pieces, and the connection ends within them. They are more than some read.
		run.excuse('slow');
		withoutPolicies(run);
		for (let i = 0; i < 5; i++)
		{
			run.databaseWire.piece = 50000;
			run.databaseWire.delay = 2;
			await run.database.write(`INSERT INTO big SELECT g, 'u1', 3, 'open', repeat(md5(g::text || random()), 2000), 60
				FROM generate_series(600, 680) g ON CONFLICT (id) DO UPDATE SET note = excluded.note, level = 1 - big.level % 2`);
			await pause(run.chance.int(5, 120));
			run.databaseWire.cut();
			run.databaseWire.heal();
			await pause(run.chance.int(50, 400));
		}
	} },
	{ name: 'database-half-open', play: async (run) => { withoutPolicies(run); await onDatabase(run, (wire) => wire.hold(wire.some(0.7)), 3000); } },
	{ name: 'database-delay', play: async (run) => { withoutPolicies(run); await onDatabase(run, (wire) => { wire.delay = 60; }, 2000); } },
	{ name: 'max-connections', play: async (run) =>
	{
		withoutPolicies(run);
		const many = [];
		for (;;)
		{
			const client = await connect(run.name, 'crowd', { user: 'live', password: 'live' }).catch(() => undefined);
			if (!client)
				break;
			many.push(client);
		}
		await run.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'notifier%' OR application_name LIKE 'realtime%'");
		await some(run, 2500);
		for (const client of many)
			await client.end().catch(() => {});
	} },
	{ name: 'disk-full', play: async (run) =>
	{
		// The log cannot grow: for one writer, files end at 20 MB. Its transactions fail whole.
		const client = await connect(run.name, 'full', {});
		const [{ pid }] = (await client.query('SELECT pg_backend_pid() AS pid')).rows;
		await client.query("SET synchronous_commit = off; SET max_parallel_workers_per_gather = 0");
		await run.limit(Number(pid), 20 * 1024 * 1024);
		const failed = [];
		for (let i = 0; i < 8; i++)
			await client.query(`BEGIN; INSERT INTO plain VALUES (700, 'u1', 3, 'open', '', ${i}) ON CONFLICT (id) DO UPDATE SET amount = plain.amount + 1;
				SELECT realtime.emit('fault', 'news', 'said', to_jsonb(repeat(md5(random()::text), 100000))); COMMIT`)
				.catch(async (error) => { failed.push(error); await client.query('ROLLBACK'); });
		if (failed.length === 0 || !failed.every((e) => /could not (extend|write)|File too large|No space/.test(e.message)))
			run.violate(`the disk was not full: ${failed.map((e) => e.message)}`);
		await client.end();
	} },
	{ name: 'retention-below-outage', play: async (run) =>
	{
		for (const wire of run.wires)
			wire.refuse();
		await pause(300);
		await pruneAway(run, 8);
	} },
	{ name: 'prune-racing-resumes', play: async (run) =>
	{
		let isOver = false;
		const cutting = (async () =>
		{
			while (!isOver)
			{
				await pause(run.chance.int(50, 250));
				for (const wire of run.wires)
					wire.cut(wire.some(0.5));
			}
		})();
		await pruneAway(run, 10).finally(() => { isOver = true; });
		await cutting;
	} },
	{ name: 'slow-policy', play: async (run) =>
	{
		// Of one group of claims: its views end with `internal`; nobody else's do.
		run.slowGroup = 1;
		await run.admin('UPDATE slowness SET seconds = 0.5');
		await some(run, 5000);
		await run.admin('UPDATE slowness SET seconds = 0');
	} },
	{ name: 'clock-steps', play: async (run) =>
	{
		for (const step of ['+3600s', '-7200s', '+0.5s', '+86400s', '+0s'])
		{
			run.setClock(step);
			await some(run, 900);
		}
	} }
];
