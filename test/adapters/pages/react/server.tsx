// SPDX-License-Identifier: PostgreSQL
//
// server.tsx
//	The same as HTML.

import { StrictMode } from 'react';
import { renderToString } from 'react-dom/server';
import { makeModel } from '../model';
import { App } from './App';

export const render = async () => renderToString(<StrictMode><App model={makeModel()} /></StrictMode>);
