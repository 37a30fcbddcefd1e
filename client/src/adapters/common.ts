// SPDX-License-Identifier: PostgreSQL
//
// common.ts
//	What the adapters share. Knows no framework.

import type { StoreState } from '../config.js';

/** What a store shows on a server, and before anybody has subscribed to it: nothing, yet. */
export const unloaded: StoreState<never> = Object.freeze({
	items: [], itemsById: new Map(), loading: true, error: null, conflicts: [], hasConflicts: false, pending: [], bulk: [],
	hasMore: false
});

/** Whether pages are rendered here for others: nothing may be subscribed to then, as nobody would end it. */
export const isServer = typeof document === 'undefined';

/** Whether two values show the same: lists do when each of their members is the same. */
export function same(a: unknown, b: unknown): boolean
{
	return Object.is(a, b) ||
		(Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((one, i) => Object.is(one, b[i])));
}
