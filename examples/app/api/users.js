// SPDX-License-Identifier: PostgreSQL
//
// users.js
//	Accounts over HTTP. Who may not read addresses gets none.

import { Router } from 'express';
import { Problem } from './database.js';
import { assignments, idOf, one, pageOf, patchOf, sendPage, sendWritten } from './input.js';

/** The columns that a user may read. */
function columnsFor({ role })
{
	return role === 'web_admin' ? 'id, email, name, role, status, suspended_because' : 'id, name, role, status';
}

export function usersRouter(database)
{
	const router = Router();

	router.get('/', async (request, response) =>
	{
		const page = pageOf(request);

		sendPage(response, await database.read(request.user, (query) => query(
			`SELECT row_to_json(u) AS row, count(*) OVER () AS total FROM (SELECT ${columnsFor(request.user)} FROM users.users) u
			ORDER BY id LIMIT $1 OFFSET $2`, [page.limit, page.offset])), page);
	});

	router.patch('/:id', async (request, response) =>
	{
		const { text, values } = assignments(patchOf(request, ['name', 'role', 'status', 'suspended_because']));

		sendWritten(response, await database.write(request.user, async (query) =>
		{
			one((await query(`UPDATE users.users SET ${text} WHERE id = $1 RETURNING id`,
				[idOf(request), ...values])).map((row) => ({ row })));
			return one(await query(`SELECT row_to_json(u) AS row
				FROM (SELECT ${columnsFor(request.user)} FROM users.users WHERE id = $1) u`, [idOf(request)]));
		}));
	});

	router.post('/import', async (request, response) =>
	{
		const { lines } = request.body ?? {};

		if (!Array.isArray(lines) || lines.length === 0 || lines.length > 10000)
			throw new Problem(422, 'lines', 'an import has 1 to 10000 lines');
		sendWritten(response, await database.write(request.user, async (query) =>
		{
			await query(`INSERT INTO users.staged (email, name)
				SELECT l ->> 'email', l ->> 'name' FROM jsonb_array_elements($1::jsonb) l`, [JSON.stringify(lines)]);
			const [result] = await query('SELECT users.import_staged() AS operation');

			await query('DELETE FROM users.staged');		// refused lines are in the results
			return result;
		}));
	});

	return router;
}
