// SPDX-License-Identifier: PostgreSQL
//
// checker.js
//	What every session's frames must satisfy, whatever the transport: form, order, completeness.
//
// Model
// 1. receive() takes the text of one frame. The first violation is kept in `violation` and thrown; what
//	  follows is not looked at.
// 2. Checked of each frame: its members; welcome first and once; frames of known views only; parts of a
//	  commit and frames of a transaction adjacent; (tx, seq) once, in order, and never covered by the
//	  last position; positions that never go back; no position while a view is behind.
// 3. A subscription is known by the ref of its request: expect() before it is sent.

import { isWithin, parsePosition } from './position.js';
import { View } from './view.js';

const text = (v) => typeof v === 'string' && v !== '';
const flag = (v) => typeof v === 'boolean';
const count = (v) => Number.isSafeInteger(v) && v >= 0;
const ref = (v) => v === undefined || v === null || count(v) || typeof v === 'string';
const list = Array.isArray;

/** Members that must be there, and their types. Others may be, if named in MAY. */
const MUST = {
	welcome: { session: text, protocol: (v) => v === 1, epoch: text, heartbeat: count },
	authenticated: { role: text, user: (v) => v === null || typeof v === 'string',
		expires: (v) => v === null || count(v) },
	subscribed: { view: text, position: text, feature: text, entity: text },
	snapshot: { view: text, part: count, last: flag, rows: list },
	commit: { view: text, tx: (v) => /^\d+$/.test(v), part: count, last: flag, events: list },
	position: { position: text },
	synced: { tx: text, position: text },
	gap: { view: text, reason: text, position: text },
	unsubscribed: { view: text },
	expiring: { expires: count },
	pong: {},
	error: { code: text, message: text }
};
const MAY = { authenticated: { ref }, subscribed: { ref, window: (v) => count(v) && v > 0 }, commit: { merged: (v) => v === true },
	synced: { ref }, unsubscribed: { ref }, pong: { ref }, error: { ref, view: text, close: count } };
const CODES = new Set(['bad_frame', 'bad_request', 'unauthorized', 'forbidden', 'unknown_entity',
	'unknown_view', 'already_subscribed', 'bad_position', 'too_many_subscriptions',
	'too_many_connections', 'too_large', 'rate_limited', 'expired', 'unavailable', 'internal', 'slow']);

/** How many frames a message shows. */
const RECENT = Number(process.env.E2E_RECENT ?? 12);

export class Checker
{
	/** @param {{keep?: boolean}} options keep false: events and rows are not kept */
	constructor({ keep = true } = {})
	{
		this.keep = keep;
		this.violation = undefined;
		this.welcome = undefined;
		this.identity = undefined;	// the last authenticated frame
		this.views = new Map();		// those open now
		this.requests = new Map();	// ref -> subscribe message not yet answered
		this.position = undefined;	// of the last position frame, parsed
		this.token = undefined;		// what to resume with
		this.batch = 0;				// counts position frames
		this.batchTx = new Set();	// transactions that came since the last one
		this.lastTx = undefined;
		this.frames = 0;
		this.recent = [];			// the last frames, cut, for messages
		this.onFrame = undefined;	// (frame, view) after each frame that passed
	}

	expect(request)
	{
		this.requests.set(request.ref, request);
	}

	receive(raw)
	{
		if (this.violation)
			return undefined;
		this.recent.push(raw.slice(0, RECENT > 12 ? 150 : 300));
		if (this.recent.length > RECENT)
			this.recent.shift();
		this.frames++;
		const fail = (why) =>
		{
			this.violation = new Error(`protocol: ${why}\nin ${raw.slice(0, 1000)}\nafter\n` +
				this.recent.slice(0, -1).join('\n'));
			throw this.violation;
		};
		let frame;
		try
		{
			frame = JSON.parse(raw);
		}
		catch
		{
			return fail('a frame that is not JSON');
		}
		try
		{
			this.checkForm(frame, fail);
			const view = this.take(frame, raw, fail);
			this.onFrame?.(frame, view, raw);
		}
		catch (error)
		{
			if (this.violation)
				throw error;
			fail(error.stack);
		}
		return frame;
	}

