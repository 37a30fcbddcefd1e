// SPDX-License-Identifier: PostgreSQL
//
// schema.test.js
//	doc/asyncapi.yaml: a public validator accepts it, and its schemas accept and refuse what the
//	test vectors say.

import test from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';
import Ajv from 'ajv';
import { parse } from 'yaml';

const TOP = new URL('../../', import.meta.url);
const read = (path) => readFileSync(new URL(path, TOP), 'utf8');
const source = read('doc/asyncapi.yaml');
const api = parse(source);
const ajv = new Ajv({ strict: false, allErrors: false, validateFormats: false });
const vectors = (name) => JSON.parse(read(`test/vectors/${name}.json`));

ajv.addSchema({ $id: 'asyncapi', components: api.components }, 'asyncapi');

// Why a schema refuses a value; null when it does not.
function refusal(schema, value)
{
	const check = ajv.getSchema(`asyncapi#/components/schemas/${schema}`);

	return check(value) ? null : ajv.errorsText(check.errors);
}

// A text as JSON; undefined when it is none.
function json(text)
{
	try
	{
		return JSON.parse(text);
	}
	catch
	{
		return undefined;
	}
}

test('a public validator accepts doc/asyncapi.yaml', async () =>
{
	const { document, diagnostics } = await new Parser().parse(source);
	const errors = diagnostics.filter(({ severity }) => severity === 0);

	assert.deepEqual(errors.map(({ message, path }) => `${path.join('.')}: ${message}`), []);
	assert.equal(document.channels().all().length, 3);
});

test('the validator is one that can refuse', async () =>
{
	const { document } = await new Parser().parse(source.replace('address: /v1/ws', 'address: 5'));

	assert.equal(document, undefined);
});

test('every schema is used, every message has one', () =>
{
	for (const name of Object.keys(api.components.schemas))
	{
		assert.ok(ajv.getSchema(`asyncapi#/components/schemas/${name}`), name);
		assert.ok(source.includes(`schemas/${name}'`) || name === 'ClientMessage', `${name} is not used`);
	}
	for (const name of Object.keys(api.components.messages))
		assert.ok(source.includes(`components/messages/${name}'`), `${name} is in no channel`);
});

test('the codes and reasons are those of doc/protocol.md', () =>
{
	const page = read('doc/protocol.md');
	const table = page.slice(page.indexOf('\n## 9. Codes'), page.indexOf('\n### Gap reasons'));
	const rows = table.split('\n').filter((line) => line.startsWith('| `')).flatMap((line) => [...line.split('|')[1].matchAll(/`([a-z_]+)`/g)].map(([, code]) => code));
	const reasons = page.slice(page.indexOf('\n### Gap reasons'), page.indexOf('\n### Close codes'));

	assert.deepEqual([...rows].sort(), [...api.components.schemas.Code.examples].sort());
	assert.deepEqual([...reasons.matchAll(/`([a-z]+)`/g)].map(([, reason]) => reason), api.components.schemas.Gap.properties.reason.examples);
});

test('messages of clients', () =>
{
	const { valid, invalid } = vectors('client_messages');

	for (const { name, text } of valid)
		assert.equal(refusal('ClientMessage', json(text)), null, name);
	for (const { name, text, schema } of invalid)
		assert.equal(refusal('ClientMessage', json(text)) === null, schema === true, name);
});

test('frames of the server', () =>
{
	const { valid, ignored, invalid } = vectors('server_frames');

	for (const { name, text } of valid)
		assert.equal(refusal('ServerFrame', json(text)), null, name);
	for (const { name, text } of ignored)
		assert.ok(typeof json(text).op === 'string' && refusal('ServerFrame', json(text)) !== null, name);
	for (const { name, text } of invalid)
		assert.notEqual(refusal('ServerFrame', json(text)), null, name);
	assert.deepEqual(new Set(valid.map(({ text }) => json(text).op)),
		new Set(api.components.schemas.ServerFrame.oneOf.map(({ $ref }) => api.components.schemas[$ref.split('/').at(-1)].properties.op.const)));
});

