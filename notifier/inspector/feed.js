// SPDX-License-Identifier: PostgreSQL
//
// feed.js
//	Live events: a subscriber of realtime.v1 with the rights of the role that signed in, so it shows nothing that this
//	role could not read anyway.
//
// What events hold is shown as text and never as anything else. At most KEPT events are kept, each cut to TEXT_MAX
// characters; the list is drawn once a frame at most, and shows SHOWN of them.

const KEPT = 500;
const SHOWN = 100;
const TEXT_MAX = 8000;
const RETRY_MS = [500, 1000, 2000, 5000, 10000];
const PRIORITIES = ['low', 'normal', 'high', 'critical'];

const text = (value) => (typeof value === 'string' ? value : value === undefined || value === null ? '' : JSON.stringify(value));
const cut = (string, max) => (string.length > max ? `${string.slice(0, max)} …` : string);

function element(name, className, content)
{
	const made = document.createElement(name);

	made.className = className;
	made.textContent = content;
	return made;
}

/** What is kept of an event. */
function entryOf(event, number)
{
	const meta = event.meta ?? {};
	const full = JSON.stringify(event, null, 2) ?? '';
	const priority = PRIORITIES.includes(meta.priority) ? meta.priority : 'normal';
	const changed = event.old && typeof event.old === 'object' ? Object.keys(event.old) : [];
	const detail = changed.length > 0 ? changed.map((c) => `${c}: ${cut(text(event.data?.[c]), 60)}`).join('  ') : text(event.data);

	return { number, priority, name: cut(text(event.event), 200), id: cut(text(event.id), 100), time: text(meta.timestamp).slice(11, 23),
		detail: cut(detail, 200), full: cut(full, TEXT_MAX), search: `${text(event.event)} ${cut(JSON.stringify(event) ?? '', TEXT_MAX)}`.toLowerCase() };
}

export class Feed
{
	/** list, state: elements. */
	constructor(list, state)
	{
		this.list = list;
		this.state = state;
		this.entries = [];			// newest first
		this.number = 0;
		this.unseen = 0;			// while paused
		this.isPaused = false;
		this.filter = '';
		this.isHighOnly = false;
		this.attempt = 0;
		this.retry = undefined;
		this.token = undefined;
	}

	/** Connects, and again after a loss, until stop(). */
	start(token)
	{
		this.token = token;
		if (!this.socket && !this.retry)
			this.connect();
	}

	stop()
	{
		this.token = undefined;
		clearTimeout(this.retry);
		this.retry = undefined;
		const { socket } = this;

		this.socket = undefined;
		// one that is on its way is closed when it is there: browsers complain else
		if (socket?.readyState === WebSocket.CONNECTING)
			socket.addEventListener('open', () => socket.close());
		else
			socket?.close();
		this.tell('not connected');
	}

	connect()
	{
		const url = new URL('v1/ws', location.href);

		this.retry = undefined;
		url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
		url.search = url.hash = '';
		const socket = new WebSocket(url, 'realtime.v1');

		this.socket = socket;
		this.tell('connecting …');
		socket.addEventListener('open', () =>
		{
			if (socket === this.socket)
				socket.send(JSON.stringify({ op: 'auth', ref: 1, token: this.token }));
		});
		socket.addEventListener('message', ({ data }) =>
		{
			if (socket === this.socket)
				this.receive(data);
		});
		socket.addEventListener('close', () =>
		{
			if (socket !== this.socket)
				return;
			this.socket = undefined;
			if (this.isRefused)
				return;
			this.tell('connection lost; trying again');
			this.retry = setTimeout(() => this.connect(), RETRY_MS[Math.min(this.attempt++, RETRY_MS.length - 1)]);
		});
		this.isRefused = false;
	}

