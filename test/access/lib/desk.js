// SPDX-License-Identifier: PostgreSQL
//
// desk.js
//	What tests with a policy of their own share: peers that expect edges, and what came as short text.

import { readFileSync } from 'node:fs';
import { Stage } from '../../e2e/lib/stage.js';
import { expectEdges } from './subscriber.js';

/** SQL of the examples. */
export const example = (file) => readFileSync(new URL(`../../../examples/${file}.sql`, import.meta.url), 'utf8');

export const CLAIMS = "current_setting('request.jwt.claims', true)::json";

export class Desk
{
	static async open(name, options)
	{
		const desk = new Desk();

		desk.stage = await Stage.open(`access_${name}`, { ...options, flags: { workers: 1, ...options.flags }, schema: `${options.schema};
			CREATE TABLE clock (id integer PRIMARY KEY); SELECT realtime.enable('clock'); GRANT SELECT ON clock TO web_user;
			ALTER TABLE clock ENABLE ROW LEVEL SECURITY; CREATE POLICY always ON clock USING (now() > '-infinity')` });
		desk.clock = await desk.peer({ sub: 'clock', ...options.claims });
		await desk.clock.subscribe({ feature: 'clock', entity: 'clock' });
		return desk;
	}

	/** Runs SQL; then whoever subscribes begins behind it, also where policies are evaluated. */
	async sql(text, values)
	{
		const rows = await this.stage.sql(text, values);

		await this.clock.settle(await this.stage.value('SELECT pg_current_xact_id()'));
		return rows;
	}

	write(text, values)
	{
		return this.stage.write(text, values);
	}

	/** Somebody with claims, by default of role web_user. */
	async peer(claims, options = {})
	{
		return expectEdges(await this.stage.peer({ ...(claims ? { claims } : {}), ...options }));
	}

	/** Somebody who watches an entity: { peer, view }. */
	async watch(claims, request)
	{
		const peer = await this.peer(claims);
		const view = await peer.subscribe(request);

		return new Watcher(peer, view);
	}

	/** Writes, one transaction each, and waits until all watchers have had it. */
	async change(watchers, ...statements)
	{
		let tx;

		for (const statement of statements)
			tx = await this.write(statement);
		await Promise.all(watchers.map((w) => w.peer.settle(tx)));
		return tx;
	}

	/** Whether a condition of the log's lines comes true. */
	log(f)
	{
		return this.stage.notifier.lines.filter(f);
	}
}

export class Watcher
{
	constructor(peer, view)
	{
		this.peer = peer;
		this.view = view;
		this.at = 0;
		this.gapsAt = 0;
	}

	/** What came since the last look: "created 1". */
	get story()
	{
		const story = this.view.story.slice(this.at);

		this.at = this.view.story.length;
		return story;
	}

	get events()
	{
		return this.view.events;
	}

	get ids()
	{
		return this.view.ids;
	}

	get gaps()
	{
		const gaps = this.view.gaps.slice(this.gapsAt).map(({ reason }) => reason);

		this.gapsAt = this.view.gaps.length;
		return gaps;
	}

	/** Waits for a gap of this reason that has not been looked at. */
	gap(reason = 'access')
	{
		return this.peer.until(`gap ${reason}`, () => this.gaps.includes(reason));
	}

	/** Waits for the error that ends the view; its code. */
	async end()
	{
		return (await this.peer.frame('the view ends', (f) => f.op === 'error' && f.view === this.view.id
			&& f.ref === undefined)).code;
	}

	get isOpen()
	{
		return this.peer.views.get(this.view.id) === this.view;
	}
}
