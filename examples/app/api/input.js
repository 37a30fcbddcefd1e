// SPDX-License-Identifier: PostgreSQL
//
// input.js
//	What requests may say, and how results are sent.

import { Problem } from './database.js';

/** A row's id out of the path. */
export function idOf(request)
{
	if (!/^\d{1,18}$/.test(request.params.id))
		throw new Problem(404, 'not_found', 'there is no such row');
	return request.params.id;
}

/** The members of the body that are columns which may be written; refuses others. */
export function patchOf(request, columns)
{
	const patch = request.body ?? {};
	const unknown = Object.keys(patch).filter((name) => !columns.includes(name));

	if (unknown.length > 0)
		throw new Problem(422, 'unknown_column', `${unknown[0]} cannot be written`);
	if (Object.keys(patch).length === 0)
		throw new Problem(422, 'empty', 'there is nothing to write');
	return patch;
}

/** `a = $2, b = $3` and the values, for names that have been checked. */
export function assignments(patch, first = 2)
{
	return {
		text: Object.keys(patch).map((name, i) => `${name} = $${i + first}`).join(', '),
		values: Object.values(patch)
	};
}

/** Page and limit of a list: { page, limit, offset }. */
export function pageOf({ query })
{
	const number = (value, least, most, otherwise) =>
		/^\d{1,6}$/.test(value ?? '') ? Math.min(Math.max(Number(value), least), most) : otherwise;
	const page = number(query.page, 1, 100000, 1);
	const limit = number(query.limit, 1, 500, 50);

	return { page, limit, offset: (page - 1) * limit };
}

/** The first row, or the refusal that there is none. */
export function one(rows)
{
	if (rows.length === 0)
		throw new Problem(404, 'not_found', 'there is no such row, or not for you');
	return rows[0].row;
}

/** Sends what a write did and its transaction's id. */
export function sendWritten(response, { data, tx }, status = 200)
{
	response.status(status).json({ success: true, data, meta: { tx } });
}

/** Sends one page of rows. */
export function sendPage(response, rows, { page, limit })
{
	const total = Number(rows[0]?.total ?? 0);

	response.json({
		success: true, data: rows.filter(({ row }) => row).map(({ row }) => row),
		meta: { page, limit, total, pages: Math.ceil(total / limit) }
	});
}
