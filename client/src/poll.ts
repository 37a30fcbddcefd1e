// SPDX-License-Identifier: PostgreSQL
//
// poll.ts
//	Long poll: one request after the other, each a session of its own that goes on where the last ended.

import { RealtimeError } from './error.js';
import { idle, post, refusal, type Channel, type ChannelContext, type ChannelHandler, type Transport } from './transport.js';

export interface PollAnswer
{
	frames: unknown[];
	position?: string;
}

/** One request. Rejects as fetch does, or with a RealtimeError whose detail is the HTTP status. */
export async function poll(context: Pick<ChannelContext, 'base' | 'fetch' | 'token'>, body: object,
	signal: AbortSignal): Promise<PollAnswer>
{
	const response = await post(context, '/v1/poll', body, signal);

	if (!response.ok)
	{
		const { code, message } = await refusal(response);

		throw new RealtimeError(code, message, response.status);
	}
	const answer = await response.json() as PollAnswer;

	if (!Array.isArray(answer?.frames))
		throw new RealtimeError('bad_frame', 'no frames', 0);
	return answer;
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
		const answer = await poll(context, { subscribe, timeout: isFirst ? 0 : 25 }, signal);
		let last: unknown;

		for (last of answer.frames)
		{
			if (!signal.aborted)
				handler.frame(last);
		}
		// The batch is closed by the answer's position when no frame did.
		if (!signal.aborted && answer.position && (last as { op?: unknown } | null)?.op !== 'position')
			handler.frame({ op: 'position', position: answer.position });
		if (!signal.aborted)
			handler.alive();
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
