// SPDX-License-Identifier: PostgreSQL
//
// card.ts
//	One order as a card. Made once; what changes is set, so focus stays where it is.

import { button, h, icon, setText, type View } from './dom.js';
import { editOrder } from './edit.js';
import { money, person } from './format.js';
import type { Model, Order, OrderItem } from './model.js';
import { ask } from './dialog.js';
import { resolveConflict } from './conflict.js';
import { attempt, toast } from './toast.js';

const FLASH_MS = 1400;

function decision({ approval, approved_by, rejected_by, reason }: Readonly<Order>): string
{
	if (approval === 'approved')
		return `approved by ${person(approved_by)}`;
	return approval === 'rejected' ? `rejected by ${person(rejected_by)}: ${reason}` : 'waits for approval';
}

export class OrderCard implements View<OrderItem>
{
	private item: OrderItem;
	private shown = '';
	private wasBusy = false;
	private readonly number = h('span', { class: 'number' });
	private readonly customer = h('h3');
	private readonly total = h('span', { class: 'total' });
	private readonly status = h('span', { class: 'badge' });
	private readonly lockText = h('span');
	private readonly lockBadge = h('span', { class: 'badge lock' }, icon('lock'), this.lockText);
	private readonly draft = h('span', { class: 'badge unsaved' });
	private readonly note = h('p', { class: 'note' });
	private readonly desk = h('span', { class: 'soft' });
	private readonly conflict = button('Resolve conflict', 'warning', () => resolveConflict(this.model, this.item.id), { class: 'conflicted' });
	private readonly approve = button('Approve', 'check', () => this.decide('approve'), { class: 'good' });
	private readonly reject = button('Reject', 'cross', () => void this.askReason());
	private readonly pay = button('Pay', 'coin', () => this.payRest());
	private readonly edit = button('Edit', 'pencil', () => editOrder(this.model, String(this.item.id)));
	private readonly lock = button('Lock', 'lock', () => this.toggleLock());
	private readonly remove = button('', 'bin', () => this.delete(), { 'class': 'bad alone', 'aria-label': 'Delete', 'title': 'Delete' });
	private readonly overlayText = h('span');
	private readonly overlay = h('div', { class: 'overlay', role: 'status' }, h('span', {}, h('i', { class: 'spinner' }), this.overlayText));
	readonly element = h('li', { class: 'card', tabindex: -1 },
		h('div', { class: 'top' }, this.number, this.customer, this.total),
		h('div', { class: 'badges' }, this.status, this.lockBadge, this.draft, this.desk),
		this.note, this.conflict,
		h('div', { class: 'actions' }, this.approve, this.reject, this.pay, this.edit, this.lock, this.remove),
		this.overlay);

	constructor(private readonly model: Model, item: OrderItem)
	{
		this.item = item;
	}

	update(item: OrderItem): void
	{
		const { data, isLoading, isDeleting, isWaiting, isLocked, lockedBy, hasUnsavedChanges, hasConflict } = item;
		const { session } = this.model;
		const isMine = lockedBy === session.user.sub;
		const isNew = data.id === undefined;
		const isBusy = isLoading || isNew;
		const isFree = !isLocked && !isBusy;
		const isDecidable = isFree && data.approval === 'waiting' && item.canEdit;
		const hadFocus = this.element.contains(document.activeElement);

		this.item = item;
		this.element.dataset.id = String(item.id);
		this.element.setAttribute('aria-label', `Order ${isNew ? 'new' : item.id}, ${data.customer}`);
		setText(this.number, isNew ? 'new' : `#${item.id}`);
		setText(this.customer, data.customer);
		setText(this.total, money(data.total));
		setText(this.status, data.status ?? 'pending');
		this.status.dataset.status = data.status ?? 'pending';
		setText(this.desk, data.desk ? `${data.desk} desk` : '');
		setText(this.note, data.tracking ? `${decision(data)}, ${data.tracking}` : decision(data));
		this.lockBadge.hidden = !lockedBy;
		setText(this.lockText, !lockedBy ? '' : isMine ? 'locked by you' : `locked by ${person(lockedBy)}`);
		this.lockBadge.classList.toggle('mine', isMine);
		this.draft.hidden = !(hasUnsavedChanges || isWaiting) || isBusy && !isNew;
		setText(this.draft, isWaiting ? 'waits to be sent' : 'unsaved');
		this.conflict.hidden = !hasConflict;
		this.approve.disabled = this.reject.disabled = !isDecidable;
		this.pay.disabled = !isFree || data.status !== 'pending';
		this.edit.disabled = isBusy || !item.canEdit;
		this.remove.disabled = isBusy || !item.canDelete;
		this.lock.disabled = isBusy || (isLocked && !session.isAdmin);
		setText(this.lock.lastElementChild!, lockedBy ? 'Unlock' : 'Lock');
		this.lock.title = lockedBy && !isMine ? 'Force unlock' : '';
		this.lock.setAttribute('aria-label', this.lock.title || (lockedBy ? 'Unlock' : 'Lock'));
		this.lock.setAttribute('aria-pressed', String(isMine));
		this.element.classList.toggle('locked', isLocked);
		this.element.classList.toggle('conflict', hasConflict);
		this.element.setAttribute('aria-busy', String(isBusy));
		this.overlay.hidden = !isBusy;
		setText(this.overlayText, isDeleting ? 'Deleting …' : isNew ? 'Creating …' : 'Saving …');
		this.flash(isBusy);
		// A button that was pressed and is disabled now has lost the focus: it stays in the card.
		if (hadFocus && (document.activeElement as HTMLButtonElement | null)?.disabled !== false)
			this.element.focus({ preventScroll: true });
	}

	/** Marks a card that somebody else has changed. */
	private flash(isBusy: boolean): void
	{
		const now = JSON.stringify(this.item.data);
		const isNews = this.shown !== '' && this.shown !== now && !isBusy && !this.wasBusy && !this.item.hasUnsavedChanges && !this.item.isWaiting;

		this.shown = now;
		this.wasBusy = isBusy;
		if (!isNews)
			return;
		this.element.classList.add('changed');
		setTimeout(() => this.element.classList.remove('changed'), FLASH_MS);
	}

	private get id(): string
	{
		return String(this.item.id);
	}

	private decide(how: 'approve' | 'reject', reason?: string): void
	{
		const { session, orders } = this.model;
		const me = session.user.sub;
		const patch: Partial<Order> = how === 'approve' ? { approval: 'approved', approved_by: me } :
			{ approval: 'rejected', rejected_by: me, reason: reason! };

		void attempt(`Order ${this.id}: ${how}`, () => orders.update(this.id, patch, how));
	}

	private async askReason(): Promise<void>
	{
		const reason = await ask(`Reject order ${this.id}`, 'Why?', 'Reject');

		if (reason !== undefined)
			this.decide('reject', reason);
	}

	private payRest(): void
	{
		void attempt(`Order ${this.id}: payment`, () => this.model.orders.update(this.id, { status: 'paid' }, 'pay'));
	}

	private toggleLock(): void
	{
		const { lockedBy } = this.item;
		const isForced = lockedBy !== this.model.session.user.sub;

		void attempt(`Order ${this.id}: ${lockedBy ? 'unlock' : 'lock'}`, () =>
			lockedBy ? this.model.unlock(this.id, isForced) : this.model.lock(this.id));
	}

	private delete(): void
	{
		const { id } = this;

		void attempt(`Order ${id}: delete`, () => this.model.orders.remove(id)).then((isDone) =>
			isDone && toast('good', `Order ${id} is deleted`));
	}
}
