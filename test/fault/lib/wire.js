// SPDX-License-Identifier: PostgreSQL
//
// wire.js
//	A TCP proxy that treats what passes as bad networks do: cuts, holds (half-open connections), delays, lets
//	through a little at a time. Used on the clients' side and on the database's.

import net from 'node:net';

export class Wire
{
	/** @param {function} target () => options of net.connect(): port or path */
	static async open(target, chance)
	{
		const wire = new Wire();

		Object.assign(wire, { target, chance, pairs: new Set(), isRefusing: false, isHeld: false, delay: 0, piece: 0, count: 0 });
		wire.server = net.createServer((client) => wire.take(client));
		await new Promise((resolve, reject) => wire.server.on('error', reject).listen(0, '127.0.0.1', resolve));
		wire.port = wire.server.address().port;
		return wire;
	}

	take(client)
	{
		client.on('error', () => {});
		if (this.isRefusing)
		{
			client.destroy();
			return;
		}
		client.setNoDelay(true);
		this.count++;
		const server = net.connect({ ...this.target(), noDelay: true });
		const pair = { client, server, isHeld: this.isHeld, isOrphan: false };

		this.pairs.add(pair);
		for (const [from, to] of [[client, server], [server, client]])
		{
			from.on('error', () => {});
			let last = Promise.resolve();		// one after the other, whoever resumes reading
			from.on('data', (data) =>
			{
				from.pause();
				last = last.then(() => this.pass(pair, from, to, data));
			});
			from.on('close', () =>
			{
				if (pair.isOrphan && from === client)
					return;			// the other side does not know yet
				to.destroySoon?.();
				this.pairs.delete(pair);
			});
		}
		if (pair.isHeld)
		{
			client.pause();
			server.pause();
		}
	}

	/** Hands data on, late or in pieces; then reads on. */
	async pass(pair, from, to, data)
	{
		const { delay, piece } = this;
		for (let at = 0; at < data.length; at += piece || data.length)
		{
			if (delay)
				await new Promise((resolve) => setTimeout(resolve, this.chance.int(0, delay)));
			if (to.destroyed || !this.pairs.has(pair))
				return;
			if (!to.write(piece ? data.subarray(at, at + piece) : data))
				await new Promise((resolve) =>
				{
					const go = () =>
					{
						to.off('drain', go).off('close', go);
						resolve();
					};
					to.on('drain', go).on('close', go);
				});
		}
		if (!pair.isHeld)
			from.resume();
	}

	/** Some of the connections: a share of them by chance. */
	some(share = 1)
	{
		return [...this.pairs].filter(() => this.chance.float() < share);
	}

	cut(pairs = this.pairs)
	{
		for (const { client, server } of [...pairs])
		{
			client.destroy();
			server.destroy();
		}
	}

	/** Nothing passes any more, and neither side is told; new ones, too, if all are held. */
	hold(pairs)
	{
		if (!pairs)
			this.isHeld = true;
		for (const pair of pairs ?? this.pairs)
		{
			pair.isHeld = true;
			pair.client.pause();
			pair.server.pause();
		}
	}

	/** The clients lose their connections; the server's ends stay as they are. */
	orphan(pairs = this.pairs)
	{
		for (const pair of [...pairs])
		{
			pair.isOrphan = true;
			pair.client.destroy();
		}
	}

	refuse()
	{
		this.isRefusing = true;
		this.cut();
	}

	/** All is well again; what was orphaned is told so. */
	heal()
	{
		Object.assign(this, { isRefusing: false, isHeld: false, delay: 0, piece: 0 });
		for (const pair of this.pairs)
		{
			if (pair.isOrphan)
				pair.server.destroy();
			if (pair.isHeld)
			{
				pair.isHeld = false;
				pair.client.resume();
				pair.server.resume();
			}
		}
	}

	async close()
	{
		this.server.close();
		this.cut();
	}
}
