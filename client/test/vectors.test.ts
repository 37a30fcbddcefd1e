// SPDX-License-Identifier: PostgreSQL
//
// vectors.test.ts
//	The protocol's test vectors, the files that the notifier's tests read, too: test/vectors.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { keyOf } from '../src/index.js';
import { covers, includes, parsePosition } from '../src/position.js';
import { eventProblem, readFrame } from '../src/protocol.js';
import { Rows } from '../src/rows.js';

const directory = path.resolve(import.meta.dirname ?? '.', '../../../test/vectors');
const read = (name: string): any => JSON.parse(readFileSync(path.join(directory, name), 'utf8'));

test('positions: read or refused, what they cover, and which is ahead', () =>
{
	const { valid, invalid, covers: covering, within } = read('positions.json');

	for (const { text, epoch, xmin, xmax, xip } of valid)
	{
		const position = parsePosition(text)!;

		assert.deepEqual([position.epoch, String(position.xmin), String(position.xmax), [...position.xip].map(String)],
			[epoch, xmin, xmax, xip]);
	}
	for (const { text, why } of invalid)
		assert.equal(parsePosition(text), undefined, why);
	for (const { position, tx, covered } of covering)
		assert.equal(covers(parsePosition(position), tx), covered, `${position} and ${tx}`);
	for (const { a, b, within: isWithin } of within)
		assert.equal(includes(parsePosition(b), parsePosition(a)), isWithin, `${a} and ${b}`);
	assert.ok(valid.length > 5 && invalid.length > 20 && covering.length > 20 && within.length > 10);
});

test('frames of the server: taken, ignored, or refused without a throw', () =>
{
	const { valid, ignored, invalid } = read('server_frames.json');

	for (const { name, text } of valid)
		assert.deepEqual(readFrame(text), JSON.parse(text), name);
	for (const { name, text } of ignored)
		assert.equal(readFrame(text), undefined, name);
	for (const { name, text } of invalid)
	{
		const bad = readFrame(text);

		assert.ok(bad && !('op' in bad) && bad.problem.length > 0, name);
		assert.equal(bad.isLoss, !/"op":"(welcome|authenticated|subscribed|position|synced|unsubscribed|expiring|error|pong)"/.test(text) ||
			name === 'cut off', name);
	}
	assert.ok(valid.length > 30 && ignored.length > 1 && invalid.length > 60);
});

test('examples of the protocol\'s page that the server sends', () =>
{
	let count = 0;

	for (const name of readdirSync(path.join(directory, 'examples')).filter((one) => one.endsWith('.json')))
	{
		const example = read(`examples/${name}`);

		for (const frame of name === 'poll_response.json' ? example.frames : [example])
		{
			if (frame.op && !['auth', 'subscribe', 'unsubscribe', 'sync', 'ping'].includes(frame.op))
			{
				assert.deepEqual(readFrame(frame), frame, name);
				count++;
			}
		}
	}
	assert.ok(count > 12);
});

test('edges: rows follow the events of a view', () =>
{
	let count = 0;

	for (const { views } of read('edges.json').cases)
	{
		for (const { sent } of views)
		{
			const rows = new Rows(() => {});
			const expected = new Map<string, unknown>();

			for (const event of sent ?? [])
			{
				assert.equal(eventProblem(event), undefined, JSON.stringify(event));
				rows.apply(event, false);
				if (['created', 'updated', 'entered'].includes(event.action))
					expected.set(keyOf(event.id), event.data);
				if (['deleted', 'left'].includes(event.action))
					expected.delete(keyOf(event.id));
				if (event.action === 'truncated')
					expected.clear();
				count++;
			}
			assert.deepEqual(new Map([...rows.map].map(([key, { data }]) => [key, data])), expected);
		}
	}
	assert.ok(count > 5);
});
