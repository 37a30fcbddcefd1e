/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * bulk_worker.h
 *	  The background worker of a job: writes its operations' rows and events at once.
 */
#ifndef REALTIME_BULK_WORKER_H
#define REALTIME_BULK_WORKER_H

#include "storage/dsm.h"

#include "bulk_slot.h"

typedef struct BackgroundWorkerHandle BackgroundWorkerHandle;

/*
 * Registers a worker for the shared memory of a segment; NULL when there is no room for one. The
 * handle is allocated in the current context.
 */
extern BackgroundWorkerHandle *realtime_bulk_worker_launch(dsm_segment *segment);

/* The worker's entry, by name from the postmaster; the argument is the segment's handle. */
extern PGDLLEXPORT void realtime_bulk_worker_main(Datum handle);

#endif
