// SPDX-License-Identifier: PostgreSQL
//
// truth.js
//	What PostgreSQL itself says of row images: SELECT on the twin tables in schema scratch, as the role,
//	with the claims. Knows nothing of notifiers.

import { connect } from '../../e2e/lib/database.js';
import { quote } from './world.js';

/** Changes of a table since the audit's row after: their images put into the twin, one row each. */
export async function loadImages(world, after)
{
	const { client } = world.database;
	const changes = [];

	world.asked.clear();
	for (const table of Object.values(world.tables))
	{
		const { name, numeric } = table;
		const json = (which) => `realtime.row_json(${which}_${name}, '${numeric}')::text AS ${which}_json,
			(SELECT json_object_agg(key, value::text) FROM json_each(realtime.row_json(${which}_${name}, '${numeric}')))::text AS ${which}_raw,
			${name === 'item' ? `ARRAY[(${which}_item).${quote(table.names.jb)} IS NULL, (${which}_item).${quote(table.names.js)} IS NULL]` : 'NULL'}::text AS ${which}_nulls`;
		const { rows } = await client.query(`SELECT n, xid, op, ${json('old')}, ${json('new')}
			FROM audit WHERE entity = $1 AND n > $2 ORDER BY n`, [name, after]);
		await client.query(`TRUNCATE scratch.${name}`);
		const inserted = await client.query(`INSERT INTO scratch.${name} SELECT (x.r).* FROM (
			SELECT n, 0 AS which, old_${name} AS r FROM audit WHERE entity = $1 AND n > $2 AND op <> 'INSERT'
			UNION ALL SELECT n, 1, new_${name} FROM audit WHERE entity = $1 AND n > $2 AND op <> 'DELETE'
			ORDER BY n, which) x RETURNING ctid`, [name, after]);
		let at = 0;
		for (const row of rows)
			changes.push({ table, n: Number(row.n), tx: row.xid, op: row.op,
				old: row.op === 'INSERT' ? undefined : image(table, row.old_json, row.old_raw, row.old_nulls, inserted.rows[at++].ctid),
				new: row.op === 'DELETE' ? undefined : image(table, row.new_json, row.new_raw, row.new_nulls, inserted.rows[at++].ctid) });
	}
	return changes.sort((a, b) => a.n - b.n);
}

/** raw: what tells values apart; nulls says which of two json columns is SQL's null, not JSON's. */
function image(table, text, rawText, nulls, ctid)
{
	const raw = JSON.parse(rawText);

	if (nulls)
		['jb', 'js'].forEach((c, i) => { raw[table.names[c]] += nulls[1 + 2 * i]; });
	return { data: JSON.parse(text), raw, ctid };
}

/**
 * Runs f with a session that is the reader, in a transaction that is rolled back, with what member and
 * guarded were in a state.
 */
export async function asReader(world, { role, claims }, state, f)
{
	const session = await connect(world.database.name, 'truth');

	try
	{
		await session.query('BEGIN');
		if (state !== undefined && state !== world.state)
			await session.query(`SET LOCAL session_replication_role = replica;
				DELETE FROM public.member; DELETE FROM public.guarded;
				INSERT INTO public.member SELECT * FROM scratch.member_${state};
				INSERT INTO public.guarded SELECT * FROM scratch.guarded_${state};
				SET LOCAL session_replication_role = origin`);
		await session.query(`SET LOCAL ROLE ${role}`);
		await session.query("SELECT set_config('request.jwt.claims', $1, true)", [JSON.stringify(claims)]);
		for (const [name, value] of Object.entries(claims))
			if (/^[a-z_]+$/.test(name) && value !== null)
				await session.query('SELECT set_config($1, $2, true)', [`request.jwt.claim.${name}`,
					typeof value === 'string' ? value : JSON.stringify(value)]);
		return await f(session);
	}
	finally
	{
		await session.end();
	}
}

/**
 * What a reader may see in a state, of the images in a twin (their ctids) or of the table's rows (their ids): a
 * Set, or an Error. Asked once a round: world.asked is emptied when there are other images.
 */
export function visible(world, reader, table, state, { isTwin = true } = {})
{
	const key = JSON.stringify([reader, table.name, state ?? world.state, isTwin]);

	if (!world.asked.has(key))
		world.asked.set(key, asReader(world, reader, state, async (session) =>
		{
			const { rows } = await session.query(isTwin ? `SELECT ctid AS x FROM scratch.${table.name}`
				: `SELECT id AS x FROM public.${table.name}`);

			return new Set(rows.map(({ x }) => x));
		}).catch((error) =>
		{
			if (!error.code || error.code.startsWith('08'))
				throw error;
			return error;
		}));
	return world.asked.get(key);
}

/** The images in a twin that a filter lets pass. */
export async function filteredImages(world, table, condition)
{
	const { rows } = await world.database.client.query(`SELECT ctid FROM scratch.${table.name} WHERE ${condition}`);

	return new Set(rows.map(({ ctid }) => ctid));
}

/** What a role may read of an image: the columns wanted that it may read. */
export function project(table, data, shown)
{
	return Object.fromEntries(table.order.filter((c) => shown.has(c)).map((c) => [table.names[c], data[table.names[c]]]));
}

const sorted = (object) => object === undefined ? undefined
	: Object.fromEntries(Object.keys(object).sort().map((k) => [k, object[k]]));

/** An event as text that is equal if and only if what is checked of it is. */
export function eventText({ action, id, data, old })
{
	return JSON.stringify([action, id, sorted(data) ?? null, old ? sorted(old) : null]);
}

/**
 * The events of one change for somebody: texts. was, is: whether the view has the old and the new image;
 * mayOld: whether events that follow from it tell of the old one. shown: columns; readable: those of the role.
 */
export function eventsOf(change, { was, is, mayOld }, shown, readable)
{
	const { table } = change;
	const { old, new: now } = change;
	const id = (row) => String(row.data.id);
	const of = (action, row) => eventText({ action, id: id(row), data: project(table, row.data, shown) });

	if (change.op === 'INSERT')
		return is ? [of('created', now)] : [];
	if (change.op === 'DELETE')
		return was ? [of('deleted', old)] : [];
	const changed = table.order.filter((c) => old.raw[table.names[c]] !== now.raw[table.names[c]]);
	if (changed.length === 0)
		return [];
	const visible = new Set(changed.filter((c) => shown.has(c)));
	const before = project(table, old.data, visible);
	const events = [];

	if (old.data.id !== now.data.id)
	{
		if (was)
			events.push(of('deleted', old));
		if (is)
			events.push(of('created', now));
	}
	else if (was && is && visible.size > 0)
		events.push(eventText({ action: 'updated', id: id(now), data: project(table, now.data, shown), old: before }));
	else if (is && !was)
		events.push(of('entered', now));
	else if (was && !is)
		events.push(eventText({ action: 'left', id: id(now) }));
	if (table.name === 'doc' && is)
	{
		if (changed.includes('status') && readable.has('status'))
			events.push(eventText({ action: 'status_changed', id: id(now),
				data: { old_status: mayOld ? old.data.status : null, new_status: now.data.status } }));
		const defined = (action) => events.push(eventText({ action, id: id(now),
			data: project(table, now.data, shown), old: mayOld ? before : undefined }));
		if (changed.includes('status') && now.data.status === 'approved')
			defined('approved');
		if (old.data.level !== null && now.data.level !== null && now.data.level > old.data.level)
			defined('raised');
	}
	return events;
}
