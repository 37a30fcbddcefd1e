// SPDX-License-Identifier: PostgreSQL
//
// model.ts
//	The rows that the page knows, one state manager for each entity, and the locks, which are rows too. Knows
//	no elements.

import { RealtimeClient, type EntityStore, type Item } from 'realtime-client';
import { indexedDBStorage } from 'realtime-client/indexeddb';
import type { Session } from './session.js';

export const orderStatuses = ['pending', 'paid', 'shipped', 'delivered', 'cancelled'] as const;

export interface Order
{
	id: number;
	customer: string;
	total: number;
	status: typeof orderStatuses[number];
	approval: 'waiting' | 'approved' | 'rejected';
	approved_by: string | null;
	approved_at: string | null;
	rejected_by: string | null;
	reason: string | null;
	tracking: string | null;
	created_at: string;
	desk: 'north' | 'south';
}

export interface OrderLock
{
	order_id: number;
	locked_by: string;
	type: 'edit' | 'review';
	expires_at: string;
}

export interface Product
{
	id: number;
	sku: string;
	name: string;
	category: string;
	status: 'draft' | 'published' | 'discontinued';
	price: number | null;
	quantity: number;
}

export interface Person
{
	id: number;
	email?: string;
	name: string;
	role: string;
	status: 'active' | 'inactive' | 'suspended';
	suspended_because?: string | null;
}

export type OrderItem = Item<Order>;

/** Newest first; a row that has no number yet is the newest. */
const newestFirst = (a: { id?: number }, b: { id?: number }): number =>
	(b.id ?? Number.MAX_SAFE_INTEGER) - (a.id ?? Number.MAX_SAFE_INTEGER);

const LOCK_SECONDS = 120;
const PAGE = 200;

export class Model
{
	readonly client: RealtimeClient;
	readonly orders: EntityStore<Order>;
	readonly locks: EntityStore<OrderLock>;
	readonly products: EntityStore<Product>;
	readonly people: EntityStore<Person>;

	/** The orders that this page has locked and keeps locked. */
	private readonly held = new Set<string>();

	constructor(url: string, readonly session: Session)
	{
		const rest = <T>(path: string) => ({
			list: async () => (await session.request<T[]>('GET', `${path}?limit=${PAGE}`)).data,
			create: (data: Partial<T>) => session.request('POST', path, data),
			update: (id: unknown, patch: Partial<T>) => session.request('PATCH', `${path}/${id}`, patch),
			remove: (id: unknown) => session.request('DELETE', `${path}/${id}`)
		});

		this.client = new RealtimeClient(url, {
			token: (reason) => session.getToken(reason !== 'connect')
		});
		this.locks = this.client.entity<OrderLock>('orders', 'lock', { idField: 'order_id' });
		this.orders = this.client.entity<Order>('orders', 'order', {
			order: ['id.desc'],
			sort: newestFirst,
			limit: PAGE,
			user: session.user.sub,
			// Rows for the next start, and changes that could not be sent before the page was left. Another user's are others.
			storage: indexedDBStorage(`order desk of ${session.user.sub}`),
			keepQueue: true,
			api: {
				...rest<Order>('orders'),
				lock: (id, type) => session.request('PUT', `orders/${id}/lock`, { type, seconds: LOCK_SECONDS }),
				unlock: (id, isForced) => session.request('DELETE', `orders/${id}/lock${isForced ? '?force=1' : ''}`)
			},
			requests: {
				approve: (id) => session.request('POST', `orders/${id}/approve`, {}),
				reject: (id, { reason }) => session.request('POST', `orders/${id}/reject`, { reason }),
				pay: (id) => session.request('POST', `orders/${id}/pay`, {})
			},
			dependsOn: [this.locks],
			lockOf: (row) =>
			{
				const lock = this.locks.get(String(row.id))?.data;

				return lock && { owner: lock.locked_by, type: lock.type, expiresAt: Date.parse(lock.expires_at) };
			},
			canEdit: ({ status }) => status === 'pending' || status === 'paid',
			canDelete: ({ status }) => status === 'pending' || (session.isAdmin && status === 'cancelled')
		});
		this.products = this.client.entity<Product>('products', 'product', {
			order: ['id'], api: rest<Product>('products'), canEdit: ({ status }) => session.isAdmin && status !== 'discontinued'
		});
		this.people = this.client.entity<Person>('users', 'user', {
			order: ['id'], api: rest<Person>('users'), canEdit: () => session.isAdmin
		});
		setInterval(() => this.keepLocks(), LOCK_SECONDS * 500);
		addEventListener('pagehide', () => this.held.forEach((id) => session.farewell('DELETE', `orders/${id}/lock`)));
	}

	async lock(id: string): Promise<void>
	{
		this.held.add(id);			// before the reply: a page that goes meanwhile gives it up, too
		try
		{
			await this.orders.lock(id, 'edit');
		}
		catch (error)
		{
			this.held.delete(id);
			throw error;
		}
	}

	async unlock(id: string, isForced: boolean): Promise<void>
	{
		this.held.delete(id);
		await this.orders.unlock(id, isForced);
	}

	/** Prolongs the locks of this page before they expire, as far as nobody has taken them. */
	private keepLocks(): void
	{
		for (const id of this.held)
		{
			if (this.orders.get(id)?.lockedBy === this.session.user.sub)
				this.orders.lock(id, 'edit').catch(() => this.held.delete(id));
			else
				this.held.delete(id);
		}
	}
}
