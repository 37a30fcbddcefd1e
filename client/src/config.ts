// SPDX-License-Identifier: PostgreSQL
//
// config.ts
//	What an EntityStore is told when it is made, and what it shows.

import type { Conflict, ConflictField, Operation } from './pending.js';
import type { FilterTerm, Id, SnapshotRow } from './protocol.js';
import type { LockRequest } from './queue.js';
import type { Resolution } from './resolution.js';

/** How writes reach the server: whatever API the application has. Each may be missing. */
export interface StoreApi<T>
{
	/** All rows, for when the notifier cannot be reached. */
	list?(): Promise<T[]>;
	create?(data: Partial<T>): Promise<unknown>;
	update?(id: Id, patch: Partial<T>): Promise<unknown>;
	remove?(id: Id): Promise<unknown>;
	lock?(id: Id, type?: string): Promise<unknown>;
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

export interface Lock
{
	owner: string;
	type?: string;

	/** Milliseconds since 1970. */
	expiresAt?: number;
}

/** What is kept for a warm start. */
export interface Saved
{
	rows: SnapshotRow[];
	position: string;
	loadedAt: number;
}

/** Keeps values by key: rows (`Saved`), and with `keepQueue` changes that wait. */
export interface Storage
{
	load(key: string): Promise<unknown>;
	save(key: string, saved: any): Promise<void>;
	remove(key: string): Promise<void>;
}

/** Something else that tells when it changes: another store, or what an adapter made of one. */
export interface Dependency
{
	subscribe(listener: () => void): () => void;
}

export interface StoreConfig<T extends object>
{
	feature: string;
	entity: string;

	/** Local changes show at once. Default: true. */
	enableOptimisticUpdates?: boolean;

	/** Changes of others to fields that I have changed and not saved are conflicts. Default: true. */
	enableConflictDetection?: boolean;

	/** Rows are kept when nobody watches, and resumed from. Default: true. */
	enableCaching?: boolean;

	/** Milliseconds after a full load that rows may be kept. Default: 5 minutes. */
	cacheTTL?: number;

	filter?: FilterTerm[];
	columns?: string[];
	limit?: number;
	order?: string[];

	/** In place of `order` for rows that are here. */
	sort?: (a: T, b: T) => number;

	/** The key column of rows without an id of their own (replies of an API). Default: `id`. */
	idField?: string;
	idOf?: (row: T) => Id;

	/** For getItemsByStatus. Default: `status`. */
	statusField?: string;

	api?: StoreApi<T>;
	readReply?: (reply: unknown) => Reply<T>;

	/** Further calls of the API by name, for changes that are made with them: `update(id, patch, 'approve')`. */
	requests?: Record<string, (id: Id, patch: Partial<T>) => Promise<unknown>>;

	/** User actions that may wait while offline; 0: refuse them. Default: 100. */
	offlineLimit?: number;
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
	lockOf?: (row: T) => Lock | null | undefined;
	canEdit?: (row: T) => boolean;
	canDelete?: (row: T) => boolean;

	/** What `lockOf`, `canEdit` and `canDelete` look at besides the row: when it changes, they are asked again. */
	dependsOn?: readonly Dependency[];

	/** Resolves conflicts as they come. */
	resolveConflict?: Resolution<T>;

	storage?: Storage;
	storageKey?: string;

	/** Milliseconds without connection until api.list() is used, and between its calls. Default: 5 and 30 s. */
	fallbackAfter?: number;
	fallbackInterval?: number;

	/** Milliseconds without news after which a bulk operation counts as lost. Default: 60 s. */
	bulkTimeout?: number;
}

/** A row with what only this client knows of it, which is never sent. */
export interface Item<T>
{
	readonly id: Id;

	/** The same as long as the row is shown, also while it gets its id: for keyed lists. */
	readonly key: string;
	readonly data: Readonly<T>;

	/** A write is under way. */
	readonly isLoading: boolean;
	readonly isDeleting: boolean;

	/** A change waits to be sent: offline, for its turn, or for a conflict to be resolved. */
	readonly isWaiting: boolean;

	/** It has a draft: edits that nobody has saved. */
	readonly hasUnsavedChanges: boolean;
	readonly hasConflict: boolean;

	/** Locked by somebody else. */
	readonly isLocked: boolean;
	readonly lockedBy: string | null;
	readonly canEdit: boolean;
	readonly canDelete: boolean;

	/** Whatever setLocal() was given. */
	readonly local: Readonly<Record<string, unknown>>;
}

export interface BulkOperation
{
	readonly id: string;
	readonly status: 'running' | 'completed' | 'failed' | 'lost';
	readonly operation: string;
	readonly total: number | null;
	readonly completed: number;
	readonly failed: number;
	readonly percentage: number | null;

	/** The last event's data. */
	readonly data: Readonly<Record<string, unknown>>;
}

/** What a store shows; a new object after each change. */
export interface StoreState<T>
{
	readonly items: readonly Item<T>[];
	readonly itemsById: ReadonlyMap<string, Item<T>>;
	readonly loading: boolean;
	readonly error: Error | null;
	readonly conflicts: readonly Conflict<T>[];
	readonly hasConflicts: boolean;
	readonly pending: readonly Operation<T>[];
	readonly bulk: readonly BulkOperation[];

	/** With a limit: whether there are more rows than were loaded. */
	readonly hasMore: boolean;
}

export type { Conflict, ConflictField, Operation };
