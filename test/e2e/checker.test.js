// SPDX-License-Identifier: PostgreSQL
//
// checker.test.js
//	The tests' own client finds what it is there to find: each violation, made by hand, and no other.

import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { Checker } from './lib/checker.js';
import { covers, isWithin, parsePosition } from './lib/position.js';
import { Replica } from './lib/replica.js';

const welcome = { op: 'welcome', session: 's', protocol: 1, epoch: 'e', heartbeat: 25 };
const P = (xmax, ...xip) => `e/${xip[0] ?? xmax}:${xmax}:${xip.join()}`;
const event = (tx, seq, action = 'created', more = {}) => ({ event: `f.e.${action}`, feature: 'f', entity: 'e',
	action, id: '1', data: { id: 1, s: 'x' }, meta: { timestamp: '2026-11-22T19:00:00.123456Z', tx: String(tx), seq,
		userId: null, sessionId: null, priority: 'normal' }, ...more });
const commit = (tx, events, more = {}) =>
	({ op: 'commit', view: '1', tx: String(tx), part: 0, last: true, events, ...more });
const position = (p) => ({ op: 'position', position: p });
const one = (tx, seq = 0) => commit(tx, [event(tx, seq)]);

/** A checker with a view (two of them), that has received the frames. */
function receive(request, ...frames)
{
	const checker = new Checker();
	const subscribed = (ref, view, position) =>
		({ op: 'subscribed', ref, view, position, feature: 'f', entity: 'e' });

	checker.expect({ ref: 1, feature: 'f', entity: 'e', ...request });
	checker.expect({ ref: 2, feature: 'f', entity: 'e', action: 'created' });
	for (const frame of [welcome, subscribed(1, '1', request.since ?? P(10, 7)), subscribed(2, '2', P(10, 7)),
		...frames])
		checker.receive(typeof frame === 'string' ? frame : JSON.stringify(frame));
	return checker;
}

describe('what is right', () =>
{
	test('commits, parts, positions, running transactions', () =>
	{
		const c = receive({}, one(7), commit(10, [event(10, 0)], { last: false }),
			commit(10, [event(10, 1)], { part: 1 }), { ...one(10), view: '2' }, position(P(11)), one(11), one(12),
			position(P(13)), { op: 'gap', view: '1', reason: 'slow', position: P(20) }, one(20), position(P(21)));
		assert.equal(c.views.get('1').events.length, 6);
		assert.equal(c.token, P(21));
	});
	test('snapshot, then commits', () => receive({ snapshot: true },
		{ op: 'snapshot', view: '1', part: 0, last: false, rows: [{ id: '1', data: {} }] },
		{ op: 'snapshot', view: '1', part: 1, last: true, rows: [{ id: '2', data: {} }] }, one(11), position(P(12))));
	test('a resumption repeats what another view has had', () => receive({ since: P(5) },
		{ ...one(10), view: '2' }, one(6), one(10), position(P(11))));
	test('merged frames', () => receive({},
		commit(12, [event(11, 0), event(12, 3)], { merged: true }), position(P(13))));
});

