// SPDX-License-Identifier: PostgreSQL
//
// angular.ts
//	Observables as signals, and the base class of state managers: services with signals over an EntityStore. What they
//	subscribe to ends with their injector. On servers nothing is subscribed to; a store is loading there.

import { computed, DestroyRef, inject, PLATFORM_ID, signal, untracked, type FactoryProvider, type Signal } from '@angular/core';
import { from, lastValueFrom, type ObservableInput } from 'rxjs';
import type { BulkOperation, Conflict, Item, Operation, StoreApi, StoreConfig, StoreState } from '../config.js';
import { RealtimeClient } from '../client.js';
import type { ClientOptions } from '../core.js';
import { RealtimeError } from '../error.js';
import type { Id, RealtimeEvent, Row } from '../protocol.js';
import type { Resolution } from '../resolution.js';
import type { Observable } from '../signal.js';
import { EntityStore, type StoreHandler } from '../store.js';
import { same, unloaded } from './common.js';

/** What an API call gives: what HttpClient does, or a promise. */
export type Answer = ObservableInput<unknown>;

/** The API of the application; an injected service, say. Each may be missing. */
export interface StateManagerApi<T>
{
	/** All rows, for when the notifier cannot be reached. */
	list?(): ObservableInput<T[]>;

	/** Creates a row. */
	create?(data: Partial<T>): Answer;

	/** Changes fields of a row. */
	update?(id: Id, patch: Partial<T>): Answer;

	/** Deletes a row. */
	remove?(id: Id): Answer;

	/** Locks a row for this user, or refuses. */
	lock?(id: Id, type?: string): Answer;

	/** Gives a lock back; with `isForced` another's, too. */
	unlock?(id: Id, isForced: boolean): Answer;

	/** In place of `update` for approveItem(). */
	approve?(id: Id): Answer;

	/** In place of `update` for rejectItem(). */
	reject?(id: Id, reason?: string): Answer;
}

/** A call in place of `api.update`. */
export type ItemRequest<T> = (id: Id, patch: Partial<T>) => Answer;

/** What a state manager is told when it is made: what a store is, with the API as Angular has it. */
export type StateManagerConfig<T extends object> = Omit<StoreConfig<T>, 'api' | 'requests'> & {
	/** How writes are sent. What needs a call that is missing rejects with `bad_request`. */
	api?: StateManagerApi<T>;

	/** Further calls by name, for updateItem(). */
	requests?: Record<string, ItemRequest<T>>;
};

/** Provides the RealtimeClient of an application. `options` may be a function, which may inject. It is closed with the injector. */
export function provideRealtime(url?: string, options: ClientOptions | (() => ClientOptions) = {}): FactoryProvider
{
	return {
		provide: RealtimeClient,
		useFactory: () =>
		{
			const client = new RealtimeClient(url, typeof options === 'function' ? options() : options);

			inject(DestroyRef).onDestroy(() => client.close());
			return client;
		}
	};
}

/** The value of an observable, such as `inject(RealtimeClient).status`. Needs an injection context. */
export function observe<T>(observable: Observable<T>, onServer = observable.value): Signal<T>
{
	const value = signal(onServer);

	if (inject(PLATFORM_ID) as unknown === 'browser')
	{
		untracked(() =>
		{
			inject(DestroyRef).onDestroy(observable.subscribe((now) => value.set(now)));
			value.set(observable.value);
		});
	}
	return value.asReadonly();
}

/** An answer of the API as the store wants it: HttpClient's errors are no Errors. */
async function settle<R>(answer: ObservableInput<R>): Promise<R>
{
	try
	{
		return await lastValueFrom(from(answer));
	}
	catch (error)
	{
		const { status, message, error: body } = error as { status?: number; message?: string; error?: { error?: { message?: string } } };

		if (error instanceof Error)
			throw error;
		throw new RealtimeError(status === 0 ? 'network' : 'refused', body?.error?.message ?? message, error);
	}
}

