// SPDX-License-Identifier: PostgreSQL
//
// events.ts
//	Server-sent events over fetch: EventSource can send neither a token nor a body.

import { idle, post, refusal, type Channel, type ChannelContext, type ChannelHandler, type Transport } from './transport.js';

/** Reads a body as server-sent events, calling data() with each and alive() for each piece that came. */
export async function readEvents(body: ReadableStream<Uint8Array>, data: (text: string) => void,
	alive: () => void): Promise<void>
{
	const reader = body.getReader();
	const decoder = new TextDecoder();
	let rest = '';
	let lines: string[] = [];

	for (;;)
	{
		const { done, value } = await reader.read();

		if (done)
			return;
		alive();
		const pieces = (rest + decoder.decode(value, { stream: true })).split(/\r?\n/);

		rest = pieces.pop()!;
		for (const line of pieces)
		{
			if (line.startsWith('data:'))
				lines.push(line.slice(5));		// a blank before JSON does no harm
			else if (line === '' && lines.length > 0)
			{
				data(lines.join('\n'));
				lines = [];
			}
		}
	}
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
	await readEvents(response.body, (text) => signal.aborted || handler.frame(text), () => handler.alive());
	if (!signal.aborted)
		handler.closed(0, 'the stream ended');
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
