// SPDX-License-Identifier: PostgreSQL
//
// bulk.ts
//	The bulk operations of an entity, from the events bulk_started, bulk_progress, bulk_completed and
//	bulk_failed. One whose end is never heard of becomes `lost`: nothing waits for ever.

import type { BulkOperation } from './config.js';
import type { RealtimeEvent } from './protocol.js';

const states: Record<string, BulkOperation['status']> = {
	bulk_started: 'running', bulk_progress: 'running', bulk_completed: 'completed', bulk_failed: 'failed'
};

export class BulkOperations
{
	private readonly all = new Map<string, { operation: BulkOperation; timer: ReturnType<typeof setTimeout> }>();

	/** `changed` is called when one becomes lost or is forgotten. */
	constructor(private readonly timeout: number, private readonly changed: () => void)
	{
	}

	get list(): BulkOperation[]
	{
		return [...this.all.values()].map(({ operation }) => operation);
	}

	/** Takes an event; whether it is of a bulk operation. */
	take({ action, data }: RealtimeEvent): boolean
	{
		const status = Object.hasOwn(states, action) ? states[action] : undefined;
		const id = data?.operationId;

		if (!status || typeof id !== 'string')
			return false;
		const old = this.all.get(id)?.operation;
		const merged: Record<string, unknown> = { ...old?.data, ...data };
		const number = (value: unknown): number => typeof value === 'number' ? value : 0;

		this.put({
			id, status, data: merged,
			operation: String(merged.operation ?? ''),
			total: typeof merged.total === 'number' ? merged.total : null,
			completed: number(merged.completed),
			failed: number(merged.failed),
			percentage: status === 'completed' ? 100 : typeof merged.percentage === 'number' ? merged.percentage : null
		});
		return true;
	}

	/** Forgets an operation that has ended; whether it did. */
	dismiss(id: string): boolean
	{
		const { operation, timer } = this.all.get(id) ?? {};

		if (!operation || operation.status === 'running')
			return false;
		clearTimeout(timer);
		return this.all.delete(id);
	}

	/** Forgets all of them. */
	forget(): void
	{
		this.all.forEach(({ timer }) => clearTimeout(timer));
		this.all.clear();
	}

	/** Keeps an operation: a running one until it is lost, an ended one for as long again. */
	private put(operation: BulkOperation): void
	{
		clearTimeout(this.all.get(operation.id)?.timer);
		this.all.set(operation.id, {
			operation,
			timer: setTimeout(() =>
			{
				if (operation.status === 'running')
					this.put({ ...operation, status: 'lost' });
				else
					this.all.delete(operation.id);
				this.changed();
			}, this.timeout)
		});
	}
}
