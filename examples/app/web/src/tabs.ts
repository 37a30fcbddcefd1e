// SPDX-License-Identifier: PostgreSQL
//
// tabs.ts
//	Tabs as a screen reader and the keyboard expect them: arrow keys, Home and End.

import { h } from './dom.js';

export interface Tab
{
	readonly name: string;
	readonly title: string;
	readonly content: HTMLElement;
}

/** The bar and the panels. The one that is open is in the page's address. */
export function tabs(all: readonly Tab[]): { bar: HTMLElement; panels: HTMLElement[] }
{
	const buttons = all.map(({ name, title }, i) => h('button', {
		type: 'button', role: 'tab', id: `tab-${name}`, 'aria-controls': `panel-${name}`, click: () => open(i)
	}, title));
	const panels = all.map(({ name, content }) => h('div', {
		role: 'tabpanel', class: 'panel', id: `panel-${name}`, 'aria-labelledby': `tab-${name}`
	}, content));
	const bar = h('div', {
		role: 'tablist', class: 'tabs', 'aria-label': 'What to show',
		keydown: (event) =>
		{
			const { key } = event as KeyboardEvent;
			const now = buttons.indexOf(document.activeElement as HTMLButtonElement);
			const next = key === 'ArrowRight' ? now + 1 : key === 'ArrowLeft' ? now - 1 + all.length :
				key === 'Home' ? 0 : key === 'End' ? all.length - 1 : undefined;

			if (next === undefined)
				return;
			event.preventDefault();
			open(next % all.length);
			buttons[next % all.length]!.focus();
		}
	}, ...buttons);

	const open = (chosen: number) =>
	{
		buttons.forEach((one, i) =>
		{
			one.setAttribute('aria-selected', String(i === chosen));
			one.tabIndex = i === chosen ? 0 : -1;
			panels[i]!.classList.toggle('open', i === chosen);
		});
		history.replaceState(null, '', `#${all[chosen]!.name}`);
	};

	open(Math.max(0, all.findIndex(({ name }) => `#${name}` === location.hash)));
	return { bar, panels };
}
