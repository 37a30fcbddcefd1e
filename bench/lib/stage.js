// SPDX-License-Identifier: PostgreSQL
//
// stage.js
//	What figures measure: a database, a notifier on it, subscribers, and who writes.

import { createHmac } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { Child, freePort, untilListening } from './child.js';

export const WORK = process.env.RT_WORK;
export const SECRET = 'a secret of 32 bytes or more, for benchmarks only';
export const DATABASE = 'bench';
export const READY = '"op":"subscribed"';
const READY_MS = 180000;	// until all connections of a load are

/** A connection as superuser. */
export async function connect(database = DATABASE)
{
	const client = new pg.Client({ database });

	client.on('error', () => {});
	await client.connect();
	return client;
}

/** A database with the extension, the notifier's login, a role of subscribers, and a schema. */
export async function createDatabase(schema)
{
	const admin = await connect('postgres');

	await admin.query(`CREATE DATABASE ${DATABASE}`);
	await admin.query('CREATE ROLE live LOGIN; CREATE ROLE reader; GRANT reader TO live');
	await admin.end();
	const client = await connect();
	await client.query(`CREATE EXTENSION realtime; GRANT realtime_notifier TO live; ${schema}`);
	writeFileSync(path.join(WORK, 'secret'), `${SECRET}\n`);
	return client;
}

/** A notifier with one worker, which takes as many peers as there can be; flags override. */
export async function startNotifier(flags = {}, { program = [process.env.RT_NOTIFIER] } = {})
{
	const port = await freePort();
	const all = { database: `host=${process.env.PGHOST} port=${process.env.PGPORT} user=live dbname=${DATABASE}`,
		listen: `127.0.0.1:${port}`, workers: 1, 'anon-role': 'reader', 'log-level': 'warning',
		'jwt-secret-file': path.join(WORK, 'secret'), 'max-connections': 19000,
		'max-messages-per-minute': 1000000, drain: 0, ...flags };
	const child = new Child('notifier', program[0], [...program.slice(1),
		...Object.entries(all).flatMap(([flag, value]) => [`--${flag}`, String(value)])], { isServer: true });

	child.port = port;
	await untilListening(port, child, 60);
	for (const end = Date.now() + 60000; ; await sleep(20))
	{
		const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);

		if (answer?.status === 200)
			return child;
		if (child.exit || Date.now() > end)
			throw new Error(`the notifier is not ready: ${child.errors}`);
	}
}

/** Metrics of a notifier by name, without their prefix. */
export async function readMetrics(notifier)
{
	const body = await (await fetch(`http://127.0.0.1:${notifier.port}/metrics`)).text();

	return Object.fromEntries(body.split('\n').filter((line) => line.startsWith('realtime_'))
		.map((line) => [line.slice(9, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]));
}

/** Subscribers; waits until all are ready. Options are those of load.c, lists repeat one. How: see Child. */
export async function startLoad(port, options, how = {})
{
	const child = new Child('load', path.join(WORK, 'load'), ['--target', `127.0.0.1:${port}`,
		...Object.entries(options).flatMap(([name, value]) =>
			[value].flat().flatMap((item) => [`--${name}`, String(item)]))], how);

	const timer = setTimeout(() =>
	{
		child.errors += 'not all were ready in time';
		child.process.kill('SIGKILL');
	}, READY_MS);
	try
	{
		child.ready = JSON.parse(await child.line());
	}
	finally
	{
		clearTimeout(timer);
	}
	return child;
}

/** Subscribers of a notifier by WebSocket. */
export function subscribe(notifier, connections, message, more = {}, how = {})
{
	return startLoad(notifier.port, { connections, path: '/v1/ws', subprotocol: 'realtime.v1',
		say: JSON.stringify({ op: 'subscribe', ...message }), ready: READY, ...more }, how);
}

/** Commits of a statement with one parameter, a text of so many bytes; see publish.c. */
export async function startPublisher(sql, { connections = 1, bytes = 256, times } = {})
{
	const child = new Child('publish', path.join(WORK, 'publish'),
		[...(times ? ['--times', times] : []), connections, sql, bytes].map(String),
		{ environment: { PGDATABASE: DATABASE } });

	await child.line();
	return child;
}

/** A token (HS256) with claims. */
export function makeToken(claims)
{
	const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
	const head = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;

	return `${head}.${createHmac('sha256', SECRET).update(head).digest('base64url')}`;
}

/** Everything that came must have come once, to everybody. */
export function checkReport(name, report, events, connections)
{
	if (report.events !== events || report.closed > 0
		|| (connections && (report.least !== report.most || report.least !== events / connections)))
		throw new Error(`${name}: ${events} events were due: ${JSON.stringify(report)}`);
}
