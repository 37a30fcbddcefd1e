// SPDX-License-Identifier: PostgreSQL
//
// stream.ts
//	Events as an async iterator, with a bounded buffer between the connection and a slow reader.

import { RealtimeError } from './error.js';

/** Events one after the other. Ended by return(), by leaving a `for await`, or by a signal. */
export class EventStream<E> implements AsyncIterableIterator<E>
{
	readonly #buffer: E[] = [];
	readonly #waiting: { resolve: (result: IteratorResult<E>) => void; reject: (error: unknown) => void }[] = [];
	#isOver = false;
	#error: unknown;

	/** Called once when the stream ends, however it ends. */
	onend: () => void = () => {};

	/** Buffers at most `limit` events. */
	constructor(private readonly limit = 10000)
	{
	}

	/** Adds an event. A reader who is too far behind gets an error `overflow` after what is buffered. */
	push(event: E): void
	{
		if (this.#isOver)
			return;
		const reader = this.#waiting.shift();

		if (reader)
			reader.resolve({ value: event, done: false });
		else if (this.#buffer.push(event) > this.limit)
		{
			this.#buffer.pop();
			this.fail(new RealtimeError('overflow', `${this.limit} events wait`));
		}
	}

	/** Ends the stream with an error, which the reader gets after what is buffered. */
	fail(error: unknown): void
	{
		if (this.#isOver)
			return;
		this.#error = error;
		this.end();
	}

	/** Ends the stream; what is buffered can still be read. */
	end(): void
	{
		if (this.#isOver)
			return;
		this.#isOver = true;
		for (const { resolve, reject } of this.#waiting.splice(0))
		{
			if (this.#error)
				reject(this.#error);
			else
				resolve({ value: undefined, done: true });
			this.#error = undefined;
		}
		this.onend();
	}

	/** The next event, as soon as there is one. Rejects, once, with the error that has ended the stream. */
	next(): Promise<IteratorResult<E>>
	{
		if (this.#buffer.length > 0)
			return Promise.resolve({ value: this.#buffer.shift()!, done: false });
		if (!this.#isOver)
			return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
		const error = this.#error;

		this.#error = undefined;
		return error ? Promise.reject(error) : Promise.resolve({ value: undefined, done: true });
	}

	/** Ends the stream and forgets what is buffered. */
	return(): Promise<IteratorResult<E>>
	{
		this.#buffer.length = 0;
		this.end();
		return Promise.resolve({ value: undefined, done: true });
	}

	/** For `for await`: the stream itself. It can be read once. */
	[Symbol.asyncIterator](): this
	{
		return this;
	}
}
