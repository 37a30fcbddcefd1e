// SPDX-License-Identifier: PostgreSQL
//
// stage.js
//	The whole application for tests: database, notifier, API, page, browser. Started by test/layer/browser.
//
// CHROMIUM is the browser's program (default: chromium of the PATH), SCREENSHOTS a directory for pictures.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { connect, endAll, run } from '../../../test/e2e/lib/database.js';
import { freePort, makeDirectory, Notifier } from '../../../test/e2e/lib/notifier.js';
import { until } from '../../../test/e2e/lib/wait.js';

export { until };
export const SECRET = 'a secret of 32 bytes or more, for tests only';

const app = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
	'--disable-component-update', '--disable-sync'];
const shots = process.env.SCREENSHOTS;
const file = path.basename(process.argv[1] ?? '', '.test.js');
let lastShot = 0;

// What a page may say on its console while servers are down.
const expected = /Failed to load resource|WebSocket connection to|net::ERR_|realtime: (TypeError|RealtimeError)|Failed to fetch/;

export class Stage
{
	static async open({ flags = {}, tokenSeconds = 300, hasBrowser = true } = {})
	{
		const stage = new Stage();

		stage.desks = [];
		after(() => stage.close());
		await stage.makeDatabase();
		const directory = await makeDirectory();
		const www = path.join(directory, 'www');
		const secretFile = path.join(directory, 'secret');

		stage.apiPort = await freePort();
		stage.port = await freePort();
		stage.secretFile = secretFile;
		stage.tokenSeconds = tokenSeconds;
		await writeFile(secretFile, `${SECRET}\n`);
		const { status, stderr } = spawnSync(process.execPath, [path.join(app, 'web/build.js'), www]);

		assert.equal(status, 0, String(stderr));
		await writeFile(path.join(www, 'config.json'), JSON.stringify({ api: `http://127.0.0.1:${stage.apiPort}` }));
		await cp(path.join(app, '../live'), path.join(www, 'plain'), { recursive: true });
		stage.notifier = await Notifier.start({
			port: stage.port,
			database: `host=${process.env.PGHOST} port=${process.env.PGPORT} user=live dbname=app`,
			flags: { 'jwt-secret-file': secretFile, 'anon-role': 'web', static: www, drain: 1, ...flags }
		});
		await stage.startApi();
		if (!hasBrowser)
			return stage;
		stage.browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? programOf('chromium'), args: FLAGS });
		if (shots)
			await mkdir(shots, { recursive: true });
		return stage;
	}

	/** A fresh database; roles are the cluster's and made anew. */
	async makeDatabase()
	{
		const admin = await connect('postgres', 'setup');

		await admin.query('DROP DATABASE IF EXISTS app WITH (FORCE)');
		await admin.query('DROP ROLE IF EXISTS web, web_user, web_admin, api, live');
		await admin.query('CREATE DATABASE app');
		await admin.end();
		const { status, output } = await run('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'app', '-f', path.join(app, 'sql/install.sql')]);

		assert.equal(status, 0, output);
		this.client = await connect('app', 'test', { types: undefined });
	}

	async startApi()
	{
		this.api = spawn(process.execPath, [path.join(app, 'api/server.js')], {
			stdio: ['ignore', 'pipe', 'inherit'],
			env: {
				...process.env, PGUSER: 'api', PGDATABASE: 'app', PORT: this.apiPort, SECRET_FILE: this.secretFile,
				ORIGINS: `http://127.0.0.1:${this.port}`, TOKEN_SECONDS: this.tokenSeconds
			}
		});
		process.once('exit', () => this.api.kill('SIGKILL'));
		await once(this.api.stdout, 'data');
	}

	async stopApi()
	{
		this.api.kill('SIGTERM');
		await once(this.api, 'exit');
	}

	/** Restarts PostgreSQL. */
	async restartDatabase(mode)
	{
		const { status, stderr } = spawnSync(path.join(process.env.RT_BINDIR, 'pg_ctl'), ['-D', process.env.RT_PGDATA, '-w', '-m', mode,
			'-l', path.join(process.env.RT_PGDATA, 'server.log'), 'restart'], {
			stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH, LC_ALL: 'C' }
		});

		assert.equal(status, 0, String(stderr));
		this.client = await until('the server takes connections', () => connect('app', 'test', { types: undefined }).catch(() => undefined), 60);
	}

	/** SQL as a superuser at psql would write it; the rows. */
	async sql(text, values)
	{
		return (await this.client.query(text, values)).rows;
	}

	/** A new pending order; its id. */
	async order(customer, total = 100, desk = 'north')
	{
		const [{ id }] = await this.sql('INSERT INTO orders.orders (customer, total, desk) VALUES ($1, $2, $3) RETURNING id::text',
			[customer, total, desk]);

		return id;
	}

	/** A request to the API: { status, body }. */
	async ask(method, where, { token, body, headers } = {})
	{
		const response = await fetch(`http://127.0.0.1:${this.apiPort}/api/${where}`, {
			method,
			headers: { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }), ...headers },
			...(body && { body: JSON.stringify(body) })
		});

		return { status: response.status, body: await response.json() };
	}

	/** Signs in at the API; the token. */
	async login(user)
	{
		return (await this.ask('POST', 'login', { body: { user } })).body.data.token;
	}

	/** Opens the page as a user in a browser context of its own. `prepare(page, context)` comes before. */
	async desk(user, { prepare, hash = '', ...options } = {})
	{
		const context = await this.browser.newContext({ viewport: { width: 1366, height: 850 }, ...options });
		const page = await context.newPage();
		const desk = new Desk(page, context, user);

		this.desks.push(desk);
		page.setDefaultTimeout(20000);
		await prepare?.(page, context);
		await page.goto(`${this.notifier.url}/?user=${user}${hash}`);
		await desk.state('connected');
		await page.waitForSelector('.card');
		return desk;
	}

	async close()
	{
		const wrong = this.desks.flatMap(({ problems }) => problems);

		await this.browser?.close();
		this.api?.kill('SIGTERM');
		if (this.notifier && !this.notifier.exit)
			await this.notifier.stop();
		await this.client?.end().catch(() => {});
		endAll();
		assert.deepEqual(wrong, [], 'pages had no errors');
	}
}

