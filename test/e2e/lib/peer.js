// SPDX-License-Identifier: PostgreSQL
//
// peer.js
//	A client of realtime.v1 over WebSocket that checks every frame (checker.js) and lets a test ask,
//	wait and stop reading.
//
// Waits are woken by frames and by the end of the connection; each has a time limit. A violation of the
// protocol fails every wait, and close() fails if nobody waited.

import WebSocket from 'ws';
import { Checker } from './checker.js';
import { Replica } from './replica.js';
import { covers } from './position.js';
import { within } from './wait.js';

const SECONDS = 20;

/** An error frame in answer to a request. */
export class Refusal extends Error
{
	constructor(frame)
	{
		super(`${frame.code}: ${frame.message}`);
		this.code = frame.code;
		this.frame = frame;
	}
}

/** The HTTP answer to a handshake that was refused. */
export class HandshakeRefused extends Error
{
	constructor(status, body)
	{
		super(`HTTP ${status}: ${body}`);
		this.status = status;
		try
		{
			this.code = JSON.parse(body).error.code;
		}
		catch
		{
			this.code = undefined;
		}
	}
}

export class Waiter
{
	constructor(name, options)
	{
		this.name = name;
		this.checker = new Checker(options);
		this.waits = new Set();
		this.closed = undefined;		// {code, reason} once it is
		this.frames = [];				// those kept: all but commits, snapshots and positions
		this.nextRef = 1;
	}

	get views()
	{
		return this.checker.views;
	}

	get position()
	{
		return this.checker.position;
	}

	get token()
	{
		return this.checker.token;
	}

	/** Takes the text of one frame. */
	take(text)
	{
		try
		{
			const frame = this.checker.receive(text);
			if (frame && !['commit', 'snapshot', 'position'].includes(frame.op))
				this.frames.push(frame);
		}
		catch (error)
		{
			this.violation = error;
		}
		this.wake();
	}

	end(code, reason)
	{
		this.closed ??= { code, reason, at: performance.now() };
		this.wake();
	}

	wake()
	{
		for (const wait of [...this.waits])
			wait();
	}

	/** Waits until f() gives a true value, looking after each frame. */
	until(what, f, { seconds = SECONDS, orClosed = false } = {})
	{
		return new Promise((resolve, reject) =>
		{
			const finish = (settle, value) =>
			{
				clearTimeout(timer);
				this.waits.delete(look);
				settle(value);
			};
			const look = () =>
			{
				try
				{
					if (this.violation)
						return finish(reject, this.violation);
					const value = f();
					if (value)
						return finish(resolve, value);
					if (this.closed && !orClosed)
						return finish(reject, new Error(`${this.name} was closed with ` +
							`${this.closed.code} ${this.closed.reason} before: ${what}`));
				}
				catch (error)
				{
					return finish(reject, error);
				}
				return undefined;
			};
			const timer = setTimeout(() => finish(reject, new Error(
				`${this.name}: not within ${seconds} s: ${what}; last frames\n` +
				this.checker.recent.join('\n'))), seconds * 1000);
			this.waits.add(look);
			look();
		});
	}

	/** The first kept frame that f accepts, taken out of those kept. */
	frame(what, f, options)
	{
		return this.until(what, () =>
		{
			const at = this.frames.findIndex(f);
			return at < 0 ? undefined : this.frames.splice(at, 1)[0];
		}, options);
	}

	/** The end of the connection: {code, reason}. */
	gone(seconds = SECONDS)
	{
		return this.until('the connection ends', () => this.closed, { seconds, orClosed: true });
	}

	/** Until a position frame covers a transaction. */
	covered(tx, seconds = SECONDS)
	{
		return this.until(`a position that covers ${tx}`,
			() => this.position && covers(this.position, tx), { seconds });
	}
}

export class Peer extends Waiter
{
	/**
	 * Connects and waits for the welcome.
	 * @param {string} url ws://… or ws+unix://…
	 * @param {object} options token (Authorization header), protocols, headers, name, keep, tls
	 */
	static async connect(url, options = {})
	{
		const peer = new Peer(options.name ?? 'peer', options);
		await peer.open(url, options);
		return peer;
	}

