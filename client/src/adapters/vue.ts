// SPDX-License-Identifier: PostgreSQL
//
// vue.ts
//	Observables and stores as composables. What they subscribe to ends with the scope: a component's, or an
//	effectScope(). On servers nothing is subscribed to; a store is loading there.

import { computed, onScopeDispose, shallowRef, toValue, watch, type ComputedRef, type MaybeRefOrGetter,
	type ShallowRef } from 'vue';
import type { StoreState } from '../config.js';
import type { Observable } from '../signal.js';
import type { EntityStore } from '../store.js';
import { isServer, same, unloaded } from './common.js';

/** The value of an observable, such as `client.status`. The observable may be a ref or a getter, and change. */
export function useObservable<T>(observable: MaybeRefOrGetter<Observable<T>>,
	onServer = toValue(observable).value): Readonly<ShallowRef<T>>
{
	const value = shallowRef(onServer);

	if (isServer)
		return value;
	let end = () => {};

	onScopeDispose(() => end());
	watch(() => toValue(observable), (now) =>
	{
		const endLast = end;

		end = now.subscribe((next) => { value.value = next; });
		value.value = now.value;
		endLast();
	}, { immediate: true, flush: 'sync' });
	return value;
}

/** What a store shows, each part a ref. */
export type EntityRefs<T extends object> =
	{ readonly [K in keyof StoreState<T>]: ComputedRef<StoreState<T>[K]> } & {
		/** All parts in one object. */
		readonly state: Readonly<ShallowRef<StoreState<T>>>;
	};

/** What a store shows, live while the scope is. Which store that is may change, as with useObservable(). */
export function useEntity<T extends object>(store: MaybeRefOrGetter<EntityStore<T>>): EntityRefs<T>
{
	const state = useObservable<StoreState<T>>(store, unloaded);
	const parts = Object.keys(unloaded).map((name) => [name, computed((last: unknown) =>
	{
		const now = state.value[name as keyof StoreState<T>];

		return same(last, now) ? last : now;
	})]);

	return { ...Object.fromEntries(parts), state };
}
