// SPDX-License-Identifier: PostgreSQL
//
// lists.js
//	Sessions and views as tables. Everything that comes is shown as text.

/** Bytes with a unit. */
export function bytes(n)
{
	const units = ['B', 'kB', 'MB', 'GB', 'TB'];
	let i = 0;

	while (n >= 1024 && i < units.length - 1)
	{
		n /= 1024;
		i++;
	}
	return `${i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}

/** A number of things. */
export function count(n)
{
	return n >= 1e6 ? `${(n / 1e6).toFixed(n < 1e7 ? 2 : 1)} M` : n >= 1e4 ? `${(n / 1e3).toFixed(1)} k` :
		n > 0 && n < 10 && !Number.isInteger(n) ? n.toFixed(1) : String(Math.round(n));
}

/** Seconds with a unit. */
export function duration(s)
{
	if (s < 0.9995)
		return `${s < 0.0095 ? (s * 1000).toFixed(1) : Math.round(s * 1000)} ms`;
	if (s < 120)
		return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
	if (s < 7200)
		return `${Math.round(s / 60)} min`;
	return s < 172800 ? `${(s / 3600).toFixed(1)} h` : `${Math.round(s / 86400)} d`;
}

const plain = (value) => (value === undefined || value === null ? '' : String(value));

/** A cell: text, and smaller text below it. */
function cell(label, content, { small, className = '' } = {})
{
	const td = document.createElement('td');
	const main = document.createElement('span');

	td.className = className;
	td.dataset.label = label;
	main.textContent = plain(content);
	td.append(main);
	if (small)
	{
		const below = document.createElement('small');

		below.textContent = plain(small);
		td.append(below);
	}
	return td;
}

function fill(table, rows)
{
	table.tBodies[0].replaceChildren(...rows.map((cells) =>
	{
		const tr = document.createElement('tr');

		tr.append(...cells);
		return tr;
	}));
}

/** A list of names, each once with how often it comes. */
function names(list, total)
{
	const counts = new Map();

	for (const name of list)
		counts.set(name, (counts.get(name) ?? 0) + 1);
	const shown = [...counts].map(([name, n]) => (n > 1 ? `${name} ×${n}` : name)).join(', ');

	return total > list.length ? `${shown} and ${total - list.length} more` : shown;
}

export function showSessions(table, list, maxQueue)
{
	fill(table, list.map((s) => [
		cell('Session', `${s.worker}/${s.id}`, { className: 'mono' }),
		cell('Who', s.user ?? (s.role ? 'without a user' : 'not signed in'), { small: s.role }),
		cell('By', s.transport, { small: s.address }),
		cell('Age', duration(s.age), { className: 'number' }),
		cell('Queue', bytes(s.queue), { className: s.queue > maxQueue / 2 ? 'number warn' : 'number',
			small: s.frames > 0 ? `${count(s.frames)} frames` : '' }),
		cell('Subscriptions', s.subscriptions === 0 ? '0' : names(s.views, s.subscriptions),
			{ small: s.behind > 0 ? `${s.behind} not live yet` : '' })
	]));
}

export function showViews(table, list)
{
	fill(table, list.map((v) => [
		cell('View', v.name, { small: v.actions.length > 0 ? v.actions.join(', ') : 'all actions' }),
		cell('Role', v.role),
		cell('Filter', v.filter.length > 0 ? v.filter.join(', ') : '–'),
		cell('Policies', { none: '–', filter: 'as a filter', evaluated: 'by PostgreSQL' }[v.policies] ?? v.policies),
		cell('Columns', v.columns || 'all', { className: 'number' }),
		cell('Subscribers', count(v.subscriptions), { className: 'number' }),
		cell('Worker', v.worker, { className: 'number' })
	]));
}
