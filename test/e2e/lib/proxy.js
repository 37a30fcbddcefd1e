// SPDX-License-Identifier: PostgreSQL
//
// proxy.js
//	A unix socket between the notifier and PostgreSQL, to lose and to refuse connections.

import net from 'node:net';
import path from 'node:path';

export class Proxy
{
	/** Listens as PostgreSQL does in a directory. */
	static async open(directory, port = 5432)
	{
		const proxy = new Proxy();

		proxy.directory = directory;
		proxy.port = port;
		proxy.pairs = new Set();
		proxy.isRefusing = false;
		proxy.connections = 0;
		proxy.server = net.createServer((client) => proxy.take(client));
		await new Promise((resolve, reject) => proxy.server.on('error', reject)
			.listen(path.join(directory, `.s.PGSQL.${port}`), resolve));
		return proxy;
	}

	take(client)
	{
		client.on('error', () => {});
		if (this.isRefusing)
			return client.destroy();
		this.connections++;
		const server = net.connect(path.join(process.env.PGHOST, `.s.PGSQL.${process.env.PGPORT}`));
		const pair = { client, server };
		this.pairs.add(pair);
		for (const [from, to] of [[client, server], [server, client]])
		{
			from.pipe(to);
			from.on('error', () => {});
			from.on('close', () =>
			{
				to.destroy();
				this.pairs.delete(pair);
			});
		}
		return undefined;
	}

	/** Cuts all connections. */
	cut()
	{
		for (const { client, server } of this.pairs)
		{
			client.destroy();
			server.destroy();
		}
	}

	/** Cuts all and refuses new ones until allow(). */
	refuse()
	{
		this.isRefusing = true;
		this.cut();
	}

	allow()
	{
		this.isRefusing = false;
	}

	async close()
	{
		this.cut();
		await new Promise((resolve) => this.server.close(resolve));
	}
}
