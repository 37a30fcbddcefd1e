// SPDX-License-Identifier: PostgreSQL
//
// rls.js
//	What row-level security costs the notifier. Every subscriber has a token of its own (HS256) with claims of
//	its own: sub (its number), team (one of 500), tenant (one for all).

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { cpuOf } from '../lib/child.js';
import { Bars, digits, finish, group, log, median, medianOf, readOptions, table } from '../lib/report.js';
import { READY, WORK, checkReport, createDatabase, makeToken, readMetrics, startLoad, startNotifier, startPublisher }
	from '../lib/stage.js';

const TEAMS = 500;
const options = readOptions({ runs: 3, subscribers: [500, 5000], events: 4000, rates: [300, 600, 1200], seconds: 5,
	only: ['filter', 'owner', 'all', 'tenant', 'member'] },
{ runs: 1, subscribers: [50], events: 100, rates: [20], seconds: 1 });
const runs = [];
const times = path.join(WORK, 'times');
const tokens = path.join(WORK, 'tokens');

const CLAIMS = "current_setting('request.jwt.claims', true)::json";
/* table: no policy, or one; filter: what subscribers ask for; reach: who gets an event, of n subscribers. */
const CASES = {
	filter: { table: 'open', filter: '[["owner","eq","u%n"]]', reach: () => 1,
		what: 'no policy, subscribers filter by owner' },
	owner: { table: 'owned', reach: () => 1, what: 'owner = sub (compiled)',
		policy: `owner = ${CLAIMS} ->> 'sub'` },
	all: { table: 'open', reach: (n) => n, what: 'no policy, everybody gets all' },
	tenant: { table: 'rented', reach: (n) => n, what: 'tenant = tenant (compiled), everybody gets all',
		policy: `tenant = ${CLAIMS} ->> 'tenant'` },
	member: { table: 'shared', reach: (n) => n / Math.min(n, TEAMS), isEvaluated: true,
		what: 'membership by sub-select (evaluated)',
		policy: `EXISTS (SELECT 1 FROM member m WHERE m.project = shared.project AND m.team = ${CLAIMS} ->> 'team')` }
};

function writeTokens(n)
{
	const exp = Math.floor(Date.now() / 1000) + 7200;

	writeFileSync(tokens, Array.from({ length: n }, (_, i) => makeToken({ role: 'reader', sub: `u${i}`,
		team: `t${i % TEAMS}`, tenant: 'one', exp })).join('\n'));
}

/** Processes of the notifier's connections to the server. */
async function backends()
{
	const { rows } = await database.query("SELECT pid FROM pg_stat_activity WHERE usename = 'live'");

	return rows.map((row) => row.pid);
}

async function start(name, n)
{
	const what = CASES[name];
	const notifier = await startNotifier({ 'max-connections': n + 10 });
	const writer = await startPublisher(`INSERT INTO ${what.table} (owner, project, tenant, note) `
		+ `SELECT 'u' || r % ${n}, r % ${Math.min(n, TEAMS)}, 'one', $1 FROM CAST(random() * 1000000 AS integer) r`,
	{ connections: 4, times });
	const load = await startLoad(notifier.port, { connections: n, path: '/v1/ws', subprotocol: 'realtime.v1', times,
		tokens, header: 'Authorization: Bearer %t', ready: READY, concurrency: 50,
		say: `{"op":"subscribe","feature":"bench","entity":"${what.table}"${what.filter ? `,"filter":${what.filter}` : ''}}` });

	return { what, notifier, writer, load };
}

async function stop({ load, writer, notifier })
{
	checkReport('rls', await load.ask('report'), 0);
	await load.stop();
	await writer.stop();
	await notifier.stop();
}

/** So many events in bursts of 20: CPU and delivered events per second. */
async function measureBursts(name, n)
{
	const running = await start(name, n);
	const reach = running.what.reach(n);
	const events = Math.ceil(options.events / (reach === n ? 20 : 1) / 20) * 20;
	const publish = async (count) =>
	{
		for (let sent = 0; sent < count; sent += 20)
		{
			running.load.say(`expect ${20 * reach} 60`);
			await running.writer.ask('burst 20');
			checkReport(name, JSON.parse(await running.load.line()), 20 * reach);
		}
	};

	await publish(100);
	const before = running.notifier.cpu();
	const began = performance.now();
	await publish(events);
	const seconds = (performance.now() - began) / 1000;
	runs.push({ case: name, subscribers: n, cpu_us: (running.notifier.cpu() - before) / events,
		events_per_s: events / seconds, deliveries_per_s: events * reach / seconds });
	await stop(running);
}

