// SPDX-License-Identifier: PostgreSQL
//
// edges.test.js
//	What a view's list goes through: entered and left, status_changed and defined actions, deletes, key
//	changes, truncates, bulk summaries, custom events, changes that triggers do not see.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { Stage } from './lib/stage.js';
import { until } from './lib/wait.js';

const stage = await Stage.open('edges');
const item = { feature: 'shop', entity: 'item' };
const pending = { ...item, filter: [['status', 'eq', 'pending']] };

/** Subscribes, writes each statement as a transaction, and returns the views. */
async function watch(requests, ...statements)
{
	const peer = await stage.peer();
	const views = [];
	for (const request of requests)
		views.push(await peer.subscribe(request));
	let tx;
	for (const statement of statements)
		tx = await stage.write(statement);
	await peer.settle(tx);
	await peer.close();
	return views;
}

test('a row enters, changes within, leaves, comes back, goes', async () =>
{
	const [view, all] = await watch([pending, item],
		"INSERT INTO item (id, name, status) VALUES (1, 'a', 'draft')",
		"UPDATE item SET status = 'pending' WHERE id = 1",
		"UPDATE item SET name = 'b' WHERE id = 1",
		"UPDATE item SET status = 'approved' WHERE id = 1",
		"UPDATE item SET name = 'c' WHERE id = 1",
		"UPDATE item SET status = 'pending' WHERE id = 1",
		'DELETE FROM item WHERE id = 1');

	assert.deepEqual(view.story, ['entered 1', 'status_changed 1', 'updated 1', 'left 1', 'entered 1',
		'status_changed 1', 'deleted 1']);
	const [entered, , updated, left] = view.events;
	assert.equal(entered.event, 'shop.item.entered');
	assert.equal(entered.data.name, 'a');
	assert.deepEqual(Object.keys(entered.data),
		['id', 'name', 'status', 'amount', 'owner', 'note', 'secret'], 'whole data');
	assert.deepEqual(updated.old, { name: 'a' });
	assert.deepEqual(Object.keys(left).sort(), ['action', 'entity', 'event', 'feature', 'id', 'meta']);
	assert.deepEqual(all.story, ['created 1', 'updated 1', 'status_changed 1', 'updated 1', 'updated 1',
		'status_changed 1', 'approved 1', 'updated 1', 'updated 1', 'status_changed 1', 'deleted 1']);
});

test('created in the view or not; deleted from outside is not sent', async () =>
{
	const [view] = await watch([pending],
		"INSERT INTO item (id, status) VALUES (2, 'pending'), (3, 'draft'), (4, NULL)",
		'DELETE FROM item WHERE id IN (3, 4)', 'DELETE FROM item WHERE id = 2');

	assert.deepEqual(view.story, ['created 2', 'deleted 2']);
	assert.equal(view.commits.length, 2);
});

test('action lists: updated includes edges; entered and left alone', async () =>
{
	const views = await watch([{ ...pending, action: 'updated' }, { ...pending, action: 'entered' },
		{ ...pending, action: ['left'] }, { ...pending, action: ['status_changed', 'approved'] },
		{ ...item, action: 'approved' }],
	"INSERT INTO item (id, status) VALUES (5, 'draft')",
	"UPDATE item SET status = 'pending' WHERE id = 5",
	"UPDATE item SET name = 'n' WHERE id = 5",
	"UPDATE item SET status = 'approved' WHERE id = 5");

	assert.deepEqual(views.map((v) => v.story), [['entered 5', 'updated 5', 'left 5'], ['entered 5'],
		['left 5'], ['status_changed 5'], ['approved 5']]);
	const [approved] = views[4].events;
	assert.equal(approved.data.status, 'approved');
	assert.equal(approved.old.status, 'pending');
	assert.deepEqual(views[3].events[0].data, { old_status: 'draft', new_status: 'pending' });
});

test('several terms: an edge when the last of them becomes true', async () =>
{
	const [view] = await watch([{ ...item, filter: [['amount', 'gt', 10], ['owner', 'eq', 'ada']] }],
		"INSERT INTO item (id, amount, owner) VALUES (6, 5, NULL)",
		'UPDATE item SET amount = 11 WHERE id = 6',
		"UPDATE item SET owner = 'ada' WHERE id = 6",
		'UPDATE item SET amount = 12 WHERE id = 6',
		'UPDATE item SET amount = NULL WHERE id = 6');

	assert.deepEqual(view.story, ['entered 6', 'updated 6', 'left 6']);
});

