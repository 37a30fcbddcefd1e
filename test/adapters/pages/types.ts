// SPDX-License-Identifier: PostgreSQL
//
// types.ts
//	What the compiler must make of the adapters' types. Compiled, not run.

import type { Signal } from '@angular/core';
import { fromStore, get } from 'svelte/store';
import type { ComputedRef } from 'vue';
import type { EntityStore, Item, RealtimeClient } from 'realtime-client';
import type { BaseRealtimeStateManager } from 'realtime-client/angular';
import { useEntity as useInReact } from 'realtime-client/react';
import { entity, readable } from 'realtime-client/svelte';
import { useEntity as useInVue, useObservable } from 'realtime-client/vue';

interface Order { id: number; status: string }
type List = readonly Item<Order>[];

export function check(client: RealtimeClient, orders: EntityStore<Order>, manager: BaseRealtimeStateManager<Order>): unknown[]
{
	const signal: Signal<List> = manager.items;
	const refs: ComputedRef<List> = useInVue(orders).items;
	const ofGetter: ComputedRef<boolean> = useInVue(() => orders).loading;
	const rune: List = fromStore(entity(orders)).current.items;
	const chosen: string | undefined = useInReact(orders, ({ items }) => items[0]?.data.status);
	const all: List = useInReact(orders).items;
	const states: string[] = [get(readable(client.status)).state, useObservable(client.status).value.state];

	// @ts-expect-error a patch has the row's types
	manager.updateItem('1', { status: 5 });
	// @ts-expect-error and the row's fields
	manager.approveItem('1', { state: 'approved' });
	// @ts-expect-error as have what is chosen
	useInReact(orders, ({ items }) => items[0].data.customer);
	return [signal, refs, ofGetter, rune, chosen, all, states];
}
