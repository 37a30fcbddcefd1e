// SPDX-License-Identifier: PostgreSQL
//
// sql.js
//	Filters as SQL, and psql to ask PostgreSQL with. What a filter means is written here once more,
//	as PostgreSQL's own operators: doc/protocol.md says the same in words.

import { execFileSync } from 'node:child_process';

const TEXT = ['text', 'character varying', 'character', 'name'];
const ORDERED = [
	'boolean', 'smallint', 'integer', 'bigint', 'oid', 'numeric', 'real', 'double precision', 'uuid', 'bytea',
	'date', 'timestamp without time zone', 'timestamp with time zone', 'time without time zone',
];
const OPERATORS = { eq: '=', neq: '<>', lt: '<', lte: '<=', gt: '>', gte: '>=', like: 'LIKE', ilike: 'ILIKE' };

export const quote_literal = (text) => text === null ? 'NULL' : `E'${text.replace(/\\/g, '\\\\').replace(/'/g, "''")}'`;
export const quote_name = (name) => `"${name.replace(/"/g, '""')}"`;

// A type without its length or precision, a domain as its base: character(5) is character.
export function base_type(type, types)
{
	const domain = types.domains[type];

	return domain ? base_type(domain, types) : type.replace(/\(.*?\)/, '');
}

// The kind of operators that a type has: text, ordered, equal (enums) or none.
function operators_of(type, types)
{
	if (TEXT.includes(type))
		return 'text';
	if (ORDERED.includes(type))
		return 'ordered';
	return types.enums[type] ? 'equal' : 'none';
}

// Why a term must be refused for its column and operator alone; null when it must not.
export function term_error([column, operator, value], columns, types)
{
	const kind = columns[column] && operators_of(base_type(columns[column], types), types);
	const name = operator.replace(/^not\./, '');

	if (!kind)
		return 'no such column';
	if (name === 'is')
		return value === null || value === 'null' || base_type(columns[column], types) === 'boolean' ? null : 'is true is for boolean';
	if (name === 'like' || name === 'ilike')
	{
		if (kind !== 'text')
			return `${name} is for text`;
		if (typeof value !== 'string')
			return 'a pattern is a string';
		return /^(\\.|[^\\])*$/su.test(value) ? null : 'the pattern ends with its escape';
	}
	if (kind === 'none' || (kind === 'equal' && !['eq', 'neq', 'in'].includes(name)))
		return kind === 'equal' ? 'enums have no order here' : `no ${['eq', 'neq', 'in'].includes(name) ? 'equality' : 'order'} here`;
	return null;
}

// The values of a term that are converted to the column's type, as text.
export const values_of = ([, operator, value]) => /^(not\.)?is$/.test(operator) ? [] : [value].flat().map(String);

// The type that they are converted to. Patterns stay text.
export function value_type([column, operator], columns, types)
{
	const base = base_type(columns[column], types);

	if (/like$/.test(operator))
		return 'text';
	return base === 'character' ? 'bpchar' : types.enums[base] ? quote_name(base) : base;
}

// One term as an SQL expression.
function term_sql(term, columns, types)
{
	const [column, operator, value] = term;
	const name = operator.replace(/^not\./, '');
	const collate = operators_of(base_type(columns[column], types), types) === 'text' ? ' COLLATE "C"' : '';
	const literals = values_of(term).map((text) => `${quote_literal(text)}::${value_type(term, columns, types)}`);
	let sql;

	if (name === 'is' && /^jsonb?$/.test(base_type(columns[column], types)))
		sql = `(${quote_name(column)} IS NULL OR ${columns[column]}_typeof(${quote_name(column)}) = 'null')`;	// data shows no difference
	else if (name === 'is')
		sql = `${quote_name(column)} IS ${String(value).toUpperCase()}`;
	else if (name === 'in')
		sql = `${quote_name(column)}${collate} IN (${literals.join(', ')})`;
	else
		sql = `${quote_name(column)} ${OPERATORS[name]} ${literals[0]}${collate}`;
	return operator === name ? `(${sql})` : `(NOT (${sql}))`;
}

// A filter as an SQL expression: true, false or null.
export function filter_sql(filter, columns, types)
{
	return filter.length === 0 ? 'true' : filter.map((term) => term_sql(term, columns, types)).join(' AND ');
}

// The types that the vectors need, and settings on which nothing may depend by accident.
export function preamble(types)
{
	return [
		'BEGIN', "SET LOCAL TimeZone = 'UTC'", "SET LOCAL DateStyle = 'ISO, MDY'",
		...Object.entries(types.enums).map(([name, labels]) => `CREATE TYPE ${quote_name(name)} AS ENUM (${labels.map(quote_literal).join(', ')})`),
		...Object.entries(types.domains).map(([name, base]) => `CREATE DOMAIN ${quote_name(name)} AS ${base} CHECK (VALUE IS NOT NULL)`),
		`CREATE FUNCTION pg_temp.can_cast(value text, type text) RETURNS boolean LANGUAGE plpgsql AS $$
			BEGIN EXECUTE format('SELECT %L::%s', value, type); RETURN true; EXCEPTION WHEN data_exception THEN RETURN false; END $$`,
	];
}

// Runs statements in one session; returns the rows that they print, one JSON value each.
export function run_sql(statements)
{
	const out = execFileSync('psql', ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-f', '-'],
		{ input: statements.join(';\n') + ';\n', encoding: 'utf8', maxBuffer: 1 << 28, env: { ...process.env, PGCLIENTENCODING: 'UTF8' } });

	return out.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line));
}
