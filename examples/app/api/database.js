// SPDX-License-Identifier: PostgreSQL
//
// database.js
//	Transactions in the name of a user. Knows nothing of HTTP, nor of events: it writes rows.
//
// Each transaction takes the user's role and claims, as PostgREST does: GRANTs and policies decide.

import pg from 'pg';

/** The problem of a request, for the one who sent it. */
export class Problem extends Error
{
	constructor(status, code, message)
	{
		super(message);
		this.status = status;
		this.code = code;
	}
}

export class Database
{
	/** Connects when needed, by libpq's variables (PGHOST, PGUSER, …). */
	constructor()
	{
		this.pool = new pg.Pool({ max: 10, application_name: 'api', connectionTimeoutMillis: 3000 });
		this.pool.on('error', () => {});		// a server that ends; the next query opens another connection
	}

	/**
	 * Runs work(query) in a transaction of a user, { sub, role, desk }. Resolves to what it returned and to the
	 * transaction's id, which clients wait for.
	 */
	async write(user, work)
	{
		return this.transaction(user, 'BEGIN', async (query) =>
		{
			const data = await work(query);
			const [{ tx }] = await query('SELECT pg_current_xact_id()::text AS tx');

			return { data, tx };
		});
	}

	/** The same for what only reads. Resolves to what it returned. */
	read(user, work)
	{
		return this.transaction(user, 'BEGIN READ ONLY', work);
	}

	async transaction(user, begin, work)
	{
		const client = await this.pool.connect();
		const query = async (text, values) => (await client.query(text, values)).rows;
		let broken;

		client.on('error', ignore);
		try
		{
			await client.query(begin);
			await query("SELECT set_config('role', $1, true), set_config('request.jwt.claims', $2, true)",
				[user.role, JSON.stringify(user)]);
			const result = await work(query);

			await client.query('COMMIT');
			return result;
		}
		catch (error)
		{
			await client.query('ROLLBACK').catch((problem) => { broken = problem; });
			throw error;
		}
		finally
		{
			client.off('error', ignore);
			client.release(broken);
		}
	}

	end()
	{
		return this.pool.end();
	}
}

function ignore() {}

const statuses = {
	23502: 422, 23503: 409, 23505: 409, 23514: 422, '22P02': 422, 22003: 422, 22007: 422, 22001: 422,
	42501: 403, 40001: 409, '40P01': 409, 55000: 422
};

/** What an error means to the one who asked: { status, code, message }. */
export function problemOf(error)
{
	if (error instanceof Problem)
		return error;
	if (error.constraint === 'order_is_free')
		return new Problem(423, 'locked', error.message);
	if (statuses[error.code])
		return new Problem(statuses[error.code], error.constraint ?? error.code, error.message);
	// Connections that fail or end: class 08, 57P01 to 57P03, and Node's own codes.
	if (/^(08|57P|53)/.test(error.code ?? '') || /ECONN|ENOENT|EPIPE|timeout|terminated/i.test(`${error.code} ${error.message}`))
		return new Problem(503, 'unavailable', 'the database does not answer');
	return new Problem(error.status ?? 500, 'internal', error.status ? error.message : 'something went wrong');
}
