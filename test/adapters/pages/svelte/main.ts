// SPDX-License-Identifier: PostgreSQL
//
// main.ts
//	The page, over what a server has rendered if there is something.

import { hydrate, mount } from 'svelte';
import { makeModel } from '../model';
import App from './App.svelte';

const target = document.getElementById('root')!;

(target.firstElementChild ? hydrate : mount)(App, { target, props: { model: makeModel() } });
