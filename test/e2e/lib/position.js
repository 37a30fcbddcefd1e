// SPDX-License-Identifier: PostgreSQL
//
// position.js
//	Positions as a client may look at them: <epoch>/<xmin>:<xmax>:<xip,…>, and whether a transaction is
//	covered by one.

export const POSITION_MAX = 16 * 1024;

/** Parses a position strictly; throws when it is none. */
export function parsePosition(text)
{
	const match = /^([^/\s]+)\/(\d+):(\d+):((?:\d+(?:,\d+)*)?)$/.exec(text);

	if (typeof text !== 'string' || !match || text.length > POSITION_MAX)
		throw new Error(`no position: ${JSON.stringify(text)?.slice(0, 200)}`);
	const [, epoch, xmin, xmax, list] = match;
	const position = { text, epoch, xmin: Number(xmin), xmax: Number(xmax),
		xip: list === '' ? [] : list.split(',').map(Number) };
	let last = position.xmin - 1;
	for (const xid of position.xip)
	{
		if (xid <= last || xid >= position.xmax)
			throw new Error(`xip is not ascending within xmin and xmax: ${text.slice(0, 200)}`);
		last = xid;
	}
	if (position.xmin > position.xmax)
		throw new Error(`xmin is above xmax: ${text.slice(0, 200)}`);
	position.running = new Set(position.xip);
	return position;
}

/** Whether the events of transaction tx came before the position. */
export function covers(position, tx)
{
	const xid = Number(tx);			// transactions of tests are far below 2^53

	return xid < position.xmin || (xid < position.xmax && !position.running.has(xid));
}

/** Whether everything that a covers is covered by b: b is not behind a. */
export function isWithin(a, b)
{
	if (a.epoch !== b.epoch || a.xmax > b.xmax)
	{
		// Above b's xmax, a may cover nothing.
		if (a.epoch !== b.epoch)
			return false;
		for (let xid = b.xmax; xid < a.xmax; xid++)
			if (covers(a, xid))
				return false;
	}
	return b.xip.every((xid) => !covers(a, xid));
}
