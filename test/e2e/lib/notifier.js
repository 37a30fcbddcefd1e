// SPDX-License-Identifier: PostgreSQL
//
// notifier.js
//	A realtime-notifier of the tests: started with flags, watched by its log, ended by process id.
//
// RT_NOTIFIER is the program. It ends with the sanitizers' reports: any in its log, or another exit
// status than 0 after SIGTERM, is an error.

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Peer } from './peer.js';
import { request } from './http.js';
import { until, within } from './wait.js';

const running = new Set();
process.on('exit', () =>
{
	for (const child of running)
		child.kill('SIGKILL');
});

/** A port of 127.0.0.1 that nobody listens on now. */
export function freePort()
{
	return new Promise((resolve, reject) =>
	{
		const server = net.createServer();
		server.on('error', reject);
		server.listen(0, '127.0.0.1', () =>
		{
			const { port } = server.address();
			server.close(() => resolve(port));
		});
	});
}

/** A temporary directory with a short name: sockets are made in it. */
export function makeDirectory()
{
	return mkdtemp(path.join(process.env.RT_WORK ?? os.tmpdir(), 'n.'));
}

export class Notifier
{
	/**
	 * Starts one and waits until it is ready.
	 * @param {object} options database (connection string), flags ({name: value}), name, isReady
	 */
	static async start({ name = 'notifier', database, flags = {}, environment = {}, isReady = true,
		port })
	{
		const notifier = new Notifier();

		notifier.name = name;
		notifier.database = database;
		notifier.flags = flags;
		notifier.environment = environment;
		notifier.port = port ?? await freePort();
		notifier.directory = await makeDirectory();
		await notifier.spawn(isReady);
		return notifier;
	}

	async spawn(isReady = true)
	{
		const flags = { database: this.database, listen: `127.0.0.1:${this.port}`,
			'log-format': 'json', ...this.flags };
		const args = Object.entries(flags).filter(([, value]) => value !== undefined)
			.flatMap(([flag, value]) => [`--${flag}`, String(value)]);

		this.log = '';
		this.exit = undefined;
		this.child = spawn(process.env.RT_NOTIFIER, args, { stdio: ['ignore', 'pipe', 'pipe'],
			cwd: this.directory,
			env: { ...process.env, PGPASSWORD: '', PGAPPNAME: '',
				ASAN_OPTIONS: 'quarantine_size_mb=8:malloc_context_size=15:detect_leaks=1:exitcode=98',
				UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1:exitcode=97',
				TSAN_OPTIONS: 'exitcode=96',
				...this.environment } });
		running.add(this.child);
		for (const stream of [this.child.stdout, this.child.stderr])
		{
			stream.setEncoding('utf8');
			stream.on('data', (data) => { this.log = (this.log + data).slice(-4_000_000); });
		}
		this.exited = new Promise((resolve) =>
		{
			const { child } = this;
			this.child.on('close', (status, signal) =>
			{
				running.delete(child);
				this.exit = { status, signal };
				resolve(this.exit);
			});
			this.child.on('error', (error) => { this.log += error.stack; });
		});
		if (isReady)
			await this.untilReady().catch((error) =>
			{
				this.child.kill('SIGKILL');
				throw error;
			});
	}

	get pid()
	{
		return this.child.pid;
	}

	get url()
	{
		return `http://127.0.0.1:${this.port}`;
	}

	get wsUrl()
	{
		return `ws://127.0.0.1:${this.port}/v1/ws`;
	}

	/** The HTTP status of a path; undefined when nobody answers. */
	async status(where)
	{
		try
		{
			return (await request(this.url + where, { seconds: 5 })).status;
		}
		catch
		{
			return undefined;
		}
	}

	untilReady(seconds = 20)
	{
		return until(`${this.name} is ready`, async () =>
		{
			if (this.exit)
				throw new Error(`${this.name} ended with ${JSON.stringify(this.exit)}:\n${this.tail()}`);
			return (await this.status('/readyz')) === 200;
		}, seconds).catch((error) =>
		{
			throw new Error(`${error.message}\n${this.tail()}`);
		});
	}

	tail(n = 40)
	{
		return this.log.split('\n').slice(-n).join('\n');
	}

	/** Log lines, parsed; what is not JSON is left out. */
	get lines()
	{
		return this.log.split('\n').filter((line) => line.startsWith('{')).map((line) =>
		{
			try
			{
				return JSON.parse(line);
			}
			catch
			{
				return {};
			}
		});
	}

	connect(options)
	{
		return Peer.connect(this.wsUrl, options);
	}

	/** Metrics by name: Map of "name{labels}" to number. */
	async metrics()
	{
		const { body } = await request(`${this.url}/metrics`);

		return new Map(body.split('\n').filter((line) => line && !line.startsWith('#')).map((line) =>
		{
			const at = line.lastIndexOf(' ');
			return [line.slice(0, at), Number(line.slice(at + 1))];
		}));
	}

	async metric(name)
	{
		return (await this.metrics()).get(`realtime_${name}`);
	}

	/** Resident memory in bytes. */
	async memory()
	{
		const text = await readFile(`/proc/${this.pid}/status`, 'utf8');

		return Number(/VmRSS:\s+(\d+)/.exec(text)[1]) * 1024;
	}

	kill(signal)
	{
		process.kill(this.pid, signal);
	}

	/** Ends it in an orderly way; fails unless it ends with 0 and the sanitizers were content. */
	async stop(seconds = 20)
	{
		if (!this.exit)
		{
			this.kill('SIGCONT');
			this.kill('SIGTERM');
			await within(`${this.name} ends`, this.exited, seconds).catch((error) =>
			{
				this.child.kill('SIGKILL');
				throw new Error(`${error.message}\n${this.tail()}`);
			});
		}
		await this.forget();
		this.check();
		if (this.exit.status !== 0)
			throw new Error(`${this.name} ended with ${JSON.stringify(this.exit)}:\n${this.tail()}`);
	}

	/** Ends it at once. */
	async crash()
	{
		this.kill('SIGKILL');
		await this.exited;
		this.check();
	}

	/** Fails when a sanitizer or an assertion spoke. */
	check()
	{
		const at = this.log.search(
			/ERROR: (Address|Leak|Thread)Sanitizer|runtime error:|WARNING: ThreadSanitizer|Assertion/);

		if (at >= 0)
			throw new Error(`${this.name}:\n${this.log.slice(at, at + 6000)}`);
	}

	async forget()
	{
		await rm(this.directory, { recursive: true, force: true });
	}
}
