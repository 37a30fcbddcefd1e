// SPDX-License-Identifier: PostgreSQL
//
// timers.ts
//	Timers that end together.

export class Timers
{
	readonly #all = new Set<ReturnType<typeof setTimeout>>();

	later(ms: number, work: () => void): void
	{
		const timer = setTimeout(() =>
		{
			this.#all.delete(timer);
			work();
		}, ms);

		this.#all.add(timer);
	}

	clear(): void
	{
		this.#all.forEach(clearTimeout);
		this.#all.clear();
	}
}
