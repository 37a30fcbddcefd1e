// SPDX-License-Identifier: PostgreSQL
//
// faults.js
//	The faults: each is played once in a round, while all write. What it breaks and the driver does not heal
//	(Run.settle()), it mends itself.

import { connect } from '../../e2e/lib/database.js';
import { pause, until } from '../../e2e/lib/wait.js';

const some = (run, ms = 1500) => pause(run.chance.int(ms / 3, ms));
const one = (run) => run.chance.pick(run.notifiers);

/** Stops a process for a while. */
async function stopped(pid, f)
{
	process.kill(pid, 'SIGSTOP');
	try
	{
		await f();
	}
	finally
	{
		try
		{
			process.kill(pid, 'SIGCONT');
		}
		catch
		{
			// it was killed by others meanwhile
		}
	}
}

export const FAULTS = [
	{ name: 'notifier-kill', play: async (run) =>
	{
		for (let i = 0; i < 2; i++)
		{
			const victim = one(run);
			await victim.crash();
			await some(run);
			await victim.spawn();
			await some(run, 600);
		}
	} },
	{ name: 'restart-immediate', play: (run) => run.crash(() => run.server.restart('immediate')) }
];
