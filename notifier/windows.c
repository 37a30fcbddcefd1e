/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * windows.c
 *	  See windows.h.
 */
#include "windows.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "memory.h"
#include "protocol.h"
#include "setting.h"

/* One element of the list. */
struct window
{
	const char *name;			/* feature, dot, entity */
	size_t		name_len;
	unsigned	ms;
};

/* Reads the element that begins at *at, which is its end then; RT_MALFORMED when it is none. */
static int
read_one(const char **at, struct window *window)
{
	static const struct setting ms = {.kind = SETTING_MS, .offset = offsetof(struct window, ms),
		.max = PROTOCOL_WINDOW_MAX};
	const char *from = *at + strspn(*at, " ");
	size_t		len = strcspn(from, ",");
	char	   *text = memory_copy_string(from, len);
	char	   *value = strrchr(text, '=');
	int			result = RT_MALFORMED;

	*at = from + len;
	while (len > 0 && text[len - 1] == ' ')
		text[--len] = '\0';
	window->name = from;
	window->name_len = value != NULL ? (size_t) (value - text) : 0;
	while (window->name_len > 0 && text[window->name_len - 1] == ' ')
		window->name_len--;
	if (window->name_len > 0 && memchr(text + 1, '.', window->name_len - 1) != NULL
		&& text[window->name_len - 1] != '.')
		result = setting_set(&ms, window, value + 1 + strspn(value + 1, " "));
	memory_free(text);
	return result == RT_OK ? RT_OK : RT_MALFORMED;
}

int
windows_check(const char *text)
{
	struct window window;

	if (text == NULL)
		return RT_OK;
	while (read_one(&text, &window) == RT_OK)
	{
		if (*text == '\0')
			return RT_OK;
		text++;					/* the comma */
	}
	return RT_MALFORMED;
}

/* Whether a name is feature, dot, entity. */
static bool
is_named(const struct window *window, const char *feature, const char *entity)
{
	size_t		feature_len = strlen(feature);
	size_t		entity_len = strlen(entity);

	return window->name_len == feature_len + 1 + entity_len
		&& memcmp(window->name, feature, feature_len) == 0
		&& window->name[feature_len] == '.'
		&& memcmp(window->name + feature_len + 1, entity, entity_len) == 0;
}

unsigned
windows_find(const char *text, const char *feature, const char *entity)
{
	struct window window;

	if (text == NULL || feature == NULL || entity == NULL)
		return 0;
	while (read_one(&text, &window) == RT_OK)
	{
		if (is_named(&window, feature, entity))
			return window.ms;
		if (*text == '\0')
			return 0;
		text++;
	}
	return 0;
}
