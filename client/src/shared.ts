// SPDX-License-Identifier: PostgreSQL
//
// shared.ts
//	One connection for all tabs of an origin: a transport that leads to a hub in a SharedWorker or, where there is
//	none, in one of the tabs. An optional module.
//
// Model
// 1. With a SharedWorker (shared-worker.ts) each tab has a port to it.
// 2. Without, the tab that holds the lock `name` has the hub; all talk over a BroadcastChannel of that name. When
//	  that tab goes, the lock goes to another one, which says so; then all connect to it and resume.
// 3. A tab holds a lock of its own. The hub waits for it: when it gets it, the tab is gone.
//
// Tabs that share see what the token of one of them may see: `name` must name the user.

import { serverSentEvents } from './events.js';
import { Hub, type HubMessage, type Line, type TabMessage } from './hub.js';
import { longPoll } from './poll.js';
import type { Channel, ChannelContext, ChannelHandler, Transport } from './transport.js';
import { webSocket } from './websocket.js';

export { Hub, type HubMessage, type Line, type TabMessage } from './hub.js';

/** How tabs find each other. */
export interface SharedOptions
{
	/** Tabs with the same name share: name the notifier and the user. */
	name: string;

	/** Makes the worker: `() => new SharedWorker(new URL('realtime-client/shared-worker', import.meta.url), …)`. */
	worker?: () => SharedWorker;

	/** In place of the browser's. */
	locks?: Locks;

	/** In place of the browser's. */
	BroadcastChannel?: typeof BroadcastChannel;

	/** Makes the hub, should this page have it. */
	hub?: (url: string) => Hub;
}

/** The part of the browser's Web Locks that is needed. */
type Locks = Pick<LockManager, 'request'>;

/** What goes over the channel between tabs. */
interface Letter
{
	/** A hub begins. */
	hub?: string;
	to?: string;
	from?: string;
	tab?: TabMessage;
	answer?: HubMessage;
}

// Pages stand once for each name: by the lock manager, which is the page's.
const elections = new WeakMap<object, Set<string>>();

/** Feeds what a hub says to the handler of a channel. */
function hear(handler: ChannelHandler, { frame, held, closed }: HubMessage): void
{
	if (frame)
		handler.frame(frame);
	if (held !== undefined)
		handler.held(held ?? undefined);
	if (closed !== undefined)
		handler.closed(0, closed);
}

/** A channel to a worker. */
function openWorker(port: MessagePort, context: ChannelContext, handler: ChannelHandler): Channel
{
	const post = (message: TabMessage) => port.postMessage(message);

	port.onmessage = ({ data }) => hear(handler, data);
	post({ open: { token: context.token } });
	return {
		send: (message) => post({ message: message as TabMessage['message'] & object }),
		close: () =>
		{
			post({ close: true });
			port.onmessage = null;
		}
	};
}

/** Is the hub as soon as this page has the lock. Once per page. */
function stand(name: string, locks: Locks, Broadcast: typeof BroadcastChannel, makeHub: () => Hub): void
{
	const names = elections.get(locks) ?? new Set();

	if (names.has(name))
		return;
	elections.set(locks, names.add(name));
	void locks.request(name, () => new Promise<void>(() =>
	{
		const id = crypto.randomUUID();
		const channel = new Broadcast(name);
		const hub = makeHub();
		const lines = new Map<string, Line>();

		channel.onmessage = ({ data: { to, from, tab } }: MessageEvent<Letter>) =>
		{
			if (to === '' && from !== undefined)
				return channel.postMessage({ hub: id, to: from } satisfies Letter);
			if (to !== id || from === undefined || !tab)
				return undefined;
			let line = lines.get(from);

			if (!line)
			{
				const made = line = { post: (answer) => channel.postMessage({ to: from, from: id, answer } satisfies Letter) };

				lines.set(from, line);
				void locks.request(`${name} ${from}`, () =>
				{
					hub.leave(made);
					lines.delete(from);
				});
			}
			return hub.receive(line, tab);
		};
		channel.postMessage({ hub: id } satisfies Letter);
	}));
}

/** A channel to the tab that has the hub. */
function openTab(name: string, context: ChannelContext, handler: ChannelHandler, locks: Locks,
	Broadcast: typeof BroadcastChannel): Channel
{
	const id = crypto.randomUUID();
	const channel = new Broadcast(name);
	let hub: string | undefined;
	let isHeld = false;		// this tab's lock, which the hub waits for
	let release = () => {};
	const post = (tab: TabMessage) => hub !== undefined && channel.postMessage({ to: hub, from: id, tab } satisfies Letter);

	channel.onmessage = ({ data }: MessageEvent<Letter>) =>
	{
		if (data.hub !== undefined && (data.to === undefined || data.to === id))
		{
			if (hub !== undefined && hub !== data.hub)
				return handler.closed(0, 'the tab with the connection is gone');
			if (hub === undefined && isHeld)
			{
				hub = data.hub;
				post({ open: { token: context.token } });
			}
		}
		else if (data.to === id && data.answer)
			hear(handler, data.answer);
		return undefined;
	};
	// The lock first, then the question which hub there is: one that waits for the lock must not get it while this tab lives.
	void locks.request(`${name} ${id}`, () => new Promise<void>((resolve) =>
	{
		release = resolve;
		isHeld = true;
		channel.postMessage({ to: '', from: id } satisfies Letter);
	}));
	return {
		send: (message) => post({ message: message as TabMessage['message'] & object }),
		close: () =>
		{
			post({ close: true });
			channel.close();
			release();
		}
	};
}

/**
 * The transports of a client that shares its connection: one through a hub where the browser can, else the
 * usual ones. `new RealtimeClient(url, { transports: sharedTransports({ name: `realtime ${user}` }) })`.
 */
export function sharedTransports(options: SharedOptions): Transport[]
{
	const locks = options.locks ?? globalThis.navigator?.locks;
	const Broadcast = options.BroadcastChannel ?? globalThis.BroadcastChannel;
	const { name, worker } = options;
	let port: MessagePort | undefined;

	if (!(worker && typeof globalThis.SharedWorker !== 'undefined') && !(locks && Broadcast))
		return [webSocket, serverSentEvents, longPoll];
	return [{
		name: 'shared',
		open: (context, handler) =>
		{
			if (worker && typeof globalThis.SharedWorker !== 'undefined')
			{
				if (!port)
				{
					const id = crypto.randomUUID();
					const made = port = worker().port;

					// Never given back: the worker gets it when this page is gone.
					void locks?.request(id, () => new Promise(() => made.postMessage({ lock: id })));
				}
				return openWorker(port, context, handler);
			}
			stand(name, locks!, Broadcast, () => (options.hub ?? ((url) => new Hub(url)))(context.base.href));
			return openTab(name, context, handler, locks!, Broadcast);
		}
	}];
}
