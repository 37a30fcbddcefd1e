// SPDX-License-Identifier: PostgreSQL
//
// equal.ts
//	Whether two JSON values are the same.

/** Compares by content; the order of an object's members does not matter. */
export function equal(a: unknown, b: unknown): boolean
{
	if (Object.is(a, b))
		return true;
	if (typeof a !== 'object' || typeof b !== 'object' || !a || !b || Array.isArray(a) !== Array.isArray(b))
		return false;
	const names = Object.keys(a);

	return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) &&
		equal((a as Record<string, unknown>)[name], (b as Record<string, unknown>)[name]));
}
