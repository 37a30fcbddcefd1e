// SPDX-License-Identifier: PostgreSQL
//
// format.ts
//	Values as people read them.

const euros = new Intl.NumberFormat('en', { style: 'currency', currency: 'EUR' });
const numbers = new Intl.NumberFormat('en');
const times = new Intl.DateTimeFormat('en', { hourCycle: 'h23', hour: '2-digit', minute: '2-digit', second: '2-digit' });

export const money = (value: unknown): string => value === null || value === undefined ? 'no price' : euros.format(Number(value));
export const count = (value: number): string => numbers.format(value);
export const clock = (value: string): string => times.format(new Date(value));

/** Any value of a row, short. */
export function text(value: unknown): string
{
	if (value === null || value === undefined || value === '')
		return '–';
	return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

const sums = ['total', 'price', 'amount'];

/** A value of a column: sums of money as such. */
export const cell = (column: string, value: unknown): string =>
	sums.includes(column) && typeof value === 'number' ? money(value) : text(value);

/** ann: Ann */
export const person = (sub: string | null | undefined): string => sub ? sub[0]!.toUpperCase() + sub.slice(1) : 'somebody';

/** Column names as labels. */
export const label = (column: string): string =>
	(column[0] ?? '').toUpperCase() + column.slice(1).replaceAll('_', ' ');
