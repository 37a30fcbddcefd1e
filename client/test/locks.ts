// SPDX-License-Identifier: PostgreSQL
//
// locks.ts
//	Web Locks of a browser in this process: its pages share them until a page is killed.

export class Locks
{
	private readonly held = new Map<string, symbol>();
	private readonly queue: { name: string; page: symbol; work: () => unknown; done: (value: any) => void; failed: (error: unknown) => void }[] = [];
	private readonly dead = new Set<symbol>();

	/** What a page has of them. */
	page(): Pick<LockManager, 'request'> & { kill: () => void }
	{
		const page = Symbol('page');

		return {
			request: ((name: string, work: () => unknown) => new Promise<unknown>((done, failed) =>
			{
				this.queue.push({ name, page, work, done, failed });
				this.grant();
			})) as LockManager['request'],
			kill: () =>
			{
				this.dead.add(page);
				for (const [name, holder] of this.held)
				{
					if (holder === page)
						this.held.delete(name);
				}
				this.grant();
			}
		};
	}


	/** Gives free locks to those who wait for them. */
	private grant(): void
	{
		for (const entry of [...this.queue])
		{
			if (this.held.has(entry.name))
				continue;
			this.queue.splice(this.queue.indexOf(entry), 1);
			if (this.dead.has(entry.page))
				continue;
			this.held.set(entry.name, entry.page);
			setImmediate(() => void Promise.resolve(entry.work()).then(entry.done, entry.failed).finally(() =>
			{
				if (this.held.get(entry.name) === entry.page)
					this.held.delete(entry.name);
				this.grant();
			}));
		}
	}
}
