// SPDX-License-Identifier: PostgreSQL
//
// indexeddb.ts
//	Keeps the rows of stores in the browser's IndexedDB, for a warm start. An optional module.

import type { Saved, Storage } from './config.js';

const table = 'stores';

/** Waits for a request of IndexedDB. */
function done<R>(request: IDBRequest<R>): Promise<R>
{
	return new Promise((resolve, reject) =>
	{
		request.onsuccess = () => resolve(request.result);
		request.onerror = () => reject(request.error);
	});
}

/**
 * A storage for `EntityStore`. `name` is the database's: rows are what a user may see, so give each user one,
 * or call the store's clear() when the user changes.
 */
export function indexedDBStorage(name = 'realtime'): Storage
{
	let opened: Promise<IDBDatabase> | undefined;

	const open = () => opened ??= new Promise<IDBDatabase>((resolve, reject) =>
	{
		const request = indexedDB.open(name, 1);

		request.onupgradeneeded = () => request.result.createObjectStore(table);
		request.onsuccess = () =>
		{
			// Another tab that wants to delete or upgrade the database must not wait for us.
			request.result.onversionchange = () =>
			{
				request.result.close();
				opened = undefined;
			};
			resolve(request.result);
		};
		request.onerror = () => reject(request.error);
	}).catch((error) =>
	{
		opened = undefined;
		throw error;
	});
	const run = async <R>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<R>): Promise<R> =>
		done(work((await open()).transaction(table, mode).objectStore(table)));

	return {
		load: (key) => run<Saved | undefined>('readonly', (store) => store.get(key)),
		save: async (key, saved) => void await run('readwrite', (store) => store.put(saved, key)),
		remove: async (key) => run<undefined>('readwrite', (store) => store.delete(key))
	};
}
