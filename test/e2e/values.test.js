// SPDX-License-Identifier: PostgreSQL
//
// values.test.js
//	What rows may hold: numbers that no double can, JSON as deep as PostgreSQL takes it, rows of a
//	megabyte, values left out. They arrive byte for byte as PostgreSQL wrote them, or are said to be missing.

import test from 'node:test';
import assert from 'node:assert/strict';
import { Stage } from './lib/stage.js';

const stage = await Stage.open('values', { schema: `
	CREATE TABLE doc (id integer PRIMARY KEY, j json, t text, n numeric, side integer, f float8);
	SELECT realtime.enable('doc', 'shop', 'doc');
	CREATE TABLE rich (id integer PRIMARY KEY, by bytea, tz timestamptz, a text[], f8 float8, n numeric, i8 bigint,
		u uuid, iv interval, r int4range, p point, x xml, ip inet, b bit(3), m money, jb jsonb, tv tsvector);
	SELECT realtime.enable('rich', 'shop', 'rich');
	GRANT SELECT ON doc, rich TO web_anon;` });
const doc = { feature: 'shop', entity: 'doc' };

/** The raw text of the next commit frame of a peer. */
function rawCommits(peer)
{
	const texts = [];
	const before = peer.checker.onFrame;
	peer.checker.onFrame = (frame, view, raw) =>
	{
		before?.(frame, view, raw);
		if (frame.op === 'commit' || frame.op === 'snapshot')
			texts.push(raw);
	};
	return texts;
}

const hard = {
	'a number beyond a double': '{"n":1e400,"m":-1E+4000}',
	'integers of many digits': `{"n":${'9'.repeat(400)},"z":-0.${'1'.repeat(400)}}`,
	'zeros, signs, exponents': '[0,-0,0.0,1.50,1E5,1e-5,0e0]',
	'an escaped zero byte': '{"t":"a\\u0000b"}',
	'lone surrogates as escapes': '{"t":"\\ud800"}',
	'members twice': '{"a":1,"a":2,"a":{"a":3}}',
	'keys that look like frames': '{"op":"position","position":"x","events":[],"view":"1","meta":{"tx":"1","seq":0}}',
	'spaces of all kinds': '{ "a" :\t[ 1 , 2 ] }',
	'text with quotes and breaks': JSON.stringify({ t: 'a"b\\c\n\r\t\u2028\u2029\u007f😀</script>' }),
	'a name with everything': JSON.stringify({ '"\\\n😀': 1, '': 2, ' ': 3 })
};

for (const [name, text] of Object.entries(hard))
	test(`${name}: as it was written`, async () =>
	{
		const peer = await stage.peer();
		const texts = rawCommits(peer);
		const view = await peer.subscribe(doc);
		const filtered = await peer.subscribe({ ...doc, filter: [['side', 'eq', 1]] });
		await stage.sql('DELETE FROM doc');
		await stage.sql('INSERT INTO doc (id, j, side) VALUES (1, $1, 1)', [text]);
		await peer.settle(await stage.write('UPDATE doc SET side = 2'));
		// Line breaks between tokens may become spaces (events are single lines), nothing else changes.
		const flat = text.replace(/[\n\r]/g, ' ');
		for (const raw of texts.filter((t) => /"action":"(created|updated)"/.test(t)))
			assert.ok(raw.includes(flat), raw.slice(0, 1500));
		assert.deepEqual(view.story.slice(-2), ['created 1', 'updated 1']);
		assert.deepEqual(filtered.story.slice(-2), ['created 1', 'left 1']);
		const again = await stage.peer();
		const snapshots = rawCommits(again);
		await again.subscribe({ ...doc, snapshot: true });
		assert.ok(snapshots[0].includes(flat), 'the snapshot, too');
		await again.close();
		await peer.close();
	});

