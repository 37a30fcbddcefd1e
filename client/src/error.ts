// SPDX-License-Identifier: PostgreSQL
//
// error.ts
//	The one kind of error that this library makes. Codes are those of the protocol, and the client's own:
//	aborted, closed, conflict, offline, overflow, not_found, incomplete, network, refused.

/** An error with a code to act on; `message` is for people. */
export class RealtimeError extends Error
{
	override readonly name = 'RealtimeError';

	constructor(readonly code: string, message = code, readonly detail?: unknown)
	{
		super(message);
	}
}

/** Says on the console what a listener threw: one listener's error is not another's. */
export function report(error: unknown): void
{
	console.error('realtime:', error);
}
