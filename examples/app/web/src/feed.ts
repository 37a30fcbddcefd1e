// SPDX-License-Identifier: PostgreSQL
//
// feed.ts
//	The live feed: every event of the three features, newest first.

import type { RealtimeClient, RealtimeEvent } from 'realtime-client';
import { h, icon } from './dom.js';
import { cell, clock, count, label, person, text } from './format.js';

const MOST = 60;
const quiet = ['approved_at', 'approved_by', 'rejected_by', 'created_at', 'expires_at'];

/** What changed, in words: one thing a line. */
function details({ action, data, old }: RealtimeEvent): string[]
{
	const values = data as Record<string, unknown> | null;

	if (action === 'status_changed')
		return [`${text(values?.old_status)} → ${text(values?.new_status)}`];
	if (action.startsWith('bulk_'))
	{
		const what = label(text(values?.operation));

		return [values?.completed === undefined ? `${what}: ${text(values?.total ?? values?.count)}` :
			`${what}: ${text(values.completed)} of ${text(values.total)}, ${text(values.failed)} failed`];
	}
	// Defined actions come with an update, which says it.
	return Object.entries(action === 'updated' && old || {}).filter(([name]) => !quiet.includes(name))
		.map(([name, value]) => `${label(name)}: ${cell(name, value)} → ${cell(name, values?.[name])}`);
}

function entry(event: RealtimeEvent): HTMLElement
{
	const { entity, action, id, meta } = event;
	const key = id === null || action.startsWith('bulk_') ? '' : typeof id === 'string' ? ` #${id}` : ` ${Object.values(id).join('/')}`;

	return h('li', { 'data-priority': meta.priority, 'data-action': action },
		h('div', {}, h('b', {}, action), ` ${entity}${key} `), h('time', { datetime: meta.timestamp }, clock(meta.timestamp)),
		h('div', { class: 'detail' }, h('div', {}, `by ${person(meta.userId)}`), ...details(event).map((line) => h('div', {}, line))));
}

/** The feed's element. Many events at once are shown as one step. */
export function eventFeed(client: RealtimeClient): HTMLElement
{
	const list = h('ol', { class: 'feed', tabindex: 0, 'aria-label': 'Events' });
	const total = h('span', { class: 'soft' }, 'nothing yet');
	let fresh: HTMLElement[] = [];
	let seen = 0;
	let timer: ReturnType<typeof setTimeout> | undefined;

	const show = () =>
	{
		timer = undefined;
		list.prepend(...fresh.reverse());
		fresh = [];
		while (list.children.length > MOST)
			list.lastElementChild!.remove();
		total.textContent = `${count(seen)} so far`;
	};
	const add = (element: () => HTMLElement) =>
	{
		seen++;
		fresh.push(element());
		if (fresh.length > MOST)
			fresh.shift();
		timer ??= setTimeout(show, 30);
	};

	for (const feature of ['orders', 'products', 'users'])
	{
		client.subscribeToFeature(feature, (event) =>
		{
			// A lock that is prolonged is no news.
			if (event.entity !== 'lock' || event.action !== 'updated')
				add(() => entry(event));
		}, {
			onGap: (reason) => add(() => h('li', { class: 'gap' }, icon('warning'),
				h('div', {}, h('b', {}, `${feature}: some events were missed`), h('div', { class: 'detail' }, `reason: ${reason}`))))
		});
	}
	return h('section', { class: 'feed-box', 'aria-labelledby': 'feed-title' },
		h('h2', { id: 'feed-title' }, 'Events ', total), list);
}
