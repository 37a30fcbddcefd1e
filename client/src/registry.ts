// SPDX-License-Identifier: PostgreSQL
//
// registry.ts
//	Checks events against what the application knows that the database has: constants made from the registrations. What
//	comes besides is a sign that the two have drifted apart.

import type { RealtimeEvent } from './protocol.js';

/** Features, their entities, and the actions of each; `'*'` among them is any action. */
export interface Registry
{
	readonly [feature: string]: { readonly [entity: string]: readonly string[] | {
		/** The entity's own actions. Those that every table has need not be named. */
		readonly actions: readonly string[];
	} };
}

// Those that every table has.
const everywhere = ['created', 'updated', 'deleted', 'truncated', 'status_changed', 'entered', 'left', 'bulk_started', 'bulk_progress',
	'bulk_completed', 'bulk_failed', 'bulk_created', 'bulk_updated', 'bulk_deleted', 'locked', 'unlocked'];

const member = <V>(object: { readonly [name: string]: V } | undefined, name: string): V | undefined =>
	object && Object.hasOwn(object, name) ? object[name] : undefined;

/** Whether there is such an entity. */
export function isKnown(registry: Registry, feature: string, entity: string): boolean
{
	return member(member(registry, feature), entity) !== undefined;
}

/** A function that says what is wrong with an event; undefined when nothing is. */
export function checkOf(registry: Registry): (event: RealtimeEvent) => string | undefined
{
	return ({ event, feature, entity, action }) =>
	{
		const entities = member(registry, feature);
		const known = member(entities, entity);

		if (!entities)
			return `no feature ${feature} is known`;
		if (!known)
			return `no entity ${feature}.${entity} is known`;
		const actions = 'actions' in known ? known.actions : known;
		if (!everywhere.includes(action) && !actions.includes(action) && !actions.includes('*'))
			return `no action ${action} of ${feature}.${entity} is known`;
		return event === `${feature}.${entity}.${action}` ? undefined : `${event} is none of ${feature}.${entity}.${action}`;
	};
}
