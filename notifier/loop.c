/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * loop.c
 *	  See loop.h. The one file that knows libuv.
 *
 * libuv frees a handle in its close callback; timers and watches own themselves from then on. Posted
 * work stands in two queues under a mutex; one wake-up runs all of it, before each piece what is urgent.
 */
#include "loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "memory.h"

struct post
{
	struct post *next;
	loop_fn		fn;
	void	   *arg;
};

struct posts
{
	struct post *first;
	struct post **last;
};

struct signal_watch
{
	uv_signal_t handle;
	struct signal_watch *next;
	loop_signal_fn fn;
	void	   *arg;
};

struct loop
{
	uv_loop_t	uv;
	uv_async_t	wake;
	pthread_mutex_t lock;		/* protects the following two */
	struct posts urgent;
	struct posts posts;
	atomic_bool has_urgent;		/* looked at without the lock; set within it */
	struct signal_watch *signals;
	bool		is_stopping;
	bool		is_urgent;		/* run_urgent() runs */
	bool		has_more;		/* more of what run_posts() has taken */
	bool		has_more_urgent;
};

struct loop_timer
{
	uv_timer_t	handle;
	loop_fn		fn;
	void	   *arg;
};

struct loop_task
{
	uv_idle_t	handle;
	loop_fn		fn;
	void	   *arg;
};

struct loop_watch
{
	uv_poll_t	handle;
	int			events;			/* that it is started for */
	loop_watch_fn fn;
	void	   *arg;
};

/* libuv fails here for lack of memory or descriptors only. */
static void
check(int result, const char *what)
{
	if (result < 0)
	{
		fprintf(stderr, "realtime-notifier: %s: %s\n", what, uv_strerror(result));
		abort();
	}
}

/* Takes all of a queue. */
static struct post *
take_posts(struct loop *loop, struct posts *posts)
{
	struct post *first;

	pthread_mutex_lock(&loop->lock);
	first = posts->first;
	posts->first = NULL;
	posts->last = &posts->first;
	if (posts == &loop->urgent)
		atomic_store_explicit(&loop->has_urgent, false, memory_order_relaxed);
	pthread_mutex_unlock(&loop->lock);
	return first;
}

/* Runs a piece of work and frees it; returns the next. */
static struct post *
run_post(struct post *post)
{
	struct post *next = post->next;

	post->fn(post->arg);
	memory_free(post);
	return next;
}

void
loop_run_urgent(struct loop *loop)
{
	struct post *post;

	if (loop->is_urgent || !atomic_load_explicit(&loop->has_urgent, memory_order_relaxed))
		return;
	loop->is_urgent = true;
	for (post = take_posts(loop, &loop->urgent); post != NULL; post = run_post(post))
		loop->has_more_urgent = post->next != NULL;
	loop->is_urgent = false;
}

/* Runs what was posted, in order, and what is urgent before. What that posts waits for the next turn. */
static void
run_posts(uv_async_t *wake)
{
	struct loop *loop = wake->data;
	struct post *post = take_posts(loop, &loop->posts);

	loop_run_urgent(loop);
	while (post != NULL)
	{
		loop->has_more = post->next != NULL;
		post = run_post(post);
		loop_run_urgent(loop);
	}
	if (loop->is_stopping)
		uv_stop(&loop->uv);
}

bool
loop_drain(struct loop *loop)
{
	bool		is_any;

	is_any = loop_has_posts(loop);
	loop->is_stopping = false;	/* it has: another stop would be the one of loop_free()'s run */
	if (is_any)
		run_posts(&loop->wake);
	return is_any;
}

struct loop *
loop_new(void)
{
	struct loop *loop = memory_alloc_zeroed(sizeof(*loop));

	check(uv_loop_init(&loop->uv), "uv_loop_init");
	check(uv_async_init(&loop->uv, &loop->wake, run_posts), "uv_async_init");
	loop->wake.data = loop;
	pthread_mutex_init(&loop->lock, NULL);
	loop->urgent.last = &loop->urgent.first;
	loop->posts.last = &loop->posts.first;
	return loop;
}

static void
free_posts(struct posts *posts)
{
	while (posts->first != NULL)
	{
		struct post *next = posts->first->next;

		memory_free(posts->first);
		posts->first = next;
	}
}