test('one transaction, one frame; edges within it', async () =>
{
	const [view] = await watch([pending],
		`INSERT INTO item (id, status) VALUES (7, 'pending');
		UPDATE item SET status = 'draft' WHERE id = 7;
		UPDATE item SET status = 'pending' WHERE id = 7;
		INSERT INTO item (id, status) VALUES (8, 'pending');
		DELETE FROM item WHERE id = 8`);

	assert.deepEqual(view.story, ['created 7', 'left 7', 'entered 7', 'status_changed 7', 'created 8',
		'deleted 8']);
	assert.equal(view.commits.length, 1);
});

test('a key change is deleted and created', async () =>
{
	const [view] = await watch([pending], "INSERT INTO item (id, status) VALUES (9, 'pending')",
		'UPDATE item SET id = 10 WHERE id = 9', "UPDATE item SET id = 11, status = 'x' WHERE id = 10");

	assert.deepEqual(view.story, ['created 9', 'deleted 9', 'created 10', 'deleted 10']);
	assert.equal(view.events[1].meta.newId, '10');
	assert.equal(view.events[2].meta.oldId, '9');
});

test('an update of columns that the view does not show is not sent', async () =>
{
	const [view] = await watch([{ ...item, columns: ['name'] }, ],
		"INSERT INTO item (id, name, amount) VALUES (12, 'a', 1)",
		'UPDATE item SET amount = 2 WHERE id = 12', "UPDATE item SET name = 'b', amount = 3 WHERE id = 12");

	assert.deepEqual(view.story, ['created 12', 'updated 12']);
});

test('an update that changes nothing, a rollback, a savepoint', async () =>
{
	const [view] = await watch([item], "INSERT INTO item (id, name) VALUES (13, 'a')",
		"UPDATE item SET name = 'a' WHERE id = 13",
		`SAVEPOINT a; UPDATE item SET name = 'lost' WHERE id = 13; ROLLBACK TO a;
		UPDATE item SET name = 'kept' WHERE id = 13`);

	assert.deepEqual(view.story, ['created 13', 'updated 13']);
	assert.equal(view.events[1].data.name, 'kept');
});

test('truncate reaches every view of the entity', async () =>
{
	const [all, filtered, other] = await watch([item, pending, { feature: 'shop', entity: 'other' }],
		"INSERT INTO item (id, status) VALUES (14, 'pending')", 'TRUNCATE item');

	assert.deepEqual(all.story, ['created 14', 'truncated']);
	assert.deepEqual(filtered.story, ['created 14', 'truncated']);
	assert.equal(all.events[1].data, null);
	assert.deepEqual(other.story, []);
});

test('composite keys, upserts, cascades', async () =>
{
	await stage.sql(`CREATE TABLE stock (product integer, place text, n integer, PRIMARY KEY (product, place));
		SELECT realtime.enable('stock', 'shop', 'stock');
		CREATE TABLE line (id integer PRIMARY KEY, item integer REFERENCES item ON DELETE CASCADE);
		SELECT realtime.enable('line', 'shop', 'line');
		GRANT SELECT ON stock, line TO web_anon`);
	const [stock, line] = await watch([{ feature: 'shop', entity: 'stock', filter: [['n', 'gt', 0]] },
		{ feature: 'shop', entity: 'line' }],
	"INSERT INTO stock VALUES (1, 'north', 5), (1, 'ü\"', 0)",
	"INSERT INTO stock VALUES (1, 'north', 6) ON CONFLICT (product, place) DO UPDATE SET n = 7",
	"UPDATE stock SET n = n + 1 WHERE place = 'north'", "UPDATE stock SET n = n + 1 WHERE place <> 'north'",
	'INSERT INTO item (id) VALUES (20); INSERT INTO line VALUES (1, 20)', 'DELETE FROM item WHERE id = 20');

	assert.deepEqual(stock.events.map(({ action, id }) => [action, id]), [
		['created', { product: '1', place: 'north' }], ['updated', { product: '1', place: 'north' }],
		['updated', { product: '1', place: 'north' }], ['entered', { product: '1', place: 'ü"' }]]);
	assert.deepEqual(line.story, ['created 1', 'deleted 1']);
});

