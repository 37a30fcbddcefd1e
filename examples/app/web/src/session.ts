// SPDX-License-Identifier: PostgreSQL
//
// session.ts
//	Who is signed in, and the API over HTTP. Tokens are short-lived and in memory only.

import { RealtimeError } from 'realtime-client';

export interface User
{
	sub: string;
	name: string;
	role: 'web_user' | 'web_admin';
	desk?: string;
}

/** What the API replies. `meta.tx` is the transaction of a write. */
export interface Reply<T = unknown>
{
	success: boolean;
	data: T;
	meta?: { tx?: string; total?: number };
}

/** A refusal of the API, with a code to act on. */
export class ApiError extends Error
{
	constructor(readonly code: string, message: string)
	{
		super(message);
	}
}

export class Session
{
	private token = '';
	private expires = 0;
	private refresh = '';
	private renewal: Promise<void> | undefined;

	private constructor(private readonly base: string, readonly user: User)
	{
	}

	static people(base: string): Promise<User[]>
	{
		return send<User[]>(`${base}/api/people`, 'GET').then(({ data }) => data);
	}

	static async login(base: string, sub: string): Promise<Session>
	{
		const { data } = await send<Tokens & { refresh: string; user: User }>(`${base}/api/login`, 'POST', { user: sub });
		const session = new Session(base, data.user);

		session.refresh = data.refresh;
		session.take(data);
		return session;
	}

	get isAdmin(): boolean
	{
		return this.user.role === 'web_admin';
	}

	/** A token that lives for another while; a new one if `isFresh`. */
	async getToken(isFresh = false): Promise<string>
	{
		if (isFresh || Date.now() / 1000 > this.expires - 15)
			await (this.renewal ??= this.renew().finally(() => { this.renewal = undefined; }));
		return this.token;
	}

	/** A request in the user's name. Rejects with ApiError, or as fetch does. */
	async request<T>(method: string, path: string, body?: unknown, more: RequestInit = {}): Promise<Reply<T>>
	{
		const url = `${this.base}/api/${path}`;

		try
		{
			return await send<T>(url, method, body, await this.getToken(), more);
		}
		catch (error)
		{
			if (!(error instanceof ApiError) || error.code !== 'unauthorized')
				throw error;
			return send<T>(url, method, body, await this.getToken(true), more);
		}
	}

	/** For what is said while the page goes: nobody waits for the answer. */
	farewell(method: string, path: string): void
	{
		void send(`${this.base}/api/${path}`, method, undefined, this.token, { keepalive: true }).catch(() => {});
	}

	private async renew(): Promise<void>
	{
		this.take((await send<Tokens>(`${this.base}/api/token`, 'POST', { refresh: this.refresh })).data);
	}

	private take({ token, expires }: Tokens): void
	{
		this.token = token;
		this.expires = expires;
	}
}

interface Tokens
{
	token: string;
	expires: number;
}

async function send<T>(url: string, method: string, body?: unknown, token?: string, more: RequestInit = {}): Promise<Reply<T>>
{
	const response = await fetch(url, {
		method,
		...more,
		headers: {
			...(body !== undefined && { 'Content-Type': 'application/json' }),
			...(token && { Authorization: `Bearer ${token}` })
		},
		...(body !== undefined && { body: JSON.stringify(body) })
	});
	const reply = await response.json().catch(() => ({ success: false }));

	// Nobody knows what became of it, as when the network fails.
	if (response.status === 503 || response.status === 502)
		throw new RealtimeError('network', reply.error?.message ?? 'the server does not answer');
	if (!response.ok || !reply.success)
		throw new ApiError(reply.error?.code ?? 'internal', reply.error?.message ?? `the server says ${response.status}`);
	return reply;
}
