// SPDX-License-Identifier: PostgreSQL
//
// fake-server.ts
//	A database and a notifier in this process, for tests: the frames of realtime.v1 over a WebSocket class,
//	and over a fetch function that serves events and poll. Nothing of it uses the client's code.
//
// Model
// 1. The database has tables of rows, transactions with ids in the order of their first write, a log in commit
//	  order, and snapshots as positions.
// 2. A session has a position. advance() reads what is new since it: commits for the views, then a position
//	  frame. Frames go out at once, or with `isManual` when advance() and deliver() are called.
// 3. Only what the tests need of filters is here: eq, neq, gt, lt, in.

export type Row = Record<string, unknown>;
export interface Change { action: string; id: string | null; data: unknown; old?: Row; before?: Row; feature?: string; entity?: string; meta?: Row }
export interface Commit { tx: bigint; changes: Change[] }

interface Snapshot { epoch: string; xmin: bigint; xmax: bigint; xip: Set<bigint> }

const text = ({ epoch, xmin, xmax, xip }: Snapshot): string => `${epoch}/${xmin}:${xmax}:${[...xip].join(',')}`;
const sees = (snapshot: Snapshot, tx: bigint): boolean => tx < snapshot.xmin || (tx < snapshot.xmax && !snapshot.xip.has(tx));

function parse(position: string): Snapshot | undefined
{
	const parts = /^(.+)\/(\d+):(\d+):(.*)$/.exec(position);

	return parts ? {
		epoch: parts[1]!, xmin: BigInt(parts[2]!), xmax: BigInt(parts[3]!),
		xip: new Set(parts[4] ? parts[4].split(',').map(BigInt) : [])
	} : undefined;
}

/** A transaction: nobody sees it until commit(). */
export class Transaction
{
	readonly changes: (() => Change | undefined)[] = [];
	isOver = false;

	constructor(private readonly database: Database, readonly tx: bigint)
	{
	}

	/** The id as an API would return it. */
	get id(): string
	{
		return String(this.tx);
	}

	insert(row: Row): this
	{
		return this.write(String(row.id), () => row);
	}

	update(id: string, patch: Row): this
	{
		return this.write(id, (row) => row && { ...row, ...patch });
	}

	remove(id: string): this
	{
		return this.write(id, () => undefined);
	}

	emit(action: string, id: string | null, data: unknown, more: Partial<Change> = {}): this
	{
		this.changes.push(() => ({ action, id, data, ...more }));
		return this;
	}

	commit(): this
	{
		this.database.end(this, true);
		return this;
	}

	rollback(): this
	{
		this.database.end(this, false);
		return this;
	}

	/** Writes happen at commit: the fake has no row locks to wait for. */
	private write(id: string, to: (row: Row | undefined) => Row | undefined): this
	{
		this.changes.push(() =>
		{
			const { rows } = this.database;
			const before = rows.get(id);
			const after = to(before);

			if (after)
				rows.set(id, after);
			else
				rows.delete(id);
			if (!after)
				return before && { action: 'deleted', id, data: before, before };
			if (!before)
				return { action: 'created', id, data: after };
			const old = Object.fromEntries(Object.keys(after).map((name) => [name, before[name] ?? null]).filter(([name, value]) =>
				JSON.stringify(value) !== JSON.stringify(after[name as string] ?? null)));

			return Object.keys(old).length > 0 ? { action: 'updated', id, data: after, old, before } : undefined;
		});
		return this;
	}
}

/** One table `orders.order`, and whatever else events say. */
export class Database
{
	epoch = '1-a';
	readonly rows = new Map<string, Row>();
	readonly log: Commit[] = [];
	private next = 100n;
	private readonly running = new Set<bigint>();
	floor: Snapshot | undefined;		// history before it is gone
	changed: () => void = () => {};

	/** Nobody hears of what ends now, until something else happens. */
	isSilent = false;

