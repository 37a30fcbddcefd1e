// SPDX-License-Identifier: PostgreSQL
//
// coalesce.test.ts
//	The window in which events of one row become one: what is merged and what never is, when it ends, and in a store.

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { coalesce, coalesceEvents } from '../src/coalesce.js';
import type { RealtimeEvent, Row, Sink } from '../src/index.js';
import { Rows } from '../src/rows.js';
import { open } from './api.js';
import { turn, until } from './support.js';

/** An event of a row, as the notifier would send it. */
function event(action: string, id: string | null, tx: number, data: Row = {}, more: object = {}): RealtimeEvent
{
	return {
		event: `orders.order.${action}`, feature: 'orders', entity: 'order', action, id, data: { id, ...data }, ...more,
		meta: { timestamp: '', tx: String(tx), seq: 0, userId: null, sessionId: null, priority: 'normal', ...(more as { meta?: object }).meta }
	} as unknown as RealtimeEvent;
}

const short = (events: RealtimeEvent[]) => events.map(({ action, id, meta, data }) =>
	`${action} ${id as string} ${meta.tx}${(data as Row)?.n === undefined ? '' : ` ${(data as Row).n}`}`);

test('the last state of a row wins, with the values that the first change found; deletes and custom events all stay', () =>
{
	assert.deepEqual(short(coalesceEvents([
		event('updated', '1', 1, { n: 1 }), event('updated', '2', 1, { n: 1 }), event('status_changed', '1', 1),
		event('updated', '1', 2, { n: 2 }), event('updated', '1', 3, { n: 3 })
	])), ['updated 2 1 1', 'status_changed 1 1', 'updated 1 3 3']);
	assert.deepEqual(coalesceEvents([
		event('updated', '1', 1, { n: 1, m: 0 }, { old: { n: 0 } }), event('updated', '1', 2, { n: 2, m: 1 }, { old: { n: 1, m: 0 } })
	])[0]!.old, { n: 0, m: 0 });
	assert.deepEqual(short(coalesceEvents([
		event('created', '1', 1, { n: 1 }), event('updated', '1', 2, { n: 2 }), event('deleted', '1', 3), event('created', '1', 4, { n: 4 }),
		event('updated', '2', 5, { n: 5 }), event('deleted', '2', 6)
	])), ['created 1 2 2', 'deleted 1 3', 'created 1 4 4', 'deleted 2 6']);
	assert.deepEqual(short(coalesceEvents([
		event('updated', '1', 1), event('truncated', null, 2), event('updated', '1', 3)
	])).length, 3, 'nothing is merged over what is of all rows');
	assert.equal(coalesceEvents([event('updated', '1', 1, { big: 'x' }), event('updated', '1', 2, {}, { meta: { omitted: ['big'] } })]).length, 2);
	assert.equal(coalesceEvents([event('updated', '1', 1), event('updated', '1', 2)], (key) => key === '1').length, 2);
});

test('whatever comes, the rows end the same, and no delete, custom event or change of a busy row is lost', () =>
{
	const action = fc.constantFrom('created', 'entered', 'updated', 'updated', 'updated', 'deleted', 'left', 'status_changed', 'approved', 'truncated');
	const one = fc.record({ action, id: fc.constantFrom('1', '2', '3'), n: fc.nat(9), omits: fc.boolean() });
	const kept = (events: RealtimeEvent[]) => short(events.filter(({ action, id }) =>
		!['created', 'entered', 'updated'].includes(action) || id === '3'));

	fc.assert(fc.property(fc.array(one, { maxLength: 40 }), (list) =>
	{
		const events = list.map(({ action, id, n, omits }, tx) => event(action, action === 'truncated' ? null : id, tx,
			omits ? {} : { n }, omits ? { meta: { omitted: ['n'] } } : {}));
		const merged = coalesceEvents(events, (key) => key === '3');
		const [all, few] = [new Rows(() => {}), new Rows(() => {})];

		events.forEach((each) => all.apply(each, false));
		merged.forEach((each) => few.apply(each, false));
		assert.deepEqual(new Map([...few.map].sort()), new Map([...all.map].sort()));
		assert.deepEqual(kept(merged), kept(events));
		assert.deepEqual(merged.map(({ meta }) => Number(meta.tx)), merged.map(({ meta }) => Number(meta.tx)).sort((a, b) => a - b));
	}), { numRuns: 1000 });
});

