// SPDX-License-Identifier: PostgreSQL
//
// outages.test.js
//	What fails around the page, in Chromium: the notifier, PostgreSQL, the network, the token, the tab, WebSockets.

import assert from 'node:assert/strict';
import test from 'node:test';
import jwt from 'jsonwebtoken';
import { SECRET, Stage, until } from './stage.js';

const stage = await Stage.open({ flags: { 'jwt-leeway': '0s' } });

/** What the page shows is what the database has, of the rows it shows. */
async function assertEqual(desk)
{
	const shown = await desk.page.evaluate('model.orders.items.map(({ data }) => [data.id, data.customer, data.total, data.status])');
	const rows = await stage.sql('SELECT id::int, customer, total::float, status FROM orders.orders ORDER BY id DESC LIMIT 200');

	assert.deepEqual(shown, rows.map((row) => Object.values(row)));
}

test('the notifier is killed and comes back: changes of the meantime are there, nothing is lost', async () =>
{
	const ann = await stage.desk('ann');
	const id = await stage.order('Before');

	await ann.shows(id, 'Before');
	await stage.notifier.crash();
	await ann.state('reconnecting');
	await ann.shot('reconnecting');
	await stage.sql("UPDATE orders.orders SET customer = 'Meanwhile' WHERE id = $1", [id]);
	const gone = await stage.order('Also meanwhile');

	// The API works: what I do now shows, and is confirmed when the notifier is back.
	await ann.press(id, 'Approve');
	await ann.shows(id, 'approved by Ann');
	await until('the row has it', async () =>
		(await stage.sql('SELECT approval FROM orders.orders WHERE id = $1', [id]))[0].approval === 'approved');
	await stage.notifier.spawn();
	await ann.tool('Try now').click().catch(() => {});
	await ann.state('connected');
	await ann.shows(id, 'Meanwhile');
	await ann.shows(gone, 'Also meanwhile');
	await ann.settled();
	await assertEqual(ann);
	assert.equal(await ann.page.evaluate('model.client.stats.gaps'), 0);
	await ann.close();
});

test('without the notifier the page falls back on the API, and returns to live', async () =>
{
	const ann = await stage.desk('ann');

	await stage.notifier.crash();
	await ann.state('reconnecting');
	const id = await stage.order('By the API');

	await ann.shows(id, 'By the API');		// api.list(), after five seconds
	await ann.shot('fallback-api');
	await stage.notifier.spawn();
	await ann.state('connected');
	await stage.sql("UPDATE orders.orders SET customer = 'Live again' WHERE id = $1", [id]);
	await ann.shows(id, 'Live again');
	await assertEqual(ann);
	await ann.close();
});

for (const mode of ['fast', 'immediate'])
{
	test(`PostgreSQL is restarted: ${mode}`, async () =>
	{
		const ann = await stage.desk('ann');

		await stage.restartDatabase(mode);
		const id = await stage.order(`After ${mode}`);

		await ann.shows(id, `After ${mode}`);
		await until('the API works', async () => (await stage.ask('GET', 'health')).status === 200);
		await ann.press(id, 'Approve');
		await ann.settled();
		await assertEqual(ann);
		await ann.close();
	});
}

test('the API is away: a change waits, shows, and is sent when it is back', async () =>
{
	const ann = await stage.desk('ann');
	const id = await stage.order('Try again');

	await ann.shows(id, 'Try again');
	await stage.stopApi();
	await ann.press(id, 'Approve');
	await ann.shows(id, 'approved by Ann');
	await ann.shows(id, 'waits to be sent');
	await ann.shot('waits-for-api');
	await stage.startApi();
	await ann.settled();
	assert.equal((await stage.sql('SELECT approval FROM orders.orders WHERE id = $1', [id]))[0].approval, 'approved');
	await ann.close();
});

test('the network goes: changes wait and show; it comes back: they are sent in order', async () =>
{
	const ann = await stage.desk('ann');
	const id = await stage.order('Offline');

	await ann.shows(id, 'Offline');
	await ann.context.setOffline(true);
	await ann.page.locator('.connection[data-state=reconnecting]', { hasText: 'Offline' }).waitFor();
	await ann.press(id, 'Approve');
	await ann.type(id, 'total', '55');
	await ann.choose('edit', 'Save');
	await ann.page.locator('.connection', { hasText: '2 waiting' }).waitFor();
	await ann.shows(id, 'approved by Ann');
	await ann.shows(id, '€55.00');
	await ann.shows(id, 'waits to be sent');
	await stage.sql("UPDATE orders.orders SET customer = 'Changed by others' WHERE id = $1", [id]);
	await ann.shot('offline');
	await ann.context.setOffline(false);
	await ann.settled();
	await ann.shows(id, 'Changed by others');
	assert.deepEqual((await stage.sql('SELECT customer, total::float, approval FROM orders.orders WHERE id = $1', [id]))[0],
		{ customer: 'Changed by others', total: 55, approval: 'approved' });
	await ann.state('connected');
	await assertEqual(ann);
	await ann.close();
});

