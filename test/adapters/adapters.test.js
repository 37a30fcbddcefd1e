// SPDX-License-Identifier: PostgreSQL
//
// adapters.test.js
//	The same page by each framework's adapter, built by that framework's tools, in Chromium: over a fake server in the
//	page, and over a real notifier and PostgreSQL.

import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import { Desk, FakeBackend, LiveBackend, openBrowser, pages, until } from './stage.js';

const live = await LiveBackend.open();
const browser = await openBrowser();
const open = (t, name, backend, html) => Desk.open(t, browser, live.url, name, backend, html);
const names = ['angular', 'react', 'react-development', 'vue', 'svelte', 'svelte4'];

for (const name of names)
{
	for (const backend of name === 'react-development' ? [new FakeBackend()] : [new FakeBackend(), live])
	{
		test(`${name}, ${backend.constructor.name}: list, events, optimistic updates, rollback, conflict, end`, async (t) =>
		{
			const desk = await open(t, name, backend);

			// The list as it is.
			await desk.shows('Ann pending', 'Ben pending');
			await desk.has('#status', 'connected');
			await desk.has('#loading', undefined);
			await desk.has('#pending', '2');
			assert.equal(await backend.subscriptions(), 1);

			// What others do.
			await backend.insert({ id: 3, customer: 'Cleo', status: 'pending' });
			await desk.shows('Ann pending', 'Ben pending', 'Cleo pending');
			await backend.update(3, { customer: 'Clea' });
			await desk.shows('Ann pending', 'Ben pending', 'Clea pending');

			// An approval shows at once, is the database's when it is answered, and never flickers.
			let release = desk.hold();

			await desk.press(1, 'approve');
			await desk.shows('Ann approved*', 'Ben pending', 'Clea pending');
			await desk.has('#pending', '2');
			assert.equal(await backend.status(1), 'pending');
			release();
			await desk.shows('Ann approved', 'Ben pending', 'Clea pending');
			assert.equal(await backend.status(1), 'approved');
			assert.deepEqual(await desk.seen(1), ['Ann pending', 'Ann approved*', 'Ann approved']);

			// One that is refused is taken back, and what others did meanwhile stays.
			release = desk.hold();
			await desk.press(2, 'approve');
			await desk.shows('Ann approved', 'Ben approved*', 'Clea pending');
			await backend.update(3, { customer: 'Cleo' });
			await desk.shows('Ann approved', 'Ben approved*', 'Cleo pending');
			release();
			await desk.shows('Ann approved', 'Ben pending', 'Cleo pending');
			await desk.has('#error', 'Ben is over his limit');

			// A removal is busy until it is answered.
			release = desk.hold();
			await desk.press(3, 'delete');
			await desk.shows('Ann approved', 'Ben pending', 'Cleo pending*');
			release();
			await desk.shows('Ann approved', 'Ben pending');

			// A draft, another's change of the same field, theirs is taken.
			await desk.press(1, 'draft');
			await desk.shows('Draft approved', 'Ben pending');
			await backend.update(1, { customer: 'Anna' });
			await desk.has('#conflicts', '1');
			await desk.press(1, 'theirs');
			await desk.shows('Anna approved', 'Ben pending');
			await desk.has('#conflicts', '0');

			// A list that is gone is not listened for: by the clock of the page, some seconds later.
			await desk.page.click('#toggle');
			await desk.has('section', undefined);
			await desk.page.clock.fastForward(20000);
			await until('nothing is subscribed to', async () => await backend.subscriptions() === 0);
			await backend.update(1, { customer: 'Ann' });
			await desk.page.click('#toggle');
			await desk.shows('Ann approved', 'Ben pending');
			assert.equal(await backend.subscriptions(), 1);
			await desk.close();
			await until('the page is gone', async () => backend === live ? await live.subscriptions() === 0 : true);
		});
	}
}

test('angular: hooks, custom actions, rejection, signals that are set', async (t) =>
{
	const desk = await open(t, 'angular', live);

	await desk.shows('Ann pending', 'Ben pending');
	await live.insert({ id: 3, customer: 'Cleo' });
	await desk.has('#told', 'created Cleo');
	await live.update(3, { customer: 'Clea' });
	await desk.has('#told', 'created Cleo,updated Clea');
	await live.update(3, { status: 'approved' });
	await desk.has('#told', 'created Cleo,updated Clea,updated Clea,approved Clea');
	await live.remove(3);
	await desk.has('#told', 'created Cleo,updated Clea,updated Clea,approved Clea,deleted 3 Clea');
	const release = desk.hold();

	await desk.press(1, 'reject');
	await desk.shows('Ann rejected*', 'Ben pending');
	release();
	await desk.shows('Ann rejected', 'Ben pending');
	assert.equal(await live.status(1), 'rejected');
	await desk.page.evaluate(() => window.orders.setError(new Error('said by the application')));
	await desk.has('#error', 'said by the application');
	await desk.page.evaluate(() => window.orders.setLoading(true));
	await desk.has('#loading', 'loading');
	await desk.page.evaluate(() => window.orders.load(true));
	await desk.has('#loading', undefined);
	await desk.has('#error', undefined);
	await desk.close();
});

