// SPDX-License-Identifier: PostgreSQL
//
// settled.test.js
//	realtime.settled_position(): what a session says of rights after it is of no earlier than the position, though
//	PostgreSQL shows a commit to snapshots before it voids what others have cached.

import test from 'node:test';
import assert from 'node:assert/strict';
import { connect } from './lib/database.js';
import { Stage } from './lib/stage.js';
import { until } from './lib/wait.js';

const ROUNDS = 40;
const stage = await Stage.open('settled', { isStarted: false, schema: `
	DO $$ BEGIN FOR i IN 1..300 LOOP EXECUTE format('CREATE TABLE many_%s (id integer)', i); END LOOP; END $$;
	CREATE TABLE wanted (id integer);
	CREATE TABLE told (n serial, xid xid8);
	-- Sees each transaction of told once: is what this session says of rights then what it has made them?
	CREATE PROCEDURE look(position_of text, rounds integer, INOUT seen integer DEFAULT 0, INOUT stale integer DEFAULT 0) LANGUAGE plpgsql AS $$
		DECLARE
			place text;
			x xid8;
			last xid8;
			can_read boolean;
		BEGIN
			WHILE seen < rounds LOOP
				EXECUTE format('SELECT %s', position_of) INTO place;
				can_read := has_table_privilege('web_user', 'wanted', 'SELECT');
				SELECT xid INTO x FROM told ORDER BY n DESC LIMIT 1;
				IF x IS DISTINCT FROM last AND pg_visible_in_snapshot(x, split_part(place, '/', 2)::pg_snapshot) THEN
					seen := seen + 1;
					last := x;
					PERFORM set_config('application_name', 'saw ' || seen, false);
					IF can_read <> (seen % 2 = 1) THEN
						stale := stale + 1;
					END IF;
				END IF;
				COMMIT;
			END LOOP;
		END $$` });

/** How often it was stale while rights were granted and revoked by transactions that have much to tell others. */
async function countStale(positionOf)
{
	const looker = await connect(stage.database.name);

	await stage.sql('TRUNCATE told');

	const answer = looker.query('CALL look($1, $2)', [positionOf, ROUNDS]);

	for (let i = 0; i < ROUNDS; i++)
	{
		await stage.sql(`INSERT INTO told (xid) VALUES (pg_current_xact_id());
			DO $$ BEGIN FOR i IN 1..300 LOOP
				EXECUTE format('GRANT SELECT ON many_%1$s TO web_user', i);
				EXECUTE format('REVOKE SELECT ON many_%1$s FROM web_user', i);
			END LOOP; END $$;
			${i % 2 === 0 ? 'GRANT SELECT ON wanted TO' : 'REVOKE SELECT ON wanted FROM'} web_user`);
		await until('it is seen', async () => await stage.value('SELECT application_name FROM pg_stat_activity WHERE pid = $1',
			[looker.processID]) === `saw ${i + 1}`, 30, 5);
	}
	const [{ seen, stale }] = (await answer).rows;

	assert.equal(Number(seen), ROUNDS);
	await looker.end();
	return Number(stale);
}

test('rights are of no earlier than the position', { timeout: 120000 }, async (t) =>
{
	t.diagnostic(`position(): ${await countStale('realtime.position()')} of ${ROUNDS} are of before`);
	assert.equal(await countStale('realtime.settled_position()'), 0);
});
