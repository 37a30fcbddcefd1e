// SPDX-License-Identifier: PostgreSQL
//
// orders.js
//	Orders over HTTP: each route is a statement or two.

import { Router } from 'express';
import { Problem } from './database.js';
import { assignments, idOf, one, pageOf, patchOf, sendPage, sendWritten } from './input.js';

const RETURNING = 'RETURNING row_to_json(orders.*) AS row';

export function ordersRouter(database)
{
	const router = Router();

	/** A write of one order by a statement whose $1 is the id. */
	const change = async (request, response, statement, ...values) =>
		sendWritten(response, await database.write(request.user, async (query) =>
			one(await query(statement, [idOf(request), ...values]))));

	router.get('/', async (request, response) =>
	{
		const page = pageOf(request);

		sendPage(response, await database.read(request.user, (query) => query(
			`WITH page AS (SELECT * FROM orders.orders WHERE $1::text IS NULL OR status = $1)
			SELECT row_to_json(p) AS row, n.total FROM (SELECT count(*) AS total FROM page) n
			LEFT JOIN LATERAL (SELECT * FROM page ORDER BY id DESC LIMIT $2 OFFSET $3) p ON true`,
			[request.query.status ?? null, page.limit, page.offset])), page);
	});

	router.get('/:id', async (request, response) =>
	{
		response.json({ success: true, data: await database.read(request.user, async (query) =>
			one(await query('SELECT row_to_json(o) AS row FROM orders.orders o WHERE id = $1', [idOf(request)]))) });
	});

	router.post('/', async (request, response) =>
	{
		const { customer, total, desk } = patchOf(request, ['customer', 'total', 'desk']);

		sendWritten(response, await database.write(request.user, async (query) => one(desk ?
			await query(`INSERT INTO orders.orders (customer, total, desk) VALUES ($1, $2, $3) ${RETURNING}`, [customer, total, desk]) :
			await query(`INSERT INTO orders.orders (customer, total) VALUES ($1, $2) ${RETURNING}`, [customer, total]))), 201);
	});

	// Many orders: those named, or all that are paid and approved.
	router.post('/ship', async (request, response) =>
	{
		const { ids, carrier = 'DHL' } = request.body ?? {};

		sendWritten(response, await database.write(request.user, async (query) =>
		{
			const ready = ids ?? (await query(
				"SELECT id FROM orders.orders WHERE status = 'paid' AND approval = 'approved' ORDER BY id")).map(({ id }) => id);

			if (!Array.isArray(ready) || ready.length === 0)
				throw new Problem(422, 'empty', 'no order is ready to be shipped');
			const [{ operation }] = await query('SELECT orders.ship($1, $2) AS operation', [ready, carrier]);

			return { operation, total: ready.length };
		}));
	});

	router.patch('/:id', async (request, response) =>
	{
		const { text, values } = assignments(patchOf(request, ['customer', 'total', 'desk', 'status', 'tracking']));

		await change(request, response, `UPDATE orders.orders SET ${text} WHERE id = $1 ${RETURNING}`, ...values);
	});

	router.delete('/:id', (request, response) =>
		change(request, response, `DELETE FROM orders.orders WHERE id = $1 ${RETURNING}`));

	router.post('/:id/approve', (request, response) => change(request, response,
		`UPDATE orders.orders SET approval = 'approved', approved_by = $2, approved_at = now(), rejected_by = NULL, reason = NULL
		WHERE id = $1 ${RETURNING}`, request.user.sub));

	router.post('/:id/reject', (request, response) => change(request, response,
		`UPDATE orders.orders SET approval = 'rejected', rejected_by = $2, reason = $3, approved_by = NULL, approved_at = NULL
		WHERE id = $1 ${RETURNING}`, request.user.sub, request.body?.reason ?? null));

	// What is left to pay, in one payment.
	router.post('/:id/pay', async (request, response) =>
	{
		sendWritten(response, await database.write(request.user, async (query) =>
		{
			const id = idOf(request);
			const [{ open }] = await query(`SELECT total - coalesce((SELECT sum(amount) FROM orders.payments
				WHERE order_id = o.id AND status = 'received'), 0) AS open FROM orders.orders o WHERE id = $1`, [id]).then((rows) =>
				rows.length > 0 ? rows : [{ open: null }]);

			if (open > 0)
				await query('SELECT orders.receive_payment($1, $2, $3)', [id, open, request.body?.method ?? 'card']);
			return one(await query('SELECT row_to_json(o) AS row FROM orders.orders o WHERE id = $1', [id]));
		}));
	});

	router.put('/:id/lock', async (request, response) =>
	{
		const { type = 'edit', seconds = 120 } = request.body ?? {};

		if (!Number.isInteger(seconds) || seconds < 1 || seconds > 3600)
			throw new Problem(422, 'seconds', 'a lock lasts for 1 to 3600 seconds');
		await change(request, response, 'SELECT row_to_json(l) AS row FROM orders.lock($1, $2, $3) l', type, seconds);
	});

	// Policies say whose: one's own, or an expired one; any, for admins, with ?force=1.
	router.delete('/:id/lock', async (request, response) =>
	{
		const isForced = request.query.force === '1';

		sendWritten(response, await database.write(request.user, async (query) =>
		{
			const id = idOf(request);
			const rows = await query(`DELETE FROM orders.locks WHERE order_id = $1 AND (locked_by = $2 OR $3)
				RETURNING row_to_json(locks.*) AS row`, [id, request.user.sub, isForced]);
			const [left] = rows.length > 0 ? [] : await query('SELECT locked_by FROM orders.locks WHERE order_id = $1', [id]);

			if (left)
				throw new Problem(423, 'locked', `order ${id} is locked by ${left.locked_by}`);
			return rows[0]?.row ?? null;
		}));
	});

	return router;
}
