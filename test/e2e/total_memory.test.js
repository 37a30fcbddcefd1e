// SPDX-License-Identifier: PostgreSQL
//
// total_memory.test.js
//	All queues together: over total-memory the long ones are cut, though none is over max-queue.

import test from 'node:test';
import assert from 'node:assert/strict';
import { Stage } from './lib/stage.js';
import { until } from './lib/wait.js';

const MB = 1024 * 1024;
const READERS = 8;
const SCHEMA = `
	CREATE TABLE blob (id integer PRIMARY KEY, n integer, body text);
	ALTER TABLE blob ALTER COLUMN body SET STORAGE PLAIN;
	SELECT realtime.enable('blob', 'shop', 'blob');
	GRANT SELECT ON blob TO web_anon;
	INSERT INTO blob VALUES (1, 0, 'x');`;
const stage = await Stage.open('total_memory', { schema: SCHEMA, flags: { 'max-queue': '64MB',
	'total-memory': '4MB', 'slow-timeout': 60, 'history-cache': '1MB', workers: 1 } });

test('readers that stop are cut long before max-queue, and told so', async (t) =>
{
	const readers = [];
	for (let i = 0; i < READERS; i++)
	{
		const peer = await stage.peer();
		readers.push({ peer, view: await peer.subscribe({ feature: 'shop', entity: 'blob' }) });
		peer.pauseReading();
	}
	// The sockets' buffers take up to some 24 MB of each; the rest waits here.
	await stage.sql(`DO $$ BEGIN
		FOR i IN 1..4700 LOOP
			UPDATE blob SET n = i, body = repeat(chr(97 + i % 26), 7000);
			COMMIT;
		END LOOP; END $$`);
	const metric = async (name) => (await stage.notifier.metrics()).get(`realtime_${name}`);
	await until('queues are cut', async () => await metric('slow_gaps_total') >= READERS, 60);
	const queued = await metric('queue_bytes');
	t.diagnostic(`${(queued / MB).toFixed(1)} MB queued for ${READERS} readers`);
	assert.ok(queued < READERS * 5 * MB, `${queued} bytes: at most a sixteenth of max-queue each`);
	for (const { peer, view } of readers)
	{
		peer.resumeReading();
		await peer.until('the gap', () => view.gaps.some((g) => g.reason === 'slow'), { seconds: 60 });
		await peer.close();
	}
});
