/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * realtime.c
 *	  Module entry. Knows the modules that must register something when the library is loaded.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "bulk.h"
#include "commit_log.h"
#include "entity.h"
#include "flush.h"
#include "guc.h"
#include "pending.h"
#include "policy.h"
#include "waiter.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(realtime_library_version);

void		_PG_init(void);

/* Registers settings and callbacks. */
void
_PG_init(void)
{
	realtime_guc_init();
	realtime_entity_init();
	realtime_log_init();
	realtime_pending_init();
	realtime_flush_init();
	realtime_bulk_init();
	realtime_reader_init();
	realtime_waiter_init();
}

/* SQL: library_version() */
Datum
realtime_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(REALTIME_VERSION));
}
