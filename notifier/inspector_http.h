/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * inspector_http.h
 *	  Requests below /inspector: the page for everybody, its data for tokens of admin-role.
 */
#ifndef RT_INSPECTOR_HTTP_H
#define RT_INSPECTOR_HTTP_H

#include "server.h"

/* Needs the worker's shared inspector. */
extern const struct server_inspector inspector_http;

#endif
