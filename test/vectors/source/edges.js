// SPDX-License-Identifier: PostgreSQL
//
// edges.js
//	Works out what edges.json says: whether a row is in a view is asked of PostgreSQL, for the old and
//	the new image; the rest is section 8 of doc/protocol.md as code. Throws at the first difference.

import { deepStrictEqual } from 'node:assert';
import { readFileSync } from 'node:fs';
import { filter_sql, preamble, quote_literal, quote_name, run_sql, term_error } from './sql.js';

const FILE = new URL('../edges.json', import.meta.url);
const NO_TYPES = { enums: {}, domains: {} };
const ROW_ACTIONS = ['created', 'updated', 'deleted'];
const RESERVED = [...ROW_ACTIONS, 'truncated', 'status_changed', 'entered', 'left', 'bulk_started', 'bulk_progress', 'bulk_completed',
	'bulk_failed', 'bulk_created', 'bulk_updated', 'bulk_deleted', 'resync', 'gap'];
// What a bulk summary stands for, besides defined actions.
const REPLACED = { bulk_created: ['created'], bulk_updated: ['updated', 'entered', 'left', 'status_changed'], bulk_deleted: ['deleted'] };

// The images that an event has.
function images_of({ action, data, old })
{
	if (ROW_ACTIONS.includes(action))
		return { new: action === 'deleted' ? null : data, old: action === 'created' ? null : { ...data, ...old } };
	return { new: data !== null && typeof data === 'object' && !Array.isArray(data) ? data : null, old: null };
}

// Asks of one term whether an image satisfies it: SQL that gives true, false, null, or "missing".
function question(term, image, types)
{
	const [column] = term;

	if (term_error(term, types, NO_TYPES) !== null)
		throw new Error(`${JSON.stringify(term)} is no good term`);
	if (!(column in image))
		return `SELECT '"missing"'::json`;
	return `SELECT coalesce(to_json(${filter_sql([term], types, NO_TYPES)}), 'null') FROM (SELECT
		(${quote_literal(JSON.stringify(image))}::json ->> ${quote_literal(column)})::${types[column]} AS ${quote_name(column)}) i`;
}

// Whether a row is in the view, of the answers for its terms: true, false, "missing". A member that a
// custom event lacks is not there; a column that a row lacks was left out.
function is_in(answers, is_row)
{
	if (answers === null || answers.some((answer) => answer === false || answer === null))
		return false;
	return answers.includes('missing') ? (is_row ? 'missing' : false) : true;
}

const lists = ({ actions }, action) => actions === null || actions.includes(action)
	|| ((action === 'entered' || action === 'left') && actions.includes('updated'));

// An event as the view gets it.
function strip(event, edge, view, { key })
{
	const is_visible = (name) => key.includes(name)
		|| ((view.columns === null || view.columns.includes(name)) && (view.readable === null || view.readable.includes(name)));
	const only = (row) => row && Object.fromEntries(Object.entries(row).filter(([name]) => is_visible(name)));
	const sent = { ...event, event: event.event.replace(/[^.]*$/, edge), action: edge, meta: { ...event.meta } };

	if (edge === 'left')
		delete sent.data;
	else if ('data' in sent)
		sent.data = only(sent.data);
	if (edge === 'left' || edge === 'entered')
		delete sent.old;
	else if ('old' in sent)
		sent.old = only(sent.old);
	sent.meta.omitted = sent.meta.omitted?.filter(is_visible);
	if (!sent.meta.omitted?.length)
		delete sent.meta.omitted;
	return sent;
}

// What one view gets of a transaction: { edges, sent, gap }.
function deliver(view, found, { events, key, status_column, defined })
{
	const result = { edges: [], sent: [], gap: null };
	const rows = new Map();			// id -> whether the row's last change leaves it in the view

	events.forEach((event, i) =>
	{
		const { action } = event;
		const is_row = ROW_ACTIONS.includes(action);
				const was = is_in(found[i].old, is_row);
		const is = is_in(found[i].new, is_row);
		const id = JSON.stringify(event.id);
		let edge = null;
		let sent = event;

		if (action === 'resync' || action === 'gap')
			result.gap = action === 'gap' ? 'error' : 'resync';
		else if (is_row)
		{
			rows.set(id, is);
			edge = action !== 'updated' || was === is ? (was === true || is === true ? action : null) : (is ? 'entered' : 'left');
			if ((was === 'missing' || is === 'missing') && ((action === 'updated' ? ['updated', 'entered', 'left'] : [action]).some((name) => lists(view, name))))
				result.gap = 'omitted';
			if (was === 'missing' || is === 'missing')
				edge = null;
			sent = edge && strip(event, edge, view, { key });
			if (edge === 'updated' && Object.keys(sent.old).length === 0 && !sent.meta.omitted)
				edge = null;
		}
		else if (action === 'status_changed')
			edge = rows.get(id) === true && (view.readable === null || view.readable.includes(status_column)) ? action : null;
		else if (defined.includes(action))
		{
			edge = rows.get(id) === true ? action : null;
			sent = strip(event, action, view, { key });
		}
		else if (action === 'truncated')
			edge = action;
		else if (REPLACED[action])
		{
			const is_whole = view.filter.length === 0;

			edge = action;
			sent = is_whole ? event : { ...event, data: { ...event.data, keys: null } };
			if (lists(view, action) ? !is_whole : REPLACED[action].some((name) => lists(view, name))
				|| (action !== 'bulk_deleted' && view.actions.some((name) => !RESERVED.includes(name))))
				result.gap = 'bulk';
		}
		else
			edge = view.filter.length === 0 || is === true ? action : null;
		if ((action === 'status_changed' || defined.includes(action)) && rows.get(id) === 'missing' && lists(view, action)
			&& (action !== 'status_changed' || view.readable === null || view.readable.includes(status_column)))
			result.gap = 'omitted';
		if (event.meta.toUser !== undefined && event.meta.toUser !== view.user)
			edge = null;
		if (edge !== null && !lists(view, edge))
			edge = null;
		result.edges.push(edge);
		if (edge !== null)
			result.sent.push(sent);
	});
	return result;
}

// Compares the whole file.
export function check_edges()
{
	const { cases } = JSON.parse(readFileSync(FILE, 'utf8'));
	const asked = [];
	const work = cases.flatMap((one) => one.views.map((view) => ({
		one, view, found: one.events.map((event) =>
		{
			const images = images_of(event);
			const ask = (image) => image === null ? null
				: view.filter.map((term) => asked.push(question(term, image, one.types)) - 1);

			return { new: ask(images.new), old: ask(images.old) };
		}),
	})));
	const answers = run_sql([...preamble(NO_TYPES), ...asked, 'ROLLBACK']);

	for (const { one, view, found } of work)
	{
		const filled = found.map((images) => Object.fromEntries(Object.entries(images)
			.map(([name, places]) => [name, places && places.map((place) => answers[place])])));
		const result = deliver(view, filled, one);
		const where = `edges.json: ${one.name}: ${JSON.stringify({ ...view, sent: undefined })}`;

		try
		{
			deepStrictEqual({ edges: result.edges, gap: result.gap }, { edges: view.edges, gap: view.gap });
			if (view.sent)
				deepStrictEqual(result.sent, view.sent);
		}
		catch (error)
		{
			throw new Error(`${where}\n${error.message}`);
		}
	}
}
