// SPDX-License-Identifier: PostgreSQL
//
// looks.test.js
//	The page on a laptop and on a phone, light and dark, by keyboard, and what its security policy forbids.

import assert from 'node:assert/strict';
import test from 'node:test';
import { Stage, until } from './stage.js';

const stage = await Stage.open();
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

/** Texts whose contrast with their ground is below 4.5, disabled ones left out. */
const faint = (page) => page.evaluate(() =>
{
	const parse = (color) =>
	{
		const canvas = new OffscreenCanvas(1, 1).getContext('2d');

		canvas.fillStyle = color;
		canvas.fillRect(0, 0, 1, 1);
		return [...canvas.getImageData(0, 0, 1, 1).data];
	};
	const light = (rgb) => rgb.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const ground = (element) =>
	{
		for (let one = element; one; one = one.parentElement)
		{
			const rgb = parse(getComputedStyle(one).backgroundColor);

			if (rgb[3] === 255)
				return rgb;
		}
		return [255, 255, 255, 255];
	};
	const bad = new Set();

	for (const element of document.querySelectorAll('body *'))
	{
		const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '');

		if (!hasText || element.closest(':disabled, option, .hidden, [hidden]') || !element.checkVisibility())
			continue;
		const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);

		if ((a + 0.05) / (b + 0.05) < 4.5)
			bad.add(`${element.className || element.tagName}: ${element.textContent.slice(0, 20)} ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
	}
	return [...bad];
});

for (const [name, options] of [['laptop-light', {}], ['laptop-dark', { colorScheme: 'dark' }], ['phone-light', PHONE], ['phone-dark', { ...PHONE, colorScheme: 'dark' }]])
{
	test(`${name}: every tab fits, is readable, and has its contents`, async () =>
	{
		const ann = await stage.desk('ann', options);

		await stage.sql('UPDATE orders.orders SET total = total + 1 WHERE id = 1');
		await ann.page.locator('.feed li').first().waitFor({ state: 'attached' });
		for (const tab of name.startsWith('phone') ? ['products', 'users', 'events', 'orders'] : ['products', 'users', 'orders'])
		{
			await ann.page.click(`#tab-${tab}`);
			await ann.page.locator(`#panel-${tab} li`).first().waitFor();
			assert.equal(await ann.page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true, `${tab} is not too wide`);
			assert.deepEqual(await faint(ann.page), [], tab);
			await ann.shot(`${name}-${tab}`);
		}
		// A conflict, in its dialog.
		await ann.type('1', 'total', '150');
		await stage.sql('UPDATE orders.orders SET total = total + 1 WHERE id = 1');
		await ann.page.locator('.banner').waitFor();
		await ann.shot(`${name}-edit`);
		await ann.choose('edit', 'Resolve conflict');
		await ann.dialog('conflict').waitFor();
		assert.equal(await ann.page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true);
		assert.deepEqual(await faint(ann.page), [], 'dialog');
		await ann.shot(`${name}-conflict`);
		await ann.choose('conflict', 'Take theirs');
		await ann.choose('edit', 'Discard');
		await ann.close();
	});

	test(`${name}: what goes on is readable: a refusal, a lock, a draft in conflict, a job, no network`, async () =>
	{
		const ann = await stage.desk('ann', options);
		const third = await stage.order('To be paid');
		const mine = await stage.order('My draft');
		const id = await stage.order('A customer whose name is longer than any card is wide', 1234567.89);
		const looksWell = async (what) =>
		{
			assert.equal(await ann.page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true, `${what} is not too wide`);
			assert.deepEqual(await faint(ann.page), [], what);
			await ann.shot(`${name}-${what}`);
		};

		await ann.type(mine, 'total', '150');
		await stage.sql('UPDATE orders.orders SET total = 151 WHERE id = $1', [mine]);
		await ann.choose('edit', 'Keep as draft');
		await ann.page.locator('.banner').waitFor();
		const release = await ann.hold(`**/api/orders/${id}/approve`);

		await ann.press(id, 'Approve');
		await ann.shows(id, 'Saving');
		await looksWell('busy');
		await stage.ask('PUT', `orders/${id}/lock`, { token: await stage.login('ben'), body: { seconds: 60 } });
		await release();
		await ann.toast('is locked by ben');
		await ann.shows(id, 'locked by Ben');
		const [{ job }] = await stage.sql("SELECT realtime.bulk_start('orders', 'order', 'ship', 10)::text AS job");

		await until('progress is seen', async () =>
		{
			await stage.sql('SELECT realtime.bulk_progress($1, 4, 1)', [job]);		// some are left out, for the sake of the others
			return ann.page.locator('.bulk', { hasText: '4 of 10, 1 failed' }).count();
		});
		await looksWell('refused');
		await stage.sql('SELECT realtime.bulk_complete($1)', [job]);
		await ann.page.locator('.bulk', { hasText: 'done' }).waitFor();
		await ann.context.setOffline(true);
		await ann.page.locator('.connection', { hasText: 'Offline' }).waitFor();
		await ann.press(third, 'Pay');
		await ann.page.locator('.connection', { hasText: '1 waiting' }).waitFor();
		await ann.page.locator('.banner').waitFor();
		await looksWell('offline');
		await ann.context.setOffline(false);
		await ann.state('connected');
		await until('it was sent', () => ann.page.evaluate(`model.orders.get('${third}').data.status === 'paid' && model.orders.get('${third}').isLoading === false`));
		await ann.close();
	});
}

