// SPDX-License-Identifier: PostgreSQL
//
// client.ts
//	RealtimeClient: the core, and a state manager for each entity that is asked for.

import type { StoreConfig } from './config.js';
import { RealtimeCore, type ClientOptions } from './core.js';
import { RealtimeError } from './error.js';
import type { Row } from './protocol.js';
import { checkOf, isKnown, type Registry } from './registry.js';
import { EntityStore } from './store.js';

/** The options of the core, and what the database has. */
export interface RealtimeClientOptions extends ClientOptions
{
	/** What the database has. Events of anything else are dropped, counted (`stats.badEvents`) and told (`onBadFrame`). */
	registry?: Registry;
}

/** The client: the core, and a state manager for each entity that is asked for. */
export class RealtimeClient extends RealtimeCore
{
	readonly #stores = new Map<string, EntityStore>();
	readonly #registry: Registry | undefined;

	/** As the core's. Nothing happens until somebody subscribes. */
	constructor(url?: string | URL, options: RealtimeClientOptions = {})
	{
		const { registry } = options;

		super(url, registry ? { check: checkOf(registry), ...options } : options);
		this.#registry = registry;
	}

	/**
	 * The state manager of an entity. Without a config, the same one for every caller. Throws `unknown_entity`
	 * when the registry has none such.
	 */
	entity<T extends object = Row>(feature: string, entity: string,
		config?: Omit<StoreConfig<T>, 'feature' | 'entity'>): EntityStore<T>
	{
		if (this.#registry && !isKnown(this.#registry, feature, entity))
			throw new RealtimeError('unknown_entity', `the registry has no ${feature}.${entity}`);
		const key = JSON.stringify([feature, entity]);
		const shared = config ? undefined : this.#stores.get(key);
		const store = shared as EntityStore<T> | undefined ?? new EntityStore<T>(this, { ...config, feature, entity });

		if (!config)
			this.#stores.set(key, store as unknown as EntityStore);
		return store;
	}
}