/** The API as the store wants it. */
function promises<T extends object>(api: StateManagerApi<T>): StoreApi<T>
{
	const names = ['list', 'create', 'update', 'remove', 'lock', 'unlock'] as const;
	const call = (name: typeof names[number]) => (...args: unknown[]) =>
		settle((api[name] as (...args: unknown[]) => Answer)(...args));

	return Object.fromEntries(names.filter((name) => api[name]).map((name) => [name, call(name)]));
}

/** Calls by name as the store wants them: the config's, and `approve`. */
function namedRequests<T extends object>(api: StateManagerApi<T>, requests: Record<string, ItemRequest<T>>): StoreConfig<T>['requests']
{
	const all: Record<string, ItemRequest<T>> = { ...(api.approve && { approve: (id) => api.approve!(id) }), ...requests };

	return Object.fromEntries(Object.entries(all).map(([name, request]) => [name, (id: Id, patch: Partial<T>) => settle(request(id, patch))]));
}

/** Hooks of a manager, called by its store. */
interface Hooks<T>
{
	created(item: Item<T>, event: RealtimeEvent<T>): void;
	updated(item: Item<T>, event: RealtimeEvent<T>): void;
	deleted(item: Item<T> | undefined, event: RealtimeEvent<T>): void;
}

class HookedStore<T extends object> extends EntityStore<T>
{
	constructor(client: RealtimeClient, config: StoreConfig<T>, private readonly hooks: Hooks<T>)
	{
		super(client, config);
	}

	protected override onItemCreated(item: Item<T>, event: RealtimeEvent<T>): void
	{
		this.hooks.created(item, event);
	}

	protected override onItemUpdated(item: Item<T>, event: RealtimeEvent<T>): void
	{
		this.hooks.updated(item, event);
	}

	protected override onItemDeleted(item: Item<T> | undefined, event: RealtimeEvent<T>): void
	{
		this.hooks.deleted(item, event);
	}
}

/** For injectable classes that extend it: live from when they are made until their injector is destroyed. */
export abstract class BaseRealtimeStateManager<T extends object = Row>
{
	/** All that is not here: drafts, locks, reading more. */
	readonly store: EntityStore<T>;

	/** Everything that the store shows. */
	readonly state: Signal<StoreState<T>>;

	/** The rows as they are shown, sorted. */
	readonly items: Signal<readonly Item<T>[]>;

	/** Whether rows are awaited. */
	readonly loading: Signal<boolean>;

	/** What went wrong; null again with the next load. */
	readonly error: Signal<Error | null>;

	/** The rows of which somebody else changed fields that I have changed, too. */
	readonly conflicts: Signal<readonly Conflict<T>[]>;

	/** Whether there are conflicts. */
	readonly hasConflicts: Signal<boolean>;

	/** My changes that the server's rows do not show yet. */
	readonly pending: Signal<readonly Operation<T>[]>;

	/** The bulk operations of the entity. */
	readonly bulk: Signal<readonly BulkOperation[]>;
	private readonly api: StateManagerApi<T>;
	private readonly ends: (() => void)[] = [];

	/** Needs an injection context, with what provideRealtime() provides. */
	constructor({ api = {}, requests = {}, ...config }: StateManagerConfig<T>)
	{
		const part = <K extends keyof StoreState<T>>(name: K) => computed(() => this.state()[name], { equal: same });

		this.api = api;
		this.store = new HookedStore<T>(inject(RealtimeClient), {
			...config, api: promises(api), requests: namedRequests(api, requests)
		}, {
			created: (item, event) => this.onItemCreated(item, event),
			updated: (item, event) => this.onItemUpdated(item, event),
			deleted: (item, event) => this.onItemDeleted(item, event)
		});
		this.state = observe<StoreState<T>>(this.store, unloaded);
		this.items = part('items');
		this.loading = part('loading');
		this.error = part('error');
		this.conflicts = part('conflicts');
		this.hasConflicts = part('hasConflicts');
		this.pending = part('pending');
		this.bulk = part('bulk');
		inject(DestroyRef).onDestroy(() => this.ends.forEach((end) => end()));
	}