	begin(): Transaction
	{
		const tx = this.next++;

		this.running.add(tx);
		return new Transaction(this, tx);
	}

	insert(row: Row): Transaction
	{
		return this.begin().insert(row).commit();
	}

	update(id: string, patch: Row): Transaction
	{
		return this.begin().update(id, patch).commit();
	}

	remove(id: string): Transaction
	{
		return this.begin().remove(id).commit();
	}

	emit(action: string, id: string | null, data: unknown, more: Partial<Change> = {}): Transaction
	{
		return this.begin().emit(action, id, data, more).commit();
	}

	end(transaction: Transaction, isCommit: boolean): void
	{
		transaction.isOver = true;
		this.running.delete(transaction.tx);
		if (isCommit)
		{
			const changes = transaction.changes.map((change) => change()).filter((change) => change !== undefined);

			if (changes.length > 0)
				this.log.push({ tx: transaction.tx, changes });
		}
		if (!this.isSilent)
			this.changed();
	}

	snapshot(): Snapshot
	{
		const xip = [...this.running].sort((a, b) => a < b ? -1 : 1);

		return { epoch: this.epoch, xmin: xip[0] ?? this.next, xmax: this.next, xip: new Set(xip) };
	}

	position(): string
	{
		return text(this.snapshot());
	}

	/** History up to now is pruned. */
	forget(): void
	{
		this.floor = this.snapshot();
	}

	/** The server crashed: positions are void, and so many transaction ids will be used again. */
	crash(lost = 0): void
	{
		this.next -= BigInt(lost);
		this.epoch = `${this.epoch}x`;
		this.forget();
	}
}

interface View
{
	id: string;
	feature?: string;
	entity?: string;
	action: string[];
	filter: [string, string, unknown][];
	columns?: string[];
	key: string;
	from: Snapshot;
}

const operators: Record<string, (a: any, b: any) => boolean> = {
	eq: (a, b) => String(a) === String(b),
	neq: (a, b) => String(a) !== String(b),
	gt: (a, b) => a > b,
	lt: (a, b) => a < b,
	in: (a, b) => b.map(String).includes(String(a))
};

const passes = (view: View, row: unknown): boolean => view.filter.every(([column, operator, value]) =>
	typeof row === 'object' && row !== null && operators[operator]!((row as Row)[column], value));

/** One peer's side of the protocol. */
export class Session
{
	readonly views = new Map<string, View>();
	readonly received: any[] = [];
	at: Snapshot;
	syncs: { ref: unknown; tx: string }[] = [];
	isAuthenticated = false;
	private out: object[] = [];

	constructor(private readonly server: FakeServer, readonly transport: string, private readonly write: (frame: object) => void)
	{
		this.at = server.database.snapshot();
	}

	/** Puts a frame into the queue; it is sent at once unless the server is manual. */
	send(frame: object): void
	{
		this.out.push(frame);
		if (!this.server.isManual)
			this.deliver();
	}

	/** Sends up to so many queued frames. */
	deliver(count = Infinity): void
	{
		while (this.out.length > 0 && count-- > 0)
			this.write(this.out.shift()!);
	}

	welcome(): void
	{
		this.send({
			op: 'welcome', session: 's', protocol: this.server.protocol, epoch: this.server.database.epoch,
			heartbeat: this.server.heartbeat
		});
	}

	greet(token: string | undefined): void
	{
		this.server.greeting(token).forEach((frame) => this.send(frame));
	}

