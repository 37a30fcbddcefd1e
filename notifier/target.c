/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * target.c
 *	  See target.h.
 */
#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Copies len bytes into a part; RT_MALFORMED when they are none or too many. */
static int
set_part(char part[TARGET_PART_MAX], const char *text, size_t len)
{
	if (len == 0 || len >= TARGET_PART_MAX)
		return RT_MALFORMED;
	memcpy(part, text, len);
	part[len] = '\0';
	return RT_OK;
}

int
target_parse_events(struct target *target, const char *text)
{
	char	   *const parts[] = {target->feature, target->entity, target->action};

	for (unsigned i = 0; i < 3; i++)
	{
		size_t		len = text ? strcspn(text, ".") : 0;
		int			result = text ? set_part(parts[i], text, len) : set_part(parts[i], "*", 1);

		if (result != RT_OK)
			return result;
		if (text != NULL)
			text = text[len] == '.' ? text + len + 1 : NULL;
	}
	return text == NULL ? RT_OK : RT_MALFORMED;
}

/* "HOST:PORT", "HOST", "[IPV6]:PORT" of len bytes; without a port it is the given one. */
static int
parse_host(struct target *target, const char *text, size_t len, unsigned port)
{
	size_t		name_len;
	size_t		skipped = 0;
	unsigned long number = 0;
	char		digits[8];

	if (len > 0 && *text == '[')
	{
		const char *close = memchr(text, ']', len);

		if (close == NULL)
			return RT_MALFORMED;
		name_len = (size_t) (close - text - 1);
		skipped = 2;
	}
	else
	{
		const char *colon = memchr(text, ':', len);

		name_len = colon ? (size_t) (colon - text) : len;
	}
	if (set_part(target->address, text + skipped / 2, name_len) != RT_OK
		|| set_part(target->host, text, name_len + skipped) != RT_OK)
		return RT_MALFORMED;
	text += name_len + skipped;
	len -= name_len + skipped;
	target->port = port;
	if (len == 0)
		return port > 0 ? RT_OK : RT_MALFORMED;
	if (*text != ':' || len < 2 || len > 6 || strspn(text + 1, "0123456789") < len - 1)
		return RT_MALFORMED;
	memcpy(digits, text + 1, len - 1);
	digits[len - 1] = '\0';
	number = strtoul(digits, NULL, 10);
	if (number == 0 || number > 65535)
		return RT_MALFORMED;
	target->port = (unsigned) number;
	return RT_OK;
}

int
target_parse_url(struct target *target, const char *url)
{
	static const struct
	{
		const char *scheme;
		bool		has_tls;
	}			schemes[] = {{"ws://", false}, {"wss://", true}, {"http://", false}, {"https://", true}};
	size_t		len;

	for (unsigned i = 0; i < 4; i++)
	{
		size_t		scheme_len = strlen(schemes[i].scheme);

		if (strncasecmp(url, schemes[i].scheme, scheme_len) != 0)
			continue;
		url += scheme_len;
		target->has_tls = schemes[i].has_tls;
		len = strcspn(url, "/?#");
		if (memchr(url, '@', len) != NULL || parse_host(target, url, len, target->has_tls ? 443 : 80) != RT_OK)
			return RT_MALFORMED;
		url += len;
		if (*url == '\0' || strcmp(url, "/") == 0)
			url = "/v1/ws";
		return *url == '/' ? set_part(target->path, url, strlen(url)) : RT_MALFORMED;
	}
	return RT_MALFORMED;
}

/* One address of --listen, of len bytes. */
static int
parse_listen_address(struct target *target, const char *text, size_t len)
{
	if (len > 5 && strncmp(text, "unix:", 5) == 0)
	{
		if (len - 5 + 1 >= TARGET_PART_MAX)
			return RT_MALFORMED;
		snprintf(target->address, TARGET_PART_MAX, "+%.*s", (int) len - 5, text + 5);
		snprintf(target->host, TARGET_PART_MAX, "localhost");
		return RT_OK;
	}
	if (parse_host(target, text, len, 0) != RT_OK)
		return RT_MALFORMED;
	/* every address of this machine: take the one that only it reaches */
	if (strcmp(target->address, "*") == 0 || strcmp(target->address, "0.0.0.0") == 0)
	{
		snprintf(target->address, TARGET_PART_MAX, "127.0.0.1");
		snprintf(target->host, TARGET_PART_MAX, "127.0.0.1");
	}
	else if (strcmp(target->address, "::") == 0)
	{
		snprintf(target->address, TARGET_PART_MAX, "::1");
		snprintf(target->host, TARGET_PART_MAX, "[::1]");
	}
	return RT_OK;
}

int
target_parse_listen(struct target *target, const char *listen, bool has_tls)
{
	bool		is_found = false;

	snprintf(target->path, TARGET_PART_MAX, "/v1/ws");
	target->has_tls = has_tls;
	while (*listen != '\0')
	{
		size_t		len = strcspn(listen, ", ");
		bool		is_socket = len > 5 && strncmp(listen, "unix:", 5) == 0;

		if (len > 0 && (!is_found || !is_socket))
		{
			if (parse_listen_address(target, listen, len) != RT_OK)
				return RT_MALFORMED;
			if (!is_socket)
				return RT_OK;
			is_found = true;
		}
		listen += len + strspn(listen + len, ", ");
	}
	return is_found ? RT_OK : RT_MALFORMED;
}

void
target_put_subscribe(struct buffer *out, const struct target *target, const char *since)
{
	buffer_puts(out, "{\"op\":\"subscribe\",\"ref\":\"tail\",\"feature\":");
	buffer_puts_json(out, target->feature);
	buffer_puts(out, ",\"entity\":");
	buffer_puts_json(out, target->entity);
	buffer_puts(out, ",\"action\":");
	buffer_puts_json(out, target->action);
	if (since != NULL)
	{
		buffer_puts(out, ",\"since\":");
		buffer_puts_json(out, since);
	}
	buffer_puts(out, "}");
}
