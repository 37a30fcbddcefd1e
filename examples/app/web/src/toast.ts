// SPDX-License-Identifier: PostgreSQL
//
// toast.ts
//	Short messages at the edge of the page, and running what the user asked for so that its failure shows.

import { RealtimeError } from 'realtime-client';
import { button, h, icon } from './dom.js';

const SHOWN_MS = { good: 4000, note: 8000, bad: 12000 };
const MOST = 4;

const list = h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' });

/** Where messages are shown: to be put into the page once. */
export const toasts = list;

/** Shows a message; `again` adds a button that tries again. */
export function toast(kind: 'good' | 'bad' | 'note', text: string, again?: () => void): void
{
	const close = () => message.remove();
	const message = h('div', { class: `toast ${kind}` },
		icon(kind === 'good' ? 'check' : kind === 'bad' ? 'warning' : 'live'), h('p', {}, text),
		again && button('Try again', undefined, () =>
		{
			close();
			again();
		}),
		h('button', { type: 'button', class: 'plain', 'aria-label': 'Close', click: close }, icon('cross')));

	list.append(message);
	while (list.children.length > MOST)
		list.firstElementChild!.remove();
	setTimeout(close, SHOWN_MS[kind]);
}

/** Does what the user asked for; says what was refused and by whom, and offers to try again what may work then. */
export async function attempt(what: string, work: () => Promise<unknown>): Promise<boolean>
{
	try
	{
		await work();
		return true;
	}
	catch (error)
	{
		const code = (error as { code?: string }).code;

		if (error instanceof RealtimeError && code === 'conflict')
			toast('note', `${what}: ${error.message}`);
		else if (error instanceof TypeError || code === 'network' || code === 'offline' || code === 'unavailable')
			toast('bad', `${what}: the server could not be reached`, () => void attempt(what, work));
		else
			toast('bad', `${what} was refused: ${(error as Error).message}`);
		return false;
	}
}
