// SPDX-License-Identifier: PostgreSQL
//
// live.js
//	A list of orders that is always right, in plain JavaScript: one WebSocket, one subscription with a
//	snapshot, and the position to resume from. Frames: doc/protocol.md.
//
// What arrives is kept aside until a position frame closes the batch, then shown at once: the page
// never shows half a transaction.

const FEED_MAX = 40;
const subscription = { feature: 'orders', entity: 'order', snapshot: true };

const orders = new Map();		// id -> data
let batch = [];					// frames since the last position
let position;					// resume from here
let socket;
let attempts = 0;
let isStale = false;			// a gap: the next subscription starts from a snapshot

const $ = (id) => document.getElementById(id);

/** An element with text; text is never taken for markup. */
function element(name, className, text)
{
	const e = document.createElement(name);
	e.className = className;
	e.textContent = text ?? '';
	return e;
}

function showConnection(state, text)
{
	$('connection').className = `connection ${state}`;
	$('connection-text').textContent = text;
}

function orderCard(id, data)
{
	const li = element('li', 'order');
	li.dataset.id = id;
	li.append(element('span', 'id', `#${id}`), element('span', 'customer', data.customer),
		element('span', 'total', `€ ${Number(data.total).toFixed(2)}`));
	const note = data.approval === 'approved' ? `approved by ${data.approved_by}`
		: data.approval === 'rejected' ? `rejected: ${data.reason}` : 'waits for approval';
	li.append(element('span', 'note', data.tracking ? `${note}, ${data.tracking}` : note),
		element('span', `badge ${data.status}`, data.status));
	return li;
}

/** Puts the cards of changed orders in place; the others stay as they are. News is marked. */
function show(changed, isNews)
{
	const list = $('orders');

	for (const id of changed)
	{
		const card = list.querySelector(`[data-id="${CSS.escape(id)}"]`);
		const data = orders.get(id);
		if (!data)
		{
			card?.remove();
			continue;
		}
		const fresh = orderCard(id, data);
		fresh.classList.toggle('changed', isNews);
		if (card)
			card.replaceWith(fresh);
		else
			list.insertBefore(fresh,
				[...list.children].find((other) => Number(other.dataset.id) < Number(id)) ?? null);
	}
	$('count').textContent = orders.size;
	$('empty').hidden = orders.size > 0;
}

function addToFeed(event)
{
	const li = element('li', '');
	const what = element('span', '');
	const time = element('time', '', new Date(event.meta.timestamp)
		.toLocaleTimeString([], { hourCycle: 'h23', hour: '2-digit', minute: '2-digit', second: '2-digit' }));
	const old = event.action === 'status_changed'
		? `${event.data.old_status} → ${event.data.new_status}`
		: Object.entries(event.old ?? {}).filter(([name]) => !name.endsWith('_at'))
			.map(([name, value]) => `${name}: ${value ?? '–'} → ${event.data?.[name]}`).join(', ');

	what.append(element('b', '', event.action), ` ${event.entity} #${event.id} `,
		element('span', 'detail', old));
	li.append(time, what);
	$('feed').prepend(li);
	while ($('feed').children.length > FEED_MAX)
		$('feed').lastElementChild.remove();
}

/** Applies one event to the list; returns the ids that changed. */
function applyEvent(event)
{
	switch (event.action)
	{
		case 'created': case 'updated': case 'entered':
			orders.set(event.id, event.data);
			return [event.id];
		case 'deleted': case 'left':
			orders.delete(event.id);
			return [event.id];
		case 'truncated':
		{
			const ids = [...orders.keys()];
			orders.clear();
			return ids;
		}
		default:
			return [];
	}
}

/** Everything up to a position, at once. */
function applyBatch()
{
	const changed = new Set();
	const isNews = !batch.some((frame) => frame.op === 'snapshot');

	for (const frame of batch)
	{
		if (frame.op === 'snapshot')
		{
			if (frame.part === 0)
			{
				for (const id of orders.keys()) changed.add(id);
				orders.clear();
			}
			for (const row of frame.rows)
			{
				orders.set(row.id, row.data);
				changed.add(row.id);
			}
		}
		for (const event of frame.events ?? [])
		{
			for (const id of applyEvent(event)) changed.add(id);
			addToFeed(event);
		}
	}
	batch = [];
	show(changed, isNews);
}

function receive(frame)
{
	switch (frame.op)
	{
		case 'subscribed':
			position ??= frame.position;
			break;
		case 'snapshot': case 'commit':
			batch.push(frame);
			break;
		case 'position':
			applyBatch();
			position = frame.position;
			$('position').textContent = position;
			break;
		case 'gap':
			isStale = true;		// read the rows again
			socket.close();
			break;
		case 'error':
			showConnection('error', frame.message);
			break;
		default:
	}
}

function connect()
{
	const url = new URL('/v1/ws', location.href);
	url.protocol = url.protocol.replace('http', 'ws');
	socket = new WebSocket(url, 'realtime.v1');
	socket.onopen = () =>
	{
		const since = orders.size > 0 && !isStale ? { since: position } : {};
		isStale = false;
		batch = [];
		attempts = 0;
		showConnection('connected', 'live');
		socket.send(JSON.stringify({ op: 'subscribe', ref: 1, ...subscription, ...since }));
	};
	socket.onmessage = ({ data }) => receive(JSON.parse(data));
	socket.onclose = () =>
	{
		// Full jitter: many pages that lose one server do not come back at the same moment.
		const wait = Math.random() * Math.min(10000, 250 * 2 ** attempts++);
		showConnection('reconnecting', 'reconnecting');
		setTimeout(connect, wait);
	};
}

connect();
