// SPDX-License-Identifier: PostgreSQL
//
// main.tsx
//	The page: in strict mode, and over what a server has rendered if there is something.

import { StrictMode } from 'react';
import { createRoot, hydrateRoot } from 'react-dom/client';
import { makeModel } from '../model';
import { App, renders } from './App';

const model = makeModel();
const root = document.getElementById('root')!;
const app = <StrictMode><App model={model} /></StrictMode>;

Object.assign(window, { renders });
if (root.firstElementChild)
	hydrateRoot(root, app, { onRecoverableError: (error) => console.error(error) });
else
	createRoot(root).render(app);
