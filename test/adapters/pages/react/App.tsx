// SPDX-License-Identifier: PostgreSQL
//
// App.tsx
//	Orders by React's hooks. Each row chooses its item, so that a change of one row renders that row alone; `renders`
//	counts.

import { memo, useState } from 'react';
import type { Id } from 'realtime-client';
import { useEntity, useObservable } from 'realtime-client/react';
import { approve, type Model } from '../model';

export const renders: Record<string, number> = {};

type Store = Model['orders'];

const Row = memo(({ orders, id }: { orders: Store; id: Id }) =>
{
	const order = useEntity(orders, ({ itemsById }) => itemsById.get(String(id)));

	renders[String(id)] = (renders[String(id)] ?? 0) + 1;
	return order && (
		<li id={`order-${id}`} data-busy={order.isLoading}>
			<b>{order.data.customer}</b> <i>{order.data.status}</i>
			<button className="approve" onClick={() => orders.update(id, { status: 'approved' }, approve).catch(() => {})}>Approve</button>
			<button className="draft" onClick={() => orders.edit(id, { customer: 'Draft' })}>Draft</button>
			<button className="theirs" onClick={() => orders.resolve(id, 'remote')}>Theirs</button>
			<button className="delete" onClick={() => orders.remove(id)}>Delete</button>
		</li>
	);
});

function Orders({ orders }: { orders: Store })
{
	const { loading, error, conflicts } = useEntity(orders);
	const ids = useEntity(orders, ({ items }) => items.map(({ id }) => id));
	const pending = useEntity(orders, ({ items }) => items.filter(({ data }) => data.status === 'pending').length);

	return (
		<section>
			{loading && <p id="loading">loading</p>}
			{error && <p id="error">{error.message}</p>}
			<ul>{ids.map((id) => <Row key={String(id)} orders={orders} id={id} />)}</ul>
			<p><span id="pending">{pending}</span> pending, <span id="conflicts">{conflicts.length}</span> in conflict</p>
		</section>
	);
}

export function App({ model }: { model: Model })
{
	const [isOpen, setOpen] = useState(true);
	const [isAll, setAll] = useState(true);
	const { state } = useObservable(model.client.status);

	return (
		<main>
			<p id="status">{state}</p>
			<button id="toggle" onClick={() => setOpen(!isOpen)}>Orders</button>
			<button id="filter" onClick={() => setAll(!isAll)}>Pending only</button>
			{isOpen && <Orders orders={isAll ? model.orders : model.pending} />}
		</main>
	);
}