	/** A message of the client. */
	receive(message: any): void
	{
		const { database } = this.server;
		const { op, ref } = message;

		this.received.push(message);
		switch (op)
		{
			case 'auth':
				if (this.server.refuses(message.token))
				{
					this.send({ op: 'error', ref, code: 'unauthorized', message: 'no' });
					return this.server.end(this, 4001);
				}
				this.isAuthenticated = true;
				this.send({ op: 'authenticated', ref, role: 'web', user: 'u', expires: null });
				return this.greet(message.token);
			case 'ping':
				return this.server.isMute ? undefined : this.send({ op: 'pong', ref });
			case 'sync':
				this.syncs.push({ ref, tx: message.tx });
				return this.server.changed();
			case 'unsubscribe':
				return this.send(this.views.delete(message.view) ? { op: 'unsubscribed', ref, view: message.view } :
					{ op: 'error', ref, code: 'unknown_view', message: 'no such view' });
			case 'subscribe':
				return this.subscribe(message);
		}
		void database;
		this.send({ op: 'error', ref, code: 'bad_request', message: `unknown op ${op}` });
	}

	private subscribe(message: any): void
	{
		const { ref, feature = '*', entity = '*', action = '*', filter = [], columns, since } = message;
		const { database } = this.server;
		const refused = this.server.refused(message);
		const key = JSON.stringify([feature, entity, [action].flat(), filter, columns]);
		const known = [...this.views.values()].find((view) => view.key === key);

		if (refused)
			return this.send({ op: 'error', ref, code: refused, message: refused, ...(this.server.known && { view: this.server.known }) });
		if (this.server.isTokenNeeded && !this.isAuthenticated)
			return this.send({ op: 'error', ref, code: 'unauthorized', message: 'no token' });
		if (known)
			return this.send({ op: 'error', ref, code: 'already_subscribed', message: 'twice', view: known.id });

		const id = String(++this.server.lastView);
		const from = since === undefined ? database.snapshot() : parse(since);

		if (!from)
			return this.send({ op: 'error', ref, code: 'bad_position', message: 'bad position' });
		const view: View = {
			id, key, filter, from, action: [action].flat(),
			...(feature !== '*' && { feature }), ...(entity !== '*' && { entity }), ...(columns && { columns })
		};

		this.views.set(id, view);
		this.send({ op: 'subscribed', ref, view: id, position: text(from), feature, entity });
		if (since !== undefined)
		{
			const isGone = from.epoch !== database.epoch ||
				(database.floor && database.log.some(({ tx }) => sees(database.floor!, tx) && !sees(from, tx)));

			view.from = database.snapshot();
			if (isGone)
			{
				this.send({ op: 'gap', view: id, reason: from.epoch === database.epoch ? 'history' : 'epoch', position: database.position() });
				if (message.snapshot)
					this.snapshot(view, message);
			}
			else
			{
				for (const commit of database.log)
				{
					if (!sees(from, commit.tx) && sees(view.from, commit.tx))
						this.commit(view, commit);
				}
			}
		}
		else if (message.snapshot)
			this.snapshot(view, message);
		if (this.transport !== 'poll')
			this.server.changed();
	}

	/** The rows of a view, in parts of three. */
	private snapshot(view: View, { limit = Infinity, order = [] }: any): void
	{
		const [column = 'id', direction] = String(order[0] ?? 'id').split('.');
		const rows = [...this.server.database.rows.values()].filter((row) => passes(view, row));
		const number = (value: any) => Number.isNaN(Number(value)) ? value : Number(value);

		rows.sort((a, b) => (number(a[column]) < number(b[column]) ? -1 : 1) * (direction === 'desc' ? -1 : 1));
		rows.splice(limit);
		view.from = this.server.database.snapshot();
		for (let part = 0; part === 0 || part * 3 < rows.length; part++)
		{
			const some = rows.slice(part * 3, part * 3 + 3);

			this.send({
				op: 'snapshot', view: view.id, part, last: (part + 1) * 3 >= rows.length,
				rows: some.map((row) => ({ id: String(row.id), data: row }))
			});
		}
	}

	/** Several transactions as a view with a window sees them. */
	private mergedCommit(view: View, commits: Commit[]): void
	{
		const events = mergeEvents(commits.flatMap(({ tx, changes }) => changes.flatMap((change, seq) => this.event(view, tx, seq, change))));

		if (events.length > 0)
			this.send({ op: 'commit', view: view.id, tx: String(commits.at(-1)!.tx), part: 0, last: true, merged: true, events });
	}

