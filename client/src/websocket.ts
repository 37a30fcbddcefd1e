// SPDX-License-Identifier: PostgreSQL
//
// websocket.ts
//	The WebSocket transport. The token goes in the first message, not here: see connection.ts.

import { address, type Channel, type ChannelContext, type ChannelHandler, type Transport } from './transport.js';

/** A WebSocket, the first choice. */
export const webSocket: Transport = {
	name: 'websocket',

	open(context: ChannelContext, handler: ChannelHandler): Channel
	{
		const url = address(context.base, '/v1/ws');

		url.protocol = url.protocol.replace('http', 'ws');
		if (!context.WebSocket)
		{
			queueMicrotask(() => handler.closed(0, 'no WebSocket here'));
			return { close: () => {} };
		}

		const socket = new context.WebSocket(url, 'realtime.v1');
		const end = () => { socket.onmessage = socket.onclose = null; };

		socket.onmessage = ({ data }) => handler.frame(data);
		socket.onerror = () => {};		// a close follows, and says more
		socket.onclose = ({ code, reason }) =>
		{
			end();
			handler.closed(code, reason);
		};
		return {
			send: (message) =>
			{
				if (socket.readyState === 1)
					socket.send(JSON.stringify(message));
			},
			close: () =>
			{
				end();
				socket.close();
			}
		};
	}
};
