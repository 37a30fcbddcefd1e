/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * position.h
 *	  Positions: epoch and snapshot, and what the log still holds of them; the model is in position.c.
 */
#ifndef REALTIME_POSITION_H
#define REALTIME_POSITION_H

/* A parsed position: what an untrusted client may have written. */
typedef struct RealtimePosition
{
	char	   *epoch;
	uint64		xmin;
	uint64		xmax;
	uint64	   *xip;			/* ascending */
	int			nxip;
} RealtimePosition;

/* Parses epoch/xmin:xmax:xip,… strictly, into the current context; false when it is malformed. */
extern bool realtime_position_parse(const char *text, RealtimePosition *position);

/* The epoch as positions have it; makes one when there is none. An error on a standby. */
extern char *realtime_position_epoch(void);

/* A position of the active snapshot. */
extern char *realtime_position_text(const char *epoch);

/* Why the log has not all that a position does not cover, as position_error() says it; NULL when it has. */
extern const char *realtime_position_gap(const RealtimePosition *position, const char *epoch);

/*
 * How far the WAL must be flushed for a transaction that a snapshot sees committed to survive a crash: at least its
 * commit, for each of the COMMIT_LSN_GROUP ids (as many as clog.c keeps one LSN for) that xid / COMMIT_LSN_GROUP is the same of.
 * InvalidXLogRecPtr: it does already.
 */
#define COMMIT_LSN_GROUP 32
extern XLogRecPtr realtime_position_commit_lsn(uint64 xid);

#endif
