// SPDX-License-Identifier: PostgreSQL
//
// snapshot.test.js
//	The rows first: order, limit, parts; and the join with the stream while others write, without gap or
//	double.

import test from 'node:test';
import assert from 'node:assert/strict';
import { follow } from './lib/peer.js';
import { Stage } from './lib/stage.js';
import { until } from './lib/wait.js';

const stage = await Stage.open('snapshot', { flags: { 'max-snapshot': '20MB' } });
const item = { feature: 'shop', entity: 'item' };
await stage.write(`INSERT INTO item (id, name, status, amount) SELECT i, CASE WHEN i % 10 = 3 THEN NULL
	ELSE 'name ' || i % 7 END, CASE i % 2 WHEN 0 THEN 'even' ELSE 'odd' END, i * 1.5
	FROM generate_series(1, 500) i`);

const ids = (sql) => stage.sql(sql).then((rows) => rows.map((r) => r.id));

test('all rows, in key order, as row_json shows them', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, snapshot: true });

	assert.deepEqual(view.ids, await ids('SELECT id FROM item ORDER BY id'));
	const rows = await stage.database.rows('SELECT * FROM item');
	for (const { id, data } of view.rows)
		assert.deepEqual(data, rows.get(id));
	await peer.close();
});

test('order and limit, nulls as in PostgreSQL', async () =>
{
	const peer = await stage.peer();
	const cases = [
		[{ order: ['id.desc'], limit: 7 }, 'ORDER BY id DESC LIMIT 7'],
		[{ order: ['name', 'id.desc'], limit: 40 }, 'ORDER BY name COLLATE "C", id DESC LIMIT 40'],
		[{ order: ['name.desc', 'id.asc'], limit: 60 }, 'ORDER BY name COLLATE "C" DESC, id LIMIT 60'],
		[{ order: ['status.asc', 'amount.desc'], limit: 5 }, 'ORDER BY status, amount DESC LIMIT 5'],
		[{ limit: 3 }, 'ORDER BY id LIMIT 3'],
		[{ limit: 1000000 }, 'ORDER BY id'],
		[{ limit: 5, filter: [['status', 'eq', 'odd']] }, "WHERE status = 'odd' ORDER BY id LIMIT 5"]
	];
	for (const [request, sql] of cases)
	{
		const view = await peer.subscribe({ ...item, snapshot: true, ...request });
		assert.deepEqual(view.ids, await ids(`SELECT id FROM item ${sql}`), sql);
		await peer.ask({ op: 'unsubscribe', view: view.id });
	}
	await peer.close();
});

test('the first after a crash does not wait for the stream to make an epoch', async () =>
{
	const notifier = await stage.start({ flags: { 'database-pool': 1 } });
	const peer = await stage.peer({ notifier });
	const pids = async (is) => (await stage.sql(`SELECT pid FROM pg_stat_activity
		WHERE application_name = 'realtime-notifier' AND query ${is} '%realtime.read%'`)).map(({ pid }) => Number(pid));
	await until('the streams wait', async () => (await pids('LIKE')).length === 2);
	await peer.subscribe({ feature: 'shop', entity: 'other' });		// the role has been looked up
	const readers = await pids('LIKE');
	const others = await pids('NOT LIKE');
	let view;

	readers.forEach((pid) => process.kill(pid, 'SIGSTOP'));
	try
	{
		await stage.sql('DELETE FROM realtime.epoch');		// as recovery does
		for (const pid of others)
			await stage.sql('SELECT pg_terminate_backend($1)', [pid]);
		await until('the pools are back', async () =>
		{
			const now = await pids('NOT LIKE');
			return now.length === others.length && !now.some((pid) => others.includes(pid));
		});
		view = await peer.subscribe({ ...item, snapshot: true, limit: 3 }, { isWaiting: false });
		await until('there is an epoch', async () => await stage.value('SELECT count(*) FROM realtime.epoch') === '1'
			|| peer.frames.some((f) => f.op === 'error'));
	}
	finally
	{
		readers.forEach((pid) => process.kill(pid, 'SIGCONT'));
	}
	await peer.until('the rows', () => view.isSnapshotDone);
	assert.deepEqual(view.ids, ['1', '2', '3']);
	await peer.close();
});

test('no rows: one empty part', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...item, snapshot: true, filter: [['id', 'lt', 0]] });

	assert.deepEqual(view.rows, []);
	await peer.close();
});

test('large ones come in parts of at most 256 kB, commits after them', async () =>
{
	await stage.sql('CREATE TABLE wide (id integer PRIMARY KEY, body text)');
	await stage.sql("SELECT realtime.enable('wide', 'shop', 'wide', bulk_threshold => NULL)");
	await stage.sql('GRANT SELECT ON wide TO web_anon');
	await stage.sql("INSERT INTO wide SELECT i, repeat(chr(97 + i % 26), 20000) FROM generate_series(1, 100) i");
	const peer = await stage.peer();
	const sizes = [];
	peer.checker.onFrame = (frame, view, raw) =>
	{
		if (frame.op === 'snapshot')
			sizes.push(Buffer.byteLength(raw));
	};
	const view = await peer.subscribe({ feature: 'shop', entity: 'wide', snapshot: true });
	assert.equal(view.rows.length, 100);
	assert.ok(sizes.length >= 8, `${sizes.length} parts`);
	assert.ok(Math.max(...sizes) <= 260 * 1024, `parts of ${Math.max(...sizes)} bytes`);
	// One transaction over many parts, too.
	const tx = await stage.write("UPDATE wide SET body = upper(body)");
	await peer.settle(tx);
	assert.equal(view.commits.length, 1);
	assert.ok(view.commits[0].parts > 8);
	assert.equal(view.events.length, 100);
	await peer.close();
});

