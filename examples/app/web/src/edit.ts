// SPDX-License-Identifier: PostgreSQL
//
// edit.ts
//	Editing an order: what is typed is a draft in the state manager, so what others change meanwhile shows in the other
//	fields, and in the same field as a conflict.

import { batch } from 'realtime-client';
import { button, h, icon, setText } from './dom.js';
import { resolveConflict } from './conflict.js';
import { openDialog } from './dialog.js';
import { cell, label } from './format.js';
import type { Model, Order } from './model.js';
import { attempt } from './toast.js';

type Field = 'customer' | 'total' | 'desk';

/** The control of a column. */
function control(field: Field): HTMLInputElement | HTMLSelectElement
{
	const id = `edit-${field}`;

	if (field === 'desk')
		return h('select', { id, name: field }, h('option', {}, 'north'), h('option', {}, 'south'));
	return h('input', {
		id, name: field, required: true, autocomplete: 'off',
		...(field === 'total' && { type: 'number', min: '0.01', max: '9999999', step: '0.01', inputmode: 'decimal' })
	});
}

/** The value of a control as the row has it. */
function valueOf(field: Field, value: string): Order[Field]
{
	return field === 'total' ? Number(value) : value as Order[Field];
}

/** The form's fields: those that this user may write. */
function fieldsFor(model: Model): Field[]
{
	return model.session.isAdmin ? ['customer', 'total', 'desk'] : ['customer', 'total'];
}

/** Opens the dialog for an order. */
export function editOrder(model: Model, id: string): void
{
	const { orders } = model;
	const fields = fieldsFor(model);
	const controls = new Map(fields.map((field) => [field, control(field)]));
	const notes = new Map(fields.map((field) => [field, h('p', { class: 'field-note', role: 'status' })]));
	const resolve = button('Resolve conflict', 'warning', () => resolveConflict(model, id), { class: 'conflicted' });
	const gone = h('p', { class: 'field-note', hidden: true }, 'This order is not there any more.');
	const save = h('button', { type: 'submit', class: 'main' }, 'Save');
	const form = h('form', {
		submit: (event) =>
		{
			event.preventDefault();
			close();
			void attempt(`Order ${id}: save`, () => orders.save(id));
		}
	},
		...fields.map((field) => h('div', { class: 'field' }, h('label', { for: `edit-${field}` }, label(field)),
			controls.get(field)!, notes.get(field)!)),
		gone, resolve,
		h('footer', {},
			button('Discard', undefined, () =>
			{
				orders.discard(id);
				close();
			}),
			button('Keep as draft', undefined, () => close()), save));

	const show = () =>
	{
		const item = orders.get(id);
		const draft = orders.pending.find((op) => op.id === id && op.state === 'draft')?.patch ?? {};
		const conflict = orders.conflicts.find((one) => one.id === id);

		gone.hidden = !!item;
		save.disabled = !item || !!conflict || !item.canEdit;
		resolve.hidden = !conflict;
		for (const [field, input] of controls)
		{
			const theirs = conflict?.fields[field];

			// What I have not touched follows the row.
			if (item && !(field in draft))
				input.value = String(item.data[field]);
			setText(notes.get(field)!, theirs ? `Somebody has changed this to ${cell(field, theirs.remote)} meanwhile.` : '');
		}
	};
	const end = orders.subscribe(show);
	const { close } = openDialog('edit', `Edit order ${id}`, [form], () => end());

	for (const [field, input] of controls)
	{
		input.addEventListener('input', () =>
		{
			if (input.checkValidity())
				batch(() => orders.edit(id, { [field]: valueOf(field, input.value) }));
		});
	}
	show();
	controls.get('customer')!.focus();
}

/** Opens the dialog for a new order. */
export function newOrder(model: Model): void
{
	const fields = fieldsFor(model);
	const controls = new Map(fields.map((field) => [field, control(field)]));
	const form = h('form', {
		submit: (event) =>
		{
			event.preventDefault();
			const data = Object.fromEntries([...controls].map(([field, input]) => [field, valueOf(field, input.value)]));

			close();
			void attempt('New order', () => model.orders.add(data as Partial<Order>));
		}
	},
		...fields.map((field) => h('div', { class: 'field' }, h('label', { for: `edit-${field}` }, label(field)), controls.get(field)!)),
		h('footer', {}, h('button', { type: 'submit', class: 'main' }, icon('plus'), 'Create')));
	const { close } = openDialog('edit', 'New order', [form]);

	controls.get('customer')!.focus();
}
