// SPDX-License-Identifier: PostgreSQL
//
// page.test.js
//	The inspector's page in Chromium: signing in, live events, sessions and views, keys, hostile data, light and dark, a
//	phone. Any error on a page's console, violations of its policy included, fails the test.
//
// CHROMIUM is the browser's program, SCREENSHOTS a directory for pictures.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import test, { after, afterEach } from 'node:test';
import { chromium } from 'playwright-core';
import { Stage } from '../e2e/lib/stage.js';
import { until } from '../e2e/lib/wait.js';

const shots = process.env.SCREENSHOTS;
const stage = await Stage.open('inspector_page', { isStarted: false });
stage.notifier = await stage.start({ flags: { 'admin-role': 'web_clerk' }, environment: { REALTIME_INSPECTOR: 'on' } });
const { notifier } = stage;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
	args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
const problems = [];
const addresses = [];

after(() => browser.close());
afterEach(() => Promise.all(browser.contexts().map((context) => context.close())));
if (shots)
	mkdirSync(shots, { recursive: true });
await stage.sql('GRANT SELECT ON item, other TO web_clerk');

const admin = (more = {}) => stage.token({ role: 'web_clerk', sub: 'operator', ...more });

/** A page; what it may complain of is text of its console that is expected. */
async function openPage({ expected = /^$/, ...options } = {})
{
	const context = await browser.newContext({ viewport: { width: 1366, height: 900 }, ...options });
	const page = await context.newPage();

	page.setDefaultTimeout(15000);
	page.on('pageerror', (error) => problems.push(error.stack));
	page.on('console', (message) =>
	{
		if (['error', 'warning'].includes(message.type()) && !expected.test(message.text()))
			problems.push(message.text());
	});
	page.on('request', (request) => addresses.push(request.url()));
	page.on('dialog', (dialog) => problems.push(`a dialog: ${dialog.message()}`));
	await page.goto(`${notifier.url}/inspector`);
	return page;
}

async function signIn(page, token = admin())
{
	await page.fill('#token', token);
	await page.keyboard.press('Enter');
}

/** A page that is signed in and gets events. */
async function openInside(options)
{
	const page = await openPage(options);

	await signIn(page);
	await page.waitForSelector('#inside:not([hidden])');
	await page.waitForFunction(() => /no event yet|shown/.test(document.querySelector('#feed-state').textContent) &&
		!document.querySelector('#feed-state').textContent.includes('('));
	return page;
}

const picture = async (page, name) => shots && page.screenshot({ path: path.join(shots, `inspector-${name}.png`), fullPage: true });
const names = (page) => page.$$eval('#events summary b', (list) => list.map((b) => b.textContent));
const row = (page, text) => page.locator('#events > li').filter({ hasText: text }).first();
let id = 0;

const insert = (name) => stage.write('INSERT INTO item (id, name, status, owner) VALUES ($1, $2, $3, $4)', [++id, name, 'pending', 'o1']);

test('who has no token of admin-role sees why, and nothing else', async () =>
{
	const page = await openPage({ expected: /status of 40[13]/ });

	assert.equal(await page.locator('#token').evaluate((e) => e === document.activeElement), true);
	await picture(page, 'sign-in');
	await signIn(page, stage.token({ role: 'web_user' }));
	await page.locator('#problem', { hasText: 'forbidden: the inspector is for the role admin-role' }).waitFor();
	assert.equal(await page.locator('#inside').isVisible(), false);
	await signIn(page, 'nonsense');
	await page.locator('#problem', { hasText: 'unauthorized' }).waitFor();
	await signIn(page, 'two words');
	await page.locator('#problem', { hasText: 'this is no token' }).waitFor();
	assert.equal(await page.inputValue('#token'), '');
	await picture(page, 'refused');
});

