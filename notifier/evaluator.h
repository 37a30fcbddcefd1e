/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * evaluator.h
 *	  Puts PostgreSQL's verdict on row images before the batches of one worker.
 *
 * Model
 * 1. A worker of evaluated sessions (worker.evaluator) gets its batches through here. They queue; a round
 *	  takes all that is there (bounded), asks for every image of an entity with groups once per group, and
 *	  when all is answered the worker takes the batches, looking up the verdicts. So order, atomicity and
 *	  positions are the stream's own, later by the evaluation, and only for these sessions.
 * 2. A statement that fails is repeated for each group alone; a group that fails alone is marked, and its
 *	  views end before the batches are taken: nobody else waits for it longer than the time limit.
 * 3. A replay is a round, too: its chunks are asked for when its turn comes.
 * 4. When more waits than the evaluator may hold, everything that waits is dropped and each subscription
 *	  gets a gap (slow).
 */
#ifndef RT_EVALUATOR_H
#define RT_EVALUATOR_H

#include <stdbool.h>

#include "batch.h"
#include "evalgroup.h"

struct evaluator;
struct worker;

struct evaluator *evaluator_new(struct worker *worker);
void		evaluator_free(struct evaluator *evaluator);

struct eval_registry *evaluator_registry(struct evaluator *evaluator);

/*
 * Whether a round is under way. Nobody may join a group then: of what is being evaluated it would have no
 * verdicts. Who is told so is looked at when the round has ended: subscribing_read_ended() and
 * recheck_round_ended() of the worker's sessions.
 */
bool		evaluator_must_wait(struct evaluator *evaluator);

/* The next batch, borrowed. */
void		evaluator_batch(struct evaluator *evaluator, struct batch *batch);

/*
 * A replay: chunks is called when the round begins and adds what is replayed (evaluator_add_chunk());
 * run is called when the verdicts are there; ordinals count the chunks' events from 0. When the evaluator ends
 * before, nothing is called.
 */
typedef void (*evaluator_fn) (void *arg);
void		evaluator_replay(struct evaluator *evaluator, evaluator_fn chunks, evaluator_fn run,
							 void *arg);
void		evaluator_add_chunk(struct evaluator *evaluator, struct chunk *chunk);

#endif
