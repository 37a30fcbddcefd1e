// SPDX-License-Identifier: PostgreSQL
//
// pgbench.js
//	Writers that wait for nothing but their commits.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { DATABASE, WORK } from './stage.js';

/** An SQL expression: a mark (tally.h) of the moment at which the statement runs, with so many bytes. */
export const markSql = (bytes) =>
	`'~T' || to_char(extract(epoch FROM clock_timestamp()) * 1e6, 'FM0000000000000000') || repeat('x', ${bytes - 18})`;

/** Runs a script of pgbench with so many clients. Resolves to { commits, tps }. */
export function pgbench(script, clients, seconds)
{
	const file = path.join(WORK, `script.${clients}.sql`);

	writeFileSync(file, script);
	return new Promise((resolve, reject) =>
	{
		const child = spawn(path.join(process.env.RT_BINDIR, 'pgbench'), ['-n', '-M', 'prepared', '-c', clients,
			'-j', Math.min(clients, 2), '-T', seconds, '-f', file, DATABASE].map(String));
		let out = '';

		for (const stream of [child.stdout, child.stderr])
			stream.setEncoding('utf8').on('data', (data) => { out += data; });
		child.on('error', reject).on('close', (status) =>
		{
			const commits = Number(/actually processed: (\d+)/.exec(out)?.[1]);

			if (status !== 0 || !(commits > 0) || !/failed transactions: 0 /.test(out))
				reject(new Error(`pgbench: ${out}`));
			else
				resolve({ commits, tps: Number(/^tps = ([\d.]+)/m.exec(out)[1]) });
		});
	});
}
