// SPDX-License-Identifier: PostgreSQL
//
// session.js
//	Who is asking: the demo's users, and short-lived tokens that API and notifier both accept.
//
// A demo: whoever can reach this port may be anybody, without a password. Tokens are real ones.

import { randomBytes } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { Problem } from './database.js';

export const users = [
	{ sub: 'ann', name: 'Ann', role: 'web_admin' },
	{ sub: 'ben', name: 'Ben', role: 'web_user', desk: 'north' },
	{ sub: 'cleo', name: 'Cleo', role: 'web_user', desk: 'south' }
];

export class Sessions
{
	/** `secret` signs, tokens live for `seconds`. */
	constructor(secret, seconds)
	{
		this.secret = secret;
		this.seconds = seconds;
		this.refreshes = new Map();		// refresh token -> user
	}

	/** Signs a user in. */
	login(sub)
	{
		const user = users.find((one) => one.sub === sub);

		if (!user)
			throw new Problem(401, 'unauthorized', 'there is no such user');
		const refresh = randomBytes(24).toString('base64url');

		this.refreshes.set(refresh, user);
		return { ...this.token(user), refresh, user };
	}

	/** A fresh token for somebody who is signed in. */
	renew(refresh)
	{
		const user = this.refreshes.get(refresh);

		if (!user)
			throw new Problem(401, 'unauthorized', 'sign in again');
		return this.token(user);
	}

	token({ sub, role, desk })
	{
		const token = jwt.sign({ sub, role, ...(desk && { desk }) }, this.secret,
			{ algorithm: 'HS256', expiresIn: this.seconds });

		return { token, expires: jwt.decode(token).exp };
	}

	/** Middleware: sets request.user from the header Authorization, or refuses. */
	get required()
	{
		return (request, _response, next) =>
		{
			const [, token] = /^Bearer (.+)$/.exec(request.get('authorization') ?? '') ?? [];

			try
			{
				const { sub, role, desk } = jwt.verify(token ?? '', this.secret, { algorithms: ['HS256'] });

				request.user = { sub, role, ...(desk && { desk }) };
			}
			catch
			{
				throw new Problem(401, 'unauthorized', 'a valid token is needed');
			}
			next();
		};
	}
}