function programOf(name)
{
	return process.env.PATH.split(':').map((directory) => path.join(directory, name))
		.find((file) => spawnSync('test', ['-x', file]).status === 0);
}

/** A page of a user, and what people do with it. */
export class Desk
{
	constructor(page, context, user)
	{
		this.page = page;
		this.context = context;
		this.user = user;
		this.problems = [];
		page.on('pageerror', (error) => this.problems.push(`${user}: ${error.stack}`));
		page.on('console', (message) =>
		{
			if (['error', 'warning'].includes(message.type()) && !expected.test(message.text()))
				this.problems.push(`${user}: ${message.text()}`);
		});
	}

	card(id)
	{
		return this.page.locator(`#panel-orders .card[data-id="${id}"]`);
	}

	/** A button of an order's card. */
	button(id, name)
	{
		return this.card(id).getByRole('button', { name, exact: true });
	}

	/** A button of the page outside cards and dialogs. (By role it would be slow: all cards would be laid out.) */
	tool(name)
	{
		return this.page.locator('.panel.open .toolbar > button, .panel.open > div > button, .connection-box button').filter({ hasText: name });
	}

	press(id, name)
	{
		return this.button(id, name).click();
	}

	/** Waits until the card of an order shows a text. */
	shows(id, text)
	{
		return this.card(id).filter({ hasText: text }).waitFor();
	}

	/** Waits until the indicator shows a state: at most as long as pauses between attempts to connect are, and some. */
	state(state)
	{
		return this.page.waitForSelector(`.connection[data-state=${state}]`, { timeout: 60000 });
	}

	/** Waits until no write of this page is under way and its card is not covered. */
	settled()
	{
		return until('all is settled', () => this.page.evaluate('model.orders.pending.length === 0'));
	}

	toast(text)
	{
		return this.page.locator('.toast').filter({ hasText: text }).first().waitFor();
	}

	dialog(name)
	{
		return this.page.locator(`dialog.${name}`);
	}

	/** Presses a button of the dialog that is open. */
	choose(dialog, name)
	{
		return this.dialog(dialog).getByRole('button', { name, exact: true }).click();
	}

	/** Opens the edit dialog and types a value; the dialog stays. */
	async type(id, field, value)
	{
		if (await this.dialog('edit').count() === 0)
			await this.press(id, 'Edit');
		await this.page.fill(`#edit-${field}`, value);
	}

	/** Holds back requests to a path of the API until the returned function is called. */
	async hold(pattern)
	{
		let release;
		const gate = new Promise((resolve) => { release = resolve; });

		await this.page.route(pattern, async (route) =>
		{
			await gate;
			await route.continue().catch(() => {});
		});
		return async () =>
		{
			release();
			await this.page.unroute(pattern);
		};
	}

	/** How often the client has connected. */
	connections()
	{
		return this.page.evaluate('model.client.stats.connections');
	}

	/** A picture, if pictures are wanted. */
	async shot(name)
	{
		if (shots)
			await this.page.screenshot({ animations: 'disabled', path: path.join(shots, `${file}-${String(++lastShot).padStart(2, '0')}-${name}.png`) });
	}

	close()
	{
		return this.context.close();
	}
}
