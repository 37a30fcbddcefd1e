// SPDX-License-Identifier: PostgreSQL
//
// inspector.js
//	The page: signing in, asking for numbers and lists while somebody looks, tabs and keys.
//
// The token is in this module's memory and in no address, cookie or storage. Nothing is asked while the page is hidden,
// and lists only while their tab is open.

import { Chart } from './chart.js';
import { Feed } from './feed.js';
import { bytes, count, duration, showSessions, showViews } from './lists.js';

const PAUSE_MS = 1000;			// between two answers and questions
const FAILED_MS = 3000;
const ROWS = 50;

const $ = (id) => document.getElementById(id);
const feed = new Feed($('events'), $('feed-state'));
const rate = (n) => `${count(n)}/s`;
const charts = {
	events: new Chart('Events', ['in', 'out'], rate),
	bytes: new Chart('Sent', ['bytes'], (n) => `${bytes(n)}/s`),
	lag: new Chart('Lag', ['lag'], duration),
	queue: new Chart('Queues', ['waiting'], bytes)
};
const tabs = ['events', 'sessions', 'views'];
let token;
let timer;
let request;				// under way: an AbortController
let last;				// the answer before: for rates
let tab = 'events';
let after;				// the page of sessions: a key; undefined: the first
let next = null;

$('charts').append(...Object.values(charts).map((chart) => chart.figure));

function state(name, text)
{
	$('state').dataset.state = name;
	$('state').textContent = text;
}

/** Tiles: what, value, and whether it is good or bad. */
function showTiles(list)
{
	const tiles = $('tiles');

	list.forEach(([name, value, mood], i) =>
	{
		let tile = tiles.children[i];

		if (!tile)
		{
			tile = document.createElement('dl');
			tile.append(document.createElement('dt'), document.createElement('dd'));
			tiles.append(tile);
		}
		tile.className = `tile ${mood ?? ''}`;
		tile.children[0].textContent = name;
		tile.children[1].textContent = value;
	});
}

/** Numbers of an answer, and rates since the one before. */
function showNumbers(answer)
{
	const { stats } = answer;
	const now = performance.now();
	const seconds = last ? (now - last.at) / 1000 : 0;
	// a notifier that was started anew counts from zero
	const isSame = last && answer.uptime >= last.uptime;
	const per = (name) => (isSame && seconds > 0 ? (stats[name] - last.stats[name]) / seconds : 0);

	$('version').textContent = `${answer.version}, up ${duration(answer.uptime)}, ${answer.workers} ${answer.workers === 1 ? 'worker' : 'workers'}`;
	showTiles([
		['Source', stats.source_up ? 'reading' : 'down', stats.source_up ? 'good' : 'bad'],
		['Sessions', count(stats.sessions)],
		['Subscriptions', count(stats.subscriptions)],
		['Views', count(stats.views)],
		['Events in', rate(per('events_in_total'))],
		['Events out', rate(per('events_out_total'))],
		['Waiting', bytes(stats.queue_bytes)],
		['Gaps, too slow', `${count(stats.gaps_total)}, ${count(stats.slow_closes_total)}`]
	]);
	if (isSame)
	{
		charts.events.add(now, per('events_in_total'), per('events_out_total'));
		charts.bytes.add(now, per('bytes_out_total'));
		charts.lag.add(now, stats.source_lag_seconds);
		charts.queue.add(now, stats.queue_bytes);
	}
	last = { at: now, stats, uptime: answer.uptime };
}

function showLists(answer, asked)
{
	if (asked === 'sessions')
	{
		const { seen, matching, list } = answer.sessions;

		next = answer.sessions.next;
		showSessions($('sessions'), list, 4 << 20);
		$('sessions-state').textContent = `${list.length} of ${count(matching)}${matching === seen ? '' : ` that match, of ${count(seen)}`}` +
			`${after ? ', further on' : ''}`;
		$('first').disabled = !after;
		$('next').disabled = !next;
	}
	if (asked === 'views')
	{
		showViews($('views'), answer.views.list);
		$('views-state').textContent = `${answer.views.list.length} of ${count(answer.views.seen)} with the most subscribers, each worker's by itself`;
	}
}

/** One question; undefined when the tab, or the token, is another by now. */
async function ask()
{
	const asked = tab;
	const query = new URLSearchParams({ sessions: asked === 'sessions' ? ROWS : 0, views: asked === 'views' ? ROWS : 0 });

	if (asked === 'sessions')
	{
		query.set('sort', $('sort').value);
		if ($('find').value)
			query.set('find', $('find').value);
		if (after)
			query.set('after', after);
	}
	request = new AbortController();
	const { signal } = request;
	const response = await fetch(`inspector/data?${query}`, { headers: { Authorization: `Bearer ${token}` }, cache: 'no-store',
		credentials: 'omit', redirect: 'error', signal });
	const answer = await response.json();

	if (signal.aborted)
		return;
	if (!response.ok)
		throw Object.assign(new Error(answer.error?.message ?? response.statusText), { status: response.status, code: answer.error?.code });
	showNumbers(answer);
	showLists(answer, asked);
}

