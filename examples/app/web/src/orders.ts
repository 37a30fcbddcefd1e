// SPDX-License-Identifier: PostgreSQL
//
// orders.ts
//	The tab of the orders: what to show of them, what to do with many, and the cards.

import { OrderCard } from './card.js';
import { button, h, KeyedList, setText } from './dom.js';
import { newOrder } from './edit.js';
import { count } from './format.js';
import { orderStatuses, type Model, type OrderItem } from './model.js';
import { attempt, toast } from './toast.js';

export function ordersTab(model: Model): HTMLElement
{
	const { orders, session } = model;
	const list = h('ul', { class: 'cards', 'aria-label': 'Orders' });
	const cards = new KeyedList<OrderItem>(list, ({ key }) => key, (item) => new OrderCard(model, item));
	const search = h('input', { type: 'search', placeholder: 'Find a customer', 'aria-label': 'Find a customer', input: () => show() });
	const numbers = new Map<string, HTMLElement>();
	const chips = h('fieldset', { class: 'chips' }, h('legend', { class: 'hidden' }, 'Status'),
		...['all', ...orderStatuses].map((status) =>
		{
			const number = h('small');

			numbers.set(status, number);
			return h('label', {}, h('input', {
				type: 'radio', name: 'status', value: status, checked: status === 'all', change: () =>
				{
					wanted = status;
					show();
				}
			}), h('span', {}, status, ' ', number));
		}));
	const ship = button('Ship all ready', 'parcel', () => void attempt('Shipping', async () =>
	{
		const { data } = await session.request<{ total: number }>('POST', 'orders/ship', {});

		toast('good', `Shipping of ${count(data.total)} orders has ended`);
	}));
	const more = button('Load more', undefined, () => void attempt('Load more', () => orders.loadMore()));
	const state = h('p', { class: 'empty', role: 'status' });
	let wanted = 'all';

	const show = () =>
	{
		const { items, loading, error, hasMore } = orders.value;
		const text = search.value.trim().toLowerCase();
		const shown = (wanted === 'all' ? [...items] : orders.getItemsByStatus(wanted)).filter(({ data }) =>
			data.customer.toLowerCase().includes(text));

		for (const [status, number] of numbers)
			setText(number, count(status === 'all' ? items.length : orders.getItemsByStatus(status).length));
		cards.show(shown);
		more.hidden = !hasMore;
		setText(state, items.length === 0 && loading ? 'Loading …' : items.length === 0 && error ? `Orders cannot be shown: ${error.message}` :
			shown.length === 0 ? 'No such orders. Make one, or wait for somebody to.' : '');
		list.setAttribute('aria-busy', String(loading));
	};

	orders.subscribe(show);
	orders.onReplayed(({ id, kind }, error) =>
	{
		const what = kind === 'add' ? 'The new order from before the reload' : `Order ${String(id)}: the change from before the reload`;

		toast(error ? 'bad' : 'good', `${what} ${error ? `was not sent: ${error.message}` : 'was sent'}`);
	});
	return h('div', {},
		h('div', { class: 'toolbar' },
			button('New order', 'plus', () => newOrder(model), { class: 'main' }), ship, search, chips),
		list, state, more);
}
