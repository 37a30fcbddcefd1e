// SPDX-License-Identifier: PostgreSQL
//
// server.ts
//	The same as HTML.

import { render as renderComponent } from 'svelte/server';
import { makeModel } from '../model';
import App from './App.svelte';

export const render = async () => renderComponent(App, { props: { model: makeModel() } }).body;
