// SPDX-License-Identifier: PostgreSQL
//
// index.ts
//	What the package offers. Importing it does nothing: it is safe on a server.

export { RealtimeClient, type RealtimeClientOptions } from './client.js';
export type { BulkOperation, Item, Lock, Reply, Saved, Storage, StoreApi, StoreConfig,
	StoreState } from './config.js';
export type { State, Status, TokenReason } from './connection.js';
export { RealtimeCore, type ClientOptions, type ClientStats, type ListenOptions, type Page,
	type ReadOptions } from './core.js';
export { RealtimeError } from './error.js';
export { serverSentEvents } from './events.js';
export type { Conflict, ConflictField, Operation } from './pending.js';
export { longPoll } from './poll.js';
export { covers, includes, parsePosition, type Position } from './position.js';
export type { EventMeta, FilterTerm, Frame, Id, Operator, Priority, RealtimeEvent, Row, SnapshotRow,
	Subscription } from './protocol.js';
export type { Registry } from './registry.js';
export type { Choice, Resolution } from './resolution.js';
export { batch, type Observable } from './signal.js';
export { EntityStore, type Request, type StoreHandler } from './store.js';
export { EventStream } from './stream.js';
export type { Channel, ChannelContext, ChannelHandler, Transport } from './transport.js';
export { keyOf, type Sink } from './view.js';
export { webSocket } from './websocket.js';
