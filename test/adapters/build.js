// SPDX-License-Identifier: PostgreSQL
//
// build.js
//	Builds the pages, each as its framework's applications are built: node build.js DIRECTORY. Angular: the application
//	builder, ahead of time. React, Vue, Svelte 5: Vite, for a browser and for a server. Svelte 4: its compiler and
//	esbuild. `react-development` is React's page with what StrictMode does in development.
//
// The client is used as it is published: its packed archive is in node_modules/realtime-client.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, readFile } from 'node:fs/promises';
import path from 'node:path';
import { svelte, vitePreprocess } from '@sveltejs/vite-plugin-svelte';
import vue from '@vitejs/plugin-vue';
import * as esbuild from 'esbuild';
import { compile } from 'svelte4/compiler';
import { build } from 'vite';

const here = import.meta.dirname;
const to = path.resolve(process.argv[2]);

const plugins = {
	react: () => [],
	vue: () => [vue()],
	svelte: () => [svelte({ configFile: false, preprocess: vitePreprocess({ script: true }) })]
};

/** A page by Vite. */
function vite(name, { out = name, mode = 'production', server } = {})
{
	if (server)
		process.env.NODE_ENV = 'production';
	return build({
		root: path.join(here, 'pages', name), base: `/${out}/`, mode, configFile: false, logLevel: 'warn', plugins: plugins[name](),
		build: { outDir: path.join(to, out), emptyOutDir: true, minify: mode === 'production', ...(server && { ssr: server }) },
		...(server && { ssr: { noExternal: true } })
	});
}

/** A page of Svelte 4, whose package has another name here. */
async function svelte4()
{
	const out = path.join(to, 'svelte4');

	await esbuild.build({
		entryPoints: [path.join(here, 'pages/svelte4/main.ts')], outfile: path.join(out, 'main.js'), bundle: true, format: 'esm',
		target: 'es2022', minify: true, plugins: [{
			name: 'svelte4',
			setup({ onLoad, onResolve, resolve })
			{
				onResolve({ filter: /^svelte(\/|$)/ }, ({ path: name, kind }) =>
					resolve(name.replace('svelte', 'svelte4'), { kind, resolveDir: here }));
				onLoad({ filter: /\.svelte$/ }, async ({ path: filename }) =>
					({ contents: compile(await readFile(filename, 'utf8'), { filename }).js.code, resolveDir: path.dirname(filename) }));
			}
		}]
	});
	await cp(path.join(here, 'pages/svelte4/index.html'), path.join(out, 'index.html'));
}

/** The page of Angular, by angular.json. */
async function angular()
{
	const builder = spawn(process.execPath, ['node_modules/.bin/architect', 'page:build'], {
		cwd: here, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NODE_ENV: 'production' }
	});
	let output = '';

	builder.stdout.on('data', (data) => { output += data; });
	builder.stderr.on('data', (data) => { output += data; });
	const [status] = await once(builder, 'close');

	if (status !== 0)
		throw new Error(output);
	await cp(path.join(here, 'build/angular'), path.join(to, 'angular'), { recursive: true });
}

/** The server of the tests, for a window: `fake`. */
function fake()
{
	return esbuild.build({
		stdin: {
			contents: `import { FakeServer } from './fake-server.js';
				globalThis.setImmediate ??= (work) => setTimeout(work, 0);
				window.fake = new FakeServer();`,
			resolveDir: path.join(here, '../../client/test')
		},
		outfile: path.join(to, 'fake.js'), bundle: true, format: 'iife', target: 'es2022'
	});
}

await Promise.all([angular(), (async () =>
{
	await svelte4();
	await fake();
	await vite('react', { out: 'react-development', mode: 'development' });
	for (const [name, server] of [['react', 'server.tsx'], ['vue', 'server.ts'], ['svelte', 'server.ts']])
	{
		await vite(name);
		await vite(name, { out: `server/${name}`, server });
	}
})()]);
