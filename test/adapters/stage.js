// SPDX-License-Identifier: PostgreSQL
//
// stage.js
//	Pages of the built directory in Chromium, over one of two backends: a fake server in the page, or a real notifier
//	and PostgreSQL. Both backends are also the API that the pages' requests reach.
//
// PAGES is what build.js made; CHROMIUM the browser's program.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after } from 'node:test';
import { chromium } from 'playwright-core';
import { Stage } from '../e2e/lib/stage.js';
import { until } from '../e2e/lib/wait.js';

export { until };
export const pages = path.resolve(process.env.PAGES);

const SCHEMA = `
	CREATE TABLE orders (id integer PRIMARY KEY, customer text NOT NULL, status text NOT NULL DEFAULT 'pending');
	SELECT realtime.enable('orders', 'orders', 'order', status_column => 'status');
	SELECT realtime.define_event('orders', 'approved', status => 'approved');
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN IF NEW.customer = 'Ben' AND NEW.status <> 'pending' THEN RAISE 'Ben is over his limit'; END IF; RETURN NEW; END $$;
	CREATE TRIGGER refuse BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION refuse();
	GRANT SELECT ON orders TO web_anon;`;

/** A fake server in the page. */
export class FakeBackend
{
	static name = 'fake server';

	async prepare(page)
	{
		this.page = page;
		await page.addInitScript({ path: path.join(pages, 'fake.js') });
		await page.addInitScript(() => window.fake.database.insert({ id: 1, customer: 'Ann', status: 'pending' }));
		await page.addInitScript(() => window.fake.database.insert({ id: 2, customer: 'Ben', status: 'pending' }));
	}

	insert(row)
	{
		return this.page.evaluate((row) => window.fake.database.insert(row).id, row);
	}

	update(id, patch)
	{
		return this.page.evaluate(([id, patch]) =>
		{
			const { database } = window.fake;

			if (database.rows.get(id).customer === 'Ben' && (patch.status ?? 'pending') !== 'pending')
				throw new Error('Ben is over his limit');
			const transaction = database.begin().update(id, patch);

			if (patch.status === 'approved')
				transaction.emit('approved', id, { ...database.rows.get(id), ...patch });
			return transaction.commit().id;
		}, [String(id), patch]);
	}

	remove(id)
	{
		return this.page.evaluate((id) => window.fake.database.remove(id).id, String(id));
	}

	status(id)
	{
		return this.page.evaluate((id) => window.fake.database.rows.get(id).status, String(id));
	}

	subscriptions()
	{
		return this.page.evaluate(() => [...window.fake.sessions.keys()].reduce((sum, { views }) => sum + views.size, 0));
	}
}

/** The real ones. */
export class LiveBackend
{
	static name = 'notifier and PostgreSQL';

	static async open()
	{
		const backend = new LiveBackend();

		backend.stage = await Stage.open('adapters', { schema: SCHEMA, flags: { static: pages } });
		return backend;
	}

	get url()
	{
		return this.stage.notifier.url;
	}

	async prepare()
	{
		await this.stage.write('TRUNCATE orders');
		await this.stage.write("INSERT INTO orders (id, customer) VALUES (1, 'Ann'), (2, 'Ben')");
	}

	insert({ id, customer })
	{
		return this.stage.write('INSERT INTO orders (id, customer) VALUES ($1, $2)', [id, customer]);
	}

	update(id, { customer, status })
	{
		return this.stage.write('UPDATE orders SET customer = coalesce($2, customer), status = coalesce($3, status) WHERE id = $1',
			[id, customer, status]);
	}

	remove(id)
	{
		return this.stage.write('DELETE FROM orders WHERE id = $1', [id]);
	}

	status(id)
	{
		return this.stage.value('SELECT status FROM orders WHERE id = $1', [id]);
	}

	subscriptions()
	{
		return this.stage.notifier.metric('subscriptions');
	}
}

