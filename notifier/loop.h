/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * loop.h
 *	  One thread's event loop: file descriptors, timers, and work handed over by other threads.
 *
 * Model
 * 1. A loop belongs to the thread that runs it. Everything but loop_post*() and loop_stop() is called
 *	  in that thread, or before it runs.
 * 2. Threads share nothing but immutable reference-counted objects; they talk by loop_post(), which
 *	  keeps the order of each poster; what is urgent goes before it.
 * 3. Callbacks may start, stop and free any timer or watch of their loop, themselves included.
 */
#ifndef RT_LOOP_H
#define RT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_alarm;
struct loop_task;
struct loop_timer;
struct loop_watch;

typedef void (*loop_fn) (void *arg);
typedef void (*loop_watch_fn) (void *arg, bool is_readable, bool is_writable);
typedef void (*loop_signal_fn) (void *arg, int signal);

struct loop *loop_new(void);

/* Frees a loop that does not run; its timers and watches must have been freed. */
void		loop_free(struct loop *loop);

/* Runs until loop_stop(); what was posted before that is still done. */
void		loop_run(struct loop *loop);
void		loop_stop(struct loop *loop);

/* Does what is due in a loop that does not run: for libraries that let go of their handles in its turns. */
void		loop_turn(struct loop *loop);

/* Runs what is posted to a loop that does not run; whether there was anything. */
bool		loop_drain(struct loop *loop);

/* Runs fn(arg) in the loop's thread, soon. Thread-safe. */
void		loop_post(struct loop *loop, loop_fn fn, void *arg);

/*
 * The same, before all else that is posted: between two pieces of work, and wherever the loop's code calls
 * loop_run_urgent(), which it does where it may have been busy for long and everything is in order. Of what is urgent
 * the order is kept. Thread-safe; the others in the loop's thread.
 */
void		loop_post_urgent(struct loop *loop, loop_fn fn, void *arg);
void		loop_run_urgent(struct loop *loop);
bool		loop_has_urgent(const struct loop *loop);

/* Whether more that was posted waits, behind what is being run now. In the loop's thread. */
bool		loop_has_posts(struct loop *loop);

/* Monotonic time in microseconds, read anew at each call. Thread-safe. */
int64_t		loop_clock_us(void);

/* A timer, stopped. */
struct loop_timer *loop_timer_new(struct loop *loop, loop_fn fn, void *arg);

/* Fires once after so many milliseconds, from now; starting again replaces it. */
void		loop_timer_start(struct loop_timer *timer, unsigned ms);
void		loop_timer_stop(struct loop_timer *timer);
bool		loop_timer_is_active(const struct loop_timer *timer);
void		loop_timer_free(struct loop_timer *timer);

/* The same in microseconds, for pauses of less than a millisecond. It takes a file descriptor. */
struct loop_alarm *loop_alarm_new(struct loop *loop, loop_fn fn, void *arg);
void		loop_alarm_start(struct loop_alarm *alarm, int64_t us);
void		loop_alarm_stop(struct loop_alarm *alarm);
void		loop_alarm_free(struct loop_alarm *alarm);

/*
 * A task: work that goes on for long, some of it at a time. loop_task_start() has fn called once, after everything
 * else that is ready had its turn; fn may start it again. A timer of 0 ms that starts itself again would let nothing
 * else run.
 */
struct loop_task *loop_task_new(struct loop *loop, loop_fn fn, void *arg);
void		loop_task_start(struct loop_task *task);
void		loop_task_free(struct loop_task *task);

/* Watches a file descriptor, which stays the caller's; free the watch before closing it. */
struct loop_watch *loop_watch_new(struct loop *loop, int fd, loop_watch_fn fn, void *arg);
void		loop_watch_set(struct loop_watch *watch, bool for_reading, bool for_writing);
void		loop_watch_free(struct loop_watch *watch);

/* Calls fn in the loop's thread when the process gets the signal; until the loop is freed. */
void		loop_on_signal(struct loop *loop, int signal, loop_signal_fn fn, void *arg);

/* The uv_loop_t, for a library that brings its own handles. */
void	   *loop_native(struct loop *loop);

#endif
