// SPDX-License-Identifier: PostgreSQL
//
// connection.ts
//	Keeps one channel to the notifier open as long as somebody wants it: states, token, liveness, pauses
//	between attempts, falling back to other transports and coming back. Knows no subscriptions.
//
// Model
// 1. Only the present channel (and the probe of 4.) is heard. `generation` numbers the attempts, for what
//	  waits for a token meanwhile.
// 2. An attempt that fails before `welcome` goes on to the next transport at once; when all have failed,
//	  after a pause: a random part of base * 2^n, at most max (full jitter). It never ends.
// 3. What trying again soon does not mend (a refused token or origin) is the state `error`, with the
//	  longest pauses; it, too, ends by itself when the server takes us.
// 4. On a fallback, the first transport is tried every now and then beside it, and takes over.
// 5. When the browser says that it is offline the channel is given up: what comes after is resumed from where it
//	  stopped, so that all that was missed comes first. `online` ends the pause, which is long until then.
// 6. A channel without send() is one-way: changes of subscriptions or token reopen it.

import { report } from './error.js';
import { readFrame } from './protocol.js';
import { Value, type Observable } from './signal.js';
import type { ConnectionHandler, ConnectionOptions, State, Status, TokenReason } from './status.js';
import type { Channel, ChannelContext } from './transport.js';

export type * from './status.js';

const reasons: Record<number, string> = {
	401: 'unauthorized', 403: 'forbidden', 429: 'rate_limited', 503: 'unavailable', 1012: 'restart',
	4001: 'unauthorized', 4003: 'expired', 4008: 'slow', 4029: 'rate_limited'
};
const authRef = 'auth';
const offline = 'offline';

// Milliseconds before its end that the server gives notice of a token's; the shortest time between two tokens.
const notice = 60000;
const leastAge = 1000;

/** A channel and who hears it. It is heard while it is the channel or the probe. */
interface Link extends Channel
{
	frame: (frame: unknown) => void;
	closed: (code: number, message: string) => void;
}

export class Connection
{
	readonly #options: ConnectionOptions;
	readonly #handler: ConnectionHandler;
	readonly #state = new Value<Status>({ state: 'disconnected', attempt: 0 });
	#isWanted = false;
	#isReady = false;
	#hasBeenReady = false;
	#hasUsedFirst = false;	// the first transport works here
	#generation = 0;
	#index = 0;			// of the transport
	#tried = 0;			// transports that failed in this round
	#attempt = 0;
	#refusals = 0;		// of tokens, since the last lasting connection
	#channel: Link | undefined;
	#probe: Link | undefined;
	#timers: Record<string, ReturnType<typeof setTimeout> | undefined> = {};
	#heartbeat = 25;
	#lastSeen = 0;
	#reason: TokenReason = 'connect';
	#tokenSince = 0;
	#problem: { code: string; message?: string } | undefined;	// the last error frame that belongs to no message
	#ears: AbortController | undefined;

	/** The token in use. */
	token: string | undefined;

	constructor(readonly base: URL, options: ConnectionOptions, handler: ConnectionHandler)
	{
		this.#options = options;
		this.#handler = handler;
	}

	get status(): Observable<Status>
	{
		return this.#state;
	}

	/** Whether messages can be sent, or the request of a one-way channel was accepted. */
	get isOpen(): boolean
	{
		return this.#isReady;
	}

	get isOneWay(): boolean
	{
		return this.#channel !== undefined && !this.#channel.send;
	}

