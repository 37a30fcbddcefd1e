// SPDX-License-Identifier: PostgreSQL
//
// orders.test.js
//	What users do with orders, in Chromium: optimistic changes confirmed and refused, buttons, locks, who sees what, bulk
//	shipping with progress, products and users.

import assert from 'node:assert/strict';
import test from 'node:test';
import { Stage, until } from './stage.js';

const stage = await Stage.open();
const ann = await stage.desk('ann');
const ben = await stage.desk('ben');

test('an approval shows at once, is confirmed, and the other page has it', async () =>
{
	const id = await stage.order('Approve me');

	await ann.shows(id, 'waits for approval');
	const release = await ann.hold(`**/api/orders/${id}/approve`);

	await ann.press(id, 'Approve');
	await ann.shows(id, 'approved by Ann');
	await ann.card(id).locator('.overlay').waitFor();
	assert.equal(await ann.card(id).getAttribute('aria-busy'), 'true');
	assert.equal(await ann.button(id, 'Approve').isDisabled(), true);
	assert.equal((await stage.sql('SELECT approval FROM orders.orders WHERE id = $1', [id]))[0].approval, 'waiting');
	assert.match(await ben.card(id).textContent(), /waits for approval/);
	await ann.shot('optimistic');
	await release();
	await ann.settled();
	await ann.card(id).locator('.overlay').waitFor({ state: 'hidden' });
	await ben.shows(id, 'approved by Ann');
	assert.match(await ann.card(id).textContent(), /approved by Ann/);
	await ann.shot('confirmed');
});

test('a refused approval shows at once and is rolled back, keeping what others changed meanwhile', async () =>
{
	const id = await stage.order('Too large', 5000);

	await ben.shows(id, 'waits for approval');
	const release = await ben.hold(`**/api/orders/${id}/approve`);

	await ben.press(id, 'Approve');
	await ben.shows(id, 'approved by Ben');
	await stage.sql("UPDATE orders.orders SET customer = 'Renamed meanwhile' WHERE id = $1", [id]);
	await ben.shows(id, 'Renamed meanwhile');
	await ben.shows(id, 'approved by Ben');
	await release();
	await ben.toast('orders over 1000 are approved by an admin');
	await ben.shows(id, 'waits for approval');
	await ben.shows(id, 'Renamed meanwhile');
	await ben.shot('refused');
	await ben.settled();
});

test('a rejection asks why; reject, pay and delete follow', async () =>
{
	const id = await stage.order('Life', 50);

	await ann.press(id, 'Reject');
	await ann.page.fill('#ask-input', 'no credit');
	await ann.shot('reason');
	await ann.page.keyboard.press('Enter');
	await ben.shows(id, 'rejected by Ann: no credit');
	await ben.press(id, 'Pay');
	await ann.card(id).locator('.badge[data-status=paid]').waitFor();
	assert.equal(await ann.button(id, 'Pay').isDisabled(), true);
	assert.equal(await ann.button(id, 'Delete').isDisabled(), true);		// paid orders stay
	const other = await stage.order('Short life');

	await ben.shows(other, 'Short life');
	const release = await ben.hold(`**/api/orders/${other}`);

	await ben.press(other, 'Delete');
	await ben.shows(other, 'Deleting');
	await ben.shot('deleting');
	await release();
	await ann.card(other).waitFor({ state: 'detached' });
	await ben.card(other).waitFor({ state: 'detached' });
	await ben.settled();
});

