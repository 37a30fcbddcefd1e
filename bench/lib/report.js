// SPDX-License-Identifier: PostgreSQL
//
// report.js
//	Options of a figure, and what it prints: medians in a table, every run in JSON, bars met or missed.

import { writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Options of the command line over defaults, whose types they take; lists are separated by commas. */
export function readOptions(defaults, smoke = {})
{
	const args = process.argv.slice(2);
	const isSmoke = args.includes('--smoke');
	const options = { ...defaults, ...(isSmoke ? smoke : {}), isSmoke };

	for (let i = 0; i < args.length; i++)
	{
		const name = args[i].replace(/^--/, '');

		if (args[i] === '--smoke')
			continue;
		if (!(name in defaults) || i + 1 === args.length)
		{
			console.error(`usage: ${Object.entries(defaults).map(([option, value]) =>
				`[--${option} ${value}]`).join(' ')} [--json FILE] [--dir DIR] [--smoke]`);
			process.exit(2);
		}
		i++;
		if (Array.isArray(defaults[name]))
			options[name] = args[i].split(',').map((item) =>
				(typeof defaults[name][0] === 'number' ? Number(item) : item));
		else
			options[name] = typeof defaults[name] === 'number' ? Number(args[i]) : args[i];
	}
	return options;
}

export function log(text)
{
	console.error(`# ${new Date().toISOString().slice(11, 19)} ${text}`);
}

export function median(values)
{
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;

	return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Groups runs by some of their members; keeps the order. */
export function group(runs, by)
{
	const groups = new Map();

	for (const run of runs)
	{
		const key = by.map((name) => run[name]).join(' ');
		groups.set(key, [...(groups.get(key) ?? []), run]);
	}
	return [...groups.values()];
}

/** The median of a member of runs that have given members; undefined when there is none. */
export function medianOf(runs, where, member)
{
	const values = runs.filter((run) => Object.entries(where).every(([name, value]) =>
		run[name] === value)).map((run) => run[member]).filter((value) => value !== undefined);

	return values.length ? median(values) : undefined;
}

/** A number with about three digits. */
export function digits(value)
{
	if (value === undefined)
		return '-';
	if (typeof value !== 'number')
		return String(value);
	return Math.abs(value) >= 100 || Number.isInteger(value) ? value.toFixed(0)
		: value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

/** Prints a table; the first columns are text. */
export function table(head, rows)
{
	const cells = [head, ...rows.map((row) => row.map(digits))];
	const widths = head.map((_, i) => Math.max(...cells.map((row) => row[i].length)));
	const isText = head.map((_, i) => rows.some((row) => typeof row[i] === 'string' && row[i] !== '-'));

	for (const row of cells)
		console.log(row.map((cell, i) => (isText[i] ? cell.padEnd(widths[i])
			: cell.padStart(widths[i]))).join('  ').trimEnd());
	console.log('');
}

/**
 * How a figure grows: y = c * x^exponent by least squares on the logarithms of the medians. Prints a table and
 * returns the rows for the JSON. Cases: { name, points: [[x, y], …] }; those with fewer than two points are left out.
 */
export function growth(x, y, cases)
{
	const rows = cases.map(({ name, points }) => ({ name, points: points.filter(([a, b]) => a > 0 && b > 0) }))
		.filter(({ points }) => new Set(points.map(([a]) => a)).size > 1)
		.map((one) => ({ x, y, ...one, exponent: exponentOf(one.points) }));

	if (rows.length > 0)
		table([`growth of ${y}`, 'exponent', ...rows[0].points.map(([a]) => `${x} ${a}`)],
			rows.map((row) => [row.name, row.exponent.toFixed(2), ...row.points.map(([, b]) => b)]));
	return rows;
}

/** The slope of the line through the logarithms. */
export function exponentOf(points)
{
	const logs = points.map((point) => point.map(Math.log));
	const mean = (i) => logs.reduce((sum, point) => sum + point[i], 0) / logs.length;
	const [mx, my] = [mean(0), mean(1)];

	return logs.reduce((sum, [a, b]) => sum + (a - mx) * (b - my), 0)
		/ logs.reduce((sum, [a]) => sum + (a - mx) ** 2, 0);
}

export class Bars
{
	constructor()
	{
		this.list = [];
	}

	/** A figure that must be at most, or at least, so much; nothing when it was not measured. */
	most(name, value, limit)
	{
		this.add(name, value, limit, value <= limit, '<=');
	}

	least(name, value, limit)
	{
		this.add(name, value, limit, value >= limit, '>=');
	}

	add(name, value, limit, isMet, relation)
	{
		if (value === undefined || Number.isNaN(value))
			return;
		this.list.push({ name, value, bar: `${relation}${limit}`, verdict: isMet ? 'met' : 'MISSED' });
	}

	print()
	{
		if (this.list.length > 0)
			table(['bar', 'value', 'limit', ''], this.list.map((bar) =>
				[bar.name, bar.value, bar.bar, bar.verdict]));
	}
}

/** Prints the bars, writes the JSON, and says when the figures mean nothing. */
export function finish(benchmark, options, bars, runs, more = {})
{
	bars.print();
	writeFileSync(path.join(process.env.RT_WORK, 'figures.json'), `${JSON.stringify({ benchmark,
		cores: os.cpus().length, options, ...more, bars: bars.list, runs }, null, 1)}\n`);
	if (options.isSmoke)
		log('smoke run: the figures mean nothing');
	process.exit(0);
}
