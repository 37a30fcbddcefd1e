// SPDX-License-Identifier: PostgreSQL
//
// config.ts
//	What an EntityStore is told when it is made, and what it shows.

import type { Conflict, ConflictField, Operation } from './pending.js';
import type { FilterTerm, Id, SnapshotRow } from './protocol.js';
import type { LockRequest } from './queue.js';
import type { Resolution } from './resolution.js';

/**
 * How writes reach the server: whatever API the application has. Each may be missing. Each resolves with the API's
 * reply, of which `readReply` makes sense, or rejects: with a TypeError or the code `network` when nobody knows what
 * became of it, with anything else when it is refused.
 */
export interface StoreApi<T>
{
	/** All rows, for when the notifier cannot be reached. */
	list?(): Promise<T[]>;

	/** Creates a row. Sent once: it is not repeated after a network failure. */
	create?(data: Partial<T>): Promise<unknown>;

	/** Changes fields of a row. Repeated after a network failure, `retries` times. */
	update?(id: Id, patch: Partial<T>): Promise<unknown>;

	/** Deletes a row. Repeated after a network failure, `retries` times. */
	remove?(id: Id): Promise<unknown>;

	/** Locks a row for this user, or refuses. */
	lock?(id: Id, type?: string): Promise<unknown>;

	/** Gives a lock back; with `isForced` another's, too. */
	unlock?(id: Id, isForced: boolean): Promise<unknown>;
}

/** What the store needs of an API's reply. */
export interface Reply<T>
{
	/** `pg_current_xact_id()` of the transaction that wrote. */
	tx?: string | number | undefined;

	/** The row as it was written, with the values as events have them. */
	row?: Partial<T> | null | undefined;
}

/** A lock on a row. */
export interface Lock
{
	/** Who has it; compared with `user`. */
	owner: string;

	/** What it is for, in the application's words. */
	type?: string;

	/** Milliseconds since 1970: when it ends by itself. */
	expiresAt?: number;
}

/** What is kept for a warm start. */
export interface Saved
{
	/** The server's rows, without local changes. */
	rows: SnapshotRow[];

	/** What they have seen. */
	position: string;

	/** Milliseconds since 1970: the last full load. */
	loadedAt: number;
}

/** Keeps values by key: rows (`Saved`), and with `keepQueue` changes that wait. */
export interface Storage
{
	/** What was saved; undefined: nothing. A store that has waited for a second goes on without. */
	load(key: string): Promise<unknown>;

	/** Keeps a value in place of the one before. It is plain data. */
	save(key: string, saved: any): Promise<void>;

	/** Forgets a value, if there is one. */
	remove(key: string): Promise<void>;
}

/** Something else that tells when it changes: another store, or what an adapter made of one. */
export interface Dependency
{
	/** Calls the listener after each change. Returns the function that ends it. */
	subscribe(listener: () => void): () => void;
}

/** What a store is told when it is made. */
export interface StoreConfig<T extends object>
{
	/** The feature of the rows. */
	feature: string;

	/** The entity in the feature: a table. */
	entity: string;

	/** Local changes show at once. Default: true. */
	enableOptimisticUpdates?: boolean;

	/** Changes of others to fields that I have changed and not saved are conflicts. Default: true. */
	enableConflictDetection?: boolean;

	/** Rows are kept when nobody watches, and resumed from. Default: true. */
	enableCaching?: boolean;

	/** Milliseconds after a full load that rows may be kept. Default: 5 minutes. */
	cacheTTL?: number;

	/** Terms that must all hold. Default: every row. */
	filter?: FilterTerm[];

	/** The columns to receive; the key always comes. Default: all. */
	columns?: string[];

	/** At most so many rows are loaded; those that come later are added. Default: all. */
	limit?: number;

	/** Columns as `column`, `column.asc` or `column.desc`. Default: by key, and those that come later last. */
	order?: string[];

	/**
	 * Milliseconds that changes may be held and merged at the server, for rows that change faster than anybody looks; 0: not
	 * at all. All that this client shows then moves at this pace; its own writes end the wait. Default: the server's.
	 */
	window?: number;

	/** In place of `order` for rows that are here. */
	sort?: (a: T, b: T) => number;

	/** The key column of rows without an id of their own (replies of an API). Default: `id`. */
	idField?: string;

	/** In place of `idField`: finds the key of such a row; for keys of several columns. */
	idOf?: (row: T) => Id;

	/** For getItemsByStatus. Default: `status`. */
	statusField?: string;

	/** How writes are sent. What needs a call that is missing rejects with `bad_request`. */
	api?: StoreApi<T>;

	/**
	 * Finds the transaction and the row in a reply; throws when it is a refusal. Default: `{success, data, meta: {tx}}`, or
	 * `tx` beside `data`; throws `refused` when `success` is false.
	 */
	readReply?: (reply: unknown) => Reply<T>;

	/** Further calls of the API by name, for changes that are made with them: `update(id, patch, 'approve')`. */
	requests?: Record<string, (id: Id, patch: Partial<T>) => Promise<unknown>>;

