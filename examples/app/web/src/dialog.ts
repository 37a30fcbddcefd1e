// SPDX-License-Identifier: PostgreSQL
//
// dialog.ts
//	Modal dialogs: the browser keeps the focus inside, Esc closes, and focus goes back to where it was.

import { h, icon, type Child } from './dom.js';

/** Opens a dialog; the function closes it. `closed` is told when it is, however. */
export function openDialog(name: string, title: string, children: Child[], closed: () => void = () => {}):
	{ element: HTMLDialogElement; close: () => void }
{
	const heading = h('h2', { id: `${name}-title` }, title);
	const close = () => element.close();
	const element = h('dialog', { class: `dialog ${name}`, 'aria-labelledby': `${name}-title` },
		h('header', {}, heading, h('button', { type: 'button', class: 'plain', 'aria-label': 'Close', click: close }, icon('cross'))),
		...children);

	element.addEventListener('close', () =>
	{
		element.remove();
		closed();
	});
	document.body.append(element);
	element.showModal();
	return { element, close };
}

/** Asks for a line of text; undefined when it is closed without. */
export function ask(title: string, question: string, action: string): Promise<string | undefined>
{
	return new Promise((resolve) =>
	{
		const input = h('input', { id: 'ask-input', required: true, autocomplete: 'off' });
		let answer: string | undefined;
		const form = h('form', {
			submit: (event) =>
			{
				event.preventDefault();
				answer = input.value.trim();
				if (answer !== '')
					dialog.close();
			}
		},
			h('label', { for: 'ask-input' }, question), input,
			h('footer', {}, h('button', { type: 'submit', class: 'main' }, action)));
		const dialog = openDialog('ask', title, [form], () => resolve(answer || undefined));

		input.focus();
	});
}
