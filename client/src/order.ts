// SPDX-License-Identifier: PostgreSQL
//
// order.ts
//	The order of a subscription, for rows that come later.

import type { Row } from './protocol.js';

/** Compares rows as an `order` of the protocol does: nulls count as larger than all else. */
export function comparator(order: string[]): (a: Row, b: Row) => number
{
	const terms = order.map((term) => /^(.*?)(?:\.(asc|desc))?$/.exec(term)!);

	return (a, b) =>
	{
		for (const [, column, direction] of terms)
		{
			const [x, y] = [a[column!] ?? null, b[column!] ?? null] as [string | null, string | null];

			if (x !== y)
				return (direction === 'desc' ? -1 : 1) * (x === null ? 1 : y === null ? -1 : x < y ? -1 : 1);
		}
		return 0;
	};
}
