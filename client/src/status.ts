// SPDX-License-Identifier: PostgreSQL
//
// status.ts
//	What a connection is told and what it tells: its options, its states, and who hears it. Types alone.

import type { BadFrame, Frame } from './protocol.js';
import type { Transport } from './transport.js';

export type State = 'disconnected' | 'connecting' | 'connected' | 'reconnecting' | 'error';

/** Why a token is asked for. */
export type TokenReason = 'connect' | 'expiring' | 'expired' | 'unauthorized';

export interface Status
{
	readonly state: State;

	/** Why it is not connected: `closed`, `network`, `offline`, `timeout`, `restart`, `slow`, `expired`, … */
	readonly reason?: string;

	/** For people. */
	readonly message?: string;

	/** Pauses since the last lasting connection. */
	readonly attempt: number;
	readonly transport?: string;
}

export interface ConnectionOptions
{
	transports: Transport[];

	/** Gives a token, or null for none. Called for each connection and before a token expires. */
	token?: (reason: TokenReason) => Promise<string | null | undefined> | string | null | undefined;

	/** Milliseconds: the first pause at most, any pause at most, until `welcome`, between tries to come back. */
	minDelay: number;
	maxDelay: number;
	connectTimeout: number;
	upgradeInterval: number;

	/** A channel that lasted so long was a good one: pauses start small again. */
	stableAfter: number;
	fetch: typeof fetch;
	WebSocket: typeof WebSocket | undefined;
	random: () => number;
}

/** What the connection tells its client. */
export interface ConnectionHandler
{
	subscriptions(): object[];

	/** Frames can be sent; on a one-way channel, the request was accepted. */
	ready(): void;
	lost(): void;
	frame(frame: Frame): void;
	bad(bad: BadFrame, frame: unknown): void;
}
