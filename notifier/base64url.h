/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * base64url.h
 *	  Base64 with the alphabet of URLs and without padding, as tokens use it (RFC 7515, section 2).
 */
#ifndef RT_BASE64URL_H
#define RT_BASE64URL_H

#include "jsonscan.h"

/*
 * Decodes into out (room for len / 4 * 3 + 2 bytes) and returns how many bytes it is. RT_MALFORMED for
 * anything but the one encoding of those bytes: other characters, padding, bits left over that are set.
 */
long		base64url_decode(struct slice text, char *out) RT_MUST_CHECK;

#endif
