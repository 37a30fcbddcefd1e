// SPDX-License-Identifier: PostgreSQL
//
// error.ts
//	The one kind of error that this library makes. Codes are those of the protocol, and the client's own:
//	aborted, cleared, conflict, incomplete, network, not_repeatable, offline, overflow, refused, unknown_outcome.

/** An error with a code to act on; `message` is for people. */
export class RealtimeError extends Error
{
	/** Always this. */
	override readonly name = 'RealtimeError';

	/** `message` is the code where nothing better is known. */
	constructor(
		/** What to act on: a code of the protocol, or one of the client's own. */
		readonly code: string,
		message = code,

		/** What it came from: the reply of an API (`refused`), what was thrown, or an HTTP status. */
		readonly detail?: unknown)
	{
		super(message);
	}
}

/** Says on the console what a listener threw: one listener's error is not another's. */
export function report(error: unknown): void
{
	console.error('realtime:', error);
}