/** Asks now, and again and again while the page is seen. */
async function look()
{
	clearTimeout(timer);
	request?.abort();
	if (!token || document.hidden)
		return;
	try
	{
		await ask();
		if (!token)
			return;
		state('live', 'live');
		timer = setTimeout(look, PAUSE_MS);
	}
	catch (error)
	{
		if (error.name === 'AbortError')
			return;
		if (error.status === 401 || error.status === 403)
			leave(`${error.code}: ${error.message}`);
		else
		{
			state('failed', error.status ? `${error.code}: ${error.message}` : 'the notifier does not answer');
			timer = setTimeout(look, FAILED_MS);
		}
	}
}

/** The feed runs while its tab is open and the page is seen. */
function tendFeed()
{
	if (token && tab === 'events' && !document.hidden)
		feed.start(token);
	else
		feed.stop();
}

/** Shows the page of those who signed in. */
function enter()
{
	$('enter').hidden = true;
	$('inside').hidden = $('leave').hidden = false;
	tendFeed();
	$(`tab-${tab}`).focus();
}

/** Signs out, and says why. */
function leave(why = '')
{
	token = last = undefined;
	request?.abort();
	clearTimeout(timer);
	feed.stop();
	feed.clear();
	Object.values(charts).forEach((chart) => chart.clear());
	for (const table of ['sessions', 'views'])
		$(table).tBodies[0].replaceChildren();
	$('tiles').replaceChildren();
	$('version').textContent = '';
	$('inside').hidden = $('leave').hidden = true;
	$('enter').hidden = false;
	$('problem').textContent = why;
	$('problem').hidden = !why;
	state('out', 'signed out');
	$('token').focus();
}

$('form').addEventListener('submit', async (event) =>
{
	event.preventDefault();
	token = $('token').value.trim();
	$('token').value = '';
	if (!/^[\x21-\x7e]+$/.test(token))
	{
		leave('this is no token');
		return;
	}
	$('problem').hidden = true;
	state('waiting', 'signing in');
	await look();
	if (token)
		enter();
});
$('leave').addEventListener('click', () => leave());

/** Opens a tab. */
function open(name)
{
	tab = name;
	for (const other of tabs)
	{
		const isOpen = other === name;

		$(`tab-${other}`).setAttribute('aria-selected', String(isOpen));
		$(`tab-${other}`).tabIndex = isOpen ? 0 : -1;
		$(`panel-${other}`).hidden = !isOpen;
	}
	tendFeed();
	look();
}

for (const [i, name] of tabs.entries())
{
	$(`tab-${name}`).addEventListener('click', () => open(name));
	$(`tab-${name}`).addEventListener('keydown', ({ key }) =>
	{
		const to = { ArrowRight: i + 1, ArrowLeft: i - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[key];

		if (to === undefined)
			return;
		open(tabs[to % tabs.length]);
		$(`tab-${tab}`).focus();
	});
}

function togglePause()
{
	feed.pause(!feed.isPaused);
	$('pause').setAttribute('aria-pressed', String(feed.isPaused));
	$('pause').textContent = feed.isPaused ? 'Go on' : 'Pause';
}

$('pause').addEventListener('click', togglePause);
$('clear').addEventListener('click', () => feed.clear());
$('filter').addEventListener('input', () => feed.setFilter($('filter').value, $('high').checked));
$('high').addEventListener('change', () => feed.setFilter($('filter').value, $('high').checked));
document.addEventListener('keydown', (event) =>
{
	const isTyping = event.target.closest?.('input, select, textarea, button, summary');

	if (tab !== 'events' || !token || event.ctrlKey || event.metaKey || event.altKey || (isTyping && event.target.id !== 'tab-events'))
		return;
	if (event.key === 'p' || (event.key === ' ' && !isTyping))
	{
		event.preventDefault();
		togglePause();
	}
	else if (event.key === '/')
	{
		event.preventDefault();
		$('filter').focus();
	}
});

function goTo(key)
{
	after = key;
	look();
}

$('sort').addEventListener('change', () => goTo(undefined));
$('find').addEventListener('input', () => goTo(undefined));
$('first').addEventListener('click', () => goTo(undefined));
$('next').addEventListener('click', () => goTo(next ?? undefined));
document.addEventListener('visibilitychange', () =>
{
	last = undefined;			// a rate over the time that nobody looked would be no rate of now
	tendFeed();
	look();
});
$('token').focus();
