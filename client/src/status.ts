// SPDX-License-Identifier: PostgreSQL
//
// status.ts
//	What a connection is told and what it tells: its options, its states, and who hears it. Types alone.

import type { BadFrame, Frame } from './protocol.js';
import type { Transport } from './transport.js';

/**
 * disconnected: nobody wants a connection. connecting: there was none yet. connected. reconnecting: there was one.
 * error: trying again soon does not help; it is tried again all the same, with the longest pauses.
 */
export type State = 'disconnected' | 'connecting' | 'connected' | 'reconnecting' | 'error';

/** Why a token is asked for. */
export type TokenReason = 'connect' | 'expiring' | 'expired' | 'unauthorized';

/** What the connection is doing, and why. */
export interface Status
{
	/** One of five. */
	readonly state: State;

	/** Why it is not connected: `closed`, `network`, `offline`, `timeout`, `restart`, `slow`, `expired`, … */
	readonly reason?: string;

	/** For people. */
	readonly message?: string;

	/** Pauses since the last lasting connection. */
	readonly attempt: number;

	/** While connected: the name of the transport. */
	readonly transport?: string;
}

/** How the connection is made and kept up. */
export interface ConnectionOptions
{
	/**
	 * Tried in this order. While on a later one, the first is tried beside it and takes over. Default: WebSocket,
	 * server-sent events, long poll.
	 */
	transports: Transport[];

	/**
	 * Gives a token, or null for none. Called for each connection, before a token expires, and when it was refused. When
	 * it throws, the state is `error` with the reason `token`, and it is asked again later.
	 */
	token?: (reason: TokenReason) => Promise<string | null | undefined> | string | null | undefined;

	/** Milliseconds: the first pause is a random part of this; the bound doubles with each. Default: 1 s. */
	minDelay: number;

	/** Milliseconds: no pause is longer. Default: 30 s. */
	maxDelay: number;

	/** Milliseconds until an attempt that the server has not taken, and on which nothing comes, has failed. Default: 10 s. */
	connectTimeout: number;

	/** Milliseconds between tries of the first transport while on another one. Default: 60 s. */
	upgradeInterval: number;

	/** Milliseconds after which a channel was a good one: pauses start small again. Default: 10 s. */
	stableAfter: number;

	/** In place of the platform's. */
	fetch: typeof fetch;

	/** In place of the platform's. Undefined: there is none, and the next transport is tried. */
	WebSocket: typeof WebSocket | undefined;

	/** A number from 0 to below 1, for the pauses. Default: Math.random. */
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