describe('bulk', () =>
{
	test('a summary: whole for unfiltered views; the count and a gap for others', async () =>
	{
		await stage.sql(`CREATE TABLE many (id integer PRIMARY KEY, n integer);
			SELECT realtime.enable('many', 'shop', 'many', bulk_threshold => 10);
			GRANT SELECT ON many TO web_anon`);
		const many = { feature: 'shop', entity: 'many' };
		const [all, filtered, wild] = await watch([many, { ...many, filter: [['n', 'gt', 5]] },
			{ feature: 'shop' }],
		'INSERT INTO many VALUES (1000, 100)',
		'INSERT INTO many SELECT i, i FROM generate_series(1, 20) i',
		'INSERT INTO many VALUES (1001, 100)');

		assert.deepEqual(all.story, ['created 1000', 'bulk_created', 'created 1001']);
		assert.equal(all.events[1].data.count, 20);
		assert.deepEqual(all.events[1].data.keys, Array.from({ length: 20 }, (_, i) => String(i + 1)));
		assert.deepEqual(wild.story, all.story);
		assert.deepEqual(all.gaps, []);
		assert.deepEqual(filtered.gaps.map((g) => g.reason), ['bulk']);
		const summary = filtered.events.find((e) => e.action === 'bulk_created');
		assert.equal(summary?.data.count, 20);
		assert.ok(!summary.data.keys, 'no keys');
		assert.deepEqual(filtered.story.filter((s) => !s.startsWith('bulk')), ['created 1000', 'created 1001']);
	});

	test('an operation with progress before its commit', async () =>
	{
		const peer = await stage.peer();
		const view = await peer.subscribe({ ...item, action: ['bulk_started', 'bulk_progress',
			'bulk_completed', 'bulk_failed'] });
		const job = await stage.database.connect('job');
		await job.query('BEGIN');
		const { rows } = await job.query("SELECT realtime.bulk_start('shop', 'item', 'import', 10) AS id");
		await peer.until('bulk_started', () => view.events.length > 0);
		await job.query('SELECT realtime.bulk_progress($1, 5)', [rows[0].id]);
		await peer.until('bulk_progress', () => view.events.length > 1);
		await job.query('SELECT realtime.bulk_complete($1)', [rows[0].id]);
		await job.query('COMMIT');
		await peer.until('bulk_completed', () => view.events.length > 2);
		assert.deepEqual(view.story, ['started', 'progress', 'completed'].map((a) => `bulk_${a} ${rows[0].id}`));
		await job.end();
		await peer.close();
	});
});

describe('custom events', () =>
{
	test('of a topic, with data of any kind', async () =>
	{
		const values = ['{"text":"hello"}', '[1,2]', '"x"', '5', 'null'];
		const [view] = await watch([{ feature: 'chat', entity: 'message' }],
			...values.map((v) => `SELECT realtime.emit('chat', 'message', 'sent', '${v}', 'id-1')`));

		assert.deepEqual(view.events.map((e) => e.data), values.map((v) => JSON.parse(v)));
		assert.deepEqual(view.story, values.map(() => 'sent id-1'));
	});

	test('of a table: in its place in the transaction; filtered by their data', async () =>
	{
		const [all, filtered] = await watch([item, pending],
			`INSERT INTO item (id, status) VALUES (30, 'pending');
			SELECT realtime.emit('shop', 'item', 'printed', '{"status":"pending"}', '30');
			SELECT realtime.emit('shop', 'item', 'mailed', '{"status":"draft"}', '30');
			SELECT realtime.emit('shop', 'item', 'seen', NULL, '30');
			DELETE FROM item WHERE id = 30`);

		assert.deepEqual(all.story, ['created 30', 'printed 30', 'mailed 30', 'seen 30', 'deleted 30']);
		assert.deepEqual(filtered.story, ['created 30', 'printed 30', 'deleted 30']);
	});

	test('of a topic that the role may not subscribe to', async () =>
	{
		await stage.sql("SELECT realtime.register_topic('secret', 'topic')");
		const peer = await stage.peer();
		assert.equal(await peer.refused({ op: 'subscribe', feature: 'secret', entity: 'topic' }), 'forbidden');
		const wild = await peer.subscribe({});
		await peer.settle(await stage.write(`SELECT realtime.emit('secret', 'topic', 'x');
			SELECT realtime.emit('chat', 'message', 'y')`));
		assert.deepEqual(wild.story, ['y']);
		await peer.close();
	});
});