test('events come live, with filter and pause, by keyboard', async () =>
{
	const page = await openInside();

	await insert('first');
	await row(page, 'first').waitFor();
	await stage.write(`UPDATE item SET status = 'approved' WHERE id = $1`, [id]);
	await row(page, 'shop.item.approved').waitFor();
	assert.deepEqual((await names(page)).toSorted(), ['shop.item.approved', 'shop.item.created', 'shop.item.status_changed', 'shop.item.updated']);

	await page.keyboard.press('p');			// the tab has the focus
	await page.locator('#feed-state', { hasText: 'paused; 0 more' }).waitFor();
	await insert('while paused');
	await page.locator('#feed-state', { hasText: 'paused; 1 more' }).waitFor();
	assert.equal(await row(page, 'while paused').count(), 0);
	await page.keyboard.press('p');
	await row(page, 'while paused').waitFor();

	await page.keyboard.press('/');
	await page.keyboard.type('created paused');
	await until('only that is shown', async () => (await names(page)).length === 1);
	await page.fill('#filter', '');

	// details: opened by key, and kept while others come
	await page.locator('#events summary').last().focus();
	await page.keyboard.press('Enter');
	await page.locator('#events pre').waitFor();
	assert.match(await page.locator('#events pre').textContent(), /"event": "shop.item.created"/);
	await insert('later');
	await row(page, 'later').waitFor();
	assert.equal(await page.locator('#events pre').count(), 1);
	await page.waitForFunction(() => (document.querySelector('.chart polyline').getAttribute('points') ?? '').split(' ').length > 3);
	await picture(page, 'events');
	await page.click('#clear');
	assert.deepEqual(await names(page), []);
});

test('what events hold never becomes anything but text', async () =>
{
	const hostile = ['<img src=x onerror=alert(1)>', '<script>alert(2)</script>', '</pre></li><svg onload=alert(3)>', '"><iframe srcdoc="<script>alert(4)</script>">',
		'javascript:alert(5)', '${alert(6)}', '\u202e\u2028{"a":1}', 'x'.repeat(200000)];
	const peer = await stage.peer({ claims: { sub: hostile[0], role: 'web_user' } });

	await peer.subscribe({ feature: 'shop', entity: 'item', keep: false, filter: [['name', 'neq', hostile[1]]] });

	await stage.sql(`CREATE TABLE "<img src=x onerror=alert(7)>" (id text PRIMARY KEY, "<b onclick=alert(8)>" text);
		SELECT realtime.enable('"<img src=x onerror=alert(7)>"', '<img src=x onerror=alert(9)>', '"><script>alert(10)</script>');
		GRANT SELECT ON "<img src=x onerror=alert(7)>" TO web_clerk`);
	const page = await openInside();

	// new rights are seen within a second, with a gap
	await until('they are shown', async () =>
	{
		for (const text of hostile)
			await insert(text);
		await stage.write('INSERT INTO "<img src=x onerror=alert(7)>" VALUES ($1, $1)', [`${hostile[1]}${++id}`]);
		return (await row(page, '<img src=x onerror=alert(9)>').count()) > 0 && (await row(page, hostile[0]).count()) > 0;
	});
	await page.locator('#events summary').evaluateAll((list) => list.forEach((summary) => summary.click()));
	await page.locator('#events pre').first().waitFor();
	assert.ok((await page.locator('#events pre').evaluateAll((list) => list.map((pre) => pre.textContent.length))).every((n) => n < 8100));
	await page.click('#tab-sessions');
	await page.locator('#sessions td', { hasText: hostile[0] }).waitFor();
	await page.click('#tab-views');
	await page.locator('#views td', { hasText: 'name neq' }).waitFor();
	// no element but ours, no handler, no frame
	assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('img, iframe, svg:not([role=img]), script:not([src]), b[onclick], [onerror], [onload]')]
		.map((e) => e.outerHTML)), []);
	await peer.close();
});

