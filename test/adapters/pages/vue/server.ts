// SPDX-License-Identifier: PostgreSQL
//
// server.ts
//	The same as HTML.

import { createSSRApp } from 'vue';
import { renderToString } from 'vue/server-renderer';
import { makeModel } from '../model';
import App from './App.vue';

export const render = () => renderToString(createSSRApp(App, { model: makeModel() }));
