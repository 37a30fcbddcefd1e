// SPDX-License-Identifier: PostgreSQL
//
// orders.ts
//	The orders' service and their state manager, as an Angular application writes them.

import { HttpClient } from '@angular/common/http';
import { inject, Injectable, signal } from '@angular/core';
import type { Id, Item, RealtimeEvent } from 'realtime-client';
import { BaseRealtimeStateManager, type StateManagerApi } from 'realtime-client/angular';
import type { Order } from '../model';

@Injectable({ providedIn: 'root' })
export class OrdersService implements StateManagerApi<Order>
{
	private readonly http = inject(HttpClient);

	update(id: Id, patch: Partial<Order>)
	{
		return this.http.patch(`/api/orders/${id}`, patch);
	}

	remove(id: Id)
	{
		return this.http.delete(`/api/orders/${id}`);
	}

	approve(id: Id)
	{
		return this.http.post(`/api/orders/${id}/approve`, {});
	}

	reject(id: Id, reason?: string)
	{
		return this.http.post(`/api/orders/${id}/reject`, { reason });
	}
}

@Injectable()
export class OrdersStateManager extends BaseRealtimeStateManager<Order>
{
	/** What the hooks were told. */
	readonly told = signal<string[]>([]);

	constructor()
	{
		super({
			feature: 'orders',
			entity: 'order',
			enableOptimisticUpdates: true,
			enableConflictDetection: true,
			enableCaching: true,
			cacheTTL: 300000,
			order: ['id'],
			api: inject(OrdersService)
		});
		this.on('approved', (item) => this.tell('approved', item));
	}

	protected override onItemCreated(item: Item<Order>)
	{
		this.tell('created', item);
	}

	protected override onItemUpdated(item: Item<Order>)
	{
		this.tell('updated', item);
	}

	protected override onItemDeleted(item: Item<Order> | undefined, { id }: RealtimeEvent<Order>)
	{
		this.tell(`deleted ${id}`, item);
	}

	private tell(what: string, item: Item<Order> | undefined)
	{
		this.told.update((told) => [...told, `${what} ${item?.data.customer}`]);
	}
}
