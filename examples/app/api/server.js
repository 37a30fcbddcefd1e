// SPDX-License-Identifier: PostgreSQL
//
// server.js
//	The API of an order desk: Express, PostgreSQL, plain SQL. Nothing in this directory emits an event: the
//	database does. Replies are {success, data, meta}; meta.tx of a write is its transaction.
//
// Environment: libpq's variables for the database, PORT, HOST (127.0.0.1), SECRET_FILE (signs tokens; the
// notifier's jwt-secret-file), ORIGINS (pages that may ask, separated by commas), TOKEN_SECONDS (300).

import { readFileSync } from 'node:fs';
import cors from 'cors';
import express from 'express';
import { Database, Problem, problemOf } from './database.js';
import { ordersRouter } from './orders.js';
import { productsRouter } from './products.js';
import { Sessions, users } from './session.js';
import { usersRouter } from './users.js';

const { PORT = '8091', HOST = '127.0.0.1', SECRET_FILE, ORIGINS = '', TOKEN_SECONDS = '300' } = process.env;
const secret = readFileSync(SECRET_FILE, 'utf8').replace(/\n$/, '');
const database = new Database();
const sessions = new Sessions(secret, Number(TOKEN_SECONDS));
const app = express();

app.disable('x-powered-by');
app.set('etag', false);
app.use(cors({ origin: ORIGINS.split(','), methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'], maxAge: 600 }));
app.use((_request, response, next) =>
{
	response.set({ 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' });
	next();
});
app.use(express.json({ limit: '1mb' }));

app.get('/api/health', async (_request, response) =>
{
	await database.read({ role: 'none' }, (query) => query('SELECT 1'));
	response.json({ success: true });
});
app.get('/api/people', (_request, response) =>
	response.json({ success: true, data: users }));
app.post('/api/login', (request, response) =>
	response.json({ success: true, data: sessions.login(request.body?.user) }));
app.post('/api/token', (request, response) =>
	response.json({ success: true, data: sessions.renew(request.body?.refresh) }));
app.use('/api/orders', sessions.required, ordersRouter(database));
app.use('/api/products', sessions.required, productsRouter(database));
app.use('/api/users', sessions.required, usersRouter(database));
app.use(() =>
{
	throw new Problem(404, 'not_found', 'there is nothing here');
});
// Express knows an error handler by its four parameters.
app.use((error, request, response, _next) =>
{
	const { status, code, message } = problemOf(error);

	if (status === 500)
		console.error(request.method, request.path, error);
	response.status(status).json({ success: false, error: { code, message } });
});

const server = app.listen(Number(PORT), HOST, (error) =>
{
	if (error)
		throw error;
	console.log(`listening on http://${HOST}:${PORT}`);
});

for (const signal of ['SIGTERM', 'SIGINT'])
{
	process.once(signal, () =>
	{
		server.close();
		server.closeAllConnections();
		database.end().finally(() => process.exit(0));
	});
}
