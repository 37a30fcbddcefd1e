// SPDX-License-Identifier: PostgreSQL
//
// http.js
//	The transports without WebSocket: server-sent events and long poll, with the same checks; and plain
//	requests.

import http from 'node:http';
import https from 'node:https';
import { Waiter, HandshakeRefused } from './peer.js';
import { within } from './wait.js';

/** One request; resolves to { status, headers, body } with the body read to its end. */
export function request(url, { method = 'GET', headers = {}, body, socketPath, ca, seconds = 40 } = {})
{
	const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);

	return within(`${method} ${url}`, new Promise((resolve, reject) =>
	{
		const it = (url.startsWith('https:') ? https : http).request(url,
			{ method, socketPath, ca, agent: false,
				headers: { ...(text === undefined ? {} : { 'content-type': 'application/json',
					'content-length': Buffer.byteLength(text) }), ...headers } },
			(response) =>
			{
				let all = '';
				response.setEncoding('utf8');
				response.on('data', (data) => { all += data; });
				response.on('end', () =>
					resolve({ status: response.statusCode, headers: response.headers, body: all }));
				response.on('error', reject);
			});
		it.on('error', reject);
		it.end(text);
	}), seconds);
}

/** Checked requests of a list of subscriptions: refs as the server takes them. */
function expectAll(checker, subscribe, since)
{
	subscribe.forEach((one, index) =>
		checker.expect({ ref: index, ...(since === undefined ? {} : { since }), ...one }));
}

/** A stream of server-sent events. */
export class EventPeer extends Waiter
{
	/**
	 * @param {string} url http://host:port
	 * @param {object} options subscribe (list), since, token, query (text: GET in place of POST),
	 *	  headers, lastEventId
	 */
	static async connect(url, options)
	{
		const peer = new EventPeer(options.name ?? 'events', options);
		await peer.open(url, options);
		return peer;
	}

	async open(url, { subscribe = [], since, token, query, headers = {}, lastEventId, sendsToken })
	{
		const isPost = query === undefined;
		const body = JSON.stringify({ ...(sendsToken ? { token: sendsToken } : {}), subscribe, since });

		expectAll(this.checker, subscribe, since ?? lastEventId);
		this.comments = 0;
		this.lastId = undefined;
		const response = await within(`${this.name} connects`, new Promise((resolve, reject) =>
		{
			this.request = http.request(`${url}/v1/events${query ? `?${query}` : ''}`,
				{ method: isPost ? 'POST' : 'GET', agent: false, headers: { accept: 'text/event-stream',
					...(isPost ? { 'content-type': 'application/json',
						'content-length': Buffer.byteLength(body) } : {}),
					...(token ? { authorization: `Bearer ${token}` } : {}),
					...(lastEventId ? { 'last-event-id': lastEventId } : {}), ...headers } },
				resolve);
			this.request.on('error', reject);
			this.request.end(isPost ? body : undefined);
		}));
		response.setEncoding('utf8');
		let text = '';
		if (response.statusCode !== 200)
		{
			for await (const data of response)
				text += data;
			throw new HandshakeRefused(response.statusCode, text);
		}
		this.response = response;
		this.type = response.headers['content-type'];
		response.on('data', (data) =>
		{
			text += data;
			for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2))
				this.block(text.slice(0, end));
		});
		response.on('error', () => this.end(0, 'lost'));
		response.on('close', () => this.end(0, 'ended'));
		this.welcome = await this.frame('welcome', (f) => f.op === 'welcome');
	}

	/** One event of the stream: data lines, perhaps an id. */
	block(text)
	{
		const data = [];

		for (const line of text.replaceAll('\r', '').split('\n'))
			if (line.startsWith(':'))
				this.comments++;
			else if (line.startsWith('data:'))
				data.push(line.slice(5).replace(/^ /, ''));
			else if (line.startsWith('id:'))
				this.lastId = line.slice(3).trim();
			else if (line !== '' && !line.startsWith('event:') && !line.startsWith('retry:'))
				this.violation ??= new Error(`a line of the stream: ${line.slice(0, 200)}`);
		if (data.length > 0)
		{
			const frame = data.join('\n');
			this.take(frame);
			if (this.position && this.checker.recent.at(-1)?.startsWith('{"op":"position"') &&
				this.lastId !== this.position.text)
				this.violation ??= new Error('a position frame without its id');
		}
		this.wake();
	}

	/** The views in the order in which they were asked for. */
	async subscribed(n)
	{
		await this.until(`${n} views`, () => this.views.size >= n);
		return [...this.views.values()];
	}

	async close()
	{
		this.request.destroy();
		if (!this.closed)
			await this.gone().catch(() => {});
		if (this.violation)
			throw this.violation;
	}
}

/** A client by long poll: each request is a session of its own. */
export class PollPeer
{
	constructor(url, { subscribe, token, name = 'poll' })
	{
		Object.assign(this, { url, subscribe, token, name });
		this.position = undefined;
		this.events = [];
		this.rows = [];
		this.gaps = [];
	}

	/** One request: returns its frames after checking them. */
	async poll(timeout = 20, more = {})
	{
		const waiter = new Waiter(this.name, {});
		const first = this.position === undefined;
		const subscribe = this.subscribe.map((s) => (first ? s : { ...s, snapshot: undefined }));
		const body = { subscribe, timeout, ...(first ? {} : { since: this.position }), ...more };

		expectAll(waiter.checker, subscribe, body.since);
		const answer = await request(`${this.url}/v1/poll`, { method: 'POST', body, seconds: timeout + 20,
			headers: this.token ? { authorization: `Bearer ${this.token}` } : {} });
		if (answer.status !== 200)
			throw new HandshakeRefused(answer.status, answer.body);
		const { frames, position } = JSON.parse(answer.body);
		for (const frame of frames)
			waiter.checker.receive(JSON.stringify(frame));
		for (const view of waiter.views.values())
		{
			this.events.push(...view.events);
			this.rows.push(...view.rows);
			this.gaps.push(...view.gaps);
		}
		this.position = position;
		return frames;
	}
}