	/** A frame; one that cannot be read is left out and said. */
	receive(data)
	{
		let frame;

		try
		{
			frame = JSON.parse(data);
		}
		catch
		{
			this.tell('a frame could not be read');
			return;
		}
		switch (frame?.op)
		{
			case 'authenticated':
				this.socket.send(JSON.stringify({ op: 'subscribe', ref: 2, feature: '*', entity: '*' }));
				break;
			case 'subscribed':
				this.attempt = 0;
				this.tell('');
				break;
			case 'commit':
				this.add(Array.isArray(frame.events) ? frame.events : []);
				break;
			case 'gap':
				this.addGap(text(frame.reason));
				break;
			case 'error':
				this.isRefused = frame.ref === 1 || frame.ref === 2;
				this.tell(`${text(frame.code)}: ${cut(text(frame.message), 200)}`);
				break;
			default:
		}
	}

	add(events)
	{
		// of a large transaction the last ones
		for (const event of events.slice(-KEPT))
		{
			if (event && typeof event === 'object')
				this.entries.unshift(entryOf(event, ++this.number));
		}
		this.entries.length = Math.min(this.entries.length, KEPT);
		this.unseen += events.length;
		this.drawSoon();
	}

	addGap(reason)
	{
		this.entries.unshift({ number: ++this.number, gap: `events are missing here: ${cut(reason, 100)}`, search: 'gap', priority: 'high' });
		this.entries.length = Math.min(this.entries.length, KEPT);
		this.drawSoon();
	}

	clear()
	{
		this.entries = [];
		this.unseen = 0;
		this.draw();
	}

	pause(isPaused)
	{
		this.isPaused = isPaused;
		this.draw();
	}

	setFilter(filter, isHighOnly)
	{
		this.filter = filter.trim().toLowerCase();
		this.isHighOnly = isHighOnly;
		this.draw(true);
	}

	/** Says what is the matter; nothing when all is well. */
	tell(problem)
	{
		this.problem = problem;
		this.drawSoon();
	}

	drawSoon()
	{
		this.frame ??= requestAnimationFrame(() =>
		{
			this.frame = undefined;
			this.draw();
		});
	}

	/** Draws what is wanted. Rows that are there stay, with what is open and focused in them. */
	draw(isForced = false)
	{
		if (!this.isPaused || isForced)
		{
			const words = this.filter.split(/\s+/);
			const wanted = this.entries.filter((e) => (!this.isHighOnly || e.priority === 'high' || e.priority === 'critical') &&
				words.every((word) => e.search.includes(word))).slice(0, SHOWN);
			const there = new Map([...this.list.children].map((row) => [row.dataset.number, row]));
			const rows = wanted.map((entry) => there.get(String(entry.number)) ?? this.row(entry));
			const kept = new Set(rows);

			for (const row of there.values())
			{
				if (!kept.has(row))
					row.remove();
			}
			rows.forEach((row, i) =>
			{
				if (this.list.children[i] !== row)
					this.list.insertBefore(row, this.list.children[i] ?? null);
			});
			this.unseen = this.isPaused ? this.unseen : 0;
		}
		const state = this.isPaused ? `paused; ${this.unseen} more have come` : this.number === 0 ? 'no event yet' :
			`${this.list.children.length} shown, the last ${this.entries.length} kept`;

		this.state.textContent = this.problem ? `${state} (${this.problem})` : state;
	}

	row(entry)
	{
		const row = document.createElement('li');

		row.dataset.number = entry.number;
		row.className = 'new';
		if (entry.gap)
		{
			row.append(element('p', 'gap', entry.gap));
			return row;
		}
		const details = document.createElement('details');
		const summary = document.createElement('summary');

		summary.append(element('time', '', entry.time), element('b', '', entry.name), element('span', 'id mono', entry.id),
			element('span', 'detail', entry.detail), element('span', `priority ${entry.priority}`, entry.priority));
		details.append(summary);
		details.addEventListener('toggle', () =>
		{
			if (details.open && details.children.length === 1)
				details.append(element('pre', '', entry.full));
		});
		row.append(details);
		return row;
	}
}
