// SPDX-License-Identifier: PostgreSQL
//
// plot.js
//	Scripts of gnuplot from the JSON of the figures: plot.js FROM TO prints them for all figures that FROM has;
//	each writes TO/NAME.svg.

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { group, median, medianOf } from './report.js';

const [from, to] = process.argv.slice(2);
const quote = (text) => `"${String(text).replaceAll('"', '')}"`;

/** The figures of a benchmark; undefined when there are none. */
function read(name)
{
	const file = path.join(from, `${name}.json`);

	return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}

/** Lines on logarithmic axes. Series: { name, points: [[x, y], …] }. */
function lines(name, title, x, y, series)
{
	const kept = series.filter(({ points }) => points.length > 0);
	const values = kept.flatMap(({ points }) => points.map(([, value]) => value));
	const decade = (f, value) => 10 ** f(Math.log10(value));
	// Little that differs must not look like much: whole decades then.
	const range = Math.max(...values) < 30 * Math.min(...values)
		? `[${decade(Math.floor, Math.min(...values))}:${decade(Math.ceil, Math.max(...values))}]` : '[*:*]';

	console.log(`reset
set terminal svg size 720,400 font "sans-serif,12" background "white"
set output ${quote(path.join(to, `${name}.svg`))}
set title ${quote(title)} noenhanced
set xlabel ${quote(x)}; set ylabel ${quote(y)}
set logscale xy; set grid; set key outside right noenhanced
set autoscale noextend; set yrange ${range}; set offsets graph 0.05, graph 0.05, graph 0.05, graph 0.05
set format x "%.0s%c"; set format y "%.0s%c"
${kept.map(({ points }, i) => `$d${i} << E\n${points.map((p) => p.join(' ')).join('\n')}\nE`).join('\n')}
plot ${kept.map((one, i) => `$d${i} with linespoints linewidth ${one.isOurs ? 3 : 1.5} pointtype ${i + 4} title ${quote(one.name)}`)
		.join(', ')}`);
}

/** Bars, one group for each row: [label, value, …]; format: of the numbers beside them. */
function bars(name, title, y, heads, rows, format = '%.0s%c')
{
	console.log(`reset
set terminal svg size 720,400 font "sans-serif,12" background "white"
set output ${quote(path.join(to, `${name}.svg`))}
set title ${quote(title)} noenhanced
set ylabel ${quote(y)}; set style data histograms; set style histogram clustered gap 1
set style fill solid 0.8; set boxwidth 0.9; set grid ytics; set xtics rotate by -30 noenhanced
set key ${heads.length > 1 ? 'outside right' : 'off'}; set yrange [0:*]
set format y "${format}"
$d << E
${rows.map(([label, ...values]) => `${quote(label)} ${values.join(' ')}`).join('\n')}
E
plot ${heads.map((head, i) => `$d using ${i + 2}${i === 0 ? ':xtic(1)' : ''} title ${quote(head)}`).join(', ')}`);
}

const unique = (runs, member) => [...new Set(runs.map((run) => run[member]))];
const points = (runs, where, x, y) => unique(runs, x).sort((a, b) => a - b)
	.map((value) => [value, medianOf(runs, { ...where, [x]: value }, y)]).filter(([, value]) => value > 0);

const fanout = read('fanout');
for (const burst of fanout ? [1, 20] : [])
	lines(`fanout-${burst}`, burst === 1 ? 'One event at a time' : 'Bursts of 20 events', 'subscribers',
		'CPU us per delivery', unique(fanout.runs, 'server').map((server) => ({ name: server,
			isOurs: server.startsWith('notifier'),
			points: points(fanout.runs, { server, burst }, 'subscribers', 'cpu_us') })));

const filtered = read('filtered');
if (filtered)
	lines('filtered', 'One match among many filtered subscriptions', 'subscriptions', 'CPU us per event',
		[{ name: 'notifier', isOurs: true, points: points(filtered.runs, {}, 'subscriptions', 'cpu_us') }]);

const latency = read('latency');
if (latency)
	lines('latency', 'From COMMIT to 100 subscribers', 'commits per second', 'us', unique(latency.runs, 'system')
		.flatMap((system) => ['p50', 'p99'].map((member) => ({ name: `${system}, ${member}`,
			isOurs: system === 'notifier', points: points(latency.runs, { system }, 'rate', member) }))));

const sustained = read('sustained');
if (sustained)
	lines('sustained', 'Everything to everybody, without falling behind', 'subscribers', 'per second',
		[['tps', 'commits'], ['deliveries_per_s', 'deliveries']].map(([member, name]) => ({ name, isOurs: true,
			points: points(sustained.runs, { case: 'sustained' }, 'subscribers', member) })));

const idle = read('idle');
if (idle)
	bars('idle', `An idle subscribed connection, ${idle.options.connections} of them`, 'bytes', ['bytes'],
		group(idle.runs.filter((run) => run.connections === idle.options.connections), ['what']).map((some) =>
			[some[0].what, median(some.map((run) => run.bytes))]));

const storms = ['storm', 'resume'].map(read).filter(Boolean);
if (storms.length > 0)
	bars('storms', 'What the connected notice of a storm', 'p99 ms', ['before', 'meanwhile'],
		storms.flatMap(({ benchmark, runs }) => group(runs, ['case']).map((some) => [`${benchmark}: ${some[0].case}`,
			...['before', 'during'].map((when) => median(some.map((run) => run[when].p99 / 1000)))])), '%.1f');
