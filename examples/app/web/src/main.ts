// SPDX-License-Identifier: PostgreSQL
//
// main.ts
//	The page: signs in, makes the model and puts the parts together.
//
// Where things are is in config.json beside the page: `api` is the API's address, `notifier` that of the
// notifier (default: where the page comes from). `?user=ben` signs in as somebody else.

import { bulkBars } from './bulk.js';
import { conflictBanner } from './conflict.js';
import { connectionIndicator } from './connection.js';
import { button, h, icon } from './dom.js';
import { eventFeed } from './feed.js';
import { Model } from './model.js';
import { ordersTab } from './orders.js';
import { peopleTab } from './people.js';
import { productsTab } from './products.js';
import { Session, type User } from './session.js';
import { tabs } from './tabs.js';
import { toasts } from './toast.js';

interface Config
{
	api: string;
	notifier?: string;
}

const app = document.getElementById('app')!;

/** Changes who is signed in, by loading the page anew. */
function userMenu(people: User[], user: User): HTMLElement
{
	const menu = h('select', {
		id: 'user',
		change: () =>
		{
			const url = new URL(location.href);

			url.searchParams.set('user', menu.value);
			location.assign(url);
		}
	}, ...people.map(({ sub, name, role, desk }) => h('option', { value: sub, selected: sub === user.sub },
		`${name}, ${role === 'web_admin' ? 'admin' : `${desk} desk`}`)));

	return h('label', { class: 'user' }, h('span', { class: 'hidden' }, 'Signed in as'), menu);
}

async function start(): Promise<void>
{
	const response = await fetch('config.json');

	if (!response.ok)
		throw new Error('config.json is missing');
	const config = await response.json() as Config;
	const people = await Session.people(config.api);
	const wanted = new URL(location.href).searchParams.get('user');
	const session = await Session.login(config.api, people.find(({ sub }) => sub === wanted)?.sub ?? people[0]!.sub);
	const model = new Model(config.notifier ?? location.origin, session);
	const connection = connectionIndicator(model.client);
	const { bar, panels } = tabs([
		{ name: 'orders', title: 'Orders', content: ordersTab(model) },
		{ name: 'products', title: 'Products', content: productsTab(model) },
		{ name: 'users', title: 'Users', content: peopleTab(model) },
		{ name: 'events', title: 'Events', content: eventFeed(model.client) }
	]);

	for (const store of [model.orders, model.products, model.people])
	{
		store.subscribe(() => connection.setWaiting([model.orders, model.products, model.people].flatMap(({ pending }) => [...pending])
			.filter(({ state }) => state === 'waiting').length));
	}
	app.replaceChildren(
		h('header', { class: 'page' }, h('h1', {}, 'Order desk'), bar, h('div', { class: 'right' }, connection.element,
			userMenu(people, session.user))),
		conflictBanner(model),
		h('main', {}, bulkBars([model.orders, model.products, model.people]), ...panels),
		toasts);
	// For tests and the curious.
	Object.assign(globalThis, { model });
}

start().catch((error: Error) => app.replaceChildren(h('div', { class: 'starting', role: 'alert' }, icon('warning'),
	h('p', {}, `The page cannot start: ${error instanceof TypeError ? 'the server cannot be reached' : error.message}`), button('Try again', undefined, () => location.reload()))));
