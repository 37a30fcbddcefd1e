// SPDX-License-Identifier: PostgreSQL
//
// svelte.ts
//	Observables and stores by Svelte's store contract: `$orders` in any version, `fromStore(orders).current` with
//	runes. Imports nothing of Svelte. On servers nothing is subscribed to; a store is loading there.

import type { StoreState } from '../config.js';
import type { Observable } from '../signal.js';
import type { EntityStore } from '../store.js';
import { isServer, unloaded } from './common.js';

/** The contract: calls `run` at once, and after each change. */
export interface Readable<T>
{
	/** Calls `run` now and after each change, until the function that it returns is called. */
	subscribe(this: void, run: (value: T) => void, invalidate?: () => void): () => void;
}

/** An observable, such as `client.status`, as a store of Svelte's. */
export function readable<T>(observable: Observable<T>, onServer = observable.value): Readable<T>
{
	return {
		subscribe(run)
		{
			if (isServer)
			{
				run(onServer);
				return () => {};
			}
			let isFirst = true;
			const end = observable.subscribe((value) => isFirst || run(value));

			isFirst = false;
			run(observable.value);
			return end;
		}
	};
}

/** What an EntityStore shows. It is live while somebody has subscribed. */
export function entity<T extends object>(store: EntityStore<T>): Readable<StoreState<T>>
{
	return readable<StoreState<T>>(store, unloaded);
}
