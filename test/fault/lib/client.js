// SPDX-License-Identifier: PostgreSQL
//
// client.js
//	A client of any transport that comes back by itself, resumes from its last position and begins anew after a
//	gap; what comes is kept in the trails of its watches for judge.js. The sockets are those of test/e2e/lib.

import { expectEdges } from '../../access/lib/subscriber.js';
import { EventPeer, request } from '../../e2e/lib/http.js';
import { HandshakeRefused, Peer, Refusal, Waiter } from '../../e2e/lib/peer.js';
import { covers, parsePosition } from '../../e2e/lib/position.js';
import { pause, until } from '../../e2e/lib/wait.js';

export class Client
{
	/** @param {object} options name, kind (ws, sse, poll), reader, token, watches, urls: () => [http url], chance,
	 *  heartbeat (s), violate(text) */
	constructor(options)
	{
		Object.assign(this, options);
		this.isOver = false;
		this.sessions = 0;
		this.losses = {};
		for (const watch of this.watches)
			watch.token = undefined;
	}

	async run()
	{
		while (!this.isOver)
		{
			try
			{
				await this.session();
			}
			catch (error)
			{
				if (!this.isOver)
					this.lost(error);
			}
			this.drop();
			if (this.leave)
			{
				this.isAway = true;
				await this.leave;
				this.isAway = false;
				this.leave = undefined;
			}
			await pause(this.chance.int(20, 250));
		}
	}

	/** Stays away after the present session until the promise is over. */
	async stayAway(leave)
	{
		this.leave = leave;
		await until(`${this.name} is away`, () => this.isAway);
	}

