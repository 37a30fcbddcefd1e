// SPDX-License-Identifier: PostgreSQL
//
// bystanders.js
//	Subscribers who are connected and get events while something else happens to their notifier: how late those
//	come, before and meanwhile.

import path from 'node:path';
import { WORK, checkReport, startPublisher, subscribe } from './stage.js';

/** Their table; run before the notifier starts. */
export const BYSTANDERS_SCHEMA = `CREATE TABLE news (id bigserial PRIMARY KEY, note text);
	SELECT realtime.enable('news', 'bench', 'news'); GRANT SELECT ON news TO reader`;

const SLICE = 0.2;			// seconds that the writer is asked for at a time

export class Bystanders
{
	/** Subscribes so many; rate: commits per second. */
	static async start(notifier, subscribers, rate)
	{
		const self = new Bystanders();
		const times = path.join(WORK, 'times');

		self.rate = rate;
		self.subscribers = subscribers;
		self.writer = await startPublisher('INSERT INTO news (note) VALUES ($1)', { connections: 4, times });
		self.load = await subscribe(notifier, subscribers, { feature: 'bench', entity: 'news' }, { times });
		return self;
	}

	/** Latencies in microseconds while a promise is pending, at least for so many seconds. */
	async during(promise, seconds = 0)
	{
		const begin = performance.now();
		let isOver = false;
		let commits = 0;

		promise.catch(() => {}).finally(() => { isOver = true; });
		while (!isOver || performance.now() - begin < seconds * 1000)
			commits += (await this.writer.ask(`rate ${this.rate} ${SLICE}`)).commits;
		const report = await this.load.ask(`expect ${commits * this.subscribers} 60`);
		checkReport('bystanders', report, commits * this.subscribers, this.subscribers);
		await promise;
		return report.latency_us;
	}

	async stop()
	{
		await this.load.stop();
		await this.writer.stop();
	}
}
