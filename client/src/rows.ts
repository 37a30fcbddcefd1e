// SPDX-License-Identifier: PostgreSQL
//
// rows.ts
//	The server's rows as loads and events tell them, and the position they are of. Pure: knows no local
//	changes.

import type { Position } from './position.js';
import type { Id, RealtimeEvent, Row, SnapshotRow } from './protocol.js';
import { keyOf } from './view.js';

export interface BaseRow
{
	readonly id: Id;
	readonly data: Row;
}

/** What an event did to the rows. */
export type Effect =
	| { kind: 'created' | 'updated' | 'deleted'; key: string; row: BaseRow }

	/** Every row is gone. */
	| { kind: 'cleared' }

	/** Rows changed that the event does not say: they must be read again. */
	| { kind: 'unknown' }
	| { kind: 'none' };

/** Called for each row that becomes another one; undefined: there is none. */
export type Changed = (key: string, before: Row | undefined, after: Row | undefined) => void;

const unknowns = ['bulk_created', 'bulk_updated', 'bulk_deleted', 'resync', 'gap'];

export class Rows
{
	map: ReadonlyMap<string, BaseRow> = new Map<string, BaseRow>();
	at: Position | undefined;

	constructor(private readonly changed: Changed)
	{
	}

	/** All rows anew. */
	load(rows: readonly SnapshotRow[]): void
	{
		const old = this.map;
		const map = new Map(rows.map(({ id, data }) => [keyOf(id), { id, data }] as const));

		this.map = map;
		for (const [key, { data }] of old)
		{
			if (!map.has(key))
				this.changed(key, data, undefined);
		}
		for (const [key, { data }] of map)
			this.changed(key, old.get(key)?.data, data);
	}

	/** One event. With `isPartial` the rows are only a part: changes of rows that are not here stay outside. */
	apply({ action, id, data, meta }: RealtimeEvent, isPartial: boolean): Effect
	{
		const map = this.map as Map<string, BaseRow>;

		if (action === 'truncated')
		{
			this.load([]);
			return { kind: 'cleared' };
		}
		if (unknowns.includes(action))
			return { kind: 'unknown' };
		if (!['created', 'updated', 'entered', 'deleted', 'left'].includes(action) || id === null)
			return { kind: 'none' };

		const key = keyOf(id);
		const old = map.get(key);

		if (action === 'deleted' || action === 'left')
		{
			if (!old)
				return { kind: 'none' };
			map.delete(key);
			this.changed(key, old.data, undefined);
			return { kind: 'deleted', key, row: old };
		}
		if (!old && action === 'updated' && isPartial)
			return { kind: 'none' };

		// Values that were left out have not changed, or are too large: what is known of them stays.
		const row = { id, data: { ...data } };
		const missing = (meta.omitted ?? []).filter((column) => !Object.hasOwn(data, column));

		for (const column of missing)
		{
			if (old && Object.hasOwn(old.data, column))
				row.data[column] = old.data[column];
		}
		map.set(key, row);
		this.changed(key, old?.data, row.data);
		return { kind: old ? 'updated' : 'created', key, row };
	}
}