describe('changes that row triggers do not see: gap resync, in order', () =>
{
	for (const [name, statement] of [
		['a rewrite', "ALTER TABLE item ALTER COLUMN amount TYPE text USING amount || '!'"],
		['triggers disabled', 'ALTER TABLE item DISABLE TRIGGER realtime_capture'],
		['triggers enabled', 'ALTER TABLE item ENABLE TRIGGER realtime_capture'],
		['capture switched off', `SET LOCAL realtime.enabled = off; INSERT INTO item (id) VALUES (41)`]])
		test(name, async () =>
		{
			const peer = await stage.peer();
			const all = await peer.subscribe(item);
			const filtered = await peer.subscribe(pending);
			const wild = await peer.subscribe({ feature: 'shop' });
			const other = await peer.subscribe({ feature: 'shop', entity: 'other' });
			const tx = await stage.write(statement);
			await peer.settle(tx);
			for (const view of [all, filtered, wild])
			{
				assert.deepEqual(view.gaps.map((g) => g.reason), ['resync']);
				assert.deepEqual(view.story, []);
			}
			assert.deepEqual(other.gaps, []);
			await peer.close();
		});

	test('the stream goes on with the new columns', async () =>
	{
		await stage.sql('ALTER TABLE item ADD COLUMN extra integer');
		const [view, extra] = await watch([item, { ...item, filter: [['extra', 'eq', 5]] }],
			"INSERT INTO item (id, extra) VALUES (42, 5)", 'UPDATE item SET extra = 6 WHERE id = 42');
		assert.equal(view.events[0].data.extra, 5);
		assert.deepEqual(extra.story, ['created 42', 'left 42']);
	});

	test('views outlive a change of columns that they do not use', async () =>
	{
		const peer = await stage.peer();
		const view = await peer.subscribe({ ...item, filter: [['name', 'eq', 'z']], snapshot: true });
		await stage.sql('ALTER TABLE item DROP COLUMN extra');
		await peer.settle(await stage.write("INSERT INTO item (id, name) VALUES (43, 'z')"));
		assert.deepEqual(view.story, ['created 43']);
		assert.ok(!('extra' in view.events[0].data));
		await peer.close();
	});

	test('DROP TABLE', async () =>
	{
		await stage.sql(`CREATE TABLE brief (id integer PRIMARY KEY); SELECT realtime.enable('brief', 'shop', 'brief');
			GRANT SELECT ON brief TO web_anon`);
		const peer = await stage.peer();
		const view = await peer.subscribe({ feature: 'shop', entity: 'brief' });
		await stage.write('INSERT INTO brief VALUES (1)');
		await peer.settle(await stage.write('DROP TABLE brief'));
		assert.deepEqual(view.story, ['created 1']);
		assert.deepEqual(view.gaps.map((g) => g.reason), ['resync']);
		await peer.close();
		// What roles may see is remembered for some seconds.
		await until('it is unknown', async () =>
		{
			const later = await stage.peer();
			const code = await later.refused({ op: 'subscribe', feature: 'shop', entity: 'brief' });
			await later.close();
			return code === 'unknown_entity';
		}, 40, 200);
	});
});

test('events that could not be written: a gap in every view', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe(item);
	const wild = await peer.subscribe({});
	// The marker that realtime.on_error = gap leaves, written as the extension does.
	const log = await stage.value(`SELECT tableoid::regclass FROM realtime.commit_log ORDER BY lsn DESC LIMIT 1`);
	const tx = await stage.write(`INSERT INTO ${log} (xid, part, at, lsn, events)
		SELECT pg_current_xact_id(), 0, clock_timestamp(), pg_current_wal_insert_lsn(),
			json_build_array(json_build_object('event', '*.*.gap', 'feature', '*', 'entity', '*', 'action', 'gap',
				'id', NULL, 'data', json_build_object('reason', 'error', 'code', '53200'),
				'meta', json_build_object('timestamp', '2026-11-22T19:00:00.000000Z',
					'tx', pg_current_xact_id()::text, 'seq', 0, 'userId', NULL, 'sessionId', NULL,
					'priority', 'normal')))::text::json`);
	await peer.settle(tx);
	for (const v of [view, wild])
		assert.deepEqual(v.gaps.map((g) => g.reason), ['error']);
	// A row of the log that is no array of events does not stop the source either.
	const broken = await stage.write(`INSERT INTO ${log} (xid, part, at, lsn, events)
		SELECT pg_current_xact_id(), 0, clock_timestamp(), pg_current_wal_insert_lsn(), '{"not":"events"}'`);
	await peer.settle(broken);
	for (const v of [view, wild])
		assert.deepEqual(v.gaps.map((g) => g.reason), ['error', 'error']);
	await peer.settle(await stage.write("INSERT INTO item (id) VALUES (50)"));
	assert.deepEqual(view.story, ['created 50']);
	await peer.close();
});
