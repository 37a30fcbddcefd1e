// SPDX-License-Identifier: PostgreSQL
//
// people.ts
//	The tab of the users: their state, and an import of many. Who is no admin sees fewer columns.

import type { Item } from 'realtime-client';
import { ask, openDialog } from './dialog.js';
import { button, h, KeyedList, setText, type View } from './dom.js';
import type { Model, Person } from './model.js';
import { attempt } from './toast.js';

class PersonCard implements View<Item<Person>>
{
	private item: Item<Person>;
	private readonly name = h('h3');
	private readonly role = h('span', { class: 'soft' });
	private readonly status = h('span', { class: 'badge' });
	private readonly note = h('p', { class: 'note' });
	private readonly activate = button('Activate', 'check', () => this.change('activate', { status: 'active', suspended_because: null }), { class: 'good' });
	private readonly deactivate = button('Deactivate', 'pause', () => this.change('deactivate', { status: 'inactive', suspended_because: null }));
	private readonly suspend = button('Suspend', 'cross', () => void this.askWhy(), { class: 'bad' });
	private readonly overlay = h('div', { class: 'overlay', role: 'status' }, h('span', {}, h('i', { class: 'spinner' }), 'Saving …'));
	private readonly actions = h('div', { class: 'actions' }, this.activate, this.deactivate, this.suspend);
	readonly element = h('li', { class: 'card', tabindex: -1 }, h('div', { class: 'top' }, this.name, this.role),
		h('div', { class: 'badges' }, this.status), this.note,
		this.actions, this.overlay);

	constructor(private readonly model: Model, item: Item<Person>)
	{
		this.item = item;
		this.actions.hidden = !model.session.isAdmin;
	}

	update(item: Item<Person>): void
	{
		const { data, isLoading, canEdit } = item;
		const isFree = canEdit && !isLoading;

		this.item = item;
		this.element.dataset.id = String(item.id);
		setText(this.name, data.name);
		setText(this.role, data.role);
		setText(this.status, data.status);
		this.status.dataset.status = data.status;
		setText(this.note, [data.email, data.suspended_because && `suspended: ${data.suspended_because}`].filter(Boolean).join(', '));
		this.activate.disabled = !isFree || data.status === 'active';
		this.deactivate.disabled = !isFree || data.status === 'inactive';
		this.suspend.disabled = !isFree || data.status === 'suspended';
		this.overlay.hidden = !isLoading;
	}

	private change(what: string, patch: Partial<Person>): void
	{
		void attempt(`${this.item.data.name}: ${what}`, () => this.model.people.update(this.item.id, patch));
	}

	private async askWhy(): Promise<void>
	{
		const reason = await ask(`Suspend ${this.item.data.name}`, 'Why?', 'Suspend');

		if (reason !== undefined)
			this.change('suspend', { status: 'suspended', suspended_because: reason });
	}
}

/** Asks for lines of `address, name` and imports them. */
function importPeople(model: Model): void
{
	const input = h('textarea', { id: 'import-lines', rows: 6, required: true, placeholder: 'eve@example.com, Eve' });
	const form = h('form', {
		submit: (event) =>
		{
			event.preventDefault();
			const lines = input.value.split('\n').map((line) => line.split(',').map((part) => part.trim()))
				.filter(([email]) => email).map(([email, name]) => ({ email, name }));

			close();
			void attempt('Import', () => model.session.request('POST', 'users/import', { lines }));
		}
	}, h('label', { for: 'import-lines' }, 'One user a line: address, name'), input,
		h('footer', {}, h('button', { type: 'submit', class: 'main' }, 'Import')));
	const { close } = openDialog('import', 'Import users', [form]);

	input.focus();
}

export function peopleTab(model: Model): HTMLElement
{
	const list = h('ul', { class: 'cards', 'aria-label': 'Users' });
	const cards = new KeyedList<Item<Person>>(list, ({ key }) => key, (item) => new PersonCard(model, item));

	model.people.subscribe(({ items }) => cards.show(items));
	return h('div', {},
		model.session.isAdmin && h('div', { class: 'toolbar' }, button('Import', 'plus', () => importPeople(model), { class: 'main' })),
		list);
}