void
loop_free(struct loop *loop)
{
	uv_close((uv_handle_t *) &loop->wake, NULL);
	for (struct signal_watch *s = loop->signals; s != NULL; s = s->next)
		uv_close((uv_handle_t *) &s->handle, NULL);
	uv_run(&loop->uv, UV_RUN_DEFAULT);
	while (loop->signals != NULL)
	{
		struct signal_watch *next = loop->signals->next;

		memory_free(loop->signals);
		loop->signals = next;
	}
	free_posts(&loop->urgent);
	free_posts(&loop->posts);
	(void) uv_loop_close(&loop->uv);
	pthread_mutex_destroy(&loop->lock);
	memory_free(loop);
}

void
loop_run(struct loop *loop)
{
	uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void
loop_turn(struct loop *loop)
{
	for (int i = 0; i < 8; i++)	/* what closes in one turn may close more in the next */
		uv_run(&loop->uv, UV_RUN_NOWAIT);
}

static void
set_stopping(void *arg)
{
	struct loop *loop = arg;

	loop->is_stopping = true;
}

void
loop_stop(struct loop *loop)
{
	loop_post(loop, set_stopping, loop);
}

static void
add_post(struct loop *loop, struct posts *posts, loop_fn fn, void *arg)
{
	struct post *post = memory_alloc(sizeof(*post));

	post->next = NULL;
	post->fn = fn;
	post->arg = arg;
	pthread_mutex_lock(&loop->lock);
	*posts->last = post;
	posts->last = &post->next;
	if (posts == &loop->urgent)
		atomic_store_explicit(&loop->has_urgent, true, memory_order_relaxed);
	pthread_mutex_unlock(&loop->lock);
	uv_async_send(&loop->wake);
}

void
loop_post(struct loop *loop, loop_fn fn, void *arg)
{
	add_post(loop, &loop->posts, fn, arg);
}

void
loop_post_urgent(struct loop *loop, loop_fn fn, void *arg)
{
	add_post(loop, &loop->urgent, fn, arg);
}

bool
loop_has_urgent(const struct loop *loop)
{
	return loop->has_more_urgent || atomic_load_explicit(&loop->has_urgent, memory_order_relaxed);
}

bool
loop_has_posts(struct loop *loop)
{
	bool		is_any;

	if (loop->has_more || loop_has_urgent(loop))
		return true;
	pthread_mutex_lock(&loop->lock);
	is_any = loop->posts.first != NULL;
	pthread_mutex_unlock(&loop->lock);
	return is_any;
}

int64_t
loop_clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void
fire(uv_timer_t *handle)
{
	struct loop_timer *timer = handle->data;

	timer->fn(timer->arg);
}

struct loop_timer *
loop_timer_new(struct loop *loop, loop_fn fn, void *arg)
{
	struct loop_timer *timer = memory_alloc_zeroed(sizeof(*timer));

	check(uv_timer_init(&loop->uv, &timer->handle), "uv_timer_init");
	timer->handle.data = timer;
	timer->fn = fn;
	timer->arg = arg;
	return timer;
}

void
loop_timer_start(struct loop_timer *timer, unsigned ms)
{
	uv_update_time(timer->handle.loop);
	uv_timer_start(&timer->handle, fire, ms, 0);
}

void
loop_timer_stop(struct loop_timer *timer)
{
	uv_timer_stop(&timer->handle);
}

bool
loop_timer_is_active(const struct loop_timer *timer)
{
	return uv_is_active((const uv_handle_t *) &timer->handle) != 0;
}

/* libuv is done with a handle: its owner's memory goes. */
static void
free_data(uv_handle_t *handle)
{
	memory_free(handle->data);
}

void
loop_timer_free(struct loop_timer *timer)
{
	if (timer != NULL)
		uv_close((uv_handle_t *) &timer->handle, free_data);
}

/* Once for each start. */
static void
run_task(uv_idle_t *handle)
{
	struct loop_task *task = handle->data;

	uv_idle_stop(handle);
	task->fn(task->arg);
}

struct loop_task *
loop_task_new(struct loop *loop, loop_fn fn, void *arg)
{
	struct loop_task *task = memory_alloc_zeroed(sizeof(*task));

	check(uv_idle_init(&loop->uv, &task->handle), "uv_idle_init");
	task->handle.data = task;
	task->fn = fn;
	task->arg = arg;
	return task;
}

void
loop_task_start(struct loop_task *task)
{
	uv_idle_start(&task->handle, run_task);
}

void
loop_task_free(struct loop_task *task)
{
	if (task != NULL)
		uv_close((uv_handle_t *) &task->handle, free_data);
}

/* An error on the descriptor is told as both: the next read or write names it. */
static void
poll_ready(uv_poll_t *handle, int status, int events)
{
	struct loop_watch *watch = handle->data;

	if (status < 0)
	{
		watch->events = 0;		/* libuv has stopped it */
		watch->fn(watch->arg, true, true);
	}
	else
		watch->fn(watch->arg, (events & (UV_READABLE | UV_DISCONNECT)) != 0,
				  (events & UV_WRITABLE) != 0);
}

struct loop_watch *
loop_watch_new(struct loop *loop, int fd, loop_watch_fn fn, void *arg)
{
	struct loop_watch *watch = memory_alloc_zeroed(sizeof(*watch));

	check(uv_poll_init(&loop->uv, &watch->handle, fd), "uv_poll_init");
	watch->handle.data = watch;
	watch->fn = fn;
	watch->arg = arg;
	return watch;
}

void
loop_watch_set(struct loop_watch *watch, bool for_reading, bool for_writing)
{
	int			events = (for_reading ? UV_READABLE : 0) | (for_writing ? UV_WRITABLE : 0);

	if (events == watch->events)
		return;					/* to start it again would be three system calls */
	watch->events = events;
	if (events == 0)
		uv_poll_stop(&watch->handle);
	else
		check(uv_poll_start(&watch->handle, events, poll_ready), "uv_poll_start");
}

void
loop_watch_free(struct loop_watch *watch)
{
	if (watch == NULL)
		return;
	uv_poll_stop(&watch->handle);
	uv_close((uv_handle_t *) &watch->handle, free_data);
}

static void
got_signal(uv_signal_t *handle, int signal)
{
	struct signal_watch *watch = handle->data;

	watch->fn(watch->arg, signal);
}

void
loop_on_signal(struct loop *loop, int signal, loop_signal_fn fn, void *arg)
{
	struct signal_watch *watch = memory_alloc_zeroed(sizeof(*watch));

	check(uv_signal_init(&loop->uv, &watch->handle), "uv_signal_init");
	watch->handle.data = watch;
	watch->fn = fn;
	watch->arg = arg;
	watch->next = loop->signals;
	loop->signals = watch;
	check(uv_signal_start(&watch->handle, got_signal, signal), "uv_signal_start");
}

void *
loop_native(struct loop *loop)
{
	return &loop->uv;
}

/* libuv's timers are as fine as a millisecond: this is one of the kernel's. */
struct loop_alarm
{
	int			fd;
	bool		is_set;			/* and has not rung */
	struct loop_watch *watch;
	loop_fn		fn;
	void	   *arg;
};

static void
ring(void *arg, bool is_readable, bool is_writable)
{
	struct loop_alarm *alarm = arg;
	uint64_t	count;

	(void) is_readable;
	(void) is_writable;
	if (read(alarm->fd, &count, sizeof(count)) != (ssize_t) sizeof(count))
		return;
	alarm->is_set = false;
	alarm->fn(alarm->arg);
}

struct loop_alarm *
loop_alarm_new(struct loop *loop, loop_fn fn, void *arg)
{
	struct loop_alarm *alarm = memory_alloc_zeroed(sizeof(*alarm));

	alarm->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (alarm->fd < 0)
	{
		perror("realtime-notifier: timerfd_create");
		abort();
	}
	alarm->fn = fn;
	alarm->arg = arg;
	alarm->watch = loop_watch_new(loop, alarm->fd, ring, alarm);
	loop_watch_set(alarm->watch, true, false);
	return alarm;
}

/* Sets the kernel's timer; 0 stops it. */
static void
set_alarm(struct loop_alarm *alarm, int64_t us)
{
	struct itimerspec when = {.it_value = {us / 1000000, us % 1000000 * 1000}};

	(void) timerfd_settime(alarm->fd, 0, &when, NULL);
	alarm->is_set = us > 0;
}

void
loop_alarm_start(struct loop_alarm *alarm, int64_t us)
{
	set_alarm(alarm, us > 0 ? us : 1);
}

void
loop_alarm_stop(struct loop_alarm *alarm)
{
	if (alarm->is_set)
		set_alarm(alarm, 0);
}

void
loop_alarm_free(struct loop_alarm *alarm)
{
	if (alarm == NULL)
		return;
	loop_watch_free(alarm->watch);
	close(alarm->fd);
	memory_free(alarm);
}