	/** A row has come, also by `entered`. Called when it shows. */
	protected onItemCreated(_item: Item<T>, _event: RealtimeEvent<T>): void {}

	/** A row has changed. */
	protected onItemUpdated(_item: Item<T>, _event: RealtimeEvent<T>): void {}

	/** A row is gone, also by `left`; the item is as it was. */
	protected onItemDeleted(_item: Item<T> | undefined, _event: RealtimeEvent<T>): void {}

	/** Calls the handler for each event of an action (`*`: all), until the injector is destroyed. */
	protected on(action: string, handler: StoreHandler<T>): void
	{
		this.ends.push(this.store.on(action, handler));
	}

	/** An item by its id. Reads a signal: in a template or a computed() it follows the items. */
	getItem(id: Id): Item<T> | undefined
	{
		return this.items() && this.store.get(id);
	}

	/** The items for which a function of the row (and the item) is true. Reads a signal. */
	getItemsWhere(where: (data: Readonly<T>, item: Item<T>) => boolean): Item<T>[]
	{
		return this.items().filter((item) => where(item.data, item));
	}

	/** The items whose `statusField` has this value, or one of these. Reads a signal. */
	getItemsByStatus(status: unknown): Item<T>[]
	{
		return this.items() && this.store.getItemsByStatus(status);
	}

	/** Creates a row, shown at once. `request` is a call in place of `api.create`. Rejects as EntityStore.add() does. */
	addItem(data: Partial<T>, request?: (data: Partial<T>) => Answer): Promise<unknown>
	{
		return this.store.add(data, request && ((now) => settle(request(now))));
	}

	/**
	 * Changes fields, at once. `request` is for custom actions: a call in place of `api.update`, or the name of one. Rejects
	 * as EntityStore.update() does.
	 */
	updateItem(id: Id, patch: Partial<T>, request?: ItemRequest<T> | string): Promise<unknown>
	{
		return this.store.update(id, patch,
			typeof request === 'function' ? (now, fields) => settle(request(now, fields)) : request);
	}

	/** Sets the status to `approved`, or what `patch` says, at once; sent by `api.approve`, or else by `api.update`. */
	approveItem(id: Id, patch = this.status('approved')): Promise<unknown>
	{
		return this.updateItem(id, patch, this.store.config.requests!.approve && 'approve');
	}

	/**
	 * Sets the status to `rejected`, or what `patch` says, at once; sent by `api.reject`. Without that `api.update` gets the
	 * patch alone: the reason must be in it.
	 */
	rejectItem(id: Id, reason?: string, patch = this.status('rejected')): Promise<unknown>
	{
		const { api } = this;

		return this.updateItem(id, patch, api.reject && ((now) => api.reject!(now, reason)));
	}

	/** Deletes a row, shown as busy until the reply. `request` is a call in place of `api.remove`. */
	deleteItem(id: Id, request?: (id: Id) => Answer): Promise<unknown>
	{
		return this.store.remove(id, request && ((now) => settle(request(now))));
	}

	/** Resolves a row's conflict, as EntityStore.resolve() does. */
	resolveConflict(id: Id, how: Resolution<T>): Promise<unknown>
	{
		return this.store.resolve(id, how);
	}

	/** Loads the rows unless they are there and not stale; in any case with `isForced`. */
	load(isForced = false): Promise<void>
	{
		return this.store.load(isForced);
	}

	/** Sets `loading`, for work of the application's own. */
	setLoading(loading: boolean): void
	{
		this.store.setLoading(loading);
	}

	/** Sets `error`; null: takes it away. */
	setError(error: Error | null): void
	{
		this.store.setError(error);
	}

	private status(value: string): Partial<T>
	{
		return { [this.store.config.statusField ?? 'status']: value } as Partial<T>;
	}
}