	async open(url, { token, protocols = ['realtime.v1'], headers = {}, isAuthed = true, ...rest })
	{
		const all = token === undefined ? headers : { authorization: `Bearer ${token}`, ...headers };
		const socket = new WebSocket(url, protocols, { headers: all, perMessageDeflate: false,
			maxPayload: 64 * 1024 * 1024, autoPong: rest.autoPong ?? true, ...rest.socket });
		this.socket = socket;
		socket.on('message', (data, isBinary) =>
		{
			if (isBinary)
				this.violation ??= new Error('a binary message');
			this.take(data.toString());
		});
		socket.on('close', (code, reason) => this.end(code, reason.toString()));
		socket.on('ping', () => { this.pings = (this.pings ?? 0) + 1; });
		await within(`${this.name} connects to ${url}`, new Promise((resolve, reject) =>
		{
			socket.on('open', resolve);
			socket.on('unexpected-response', (request, response) =>
			{
				let body = '';
				response.on('data', (data) => { body += data; });
				response.on('end', () => reject(new HandshakeRefused(response.statusCode, body)));
				response.on('error', reject);
			});
			socket.on('error', reject);		// later ones are followed by close
		}));
		this.welcome = await this.frame('welcome', (f) => f.op === 'welcome');
		if (token !== undefined && isAuthed)
			await this.until('authenticated', () => this.checker.identity);
	}

	send(message)
	{
		this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
	}

	/** Sends a request and returns the frame that answers it; throws a Refusal. */
	async ask(message, options)
	{
		const ref = message.ref ?? this.nextRef++;
		const request = { ...message, ref };
		const { keep, ...sent } = request;

		if (message.op === 'subscribe')
			this.checker.expect(request);
		this.send(sent);
		const answer = await this.frame(`the answer to ${JSON.stringify(message).slice(0, 200)}`,
			(f) => f.ref === ref, options);
		if (answer.op === 'error')
			throw new Refusal(answer);
		return answer;
	}

	/** Subscribes and returns the View; with snapshot, once it is complete. */
	async subscribe(request, { isWaiting = true, seconds = SECONDS } = {})
	{
		const answer = await this.ask({ op: 'subscribe', ...request }, { seconds });
		const view = this.views.get(answer.view);

		if (request.snapshot && isWaiting)
			await this.until('the snapshot', () => view.isSnapshotDone &&
				(view.isLive || !request.since), { seconds });
		return view;
	}

	/** Until the stream covers a transaction and all of its frames have come. */
	async settle(tx, seconds = SECONDS)
	{
		const answer = await this.ask({ op: 'sync', tx: String(tx) }, { seconds });

		if (answer.op !== 'synced' || answer.tx !== String(tx))
			throw new Error(`no answer to sync ${tx}: ${JSON.stringify(answer)}`);
		return answer;
	}

	/** The code with which a message is refused. */
	async refused(message)
	{
		try
		{
			const answer = await this.ask(message);
			return `not refused: ${JSON.stringify(answer)}`;
		}
		catch (error)
		{
			if (error instanceof Refusal)
				return error.code;
			throw error;
		}
	}

	/** Stops or goes on reading the socket: the kernel's buffers fill, then the notifier's. */
	pauseReading()
	{
		this.socket._socket.pause();
	}

	resumeReading()
	{
		this.socket._socket.resume();
	}

	/** Closes in an orderly way; fails if the protocol was violated. */
	async close()
	{
		if (this.socket && !this.closed)
		{
			this.socket._socket?.resume();
			this.socket.close(1000);
			await this.gone().catch(() => this.socket.terminate());
		}
		if (this.violation)
			throw this.violation;
	}

	/** Cuts the connection as a lost network would. */
	terminate()
	{
		this.socket.terminate();
	}
}

/** Keeps a replica of a view up to date frame by frame, position by position. Returns it. */
export function follow(peer, view)
{
	const replica = new Replica();
	const { checker } = peer;
	const before = checker.onFrame;
	const isPartial = Boolean(view.request.columns);
	// Of a window all is as it says, but that what was created and deleted within it was never there.
	const isLoose = (merged, { action }) => merged && (!view.answer.window || ['deleted', 'left'].includes(action));

	replica.load(view.rows);
	for (const { events, merged } of view.commits)
		for (const event of events)
			replica.apply(event, { isMerged: isLoose(merged, event), isPartial });
	checker.onFrame = (frame, of, raw) =>
	{
		before?.(frame, of, raw);
		if (of !== view)
			return;
		if (frame.op === 'commit')
			for (const event of frame.events)
				replica.apply(event,
					{ isMerged: isLoose(frame.merged === true, event) || !replica.isComplete, isPartial });
		else if (frame.op === 'snapshot')
			replica.load(frame.rows);
		else if (frame.op === 'gap')
			replica.isComplete = false;
	};
	return replica;
}