	/** User actions that may wait while offline; 0: refuse them. Default: 100. */
	offlineLimit?: number;

	/** Whether changes must wait. Default: whether `navigator.onLine` is false. */
	isOffline?: () => boolean;

	/**
	 * Milliseconds that changes made offline wait at most, when the network is back, until the rows have what others did.
	 * Default: 5 s.
	 */
	catchUpTimeout?: number;

	/** Changes that wait survive a reload of the page. Needs `storage` and Web Locks. Default: false. */
	keepQueue?: boolean;

	/** In place of the browser's. */
	locks?: LockRequest;

	/** How often an update or a removal is sent again after a network failure. Default: 3. */
	retries?: number;

	/** Who I am: my own locks do not lock me out. */
	user?: string;

	/** The lock that a row's columns say. One that the event `locked` has told comes first. */
	lockOf?: (row: T) => Lock | null | undefined;

	/** Whether a row may be changed, besides locks and removals under way. Default: yes. */
	canEdit?: (row: T) => boolean;

	/** Whether a row may be deleted, besides locks and removals under way. Default: yes. */
	canDelete?: (row: T) => boolean;

	/** What `lockOf`, `canEdit` and `canDelete` look at besides the row: when it changes, they are asked again. */
	dependsOn?: readonly Dependency[];

	/** Resolves conflicts as they come. */
	resolveConflict?: Resolution<T>;

	/** Keeps the rows for a warm start, and with `keepQueue` changes that wait. Default: none. */
	storage?: Storage;

	/** What they are kept under. Default: made of the feature, the entity, and what is asked for of them. */
	storageKey?: string;

	/** Milliseconds without connection until api.list() is used. Default: 5 s. */
	fallbackAfter?: number;

	/** Milliseconds between calls of api.list() while there is none. Default: 30 s. */
	fallbackInterval?: number;

	/** Milliseconds without news after which a bulk operation counts as lost. Default: 60 s. */
	bulkTimeout?: number;
}

/** A row with what only this client knows of it, which is never sent. */
export interface Item<T>
{
	/** The row's key; of a row that is added, one of this client's until the reply says it. */
	readonly id: Id;

	/** The same as long as the row is shown, also while it gets its id: for keyed lists. */
	readonly key: string;

	/** The row with my changes over it. */
	readonly data: Readonly<T>;

	/** A write is under way. */
	readonly isLoading: boolean;

	/** Its removal is under way, or waits. */
	readonly isDeleting: boolean;

	/** A change waits to be sent: offline, for its turn, or for a conflict to be resolved. */
	readonly isWaiting: boolean;

	/** It has a draft: edits that nobody has saved. */
	readonly hasUnsavedChanges: boolean;

	/** It is among the store's `conflicts`. */
	readonly hasConflict: boolean;

	/** Locked by somebody else. */
	readonly isLocked: boolean;

	/** Who has the lock, myself too; null: nobody. */
	readonly lockedBy: string | null;

	/** Neither locked by another nor being deleted, and `canEdit` of the config agrees. */
	readonly canEdit: boolean;

	/** Neither locked by another nor being deleted, and `canDelete` of the config agrees. */
	readonly canDelete: boolean;

	/** Whatever setLocal() was given. */
	readonly local: Readonly<Record<string, unknown>>;
}

/** A bulk operation of the entity, from its events. It is forgotten `bulkTimeout` after its end. */
export interface BulkOperation
{
	/** What bulk_start() returned. */
	readonly id: string;

	/** lost: nothing was heard of it for `bulkTimeout`. */
	readonly status: 'running' | 'completed' | 'failed' | 'lost';

	/** What it does, in the application's words. */
	readonly operation: string;

	/** How many rows it is about; null: not known. */
	readonly total: number | null;

	/** How many are done. */
	readonly completed: number;

	/** How many have failed. */
	readonly failed: number;

	/** How many of 100 are done, failed ones too; null: not known. */
	readonly percentage: number | null;

	/** The data of its events, later ones over earlier ones. */
	readonly data: Readonly<Record<string, unknown>>;
}

/** What a store shows; a new object after each change. */
export interface StoreState<T>
{
	/** The rows as they are shown, sorted. An item that did not change is the same object as before. */
	readonly items: readonly Item<T>[];

	/** The same items by keyOf(id): the id itself for keys of one column. */
	readonly itemsById: ReadonlyMap<string, Item<T>>;

	/** Rows are awaited, the first or fresh ones. */
	readonly loading: boolean;

	/** What went wrong: a refused subscription, a refused write, api.list(). Null again with the next load. */
	readonly error: Error | null;

	/** The rows that conflict. */
	readonly conflicts: readonly Conflict<T>[];

	/** Whether any row conflicts. */
	readonly hasConflicts: boolean;

	/** My changes that the server's rows do not show yet, drafts too, in order. */
	readonly pending: readonly Operation<T>[];

	/** The bulk operations of the entity. */
	readonly bulk: readonly BulkOperation[];

	/** With a limit: whether there are more rows than were loaded. */
	readonly hasMore: boolean;
}

export type { Conflict, ConflictField, Operation };
