// SPDX-License-Identifier: PostgreSQL
//
// await.test.js
//	The server waits for commits in the notifier's place: what ends that wait, and what happens where it cannot.

import test from 'node:test';
import assert from 'node:assert/strict';
import { Stage } from './lib/stage.js';
import { until, within } from './lib/wait.js';

// At rest the server waits as long as it may, ten seconds: longer than anything here takes.
const stage = await Stage.open('await', { flags: { 'poll-max': '60s' } });
const { notifier } = stage;
const item = { feature: 'shop', entity: 'item' };
const SLOTS = 16;
let id = 0;
const insert = () => stage.write(`INSERT INTO item (id, name) VALUES (${++id}, 'x')`);

test('who joins ends the wait', async () =>
{
	for (let i = 0; i < 3; i++)
	{
		await stage.database.untilArmed(1);
		const peer = await stage.peer();
		await within('a view', peer.subscribe({ ...item, snapshot: true }), 5);
		await peer.close();
	}
});

test('a commit ends the wait, with a poll for each', async (t) =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe(item);
	const before = await notifier.metric('polls_total');
	for (let i = 1; i <= 200; i++)
	{
		await insert();
		await peer.until('the event', () => view.events.length === i, { seconds: 5 });
	}
	const polls = await notifier.metric('polls_total') - before;
	t.diagnostic(`200 commits: ${polls} polls`);
	assert.ok(polls >= 100 && polls < 600, `${polls} polls`);
	await peer.close();
});

test('a server process that ends in its wait is replaced', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe(item);
	await stage.database.untilArmed(1);
	await until('it has ended', async () => await stage.value(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'realtime-notifier' AND query LIKE '%realtime.read%'`) > 0);
	await insert();
	await peer.until('the event', () => view.events.length === 1);
	assert.equal(view.gaps.length, 0);
	await peer.close();
});

test('notifications on other channels do not make it poll as often', async (t) =>
{
	await stage.database.untilArmed(1);
	const before = await notifier.metric('polls_total');
	const began = performance.now();
	for (let i = 0; i < 1000; i++)
		await stage.sql('NOTIFY jobs');
	const polls = await notifier.metric('polls_total') - before;
	t.diagnostic(`1,000 notifications in ${(performance.now() - began).toFixed()} ms: ${polls} polls`);
	assert.ok(polls < 10 + (performance.now() - began) / 20, `${polls} polls`);
});

test('where the doorbell is lost, who joins does not wait for long', async () =>
{
	for (let i = 0; i < 3; i++)
	{
		await stage.database.untilArmed(1);
		await stage.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'realtime-notifier doorbell'`);
		const peer = await stage.peer();
		await within('a view', peer.subscribe({ ...item, snapshot: true }), 5);
		await peer.close();
	}
});

test('a notifier that is stopped leaves no server process that waits', async () =>
{
	const waiting = async () => Number(await stage.value(`SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'realtime-notifier' AND query LIKE '%realtime.read%'`));
	const other = await stage.start();
	await stage.database.untilArmed(2);
	await until('both wait', async () => await waiting() === 2, 5);
	await other.stop();
	await until('one waits', async () => await waiting() === 1, 5);
});

test('where no place to wait is left, the clock polls', async () =>
{
	const clients = [];
	let last;
	do
	{
		const client = await stage.database.connect('waits');
		clients.push(client);
		last = (await client.query('SELECT waited FROM realtime.read(NULL, NULL, 0)')).rows[0].waited;
	}
	while (last !== null && clients.length <= SLOTS);
	assert.equal(last, null);
	assert.equal(clients.length, SLOTS, 'one is the notifier\'s');
	const other = await stage.start();
	const peer = await stage.peer({ notifier: other });
	const view = await peer.subscribe({ ...item, snapshot: true });
	for (let i = 1; i <= 20; i++)
	{
		await insert();
		await peer.until('the event', () => view.events.length === i, { seconds: 5 });
	}
	await peer.close();
	// The places come back with their sessions.
	await Promise.all(clients.map((client) => client.end()));
	await until('they are gone', async () => Number(await stage.value(
		"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waits'")) === 0);
	const again = await stage.database.connect('waits');
	assert.notEqual((await again.query('SELECT waited FROM realtime.read(NULL, NULL, 0)')).rows[0].waited, null);
	await again.end();
});
