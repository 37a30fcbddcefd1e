// SPDX-License-Identifier: PostgreSQL
//
// reply.ts
//	What a store reads in an API's reply, unless it is told otherwise.

import type { Reply } from './config.js';
import { RealtimeError } from './error.js';
import { isObject } from './protocol.js';

/** `{success, data, meta: {tx}}`, or with `tx` beside the data. Throws when success is false. */
export function usualReply<T>(reply: unknown): Reply<T>
{
	if (!isObject(reply))
		return {};
	if (reply.success === false)
	{
		const problem = isObject(reply.error) ? reply.error : reply;

		throw new RealtimeError('refused', String(problem.message ?? 'refused'), reply);
	}
	return {
		tx: ((isObject(reply.meta) ? reply.meta.tx : undefined) ?? reply.tx) as string | undefined,
		row: isObject(reply.data) ? reply.data as Partial<T> : undefined
	};
}