test('offline, and changed by somebody else meanwhile: the conflict is told, and theirs can be had', async () =>
{
	const ann = await stage.desk('ann');
	const id = await stage.order('Held', 10);

	await ann.shows(id, 'Held');
	await ann.context.setOffline(true);
	await ann.type(id, 'total', '20');
	await ann.choose('edit', 'Save');
	await ann.shows(id, '€20.00');
	await stage.sql('UPDATE orders.orders SET total = 30 WHERE id = $1', [id]);
	await ann.context.setOffline(false);
	await ann.page.locator('.banner').waitFor();
	assert.equal(await ann.page.evaluate('model.orders.conflicts[0].kind'), 'changed', 'found before anything was sent');
	assert.equal((await stage.sql('SELECT total::float FROM orders.orders WHERE id = $1', [id]))[0].total, 30);
	await ann.page.locator('.banner button').click();
	await ann.dialog('conflict').getByText('Nothing of yours is sent until you decide').waitFor();
	await ann.shot('conflict-after-offline');
	await ann.choose('conflict', 'Take theirs');
	await ann.shows(id, '€30.00');
	await ann.settled();
	assert.equal((await stage.sql('SELECT total::float FROM orders.orders WHERE id = $1', [id]))[0].total, 30);
	await ann.close();
});

test('changes that wait survive a reload of the page, and are sent by the next one', async () =>
{
	const ann = await stage.desk('ann');
	const id = await stage.order('Reloaded');

	await ann.shows(id, 'Reloaded');
	await stage.stopApi();
	await ann.press(id, 'Approve');
	await ann.shows(id, 'waits to be sent');
	await until('it is kept', () => ann.page.evaluate(async () =>
	{
		const [{ name }] = await indexedDB.databases();
		const database = await new Promise((resolve) => { indexedDB.open(name).onsuccess = ({ target }) => resolve(target.result); });
		const keys = database.transaction('stores').objectStore('stores').getAllKeys();

		await new Promise((resolve) => { keys.onsuccess = resolve; });
		database.close();
		return keys.result.some((key) => key.endsWith('queue'));
	}));
	await ann.page.reload();
	await ann.page.getByText('The page cannot start').waitFor();
	await ann.shot('cannot-start');
	await stage.startApi();
	await ann.page.getByRole('button', { name: 'Try again' }).click();
	await ann.toast(`Order ${id}: the change from before the reload was sent`);
	await ann.shows(id, 'approved by Ann');
	await ann.shot('replayed');
	await ann.settled();
	assert.equal((await stage.sql('SELECT approval FROM orders.orders WHERE id = $1', [id]))[0].approval, 'approved');
	await ann.close();
});

/** Signs the page in with a token that lives for some seconds, whatever the API says. */
const shortLived = (seconds) => (page) => page.route('**/api/login', async (route) =>
{
	const response = await route.fetch();
	const body = await response.json();

	body.data.token = jwt.sign({ sub: 'ann', role: 'web_admin' }, SECRET, { expiresIn: seconds });
	body.data.expires = Date.now() / 1000 + 300;
	return route.fulfill({ response, json: body });
});

test('a token is renewed before it expires, on the same connection', async () =>
{
	const ann = await stage.desk('ann', { prepare: shortLived(4) });
	const end = Date.now() + 5000;

	assert.equal(await ann.connections(), 1);
	await until('the first token has expired', () => Date.now() > end);
	const id = await stage.order('Still here');

	await ann.shows(id, 'Still here');
	assert.equal(await ann.connections(), 1);
	await ann.close();
});

test('a token expires and cannot be renewed: the state is an error with its reason, until it can', async () =>
{
	let isBlocked = true;
	const ann = await stage.desk('ann', {
		prepare: async (page) =>
		{
			await shortLived(4)(page);
			await page.route('**/api/token', (route) => isBlocked ? route.abort() : route.continue());
		}
	});

	await ann.state('error');
	await ann.page.locator('.connection', { hasText: 'could not be renewed' }).waitFor();
	await ann.shot('expired');
	const id = await stage.order('Meanwhile');

	isBlocked = false;
	await ann.tool('Try now').click();
	await ann.state('connected');
	await ann.shows(id, 'Meanwhile');
	await ann.settled();
	await assertEqual(ann);
	await ann.close();
});