test('a new order shows at once, once, and gets its number', async () =>
{
	const release = await ben.hold('**/api/orders');

	await ben.tool('New order').click();
	await ben.page.fill('#edit-customer', 'Brand new <b>x</b>');
	await ben.page.fill('#edit-total', '12.5');
	await ben.shot('new');
	await ben.choose('edit', 'Create');
	await ben.page.locator('.card', { hasText: 'Brand new' }).filter({ hasText: 'Creating' }).waitFor();
	await ben.shot('creating');
	await release();
	await ann.page.locator('.card', { hasText: 'Brand new <b>x</b>' }).waitFor();
	await ben.settled();
	assert.equal(await ben.page.locator('.card', { hasText: 'Brand new' }).count(), 1);
	assert.match(await ben.page.locator('.card', { hasText: 'Brand new' }).textContent(), /#\d+/);
	assert.equal(await ann.page.locator('#panel-orders h3 b').count(), 0);		// markup in data is text
});

test('a card stays the same element while its row changes and others come and go', async () =>
{
	const id = await stage.order('Keyed');

	await ann.shows(id, 'Keyed');
	await ann.card(id).evaluate((card) => { card.mark = 'the same'; });
	const other = await stage.order('Above it');

	await ann.shows(other, 'Above it');
	await ann.press(id, 'Approve');
	await ann.shows(id, 'approved by Ann');
	await ann.settled();
	await stage.sql("UPDATE orders.orders SET customer = 'Renamed' WHERE id = $1", [id]);
	await ann.shows(id, 'Renamed');
	await stage.sql('DELETE FROM orders.orders WHERE id = $1', [other]);
	await ann.card(other).waitFor({ state: 'detached' });
	assert.equal(await ann.card(id).evaluate((card) => card.mark), 'the same');
});

test('a lock greys the others\' buttons, is refused in the database, and is forced by an admin', async () =>
{
	const id = await stage.order('Lock me');

	await ben.press(id, 'Lock');
	await ben.shows(id, 'locked by you');
	await ann.shows(id, 'locked by Ben');
	for (const name of ['Approve', 'Reject', 'Edit', 'Delete'])
		assert.equal(await ann.button(id, name).isDisabled(), true, name);
	assert.equal(await ben.button(id, 'Edit').isDisabled(), false);
	await ann.shot('locked');
	const token = await stage.login('ann');
	const refused = await stage.ask('PATCH', `orders/${id}`, { token, body: { customer: 'mine' } });

	assert.deepEqual([refused.status, refused.body.error.message], [423, `order ${id} is locked by ben`]);
	await ann.press(id, 'Force unlock');
	await ben.card(id).locator('.badge.lock').waitFor({ state: 'hidden' });
	await until('the buttons are back', async () => !await ann.button(id, 'Edit').isDisabled());
	// A lock that nobody prolongs ends by itself.
	const cleo = await stage.login('ben');

	await stage.ask('PUT', `orders/${id}/lock`, { token: cleo, body: { seconds: 2 } });
	await ann.shows(id, 'locked by Ben');
	await ann.card(id).locator('.badge.lock').waitFor({ state: 'hidden' });
	await until('the buttons are back', async () => !await ann.button(id, 'Edit').isDisabled());
});

test('a lock ends with its page', async () =>
{
	const id = await stage.order('Closed page');
	const second = await stage.desk('ben');

	await second.press(id, 'Lock');
	await ann.shows(id, 'locked by Ben');
	await second.page.close({ runBeforeUnload: false });
	await ann.card(id).locator('.badge.lock').waitFor({ state: 'hidden' });
});

test('each user sees what he may: the other desk\'s orders come and go with the desk', async () =>
{
	const cleo = await stage.desk('cleo');
	const id = await stage.order('Wanderer', 10, 'south');

	await cleo.shows(id, 'Wanderer');
	await ann.shows(id, 'Wanderer');
	assert.equal(await ben.card(id).count(), 0);
	await ann.type(id, 'desk', 'north').catch(() => ann.page.selectOption('#edit-desk', 'north'));
	await ann.choose('edit', 'Save');
	await ben.shows(id, 'Wanderer');
	await cleo.card(id).waitFor({ state: 'detached' });
	// Who is no admin has no addresses, neither by the notifier nor by the API.
	await cleo.page.click('#tab-users');
	await cleo.page.locator('#panel-users .card', { hasText: 'Dora' }).waitFor();
	assert.doesNotMatch(await cleo.page.textContent('#panel-users'), /@example/);
	assert.equal(await cleo.page.evaluate("model.people.items.some(({ data }) => 'email' in data)"), false);
	await cleo.shot('users-of-a-user');
	await cleo.close();
});

test('1,000 orders are shipped with progress that is seen before the end, failures counted', async () =>
{
	await stage.sql(`WITH o AS (INSERT INTO orders.orders (customer, total, desk)
			SELECT 'Bulk ' || n, 1, 'north' FROM generate_series(1, 1000) n RETURNING id)
		INSERT INTO orders.payments (order_id, amount, method, status) SELECT id, 1, 'card', 'received' FROM o`);
	await stage.sql("UPDATE orders.orders SET status = 'paid', approval = 'approved', approved_by = 'ann', approved_at = now() WHERE customer LIKE 'Bulk %'");
	const second = await stage.desk('ann');		// whoever may see all orders has the progress, too

	// Somebody holds the 600th, so the job must wait there; and one cannot be shipped.
	const [{ id }] = await stage.sql("SELECT id FROM orders.orders WHERE customer = 'Bulk 600'");

	await ann.page.locator('.card', { hasText: 'Bulk 1000' }).waitFor();
	await stage.sql('BEGIN');
	await stage.sql('SELECT FROM orders.orders WHERE id = $1 FOR UPDATE', [id]);
	await ann.tool('Ship all ready').click();
	const bar = ann.page.locator('.bulk').first();

	await bar.filter({ hasText: 'running' }).waitFor();
	const value = () => bar.locator('progress').evaluate((progress) => progress.position);

	await until('progress before the end', async () => await value() > 0.1 && await value() < 1);
	await second.page.locator('.bulk', { hasText: 'running' }).waitFor();
	await second.close();
	assert.equal((await stage.sql("SELECT count(*)::int AS n FROM orders.orders WHERE status = 'shipped' AND customer LIKE 'Bulk %'"))[0].n, 0);
	await ann.shot('bulk-running');
	await stage.sql("UPDATE orders.orders SET status = 'cancelled' WHERE id = $1", [id]);
	await stage.sql('COMMIT');
	await bar.filter({ hasText: 'done' }).waitFor();
	assert.equal(await value(), 1);
	assert.match(await bar.textContent(), /1 failed/);
	await until('all are shown as shipped', () => ann.page.evaluate("model.orders.getItemsWhere((row) => row.customer.startsWith('Bulk') && row.status === 'shipped').length >= 199"));
	await until('the feed has them', () => ann.page.locator('.feed li').count().then((n) => n === 60));
	await bar.locator('summary').click();
	await ann.shot('bulk-done');
	// A page that comes now has the newest 200, and more when it asks.
	await ben.page.reload();
	await ben.state('connected');
	await until('200 rows', () => ben.page.evaluate('globalThis.model?.orders.items.length === 200'));
	await ben.tool('Load more').click();
	await until('400 rows', () => ben.page.evaluate('model.orders.items.length === 400'));
});

test('products: a price for one and for a category; users: suspended and imported', async () =>
{
	await ann.page.click('#tab-products');
	await ben.page.click('#tab-products');
	const mug = (desk) => desk.page.locator('#panel-products .card', { hasText: 'Mug' });

	await mug(ann).getByRole('button', { name: 'Price' }).click();
	await ann.page.fill('#ask-input', '10');
	await ann.page.keyboard.press('Enter');
	await mug(ben).filter({ hasText: '€10.00' }).waitFor();
	await ann.tool('Prices +5 %').click();
	await mug(ben).filter({ hasText: '€10.50' }).waitFor();
	await ann.page.locator('.bulk', { hasText: /change prices/i }).filter({ hasText: 'done' }).waitFor();
	await ann.shot('products');
	await ann.page.click('#tab-users');
	const dora = ann.page.locator('#panel-users .card', { hasText: 'Dora' });

	await dora.getByRole('button', { name: 'Activate', exact: true }).click();
	await dora.locator('.badge[data-status=active]').waitFor();
	await dora.getByRole('button', { name: 'Suspend' }).click();
	await ann.page.fill('#ask-input', 'holidays');
	await ann.page.keyboard.press('Enter');
	await dora.filter({ hasText: 'holidays' }).waitFor();
	await ann.tool('Import').click();
	await ann.page.fill('#import-lines', 'eve@example.com, Eve\nno address, Nobody');
	await ann.choose('import', 'Import');
	await ann.page.locator('#panel-users .card', { hasText: 'Eve' }).waitFor();
	await ann.page.locator('.bulk', { hasText: /^import/i }).filter({ hasText: '1 failed' }).waitFor();
	await ann.shot('users');
	for (let n = await ann.page.locator('.bulk').count(); n > 0; n--)
		await ann.page.locator('.bulk button').first().click();
	await ann.page.locator('.bulk').waitFor({ state: 'detached' });
	for (const desk of [ann, ben])
		await desk.page.click('#tab-orders');
});

test('the feed tells each event once, with who and what', async () =>
{
	const id = await stage.order('Feed me', 33);

	await ben.press(id, 'Pay');
	const entries = ann.page.locator('.feed li').filter({ hasText: `order #${id}` });

	await entries.filter({ hasText: 'status_changed' }).waitFor();
	assert.equal(await entries.filter({ hasText: 'status_changed' }).count(), 1);
	assert.match(await entries.filter({ hasText: 'status_changed' }).textContent(), /by Ben.*pending → paid/);
	assert.equal(await entries.filter({ hasText: 'created' }).count(), 1);
	await ann.shot('feed');
});