	/** Keeps why a session ended; what no network does is a violation. */
	lost(error)
	{
		const code = error.code ?? (/was closed with (\d+)/.exec(error.message)?.[1]) ?? error.message.slice(0, 30);

		this.losses[code] = (this.losses[code] ?? 0) + 1;
		if (/^protocol:/.test(error.message) || !(error instanceof HandshakeRefused && [503, 429].includes(error.status) ||
			error instanceof Refusal && ['unavailable', 'internal'].includes(error.code) || /was closed with|hang up|not within|was closed before|silent|aborted|the view ended|socket disconnected/.test(error.message) ||
			['ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(error.code)))
			this.violate(`${this.name}: ${error.stack}`);
	}

	drop()
	{
		clearInterval(this.clock);
		const { peer } = this;
		this.peer = undefined;
		this.position = undefined;
		peer?.socket?.terminate();
		peer?.request?.destroy();
		if (peer?.violation && !this.isOver)
			this.violate(`${this.name}: ${peer.violation.message}`);
		for (const watch of this.watches)
			watch.trail.push({ type: 'end' });
	}

	requestOf(watch)
	{
		const { entity, filter, columns, actions, window } = watch;
		watch.isWhole = Boolean(watch.token);
		watch.since = watch.token;
		// Half of those who resume say what they want if history is gone.
		watch.snapshot = !watch.token || this.chance.int(0, 1) === 1;
		watch.isLive = watch.mayRestart = false;
		watch.isOwed = watch.snapshot && !watch.token;

		return { feature: 'fault', entity, ...(filter.terms.length ? { filter: filter.terms } : {}), ...(columns ? { columns } : {}),
			...(actions ? { action: [...actions] } : {}), ...(window ? { window } : {}), ...(watch.token ? { since: watch.token } : {}),
			...(watch.snapshot ? { snapshot: true } : {}) };
	}

	prepare(peer)
	{
		expectEdges(peer);
		this.views = new Map();
		this.heard = performance.now();
		peer.checker.onFrame = (frame, view) =>
		{
			if (peer === this.peer || this.kind === 'poll')
				this.frame(frame, view);
		};
		return peer;
	}

	async session()
	{
		this.sessions++;
		const url = this.chance.pick(this.urls());

		if (this.kind === 'poll')
			return this.poll(url);
		const peer = this.prepare(this.kind === 'ws' ? new Peer(this.name, { keep: false }) : new EventPeer(this.name, { keep: false }));
		this.peer = peer;
		// Who hears nothing for some heartbeats gives the connection up.
		this.clock = setInterval(() =>
		{
			const comments = `${peer.comments} ${peer.pings}`;
			if (comments !== this.comments)
				this.heard = performance.now();
			this.comments = comments;
			if (performance.now() - this.heard > this.heartbeat * 4000 && !this.isStalled)
			{
				this.losses.silent = (this.losses.silent ?? 0) + 1;
				peer.socket?.terminate();
				peer.request?.destroy();
			}
		}, 500);
		if (this.kind === 'ws')
		{
			await peer.open(url.replace('http:', 'ws:') + '/v1/ws', { token: this.token });
			for (const watch of this.watches)
			{
				const message = { op: 'subscribe', ...this.requestOf(watch), ref: peer.nextRef++ };
				watch.ref = message.ref;
				await peer.ask(message);
			}
		}
		else
		{
			const subscribe = this.watches.map((watch, i) => { watch.ref = i; return this.requestOf(watch); });
			await peer.open(url, { token: this.token, subscribe });
		}
		await peer.gone(24 * 3600);
		throw new Error(`was closed with ${peer.closed.code}`);
	}

	/** One request of a long poll. */
	async poll(url)
	{
		this.lastPosition = undefined;
		const waiter = this.prepare(new Waiter(this.name, { keep: false }));
		const subscribe = this.watches.map((watch, i) => { watch.ref = i; return this.requestOf(watch); });

		subscribe.forEach((s, ref) => waiter.checker.expect({ ref, ...s }));
		const answer = await request(`${url}/v1/poll`, { method: 'POST', body: { subscribe, timeout: 1 }, seconds: 15,
			headers: { authorization: `Bearer ${this.token}` } });
		if (answer.status !== 200)
			throw new HandshakeRefused(answer.status, answer.body);
		// A long answer has no length: what is cut is no JSON.
		if (!answer.body.endsWith('}\n'))
			throw new Error('the answer was closed with less than all');
		const { frames, position } = JSON.parse(answer.body);
		for (const frame of frames)
			waiter.checker.receive(JSON.stringify(frame));
		if (this.lastPosition !== undefined && position !== this.lastPosition)
			this.violate(`${this.name}: the answer's position ${position} is not the last frame's ${this.lastPosition}`);
	}

	frame(frame, view)
	{
		this.heard = performance.now();
		if (frame.op === 'subscribed')
		{
			const watch = this.watches.find((w) => w.ref === frame.ref);
			this.views.set(frame.view, watch);
			watch.isOpen = true;
			watch.trail.push({ type: 'start', since: watch.since, snapshot: watch.snapshot, position: frame.position });
			return;
		}
		if (frame.op === 'unsubscribed')
		{
			this.views.get(frame.view).trail.push({ type: 'end' });
			this.views.delete(frame.view);
		}
		if (frame.op === 'position')
			return this.takePosition(frame);
		if (frame.op === 'error' && frame.ref !== undefined && this.kind !== 'ws' && !['unavailable', 'internal'].includes(frame.code))
			throw new Error(`refused: ${JSON.stringify(frame)}`);
		// One of a stream's subscriptions cannot be had now, the others go on: it is asked for again with all of them.
		if (frame.op === 'error' && frame.ref !== undefined && this.kind === 'sse')
		{
			this.losses[frame.code] = (this.losses[frame.code] ?? 0) + 1;
			queueMicrotask(() => this.peer?.request?.destroy());
		}
		if (frame.op === 'error' && frame.view !== undefined && frame.ref === undefined)
		{
			const watch = this.views.get(frame.view);
			this.views.delete(frame.view);
			watch.token = undefined;
			watch.isWhole = false;
			watch.trail.push({ type: 'end' });
			this.viewEnded?.(this, watch, frame);
			queueMicrotask(() => { this.peer?.socket?.terminate(); this.peer?.request?.destroy(); });
			return;
		}
		const watch = view && this.views.get(view.id);
		if (!watch)
			return;
		switch (frame.op)
		{
			case 'snapshot':
				watch.isOwed = watch.isOwed && !frame.last;
				watch.mayRestart = false;
				watch.trail.push({ type: 'snapshot', rows: frame.rows, last: frame.last });
				watch.isWhole = frame.last;
				break;
			case 'commit':
				watch.trail.push({ type: 'commit', ...frame });
				watch.isSummed ||= frame.events.some((e) => e.action.startsWith('bulk_'));
				break;
			case 'gap':
			{
				// A snapshot that has not come whole begins again; history that is gone makes one.
				watch.isOwed ||= Boolean(watch.since && watch.snapshot && !watch.isLive && ['epoch', 'history'].includes(frame.reason));
				const mayRestart = watch.isOwed;
				watch.mayRestart = mayRestart;
				watch.trail.push({ type: 'gap', reason: frame.reason, position: frame.position, mayRestart });
				watch.token = undefined;
				watch.isWhole = false;
				if (!mayRestart)
					this.renew(watch, frame.view);
				break;
			}
			default:
		}
	}

	/** Begins a view anew: in the same session where that is possible, by chance, else in another. */
	renew(watch, view)
	{
		watch.isVoid = true;
		const { peer } = this;

		queueMicrotask(async () =>
		{
			if (peer !== this.peer || !peer)
				return;
			if (watch.isRenewing)
			{
				// The view that replaces this one may have its gap before its request is known to be answered.
				watch.renewNext = view;
				return;
			}
			if (this.kind !== 'ws' || this.chance.int(0, 1))
			{
				peer.socket?.terminate();
				peer.request?.destroy();
				return;
			}
			watch.isRenewing = true;
			watch.renewNext = undefined;
			try
			{
				await peer.ask({ op: 'unsubscribe', view });
				watch.token = undefined;
				const message = { op: 'subscribe', ...this.requestOf(watch), ref: peer.nextRef++ };
				watch.ref = message.ref;
				await peer.ask(message);
			}
			catch
			{
				peer.socket?.terminate();
			}
			finally
			{
				watch.isRenewing = false;
				if (this.views?.has(watch.renewNext))
					this.renew(watch, watch.renewNext);
			}
		});
	}

	takePosition(frame)
	{
		this.lastPosition = frame.position;
		this.position = parsePosition(frame.position);
		for (const [view, watch] of this.views)
		{
			watch.trail.push({ type: 'position', position: frame.position });
			if (!watch.isWhole)
			{
				// A position before the snapshot: none will come by itself.
				if (watch.mayRestart)
				{
					watch.mayRestart = false;
					this.renew(watch, view);
				}
				continue;
			}
			watch.isLive = true;
			watch.token = frame.position;
			if (watch.isSummed)
			{
				// Rows of a summary must be read again: as after a gap.
				watch.isSummed = false;
				watch.token = undefined;
				watch.isWhole = false;
				this.renew(watch, view);
			}
		}
	}

	/** Everything up to a transaction of an epoch has come, to each watch, with its rows. */
	isSettled(epoch, tx)
	{
		return this.watches.every((w) => w.isWhole && !w.isRenewing && w.token &&
			w.token.startsWith(`${epoch}/`) && covers(parsePosition(w.token), tx));
	}

	stop()
	{
		this.isOver = true;
		this.drop();
	}
}
