// SPDX-License-Identifier: PostgreSQL
//
// conflicts.test.js
//	Two people edit the same order: where that is a conflict, where not, and each way of resolving one.

import assert from 'node:assert/strict';
import test from 'node:test';
import { Stage, until } from './stage.js';

const stage = await Stage.open();
const ann = await stage.desk('ann');
const ben = await stage.desk('ben');

const row = async (id) => (await stage.sql('SELECT customer, total::float FROM orders.orders WHERE id = $1', [id]))[0];
const hasConflict = (desk) => desk.page.locator('.banner').isVisible();

/** Both begin to edit an order: ann types, ben saves other values. The conflict shows at ann's. */
async function conflict(fields)
{
	const id = await stage.order('Base', 100);

	await ben.shows(id, 'Base');
	for (const [field, value] of Object.entries(fields))
		await ann.type(id, field, value.mine);
	for (const [field, value] of Object.entries(fields))
		await ben.type(id, field, value.theirs);
	await ben.choose('edit', 'Save');
	await ann.page.locator('.banner').waitFor();
	return id;
}

test('different fields are no conflict: both changes stay', async () =>
{
	const id = await stage.order('Base', 100);

	await ben.shows(id, 'Base');
	await ann.type(id, 'customer', 'Ann was here');
	await ben.type(id, 'total', '222');
	await ben.choose('edit', 'Save');
	await until('the untouched field follows', () => ann.page.inputValue('#edit-total').then((value) => value === '222'));
	assert.equal(await hasConflict(ann), false);
	assert.equal(await ann.page.inputValue('#edit-customer'), 'Ann was here');
	await ann.choose('edit', 'Save');
	await ben.shows(id, 'Ann was here');
	await ann.settled();
	assert.deepEqual(await row(id), { customer: 'Ann was here', total: 222 });
});

test('a draft survives changes of others, is shown as one, and is discarded', async () =>
{
	const id = await stage.order('Base', 100);

	await ann.type(id, 'customer', 'A draft');
	await ann.choose('edit', 'Keep as draft');
	await ann.shows(id, 'unsaved');
	await stage.sql('UPDATE orders.orders SET total = 7 WHERE id = $1', [id]);
	await ann.shows(id, '€7.00');
	await ann.shows(id, 'A draft');
	await ann.shot('draft');
	await ann.press(id, 'Edit');
	await ann.choose('edit', 'Discard');
	await ann.shows(id, 'Base');
	assert.equal((await row(id)).customer, 'Base');
});

test('the same field: the dialog says so; keep mine sends mine', async () =>
{
	const id = await conflict({ total: { mine: '111', theirs: '222' } });

	await ann.dialog('edit').getByText('Somebody has changed this to €222.00 meanwhile.').waitFor();
	assert.equal(await ann.dialog('edit').getByRole('button', { name: 'Save' }).isDisabled(), true);
	assert.deepEqual(await row(id), { customer: 'Base', total: 222 });
	await ann.shot('conflict-while-editing');
	await ann.choose('edit', 'Resolve conflict');
	await ann.dialog('conflict').waitFor();
	await ann.shot('conflict-dialog');
	await ann.choose('conflict', 'Keep mine');
	await ben.shows(id, '€111.00');
	await ann.page.locator('.banner').waitFor({ state: 'hidden' });
	assert.deepEqual(await row(id), { customer: 'Base', total: 111 });
	await ann.page.keyboard.press('Escape');
	await ann.settled();
});

test('take theirs drops mine; the banner and the card show the conflict', async () =>
{
	const id = await conflict({ total: { mine: '333', theirs: '444' } });

	await ann.choose('edit', 'Keep as draft');
	await ann.card(id).getByRole('button', { name: 'Resolve conflict' }).waitFor();
	await ann.shot('conflict-banner');
	await ann.page.locator('.banner').getByRole('button', { name: `Resolve #${id}` }).click();
	await ann.choose('conflict', 'Take theirs');
	await ann.shows(id, '€444.00');
	await ann.page.locator('.banner').waitFor({ state: 'hidden' });
	await ann.settled();
	assert.deepEqual(await row(id), { customer: 'Base', total: 444 });
});

test('field by field', async () =>
{
	const id = await conflict({ customer: { mine: 'Mine', theirs: 'Theirs' }, total: { mine: '555', theirs: '666' } });

	await ann.choose('edit', 'Keep as draft');
	await ann.card(id).getByRole('button', { name: 'Resolve conflict' }).click();
	await ann.dialog('conflict').locator('[data-field=total] input[value=remote]').check();
	await ann.shot('conflict-per-field');
	await ann.choose('conflict', 'Use this choice');
	await ben.shows(id, 'Mine');
	await ann.settled();
	assert.deepEqual(await row(id), { customer: 'Mine', total: 666 });
	assert.equal(await hasConflict(ann), false);
});

test('a write that went over another\'s is told, and theirs can be put back', async () =>
{
	const id = await stage.order('Base', 100);

	await ann.type(id, 'total', '777');
	const release = await ann.hold(`**/api/orders/${id}`);

	await ann.choose('edit', 'Save');
	await ann.shows(id, '€777.00');
	await stage.sql('UPDATE orders.orders SET total = 888 WHERE id = $1', [id]);
	await until('the event is here', () => ann.page.locator('.feed li', { hasText: '€100.00 → €888.00' }).count());
	await ann.shows(id, '€777.00');
	await release();
	await ann.page.locator('.banner').waitFor();
	await ann.card(id).getByRole('button', { name: 'Resolve conflict' }).click();
	await ann.dialog('conflict').getByText('Your change was saved over').waitFor();
	await ann.shot('overwritten');
	await ann.choose('conflict', 'Take theirs');
	await ben.shows(id, '€888.00');
	await ann.settled();
	assert.deepEqual(await row(id), { customer: 'Base', total: 888 });
	assert.equal(await hasConflict(ann), false);
});

test('the row is deleted under my draft', async () =>
{
	const id = await stage.order('Base', 100);

	await ann.type(id, 'customer', 'Lost');
	await stage.sql('DELETE FROM orders.orders WHERE id = $1', [id]);
	await ann.dialog('edit').getByText('not there any more').waitFor();
	await ann.choose('edit', 'Resolve conflict');
	await ann.dialog('conflict').getByText('The order is gone').waitFor();
	await ann.shot('conflict-deleted');
	await ann.choose('conflict', 'Drop my changes');
	await ann.page.locator('.banner').waitFor({ state: 'hidden' });
	await ann.page.keyboard.press('Escape');
	assert.equal(await ann.card(id).count(), 0);
});
