// SPDX-License-Identifier: PostgreSQL
//
// size.js
//	Prints what each entry point weighs, minified and compressed, and fails when one is over its limit.

import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const entries = [
	{ name: 'core', from: "export { RealtimeCore } from './dist/core.js'", limit: 10000 },
	{ name: 'core and state manager', from: "export { RealtimeClient } from './dist/index.js'", limit: 20000 },
	{ name: 'indexeddb.js', from: "export * from './dist/indexeddb.js'" },
	{ name: 'shared.js', from: "export * from './dist/shared.js'", external: ['./index.js'] },
	{ name: 'shared-worker.js', from: "import './dist/shared-worker.js'" }
];

for (const { name, from, limit, external } of entries)
{
	const { outputFiles } = await build({
		stdin: { contents: from, resolveDir: process.cwd() },
		bundle: true, minify: true, write: false, format: 'esm', target: 'es2022', ...(external && { external })
	});
	const bytes = outputFiles[0].contents;
	const size = gzipSync(bytes, { level: 9 }).length;

	console.log(`${name.padEnd(26)} ${String(bytes.length).padStart(6)} bytes, ${String(size).padStart(6)} gzip` +
		(limit ? ` (limit ${limit})` : ''));
	if (limit && size > limit)
	{
		console.error(`${name} is too large`);
		process.exitCode = 1;
	}
}
