// SPDX-License-Identifier: PostgreSQL
//
// position.ts
//	Positions: what a snapshot of the database has seen. Text is `epoch/xmin:xmax:xip,…`.

/** A position taken apart. Transactions below xmin are seen, from xmax on not, between but those in xip. */
export interface Position
{
	readonly epoch: string;
	readonly xmin: bigint;
	readonly xmax: bigint;
	readonly xip: ReadonlySet<bigint>;
}

const shape = /^([^/]+)\/(\d{1,20}):(\d{1,20}):((?:\d{1,20}(?:,\d{1,20})*)?)$/;

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

function parse(text: string): Position | undefined
{
	const parts = text.length <= 16384 ? shape.exec(text) : null;

	return parts ? {
		epoch: parts[1]!,
		xmin: BigInt(parts[2]!),
		xmax: BigInt(parts[3]!),
		xip: new Set(parts[4] ? parts[4].split(',').map(BigInt) : [])
	} : undefined;
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
	if (!position || position.epoch !== other.epoch || position.xmax < other.xmax)
		return false;
	for (const xid of position.xip)
	{
		if (covers(other, xid))
			return false;
	}
	return true;
}
