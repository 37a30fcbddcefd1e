/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * websocket.c
 *	  See websocket.h. Pure.
 */
#include "websocket.h"

#include <string.h>

#include "memory.h"

enum
{
	OPCODE_CONTINUATION = 0,
	OPCODE_TEXT = 1,
	OPCODE_BINARY = 2,
	OPCODE_CLOSE = 8,
	OPCODE_PING = 9,
	OPCODE_PONG = 10
};

void
websocket_init(struct websocket *websocket, size_t max)
{
	memset(websocket, 0, sizeof(*websocket));
	websocket->max = max;
}

void
websocket_release(struct websocket *websocket)
{
	buffer_release(&websocket->message);
}

/* A result without payload. */
static struct websocket_result
result(enum websocket_event event)
{
	struct websocket_result r = {event, NULL, 0, 0, NULL};

	return r;
}

/* What the peer did wrong. */
static struct websocket_result
failure(unsigned code, const char *why)
{
	struct websocket_result r = {WEBSOCKET_ERROR, NULL, 0, code, why};

	return r;
}

static bool
is_control(const struct websocket *websocket)
{
	return (websocket->opcode & 8) != 0;
}

/* Looks at the first two bytes of a header: NULL, or what is wrong with them. */
static const char *
check_start(struct websocket *websocket)
{
	unsigned char first = websocket->header[0];
	unsigned	len = websocket->header[1] & 0x7f;

	websocket->is_final = (first & 0x80) != 0;
	websocket->opcode = first & 0x0f;
	if ((first & 0x70) != 0)
		return "reserved bits are set";
	if ((websocket->header[1] & 0x80) == 0)
		return "frame is not masked";
	switch (websocket->opcode)
	{
		case OPCODE_CONTINUATION:
			if (!websocket->is_in_message)
				return "nothing to continue";
			break;
		case OPCODE_TEXT:
		case OPCODE_BINARY:
			if (websocket->is_in_message)
				return "the message before is not finished";
			break;
		case OPCODE_CLOSE:
		case OPCODE_PING:
		case OPCODE_PONG:
			if (!websocket->is_final)
				return "control frame is fragmented";
			if (len > WEBSOCKET_CONTROL_MAX)
				return "control frame is too long";
			break;
		default:
			return "unknown opcode";
	}
	websocket->header_need = (unsigned char) (6 + (len == 126 ? 2 : len == 127 ? 8 : 0));
	return NULL;
}

/* Takes length and mask out of a whole header: NULL, or what is wrong. */
static const char *
read_length(struct websocket *websocket)
{
	unsigned	len = websocket->header[1] & 0x7f;
	unsigned	bytes = len == 126 ? 2 : len == 127 ? 8 : 0;

	websocket->remaining = bytes == 0 ? len : 0;
	for (unsigned i = 0; i < bytes; i++)
		websocket->remaining = websocket->remaining << 8 | websocket->header[2 + i];
	memcpy(websocket->mask, websocket->header + 2 + bytes, 4);
	websocket->mask_at = 0;
	if (bytes == 8 && (websocket->remaining >> 63) != 0)
		return "length is too large";
	if ((bytes == 2 && websocket->remaining < 126) || (bytes == 8 && websocket->remaining < 65536))
		return "length is not in its shortest form";
	return NULL;
}

/* Collects a frame's header. NEED_MORE with is_in_payload set: the payload follows. */
static struct websocket_result
read_header(struct websocket *websocket, unsigned char **bytes, size_t *len)
{
	if (websocket->header_need == 0)
	{
		websocket->header_need = 2;
		websocket->header_len = 0;
	}
	while (websocket->header_len < websocket->header_need)
	{
		const char *why;

		if (*len == 0)
			return result(WEBSOCKET_NEED_MORE);
		websocket->header[websocket->header_len++] = *(*bytes)++;
		(*len)--;
		if (websocket->header_len < websocket->header_need)
			continue;
		why = websocket->header_need == 2 ? check_start(websocket) : read_length(websocket);
		if (why != NULL)
			return failure(WEBSOCKET_PROTOCOL_ERROR, why);
	}
	if (websocket->opcode == OPCODE_BINARY)
		return failure(WEBSOCKET_UNSUPPORTED, "binary messages are not spoken here");
	if (!is_control(websocket) && (websocket->remaining > websocket->max ||
								   websocket->message.len > websocket->max - websocket->remaining))
		return failure(WEBSOCKET_TOO_LARGE, "message is too large");
	websocket->is_in_payload = true;
	websocket->control_len = 0;
	return result(WEBSOCKET_NEED_MORE);
}

/* Removes the mask from bytes of the current frame. */
static void
unmask(struct websocket *websocket, unsigned char *bytes, size_t len)
{
	unsigned char mask[8];
	uint64_t	wide;
	uint64_t	eight;

	for (unsigned i = 0; i < 8; i++)
		mask[i] = websocket->mask[(websocket->mask_at + i) & 3];
	websocket->mask_at = (unsigned char) ((websocket->mask_at + len) & 3);
	memcpy(&wide, mask, 8);
	for (; len >= 8; len -= 8, bytes += 8)
	{
		memcpy(&eight, bytes, 8);
		eight ^= wide;
		memcpy(bytes, &eight, 8);
	}
	for (size_t i = 0; i < len; i++)
		bytes[i] ^= mask[i];
}

