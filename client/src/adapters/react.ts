// SPDX-License-Identifier: PostgreSQL
//
// react.ts
//	Observables and stores as hooks. Rendering has no effect: a store is live while a component that shows it is
//	mounted. Servers, and the first render in a browser, get a store that is loading.

import { useCallback, useEffect, useMemo, useRef, useSyncExternalStore } from 'react';
import type { StoreState } from '../config.js';
import type { Observable } from '../signal.js';
import type { EntityStore } from '../store.js';
import { same, unloaded } from './common.js';

// Stores that were subscribed to: what the others show is not that there are no rows.
const begun = new WeakSet<object>();

/** The value of an observable, such as `client.status`. `onServer` is what a server renders. */
export function useObservable<T>(observable: Observable<T>, onServer = observable.value): T
{
	const subscribe = useCallback((listener: () => void) => observable.subscribe(listener), [observable]);

	return useSyncExternalStore(subscribe, () => observable.value, () => onServer);
}

/** What a store shows. It is live while the component is mounted. */
export function useEntity<T extends object>(store: EntityStore<T>): StoreState<T>;

/** What is chosen of what a store shows: renders again only when that is not the same. */
export function useEntity<T extends object, R>(store: EntityStore<T>, choose: (state: StoreState<T>) => R,
	isSame?: (a: R, b: R) => boolean): R;
export function useEntity<T extends object>(store: EntityStore<T>, choose: (state: StoreState<T>) => unknown = (state) => state,
	isSame: (a: unknown, b: unknown) => boolean = same): unknown
{
	const last = useRef<{ value: unknown }>(undefined);
	const subscribe = useCallback((listener: () => void) =>
	{
		begun.add(store);
		return store.subscribe(listener);
	}, [store]);

	// React asks again and again and expects the same answer while nothing has changed.
	const read = useMemo(() =>
	{
		let from: StoreState<T> | undefined;
		let value: unknown;

		return (state: StoreState<T>) =>
		{
			if (state !== from)
			{
				const before = from ? { value } : last.current;
				const next = choose(state);

				value = before && isSame(before.value, next) ? before.value : next;
				from = state;
			}
			return value;
		};
	}, [store, choose, isSame]);
	const value = useSyncExternalStore(subscribe,
		() => read(begun.has(store) || store.items.length > 0 ? store.value : unloaded), () => read(unloaded));

	useEffect(() =>
	{
		last.current = { value };
	});
	return value;
}
