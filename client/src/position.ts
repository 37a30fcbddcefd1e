// SPDX-License-Identifier: PostgreSQL
//
// position.ts
//	Positions: what a snapshot of the database has seen. Text is `epoch/xmin:xmax:xip,…`.

/** A position taken apart. Transactions below xmin are seen, from xmax on not, between but those in xip. */
export interface Position
{
	/** Which history of the server it is of: a crash, a promotion or a restore begins another. Those of two do not compare. */
	readonly epoch: string;

	/** All transactions below it are seen. */
	readonly xmin: bigint;

	/** None from it on is seen. */
	readonly xmax: bigint;

	/** Those between that are not seen. */
	readonly xip: ReadonlySet<bigint>;
}

const shape = /^([^/]+)\/([1-9]\d{0,18}):([1-9]\d{0,18}):((?:[1-9]\d{0,18}(?:,[1-9]\d{0,18})*)?)$/;

let lastText: string | undefined;
let last: Position | undefined;

/** Reads a position; undefined when the text is none. Remembers the last one: it is asked for again and again. */
export function parsePosition(text: string): Position | undefined
{
	if (text === lastText)
		return last;
	lastText = text;
	last = parse(text);
	return last;
}

/** Reads a position that is not the last one. */
function parse(text: string): Position | undefined
{
	const parts = text.length <= 16384 ? shape.exec(text) : null;

	if (!parts)
		return undefined;
	const [xmin, xmax] = [BigInt(parts[2]!), BigInt(parts[3]!)];
	const xip = parts[4] ? parts[4].split(',').map(BigInt) : [];
	const isSound = xmin <= xmax && xip.every((xid, i) => xid >= xmin && xid < xmax && (i === 0 || xid > xip[i - 1]!));

	return isSound ? { epoch: parts[1]!, xmin, xmax, xip: new Set(xip) } : undefined;
}

/** Whether a transaction id (decimal text) was seen: its events, if any, are behind the position. */
export function covers(position: Position | undefined, tx: string | bigint): boolean
{
	if (!position)
		return false;
	const xid = BigInt(tx);

	return xid < position.xmin || (xid < position.xmax && !position.xip.has(xid));
}

/** Whether a position has seen all that another has. Those of two epochs do not compare. */
export function includes(position: Position | undefined, other: Position | undefined): boolean
{
	if (!other)
		return true;
	if (!position || position.epoch !== other.epoch)
		return false;
	// The other has seen nothing from our xmax on: all of that is in its xip.
	let beyond = other.xmax - position.xmax;

	for (const xid of other.xip)
		beyond -= xid >= position.xmax ? 1n : 0n;
	if (beyond > 0n)
		return false;
	for (const xid of position.xip)
	{
		if (covers(other, xid))
			return false;
	}
	return true;
}
