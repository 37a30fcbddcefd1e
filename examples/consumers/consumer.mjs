#!/usr/bin/env node
// SPDX-License-Identifier: PostgreSQL
// consumer.mjs URL SUBSCRIPTIONS STATE: prints each event once, and each gap, across restarts.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

const [url, subscribe, file] = process.argv.slice(2);
const token = process.env.REALTIME_TOKEN;
const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
let state = existsSync(file) ? JSON.parse(readFileSync(file)) : { seen: [] };	// since, and what came after it

function take(frame) {
	if (frame.op === 'commit')
		for (const event of frame.events) {
			const key = `${event.meta.tx}/${event.meta.seq}`;
			state.merged ||= frame.merged;
			if (state.seen.includes(key) && !state.merged) continue;
			console.log(JSON.stringify(event));
			state.seen.push(key);
		}
	else if (frame.op === 'position' || (frame.op === 'subscribed' && !state.since))
		state = { since: frame.position, seen: [] };
	else if (frame.op === 'gap' || frame.op === 'error') console.log(JSON.stringify(frame));
	writeFileSync(`${file}.new`, JSON.stringify(state));
	renameSync(`${file}.new`, file);
}

for (;; await new Promise((resolve) => setTimeout(resolve, 200 + Math.random() * 2000)))
	try {
		const stop = new AbortController(), silence = setTimeout(() => stop.abort(), 60000);
		const body = JSON.stringify({ subscribe: JSON.parse(subscribe), since: state.since });
		const response = await fetch(`${url}/v1/events`, { method: 'POST', headers, body, signal: stop.signal });
		if (!response.ok) throw new Error(await response.text());
		let rest = '';
		for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
			const lines = (rest + text).split('\n');
			rest = lines.pop();
			for (const line of lines) if (line.startsWith('data:')) take(JSON.parse(line.slice(5)));
			silence.refresh();
		}
	} catch (error) { console.error(error.message); }