/** A page as a person has it, and the API between it and the backend. */
export class Desk
{
	/** Opens a page, closed with the test `t`; `html` in place of what is in its root. */
	static async open(t, browser, url, name, backend, html)
	{
		const desk = new Desk();
		const context = await browser.newContext();
		const page = await context.newPage();
		const file = html === undefined ? 'index.html' : 'rendered.html';

		t.after(() => context.close());
		Object.assign(desk, { page, context, backend, problems: [], gate: undefined });
		page.setDefaultTimeout(15000);
		page.on('pageerror', (error) => desk.problems.push(error.stack));
		page.on('console', (message) =>
		{
			// The browser's own line about a refused request.
			if (['error', 'warning'].includes(message.type()) && !/status of 422/.test(message.text()))
				desk.problems.push(message.text());
		});
		await page.clock.install();
		await backend.prepare(page);
		await page.addInitScript(watch);
		await page.route('**/api/orders/**', (route) => desk.answer(route));
		if (html !== undefined)
		{
			const index = await readFile(path.join(pages, name, 'index.html'), 'utf8');

			await writeFile(path.join(pages, name, file), index.replace('<div id="root"></div>', () => `<div id="root">${html}</div>`));
		}
		await page.goto(`${url}/${name}/${file}`);
		return desk;
	}

	/** The API: plain writes, and the transaction in the reply. */
	async answer(route)
	{
		const request = route.request();
		const [, id, verb] = /orders\/(\d+)(?:\/(\w+))?$/.exec(request.url());

		await this.gate;
		try
		{
			const tx = request.method() === 'DELETE' ? await this.backend.remove(id) :
				await this.backend.update(id, verb ? { status: { approve: 'approved', reject: 'rejected' }[verb] } : request.postDataJSON());

			await route.fulfill({ json: { success: true, data: null, meta: { tx } } });
		}
		catch (error)
		{
			await route.fulfill({ status: 422, json: { success: false, error: { message: /Ben .*limit/.exec(error.message)?.[0] ?? error.message } } });
		}
	}

	/** Holds answers of the API back until the returned function is called. */
	hold()
	{
		let release;

		this.gate = new Promise((resolve) => { release = resolve; });
		return () =>
		{
			this.gate = undefined;
			release();
		};
	}

	press(id, what)
	{
		return this.page.click(`#order-${id} .${what}`);
	}

	/** Waits until the list is this: "customer status" of each row, with `*` when it is busy. */
	async shows(...rows)
	{
		const list = () => this.page.evaluate(() => window.list());

		await until('the list', async () => JSON.stringify(await list()) === JSON.stringify(rows), 15)
			.catch(async () => assert.deepEqual(await list(), rows));
	}

	/** Waits until an element has this text; undefined: until it is not there. */
	async has(selector, text)
	{
		const element = this.page.locator(selector);

		if (text === undefined)
			await element.waitFor({ state: 'detached' });
		else
			await until(`${selector} is ${text}`, async () => await element.textContent() === text, 15)
				.catch(async () => assert.equal(await element.textContent(), text));
	}

	/** All that a row has shown, one after the other. */
	seen(id)
	{
		return this.page.evaluate((id) => window.seen[`order-${id}`], id);
	}

	async close()
	{
		await this.context.close();
		assert.deepEqual(this.problems, [], 'the page had no errors');
	}
}

/** In the page: what it shows, and what each row has shown. */
function watch()
{
	const show = (row) => `${row.querySelector('b').textContent} ${row.querySelector('i').textContent}${row.dataset.busy === 'true' ? '*' : ''}`;

	window.list = () => [...document.querySelectorAll('li')].map(show);
	window.seen = {};
	new MutationObserver(() =>
	{
		for (const row of document.querySelectorAll('li'))
		{
			const all = window.seen[row.id] ??= [];

			if (all.at(-1) !== show(row))
				all.push(show(row));
		}
	}).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
}

/** A browser, ended with the tests. */
export async function openBrowser()
{
	const browser = await chromium.launch({
		executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
		args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
	});

	after(() => browser.close());
	return browser;
}
