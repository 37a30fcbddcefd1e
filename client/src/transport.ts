// SPDX-License-Identifier: PostgreSQL
//
// transport.ts
//	What a transport is: opens channels that bring frames. websocket.ts, events.ts and poll.ts are the
//	three of the protocol; shared.ts has one to other tabs.

/** A connection under way or open. */
export interface Channel
{
	/** Sends a message. Missing where the channel is one-way: then all is in the request. */
	send?(message: object): void;

	/** Ends it; nothing is called back any more. */
	close(): void;
}

/** What a channel tells. None of these is called before open() has returned. */
export interface ChannelHandler
{
	/** A frame, as text or object, not checked. */
	frame(frame: unknown): void;

	/** What this channel goes through is down (and why), or, without a reason, up again. Frames go on as before. */
	held(reason: string | undefined): void;

	/** Something came that is no frame: the peer lives. */
	alive(): void;

	/** The channel has ended. The code is a close code, or an HTTP status, or 0 for none. */
	closed(code: number, reason: string): void;
}

/** What a transport opens a channel with. */
export interface ChannelContext
{
	/** The notifier, without the path of a transport. */
	base: URL;

	/** For the requests of a one-way channel. On one with send() the connection sends it. */
	token: string | undefined;

	/** The subscriptions, as messages of the protocol; asked for each time they are sent. */
	subscriptions(): object[];

	/** What requests are made with. */
	fetch: typeof fetch;

	/** What sockets are made of; undefined: there are none. */
	WebSocket: typeof WebSocket | undefined;
}

/** A way to the notifier. An application may bring its own. */
export interface Transport
{
	/** What `Status.transport` says. */
	readonly name: string;

	/** Opens a channel. What fails is told by `closed`; an exception is taken for that, too. */
	open(context: ChannelContext, handler: ChannelHandler): Channel;
}

/**
 * What a one-way channel says while there is nothing to subscribe to: there is no such request. It is opened anew
 * when there is.
 */
export const idle = { op: 'welcome', session: 'idle', protocol: 1, epoch: 'idle', heartbeat: 3600 };

/** The address of one of the notifier's paths. */
export function address(base: URL, path: string): URL
{
	const url = new URL(base);

	url.pathname = url.pathname.replace(/\/+$/, '') + path;
	return url;
}

/** Sends a request of the protocol. Rejects as fetch does. */
export function post(context: Pick<ChannelContext, 'base' | 'fetch' | 'token'>, path: string, body: object,
	signal: AbortSignal): Promise<Response>
{
	const { fetch } = context;

	return fetch(address(context.base, path), {
		method: 'POST',
		cache: 'no-store',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify({ ...(context.token === undefined ? {} : { token: context.token }), ...body }),
		signal
	});
}

/** Reads a body to its end, as text, calling piece() with each that comes, and alive(). */
export async function readPieces(body: ReadableStream<Uint8Array>, piece: (text: string) => void,
	alive: () => void): Promise<void>
{
	const decoder = new TextDecoder();
	const reader = body.getReader();
	let value;

	while ((value = (await reader.read()).value))
	{
		alive();
		piece(decoder.decode(value, { stream: true }));
	}
}

/** What an HTTP answer that is no success says. */
export async function refusal(response: Response): Promise<{ code: string; message: string }>
{
	try
	{
		const { error } = await response.json() as { error: { code: string; message: string } };

		return { code: String(error.code), message: String(error.message) };
	}
	catch
	{
		return { code: `http_${response.status}`, message: `HTTP status ${response.status}` };
	}
}
