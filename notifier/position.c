/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * position.c
 *	  See position.h. Pure.
 */
#include "position.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"

/* Reads a number without sign or leading zeros of at most 19 digits; false when there is none. */
static bool
read_xid(const char **at, const char *end, uint64_t *xid)
{
	const char *p = *at;

	*xid = 0;
	while (p < end && *p >= '0' && *p <= '9')
	{
		if (p - *at >= 19)
			return false;
		*xid = *xid * 10 + (uint64_t) (*p++ - '0');
	}
	if (p == *at || (**at == '0' && p - *at > 1))
		return false;
	*at = p;
	return true;
}

/* Reads one byte; false when it is another. */
static bool
read_byte(const char **at, const char *end, char byte)
{
	if (*at >= end || **at != byte)
		return false;
	(*at)++;
	return true;
}

int
position_parse(struct position *position, const char *text, size_t len)
{
	const char *end = text + len;
	const char *slash = memchr(text, '/', len);
	const char *p;

	memset(position, 0, sizeof(*position));
	if (len > POSITION_MAX_LENGTH)
		return RT_TOO_LARGE;
	if (slash == NULL || slash == text || memchr(text, '\0', len))
		return RT_MALFORMED;
	position->epoch = memory_copy_string(text, (size_t) (slash - text));
	position->xip = memory_alloc(sizeof(uint64_t) * (len / 2 + 1));
	p = slash + 1;
	if (!read_xid(&p, end, &position->xmin) || !read_byte(&p, end, ':')
		|| !read_xid(&p, end, &position->xmax) || !read_byte(&p, end, ':')
		|| position->xmin == 0 || position->xmin > position->xmax)
		goto fail;
	while (p < end)
	{
		uint64_t	xid;
		uint64_t	last = position->nxip ? position->xip[position->nxip - 1] : 0;

		if (position->nxip > 0 && !read_byte(&p, end, ','))
			goto fail;
		if (!read_xid(&p, end, &xid) || xid <= last || xid < position->xmin
			|| xid >= position->xmax)
			goto fail;
		position->xip[position->nxip++] = xid;
	}
	return RT_OK;
fail:
	position_release(position);
	return RT_MALFORMED;
}

void
position_release(struct position *position)
{
	memory_free(position->epoch);
	memory_free(position->xip);
	memset(position, 0, sizeof(*position));
}

bool
position_covers(const struct position *position, uint64_t xid)
{
	size_t		low = 0;
	size_t		high = position->nxip;

	if (xid < position->xmin)
		return true;
	if (xid >= position->xmax)
		return false;
	while (low < high)
	{
		size_t		middle = low + (high - low) / 2;

		if (position->xip[middle] == xid)
			return false;
		if (position->xip[middle] < xid)
			low = middle + 1;
		else
			high = middle;
	}
	return true;
}

bool
position_is_within(const struct position *a, const struct position *b)
{
	if (strcmp(a->epoch, b->epoch) != 0)
		return false;
	/* What b does not cover, a must not cover either: b's xip, and all from b's xmax on. */
	for (size_t i = 0; i < b->nxip; i++)
		if (position_covers(a, b->xip[i]))
			return false;
	if (a->xmax > b->xmax)
	{
		uint64_t	running = 0;

		for (size_t i = a->nxip; i > 0 && a->xip[i - 1] >= b->xmax; i--)
			running++;
		if (a->xmin > b->xmax || running != a->xmax - b->xmax)
			return false;
	}
	return true;
}

char *
position_format(const struct position *position)
{
	size_t		room = strlen(position->epoch) + 21 * (position->nxip + 2) + 4;
	char	   *text = memory_alloc(room);
	size_t		len = (size_t) snprintf(text, room, "%s/%" PRIu64 ":%" PRIu64 ":",
										position->epoch, position->xmin, position->xmax);

	for (size_t i = 0; i < position->nxip; i++)
		len += (size_t) snprintf(text + len, room - len, "%s%" PRIu64, i == 0 ? "" : ",",
								 position->xip[i]);
	return text;
}

void
position_hold_back(const struct position *position, const uint64_t *xids, size_t n,
				   struct position *out)
{
	size_t		i = 0;
	size_t		j = 0;

	memset(out, 0, sizeof(*out));
	out->epoch = memory_copy_string(position->epoch, strlen(position->epoch));
	out->xmax = position->xmax;
	out->xip = memory_alloc(sizeof(uint64_t) * (position->nxip + n + 1));
	while (i < position->nxip || j < n)
	{
		uint64_t	xid;

		if (j >= n || (i < position->nxip && position->xip[i] <= xids[j]))
			xid = position->xip[i++];
		else
			xid = xids[j++];
		if (xid < out->xmax && (out->nxip == 0 || out->xip[out->nxip - 1] != xid))
			out->xip[out->nxip++] = xid;
	}
	out->xmin = out->nxip > 0 && out->xip[0] < position->xmin ? out->xip[0] : position->xmin;
}