test('sessions: order, finding, pages', async () =>
{
	const peers = await Promise.all(Array(60).fill().map((_, i) => stage.peer({ claims: { sub: `user${i}`, role: 'web_user' } })));

	await Promise.all(peers.slice(0, 7).map((peer) => peer.subscribe({ feature: 'shop', entity: 'item' })));
	const page = await openInside();
	const rows = () => page.locator('#sessions tbody tr').count();

	await page.locator('#tab-events').focus();
	await page.keyboard.press('ArrowRight');
	await until('a page of them', async () => (await rows()) === 50);
	assert.equal(await page.locator('#tab-sessions').evaluate((e) => e === document.activeElement && e.ariaSelected), 'true');
	await page.selectOption('#sort', 'subscriptions');
	await page.locator('#sessions tbody tr').first().filter({ hasText: 'shop.item' }).waitFor();
	await picture(page, 'sessions');
	await page.click('#next');
	await until('the rest', async () => (await rows()) === 10);
	await page.click('#first');
	await until('the first page', async () => (await rows()) === 50);
	await page.fill('#find', 'user59');
	await until('one', async () => (await rows()) === 1);
	await page.locator('#sessions-state', { hasText: '1 of 1 that match, of 60' }).waitFor();

	await page.locator('#tab-sessions').focus();
	await page.keyboard.press('End');
	await page.locator('#views tbody tr').filter({ hasText: 'shop.item' }).filter({ hasText: 'web_user' }).first().waitFor();
	await picture(page, 'views');
	await Promise.all(peers.map((peer) => peer.close()));
});

test('a flood is shown in bounds', async () =>
{
	const page = await openInside();

	for (let i = 0; i < 4; i++)
	{
		await stage.write(`INSERT INTO item (id, name) SELECT g, 'flood' || g FROM generate_series(${id + 1}, ${id + 2000}) g`);
		id += 2000;
	}
	await row(page, `flood${id}`).waitFor();
	assert.equal(await page.locator('#events > li').count(), 100);
	assert.match(await page.textContent('#feed-state'), /^100 shown, the last 500 kept/);
});

test('who loses the role is shown out', async () =>
{
	const page = await openPage({ expected: /status of 401/ });

	await signIn(page, admin({ seconds: 3 }));
	await page.waitForSelector('#inside:not([hidden])');
	await page.locator('#problem', { hasText: 'expired' }).waitFor();
	assert.equal(await page.locator('#inside').isVisible(), false);
});

test('the notifier goes and comes', async () =>
{
	const page = await openInside({ expected: /Failed to load|WebSocket|ERR_/ });

	await notifier.crash();
	await page.locator('#state[data-state=failed]').waitFor();
	await picture(page, 'away');
	await notifier.spawn();
	await page.locator('#state[data-state=live]').waitFor();
	await until('events again', async () =>
	{
		await insert('again');
		return (await row(page, 'again').count()) > 0;
	});
});

test('nothing is asked while nobody looks', async () =>
{
	const page = await openInside();

	await page.evaluate(() =>
	{
		Object.defineProperty(document, 'hidden', { value: true, configurable: true });
		document.dispatchEvent(new Event('visibilitychange'));
	});
	await until('no session is left', async () => (await notifier.metric('sessions')) === 0);
	const asked = addresses.length;

	await insert('unseen');
	await page.evaluate(() =>
	{
		delete document.hidden;
		document.dispatchEvent(new Event('visibilitychange'));
	});
	await until('it asks again', () => addresses.length > asked);
});

test('dark, and on a phone', async () =>
{
	for (const [name, options] of [['dark', { colorScheme: 'dark' }],
		['phone', { viewport: { width: 390, height: 800 }, isMobile: true, hasTouch: true }],
		['phone-dark', { viewport: { width: 390, height: 800 }, colorScheme: 'dark' }]])
	{
		const page = await openInside(options);

		for (let i = 0; i < 5; i++)
			await insert(`a name that is rather long, number ${i}`);
		await row(page, 'number 4').waitFor();
		await page.waitForFunction(() => (document.querySelector('.chart polyline').getAttribute('points') ?? '').split(' ').length > 3);
		await picture(page, name);
		await page.click('#tab-sessions');
		await until('rows', async () => (await page.locator('#sessions-state').textContent()) !== '');
		await picture(page, `${name}-sessions`);
		for (const tab of ['events', 'sessions', 'views'])
		{
			await page.click(`#tab-${tab}`);
			assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, `${name} ${tab}: nothing is wider than the page`);
		}
		}
});

test('no address had a token, and no page complained', () =>
{
	assert.ok(addresses.length > 20);
	assert.deepEqual(addresses.filter((address) => /token|eyJ/.test(address)), []);
	assert.deepEqual(problems, []);
});
