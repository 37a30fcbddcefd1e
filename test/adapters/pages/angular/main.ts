// SPDX-License-Identifier: PostgreSQL
//
// main.ts
//	The page. The list has a state manager of its own, which ends with it.

import { provideHttpClient } from '@angular/common/http';
import { ChangeDetectionStrategy, Component, createEnvironmentInjector, inject, PLATFORM_ID, signal } from '@angular/core';
import { bootstrapApplication } from '@angular/platform-browser';
import { RealtimeClient, type Id } from 'realtime-client';
import { observe, provideRealtime } from 'realtime-client/angular';
import { options } from '../model';
import { OrdersStateManager } from './orders';

@Component({
	selector: 'app-orders',
	changeDetection: ChangeDetectionStrategy.OnPush,
	providers: [OrdersStateManager],
	template: `
		<section>
			@if (orders.loading()) { <p id="loading">loading</p> }
			@if (orders.error(); as error) { <p id="error">{{ error.message }}</p> }
			<ul>
				@for (order of orders.items(); track order.key) {
					<li [id]="'order-' + order.id" [attr.data-busy]="order.isLoading">
						<b>{{ order.data.customer }}</b> <i>{{ order.data.status }}</i>
						<button class="approve" (click)="approve(order.id)">Approve</button>
						<button class="reject" (click)="orders.rejectItem(order.id, 'too late')">Reject</button>
						<button class="draft" (click)="orders.store.edit(order.id, { customer: 'Draft' })">Draft</button>
						<button class="theirs" (click)="orders.resolveConflict(order.id, 'remote')">Theirs</button>
						<button class="delete" (click)="orders.deleteItem(order.id)">Delete</button>
					</li>
				}
			</ul>
			<p>
				<span id="pending">{{ orders.getItemsByStatus('pending').length }}</span> pending,
				<span id="conflicts">{{ orders.hasConflicts() ? orders.conflicts().length : 0 }}</span> in conflict
			</p>
			<p id="told">{{ orders.told().join() }}</p>
		</section>`
})
class Orders
{
	protected readonly orders = inject(OrdersStateManager);

	constructor()
	{
		Object.assign(window, { orders: this.orders });
	}

	protected approve(id: Id)
	{
		this.orders.approveItem(id).catch(() => {});		// the signal has the error
	}
}

@Component({
	selector: 'app-root',
	changeDetection: ChangeDetectionStrategy.OnPush,
	imports: [Orders],
	template: `
		<main>
			<p id="status">{{ status().state }}</p>
			<button id="toggle" (click)="isOpen.set(!isOpen())">Orders</button>
			@if (isOpen()) { <app-orders /> }
		</main>`
})
class App
{
	protected readonly isOpen = signal(true);
	protected readonly status = observe(inject(RealtimeClient).status);
}

const { injector } = await bootstrapApplication(App, {
	providers: [provideHttpClient(), provideRealtime(location.origin, () => options())]
});

/** A state manager as a server would have it. */
const makeOnServer = () => createEnvironmentInjector([OrdersStateManager, { provide: PLATFORM_ID, useValue: 'server' }], injector)
	.get(OrdersStateManager);

Object.assign(window, { makeOnServer });
