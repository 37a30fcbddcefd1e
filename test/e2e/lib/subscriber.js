// SPDX-License-Identifier: PostgreSQL
//
// subscriber.js
//	A client as an application has it: keeps replicas of some views, comes back by itself and goes on from
//	its last position, reads anew after a gap.
//
// Model
// 1. A part is one subscription with its replica. It has a token once a position frame closed its snapshot
//	  (or its copy); only a part with a token resumes, the others begin anew.
// 2. Careful subscribers hold commits back until the position frame and drop them when the connection is
//	  lost. Eager ones apply at once, and after a resumption drop each (tx, seq) that they have applied
//	  since their last position. Both must come to the same rows.
// 3. A view that cannot have a snapshot (wildcards) begins with a copy read by SQL, whose position it resumes
//	  from.
// 4. The first error that is none of a lost connection is kept in `failure`.

import { HandshakeRefused, Peer, Refusal } from './peer.js';
import { Replica } from './replica.js';
import { pause } from './wait.js';

/** A replica that knows the sum of a column. */
export class SumReplica extends Replica
{
	constructor(column)
	{
		super();
		this.column = column;
	}

	clear()
	{
		super.clear();
		this.sum = 0;
	}

	set(id, row)
	{
		this.sum += (row?.[this.column] ?? 0) - (this.get(id)?.[this.column] ?? 0);
		super.set(id, row);
	}
}

export class Part
{
	/**
	 * @param {object} request what to subscribe to
	 * @param {object} of tables: [{entity, where}] to compare with; copy: async () => ({position, bases})
	 *	  for views without snapshot; sum: a column
	 */
	constructor(request, { tables, copy, sum })
	{
		this.request = request;
		this.tables = tables;
		this.copy = copy;
		this.makeReplica = (base) => (sum ? new SumReplica(sum) : new Replica(base));
		this.forget();
	}

	forget()
	{
		this.token = undefined;
		this.replicas = new Map(this.tables.map(({ entity }) => [entity, this.makeReplica()]));
		this.held = [];
		this.applied = new Set();
	}

	apply(events, isMerged)
	{
		for (const event of events)
			this.replicas.get(event.entity).apply(event,
				{ isMerged, isPartial: Boolean(this.request.columns) });
	}
}

export class Subscriber
{
	/** @param {object} options name, parts, isEager, urls: () => [url], chance, onPosition */
	constructor({ name, parts, isEager, urls, chance, onPosition })
	{
		Object.assign(this, { name, parts, isEager, urls, chance, onPosition });
		this.isOver = false;
		this.sessions = 0;
		this.resumptions = 0;
		this.snapshots = 0;
		this.events = 0;
		this.dropped = 0;			// events that came again and were dropped
		this.gaps = {};
		this.merges = 0;
		this.peer = undefined;
		this.isReady = false;		// every part has a token in this session
		this.changed = () => {};	// wakes ready()
	}

	/** Connects, again and again, until stop(). */
	async run()
	{
		while (!this.isOver && !this.failure)
		{
			try
			{
				await this.session();
			}
			catch (error)
			{
				if (!isLoss(error))
				{
					this.failure = error;
					break;
				}
			}
			this.lost();
			await pause(this.chance.int(20, 300));
		}
		this.changed();
	}

	lost()
	{
		this.isReady = false;
		this.peer?.socket?.terminate();
		if (this.peer?.violation)
			this.failure ??= this.peer.violation;
		this.peer = undefined;
		for (const part of this.parts)
			part.held = [];
	}

