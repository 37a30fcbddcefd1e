/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * late_writer.c
 *	  Another extension that writes rows at pre-commit (or pre-prepare), after realtime has written
 *	  its log: callbacks run last registered first, so load this library before realtime. It runs
 *	  the SQL in the setting late_writer.sql.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

static char *late_sql = NULL;

/* Transaction callback: runs the SQL once. */
static void
on_transaction(XactEvent event, void *arg)
{
	static bool is_running = false;

	if ((event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE) || is_running
		|| late_sql == NULL || late_sql[0] == '\0')
		return;
	is_running = true;
	PG_TRY();
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		SPI_connect();
		if (SPI_execute(late_sql, false, 0) < 0)
			elog(ERROR, "late_writer: the SQL failed");
		SPI_finish();
		PopActiveSnapshot();
	}
	PG_FINALLY();
	{
		is_running = false;
	}
	PG_END_TRY();
}

/* Defines the setting, registers the callback. */
void
_PG_init(void)
{
	DefineCustomStringVariable("late_writer.sql", "SQL to run at pre-commit.", NULL, &late_sql, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	RegisterXactCallback(on_transaction, NULL);
}
