// SPDX-License-Identifier: PostgreSQL
//
// wait.js
//	Waiting on conditions, and chance that can be replayed. Knows nothing of the project.

/** Resolves after some milliseconds: between two looks at a condition, or as a test's own pace. */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Looks every few milliseconds until f() gives a true value, and returns it; fails after some
 * seconds. For conditions that nothing announces: another process, a row, a file.
 */
export async function until(what, f, seconds = 20, interval = 20)
{
	const end = performance.now() + seconds * 1000;

	for (;;)
	{
		const value = await f();
		if (value)
			return value;
		if (performance.now() > end)
			throw new Error(`not within ${seconds} s: ${what}`);
		await pause(interval);
	}
}

/** A promise that fails with what it waited for when it takes longer than so many seconds. */
export function within(what, promise, seconds = 20)
{
	let timer;
	const late = new Promise((_, reject) =>
	{
		timer = setTimeout(() => reject(new Error(`not within ${seconds} s: ${what}`)), seconds * 1000);
	});
	return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Random numbers from a seed: float(), int(from, to) inclusive, pick(array). */
export class Chance
{
	constructor(seed)
	{
		this.state = seed >>> 0;
	}

	float()
	{
		// mulberry32
		this.state = (this.state + 0x6D2B79F5) >>> 0;
		let t = this.state;
		t = Math.imul(t ^ (t >>> 15), t | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
	}

	int(from, to)
	{
		return from + Math.floor(this.float() * (to - from + 1));
	}

	pick(array)
	{
		return array[this.int(0, array.length - 1)];
	}
}