	/** One connection, to its end. */
	async session()
	{
		const peer = new Peer(this.name, { keep: false });

		this.peer = peer;
		this.byView = new Map();
		peer.checker.onFrame = (frame, view) => this.frame(peer, frame, view);
		await peer.open(this.chance.pick(this.urls()), {});
		this.sessions++;
		for (const part of this.parts)
		{
			if (!part.token && part.copy)
			{
				const { position, bases } = await part.copy();
				part.forget();
				part.token = position;
				for (const [entity, base] of bases)
					part.replicas.set(entity, part.makeReplica(base));
			}
			const { token } = part;
			const request = { op: 'subscribe', ref: peer.nextRef++, ...part.request,
				...(token ? { since: token } : {}),
				// Half of them say what they want if history is gone.
				...(part.copy || (token && this.chance.int(0, 1)) ? {} : { snapshot: true }) };
			if (token)
				this.resumptions++;
			else
				part.forget();
			part.ref = request.ref;
			part.isWaiting = true;		// for a position frame
			part.isVoid = false;
			part.isWhole = Boolean(token);	// else once the snapshot is complete
			await peer.ask(request);
		}
		await peer.gone(24 * 3600);
	}

	frame(peer, frame, view)
	{
		if (peer !== this.peer)
			return;
		if (frame.op === 'subscribed')
			this.byView.set(frame.view, this.parts.find((p) => p.ref === frame.ref));
		else if (frame.op === 'position')
			this.position(frame);
		const part = view && this.byView.get(view.id);
		if (!part)
			return;
		switch (frame.op)
		{
			case 'snapshot':
				if (frame.part === 0)
				{
					part.forget();
					this.snapshots++;
				}
				[...part.replicas.values()][0].load(frame.rows);
				part.isWhole = frame.last;
				break;
			case 'commit': this.commit(part, frame); break;
			case 'gap':
				this.gaps[frame.reason] = (this.gaps[frame.reason] ?? 0) + 1;
				part.forget();
				part.isWhole = false;
				// A snapshot follows by itself if it was asked for with since; else begin anew.
				if (!(view.request.since && view.request.snapshot && !view.isLive))
				{
					part.isVoid = true;
					queueMicrotask(() => peer.socket.terminate());
				}
				break;
			default:
		}
	}

	commit(part, { events, merged, tx })
	{
		if (part.isVoid)
			return;
		this.events += events.length;
		if (merged)
			this.merges++;
		if (!this.isEager)
		{
			part.held.push({ events, merged });
			return;
		}
		const fresh = events.filter(({ meta }) => !part.applied.has(`${meta.tx}/${meta.seq}`));
		this.dropped += events.length - fresh.length;
		for (const { meta } of fresh)
			part.applied.add(`${meta.tx}/${meta.seq}`);
		part.apply(fresh, merged === true);
		this.lastTx = tx;
	}

	position(frame)
	{
		for (const part of this.parts)
		{
			if (![...this.byView.values()].includes(part))
				continue;			// not subscribed yet in this session
			if (!part.isWhole || part.isVoid)
				continue;			// the snapshot has not come: the position is the other views'
			for (const { events, merged } of part.held)
				part.apply(events, merged === true);
			part.held = [];
			part.applied.clear();
			part.token = frame.position;
			part.isWaiting = false;
		}
		if (this.byView.size === this.parts.length && this.parts.every((p) => !p.isWaiting))
		{
			this.isReady = true;
			this.onPosition?.(this);
		}
		this.changed();
	}

	/** Loses the connection as a network does. */
	drop()
	{
		this.peer?.socket?.terminate();
	}

	stop()
	{
		this.isOver = true;
		this.drop();
	}

	/** Differences from what the database has: rows of (entity, where) by function. */
	async differences(rowsOf)
	{
		const all = [];
		for (const part of this.parts)
			for (const { entity, where, columns } of part.tables)
				all.push(...part.replicas.get(entity).differences(await rowsOf(entity, where, columns),
					`${this.name} ${entity} ${where ?? ''}`));
		return all;
	}
}

/** Whether an error is of the kind that a client lives with: lost or refused, try again. */
function isLoss(error)
{
	return error instanceof HandshakeRefused && error.status === 503 ||
		error instanceof Refusal && error.code === 'unavailable' ||
		['ECONNREFUSED', 'ECONNRESET', 'EPIPE', '57P01', '57P02', '57P03', '08006', '08003'].includes(error.code) ||
		/was closed with|socket hang up|Connection terminated|connection error|WebSocket was closed before|Connection ended/
			.test(error.message);
}