test('a snapshot over max_snapshot is refused', async () =>
{
	await stage.sql("INSERT INTO wide SELECT i, repeat('x', 100000) FROM generate_series(1001, 1250) i");
	const peer = await stage.peer();
	const request = { op: 'subscribe', feature: 'shop', entity: 'wide', snapshot: true };

	// Before anything came, or after some parts; never without a word.
	const view = await peer.subscribe(request, { isWaiting: false })
		.catch((error) => assert.equal(error.code, 'too_large', error.stack));
	if (view)
		await peer.until('an error', () => peer.frames.some((f) => f.op === 'error' && f.code === 'too_large'));
	assert.equal((await peer.ask({ op: 'ping' })).op, 'pong');
	const limited = await peer.subscribe({ ...request, limit: 10 });
	assert.equal(limited.rows.length, 10);
	await stage.sql('DELETE FROM wide');
	await peer.close();
});

test('joins the stream exactly while eight writers write', async () =>
{
	await stage.sql('CREATE TABLE busy (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0, mark text)');
	await stage.sql("SELECT realtime.enable('busy', 'shop', 'busy')");
	await stage.sql('GRANT SELECT ON busy TO web_anon');
	await stage.sql("INSERT INTO busy SELECT i, 0, 'x' FROM generate_series(1, 200) i");
	const request = { feature: 'shop', entity: 'busy', snapshot: true };
	let isOver = false;
	const writers = Array.from({ length: 8 }, async (_, w) =>
	{
		const client = await stage.database.connect(`writer ${w}`);
		let n = 0;
		for (; !isOver || n < 20; n++)
		{
			const id = 1 + (n * 37 + w * 11) % 200;
			await client.query('BEGIN');
			await client.query('UPDATE busy SET n = n + 1 WHERE id = $1', [id]);
			await client.query('INSERT INTO busy VALUES ($1, 0) ON CONFLICT (id) DO UPDATE SET n = busy.n + 1',
				[1000 + w * 1000 + n % 50]);
			if (n % 5 === 4)
				await client.query('DELETE FROM busy WHERE id = $1', [1000 + w * 1000 + (n * 7) % 50]);
			await client.query(n % 9 === 8 ? 'ROLLBACK' : 'COMMIT');
		}
		await client.end();
		return n;
	});
	const joined = [];
	for (let i = 0; i < 25; i++)
	{
		const peer = await stage.peer();
		const even = i % 2 === 0 ? {} : { filter: [['n', 'gt', 3]] };
		const view = await peer.subscribe({ ...request, ...even });
		joined.push({ peer, view, replica: follow(peer, view), where: i % 2 === 0 ? '' : 'WHERE n > 3' });
	}
	isOver = true;
	const written = await Promise.all(writers);
	const tx = await stage.write("UPDATE busy SET mark = 'end' WHERE id = 1");
	assert.ok(written.every((n) => n > 5), `the writers wrote: ${written}`);
	for (const { peer, view, replica, where } of joined)
	{
		await peer.settle(tx);
		const rows = await stage.database.rows(`SELECT * FROM busy ${where}`);
		assert.deepEqual(replica.differences(rows).slice(0, 5), [], where);
		assert.deepEqual(view.gaps, []);
		await peer.close();
	}
	assert.ok(joined.some(({ view }) => view.eventCount > 0), 'commits followed snapshots');
});

test('the snapshot sees only what the role may see', async () =>
{
	const peer = await stage.peer({ claims: { role: 'web_clerk' } });
	const view = await peer.subscribe({ ...item, snapshot: true, limit: 1 });

	assert.deepEqual(view.rows[0].data, { id: 1, name: 'name 1', status: 'odd' });
	await peer.close();
});

test('a snapshot that nobody waits for any more is not read to its end', async () =>
{
	await stage.sql(`CREATE TABLE slow (id integer PRIMARY KEY, note text);
		ALTER TABLE slow ENABLE ROW LEVEL SECURITY;
		CREATE POLICY slowly ON slow USING (pg_sleep(2)::text IS NOT NULL);
		SELECT realtime.enable('slow', 'shop', 'slow');
		GRANT SELECT ON slow TO web_anon;
		INSERT INTO slow SELECT g, repeat(g::text, 5000) FROM generate_series(10, 60) g`);
	const readers = async () => Number(await stage.value(`SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid() AND query ~ 'slow'`));
	const peer = await stage.peer();
	void peer.subscribe({ feature: 'shop', entity: 'slow', snapshot: true }).catch(() => {});
	await until('it is read', async () => await readers() > 0);
	await peer.close();
	// All of it takes 102 s.
	await until('it is read no more', async () => await readers() === 0);
});
