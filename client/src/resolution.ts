// SPDX-License-Identifier: PostgreSQL
//
// resolution.ts
//	Ways to resolve a conflict.

import type { Conflict } from './pending.js';
import type { Row } from './protocol.js';

/** `local`: mine is kept, and sent (again). `remote`: the other's is. */
export type Choice = 'local' | 'remote';

/** How to resolve a conflict: all fields alike, each by itself, or the values to keep. */
export type Resolution<T> = Choice | { [F in keyof T]?: Choice } | ((conflict: Conflict<T>) => Partial<T>);

/** The values that a resolution chooses for the fields of a conflict. */
export function chosen(conflict: Conflict, how: Resolution<Row>): Row
{
	const own = typeof how === 'function' ? how(conflict) : undefined;

	return Object.fromEntries(Object.entries(conflict.fields).map(([field, values]) =>
	{
		const choice = typeof how === 'object' ? how[field] : how;

		if (own && Object.hasOwn(own, field))
			return [field, own[field]];
		return [field, choice === 'remote' ? values!.remote : values!.local];
	}));
}
