/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * httpd.h
 *	  A web server for tests, in a thread of its own, that gives the answer it was told to.
 */
#ifndef RT_TEST_HTTPD_H
#define RT_TEST_HTTPD_H

struct httpd;

/* Listens on a free port of 127.0.0.1 and answers every request with status 404 for now. */
struct httpd *httpd_new(void);
void		httpd_free(struct httpd *httpd);

/* http://127.0.0.1:PORT/jwks.json */
const char *httpd_url(const struct httpd *httpd);

/* From now on: status line and headers ("200 OK\r\nX: y"), and a body. A NULL head never answers. */
void		httpd_answer(struct httpd *httpd, const char *head, const char *body);

/* Requests so far, and a wait for at least so many (10 s; then the test ends as failed). */
unsigned	httpd_count(struct httpd *httpd);
void		httpd_wait(struct httpd *httpd, unsigned count);

#endif