test('what comes in a window is given on as one batch at its end; a load, a gap and an error do not wait', (t) =>
{
	t.mock.timers.enable({ apis: ['setTimeout'] });
	const said: string[] = [];
	let sink: Sink = {};
	let isClosed = false;
	const client = {
		open: (_: unknown, given: Sink) =>
		{
			sink = given;
			return Object.assign(() => { isClosed = true; }, { reload: () => said.push('reload') });
		}
	};
	const window = coalesce(200);
	const handle = window(client as never, {}, {
		events: (events, tx) => said.push(`${tx}: ${short(events).join()}`), position: (at) => said.push(at), load: () => said.push('load'),
		gap: (reason) => said.push(reason), error: ({ code }) => said.push(code), start: (at) => said.push(`start ${at}`)
	});
	const come = (tx: number) =>
	{
		sink.events!([event('updated', '1', tx, { n: tx }), event('approved', '1', tx)], String(tx));
		sink.position!(`at ${tx}`);
	};
	const take = () => said.splice(0);

	sink.start!('here');
	sink.position!('at 0');
	assert.deepEqual(take(), ['start here', 'at 0'], 'nothing is held: nothing waits');
	for (let tx = 1; tx <= 100; tx++)
		come(tx);
	t.mock.timers.tick(199);
	assert.deepEqual(take(), []);
	t.mock.timers.tick(1);
	assert.deepEqual([said[0], said.at(-2), said.at(-1), said.length], ['1: approved 1 1', '100: updated 1 100 100,approved 1 100', 'at 100', 101]);
	assert.deepEqual(window.stats, { events: 200, applied: 101, batches: 1 });
	for (const [end, work] of [['load', () => sink.load!([], 'p')], ['lost', () => sink.gap!('lost')],
		['forbidden', () => sink.error!({ code: 'forbidden' } as never)]] as const)
	{
		take();
		come(1);
		work();
		assert.deepEqual(take(), ['1: updated 1 1 1,approved 1 1', 'at 1', end]);
	}
	come(2);
	handle.flush();
	assert.deepEqual(take(), ['2: updated 1 2 2,approved 1 2', 'at 2']);
	come(3);
	handle();
	t.mock.timers.tick(1000);
	assert.deepEqual([take(), isClosed], [[], true], 'nothing comes after the end');
});

test('in a store: one change shown and one hook a row for a burst; deletes are told', async (t) =>
{
	const window = coalesce(1);
	const { server, store } = await open(t, { through: window });
	const told: string[] = [];
	let shown = 0;

	store.subscribe(() => shown++);
	store.on('*', (item, { action, id }) => told.push(`${action} ${id as string} ${item!.data.total as number}`));
	server.database.insert({ id: 3, total: 0 });
	for (let total = 1; total <= 50; total++)
	{
		server.database.update('1', { total });
		server.database.update('3', { total });
	}
	server.database.remove('2');
	await until(() => store.get('2') === undefined && store.get('3')?.data.total === 50);
	assert.equal(store.get('1')!.data.total, 50);
	assert.ok(told.includes('deleted 2 20'));
	assert.equal(window.stats.events, 102);
	assert.deepEqual([window.stats.applied, shown], [told.length, window.stats.batches]);
	assert.ok(window.stats.applied < 102);
	t.diagnostic(`${window.stats.events} events in, ${window.stats.applied} applied in ${window.stats.batches} batches`);
});

test('in a store: an own write is confirmed without waiting for the window; a conflict is found in it', async (t) =>
{
	const { server, api, store } = await open(t, { through: coalesce(1e8) });

	await store.update('1', { status: 'paid' });
	await store.settled();
	assert.equal(store.get('1')!.data.status, 'paid');
	// Theirs came first and lies in the window; mine goes over it. Of a row with changes of mine nothing is merged.
	server.database.update('1', { total: 99 });
	await turn();
	api.hold();
	const saving = store.update('1', { total: 12 });

	await turn();
	assert.equal(store.get('1')!.data.total, 12);
	api.open();
	await saving;
	await store.settled();
	assert.equal(store.get('1')!.data.total, 12);
	assert.deepEqual(store.conflicts.map(({ kind, fields }) => [kind, fields]), [['overwritten', { total: { base: 10, local: 12, remote: 99 } }]]);
});
