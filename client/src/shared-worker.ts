// SPDX-License-Identifier: PostgreSQL
//
// shared-worker.ts
//	The program of the SharedWorker: a hub for all tabs. Its name is the notifier's URL, after the last space:
//	`new SharedWorker(…, { type: 'module', name: 'ann https://live.example' })`, so that users do not share.

import { Hub, type Line } from './hub.js';

const scope = globalThis as unknown as { name: string; onconnect: (event: { ports: MessagePort[] }) => void };
const hub = new Hub(scope.name.slice(scope.name.lastIndexOf(' ') + 1));

scope.onconnect = ({ ports: [port] }) =>
{
	const line: Line = { post: (message) => port!.postMessage(message) };

	port!.onmessage = ({ data }) =>
	{
		// A page that is closed says nothing: it holds this lock as long as it lives.
		if (data.lock)
			void navigator.locks.request(data.lock, () => hub.leave(line));
		else
			hub.receive(line, data);
	};
};
