// SPDX-License-Identifier: PostgreSQL
//
// main.ts
//	The page, over what a server has rendered if there is something.

import { createApp, createSSRApp } from 'vue';
import { makeModel } from '../model';
import App from './App.vue';

const create = document.getElementById('root')!.firstElementChild ? createSSRApp : createApp;

create(App, { model: makeModel() }).mount('#root');
