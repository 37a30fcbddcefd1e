#!/usr/bin/env node
// SPDX-License-Identifier: PostgreSQL
//
// generate.js [--check]
//	Writes ../filters.json: the rows as realtime.row_json writes them and what each filter says of
//	them, both PostgreSQL's answers, from filters.js. Checks the edges of ../edges.json against
//	PostgreSQL, too. --check writes nothing and fails when the file would change.
//
//	Needs psql and a database with the extension: PGHOST, PGPORT, PGDATABASE, PGUSER as psql knows them.

import { readFileSync, writeFileSync } from 'node:fs';
import { cases, domains, enums } from './filters.js';
import { check_edges } from './edges.js';
import { filter_sql, preamble, quote_literal, quote_name, run_sql, term_error, value_type, values_of } from './sql.js';

const FILE = new URL('../filters.json', import.meta.url);
const types = { enums, domains };

// A statement that gives a filter's constants as PostgreSQL reads and writes them, in the columns' types.
function constants_sql(filter, columns)
{
	const constants = filter.flatMap((term) => values_of(term).map((text) => `${quote_literal(text)}::${value_type(term, columns, types)}`));

	return constants.length === 0 ? `SELECT to_json('{}'::text)`
		: `SELECT to_json(realtime.row_json(r)::text) FROM (SELECT ${constants.map((sql, i) => `${sql} AS "${i}"`).join(', ')}) r`;
}

// The statements that answer for one case: a line of rows, two lines per filter, a line per refused value.
function questions_of({ types: columns, rows, filters, refused = [] })
{
	const names = Object.entries(columns).map(([name, type]) => `${quote_name(name)} ${type in enums || type in domains ? quote_name(type) : type}`);
	const statements = [`CREATE TEMP TABLE vector (${names.join(', ')})`];

	for (const row of rows)
		statements.push(`INSERT INTO vector VALUES (${row.map(quote_literal).join(', ')})`);
	statements.push('SELECT json_agg(realtime.row_json(vector)::text ORDER BY ctid) FROM vector');
	for (const filter of filters)
	{
		for (const term of filter)
			if (term_error(term, columns, types) !== null)
				throw new Error(`${JSON.stringify(term)} is no good term`);
		statements.push(`SELECT json_agg((${filter_sql(filter, columns, types)}) ORDER BY ctid) FROM vector`, constants_sql(filter, columns));
	}
	for (const [[term], why] of refused)
	{
		const error = term_error(term, columns, types);

		if (error !== null && error !== why)
			throw new Error(`${JSON.stringify(term)} is refused because: ${error}`);
		statements.push(error !== null ? "SELECT 'false'::json" : `SELECT json_build_array(${values_of(term)
			.map((text) => `pg_temp.can_cast(${quote_literal(text)}, ${quote_literal(value_type(term, columns, types))})`).join(', ')})`);
	}
	return [...statements, 'DROP TABLE vector'];
}

// The file's text: one line per row, filter and refused filter.
function build_filters()
{
	const answers = run_sql([...preamble(types), ...cases.flatMap(questions_of), 'ROLLBACK']);
	const line = (value) => `\t\t\t\t${JSON.stringify(value)}`;
	const texts = cases.map(({ name, types: columns, filters, refused = [] }) =>
	{
		const rows = answers.shift();
		const kept = filters.map((filter) => ({ filter, matches: answers.shift(), constants: answers.shift() }));
		const bad = refused.map(([filter, why]) =>
		{
			if ([answers.shift()].flat().every(Boolean))
				throw new Error(`PostgreSQL takes ${JSON.stringify(filter)}`);
			return { filter, code: 'bad_request', why };
		});

		return `\t\t{\n\t\t\t"name": ${JSON.stringify(name)},\n\t\t\t"types": ${JSON.stringify(columns)},\n`
			+ `\t\t\t"rows": [\n${rows.map(line).join(',\n')}\n\t\t\t],\n`
			+ `\t\t\t"filters": [\n${kept.map(line).join(',\n')}\n\t\t\t],\n`
			+ `\t\t\t"refused": [${bad.length ? `\n${bad.map(line).join(',\n')}\n\t\t\t` : ''}]\n\t\t}`;
	});

	return `{\n\t"enums": ${JSON.stringify(enums)},\n\t"domains": ${JSON.stringify(domains)},\n\t"cases": [\n${texts.join(',\n')}\n\t]\n}\n`;
}

const text = build_filters();

if (!process.argv.includes('--check'))
	writeFileSync(FILE, text);
else if (readFileSync(FILE, 'utf8') !== text)
{
	console.error('test/vectors/filters.json is not what PostgreSQL says: run test/vectors/source/generate.js');
	process.exit(1);
}
check_edges();