test('by keyboard alone: tabs, filters, an approval, a dialog; focus is never lost', async () =>
{
	const id = await stage.order('By keyboard');
	const ann = await stage.desk('ann');
	const { page } = ann;
	const focus = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent || document.activeElement.value);

	await page.keyboard.press('Tab');
	assert.equal(await focus(), 'tab-orders');
	await page.keyboard.press('ArrowRight');
	assert.equal(await focus(), 'tab-products');
	await page.locator('#panel-products .card').first().waitFor();
	await page.keyboard.press('Home');
	await ann.shows(id, 'By keyboard');
	await ann.shot('keyboard-focus');
	await page.focus('.chips input:checked');
	await page.keyboard.press('ArrowRight');
	await until('only pending ones', async () => (await page.locator('#panel-orders .badge[data-status]').allTextContents()).every((text) => text === 'pending'));
	await page.keyboard.press('ArrowLeft');
	await ann.button(id, 'Approve').focus();
	await page.keyboard.press('Enter');
	await ann.shows(id, 'approved by Ann');
	await ann.settled();
	assert.equal(await page.evaluate((key) => document.activeElement.closest('.card')?.dataset.id === key, id), true);
	await page.keyboard.press('Tab');
	assert.equal((await focus()).trim(), 'Pay');		// Approve and Reject are disabled now
	await page.keyboard.press('Tab');
	await page.keyboard.press('Enter');
	await ann.dialog('edit').waitFor();
	assert.equal(await focus(), 'edit-customer');
	await page.keyboard.press('Control+A');
	await page.keyboard.type('Typed');
	await page.keyboard.press('Enter');
	await ann.shows(id, 'Typed');
	await ann.settled();
	assert.equal((await stage.sql('SELECT customer FROM orders.orders WHERE id = $1', [id]))[0].customer, 'Typed');
	await ann.button(id, 'Edit').focus();
	await page.keyboard.press('Enter');
	await page.keyboard.press('Escape');
	await ann.dialog('edit').waitFor({ state: 'detached' });
	assert.equal((await focus()).trim(), 'Edit');
	// Everything that can be pressed has a name.
	assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('button, input, select')]
		.filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length)).map((one) => one.outerHTML)), []);
	await ann.close();
});

test('the indicator: five states, each with a text and a picture, and why there is no connection', async () =>
{
	const context = await stage.browser.newContext({ viewport: { width: 1366, height: 850 } });
	const page = await context.newPage();
	const sockets = [];
	let answer = () => {};		// none
	const shows = async (state, text, picture) =>
	{
		await page.waitForSelector(`.connection[data-state=${state}]`);
		assert.match(await page.textContent('.connection'), text);
		assert.equal(await page.locator(`.connection .picture svg.${picture}`).count(), 1, state);
	};

	await page.routeWebSocket(/\/v1\/ws/, (socket) =>
	{
		sockets.push(socket);
		answer(socket);
	});
	await page.goto(`${stage.notifier.url}/?user=ann`);
	await shows('connecting', /Connecting/, 'wait');
	await page.evaluate('model.client.close()');
	await shows('disconnected', /Not connected.*closed/, 'off');
	answer = (socket) => socket.connectToServer();
	await page.evaluate('model.client.connect()');
	await shows('connected', /Live/, 'live');
	answer = () => {};
	await sockets.at(-1).close({ code: 1012, reason: 'restart' });
	await shows('reconnecting', /Reconnecting.*the server restarts/, 'wait');
	await page.evaluate('model.client.close()');
	answer = (socket) => void socket.close({ code: 4001, reason: 'unauthorized' });		// also the fresh token that follows
	await page.evaluate('model.client.connect()');
	await shows('error', /No connection.*the session was refused/, 'warning');
	await context.close();
});

test('no inline script runs and no string becomes markup', async () =>
{
	const context = await stage.browser.newContext();
	const page = await context.newPage();

	await page.goto(`${stage.notifier.url}/`);
	await page.waitForSelector('.card');
	assert.equal(await page.evaluate(() =>
	{
		try
		{
			document.body.innerHTML = '<b>x</b>';
			return 'allowed';
		}
		catch (error)
		{
			return error.name;
		}
	}), 'TypeError');
	assert.equal(await page.evaluate(() =>
	{
		try
		{
			const script = document.createElement('script');

			script.text = 'globalThis.isInline = true';
			document.body.append(script);
		}
		catch {}
		return globalThis.isInline === true;
	}), false);
	await context.close();
});

test('the first plain page is at /plain/, without a login', async () =>
{
	const context = await stage.browser.newContext();
	const page = await context.newPage();

	await page.goto(`${stage.notifier.url}/plain/`);
	await page.locator('.order').first().waitFor();
	const id = await stage.order('Plain');

	await page.locator('.order', { hasText: 'Plain' }).waitFor();
	assert.match(await page.textContent('#connection-text'), /live/);
	await stage.sql('DELETE FROM orders.orders WHERE id = $1', [id]);
	await page.locator('.order', { hasText: 'Plain' }).waitFor({ state: 'detached' });
	await context.close();
});
