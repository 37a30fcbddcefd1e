// SPDX-License-Identifier: PostgreSQL
//
// events.ts
//	Server-sent events over fetch: EventSource can send neither a token nor a body.

import { idle, post, readPieces, refusal, type Channel, type ChannelContext, type ChannelHandler, type Transport } from './transport.js';

/** Reads a body as server-sent events, calling data() with each and alive() for each piece that came. */
export async function readEvents(body: ReadableStream<Uint8Array>, data: (text: string) => void,
	alive: () => void): Promise<void>
{
	let rest = '';
	let text = '';

	await readPieces(body, (piece) =>
	{
		const all = (rest + piece).split(/\r?\n/);

		rest = all.pop()!;
		for (const line of all)
		{
			if (line.startsWith('data:'))
				text += line.slice(5) + '\n';		// blanks around JSON do no harm
			else if (!line && text)
			{
				data(text);
				text = '';
			}
		}
	}, alive);
}

/** Opens the stream and reads it to its end. */
async function run(context: ChannelContext, handler: ChannelHandler, signal: AbortSignal): Promise<void>
{
	const subscribe = context.subscriptions();

	if (subscribe.length === 0)
		return handler.frame(idle);
	const response = await post(context, '/v1/events', { subscribe }, signal);

	if (!response.ok || !response.body)
		return handler.closed(response.status, (await refusal(response)).message);
	await readEvents(response.body, (text) => signal.aborted || handler.frame(text), handler.alive);
	if (!signal.aborted)
		handler.closed(0, 'stream ended');
}

/** Server-sent events: one long response. Sending anything opens it anew. */
export const serverSentEvents: Transport = {
	name: 'events',

	open(context: ChannelContext, handler: ChannelHandler): Channel
	{
		const controller = new AbortController();
		const { signal } = controller;

		queueMicrotask(() => run(context, handler, signal).catch((error) =>
			signal.aborted || handler.closed(0, String(error))));
		return { close: () => controller.abort() };
	}
};
