// SPDX-License-Identifier: PostgreSQL
//
// products.ts
//	The tab of the products: prices and stock as they change, and a price change for a whole category.

import type { Item } from 'realtime-client';
import { ask } from './dialog.js';
import { button, h, KeyedList, setText, type View } from './dom.js';
import { money } from './format.js';
import type { Model, Product } from './model.js';
import { attempt } from './toast.js';

class ProductCard implements View<Item<Product>>
{
	private item: Item<Product>;
	private readonly name = h('h3');
	private readonly price = h('span', { class: 'total' });
	private readonly status = h('span', { class: 'badge' });
	private readonly stock = h('p', { class: 'note' });
	private readonly publish = button('Publish', 'check', () => this.change('publish', { status: 'published' }), { class: 'good' });
	private readonly end = button('Discontinue', 'cross', () => this.change('discontinue', { status: 'discontinued' }), { class: 'bad' });
	private readonly setPrice = button('Price', 'pencil', () => void this.askPrice());
	private readonly overlay = h('div', { class: 'overlay', role: 'status' }, h('span', {}, h('i', { class: 'spinner' }), 'Saving …'));
	private readonly actions = h('div', { class: 'actions' }, this.publish, this.setPrice, this.end);
	readonly element = h('li', { class: 'card', tabindex: -1 }, h('div', { class: 'top' }, this.name, this.price),
		h('div', { class: 'badges' }, this.status), this.stock,
		this.actions, this.overlay);

	constructor(private readonly model: Model, item: Item<Product>)
	{
		this.item = item;
		this.actions.hidden = !model.session.isAdmin;
	}

	update(item: Item<Product>): void
	{
		const { data, isLoading, canEdit } = item;

		this.item = item;
		this.element.dataset.id = String(item.id);
		setText(this.name, data.name);
		setText(this.price, money(data.price));
		setText(this.status, data.status);
		this.status.dataset.status = data.status;
		setText(this.stock, `${data.sku}, ${data.category}, ${data.quantity} in stock`);
		this.publish.disabled = !canEdit || isLoading || data.status !== 'draft' || data.price === null;
		this.setPrice.disabled = !canEdit || isLoading;
		this.end.disabled = !canEdit || isLoading || data.status !== 'published';
		this.overlay.hidden = !isLoading;
	}

	private change(what: string, patch: Partial<Product>): void
	{
		void attempt(`${this.item.data.name}: ${what}`, () => this.model.products.update(this.item.id, patch));
	}

	private async askPrice(): Promise<void>
	{
		const answer = await ask(this.item.data.name, 'New price in euros', 'Set');
		const price = Number(answer?.replace(',', '.'));

		if (answer !== undefined && !Number.isNaN(price))
			this.change('price', { price });
	}
}

export function productsTab(model: Model): HTMLElement
{
	const { products, session } = model;
	const list = h('ul', { class: 'cards', 'aria-label': 'Products' });
	const cards = new KeyedList<Item<Product>>(list, ({ key }) => key, (item) => new ProductCard(model, item));
	const category = h('select', { 'aria-label': 'Category' }, h('option', {}, 'kitchen'), h('option', {}, 'office'));
	const reprice = (percent: number) => void attempt('Prices', () =>
		session.request('POST', 'products/reprice', { category: category.value, percent }));

	products.subscribe(({ items }) => cards.show(items));
	return h('div', {},
		session.isAdmin && h('div', { class: 'toolbar' }, category,
			button('Prices +5 %', undefined, () => reprice(5)), button('Prices −5 %', undefined, () => reprice(-5))),
		list);
}