test('a tab is hidden and frozen, and shown again', async () =>
{
	const ann = await stage.desk('ann');
	const devtools = await ann.context.newCDPSession(ann.page);
	const id = await stage.order('Frozen');

	await ann.shows(id, 'Frozen');
	await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
	await stage.sql("UPDATE orders.orders SET customer = 'Thawed' WHERE id = $1", [id]);
	await stage.notifier.crash();
	const last = await stage.order('While frozen');

	await stage.notifier.spawn();
	await devtools.send('Page.setWebLifecycleState', { state: 'active' });
	await ann.shows(id, 'Thawed');
	await ann.shows(last, 'While frozen');
	// Hidden is another thing: nothing but visibilitychange ends the pause between attempts then.
	await stage.notifier.crash();
	await ann.state('reconnecting');
	await ann.page.evaluate(`
		for (const [name, value] of [['visibilityState', 'hidden'], ['hidden', true]])
			Object.defineProperty(document, name, { configurable: true, get: () => value });
		document.dispatchEvent(new Event('visibilitychange'));`);
	await until('a long pause', () => ann.page.evaluate('model.client.status.value.attempt > 3'), 60);
	await stage.notifier.spawn();
	const after = await stage.order('While hidden');

	await ann.page.evaluate(`
		delete document.visibilityState, delete document.hidden;
		document.dispatchEvent(new Event('visibilitychange'));`);
	await ann.state('connected');
	await ann.shows(after, 'While hidden');
	await assertEqual(ann);
	await ann.close();
});

test('WebSockets are blocked: server-sent events take over, and give back', async () =>
{
	let isBlocked = true;
	const ann = await stage.desk('ann', {
		prepare: (page) => page.routeWebSocket(/\/v1\/ws/, (socket) =>
		{
			if (isBlocked)
				socket.close({ code: 1011, reason: 'blocked' });
			else
				socket.connectToServer();
		})
	});

	await ann.page.locator('.connection', { hasText: 'by event stream' }).waitFor();
	const id = await stage.order('By events');

	await ann.shows(id, 'By events');
	await ann.press(id, 'Approve');
	await ann.shows(id, 'approved by Ann');
	await ann.settled();
	for (const what of ['created', 'approved'])
	{
		const entry = ann.page.locator('.feed li').filter({ has: ann.page.locator(`b:text-is("${what}")`) }).filter({ hasText: `order #${id}` });

		await entry.waitFor();
		assert.equal(await entry.count(), 1);
	}
	await ann.shot('events');
	isBlocked = false;
	await ann.page.evaluate('model.client.wake()');
	await until('back on the WebSocket', () => ann.page.evaluate("model.client.status.value.transport === 'websocket'"));
	await stage.sql("UPDATE orders.orders SET customer = 'By WebSocket' WHERE id = $1", [id]);
	await ann.shows(id, 'By WebSocket');
	await assertEqual(ann);
	await ann.close();
});

test('WebSockets and event streams are blocked: long polls take over, and give back', async () =>
{
	let isBlocked = true;
	const ann = await stage.desk('ann', {
		prepare: async (page) =>
		{
			await page.routeWebSocket(/\/v1\/ws/, (socket) =>
			{
				if (isBlocked)
					socket.close({ code: 1011, reason: 'blocked' });
				else
					socket.connectToServer();
			});
			await page.route('**/v1/events', (route) => route.abort());
		}
	});

	await ann.page.locator('.connection', { hasText: 'by polling' }).waitFor();
	const id = await stage.order('By polls');

	await ann.shows(id, 'By polls');
	await ann.press(id, 'Approve');
	await ann.shows(id, 'approved by Ann');
	await ann.settled();
	await ann.shot('poll');
	await stage.sql("UPDATE orders.orders SET customer = 'Still by polls' WHERE id = $1", [id]);
	await ann.shows(id, 'Still by polls');
	await assertEqual(ann);
	isBlocked = false;
	await ann.page.evaluate('model.client.wake()');
	await until('back on the WebSocket', () => ann.page.evaluate("model.client.status.value.transport === 'websocket'"));
	await stage.sql("UPDATE orders.orders SET customer = 'By WebSocket' WHERE id = $1", [id]);
	await ann.shows(id, 'By WebSocket');
	assert.deepEqual(await ann.page.evaluate('[model.client.stats.gaps, model.client.stats.badFrames]'), [0, 0]);
	await assertEqual(ann);
	await ann.close();
});

test('the page says what is wrong when the API is not there at the start', async () =>
{
	await stage.stopApi();
	const context = await stage.browser.newContext();
	const page = await context.newPage();

	await page.goto(stage.notifier.url);
	await page.getByText('The page cannot start').waitFor();
	await stage.startApi();
	await page.getByRole('button', { name: 'Try again' }).click();
	await page.waitForSelector('.connection[data-state=connected]');
	await context.close();
});
