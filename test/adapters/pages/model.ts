// SPDX-License-Identifier: PostgreSQL
//
// model.ts
//	What the pages share: the client, and the store of orders over an API that answers as usual. Where the test
//	has put a fake server into the window, the client is led to it.

import { RealtimeClient, type ClientOptions, type Row, type StoreApi } from 'realtime-client';

export interface Order extends Row
{
	id: number;
	customer: string;
	status: string;
}

/** The client's options. */
export function options(): ClientOptions
{
	const { fake } = globalThis as { fake?: Required<Pick<ClientOptions, 'WebSocket' | 'fetch'>> };

	return fake ? { WebSocket: fake.WebSocket, fetch: fake.fetch } : {};
}

async function call(method: string, where: string, body?: unknown): Promise<unknown>
{
	const response = await fetch(`/api/orders/${where}`, {
		method, headers: { 'content-type': 'application/json' }, ...(body !== undefined && { body: JSON.stringify(body) })
	});

	return response.json();
}

const api: StoreApi<Order> = {
	update: (id, patch) => call('PATCH', String(id), patch),
	remove: (id) => call('DELETE', String(id))
};

export const approve = (id: unknown) => call('POST', `${id}/approve`);

/** A client, a store of all orders, and one of some. Pages have one; servers one a request. */
export function makeModel()
{
	const client = new RealtimeClient(globalThis.location?.origin ?? 'http://fake.example', options());

	return {
		client,
		orders: client.entity<Order>('orders', 'order', { api, order: ['id'] }),
		pending: client.entity<Order>('orders', 'order', { api, order: ['id'], filter: [['status', 'eq', 'pending']] })
	};
}

export type Model = ReturnType<typeof makeModel>;
