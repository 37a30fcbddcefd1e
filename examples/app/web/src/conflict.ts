// SPDX-License-Identifier: PostgreSQL
//
// conflict.ts
//	Conflicts: the banner that counts them, and the dialog that resolves one: keep mine, take theirs, or field by field.

import type { Choice, Conflict, Id } from 'realtime-client';
import { button, h, icon, setText } from './dom.js';
import { openDialog } from './dialog.js';
import { label, text } from './format.js';
import type { Model, Order } from './model.js';
import { attempt, toast } from './toast.js';

const stories = {
	changed: 'Somebody else has changed what you are changing. Nothing of yours is sent until you decide.',
	overwritten: 'Your change was saved over one that somebody else made at the same time.',
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

/** One field: a choice between two values, and what it was. */
function choiceOf(name: string, { base, local, remote }: { base: unknown; local: unknown; remote: unknown }): HTMLFieldSetElement
{
	const option = (value: Choice, whose: string, shown: unknown) => h('label', { class: 'option' },
		h('input', { type: 'radio', name: `choose-${name}`, value, checked: value === 'local' }),
		h('span', {}, h('small', {}, whose), h('b', {}, text(shown))));

	return h('fieldset', { 'data-field': name }, h('legend', {}, label(name), ' ', h('small', {}, `was ${text(base)}`)),
		option('local', 'Mine', local), option('remote', 'Theirs', remote));
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
	const mine = button('Keep all mine', undefined, () => act('keep mine', 'local'));
	const theirs = button('Take all theirs', undefined, () => act('take theirs', 'remote'));
	const each = button('Use this choice', 'check', () => act('per field', chosen()), { class: 'main' });
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

		setText(story, stories[conflict.kind]);
		fields.replaceChildren(...Object.entries(conflict.fields).map(([name, values]) => choiceOf(name, values!)));
		mine.hidden = each.hidden = isGone;
		setText(theirs.lastElementChild!, isGone ? 'Drop my changes' : 'Take all theirs');
	};

	if (!find())
		return;
	const end = orders.subscribe(show);
	const { close } = openDialog('conflict', `Conflict in order ${String(id)}`, [story, fields,
		h('footer', {}, theirs, mine, each)], () => end());

	show();
}
