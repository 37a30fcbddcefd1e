// SPDX-License-Identifier: PostgreSQL
//
// resume_large.test.js
//	A resumption that is more than a queue takes, while another view of the session is live: no frame comes
//	between the parts of a transaction. The checks of every frame see to that.

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
