// SPDX-License-Identifier: PostgreSQL
//
// main.ts
//	The page.

import { makeModel } from '../model';
import App from './App.svelte';

new App({ target: document.getElementById('root')!, props: { model: makeModel() } });
