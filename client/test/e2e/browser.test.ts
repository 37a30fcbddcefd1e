// SPDX-License-Identifier: PostgreSQL
//
// browser.test.ts
//	The built client in Chromium, against a real notifier that serves the page, too: tabs that share a connection both
//	ways, a network that comes and goes, a warm start from IndexedDB.
//
// CHROMIUM is the browser's program; default: /usr/bin/chromium.

import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import test, { after } from 'node:test';
import { build } from 'esbuild';
import { chromium, type BrowserContext, type Page } from 'playwright-core';

const library = new URL('../../../../test/e2e/lib/', import.meta.url);
const { Stage, SCHEMA } = await import(new URL('stage.js', library).href);
const { makeDirectory } = await import(new URL('notifier.js', library).href);
const { until } = await import(new URL('wait.js', library).href);
const client = path.resolve(import.meta.dirname ?? '.', '../../..');

/** The page: `?worker` and `?election` share, `?storage` keeps rows. What the test looks at is in `window`. */
const PAGE = `
	import { RealtimeClient } from './dist/index.js';
	import { sharedTransports } from './dist/shared.js';
	import { indexedDBStorage } from './dist/indexeddb.js';

	const mode = location.search.slice(1);
	const name = 'test ' + location.origin;
	const worker = () => new SharedWorker('/worker.js', { type: 'module', name });
	const client = new RealtimeClient(location.origin, {
		minDelay: 50, maxDelay: 500, upgradeInterval: 300,
		...(mode === 'worker' && { transports: sharedTransports({ name, worker }) }),
		...(mode === 'election' && { transports: sharedTransports({ name }) })
	});
	const store = client.entity('shop', 'item', { order: ['id'], ...(mode === 'storage' && { storage: indexedDBStorage() }) });

	window.states = [];
	client.status.subscribe(({ state }) => window.states.push(state));
	store.subscribe(() => document.body.textContent = store.items.map(({ id, data }) => id + data.name).join());
	Object.assign(window, { client, store });
`;

const stage = await Stage.open('browser', { isStarted: false, schema: SCHEMA });
const directory = path.join(await makeDirectory(), 'static');

await mkdir(directory);
await writeFile(path.join(directory, 'index.html'), '<!doctype html><meta charset="utf-8"><script type="module" src="/page.js"></script><body>');
for (const [name, contents] of [['page', PAGE], ['worker', "import './dist/shared-worker.js'"]] as const)
{
	await build({
		stdin: { contents, resolveDir: client }, bundle: true, format: 'esm', target: 'es2022', outfile: path.join(directory, `${name}.js`)
	});
}
stage.notifier = await stage.start({ flags: { static: directory } });

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });

after(() => browser.close());

/** Waits for a page to show a text; of one that does not, the error says what it does show and how its client is. */
async function shows(page: Page, text: string): Promise<void>
{
	let found = null as string | null;
	const isShown = async () => (found = await page.textContent('body')) === text;

	await until(`the page shows ${text}`, isShown, 60).catch(async (error: Error) =>
	{
		const is = await page.evaluate('JSON.stringify([client.status.value, client.stats, states, store.value.loading, store.value.error])');

		throw new Error(`${error.message}; it shows ${found}; ${is}`);
	});
}

const insert = (id: number) => stage.write(`INSERT INTO item (id, name) VALUES (${id}, 'x')`);
const sessions = async () => [...await stage.notifier.metrics()].filter(([name]: [string]) => /^realtime_sessions\b/.test(name))
	.reduce((sum: number, [, value]: [string, number]) => sum + value, 0);

/** At rest; a tab that joins a view loads beside the stream, by a poll that is a session for that moment. */
const hasSessions = (count: number) => until(`${count} sessions`, async () => await sessions() === count);

