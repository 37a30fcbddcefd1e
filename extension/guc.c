/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * guc.c
 *	  The settings of the extension, realtime.*; see guc.h.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"

#include "compat.h"
#include "guc.h"

bool		realtime_enabled = true;
char	   *realtime_user = NULL;
char	   *realtime_session = NULL;
bool		realtime_doorbell = true;
int			realtime_retention = 3600;
int			realtime_max_log_size = 1024;
int			realtime_on_error = REALTIME_ON_ERROR_ABORT;
int			realtime_max_value_size = 4096;
int			realtime_pending_memory = 16384;

static const struct config_enum_entry on_error_options[] = {
	{"abort", REALTIME_ON_ERROR_ABORT, false},
	{"gap", REALTIME_ON_ERROR_GAP, false},
	{NULL, 0, false}
};

/* Defines all settings. */
void
realtime_guc_init(void)
{
	DefineCustomBoolVariable("realtime.enabled",
							 "Captures changes of registered tables.",
							 "Off works for the owner of a table and superusers; subscribers are "
							 "told to read again.",
							 &realtime_enabled, true, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("realtime.user",
							   "The application's user, for the events' meta.userId.",
							   "When empty: the sub claim of request.jwt.claims, then the role.",
							   &realtime_user, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("realtime.session",
							   "The application's session, for the events' meta.sessionId.",
							   NULL, &realtime_session, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("realtime.doorbell",
							 "Asks at commit whether a notifier waits, and rings it with NOTIFY.",
							 "Off: notifiers find events by polling alone; notify => 'always' is not "
							 "affected.",
							 &realtime_doorbell, true, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.retention",
							"How long history is kept at least, unless realtime.max_log_size is reached.",
							NULL, &realtime_retention, 3600, 1, INT_MAX, PGC_SUSET, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.max_log_size",
							"About how large the commit log may become before old history goes early.",
							NULL, &realtime_max_log_size, 1024, 1, INT_MAX, PGC_SUSET, GUC_UNIT_MB,
							NULL, NULL, NULL);
	DefineCustomEnumVariable("realtime.on_error",
							 "What happens when a transaction's events cannot be written.",
							 "abort: the transaction fails. gap: it commits and subscribers are "
							 "told to read again.",
							 &realtime_on_error, REALTIME_ON_ERROR_ABORT, on_error_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.max_value_size",
							"Larger column values are left out of events and named in meta.omitted.",
							NULL, &realtime_max_value_size, 4096, 1, 65536, PGC_SUSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.pending_memory",
							"Memory for a transaction's pending changes before they spill to disk.",
							NULL, &realtime_pending_memory, 16384, 64, 1024 * 1024, PGC_SUSET,
							GUC_UNIT_KB, NULL, NULL, NULL);
	MarkGUCPrefixReserved("realtime");
}
