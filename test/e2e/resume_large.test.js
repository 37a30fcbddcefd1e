// SPDX-License-Identifier: PostgreSQL
//
// resume_large.test.js
//	A resumption that is more than a queue takes, while another view of the session is live: no frame comes
//	between the parts of a transaction. The checks of every frame see to that. And one that is more than the
//	cache of recent history: the cache must not be taken for whole.

import test from 'node:test';
import assert from 'node:assert/strict';
import { Stage } from './lib/stage.js';

const stage = await Stage.open('resume_large', { flags: { 'max-queue': '512kB', workers: 1 } });

test('frames of other views wait for the end of a transaction', { timeout: 120000 }, async () =>
{
	const early = await stage.peer();
	await early.subscribe({ feature: 'shop', entity: 'item' });
	await early.settle(await stage.write('INSERT INTO item (id) VALUES (0)'));
	const since = early.token;
	await early.close();
	// Text that is no shorter on the wire, in some eighty parts.
	await stage.write(`INSERT INTO item (id, name) SELECT g, repeat(md5(g::text), 3000) FROM generate_series(1, 200) g`);

	const peer = await stage.peer();
	const other = await stage.peer();
	const live = await peer.subscribe({ feature: 'shop', entity: 'other' });
	const seen = await other.subscribe({ feature: 'shop', entity: 'other' });
	const answer = peer.subscribe({ feature: 'shop', entity: 'item', since });
	peer.pauseReading();
	for (let i = 1; i <= 20; i++)
		await other.settle(await stage.write(`INSERT INTO other VALUES (${i})`));
	assert.equal(seen.events.length, 20);
	peer.resumeReading();
	const view = await answer;
	await peer.settle(await stage.write('INSERT INTO other VALUES (21)'), 60);
	assert.equal(view.events.length, 200);
	assert.equal(view.commits.length, 1);
	assert.ok(view.commits[0].parts > 20);
	assert.ok(live.gaps.length > 0 || live.events.length === 21);
	await peer.close();
	await other.close();
});

test('a read larger than the cache: nothing of it is missing', { timeout: 120000 }, async () =>
{
	const notifier = await stage.start({ flags: { 'history-cache': '300kB', 'max-queue': '64MB' } });
	const early = await stage.peer({ notifier });
	await early.subscribe({ feature: 'shop', entity: 'item' });
	await early.settle(await stage.write('INSERT INTO item (id) VALUES (1000)'));
	const since = early.token;
	// More than what the notifier reads at once, and a little: the end alone would fit.
	const tx = await stage.write(`INSERT INTO item (id, name)
		SELECT g, repeat(md5(g::text), 3000) FROM generate_series(1001, 1046) g;
		INSERT INTO item (id) SELECT generate_series(1047, 1050)`);
	await early.settle(tx, 60);
	await early.close();

	const peer = await stage.peer({ notifier });
	const view = await peer.subscribe({ feature: 'shop', entity: 'item', since });
	await peer.settle(await stage.write('INSERT INTO item (id) VALUES (2000)'), 60);
	assert.deepEqual(view.gaps, []);
	assert.deepEqual(view.story, [...Array.from({ length: 50 }, (_, i) => `created ${1001 + i}`), 'created 2000']);
	await peer.close();
});
