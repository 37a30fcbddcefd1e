// SPDX-License-Identifier: PostgreSQL
//
// slopes.test.js
//	The judgement of the soak: leaks are found in noise, noise is not taken for a leak.

import test from 'node:test';
import assert from 'node:assert/strict';
import { Chance } from '../e2e/lib/wait.js';
import { grows, slopeOf } from './slopes.js';

const series = (n, f) => Array.from({ length: n }, (_, x) => ({ x, y: f(x) }));

test('a line is found exactly', () =>
{
	const { slope, low, high } = slopeOf(series(48, (x) => 5 + 2 * x));
	assert.ok(Math.abs(slope - 2) < 1e-9 && Math.abs(low - 2) < 1e-6 && Math.abs(high - 2) < 1e-6);
});

test('a leak of a tenth in noise of a twentieth is found; noise and a saw are not leaks', () =>
{
	let found = 0;
	let wrong = 0;
	for (let seed = 1; seed <= 200; seed++)
	{
		const chance = new Chance(seed);
		found += grows(series(60, (x) => 100 + x / 6 + (chance.float() - 0.5) * 5), 0.05);
		wrong += grows(series(60, () => 100 + (chance.float() - 0.5) * 5), 0.05);
		wrong += grows(series(60, (x) => 50 + ((x + seed) % 7) * 10), 0.10);
	}
	assert.ok(found >= 198, `${found} of 200 leaks`);
	assert.ok(wrong <= 4, `${wrong} of 400 false alarms`);
});