	/** A transaction as a view sees it. */
	private commit(view: View, { tx, changes }: Commit): void
	{
		const events = changes.flatMap((change, seq) => this.event(view, tx, seq, change));

		if (events.length > 0)
			this.send({ op: 'commit', view: view.id, tx: String(tx), part: 0, last: true, events });
	}

	private event(view: View, tx: bigint, seq: number, change: Change): object[]
	{
		const { feature = 'orders', entity = 'order', id, old, before, meta } = change;
		let { action, data } = change;

		if ((view.feature ?? feature) !== feature || (view.entity ?? entity) !== entity)
			return [];
		if (action === 'updated' && view.filter.length > 0)
		{
			const [was, is] = [passes(view, before), passes(view, data)];

			if (!was && !is)
				return [];
			action = was && is ? action : is ? 'entered' : 'left';
		}
		else if (view.filter.length > 0 && !passes(view, data))
			return [];
		if (action === 'left')
			data = undefined;
		const wanted = view.action.includes('*') || view.action.includes(action) ||
			(['entered', 'left'].includes(action) && view.action.includes('updated'));

		return wanted ? [{
			event: `${feature}.${entity}.${action}`, feature, entity, action, id,
			...(data !== undefined && { data }), ...(action === 'updated' && { old }),
			meta: {
				timestamp: '2026-11-22T19:00:00.123456Z', tx: String(tx), seq, userId: 'u', sessionId: null,
				priority: 'normal', ...meta
			}
		}] : [];
	}

	/** Reads what is new: commits, what syncs wait for, a position. */
	advance(): void
	{
		const now = this.server.database.snapshot();
		const news = this.server.database.log.filter(({ tx }) => !sees(this.at, tx) && sees(now, tx));

		if (this.server.isMerging && this.syncs.length === 0)
		{
			for (const view of this.views.values())
			{
				for (const commits of this.server.runsOf(news.filter(({ tx }) => !sees(view.from, tx))))
				{
					if (commits.length > 1)
						this.mergedCommit(view, commits);
					else
						commits.forEach((commit) => this.commit(view, commit));
				}
			}
		}
		for (const commit of this.server.isMerging && this.syncs.length === 0 ? [] : news)
		{
			for (const view of this.views.values())
			{
				if (!sees(view.from, commit.tx))
					this.commit(view, commit);
			}
		}
		this.at = now;
		for (const view of this.views.values())
			view.from = now;
		for (const { ref, tx } of this.syncs.filter((sync) => sees(now, BigInt(sync.tx))))
			this.send({ op: 'synced', ref, tx, position: text(now) });
		this.syncs = this.syncs.filter(({ tx }) => !sees(now, BigInt(tx)));
		this.send({ op: 'position', position: text(now) });
	}
}

/** Events of a window: of a row, what came or was updated and is updated becomes one; what goes ends that. */
function mergeEvents(events: any[]): any[]
{
	const out = new Set<any>();
	const open = new Map<string, any>();

	for (const event of events)
	{
		const before = open.get(event.id);
		let now = event;

		if (event.id === null)
			open.clear();
		else if (before && ['updated', 'deleted', 'left'].includes(event.action))
		{
			out.delete(before);
			now = {
				...event, ...(event.action === 'updated' && before.action !== 'updated' &&
					{ event: before.event, action: before.action, old: undefined }), meta: { ...event.meta, merged: true }
			};
			if (now.action === 'updated')
				now.old = { ...event.old, ...before.old };
		}
		if (['created', 'updated', 'entered'].includes(now.action))
			open.set(event.id, now);
		else
			open.delete(event.id);
		out.add(now);
	}
	return [...out];
}

const immediately = (work: () => void): void => void setImmediate(work);

