// SPDX-License-Identifier: PostgreSQL
//
// hub.ts
//	A notifier for the tabs of a browser, over one connection to the real one. Knows tabs as lines of messages.
//
// Model
// 1. Each tab speaks realtime.v1 with the hub. Its subscriptions are listeners of one RealtimeCore, which shares
//	  views, resumes, and loads beside the stream.
// 2. A tab gets a `position` when all of its subscriptions have reached it: never while one is still loading.
// 3. A gap of a subscription with snapshot is told together with the load that mends it.
// 4. Tokens come from the tabs: whichever says one last. When one is needed, all are told `expiring`.
// 5. A pause between attempts ends when a tab comes, or wakes: the hub itself, in a worker, sees no page shown.

import { RealtimeCore, type ClientOptions } from './core.js';
import type { RealtimeError } from './error.js';
import type { RealtimeEvent, SnapshotRow, Subscription } from './protocol.js';
import { afterwards } from './signal.js';

/** Where messages of a tab come from and go to. */
export interface Line
{
	/** Sends a message to the tab. */
	post(message: HubMessage): void;
}

/** From the hub to a tab. */
export interface HubMessage
{
	/** A frame of the protocol. */
	frame?: object;

	/** Why the connection to the notifier is down; null: it is up. */
	held?: string | null;

	/** Why the hub has let the tab go. */
	closed?: string;
}

/** From a tab to the hub. */
export interface TabMessage
{
	/** The tab comes, or begins anew. */
	open?: {
		/** The tab's token, if it has one: the connection uses the one that came last. */
		token: string | undefined;
	};

	/** A message of the protocol. */
	message?: {
		/** Which message. */
		op: string;

		/** Comes back in the answer. */
		ref?: unknown;
	} & Record<string, any>;

	/** The tab goes. */
	close?: true;
}

interface Entry
{
	close: () => void;
	position: string | undefined;
}

/** One tab. */
class Tab
{
	readonly entries = new Map<string, Entry>();

	/** The position that was the last frame. */
	sent: string | undefined;

	constructor(readonly line: Line)
	{
	}

	frame(frame: object): void
	{
		this.sent = undefined;		// it may be of a batch, which only a position closes, though it be that of before
		this.line.post({ frame });
	}

	/** Closes a batch, if all subscriptions have reached the same position. */
	settle(position: string | undefined): void
	{
		if (position === undefined || position === this.sent ||
			![...this.entries.values()].every((entry) => entry.position === position))
			return;
		this.frame({ op: 'position', position });
		this.sent = position;
	}
}

/** A notifier for the tabs of a browser, over one connection to the real one. */
export class Hub
{
	/** The connection. */
	readonly client: RealtimeCore;
	private readonly tabs = new Map<Line, Tab>();
	private token: string | undefined;
	private waiting: ((token: string | undefined) => void)[] = [];
	private lastView = 0;

	/** `url` is the notifier's. Connects when the first tab comes. The token is the tabs', not that of the options. */
	constructor(url: string, options: ClientOptions = {})
	{
		this.client = new RealtimeCore(url, { ...options, token: (reason) => reason === 'connect' ? this.token : this.askForToken() });
		this.client.status.subscribe(() => this.tabs.forEach((tab) => tab.line.post(this.state)));
		this.client.position.subscribe(() => this.tabs.forEach((tab) => this.settle(tab)));
	}

	/** How many tabs there are. */
	get size(): number
	{
		return this.tabs.size;
	}

	private get state(): HubMessage
	{
		const { state, reason } = this.client.status.value;

		return { held: state === 'connected' ? null : reason ?? state };
	}

	/** Takes a message of a tab. */
	receive(line: Line, { open, message, close }: TabMessage): void
	{
		const tab = this.tabs.get(line);

		if (open)
			this.open(line, open.token);
		else if (close)
			this.leave(line);
		else if (message && tab)
			this.answer(tab, message);
		else
			line.post({ closed: 'the hub does not know this tab' });
	}

	/** A tab is gone. */
	leave(line: Line): void
	{
		this.tabs.get(line)?.entries.forEach(({ close }) => close());
		this.tabs.delete(line);
	}