/* Whether a code may stand in a close frame (RFC 6455 section 7.4). */
static bool
is_close_code(unsigned code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
		(code >= 3000 && code <= 4999);
}

/* A whole control frame. */
static struct websocket_result
end_control(struct websocket *websocket)
{
	struct websocket_result r = result(WEBSOCKET_PING);

	r.payload = (const char *) websocket->control;
	r.len = websocket->control_len;
	if (websocket->opcode == OPCODE_PONG)
		r.event = WEBSOCKET_PONG;
	else if (websocket->opcode == OPCODE_CLOSE)
	{
		r.event = WEBSOCKET_CLOSE;
		r.code = WEBSOCKET_NO_CODE;
		if (r.len == 1)
			return failure(WEBSOCKET_PROTOCOL_ERROR, "close code is cut");
		if (r.len >= 2)
		{
			r.code = (unsigned) websocket->control[0] << 8 | websocket->control[1];
			if (!is_close_code(r.code))
				return failure(WEBSOCKET_PROTOCOL_ERROR, "close code is not allowed");
			if (!utf8_is_valid(websocket->control + 2, r.len - 2))
				return failure(WEBSOCKET_BAD_TEXT, "close reason is not UTF-8");
		}
	}
	return r;
}

/* The last byte of a data frame was read: piece is what of the message is not collected yet. */
static struct websocket_result
end_data(struct websocket *websocket, const unsigned char *piece, size_t len)
{
	struct websocket_result r = result(WEBSOCKET_TEXT);

	websocket->is_in_message = !websocket->is_final;
	if (websocket->is_final && !utf8_is_complete(&websocket->utf8))
		return failure(WEBSOCKET_BAD_TEXT, "message is not UTF-8");
	if (websocket->is_final && websocket->message.len == 0)
	{
		r.payload = (const char *) piece;
		r.len = len;
		return r;
	}
	if (len > 0)
		buffer_put(&websocket->message, (const char *) piece, len);
	if (!websocket->is_final)
		return result(WEBSOCKET_NEED_MORE);
	r.payload = websocket->message.at;
	r.len = websocket->message.len;
	websocket->is_delivered = true;
	return r;
}

/* Reads payload of the current frame. */
static struct websocket_result
read_payload(struct websocket *websocket, unsigned char **bytes, size_t *len)
{
	size_t		n = websocket->remaining < *len ? (size_t) websocket->remaining : *len;
	unsigned char *piece = *bytes;

	unmask(websocket, piece, n);
	*bytes += n;
	*len -= n;
	websocket->remaining -= n;
	if (is_control(websocket))
	{
		memcpy(websocket->control + websocket->control_len, piece, n);
		websocket->control_len = (unsigned char) (websocket->control_len + n);
	}
	else if (!utf8_read(&websocket->utf8, piece, n))
		return failure(WEBSOCKET_BAD_TEXT, "message is not UTF-8");
	if (websocket->remaining > 0)
	{
		if (!is_control(websocket))
			buffer_put(&websocket->message, (const char *) piece, n);
		return result(WEBSOCKET_NEED_MORE);
	}
	websocket->is_in_payload = false;
	websocket->header_need = 0;
	return is_control(websocket) ? end_control(websocket) : end_data(websocket, piece, n);
}

struct websocket_result
websocket_read(struct websocket *websocket, unsigned char **bytes, size_t *len)
{
	if (websocket->is_delivered)
	{
		buffer_release(&websocket->message);
		websocket->is_delivered = false;
	}
	for (;;)
	{
		struct websocket_result r;

		if (!websocket->is_in_payload)
		{
			r = read_header(websocket, bytes, len);
			if (r.event == WEBSOCKET_ERROR || !websocket->is_in_payload)
				return r;
		}
		if (*len == 0 && websocket->remaining > 0)
			return result(WEBSOCKET_NEED_MORE);
		r = read_payload(websocket, bytes, len);
		if (r.event != WEBSOCKET_NEED_MORE)
			return r;
	}
}

size_t
websocket_control(unsigned char out[2 + WEBSOCKET_CONTROL_MAX], unsigned opcode, const void *payload,
				  size_t len)
{
	out[0] = (unsigned char) (0x80 | opcode);
	out[1] = (unsigned char) len;
	if (len > 0)
		memcpy(out + 2, payload, len);
	return 2 + len;
}

size_t
websocket_close_frame(unsigned char out[2 + WEBSOCKET_CONTROL_MAX], unsigned code, const char *reason)
{
	unsigned char payload[WEBSOCKET_CONTROL_MAX];
	size_t		len = reason ? strlen(reason) : 0;

	if (code == WEBSOCKET_NO_CODE)
		return websocket_control(out, OPCODE_CLOSE, NULL, 0);
	if (len > WEBSOCKET_REASON_MAX)
		for (len = WEBSOCKET_REASON_MAX; len > 0 && (reason[len] & 0xc0) == 0x80;)
			len--;
	payload[0] = (unsigned char) (code >> 8);
	payload[1] = (unsigned char) code;
	if (len > 0)
		memcpy(payload + 2, reason, len);
	return websocket_control(out, OPCODE_CLOSE, payload, len + 2);
}