test('angular: an error of HttpClient is one that the store knows', async (t) =>
{
	const desk = await open(t, 'angular', live);

	await desk.shows('Ann pending', 'Ben pending');
	assert.deepEqual(await desk.page.evaluate(() => window.orders.approveItem('2').catch(({ name, code, detail }) => [name, code, detail.status])),
		['RealtimeError', 'refused', 422]);

	// No answer at all: sent again.
	let isCut = true;

	await desk.page.route('**/api/orders/**', (route) => isCut ? route.abort() : route.fallback());
	await desk.press(1, 'approve');
	await until('it failed once', () => desk.page.evaluate(() => window.orders.pending()[0]?.attempts === 1 && window.orders.pending()[0].state === 'waiting'));
	isCut = false;
	await desk.page.clock.fastForward(5000);
	await desk.shows('Ann approved', 'Ben pending');
	desk.problems = desk.problems.filter((text) => !/ERR_FAILED/.test(text));
	await desk.close();
});

test('angular: on a server nothing is subscribed to', async (t) =>
{
	const desk = await open(t, 'angular', live);

	await desk.shows('Ann pending', 'Ben pending');
	await desk.page.click('#toggle');
	await desk.page.clock.fastForward(20000);
	await until('nothing is subscribed to', async () => await live.subscriptions() === 0);
	await desk.page.evaluate(() => { window.manager = window.makeOnServer(); });
	assert.deepEqual(await desk.page.evaluate(() => [window.manager.loading(), window.manager.items().length, window.manager.store.loading]),
		[true, 0, false]);		// shown as loading; the store itself has not begun
	await desk.close();
});

for (const name of ['react', 'vue', 'svelte'])
{
	test(`${name}: another store in its place`, async (t) =>
	{
		const desk = await open(t, name, live);

		await desk.shows('Ann pending', 'Ben pending');
		await live.update(1, { status: 'approved' });
		await desk.shows('Ann approved', 'Ben pending');
		await desk.page.click('#filter');
		await desk.shows('Ben pending');
		await live.update(1, { status: 'pending' });
		await desk.shows('Ann pending', 'Ben pending');
		assert.equal(await live.subscriptions(), 2);
		await desk.page.clock.fastForward(20000);
		await until('the first one is not listened to', async () => await live.subscriptions() === 1);
		await desk.close();
	});
}

test('react: a change of a row renders that row; strict mode subscribes once', async (t) =>
{
	const desk = await open(t, 'react', live);

	await desk.shows('Ann pending', 'Ben pending');
	const before = await desk.page.evaluate(() => ({ ...window.renders }));

	await live.update(2, { customer: 'Benno' });
	await desk.shows('Ann pending', 'Benno pending');
	assert.deepEqual(await desk.page.evaluate(() => window.renders), { 1: before[1], 2: before[2] + 1 });
	await desk.close();
	const strict = await open(t, 'react-development', new FakeBackend());

	await strict.shows('Ann pending', 'Ben pending');
	assert.deepEqual(await strict.page.evaluate(() => window.fake.session.received.map(({ op }) => op)), ['subscribe']);
	await strict.close();
});

for (const name of ['react', 'vue', 'svelte'])
{
	test(`${name}: rendered by a server, where nothing is subscribed to, and taken over by the browser`, async (t) =>
	{
		const { render } = await import(path.join(pages, 'server', name, 'server.js'));
		const opened = [];

		globalThis.fake = { WebSocket: class { constructor(url) { opened.push(url); } }, fetch: (url) => opened.push(url) };
		const html = await render();

		assert.match(html, /loading/);
		assert.match(html, /disconnected/);
		await new Promise((resolve) => setImmediate(resolve));
		assert.deepEqual(opened, []);
		const desk = await open(t, name, live, html);

		await desk.shows('Ann pending', 'Ben pending');
		await live.update(2, { customer: 'Benno' });
		await desk.shows('Ann pending', 'Benno pending');
		assert.equal(await desk.page.locator('section').count(), 1);
		await desk.close();
	});
}
