// SPDX-License-Identifier: PostgreSQL
//
// stage.js
//	What most test files need: a database with a few tables, a notifier on it, peers; and their end, which
//	fails when a peer saw a violation of the protocol or the notifier did not end well.

import { after } from 'node:test';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { Database, endAll } from './database.js';
import { EventPeer, PollPeer } from './http.js';
import { makeToken, now } from './jwt.js';
import { Notifier, makeDirectory } from './notifier.js';

export const SECRET = 'a secret of 32 bytes or more, for tests only';

/** item: what most tests write to. web_anon and web_user may read all of it, web_clerk not `secret`. */
export const SCHEMA = `
	CREATE TABLE item (id integer PRIMARY KEY, name text, status text, amount numeric, owner text,
		note json, secret text);
	SELECT realtime.enable('item', 'shop', 'item', status_column => 'status');
	SELECT realtime.define_event('item', 'approved', status => 'approved');
	CREATE TABLE other (id integer PRIMARY KEY, name text);
	SELECT realtime.enable('other', 'shop', 'other');
	CREATE TABLE hidden (id integer PRIMARY KEY, name text);
	SELECT realtime.enable('hidden', 'shop', 'hidden');
	GRANT SELECT ON item, other TO web_anon, web_user;
	GRANT SELECT (id, name, status) ON item TO web_clerk;
	SELECT realtime.register_topic('chat', 'message');
	SELECT realtime.grant_subscribe('chat', 'message', 'web_user');
	SELECT realtime.grant_subscribe('chat', 'message', 'web_anon');`;

export class Stage
{
	/** @param {object} options schema, flags (of the notifier), isAnonymous, name of a second … */
	static async open(name, options = {})
	{
		const stage = new Stage();

		stage.peers = [];
		stage.notifiers = [];
		stage.closers = [];
		after(() => stage.close());
		try
		{
			await stage.prepare(name, options);
		}
		catch (error)
		{
			await stage.close().catch(() => {});	// else the process would stay
			throw error;
		}
		return stage;
	}

	async prepare(name, { schema = SCHEMA, flags = {}, isAnonymous = true, isStarted = true,
		database } = {})
	{
		this.directory = await makeDirectory();
		this.secretFile = path.join(this.directory, 'secret');
		writeFileSync(this.secretFile, `${SECRET}\n`);
		this.database = await Database.create(`e2e_${name}`);
		await this.sql(schema);
		this.conninfo = database ? database(this) : this.database.conninfo();
		this.flags = { 'jwt-secret-file': this.secretFile, 'drain': 1,
			...(isAnonymous ? { 'anon-role': 'web_anon' } : {}), ...flags };
		if (isStarted)
			this.notifier = await this.start();
	}

	/** Starts a further notifier on the database. */
	async start({ flags = {}, database, ...rest } = {})
	{
		const notifier = await Notifier.start({ database: database ?? this.conninfo,
			flags: { ...this.flags, ...flags }, name: `notifier ${this.notifiers.length}`, ...rest });

		this.notifiers.push(notifier);
		return notifier;
	}

	sql(text, values)
	{
		return this.database.sql(text, values);
	}

	value(text, values)
	{
		return this.database.value(text, values);
	}

	write(text, values)
	{
		return this.database.write(text, values);
	}

	/** A token of a user with a role. */
	token({ seconds = 3600, ...claims } = {}, secret = SECRET)
	{
		return makeToken({ role: 'web_user', sub: 'u1', exp: now() + seconds, ...claims }, secret);
	}

	/** A WebSocket peer; options as Peer.connect(), and notifier, claims (then with a token of them). */
	async peer({ notifier = this.notifier, claims, ...options } = {})
	{
		const peer = await notifier.connect({ name: `peer ${this.peers.length}`,
			...(claims ? { token: this.token(claims) } : {}), ...options });

		this.peers.push(peer);
		return peer;
	}

	/** A peer by server-sent events. */
	async events({ notifier = this.notifier, claims, ...options })
	{
		const peer = await EventPeer.connect(notifier.url, { ...options,
			...(claims ? { token: this.token(claims) } : {}) });

		this.peers.push(peer);
		return peer;
	}

	poller({ notifier = this.notifier, claims, ...options })
	{
		return new PollPeer(notifier.url,
			{ ...options, ...(claims ? { token: this.token(claims) } : {}) });
	}

	/** Ends all; throws the first thing that was wrong. */
	async close()
	{
		const wrong = [];
		const attempt = (f) => Promise.resolve().then(f).catch((error) => wrong.push(error));

		await Promise.all(this.peers.map((peer) => attempt(() => peer.close())));
		for (const notifier of this.notifiers)
			await attempt(() => (notifier.exit ? notifier.check() : notifier.stop()));
		for (const close of this.closers)
			await attempt(close);
		await this.database?.end();
		endAll();
		if (wrong.length > 0)
			throw wrong[0];
	}
}