	/** Wants a connection from now on. */
	open(): void
	{
		if (this.#isWanted)
			return;
		this.#isWanted = true;
		this.#hasBeenReady = false;
		this.#attempt = this.#index = this.#tried = this.#refusals = 0;
		this.#reason = 'connect';
		this.#listen();
		void this.#dial();
	}

	/** Wants none any more. */
	close(reason = 'closed'): void
	{
		if (!this.#isWanted)
			return;
		this.#isWanted = false;
		this.#ears?.abort();
		this.#drop();
		this.#setState('disconnected', reason);
	}

	/** Sends a message if the channel can; whether it did. */
	send(message: object): boolean
	{
		if (!this.#isReady || !this.#channel?.send)
			return false;
		this.#channel.send(message);
		return true;
	}

	/** Opens a one-way channel again, because what it asks for has changed. */
	reopen(): void
	{
		if (this.#isWanted && this.isOneWay)
			void this.#dial();
	}

	/** Something says that the network is back, or the page is looked at again: do not wait any longer. */
	wake(): void
	{
		if (!this.#isWanted)
			return;
		this.#attempt = 0;		// should an attempt under way fail, the pause after it is short, too
		if (this.#timers.retry)
			void this.#dial();
		else if (this.#isReady)
		{
			// A hub that hears this wakes, too.
			if (this.send({ op: 'ping', ref: 'wake' }))
			{
				const since = this.#lastSeen = performance.now();

				this.#after('wake', 5000, () => this.#lastSeen === since && this.#fail(0, 'timeout'));
			}
			if (this.#index > 0)
				this.#upgrade();
		}
	}

	/** Starts a timer in place of the one of that name. */
	#after(name: string, ms: number, work: () => void): void
	{
		clearTimeout(this.#timers[name]);
		this.#timers[name] = setTimeout(() =>
		{
			this.#timers[name] = undefined;
			work();
		}, ms);
	}

	/** Hears of the network and the page, where there are such. */
	#listen(): void
	{
		const { signal } = this.#ears = new AbortController();
		const { document, addEventListener } = globalThis;

		addEventListener?.('online', () => this.wake(), { signal });
		addEventListener?.('offline', () => this.#fail(0, offline), { signal });
		document?.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && this.wake(), { signal });
	}

	#setState(state: State, reason?: string, message?: string): void
	{
		const old = this.#state.value;
		const transport = state === 'connected' ? this.#options.transports[this.#index]!.name : undefined;

		if (old.state === state && old.reason === reason && old.attempt === this.#attempt && old.transport === transport)
			return;
		this.#state.set({
			state, attempt: this.#attempt, ...(reason && { reason }), ...(message && { message }),
			...(transport && { transport })
		});
	}

	/** Ends the channel and everything that waits. */
	#drop(): void
	{
		const wasReady = this.#isReady;

		this.#generation++;
		this.#isReady = false;
		for (const name of Object.keys(this.#timers))
			clearTimeout(this.#timers[name]);
		this.#timers = {};
		this.#channel?.close();
		this.#probe?.close();
		this.#channel = this.#probe = undefined;
		this.#problem = undefined;
		if (wasReady)
			this.#handler.lost();
	}

	/** Asks for a token; false when that failed. */
	async #fetchToken(reason: TokenReason): Promise<boolean>
	{
		try
		{
			this.token = await this.#options.token?.(reason) ?? undefined;
			this.#tokenSince = performance.now();
			return true;
		}
		catch (error)
		{
			report(error);
			return false;
		}
	}

	/** One attempt with the present transport. */
	async #dial(): Promise<void>
	{
		const old = this.#state.value;
		const isReopening = this.#isReady;

		this.#drop();
		const generation = this.#generation;

		if (!isReopening && old.state !== 'error')
			this.#setState(this.#hasBeenReady ? 'reconnecting' : 'connecting', old.state === 'disconnected' ?
				undefined : old.reason, old.message);
		if (!isReopening || this.#reason !== 'connect')
		{
			const isFetched = await this.#fetchToken(this.#reason);

			if (generation !== this.#generation)
				return;
			if (!isFetched)
				return this.#fail(0, 'token');
		}
		this.#reason = 'connect';
		this.#adopt(this.#link(this.#index));
	}

	/** Makes a link the channel. */
	#adopt(link: Link): void
	{
		this.#channel = link;
		link.frame = (frame) => this.#receive(frame);
		link.closed = (code, message) => this.#fail(code, undefined, message);
		this.#after('connect', this.#options.connectTimeout, () => this.#fail(0, 'timeout'));
	}

	/** Opens a channel of a transport. It is heard as soon as it is the channel or the probe. */
	#link(index: number): Link
	{
		const link = { close: () => {} } as Link;
		const isOpen = () => this.#channel === link || this.#probe === link;
		const context: ChannelContext = {
			base: this.base,
			token: this.token,
			// In a request they are what they are without `op`.
			subscriptions: () => this.#handler.subscriptions().map((message) => ({ ...message, op: undefined })),
			fetch: this.#options.fetch,
			WebSocket: this.#options.WebSocket
		};

		try
		{
			const channel = this.#options.transports[index]!.open(context, {
				frame: (input) => isOpen() && link.frame(input),
				held: (reason) => isOpen() && this.#isReady && this.#setState(reason ? 'reconnecting' : 'connected', reason),
				alive: () =>
				{
					this.#lastSeen = performance.now();
					if (this.#channel === link && !this.#isReady)
						this.#adopt(link);		// the attempt fails when nothing comes for so long
				},
				closed: (code, message) => isOpen() && link.closed(code, message)
			});

			link.close = () => channel.close();
			if (channel.send)
				link.send = (message) => channel.send!(message);
		}
		catch (error)
		{
			queueMicrotask(() => isOpen() && link.closed(0, String(error)));
		}
		return link;
	}

	/** Takes a frame: what concerns the connection here, the rest to the client. */
	#receive(input: unknown): void
	{
		const frame = readFrame(input);

		this.#lastSeen = performance.now();
		if (!frame)
			return;
		if (!('op' in frame))
		{
			this.#handler.bad(frame, input);
			return frame.of === 'welcome' && !this.#isReady ? this.#fail(0, 'protocol', frame.problem) : undefined;
		}
		switch (frame.op)
		{
			case 'welcome':
				this.#heartbeat = frame.heartbeat;
				if (this.token !== undefined && this.#channel?.send)
					this.#channel.send({ op: 'auth', ref: authRef, token: this.token });
				else
					this.#becomeReady();
				return;
			case 'authenticated':
				// Without our ref it is the handshake's identity, which our token replaces.
				return frame.ref === authRef ? this.#becomeReady() : undefined;
			case 'expiring':
				return this.#expiring(frame.expires * 1000 - Date.now());
			case 'pong':
				return;
			case 'error':
				if (frame.close !== undefined)
					return this.#fail(frame.close, frame.code, frame.message);
				// A token of another user is none of a live session: it needs a new one.
				if (frame.ref === authRef)
					return this.#fail(0, this.#isReady && frame.code === 'forbidden' ? 'expired' : frame.code, frame.message);
				if ((frame.ref ?? undefined) === undefined && frame.view === undefined)
				{
					this.#problem = frame;
					return;
				}
		}
		this.#handler.frame(frame);
	}

	/** The server has taken us. */
	#becomeReady(): void
	{
		if (this.#isReady)
			return;
		clearTimeout(this.#timers.connect);
		this.#isReady = this.#hasBeenReady = true;
		this.#tried = 0;
		this.#setState('connected');
		this.#after('stable', this.#options.stableAfter, () =>
		{
			this.#attempt = this.#refusals = 0;
			this.#setState('connected');
		});
		this.#watch();
		if (this.#index > 0)
		{
			// Where the first transport has worked before, it is likely to be back soon.
			this.#after('upgrade', Math.min(this.#options.upgradeInterval, this.#hasUsedFirst ? 5000 : Infinity),
				() => this.#upgrade());
		}
		else
			this.#hasUsedFirst = true;
		this.#handler.ready();
	}

	/** Ends a channel that is silent for over two heartbeats; asks after one. */
	#watch(): void
	{
		const beat = this.#heartbeat * 1000;

		this.#after('watch', beat * 0.5, () =>
		{
			const silence = performance.now() - this.#lastSeen;

			if (silence > beat * 2.5)
				return this.#fail(0, 'timeout');
			if (silence > beat * 1.2)
				this.send({ op: 'ping' });
			this.#watch();
		});
	}

	/**
	 * The token expires so soon. Gets another one at half of its time, as far as that is not over: of tokens that live
	 * for less than the notice each begins with this.
	 */
	#expiring(left: number): void
	{
		const age = performance.now() - this.#tokenSince;

		this.#after('renew', Math.max((Math.min(left, notice) - age) / 2, leastAge - age), () => void this.#renew());
	}

	/** Sends a new token. */
	async #renew(): Promise<void>
	{
		const generation = this.#generation;

		if (!await this.#fetchToken('expiring') || generation !== this.#generation || this.token === undefined)
			return;
		if (!this.send({ op: 'auth', ref: authRef, token: this.token }))
			this.reopen();
	}

	/** Tries the first transport beside the fallback in use; it takes over when it is welcomed. */
	#upgrade(): void
	{
		const end = () =>
		{
			this.#probe?.close();
			this.#probe = undefined;
			this.#after('upgrade', this.#options.upgradeInterval, () => this.#upgrade());
		};

		if (this.#probe)
			return;
		this.#after('upgrade', this.#options.connectTimeout, end);
		const probe = this.#probe = this.#link(0);

		probe.closed = end;
		probe.frame = (input) =>
		{
			const frame = readFrame(input);

			if (!frame || !('op' in frame) || frame.op !== 'welcome')
				return;
			this.#probe = undefined;
			this.#drop();
			this.#index = 0;
			this.#adopt(probe);
			this.#receive(input);
		};
	}

	/** The channel failed, or was refused: decides when to try what next. */
	#fail(code: number, reason = reasons[code] || this.#problem?.code || (globalThis.navigator?.onLine === false ? offline : 'network'),
		message?: string): void
	{
		const { transports, minDelay, maxDelay, random } = this.#options;
		const wasReady = this.#isReady;
		const isRefused = ['unauthorized', 'expired'].includes(reason);
		let isError = ['forbidden', 'protocol', 'token'].includes(reason);
		const text = message || this.#problem?.message;
		let delay: number | undefined;

		this.#drop();
		if (isRefused)
		{
			// A fresh token may do; a second refusal says that it does not.
			this.#reason = reason as TokenReason;
			if (this.#refusals++ === 0 && this.#options.token)
				delay = 0;
			else
				isError = true;
		}
		else if (!wasReady && !isError && reason !== offline)
		{
			if (++this.#tried < transports.length)
			{
				this.#index = (this.#index + 1) % transports.length;
				delay = 0;
			}
			else
				this.#tried = this.#index = 0;
		}
		delay ??= random() * Math.min(maxDelay, minDelay * 2 ** this.#attempt);
		if (isError || reason === offline)
			delay = maxDelay * (0.5 + random() / 2);
		if (delay > 0)
			this.#attempt++;
		this.#setState(isError ? 'error' : this.#state.value.state === 'error' ? 'error' :
			this.#hasBeenReady ? 'reconnecting' : 'connecting', reason, text);
		this.#after('retry', delay, () => void this.#dial());
	}
}
