// SPDX-License-Identifier: PostgreSQL
//
// random.js
//	A random generator that gives the same from the same seed.

/** Mulberry32: small, good enough to pick tests. */
export class Random
{
	constructor(seed)
	{
		this.state = seed >>> 0;
	}

	/** A number in [0, 1). */
	next()
	{
		this.state = (this.state + 0x6d2b79f5) >>> 0;
		let x = this.state;
		x = Math.imul(x ^ (x >>> 15), x | 1);
		x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
		return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
	}

	/** A whole number from a to b. */
	between(a, b)
	{
		return a + Math.floor(this.next() * (b - a + 1));
	}

	/** True in so many of 100 cases. */
	percent(n)
	{
		return this.next() * 100 < n;
	}

	pick(list)
	{
		return list[Math.floor(this.next() * list.length)];
	}

	/** Some elements, each once; at least min. */
	some(list, min, max)
	{
		const rest = [...list];
		const chosen = [];

		for (let n = this.between(min, Math.min(max, list.length)); n > 0; n--)
			chosen.push(rest.splice(Math.floor(this.next() * rest.length), 1)[0]);
		return chosen;
	}
}