test('JSON as deep as PostgreSQL takes it', async (t) =>
{
	const peer = await stage.peer();
	const texts = rawCommits(peer);
	peer.checker.keep = false;
	const view = await peer.subscribe(doc);
	let deepest = 0;
	await stage.sql('DELETE FROM doc');
	for (const depth of [100, 1000, 3000, 6000, 10000, 50000])
	{
		const text = '['.repeat(depth) + ']'.repeat(depth);
		try
		{
			await stage.sql('INSERT INTO doc (id, j) VALUES ($1, $2)', [depth, text]);
			deepest = depth;
		}
		catch (error)
		{
			assert.equal(error.code, '54001', error.message);		// stack depth
			break;
		}
		await peer.until(`depth ${depth}`, () => texts.some((raw) => raw.includes(text)));
	}
	t.diagnostic(`deepest ${deepest}`);
	assert.ok(deepest >= 1000);
	await peer.settle(await stage.write('DELETE FROM doc'));
	assert.deepEqual(view.gaps, []);
	await peer.close();
});

test('rows of a megabyte, several in a transaction', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe({ ...doc, snapshot: true });
	const body = (i) => `${i}`.repeat(1024 * 1024);
	let tx = await stage.write(`INSERT INTO doc (id, t) SELECT i, repeat(i::text, 1048576) FROM generate_series(1, 4) i`);
	await peer.settle(tx);
	assert.deepEqual(view.story.slice(-4), [1, 2, 3, 4].map((i) => `created ${i}`));
	for (const event of view.events.slice(-4))
		assert.equal(event.data.t, body(event.id));
	const again = await stage.peer();
	const copy = await again.subscribe({ ...doc, snapshot: true });
	assert.deepEqual(copy.rows.map((r) => r.data.t.length), [1, 2, 3, 4].map(() => 1048576));
	tx = await stage.write('DELETE FROM doc WHERE id <= 4');
	await again.settle(tx);
	assert.equal(copy.events.length, 4);
	await again.close();
	await peer.close();
});

test('values left out are named in meta.omitted; a filter that needs one gets a gap or the value', async () =>
{
	await stage.sql(`ALTER TABLE doc ALTER COLUMN t SET STORAGE EXTERNAL;
		INSERT INTO doc (id, t, side) VALUES (60, repeat('x', 20000), 1)`);
	const peer = await stage.peer();
	const view = await peer.subscribe(doc);
	const filtered = await peer.subscribe({ ...doc, filter: [['t', 'like', 'x%']] });
	await peer.settle(await stage.write('UPDATE doc SET side = 2 WHERE id = 60'));
	const updated = view.events.at(-1);
	assert.equal(updated.action, 'updated');
	assert.deepEqual(updated.meta.omitted, ['t']);
	assert.ok(!('t' in updated.data));
	// Unchanged, so whether the row is in the view is not known from the event: never silence.
	if (filtered.gaps.length > 0)
		assert.deepEqual(filtered.gaps.map((g) => g.reason), ['omitted']);
	else
		assert.equal(filtered.story.at(-1), 'updated 60');
	await peer.close();
});

test('every type comes as row_json writes it', async () =>
{
	const peer = await stage.peer();
	const view = await peer.subscribe({ feature: 'shop', entity: 'rich', snapshot: true });
	await stage.write(`INSERT INTO rich VALUES (1, '\\xdeadbeef', '2026-03-01 10:00+02', '{a,NULL,"b c"}', 'NaN',
		12345678901234567890.12, 9007199254740993, '12345678-1234-1234-1234-123456789abc', '1 mon 2 days',
		'[1,5)', '(1,2)', '<a>b</a>', '10.0.0.1/8', B'101', '12.34', '{"a":[1]}', 'fat cat'); INSERT INTO rich VALUES (2)`);
	const tx = await stage.write('UPDATE rich SET f8 = 0.1 WHERE id = 1');
	await peer.settle(tx);
	const rows = await stage.database.rows('SELECT * FROM rich');
	assert.deepEqual(view.events.at(-1).data, rows.get('1'));
	assert.deepEqual(view.events[1].data, rows.get('2'));
	const again = await stage.peer();
	const copy = await again.subscribe({ feature: 'shop', entity: 'rich', snapshot: true });
	assert.deepEqual(copy.rows.map((r) => r.data), [rows.get('1'), rows.get('2')]);
	await again.close();
	await peer.close();
});
