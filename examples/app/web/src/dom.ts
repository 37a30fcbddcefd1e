// SPDX-License-Identifier: PostgreSQL
//
// dom.ts
//	Making and keeping elements. Text is only ever text: nothing here takes markup.

export type Child = Node | string | null | undefined | false;

type Attributes = Record<string, string | number | boolean | null | undefined | ((event: Event) => void)>;

/** An element. Functions are listeners, true is an attribute without value, false and null are none. */
export function h<K extends keyof HTMLElementTagNameMap>(name: K, attributes: Attributes = {}, ...children: Child[]):
	HTMLElementTagNameMap[K]
{
	const element = document.createElement(name);

	for (const [key, value] of Object.entries(attributes))
	{
		if (typeof value === 'function')
			element.addEventListener(key, value);
		else
			setAttribute(element, key, value);
	}
	element.append(...children.filter((child): child is Node | string => typeof child === 'string' || child instanceof Node));
	return element;
}

function setAttribute(element: Element, name: string, value: string | number | boolean | null | undefined): void
{
	if (value === false || value === null || value === undefined)
		element.removeAttribute(name);
	else
		element.setAttribute(name, value === true ? '' : String(value));
}

const shapes: Record<string, string> = {
	lock: 'M5 7V5a3 3 0 0 1 6 0v2h1v7H4V7zm2 0h2V5a1 1 0 0 0-2 0z',
	check: 'M2 8.5l4 4 8-9-1.5-1.3L6 9.5 3.4 7z',
	cross: 'M3 4.4L4.4 3 8 6.6 11.6 3 13 4.4 9.4 8l3.6 3.6-1.4 1.4L8 9.4 4.4 13 3 11.6 6.6 8z',
	pencil: 'M2 14l1-4 7.5-7.5 3 3L6 13z',
	bin: 'M3 4h3V2h4v2h3v2H3zm1 3h8l-.6 7H4.6z',
	coin: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 2a5 5 0 1 1 0 10A5 5 0 0 1 8 3zM7 5v6h2V5z',
	parcel: 'M1 4l7-3 7 3v8l-7 3-7-3zm7-1.2L4 4.5l4 1.7 4-1.7zM3 6v4.8l4 1.7V7.7zm10 0L9 7.7v4.8l4-1.7z',
	pause: 'M4 3h3v10H4zm5 0h3v10H9z',
	plus: 'M7 2h2v5h5v2H9v5H7V9H2V7h5z',
	live: 'M8 6a2 2 0 1 1 0 4 2 2 0 0 1 0-4zM4.5 4.5a5 5 0 0 0 0 7l1-1a3.6 3.6 0 0 1 0-5zm7 0l-1 1a3.6 3.6 0 0 1 0 5l1 1a5 5 0 0 0 0-7z',
	wait: 'M8 1a7 7 0 1 0 7 7h-2a5 5 0 1 1-5-5z',
	warning: 'M8 1l7.5 14H.5zM7.2 6v5h1.6V6zm0 6v1.5h1.6V12z',
	off: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 2a5 5 0 0 1 2.9.9L3.9 10.9A5 5 0 0 1 8 3zm0 10a5 5 0 0 1-2.7-.8l7-7A5 5 0 0 1 8 13z'
};

/** A small picture that says nothing to a screen reader: text stands beside it. */
export function icon(name: string): SVGElement
{
	const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
	const shape = document.createElementNS('http://www.w3.org/2000/svg', 'path');

	svg.setAttribute('viewBox', '0 0 16 16');
	svg.setAttribute('class', `icon ${name}`);
	svg.setAttribute('aria-hidden', 'true');
	shape.setAttribute('d', shapes[name] ?? '');
	svg.append(shape);
	return svg;
}

/** Sets text only when it changes, so that selections and screen readers are left alone. */
export function setText(element: Node, text: string): void
{
	if (element.textContent !== text)
		element.textContent = text;
}

/** A keyed list: each item has a view that is made once and told of changes. */
export interface View<T>
{
	readonly element: HTMLElement;
	update(item: T): void;
}

export class KeyedList<T>
{
	private readonly views = new Map<string, { view: View<T>; item: T }>();

	constructor(private readonly parent: HTMLElement, private readonly keyOf: (item: T) => string,
		private readonly make: (item: T) => View<T>)
	{
	}

	/** Shows these items in this order. Views of items that are the same objects as before are not touched. */
	show(items: readonly T[]): void
	{
		const keys = new Set(items.map(this.keyOf));

		for (const [key, { view }] of this.views)
		{
			if (!keys.has(key))
			{
				view.element.remove();
				this.views.delete(key);
			}
		}
		let place = this.parent.firstElementChild;

		for (const item of items)
		{
			const key = this.keyOf(item);
			let entry = this.views.get(key);

			if (!entry)
			{
				entry = { view: this.make(item), item };
				this.views.set(key, entry);
				entry.view.update(item);
			}
			else if (entry.item !== item)
			{
				entry.item = item;
				entry.view.update(item);
			}
			if (entry.view.element === place)
				place = place.nextElementSibling;
			else
				this.parent.insertBefore(entry.view.element, place);
		}
	}
}

/** A button with a picture. */
export function button(label: string, picture: string | undefined, click: () => void, attributes: Attributes = {}):
	HTMLButtonElement
{
	return h('button', { type: 'button', click, ...attributes }, picture ? icon(picture) : null, label !== '' && h('span', {}, label));
}
