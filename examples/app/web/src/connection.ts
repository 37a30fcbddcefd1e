// SPDX-License-Identifier: PostgreSQL
//
// connection.ts
//	The connection indicator: five states, each with a text and a picture, and why.

import type { RealtimeClient, State } from 'realtime-client';
import { button, h, icon, setText } from './dom.js';
import { count } from './format.js';

const texts: Record<State, [text: string, picture: string]> = {
	disconnected: ['Not connected', 'off'],
	connecting: ['Connecting …', 'wait'],
	connected: ['Live', 'live'],
	reconnecting: ['Reconnecting …', 'wait'],
	error: ['No connection', 'warning']
};
const transports: Record<string, string> = { websocket: '', events: 'by event stream', poll: 'by polling' };
const reasons: Record<string, string> = {
	offline: 'changes wait for the network',
	network: 'the server cannot be reached',
	timeout: 'the server does not answer',
	restart: 'the server restarts',
	unavailable: 'the server is not ready yet',
	expired: 'the session has expired',
	unauthorized: 'the session was refused',
	token: 'the session could not be renewed',
	forbidden: 'this page may not connect',
	slow: 'this page was too slow',
	rate_limited: 'too many messages',
	closed: 'closed',
	idle: 'nothing to show'
};

/** The indicator of a client; `waiting` says how many changes wait for the network. */
export function connectionIndicator(client: RealtimeClient): { element: HTMLElement; setWaiting: (waiting: number) => void }
{
	const picture = h('span', { class: 'picture' });
	const text = h('span', { class: 'text' });
	const why = h('span', { class: 'why' });
	const waits = h('span', { class: 'waits' });
	const again = button('Try now', undefined, () => client.wake(), { class: 'small' });
	const pill = h('p', { class: 'connection', role: 'status', 'aria-live': 'polite' }, picture, text, why, waits);
	const element = h('div', { class: 'connection-box' }, pill, again);
	let waiting = 0;

	const show = () =>
	{
		const { state, reason, transport } = client.status.value;
		const isOffline = reason === 'offline';
		const [name, shape] = isOffline ? ['Offline', 'off'] : texts[state];
		const detail = isOffline && waiting > 0 ? '' : state === 'connected' ? transports[transport ?? ''] ?? `by ${transport}` : reasons[reason ?? ''] ?? reason ?? '';

		pill.dataset.state = state;
		picture.replaceChildren(icon(shape));
		setText(text, name);
		setText(why, detail);
		setText(waits, waiting > 0 ? `${count(waiting)} waiting` : '');
		again.hidden = isOffline || !(state === 'reconnecting' || state === 'error');
	};

	client.status.subscribe(show);
	show();
	return {
		element,
		setWaiting: (now) =>
		{
			waiting = now;
			show();
		}
	};
}
