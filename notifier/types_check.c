/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * types_check.c
 *	  See types_check.h.
 *
 * Parentheses and casts are taken out while tokens are read: with nothing but = and OR left, they cannot
 * change what an expression means.
 */
#include "types_check.h"

#include <string.h>

#include "memory.h"

enum token_kind
{
	TOKEN_END,
	TOKEN_WORD,					/* a name or keyword, quoted or not, as written */
	TOKEN_TEXT,					/* a string literal, as written */
	TOKEN_SIGN,					/* = [ ] , */
	TOKEN_STRANGE
};

struct reader
{
	struct slice rest;
	enum token_kind kind;
	struct slice token;
};

void
texts_add(struct texts *texts, const char *text, size_t len)
{
	struct slice slice = {text, len};

	if (texts_has(texts, slice))
		return;
	if (texts->n == texts->room)
	{
		texts->room = texts->room ? texts->room * 2 : 8;
		texts->at = memory_resize(texts->at, sizeof(*texts->at) * texts->room);
	}
	slice.at = memory_copy_string(text, len);
	texts->at[texts->n++] = slice;
}

bool
texts_has(const struct texts *texts, struct slice text)
{
	for (unsigned i = 0; i < texts->n; i++)
		if (slice_is_same(texts->at[i], text))
			return true;
	return false;
}

void
texts_release(struct texts *texts)
{
	for (unsigned i = 0; i < texts->n; i++)
		memory_free((char *) (uintptr_t) texts->at[i].at);
	memory_free(texts->at);
	memset(texts, 0, sizeof(*texts));
}

/* A byte of a name: letters, digits, and all of what is not ASCII. */
static bool
is_of_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$'
		|| (unsigned char) c >= 0x80;
}

/* How many bytes a quoted thing takes from a place on, doubled quotes inside; 0: it does not end. */
static size_t
quoted_length(struct slice text, size_t from, char quote)
{
	bool		has_escapes = from > 0;	/* E'...' */

	for (size_t i = from + 1; i < text.len; i++)
	{
		if (has_escapes && text.at[i] == '\\')
			i++;
		else if (text.at[i] == quote)
		{
			if (i + 1 < text.len && text.at[i + 1] == quote)
				i++;
			else
				return i + 1;
		}
	}
	return 0;
}

/* Reads one token of any kind. */
static void
read_token(struct reader *reader)
{
	struct slice rest = reader->rest;
	size_t		n = 1;

	while (rest.len > 0 && memchr(" \t\r\n", *rest.at, 4) != NULL)
	{
		rest.at++;
		rest.len--;
	}
	reader->kind = TOKEN_STRANGE;
	if (rest.len == 0)
	{
		reader->kind = TOKEN_END;
		n = 0;
	}
	else if (*rest.at == '\'' || (*rest.at == 'E' && rest.len > 1 && rest.at[1] == '\''))
	{
		n = quoted_length(rest, *rest.at == 'E' ? 1 : 0, '\'');
		reader->kind = n > 0 ? TOKEN_TEXT : TOKEN_STRANGE;
	}
	else if (*rest.at == '"')
	{
		n = quoted_length(rest, 0, '"');
		reader->kind = n > 0 ? TOKEN_WORD : TOKEN_STRANGE;
	}
	else if (is_of_name(*rest.at))
	{
		while (n < rest.len && is_of_name(rest.at[n]))
			n++;
		reader->kind = TOKEN_WORD;
	}
	else if (rest.len > 1 && memcmp(rest.at, "::", 2) == 0)
		n = 2;
	else if (strchr("=[],()", *rest.at) != NULL && *rest.at != '\0')
		reader->kind = TOKEN_SIGN;
	if (reader->kind == TOKEN_STRANGE && n == 0)
		n = rest.len;			/* a quote that is not closed */
	reader->token = (struct slice) {rest.at, n};
	reader->rest = (struct slice) {rest.at + n, rest.len - n};
}

/* Whether the token is this word or sign. */
static bool
is_token(const struct reader *reader, const char *text)
{
	return (reader->kind == TOKEN_WORD || reader->kind == TOKEN_SIGN) && slice_equals(reader->token, text);
}

/* Reads past a cast's type if it changes nothing: text, character varying, arrays of them. */
static bool
skip_type(struct reader *reader)
{
	struct reader ahead;

	read_token(reader);
	if (is_token(reader, "character"))
	{
		read_token(reader);
		if (!is_token(reader, "varying"))
			return false;
	}
	else if (!is_token(reader, "text"))
		return false;
	ahead = *reader;
	read_token(&ahead);
	if (is_token(&ahead, "["))
	{
		read_token(&ahead);
		if (!is_token(&ahead, "]"))
			return false;
		*reader = ahead;
	}
	/* a length cuts */
	ahead = *reader;
	read_token(&ahead);
	return !is_token(&ahead, "(");
}

/* The next token that is neither a parenthesis nor of a cast. */
static void
next(struct reader *reader)
{
	for (;;)
	{
		read_token(reader);
		if (reader->kind == TOKEN_STRANGE && slice_equals(reader->token, "::"))
		{
			if (skip_type(reader))
				continue;
			reader->kind = TOKEN_STRANGE;
			return;
		}
		if (!is_token(reader, "(") && !is_token(reader, ")"))
			return;
	}
}

/* Takes the literal at hand, and moves on. */
static bool
take_text(struct reader *reader, struct texts *texts)
{
	bool		has_escapes = reader->kind == TOKEN_TEXT && *reader->token.at == 'E';
	const char *at = reader->token.at + has_escapes + 1;
	const char *end = reader->token.at + reader->token.len - 1;
	struct buffer text;

	if (reader->kind != TOKEN_TEXT)
		return false;
	buffer_init(&text);
	while (at < end)
	{
		/* of escapes, PostgreSQL writes the doubled backslash only */
		if (has_escapes && *at == '\\' && (++at == end || *at != '\\'))
		{
			buffer_release(&text);
			return false;
		}
		if (*at == '\'')
			at++;
		if (at < end)
			buffer_put(&text, at++, 1);
	}
	texts_add(texts, text.len > 0 ? text.at : "", text.len);
	buffer_release(&text);
	next(reader);
	return true;
}

/* ARRAY['a', 'b'] */
static bool
take_array(struct reader *reader, struct texts *texts)
{
	next(reader);
	if (!is_token(reader, "ARRAY"))
		return false;
	next(reader);
	if (!is_token(reader, "["))
		return false;
	do
	{
		next(reader);
		if (!take_text(reader, texts))
			return false;
	} while (is_token(reader, ","));
	if (!is_token(reader, "]"))
		return false;
	next(reader);
	return true;
}

/* What follows the column's name. */
static bool
take_condition(struct reader *reader, struct texts *texts)
{
	next(reader);
	if (is_token(reader, "IS"))
	{
		next(reader);
		if (!is_token(reader, "NULL"))
			return false;
		next(reader);
		return true;
	}
	if (!is_token(reader, "="))
		return false;
	next(reader);
	if (is_token(reader, "ANY"))
		return take_array(reader, texts);
	return take_text(reader, texts);
}

bool
types_check_read(struct slice expression, struct slice column, struct texts *texts)
{
	struct reader reader = {.rest = expression};
	bool		is_good;

	memset(texts, 0, sizeof(*texts));
	do
	{
		next(&reader);
		is_good = reader.kind == TOKEN_WORD && slice_is_same(reader.token, column)
			&& take_condition(&reader, texts);
	} while (is_good && is_token(&reader, "OR"));
	if (is_good && reader.kind == TOKEN_END && texts->n > 0)
		return true;
	texts_release(texts);
	return false;
}