describe('what is wrong', () =>
{
	const wrong = {
		'no JSON': ['{'],
		'an unknown op': [{ op: 'hello' }],
		'a second welcome': [welcome],
		'an unknown member': [{ ...position(P(11)), more: 1 }],
		'a member missing': [{ op: 'commit', view: '1', tx: '10', part: 0, last: true }],
		'an unknown view': [{ ...one(10), view: '3' }],
		'a position that is none': [position('e/5:3:')],
		'a position that goes back': [position(P(12)), position(P(11))],
		'a position that takes a transaction back': [position(P(12)), position(P(13, 11))],
		'another epoch without a gap': [position(P(12)), position('f/5:5:')],
		'an event twice': [one(10), one(10)],
		'seq out of order': [commit(10, [event(10, 1), event(10, 0)])],
		'an event of another transaction': [commit(10, [event(11, 0)])],
		'a part missing': [commit(10, [event(10, 0)], { part: 1 })],
		'a transaction not complete at the position': [commit(10, [event(10, 0)], { last: false }), position(P(11))],
		'another frame between parts': [commit(10, [event(10, 0)], { last: false }), { op: 'pong' }],
		'frames of a transaction apart': [one(10), one(11), { ...one(10), view: '2' }],
		'what the answer covers': [one(8)],
		'what a position covers': [position(P(12)), one(11)],
		'what a gap of history covers': [{ op: 'gap', view: '1', reason: 'history', position: P(20) }, one(19)],
		'an unknown reason': [{ op: 'gap', view: '1', reason: 'tired', position: P(20) }],
		'a snapshot not asked for': [{ op: 'snapshot', view: '1', part: 0, last: true, rows: [] }],
		'no events': [commit(10, [])],
		'another entity': [commit(10, [event(10, 0, 'created', { event: 'f.x.created', entity: 'x' })])],
		'another action': [{ ...commit(10, [event(10, 0, 'deleted')]), view: '2' }],
		'an internal member': [commit(10, [event(10, 0, 'created', { columns: [] })])],
		'an edge without a filter': [commit(10, [event(10, 0, 'entered')])],
		'left with data': [commit(10, [event(10, 0, 'left')])],
		'a marker of the log': [commit(10, [event(10, 0, 'resync')])],
		'updated without old': [commit(10, [event(10, 0, 'updated')])],
		'a frame after unsubscribed': [{ op: 'unsubscribed', view: '1' }, one(10)],
		'an unknown code': [{ op: 'error', code: 'oops', message: 'x' }]
	};
	for (const [name, frames] of Object.entries(wrong))
		test(name, () => assert.throws(() => receive({}, ...frames), /^Error: protocol/));
	test('a commit before the snapshot', () => assert.throws(() => receive({ snapshot: true }, one(11))));
	test('a position within the snapshot', () => assert.throws(() => receive({ snapshot: true },
		{ op: 'snapshot', view: '1', part: 0, last: false, rows: [] }, position(P(11)))));
	test('a row twice in the snapshot', () => assert.throws(() => receive({ snapshot: true },
		{ op: 'snapshot', view: '1', part: 0, last: true, rows: [{ id: '1', data: {} }, { id: '1', data: {} }] })));
	test('another position than since', () => assert.throws(() => receive({ since: 'e/5:5:' },
		{ op: 'subscribed', ref: 1, view: '9', position: P(10), feature: 'f', entity: 'e' })));
	test('a column not asked for', () => assert.throws(() => receive({ columns: ['id'] }, one(10))));
});

test('positions', () =>
{
	const p = parsePosition('1-ab/5:10:5,7');
	assert.deepEqual([3, 5, 6, 7, 9, 10].map((tx) => covers(p, tx)), [true, false, true, false, true, false]);
	for (const [a, b, is] of [['e/5:5:', 'e/6:6:', true], ['e/6:6:', 'e/5:5:', false], ['e/5:8:5,6,7', 'e/5:5:', true],
		['e/5:8:5,6', 'e/5:5:', false], ['e/5:8:5', 'e/6:8:6', false], ['e/5:5:', 'f/6:6:', false]])
		assert.equal(isWithin(parsePosition(a), parsePosition(b)), is, `${a} within ${b}`);
	for (const text of ['', 'x', 'e/1:2', 'e/5:3:', 'e/1:9:5,4', 'e/1:9:9', 'e/1:9:5,5', 'e/1:9:0', `e/1:2:${' '}`])
		assert.throws(() => parsePosition(text), text);
});

describe('replicas distrust', () =>
{
	const filled = () =>
	{
		const replica = new Replica();
		replica.load([{ id: '1', data: { id: 1, s: 'a', n: 5 } }]);
		return replica;
	};
	const updated = (old, data) => event(10, 0, 'updated', { old, data });
	const wrong = {
		'created again': event(10, 0, 'created'),
		'entered again': event(10, 0, 'entered'),
		'updated, not there': { ...updated({ s: 'a' }, { id: 2, s: 'b' }), id: '2' },
		'left, not there': event(10, 0, 'left', { id: '2' }),
		'deleted, not there': event(10, 0, 'deleted', { id: '2' }),
		'another old': updated({ s: 'z' }, { id: 1, s: 'b', n: 5 }),
		'a change without old': updated({ s: 'a' }, { id: 1, s: 'b', n: 6 })
	};
	for (const [name, what] of Object.entries(wrong))
		test(name, () => assert.throws(() => filled().apply(what)));
	test('and take what fits', () =>
	{
		const replica = filled();
		replica.apply(updated({ s: 'a' }, { id: 1, s: 'b', n: 5 }));
		assert.deepEqual(replica.differences(new Map([['1', { n: 5, s: 'b', id: 1 }]])), []);
		assert.equal(replica.differences(new Map([['1', { id: 1, s: 'a', n: 5 }]])).length, 1);
		assert.equal(replica.differences(new Map()).length, 1);
		assert.equal(replica.differences(new Map([['1', { id: 1, s: 'b', n: 5 }], ['2', {}]])).length, 1);
	});
});
