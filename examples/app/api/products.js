// SPDX-License-Identifier: PostgreSQL
//
// products.js
//	Products over HTTP.

import { Router } from 'express';
import { assignments, idOf, one, pageOf, patchOf, sendPage, sendWritten } from './input.js';

// The cost is nobody else's business.
const COLUMNS = 'id, sku, name, category, status, price, quantity';

export function productsRouter(database)
{
	const router = Router();

	router.get('/', async (request, response) =>
	{
		const page = pageOf(request);

		sendPage(response, await database.read(request.user, (query) => query(
			`SELECT row_to_json(p) AS row, count(*) OVER () AS total FROM (SELECT ${COLUMNS} FROM products.products) p
			ORDER BY id LIMIT $1 OFFSET $2`, [page.limit, page.offset])), page);
	});

	router.patch('/:id', async (request, response) =>
	{
		const { text, values } = assignments(patchOf(request, ['status', 'price']));

		sendWritten(response, await database.write(request.user, async (query) =>
		{
			one((await query(`UPDATE products.products SET ${text} WHERE id = $1 RETURNING id`,
				[idOf(request), ...values])).map((row) => ({ row })));
			return one(await query(`SELECT row_to_json(p) AS row FROM (SELECT ${COLUMNS} FROM products.products WHERE id = $1) p`,
				[idOf(request)]));
		}));
	});

	router.post('/reprice', async (request, response) =>
	{
		const { category, percent } = request.body ?? {};

		sendWritten(response, await database.write(request.user, async (query) =>
			(await query('SELECT products.change_prices($1, $2) AS operation', [category, percent]))[0]));
	});

	return router;
}