/** Rates one after another until delivery is later than a second for one in a hundred. */
async function measureRates(name, n)
{
	const running = await start(name, n);
	const reach = running.what.reach(n);

	for (const rate of options.rates)
	{
		const metrics = await readMetrics(running.notifier);
		const before = running.notifier.cpu();
		const pids = await backends();
		const sql = cpuOf(pids);

		running.load.say(`expect ${Math.floor(rate * options.seconds) * reach} ${options.seconds + 30}`);
		const written = await running.writer.ask(`rate ${rate} ${options.seconds}`);
		const report = JSON.parse(await running.load.line());
		const after = await readMetrics(running.notifier);

		checkReport(name, report, written.commits * reach);
		runs.push({ case: name, subscribers: n, rate, changes_per_s: written.commits / written.seconds,
			cpu_us: (running.notifier.cpu() - before) / written.commits,
			sql_us: (cpuOf(pids) - sql) / written.commits,
			p50_ms: report.latency_us.p50 / 1000, p99_ms: report.latency_us.p99 / 1000,
			batch: (after.policy_images_total - metrics.policy_images_total)
				/ (after.policy_rounds_total - metrics.policy_rounds_total) });
		if (report.latency_us.p99 > 1e6)
			break;
	}
	await stop(running);
}

const database = await createDatabase(`CREATE TABLE member (project integer, team text, PRIMARY KEY (project, team));
	INSERT INTO member SELECT i, 't' || i FROM generate_series(0, ${TEAMS - 1}) i; ANALYZE member;
	GRANT SELECT ON member TO reader;
	${[...new Set(Object.values(CASES).map((one) => one.table))].map((name) => `
	CREATE TABLE ${name} (id bigserial PRIMARY KEY, owner text, project integer, tenant text, note text);
	SELECT realtime.enable('${name}', 'bench', '${name}', bulk_threshold => NULL);
	GRANT SELECT ON ${name} TO reader;`).join('')}
	${Object.values(CASES).filter((one) => one.policy).map((one) => `
	ALTER TABLE ${one.table} ENABLE ROW LEVEL SECURITY;
	CREATE POLICY p ON ${one.table} USING (${one.policy});`).join('')}`);
for (let i = 0; i < options.runs; i++)
	for (const n of options.subscribers)
	{
		writeTokens(n);
		for (const name of options.only)
		{
			log(`${n} subscribers: repetition ${i + 1} of ${options.runs}, ${CASES[name].what}`);
			await (CASES[name].isEvaluated ? measureRates : measureBursts)(name, n);
		}
	}

const bars = new Bars();
const at = (name, subscribers, member) => medianOf(runs, { case: name, subscribers }, member);
const most = Math.max(...options.subscribers);
const least = Math.min(...options.subscribers);

for (const [name, to] of [['owner', 'filter'], ['tenant', 'all']])
{
	bars.least(`delivered/s, ${CASES[name].what} to ${CASES[to].what}, ${most} subscribers`,
		at(name, most, 'deliveries_per_s') / at(to, most, 'deliveries_per_s'), 0.8);
	bars.most(`CPU/event, the same`, at(name, most, 'cpu_us') / at(to, most, 'cpu_us'), 1.25);
}
if (most > least)
	bars.most(`CPU/event, ${CASES.owner.what}, ${most} to ${least} subscribers`,
		at('owner', most, 'cpu_us') / at('owner', least, 'cpu_us'), 1.3);
for (const n of options.subscribers)
{
	const kept = group(runs.filter((run) => run.case === 'member' && run.subscribers === n), ['rate'])
		.filter((some) => median(some.map((run) => run.p99_ms)) <= 1000);

	bars.least(`changes/s with p99 <= 1 s, ${CASES.member.what}, ${n} subscribers`,
		kept.length ? Math.max(...kept.map((some) => median(some.map((run) => run.changes_per_s)))) : 0,
		0.99 * Math.min(300, ...options.rates));
}
table(['case', 'subscribers', 'CPU us/event', 'min', 'max', 'events/s', 'deliveries/s'],
	group(runs.filter((run) => !run.rate), ['case', 'subscribers']).map((some) => [CASES[some[0].case].what,
		some[0].subscribers, median(some.map((run) => run.cpu_us)), Math.min(...some.map((run) => run.cpu_us)),
		Math.max(...some.map((run) => run.cpu_us)), median(some.map((run) => run.events_per_s)),
		median(some.map((run) => run.deliveries_per_s))]));
table(['evaluated', 'subscribers', 'groups', 'asked/s', 'changes/s', 'p50 ms', 'p99 ms', 'rows/round', 'CPU us/event',
	'SQL CPU us/event'],
group(runs.filter((run) => run.rate), ['case', 'subscribers', 'rate']).map((some) => [CASES[some[0].case].what,
	digits(some[0].subscribers), digits(Math.min(TEAMS, some[0].subscribers)), digits(some[0].rate),
	...['changes_per_s', 'p50_ms', 'p99_ms', 'batch', 'cpu_us', 'sql_us'].map((member) =>
		median(some.map((run) => run[member])))]));
finish('rls', options, bars, runs);