export class FakeServer
{
	readonly database = new Database();
	readonly sessions = new Map<Session, { close: (code: number) => void }>();
	readonly requests: { path: string; body: any }[] = [];
	heartbeat = 25;
	protocol = 1;
	lastView = 0;

	/** Frames are made by advance() and sent by deliver() alone. */
	isManual = false;

	/** Views have windows: what one advance() brings is merged, unless a sync waits. */
	isMerging = false;

	/** Whether a transaction says that this client's user wrote it: such are not merged with others. */
	isOwn: (tx: bigint) => boolean = () => false;

	/** Turns that answers of the poll are under way. */
	latency = 0;

	/** What a session is sent after it was welcomed and has given its token. */
	greeting: (token: string | undefined) => object[] = () => [];

	/** Pings are not answered. */
	isMute = false;
	isTokenNeeded = false;
	opened = 0;

	/** Transports that cannot be reached: websocket, events, poll. */
	readonly blocked = new Set<string>();

	/** Whether a token is no good. */
	refuses: (token: string | undefined) => boolean = () => false;

	/** The view that an error of a subscription names. */
	known: string | undefined;

	/** An error code for a subscription. */
	refused: (message: any) => string | undefined = () => undefined;
	private isAdvancing = false;

	constructor()
	{
		this.database.changed = () => this.changed();
	}

	/** What may be merged: neighbours of one's own, or of others. */
	runsOf(commits: Commit[]): Commit[][]
	{
		const runs: Commit[][] = [];

		for (const [i, commit] of commits.entries())
		{
			if (i > 0 && this.isOwn(commit.tx) === this.isOwn(commits[i - 1]!.tx))
				runs.at(-1)!.push(commit);
			else
				runs.push([commit]);
		}
		return runs;
	}

	/** Something may be new for the sessions. */
	changed(): void
	{
		if (this.isManual || this.isAdvancing)
			return;
		this.isAdvancing = true;
		immediately(() =>
		{
			this.isAdvancing = false;
			this.advance();
		});
	}

	advance(): void
	{
		for (const session of [...this.sessions.keys()])
			session.advance();
	}

	deliver(): void
	{
		for (const session of [...this.sessions.keys()])
			session.deliver();
	}

	/** Sends a text or a frame to everybody. */
	inject(frame: unknown): void
	{
		for (const session of this.sessions.keys())
			session.send(frame as object);
	}

	/** Ends one session. */
	end(session: Session, code = 1006): void
	{
		const { close } = this.sessions.get(session) ?? {};

		this.sessions.delete(session);
		close?.(code);
	}

	/** Ends all. */
	drop(code = 1006): void
	{
		for (const session of [...this.sessions.keys()])
			this.end(session, code);
	}

	/** The only session there is. */
	get session(): Session
	{
		return [...this.sessions.keys()].at(-1)!;
	}

	/** A WebSocket class whose sockets lead here. */
	get WebSocket(): typeof WebSocket
	{
		const server = this;

		class FakeSocket
		{
			readyState = 0;
			onmessage: ((event: { data: unknown }) => void) | null = null;
			onclose: ((event: { code: number; reason: string }) => void) | null = null;
			onerror: (() => void) | null = null;
			private session: Session | undefined;

			constructor(readonly url: URL, readonly protocol: string)
			{
				immediately(() =>
				{
					if (this.readyState === 3)
						return;
					if (server.blocked.has('websocket'))
						return this.end(1006);
					this.readyState = 1;
					this.session = new Session(server, 'websocket', (frame) =>
						this.onmessage?.({ data: typeof frame === 'string' ? frame : JSON.stringify(frame) }));
					server.opened++;
					server.sessions.set(this.session, { close: (code) => this.end(code) });
					this.session.welcome();
				});
			}

			send(message: string): void
			{
				const parsed = JSON.parse(message);

				immediately(() => this.readyState === 1 && this.session!.receive(parsed));
			}

			close(): void
			{
				this.readyState = 3;
				if (this.session)
					server.sessions.delete(this.session);
			}

			private end(code: number): void
			{
				this.readyState = 3;
				immediately(() => this.onclose?.({ code, reason: '' }));
			}
		}
		return FakeSocket as unknown as typeof WebSocket;
	}