test('filters are filters, and refused ones look like some', () =>
{
	const message = (filter) => ({ op: 'subscribe', feature: 'f', entity: 'e', filter });

	for (const { name, types, rows, filters, refused } of vectors('filters').cases)
	{
		for (const { filter, matches } of filters)
		{
			assert.equal(refusal('ClientMessage', message(filter)), null, `${name}: ${JSON.stringify(filter)}`);
			assert.equal(matches.length, rows.length, name);
		}
		for (const { filter, code } of refused)
			assert.ok(code === 'bad_request' && filter.length === 1, name);
		for (const row of rows)
			assert.deepEqual(Object.keys(JSON.parse(row)), Object.keys(types), name);
	}
});

test('edges: events before and after', () =>
{
	for (const { name, events, views } of vectors('edges').cases)
	{
		for (const event of events)
			assert.equal(refusal('Event', event), null, name);
		for (const { edges, sent = [] } of views)
		{
			assert.equal(edges.length, events.length, name);
			for (const event of sent)
				assert.equal(refusal('Event', event), null, name);
		}
	}
});

test('positions: the pattern takes all that are valid, and of the others only what it cannot tell', () =>
{
	const { valid, invalid, covers } = vectors('positions');
	const blind = /xmin is above|descending|doubled|below xmin|not below xmax/;

	for (const { text } of valid)
		assert.equal(refusal('Position', text), null, text.slice(0, 80));
	for (const { text, why } of invalid)
		assert.equal(refusal('Position', text) === null, blind.test(why), `${why}: ${text.slice(0, 80)}`);
	// As section 7 of the page says it.
	for (const { position, tx, covered } of covers)
	{
		const [xmin, xmax, xip] = position.split('/')[1].split(':');
		const n = BigInt(tx);

		assert.equal(n < BigInt(xmin) || (n < BigInt(xmax) && !xip.split(',').includes(tx)), covered, `${position} ${tx}`);
	}
});

// Which schema an example is of, by what it has.
function schema_of(value)
{
	if ('op' in value)
		return ['auth', 'subscribe', 'unsubscribe', 'sync', 'ping'].includes(value.op) ? 'ClientMessage' : 'ServerFrame';
	if ('event' in value)
		return 'Event';
	if ('frames' in value)
		return 'PollResponse';
	if ('error' in value)
		return 'HttpError';
	return 'timeout' in value ? 'PollRequest' : 'StreamRequest';
}

test('the examples of doc/protocol.md', () =>
{
	const seen = new Set();

	for (const name of readdirSync(new URL('test/vectors/examples', TOP)))
	{
		const text = read(`test/vectors/examples/${name}`);
		const values = name.endsWith('.json') ? [['', JSON.parse(text)]]
			: [...text.matchAll(/^(>|<|data:) (.*)$/gm)].map(([, side, one]) => [side, JSON.parse(one)]);

		assert.ok(values.length > 0, name);
		for (const [side, value] of values)
		{
			const schema = side === '>' ? 'ClientMessage' : side === '' ? schema_of(value) : 'ServerFrame';
			assert.equal(refusal(schema, value), null, `${name}: ${JSON.stringify(value)}`);
			seen.add(value.op ?? schema);
		}
	}
	for (const { $ref } of [...api.components.schemas.ClientMessage.oneOf, ...api.components.schemas.ServerFrame.oneOf])
	{
		const name = $ref.split('/').at(-1);
		const { properties, allOf } = api.components.schemas[name];
		assert.ok(seen.has((properties ?? allOf[0].properties).op.const), `no example of ${name}`);
	}
	for (const schema of ['Event', 'PollRequest', 'PollResponse', 'StreamRequest', 'HttpError'])
		assert.ok(seen.has(schema), `no example of ${schema}`);
});
