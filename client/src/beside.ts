// SPDX-License-Identifier: PostgreSQL
//
// beside.ts
//	What a subscription brings, by one request beside the stream: the long poll with its own session.

import type { ConnectionOptions, TokenReason } from './connection.js';
import { RealtimeError } from './error.js';
import { poll } from './poll.js';
import { readFrame, type Subscription } from './protocol.js';
import type { Stage } from './stage.js';
import type { ChannelContext } from './transport.js';
import { createView } from './view.js';

/**
 * Puts what a subscription brings on a stage; returns the position that they end at. Asks for a token when there
 * is none, and once more when it is refused. Rejects as fetch does, or with what the server says.
 */
export async function fetchItems(from: Pick<ChannelContext, 'base' | 'fetch' | 'token'>, token: ConnectionOptions['token'],
	subscription: Subscription, signal: AbortSignal, stage: Stage): Promise<string>
{
	const context = { ...from };

	// With `since` there may be nothing to answer with; rows always come.
	const timeout = subscription.since === undefined ? 10 : 1;
	let reason: TokenReason = 'connect';

	for (;;)
	{
		const controller = new AbortController();
		const abort = () => controller.abort();
		const timer = setTimeout(abort, 120000);		// a request that nobody answers

		signal.addEventListener('abort', abort);
		if (signal.aborted)
			abort();
		try
		{
			if (token && (context.token === undefined || reason === 'unauthorized'))
				context.token = await token(reason) ?? undefined;
			const { frames, position } = await poll(context, { subscribe: [{ ref: 0, ...subscription }], timeout },
				controller.signal, () => {});
			const end = readItems(frames, stage);

			return position ?? end ?? '';
		}
		catch (error)
		{
			if (!(error instanceof RealtimeError) || error.detail !== 401 || reason === 'unauthorized' || !token)
				throw error;
			reason = 'unauthorized';
		}
		finally
		{
			clearTimeout(timer);
			signal.removeEventListener('abort', abort);
		}
	}
}

/** Reads the frames of a poll as items; returns the last position. Throws what the server refuses. */
function readItems(frames: unknown[], stage: Stage): string | undefined
{
	const view = createView('', {});
	let position: string | undefined;

	for (const input of frames)
	{
		const frame = readFrame(input);

		if (!frame)
			continue;
		if (!('op' in frame))
			throw new RealtimeError('incomplete', frame.problem);
		switch (frame.op)
		{
			case 'snapshot':
			case 'commit':
			case 'gap':
				stage.take(view, frame);
				break;
			case 'position':
			case 'subscribed':
				position = frame.position;
				break;
			case 'error':
				throw new RealtimeError(frame.code, frame.message);
		}
	}
	return position;
}
