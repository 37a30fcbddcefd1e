// SPDX-License-Identifier: PostgreSQL
//
// client.ts
//	RealtimeClient: the core, and a state manager for each entity that is asked for.

import type { StoreConfig } from './config.js';
import { RealtimeCore } from './core.js';
import type { Row } from './protocol.js';
import { EntityStore } from './store.js';

export class RealtimeClient extends RealtimeCore
{
	private readonly stores = new Map<string, EntityStore>();

	/** The state manager of an entity. Without a config, the same one for every caller. */
	entity<T extends object = Row>(feature: string, entity: string,
		config?: Omit<StoreConfig<T>, 'feature' | 'entity'>): EntityStore<T>
	{
		const key = JSON.stringify([feature, entity]);
		const shared = config ? undefined : this.stores.get(key);
		const store = shared as EntityStore<T> | undefined ?? new EntityStore<T>(this, { ...config, feature, entity });

		if (!config)
			this.stores.set(key, store as unknown as EntityStore);
		return store;
	}
}