	/** A fetch that leads here. */
	get fetch(): typeof fetch
	{
		return async (input, init) =>
		{
			const { pathname } = new URL(String(input));
			const transport = pathname.split('/').at(-1)!;
			const body = JSON.parse(String(init?.body ?? '{}'));
			const signal = init!.signal!;

			this.requests.push({ path: pathname, body });
			await new Promise((resolve) => setImmediate(resolve));
			if (signal.aborted)
				throw new DOMException('aborted', 'AbortError');
			if (this.blocked.has(transport))
				throw new TypeError('fetch failed');
			if (this.refuses(body.token))
				return Response.json({ error: { code: 'unauthorized', message: 'no' } }, { status: 401 });
			if (transport !== 'poll')
				return this.events(body, signal);
			const answer = await this.poll(body, signal);

			for (let i = 0; i < this.latency; i++)
				await new Promise((resolve) => setImmediate(resolve));
			return answer;
		};
	}

	private events(body: any, signal: AbortSignal): Response
	{
		const encoder = new TextEncoder();
		const server = this;
		let session: Session;

		const stream = new ReadableStream<Uint8Array>({
			start(controller)
			{
				session = new Session(server, 'events', (frame) =>
					controller.enqueue(encoder.encode(`data: ${typeof frame === 'string' ? frame : JSON.stringify(frame)}\n\n`)));
				session.isAuthenticated = body.token !== undefined;
				server.opened++;
				const end = () =>
				{
					server.sessions.delete(session);
					signal.removeEventListener('abort', abort);
				};
				const abort = () =>
				{
					end();
					controller.error(new DOMException('aborted', 'AbortError'));
				};

				signal.addEventListener('abort', abort);
				server.sessions.set(session, {
					close: (code) =>
					{
						end();
						if (code > 4000)
							controller.enqueue(encoder.encode(`data: {"op":"error","code":"x","close":${code}}\n\n`));
						controller.close();
					}
				});
				session.welcome();
				session.greet(body.token);
				for (const message of body.subscribe ?? [])
					session.receive({ ...message, op: message.op ?? 'subscribe' });
				server.changed();
			}
		});

		return new Response(stream, { headers: { 'content-type': 'text/event-stream' } });
	}

	private poll(body: any, signal: AbortSignal): Promise<Response>
	{
		return new Promise((resolve, reject) =>
		{
			const frames: any[] = [];
			const server = this;
			let isEnding = false;
			let isOver = false;
			const end = () =>
			{
				if (isOver)
					return;
				isOver = true;
				server.sessions.delete(session);
				clearTimeout(timer);
				resolve(Response.json({ frames, position: frames.filter(({ op }) => op === 'position' || op === 'subscribed').at(-1)?.position }));
			};
			const session = new Session(this, 'poll', (frame: any) =>
			{
				frames.push(frame);
				if (!['welcome', 'authenticated', 'subscribed', 'position', undefined].includes(frame.op))
					isEnding = true;
				if (isEnding && frame.op === 'position')
					end();
			});
			const timer = setTimeout(end, (body.timeout ?? 25) * 1000);

			signal.addEventListener('abort', () =>
			{
				clearTimeout(timer);
				this.sessions.delete(session);
				reject(new DOMException('aborted', 'AbortError'));
			});
			this.opened++;
			session.isAuthenticated = body.token !== undefined;
			this.sessions.set(session, { close: () => end() });
			session.welcome();
			session.greet(body.token);
			for (const message of body.subscribe ?? [])
				session.receive({ ...message, op: message.op ?? 'subscribe' });
			if (this.isManual)
			{
				session.advance();
				session.deliver();
			}
			else
				setImmediate(() => this.sessions.has(session) && session.advance());
		});
	}
}
