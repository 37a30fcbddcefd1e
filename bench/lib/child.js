// SPDX-License-Identifier: PostgreSQL
//
// child.js
//	Programs that a benchmark starts: talked to by lines, measured by /proc, ended with us.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const TICKS = 100;			// of /proc/*/stat per second: USER_HZ
const running = new Set();
process.on('exit', () =>
{
	for (const child of running)
		child.process.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
	process.on(signal, () => process.exit(1));

/** A port of 127.0.0.1 that nobody listens on now, below those of clients. */
export async function freePort()
{
	for (;;)
	{
		const port = 20000 + Math.floor(Math.random() * 12000);
		const server = net.createServer();
		const isFree = await new Promise((resolve) =>
		{
			server.on('error', () => resolve(false));
			server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
		});

		if (isFree)
			return port;
	}
}

/** Waits until a TCP port answers. */
export async function untilListening(port, child, seconds = 20)
{
	for (const end = Date.now() + seconds * 1000; Date.now() < end && !child.exit; await sleep(20))
	{
		const isOpen = await new Promise((resolve) =>
		{
			const socket = net.connect(port, '127.0.0.1', () => resolve(true));
			socket.on('error', () => resolve(false)).on('connect', () => socket.destroy());
		});

		if (isOpen)
			return;
	}
	throw new Error(`${child.name} does not listen: ${child.errors}`);
}

/** Takes a process, and its session where sessions count, behind the others. */
function giveWay(pid)
{
	os.setPriority(pid, 10);
	if (existsSync(`/proc/${pid}/autogroup`))
		writeFileSync(`/proc/${pid}/autogroup`, '10');
}

export class Child
{
	/**
	 * Each is a session of its own, as services are: Linux shares the processors between sessions first (autogroup).
	 *
	 * @param {object} options environment; isServer: it is what is measured, and has BENCH_SERVER_CORE for
	 * itself if that is set; isNice: it takes what the others leave of the processors; isFixed: it stays on the last
	 * core, where others may be, too
	 */
	constructor(name, program, args, { environment = {}, isServer = false, isNice = false, isFixed = false } = {})
	{
		const core = isServer ? process.env.BENCH_SERVER_CORE : isFixed ? String(os.cpus().length - 1) : undefined;

		this.name = name;
		this.errors = '';
		this.answers = [];
		this.waiting = [];
		this.process = spawn(core ? 'taskset' : program, core ? ['-c', core, program, ...args] : args, { stdio: ['pipe', 'pipe', 'pipe'],
			env: { ...process.env, ...environment }, detached: true });
		running.add(this);
		if (isNice && this.process.pid)
			giveWay(this.process.pid);
		this.process.stdin.on('error', () => {});
		this.process.stderr.setEncoding('utf8').on('data',
			(data) => { this.errors = (this.errors + data).slice(-4000); });
		this.process.on('error', (error) => { this.errors += error.message; });
		this.exited = new Promise((resolve) => this.process.on('close', (status, signal) =>
		{
			running.delete(this);
			this.exit = { status, signal };
			for (const { reject } of this.waiting.splice(0))
				reject(new Error(`${name} ended with ${signal ?? status}: ${this.errors}`));
			resolve();
		}));
		createInterface({ input: this.process.stdout }).on('line', (line) =>
		{
			if (this.waiting.length > 0)
				this.waiting.shift().resolve(line);
			else
				this.answers.push(line);
		});
	}

	/** The next line that it prints. */
	line()
	{
		if (this.answers.length > 0)
			return Promise.resolve(this.answers.shift());
		if (this.exit)
			return Promise.reject(new Error(`${this.name} ended: ${this.errors}`));
		return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
	}

	say(text)
	{
		this.process.stdin.write(`${text}\n`);
	}

	/** Says a line and parses the answer. */
	async ask(text)
	{
		this.say(text);
		return JSON.parse(await this.line());
	}

	/** It and the processes that it started. */
	get pids()
	{
		const pids = [this.process.pid];

		for (const entry of readdirSync('/proc'))
			if (/^\d+$/.test(entry) && pids.includes(Number(fields(entry)?.[1])))
				pids.push(Number(entry));
		return pids;
	}

	/** Microseconds of CPU so far, user and system. */
	cpu()
	{
		return cpuOf(this.pids);
	}

	/** Bytes of resident memory now (VmRSS), or the most that there were (VmHWM). */
	memory(kind = 'VmRSS')
	{
		let kilobytes = 0;

		for (const pid of this.pids)
			kilobytes += Number(new RegExp(`${kind}:\\s+(\\d+)`).exec(
				readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
		return kilobytes * 1024;
	}

	async stop(signal = 'SIGTERM')
	{
		if (!this.exit)
			this.process.kill(signal);
		const timer = setTimeout(() => this.process.kill('SIGKILL'), 10000);
		await this.exited;
		clearTimeout(timer);
	}
}

/** Microseconds of CPU of processes so far, user and system; those that have ended count as nothing. */
export function cpuOf(pids)
{
	let us = 0;

	for (const pid of pids)
	{
		const stat = fields(pid);

		us += (threadsCpu(pid) ?? (stat ? (Number(stat[11]) + Number(stat[12])) * 1e6 / TICKS : 0));
	}
	return us;
}

/** The same of one process by its threads' nanoseconds; undefined where the kernel does not count them. */
function threadsCpu(pid)
{
	try
	{
		return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) =>
			sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]), 0) / 1000;
	}
	catch
	{
		return undefined;
	}
}

/** Fields of /proc/pid/stat behind the command's name; undefined when it has ended. */
function fields(pid)
{
	try
	{
		return readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ');
	}
	catch
	{
		return undefined;
	}
}
