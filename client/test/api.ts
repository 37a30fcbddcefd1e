// SPDX-License-Identifier: PostgreSQL
//
// api.ts
//	An application's API on the fake database, and a store that writes through it.

import type { TestContext } from 'node:test';
import { EntityStore, type ClientOptions, type RealtimeClient, type Row, type StoreConfig } from '../src/index.js';
import { FakeServer } from './fake-server.js';
import { setUp } from './support.js';

export type Config = Omit<StoreConfig<Row>, 'feature' | 'entity'>;

/** An API on the fake database: replies when `gate` is opened. */
export class Api
{
	readonly calls: string[] = [];
	gate: Promise<void> = Promise.resolve();
	open: () => void = () => {};
	error: unknown;
	hasTx = true;
	hasRow = true;
	nextId = 50;

	constructor(private readonly server: FakeServer)
	{
	}

	/** Replies are kept back from now on. */
	hold(): void
	{
		this.gate = new Promise((resolve) => { this.open = resolve; });
	}

	private async reply(call: string, work: () => { id: string }, id: string): Promise<unknown>
	{
		this.calls.push(call);
		if (this.error)
		{
			await this.gate;
			throw this.error;
		}
		const tx = work().id;

		await this.gate;
		return {
			success: true, ...(this.hasRow && { data: this.server.database.rows.get(id) }), meta: this.hasTx ? { tx } : {}
		};
	}

	readonly create = (data: Row) =>
	{
		const id = data.id ?? ++this.nextId;

		return this.reply(`create ${JSON.stringify(data)}`, () => this.server.database.insert({ ...data, id }), String(id));
	};

	readonly update = (id: unknown, patch: Row) =>
		this.reply(`update ${id} ${JSON.stringify(patch)}`, () => this.server.database.update(String(id), patch), String(id));

	readonly remove = (id: unknown) => this.reply(`remove ${id}`, () => this.server.database.remove(String(id)), String(id));
}

/** A live store with two rows. */
export async function open(t: TestContext, config: Config = {}, options: ClientOptions = {}): Promise<{ server: FakeServer; client: RealtimeClient; api: Api;
	store: EntityStore; shown: () => string }>
{
	const { server, client } = setUp(t, options);
	const api = new Api(server);

	server.database.insert({ id: 1, status: 'new', total: 10 });
	server.database.insert({ id: 2, status: 'new', total: 20 });
	const store = client.entity('orders', 'order', { api, ...config });

	t.after(() => store.stop());
	store.start();
	await store.load();
	return { server, client, api, store, shown: () => store.items.map(({ data }) => `${data.id}:${data.status}`).join(' ') };
}
