// SPDX-License-Identifier: PostgreSQL
//
// slopes.js
//	A line through samples, and how sure its slope is. Knows nothing of the project.

/** 97.5 % quantiles of Student's t by degrees of freedom; beyond, the normal one is near enough. */
const T = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09, 2.09, 2.08, 2.07, 2.07, 2.06, 2.06, 2.06,
	2.05, 2.05, 2.05, 2.04];

/**
 * The least squares slope of points {x, y} with its 95 % interval: { slope, low, high, mean }. Neighbouring samples are alike
 * (a log fills and is emptied), which would make the interval look too sure: they are first averaged in n groups.
 */
export function slopeOf(points, groups = 12)
{
	const size = Math.max(1, Math.floor(points.length / groups));
	const at = [];
	for (let i = 0; i + size <= points.length; i += size)
	{
		const part = points.slice(i, i + size);
		at.push({ x: part.reduce((sum, p) => sum + p.x, 0) / size, y: part.reduce((sum, p) => sum + p.y, 0) / size });
	}
	if (at.length < 4)
		throw new Error(`${points.length} samples are too few for a slope`);
	const x = at.reduce((sum, p) => sum + p.x, 0) / at.length;
	const y = at.reduce((sum, p) => sum + p.y, 0) / at.length;
	const xx = at.reduce((sum, p) => sum + (p.x - x) ** 2, 0);
	const slope = at.reduce((sum, p) => sum + (p.x - x) * (p.y - y), 0) / xx;
	const rest = at.reduce((sum, p) => sum + (p.y - y - slope * (p.x - x)) ** 2, 0);
	const error = Math.sqrt(rest / (at.length - 2) / xx) * (T[at.length - 3] ?? 1.96);
	return { slope, low: slope - error, high: slope + error, mean: y };
}

/** The means of the three thirds: what fills up grows less from each to the next, a leak as much. */
export function thirds(points)
{
	const size = Math.floor(points.length / 3);

	return [0, 1, 2].map((n) => points.slice(n * size, (n + 1) * size).reduce((sum, p) => sum + p.y, 0) / size);
}

/**
 * Whether it grows: the slope is surely above 0 (its interval does not reach it), and over the whole time it comes to more than a
 * share of the mean and to more than a floor. A slope that is sure but tiny is a cache that fills, or a table whose vacuum is
 * not due yet; one that is large but unsure is noise.
 */
export function grows(points, share, floor = 0)
{
	const { slope, low, mean } = slopeOf(points);
	const growth = slope * (points.at(-1).x - points[0].x);
	return low > 0 && growth > share * mean && growth > floor;
}
