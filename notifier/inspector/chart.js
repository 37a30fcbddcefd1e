// SPDX-License-Identifier: PostgreSQL
//
// chart.js
//	A small line chart in SVG: the last values of one or two series over time. Values are numbers, labels ours.

const WIDTH = 300;
const HEIGHT = 100;
const POINTS = 120;
const NS = 'http://www.w3.org/2000/svg';

const make = (name, attributes) =>
{
	const element = document.createElementNS(NS, name);

	for (const [attribute, value] of Object.entries(attributes))
		element.setAttribute(attribute, value);
	return element;
};

/** The next round number: what an axis ends with. */
export function niceCeiling(value)
{
	if (!(value > 0))
		return 1;
	const unit = 10 ** Math.floor(Math.log10(value));

	return [1, 2, 2.5, 5, 10].map((step) => step * unit).find((step) => step >= value * 0.999);
}

export class Chart
{
	/** A figure with a title; series: names; format: a value as text. */
	constructor(title, series, format)
	{
		this.format = format;
		this.series = series;
		this.points = [];			// [time in ms, value of each series]; oldest first
		this.figure = document.createElement('figure');
		this.figure.className = 'chart';
		const caption = document.createElement('figcaption');
		const heading = document.createElement('h2');

		heading.textContent = title;
		this.keys = document.createElement('div');
		this.keys.className = 'keys';
		caption.append(heading, this.keys);
		this.svg = make('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' });
		this.area = make('path', { class: 'area' });
		this.lines = series.map((_, i) => make('polyline', { class: i === 0 ? 'line' : 'line second' }));
		this.cursor = make('line', { class: 'cursor', y1: 0, y2: HEIGHT, visibility: 'hidden' });
		this.svg.append(...[0.5, HEIGHT / 2, HEIGHT - 0.5].map((y) => make('line', { class: 'grid', x1: 0, x2: WIDTH, y1: y, y2: y })),
			this.area, ...this.lines, this.cursor);
		this.scale = document.createElement('div');
		this.scale.className = 'scale';
		this.scale.append(document.createElement('span'), document.createElement('span'));
		this.figure.append(caption, this.svg, this.scale);
		this.title = title;
		this.svg.addEventListener('pointermove', (event) => this.point(event));
		this.svg.addEventListener('pointerleave', () => this.point(undefined));
	}

	/** Adds values, one for each series; draws. */
	add(time, ...values)
	{
		this.points.push([time, ...values.map((value) => (Number.isFinite(value) ? Math.max(0, value) : 0))]);
		if (this.points.length > POINTS)
			this.points.shift();
		this.draw();
	}

	clear()
	{
		this.points = [];
		this.draw();
	}

	x(i)
	{
		return WIDTH - (this.points.length - 1 - i) * (WIDTH / (POINTS - 1));
	}

	draw()
	{
		const max = niceCeiling(Math.max(0, ...this.points.flatMap((p) => p.slice(1))));
		const y = (value) => HEIGHT - 2 - (value / max) * (HEIGHT - 6);
		const lines = this.lines.map((_, s) => this.points.map((p, i) => `${this.x(i).toFixed(1)},${y(p[s + 1]).toFixed(1)}`).join(' '));

		this.lines.forEach((line, s) => line.setAttribute('points', lines[s]));
		this.area.setAttribute('d', this.points.length > 1 ?
			`M${this.x(0).toFixed(1)},${HEIGHT} L${lines[0].replaceAll(' ', ' L')} L${WIDTH},${HEIGHT} Z` : '');
		const last = this.points.at(-1);
		const first = this.points[0];
		const [left, right] = this.scale.children;

		left.textContent = last ? `${Math.round((last[0] - first[0]) / 1000)} s ago` : '';
		right.textContent = `max ${this.format(max)}`;
		this.show(this.shown ?? last);
		this.svg.setAttribute('aria-label', last ? `${this.title}: ${this.text(last)}` : `${this.title}: nothing yet`);
	}

	text(point)
	{
		return this.series.map((name, s) => `${name} ${this.format(point[s + 1])}`).join(', ');
	}

	/** Values of a point in the legend. */
	show(point)
	{
		this.keys.replaceChildren(...this.series.map((name, s) =>
		{
			const key = document.createElement('span');

			key.textContent = `${this.series.length > 1 ? `${name} ` : ''}${point ? this.format(point[s + 1]) : '–'}`;
			return key;
		}));
	}

	/** The pointer is over a place, or has left. */
	point(event)
	{
		const box = this.svg.getBoundingClientRect();
		const at = event && ((event.clientX - box.left) / box.width) * WIDTH;
		const i = event ? Math.round(this.points.length - 1 - (WIDTH - at) / (WIDTH / (POINTS - 1))) : -1;

		this.shown = this.points[i];
		this.cursor.setAttribute('visibility', this.shown ? 'visible' : 'hidden');
		if (this.shown)
		{
			this.cursor.setAttribute('x1', this.x(i));
			this.cursor.setAttribute('x2', this.x(i));
		}
		this.show(this.shown ?? this.points.at(-1));
	}
}