	/** All tabs are let go, and the connection ends. */
	close(): void
	{
		for (const line of [...this.tabs.keys()])
		{
			this.leave(line);
			line.post({ closed: 'the hub ends' });
		}
		this.client.close();
	}

	private open(line: Line, token: string | undefined): void
	{
		const tab = new Tab(line);

		this.leave(line);
		this.tabs.set(line, tab);
		this.takeToken(token);
		this.client.connect();
		this.client.wake();
		tab.frame({ op: 'welcome', session: 'shared', protocol: 1, epoch: 'shared', heartbeat: 25 });
		line.post(this.state);
	}

	private takeToken(token: string | undefined): void
	{
		this.token = token ?? this.token;
		for (const resolve of this.waiting.splice(0))
			resolve(this.token);
	}

	/** A fresh token from the first tab that gives one. */
	private askForToken(): Promise<string | undefined>
	{
		return new Promise((resolve, reject) =>
		{
			const timer = setTimeout(() => reject(new Error('no tab gave a token')), 10000);

			this.waiting.push((token) =>
			{
				clearTimeout(timer);
				resolve(token);
			});
			this.tabs.forEach((tab) => tab.frame({ op: 'expiring', expires: 0 }));
		});
	}

	private settle(tab: Tab): void
	{
		afterwards(() => tab.settle(this.client.position.value));
	}

	/** Answers a message as a notifier would. */
	private answer(tab: Tab, message: NonNullable<TabMessage['message']>): void
	{
		const { op, ref } = message;

		switch (op)
		{
			case 'auth':
				this.takeToken(message.token);
				tab.frame({ op: 'authenticated', ref, role: 'shared', user: null, expires: null });
				return tab.line.post(this.state);		// not heard before
			case 'ping':
				if (ref === 'wake')
					this.client.wake();
				return tab.frame({ op: 'pong', ref });
			case 'sync':
				return void this.client.sync(message.tx).then(() => tab.frame({
					op: 'synced', ref, tx: message.tx, position: this.client.position.value
				}));
			case 'unsubscribe':
				tab.entries.get(message.view)?.close();
				tab.entries.delete(message.view);
				tab.frame({ op: 'unsubscribed', ref, view: message.view });
				return this.settle(tab);
			case 'subscribe':
				return this.subscribe(tab, message as Subscription & { ref: number });
		}
		tab.frame({ op: 'error', ref, code: 'bad_request', message: `the hub does not know ${op}` });
	}

	private subscribe(tab: Tab, { ref, ...subscription }: Subscription & { ref: number }): void
	{
		const view = String(++this.lastView);
		const entry: Entry = { position: undefined, close: () => {} };
		const { feature = '*', entity = '*', since, snapshot } = subscription;
		let isSubscribed = false;
		let gap: string | undefined;
		const begin = (position: string) =>
		{
			if (!isSubscribed)
				tab.frame({ op: 'subscribed', ref, view, position, feature, entity });
			isSubscribed = true;
		};
		const tellGap = (reason: string, position: string) => tab.frame({ op: 'gap', view, reason, position });

		tab.entries.set(view, entry);
		if (since !== undefined)
			begin(since);
		entry.close = this.client.open(subscription, {
			start: begin,
			load: (rows: SnapshotRow[], position) =>
			{
				begin(position);
				if (gap !== undefined)
					tellGap(gap, position);
				gap = undefined;
				tab.frame({ op: 'snapshot', view, part: 0, last: true, rows });
			},
			events: (events: RealtimeEvent[], tx) => tab.frame({ op: 'commit', view, tx, part: 0, last: true, events }),
			gap: (reason) =>
			{
				entry.position = undefined;
				if (snapshot)
					gap = reason;
				else
					tellGap(reason, this.client.position.value ?? since ?? '');
			},
			position: (position) =>
			{
				entry.position = position;
				this.settle(tab);
			},
			error: ({ code, message }: RealtimeError) =>
			{
				tab.entries.delete(view);
				entry.close();
				tab.frame({ op: 'error', code, message, ...(isSubscribed ? { view } : { ref }) });
			}
		});
	}
}
