// SPDX-License-Identifier: PostgreSQL
//
// poll.ts
//	Long poll: one request after the other, each a session of its own that goes on where the last ended.

import { RealtimeError } from './error.js';
import { idle, post, readPieces, refusal, type Channel, type ChannelContext, type ChannelHandler, type Transport } from './transport.js';

export interface PollAnswer
{
	frames: unknown[];
	position?: string;
}

/**
 * One request; alive() is called with each piece of a long answer. Rejects as fetch does, or with a RealtimeError whose
 * detail is the HTTP status.
 */
export async function poll(context: Pick<ChannelContext, 'base' | 'fetch' | 'token'>, body: object,
	signal: AbortSignal, alive: () => void): Promise<PollAnswer>
{
	const response = await post(context, '/v1/poll', body, signal);

	if (!response.ok)
	{
		const { code, message } = await refusal(response);

		throw new RealtimeError(code, message, response.status);
	}
	let text = '';

	await readPieces(response.body!, (piece) => { text += piece; }, alive);
	const answer = JSON.parse(text) as PollAnswer;

	if (Array.isArray(answer?.frames))
		return answer;
	throw new RealtimeError('bad_frame', 'no frames', 0);
}

/** Polls until the signal. */
async function run(context: ChannelContext, handler: ChannelHandler, signal: AbortSignal): Promise<void>
{
	for (let isFirst = true; !signal.aborted; isFirst = false)
	{
		const subscribe = context.subscriptions() as { since?: string }[];

		if (subscribe.length === 0)
			return handler.frame(idle);

		// The first answer says that this works, and where we are: no news is waited for.
		const { frames, position } = await poll(context, { subscribe, timeout: isFirst ? 0 : 25 }, signal, handler.alive);

		// The batch is closed by the answer's position when no frame did.
		if (position && (frames.at(-1) as { op?: unknown } | null)?.op !== 'position')
			frames.push({ op: 'position', position });
		for (const frame of frames)
		{
			if (!signal.aborted)
				handler.frame(frame);
		}
	}
}

/** Long poll: requests that are answered when there is something, or after 25 s. Works wherever HTTP does. */
export const longPoll: Transport = {
	name: 'poll',

	open(context: ChannelContext, handler: ChannelHandler): Channel
	{
		const controller = new AbortController();
		const { signal } = controller;

		queueMicrotask(() => run(context, handler, signal).catch((error) =>
		{
			if (!signal.aborted)
				handler.closed(error instanceof RealtimeError ? Number(error.detail) : 0, String(error.message));
		}));
		return { close: () => controller.abort() };
	}
};
