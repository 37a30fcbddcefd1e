// SPDX-License-Identifier: PostgreSQL
//
// bulk.ts
//	Progress bars of the bulk operations of some entities.

import type { BulkOperation, EntityStore } from 'realtime-client';
import { h, icon, KeyedList, setText, type View } from './dom.js';
import { count, text } from './format.js';

const ends: Record<BulkOperation['status'], string> = {
	running: 'running', completed: 'done', failed: 'failed', lost: 'no news any more'
};

class Bar implements View<BulkOperation>
{
	private readonly title = h('b');
	private readonly numbers = h('span', { class: 'soft' });
	private readonly progress = h('progress', { max: 100 });
	private readonly errors = h('ul');
	private readonly more = h('details', {}, h('summary', {}, 'What failed'), this.errors);
	private readonly close = h('button', { type: 'button', class: 'plain', 'aria-label': 'Close', click: () => this.dismiss() }, icon('cross'));
	readonly element = h('li', { class: 'bulk' }, h('div', { class: 'top' }, this.title, ' ', this.numbers, this.close), this.progress, this.more);

	constructor(private readonly dismiss: () => void)
	{
	}

	update(operation: BulkOperation): void
	{
		const { status, total, completed, failed, percentage, data } = operation;
		const errors = Array.isArray(data.errors) ? data.errors as { id?: string; sku?: string; line?: number; message: string }[] : [];
		const left = data.estimatedTimeRemaining;
		const rest = status === 'running' && typeof left === 'number' ? `, ${count(Math.ceil(left))} s left` : '';

		this.element.dataset.status = status;
		this.element.classList.toggle('flawed', failed > 0);
		this.close.hidden = status === 'running';
		setText(this.title, operation.operation.replaceAll('_', ' '));
		setText(this.numbers, `${count(completed)} of ${total === null ? '?' : count(total)}` +
			`${failed > 0 ? `, ${count(failed)} failed` : ''}${rest} – ${ends[status]}`);
		if (percentage === null)
			this.progress.removeAttribute('value');
		else
			this.progress.value = percentage;
		this.progress.setAttribute('aria-label', `${operation.operation}: ${Math.round(percentage ?? 0)} %`);
		this.more.hidden = errors.length === 0;
		this.errors.replaceChildren(...errors.slice(0, 20).map(({ id, sku, line, message }) =>
			h('li', {}, `${text(id ?? sku ?? line)}: ${message}`)));
	}
}

/** The bars of these stores' operations, newest first. */
export function bulkBars(stores: EntityStore<any>[]): HTMLElement
{
	const list = h('ul', { class: 'bulks', 'aria-label': 'Bulk operations' });
	const keyed = new KeyedList<BulkOperation>(list, ({ id }) => id, ({ id }) =>
		new Bar(() => stores.forEach((store) => store.dismissBulk(id))));

	for (const store of stores)
		store.subscribe(() => keyed.show(stores.flatMap(({ bulk }) => [...bulk]).reverse()));
	return list;
}