/** Opens a page, whose errors fail the test. */
async function open(context: BrowserContext, mode: string): Promise<Page>
{
	const page = await context.newPage();

	page.on('pageerror', (error) => assert.fail(error));
	await page.goto(`${stage.notifier.url}/index.html?${mode}`);
	return page;
}

let last = 0;
const all = () => Array.from({ length: last }, (_, i) => `${i + 1}x`).join();

for (const mode of ['worker', 'election'])
{
	test(`three tabs share one connection: ${mode}; the first one is closed`, async () =>
	{
		const context = await browser.newContext();

		await insert(++last);
		const [first, ...others] = [await open(context, mode), await open(context, mode), await open(context, mode)];

		for (const page of [first!, ...others])
			await shows(page, all());
		await hasSessions(1);
		await first!.close();
		await insert(++last);
		for (const page of others)
			await shows(page, all());
		await hasSessions(1);
		await stage.notifier.crash();
		await insert(++last);
		await stage.notifier.spawn();
		// The hub is in a pause of up to half a minute by now, like any client: somebody looks at a tab.
		await others[0]!.evaluate('client.wake()');
		for (const page of others)
			await shows(page, all());
		await hasSessions(1);
		await context.close();
		await hasSessions(0);
	});
}

test('the network goes and comes; a killed page starts from what it kept', async () =>
{
	const context = await browser.newContext();
	const page = await open(context, 'storage');

	await insert(++last);
	await shows(page, all());
	await stage.notifier.crash();
	await until('the page notices', () => page.evaluate("client.status.value.state === 'reconnecting'"));
	await context.setOffline(true);
	await stage.notifier.spawn();
	await insert(++last);
	await context.setOffline(false);		// `online` wakes the client
	await shows(page, all());
	assert.deepEqual(await page.evaluate('[client.stats.gaps, client.stats.badFrames]'), [0, 0]);
	await page.evaluate('store.stop()');
	await stage.notifier.crash();
	const again = await context.newPage();

	// The page itself is from the notifier, so it is routed: nothing but what was kept can be shown.
	await again.route('**/*', async (route) =>
	{
		const { pathname } = new URL(route.request().url());

		if (pathname.startsWith('/v1'))
			return route.abort();
		return route.fulfill({ path: path.join(directory, pathname) });
	});
	await again.goto(`${stage.notifier.url}/index.html?storage`);
	await shows(again, all());
	assert.equal(await again.evaluate('store.loading'), true);
	await stage.notifier.spawn();
	await context.close();
});

for (const [transport, blocked] of [['events', []], ['poll', ['events']]] as const)
{
	test(`WebSockets${blocked.length > 0 ? ' and event streams' : ''} are blocked: ${transport}, and back to the WebSocket by itself`, async () =>
	{
		const context = await browser.newContext();
		let isBlocked = true;

		await context.routeWebSocket(/\/v1\/ws/, (socket) =>
		{
			if (isBlocked)
				socket.close({ code: 1011, reason: 'blocked' });
			else
				socket.connectToServer();
		});
		for (const name of blocked)
			await context.route(`**/v1/${name}`, (route) => route.abort());
		const page = await open(context, '');

		await shows(page, all());
		assert.equal(await page.evaluate('client.status.value.transport'), transport);
		await insert(++last);
		await shows(page, all());
		isBlocked = false;
		await until('it is back', () => page.evaluate("client.status.value.transport === 'websocket'"), 15);
		await insert(++last);
		await shows(page, all());
		assert.deepEqual(await page.evaluate('[client.stats.gaps, client.stats.badFrames, client.stats.duplicates]'), [0, 0, 0]);
		await context.close();
	});
}

test('a page without WebSocket at all', async () =>
{
	const context = await browser.newContext();

	await context.addInitScript('delete window.WebSocket');
	const page = await open(context, '');

	await shows(page, all());
	assert.equal(await page.evaluate('client.status.value.transport'), 'events');
	await insert(++last);
	await shows(page, all());
	await context.close();
});
