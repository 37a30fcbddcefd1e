// SPDX-License-Identifier: PostgreSQL
//
// conflict.ts
//	Conflicts: the banner that counts them, and the dialog that resolves one: keep mine, take theirs, or field by field.

import type { Choice, Conflict, Id } from 'realtime-client';
import { button, h, icon, setText } from './dom.js';
import { openDialog } from './dialog.js';
import { cell, label } from './format.js';
import type { Model, Order } from './model.js';
import { attempt, toast } from './toast.js';

const stories = {
	changed: 'Somebody else has changed what you are changing. Nothing of yours is sent until you decide.',
	overwritten: 'Your change was saved over one that somebody else made at the same time. Keep it, or put theirs back.',
	deleted: 'The order is gone, or not yours to see any more. Your changes cannot be saved.'
};

/** The banner of all conflicts of the orders. */
export function conflictBanner(model: Model): HTMLElement
{
	const message = h('p');
	const buttons = h('div', { class: 'buttons' });
	const element = h('div', { class: 'banner', role: 'alert', hidden: true }, icon('warning'), message, buttons);
	let shown = '';

	model.orders.subscribe(({ conflicts }) =>
	{
		const keys = conflicts.map(({ key }) => key).join();

		element.hidden = conflicts.length === 0;
		if (keys === shown)
			return;
		shown = keys;
		setText(message, conflicts.length === 1 ? 'One order has a conflict' : `${conflicts.length} orders have conflicts`);
		buttons.replaceChildren(...conflicts.slice(0, 5).map(({ id }) =>
			button(`Resolve #${String(id)}`, undefined, () => resolveConflict(model, id))));
	});
	return element;
}

/** One field: both values and what it was; with a choice if there is one, without theirs if the row is gone. */
function fieldOf(name: string, { base, local, remote }: { base: unknown; local: unknown; remote: unknown }, isChoice: boolean,
	isGone: boolean): HTMLFieldSetElement
{
	const option = (value: Choice, whose: string, shown: unknown) => h(isChoice ? 'label' : 'div', { class: 'option' },
		isChoice && h('input', { type: 'radio', name: `choose-${name}`, value, checked: value === 'local' }),
		h('span', {}, h('small', {}, whose), h('b', {}, cell(name, shown))));

	return h('fieldset', { 'data-field': name }, h('legend', {}, label(name), ' ', h('small', {}, `was ${cell(name, base)}`)),
		option('local', 'Mine', local), !isGone && option('remote', 'Theirs', remote));
}

/** Opens the dialog for an order's conflict. It closes by itself when there is none any more, and follows what changes. */
export function resolveConflict(model: Model, id: Id): void
{
	const { orders } = model;
	const find = () => orders.conflicts.find((one) => one.id === id);
	const story = h('p');
	const fields = h('div', { class: 'fields' });
	const act = (what: string, how: Choice | Record<string, Choice>) =>
	{
		close();
		void attempt(`Order ${String(id)}: ${what}`, () => orders.resolve(id, how as Choice)).then((isDone) =>
			isDone && toast('good', `Order ${String(id)}: the conflict is resolved`));
	};
	const chosen = () => Object.fromEntries([...fields.querySelectorAll('fieldset')].map((set) =>
		[set.dataset.field!, set.querySelector<HTMLInputElement>('input:checked')!.value as Choice]));
	const mine = button('Keep mine', undefined, () => act('keep mine', 'local'));
	const theirs = button('Take theirs', undefined, () => act('take theirs', 'remote'));
	const each = button('Use this choice', 'check', () => act('per field', chosen()), { class: 'main' });
	const footer = h('footer', {}, mine, theirs, each);
	let shown: Conflict<Order> | undefined;

	const show = () =>
	{
		const conflict = find();

		if (!conflict)
			return close();
		if (JSON.stringify(conflict) === JSON.stringify(shown))
			return;
		shown = conflict;
		const isGone = conflict.kind === 'deleted';
		const entries = Object.entries(conflict.fields);
		const isChoice = !isGone && entries.length > 1;
		const all = isChoice ? 'all ' : '';

		setText(story, stories[conflict.kind]);
		fields.replaceChildren(...entries.map(([name, values]) => fieldOf(name, values!, isChoice, isGone)));
		mine.hidden = isGone;
		each.hidden = !isChoice;
		footer.classList.toggle('pair', !isGone && !isChoice);
		setText(mine.lastElementChild!, `Keep ${all}mine`);
		setText(theirs.lastElementChild!, isGone ? 'Drop my changes' : `Take ${all}theirs`);
	};

	if (!find())
		return;
	const end = orders.subscribe(show);
	const { close } = openDialog('conflict', `Conflict in order ${String(id)}`, [story, fields, footer], () => end());

	show();
}
