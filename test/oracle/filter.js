// SPDX-License-Identifier: PostgreSQL
//
// filter.js
//	Decides by the filter of realtime.access_policy() on row images. Written from the documentation,
//	without a look at the extension or the notifier: an independent reading of what terms mean.

const NULL = Symbol('null');

/** A decimal number out of its text: { sign, digits, scale }, by value. */
function parseDecimal(text)
{
	const match = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text);

	if (!match)
		throw new Error(`not a number: ${text}`);
	const scale = (match[3] ?? '').length - Number(match[4] ?? 0);
	const digits = BigInt(match[2] + (match[3] ?? ''));
	return { value: match[1] ? -digits : digits, scale };
}

/** Compares numbers of any size by value; NaN is equal to itself and the greatest. */
function compareNumbers(a, b)
{
	const rank = (text) => ({ '-Infinity': -1, 'Infinity': 1, 'NaN': 2 })[text] ?? 0;

	if (rank(a) !== 0 || rank(b) !== 0)
		return Math.sign(rank(a) - rank(b));
	const x = parseDecimal(a);
	const y = parseDecimal(b);
	const left = x.scale < y.scale ? x.value * 10n ** BigInt(y.scale - x.scale) : x.value;
	const right = y.scale < x.scale ? y.value * 10n ** BigInt(x.scale - y.scale) : y.value;
	return left < right ? -1 : left > right ? 1 : 0;
}

/** Compares by bytes. */
function compareTexts(a, b)
{
	return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Dates and timestamps: infinities, years before Christ, years of any length. */
function compareDates(a, b)
{
	const parse = (text) =>
	{
		if (text === 'infinity' || text === '-infinity')
			return [text === 'infinity' ? 1 : -1, 0, ''];
		const match = /^(\d+)(-.*?)( BC)?$/.exec(text);
		// to the second and its fraction: '12:00:00' comes before '12:00:00.5'; all are UTC
		return [0, match[3] ? 1 - Number(match[1]) : Number(match[1]), match[2].replace(/\+00:00$/, '')];
	};
	const x = parse(a);
	const y = parse(b);

	return Math.sign(x[0] - y[0]) || Math.sign(x[1] - y[1]) || compareTexts(x[2], y[2]);
}

const comparers = {
	number: compareNumbers, text: compareTexts, date: compareDates,
	boolean: (a, b) => a === b ? 0 : a === 'true' ? 1 : -1
};

/** What can be compared: the text of a JSON value. */
const textOf = (value) => typeof value === 'string' ? value : String(value);

/** One term on one image: true, false or null. kind tells how the column's values compare. */
function evaluateTerm([column, operator, operand], image, kinds)
{
	if (!(column in image))
		throw new Error(`the image has no column ${column}`);
	const value = image[column] === null ? NULL : textOf(image[column]);
	const isNegated = operator.startsWith('not.');
	const name = isNegated ? operator.slice(4) : operator;
	let result;

	if (name === 'is')
	{
		if (operand !== null)
			throw new Error(`unexpected operand of is: ${operand}`);
		result = value === NULL;
	}
	else if (value === NULL)
		result = null;
	else
	{
		const compare = (other) => comparers[kinds[column]](value, textOf(other));
		const tests = {
			eq: () => compare(operand) === 0,
			neq: () => compare(operand) !== 0,
			lt: () => compare(operand) < 0,
			lte: () => compare(operand) <= 0,
			gt: () => compare(operand) > 0,
			gte: () => compare(operand) >= 0,
			in: () => operand.some((other) => compare(other) === 0)
		};

		if (!(name in tests))
			throw new Error(`unknown operator ${operator}`);
		if (name === 'in' && (operand.length < 1 || operand.length > 100))
			throw new Error(`in with ${operand.length} values`);
		result = tests[name]();
	}
	return isNegated && result !== null ? !result : result;
}

/** Whether a disjunction of conjunctions lets an image pass. */
export function passes(any, image, kinds)
{
	if (any.length > 16)
		throw new Error(`${any.length} conjunctions`);
	return any.some((terms) => terms.every((term) => evaluateTerm(term, image, kinds) === true));
}
