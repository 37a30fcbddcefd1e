// SPDX-License-Identifier: PostgreSQL
//
// build.js [DIRECTORY]
//	Bundles the page and the client that it uses into a directory of static files (default: dist).
//
// Inside this repository `realtime-client` is the client's sources; elsewhere it would be a package.

import { copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = path.dirname(fileURLToPath(import.meta.url));
const target = path.resolve(process.argv[2] ?? path.join(here, '../dist'));

await mkdir(target, { recursive: true });
await build({
	entryPoints: [path.join(here, 'src/main.ts')],
	outfile: path.join(target, 'app.js'),
	alias: {
		'realtime-client': path.join(here, '../../../client/src/index.ts'),
		'realtime-client/indexeddb': path.join(here, '../../../client/src/indexeddb.ts')
	},
	bundle: true,
	format: 'esm',
	target: 'es2022',
	minify: true,
	sourcemap: true,
	logLevel: 'warning'
});
for (const name of ['index.html', 'app.css'])
	await copyFile(path.join(here, name), path.join(target, name));