	checkForm(frame, fail)
	{
		const must = MUST[frame?.op];
		const may = MAY[frame?.op] ?? {};

		if (!must)
			fail('unknown op');
		for (const [member, is] of Object.entries(must))
			if (!is(frame[member]))
				fail(`member ${member} of ${frame.op}`);
		for (const [member, value] of Object.entries(frame))
			if (member !== 'op' && !(member in must) && !(may[member] && may[member](value)))
				fail(`member ${member} of ${frame.op}`);
		if ((this.frames === 1) !== (frame.op === 'welcome') &&
			!(this.frames === 1 && frame.op === 'error'))
			fail('welcome is the first frame and comes once');
	}

	take(frame, raw, fail)
	{
		const open = this.openView?.open && this.openView;

		if (open && !(frame.op === 'commit' && frame.view === open.id))
			fail(`a frame between the parts of ${open.open.tx} in view ${open.id}`);
		const view = ['snapshot', 'commit', 'gap', 'unsubscribed'].includes(frame.op) ?
			this.views.get(frame.view) ?? fail('a frame of an unknown view') : undefined;
		switch (frame.op)
		{
			case 'welcome': this.welcome = frame; break;
			case 'authenticated': this.identity = frame; break;
			case 'subscribed': return this.takeSubscribed(frame, fail);
			case 'snapshot': view.snapshot(frame, fail); break;
			case 'commit': this.takeCommit(frame, view, raw, fail); break;
			case 'gap': view.gap(frame, fail); break;
			case 'position': this.takePosition(frame, fail); break;
			case 'synced': parsePosition(frame.position); break;
			case 'unsubscribed': this.views.delete(frame.view); view.isEnded = true; break;
			case 'error':
				if (!CODES.has(frame.code))
					fail('unknown code');
				this.requests.delete(frame.ref);
				// One that answers nothing and names a view ends it.
				if (frame.ref === undefined && frame.view !== undefined && !this.views.delete(frame.view))
					fail('an error ends an unknown view');
				break;
			default:
		}
		return view;
	}

	takeSubscribed(frame, fail)
	{
		const request = this.requests.get(frame.ref) ?? fail('subscribed to what was not asked for');

		this.requests.delete(frame.ref);
		if (this.views.has(frame.view))
			fail('the view is subscribed already');
		if (request.since !== undefined && frame.position !== request.since)
			fail('the position of a resumption is its since');
		if (frame.feature !== (request.feature ?? '*') || frame.entity !== (request.entity ?? '*'))
			fail('feature and entity of subscribed');
		const view = new View(request, frame, request.keep ?? this.keep);
		this.views.set(view.id, view);
		if (request.since === undefined || this.views.size === 1)
			this.token ??= frame.position;
		return view;
	}

	takeCommit(frame, view, raw, fail)
	{
		if (frame.tx !== this.lastTx)
		{
			// A view that catches up repeats what others have had; one with a window has it later.
			if (this.batchTx.has(frame.tx) && !frame.merged && !view.answer.window &&
				![...this.views.values()].some((v) => !v.isLive))
				fail(`frames of transaction ${frame.tx} are not adjacent`);
			this.batchTx.add(frame.tx);
			this.lastTx = frame.tx;
		}
		view.commit(frame, raw.length, this.batch, fail);
		this.openView = view;
	}

	takePosition(frame, fail)
	{
		const position = parsePosition(frame.position);
		const last = this.position;

		if (last && last.epoch === position.epoch && !isWithin(last, position))
			fail(`the position went back from ${last.text.slice(0, 300)}`);
		if (last && last.epoch !== position.epoch &&
			[...this.views.values()].some((v) => v.base.epoch !== position.epoch))
			fail('another epoch without a gap');
		for (const view of this.views.values())
			view.position(position, fail);
		this.position = position;
		this.token = frame.position;
		this.batch++;
		this.batchTx.clear();
		this.lastTx = undefined;
	}
}
