// SPDX-License-Identifier: PostgreSQL
//
// size.js
//	Prints what each entry point weighs, minified and compressed, and fails when one is over its limit.

import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

// What is imported from the directory above is not counted.
const above = {
	name: 'above',
	setup: ({ onResolve }) => onResolve({ filter: /^\.\.\// }, ({ path }) => ({ path, external: true }))
};

const entries = [
	{ name: 'core', from: "export { RealtimeCore } from './dist/core.js'", limit: 10000 },
	{ name: 'core and state manager', from: "export { RealtimeClient } from './dist/index.js'", limit: 20000 },
	{ name: 'indexeddb.js', from: "export * from './dist/indexeddb.js'" },
	{ name: 'shared.js', from: "export * from './dist/shared.js'", external: ['./index.js'] },
	{ name: 'shared-worker.js', from: "import './dist/shared-worker.js'" },

	// Without their frameworks and what all of them share with the core.
	...['angular', 'react', 'svelte', 'vue'].map((name) => ({
		name: `adapter ${name}`, from: `export * from './dist/adapters/${name}.js'`, packages: 'external', plugins: [above]
	}))
];

for (const { name, from, limit, ...options } of entries)
{
	const { outputFiles } = await build({
		stdin: { contents: from, resolveDir: process.cwd() },
		bundle: true, minify: true, write: false, format: 'esm', target: 'es2022', ...options
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
