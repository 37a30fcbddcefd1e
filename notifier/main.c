/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * main.c
 *	  Wiring: the only file that knows everything.
 *
 * Threads: this one (signals, listening sockets), the source's, the pool's, and the workers. A batch goes
 * from the source to every worker; the last that is done gives its bytes back to the source.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "auth.h"
#include "db.h"
#include "inspector.h"
#include "inspector_http.h"
#include "listen.h"
#include "log.h"
#include "loop.h"
#include "memory.h"
#include "options.h"
#include "server.h"
#include "source.h"
#include "stats.h"
#include "tail.h"
#include "types.h"
#include "worker.h"

struct program;

/* A thread with its loop. */
struct thread
{
	pthread_t	id;
	struct loop *loop;
	bool		is_running;
};

struct worker_thread
{
	struct thread thread;
	struct program *program;
	unsigned	number;
	struct worker *worker;
	const struct options *next_options;
};

struct program
{
	int			argc;
	char	  **argv;
	struct options *options;
	struct options *old_options;	/* until every worker has taken the new ones */
	atomic_uint undrained;		/* workers that have connections to end */
	bool		has_hangup;		/* another SIGHUP came meanwhile */
	struct shared shared;
	struct loop *loop;
	struct thread source_thread;
	struct thread db_thread;
	struct worker_thread *workers;
	unsigned	nworkers;
	struct listener *listener;
	struct loop_timer *watchdog;
	unsigned	watchdog_ms;
	atomic_uint pending;		/* workers that have not taken the new options */
	bool		is_draining;
	atomic_bool has_read;		/* the first read has reached all workers */
};

/* A batch that goes to every worker. */
struct parcel
{
	struct program *program;
	struct batch *batch;
	atomic_uint remaining;
};

/* One worker's share of it. */
struct share
{
	struct parcel *parcel;
	struct worker *worker;
};

static void *
run_thread(void *arg)
{
	struct thread *thread = arg;

	loop_run(thread->loop);
	return NULL;
}

/* Starts a thread; without one the program cannot work. Signals are the main thread's. */
static void
start_thread(struct thread *thread)
{
	sigset_t	all;
	sigset_t	before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread->id, NULL, run_thread, thread) != 0)
	{
		log_write(LOG_LEVEL_ERROR, "thread_failed", "error=%s", strerror(errno));
		exit(1);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	thread->is_running = true;
}

static void
stop_thread(struct thread *thread)
{
	if (!thread->is_running)
		return;
	loop_stop(thread->loop);
	pthread_join(thread->id, NULL);
	thread->is_running = false;
}

/* In the main thread: the first read has come; whoever waits for the start may go on. */
static void
tell_ready(void *arg)
{
	struct program *program = arg;

	log_write(LOG_LEVEL_INFO, "ready", "workers=%u", program->nworkers);
	sd_notify(0, "READY=1");
}

/* In a worker's thread. */
static void
take_share(void *arg)
{
	struct share *share = arg;
	struct parcel *parcel = share->parcel;
	struct program *program = parcel->program;

	worker_take(share->worker, parcel->batch);
	memory_free(share);
	if (atomic_fetch_sub(&parcel->remaining, 1) > 1)
		return;
	stats_add(STAT_SOURCE_BEHIND, -(int64_t) parcel->batch->nchunks);
	program->shared.source_class->release(program->shared.source, batch_memory(parcel->batch));
	if (parcel->batch->is_end && !atomic_load_explicit(&program->has_read, memory_order_relaxed)
		&& !atomic_exchange(&program->has_read, true))
		loop_post(program->loop, tell_ready, program);
	batch_unref(parcel->batch);
	memory_free(parcel);
}

/* In the source's thread: a batch for everybody. */
static void
distribute(void *arg, struct batch *batch)
{
	struct program *program = arg;
	struct parcel *parcel = memory_alloc(sizeof(*parcel));

	parcel->program = program;
	parcel->batch = batch_ref(batch);
	atomic_init(&parcel->remaining, program->nworkers);
	stats_add(STAT_SOURCE_BEHIND, batch->nchunks);
	for (unsigned i = 0; i < program->nworkers; i++)
	{
		struct share *share = memory_alloc(sizeof(*share));

		share->parcel = parcel;
		share->worker = program->workers[i].worker;
		loop_post_urgent(program->workers[i].thread.loop, take_share, share);
	}
}

static void
source_state(void *arg, bool is_up)
{
	(void) arg;
	log_write(is_up ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, is_up ? "source_up" : "source_down", " ");
}

/* A connection on its way to its worker. */
struct handover
{
	struct worker *worker;
	int			fd;
	bool		is_local;
	char		address[];
};

static void
adopt(void *arg)
{
	struct handover *handover = arg;

	server_adopt(handover->worker->server, handover->fd, handover->address, handover->is_local);
	memory_free(handover);
}

static void
accepted(void *arg, unsigned number, int fd, const char *address, bool is_local)
{
	struct program *program = arg;
	struct handover *handover = memory_alloc(sizeof(*handover) + strlen(address) + 1);

	handover->worker = program->workers[number].worker;
	handover->fd = fd;
	handover->is_local = is_local;
	strcpy(handover->address, address);
	loop_post(program->workers[number].thread.loop, adopt, handover);
}

static void
connection_gone(void *arg, const char *address)
{
	struct worker_thread *worker = arg;

	listener_left(worker->program->listener, worker->number, address);
}

static void
end_program(void *arg)
{
	struct program *program = arg;

	loop_stop(program->loop);
}

/* In a worker's thread: its connections are closed. */
static void
drained(void *arg)
{
	struct worker_thread *worker = arg;

	if (atomic_fetch_sub(&worker->program->undrained, 1) == 1)
		loop_post(worker->program->loop, end_program, worker->program);
}

static void
drain(void *arg)
{
	struct worker_thread *worker = arg;

	server_drain(worker->worker->server, worker->worker->options->drain_s, drained, worker);
}

/* SIGTERM, SIGINT: no new connections, the others are closed spread over drain seconds. Again: at once. */
static void
on_terminate(void *arg, int number)
{
	struct program *program = arg;

	log_write(LOG_LEVEL_INFO, "terminating", "signal=%d drain_s=%u", number,
			  program->options->drain_s);
	if (program->is_draining)
	{
		loop_stop(program->loop);
		return;
	}
	program->is_draining = true;
	sd_notify(0, "STOPPING=1");
	listener_stop(program->listener);
	atomic_store(&program->undrained, program->nworkers);
	for (unsigned i = 0; i < program->nworkers; i++)
		loop_post(program->workers[i].thread.loop, drain, &program->workers[i]);
}

static void
free_options(struct options *options)
{
	if (options == NULL)
		return;
	options_release(options);
	memory_free(options);
}

static void on_hangup(void *arg, int number);

/* In the main thread: every worker has the new options. */
static void
reloaded(void *arg)
{
	struct program *program = arg;

	free_options(program->old_options);
	program->old_options = NULL;
	log_write(LOG_LEVEL_INFO, "reloaded", " ");
	sd_notify(0, "READY=1");
	if (program->has_hangup)
		on_hangup(program, SIGHUP);
}

static void
reload_worker(void *arg)
{
	struct worker_thread *worker = arg;

	worker_reload(worker->worker, worker->next_options);
	if (atomic_fetch_sub(&worker->program->pending, 1) == 1)
		loop_post(worker->program->loop, reloaded, worker->program);
}

/* SET ROLE none would go back to the daemon's own role, which reads everything. */
static bool
is_role(const char *name, FILE *err)
{
	if (name == NULL || strcmp(name, "none") != 0)
		return true;
	fprintf(err, "realtime-notifier: anon-role must not be none\n"
			"Leave it out to require a token.\n");
	return false;
}

/* SIGHUP: file, environment, flags and keys again; what is no good leaves everything as it is. */
static void
on_hangup(void *arg, int number)
{
	struct program *program = arg;
	struct options *options;
	char		error[200];

	(void) number;
	program->has_hangup = program->old_options != NULL;	/* workers have not all seen the one before */
	if (program->is_draining || program->has_hangup)
		return;
	options = memory_alloc_zeroed(sizeof(*options));
	if (options_reread(options, program->argc, program->argv, stderr) < 0)
	{
		log_write(LOG_LEVEL_ERROR, "reload_failed", "hint=%s", "the old configuration stays");
		free_options(options);
		return;
	}
	if (!is_role(options->anon_role, stderr))
	{
		log_write(LOG_LEVEL_ERROR, "reload_failed", "hint=%s", "the old configuration stays");
		free_options(options);
		return;
	}
	if (options_keep_fixed(options, program->options, error, sizeof(error)) > 0)
		log_write(LOG_LEVEL_WARNING, "reload_needs_restart", "options=%s", error);
	if (auth_reload(program->shared.auth, error, sizeof(error)) < 0)
		log_write(LOG_LEVEL_ERROR, "reload_failed", "error=%s hint=%s", error, "the old keys stay");
	log_set_level(options->log_level);
	log_set_format(options->log_format);
	listener_reload(program->listener, options);
	program->old_options = program->options;
	program->options = options;
	atomic_store(&program->pending, program->nworkers);
	for (unsigned i = 0; i < program->nworkers; i++)
	{
		program->workers[i].next_options = options;
		loop_post(program->workers[i].thread.loop, reload_worker, &program->workers[i]);
	}
}

/* systemd's watchdog: this thread lives. The others are watched by their effects (readyz). */
static void
feed_watchdog(void *arg)
{
	struct program *program = arg;

	sd_notify(0, "WATCHDOG=1");
	loop_timer_start(program->watchdog, program->watchdog_ms);
}

/* As many descriptors as the system lets us have. */
static void
raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		limit.rlim_cur = limit.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* The keys; NULL: said in the log. */
static struct auth *
make_auth(const struct options *options)
{
	const struct auth_config config = {
		.secret_file = options->jwt_secret_file,
		.jwks = options->jwks,
		.jwks_refresh_s = options->jwks_refresh_s,
		.algorithms = options->jwt_algorithms,
		.audience = options->jwt_audience,
		.issuer = options->jwt_issuer,
		.role_claim = options->jwt_role_claim,
		.default_role = options->jwt_default_role,
		.leeway_s = options->jwt_leeway_s,
	};
	char		error[200];
	struct auth *auth = auth_new(&config, error, sizeof(error));

	if (auth == NULL)
		log_write(LOG_LEVEL_ERROR, "keys_unusable", "error=%s", error);
	else if (!auth_has_keys(auth) && options->anon_role == NULL)
		log_write(LOG_LEVEL_WARNING, "nobody_can_connect", "hint=%s",
				  "set anon-role, jwt-secret-file or jwks");
	return auth;
}

static void
make_source(struct program *program)
{
	const struct source_config config = {
		.conninfo = program->options->database,
		.poll_min_ms = program->options->poll_min_ms,
		.poll_max_ms = program->options->poll_max_ms,
		.in_flight_max = 64 * 1024 * 1024,
		.on_batch = distribute,
		.on_state = source_state,
		.arg = program,
	};

	program->source_thread.loop = loop_new();
	program->shared.source_class = &source_log;
	program->shared.source = source_log.create(program->source_thread.loop, &config);
}

static void
make_pool(struct program *program)
{
	const struct db_config config = {
		.conninfo = program->options->database,
		.application_name = "realtime-notifier",
		.connections_max = program->options->database_pool,
		.queue_max = 20000,
		.wait_max_ms = 30000,
		.statement_timeout_ms = program->options->statement_timeout_ms,
		/* After a crash or promotion positions need a new epoch, which no job could make; on a standby there is none. */
		.first_sql = "SELECT realtime.current_epoch()",
	};

	program->db_thread.loop = loop_new();
	program->shared.db = db_new(program->db_thread.loop, &config);
}

/* The workers, not yet running; false: said in the log. */
static bool
make_workers(struct program *program)
{
	long		cores = sysconf(_SC_NPROCESSORS_ONLN);

	program->nworkers = program->options->workers;
	if (program->nworkers == 0)
		program->nworkers = cores > 0 ? (unsigned) cores : 1;
	program->workers = memory_alloc_zeroed(sizeof(struct worker_thread) * program->nworkers);
	for (unsigned i = 0; i < program->nworkers; i++)
	{
		struct worker_thread *worker = &program->workers[i];

		worker->program = program;
		worker->number = i;
		worker->thread.loop = loop_new();
		worker->worker = worker_new(worker->thread.loop, program->options, &program->shared);
		if (worker->worker == NULL)
			return false;
		server_on_gone(worker->worker->server, connection_gone, worker);
		server_set_inspector(worker->worker->server, &inspector_http);
		inspector_add_worker(program->shared.inspector, worker->worker);
	}
	return true;
}

/* In the source's thread. */
static void
start_source(void *arg)
{
	struct program *program = arg;

	program->shared.source_class->start(program->shared.source);
}

/* Runs what the threads had posted to each other when they stopped. */
static void
drain_posts(struct program *program)
{
	bool		is_any = true;

	while (is_any)
	{
		is_any = program->db_thread.loop != NULL && loop_drain(program->db_thread.loop);
		for (unsigned i = 0; i < program->nworkers; i++)
			if (program->workers[i].thread.loop != NULL)
				is_any |= loop_drain(program->workers[i].thread.loop);
	}
}

/* Ends everything in the order in which nobody is missed: source, workers, pool. */
static void
tear_down(struct program *program)
{
	stop_thread(&program->source_thread);
	stop_thread(&program->db_thread);
	for (unsigned i = 0; i < program->nworkers; i++)
		stop_thread(&program->workers[i].thread);
	if (program->shared.db != NULL)
		db_close(program->shared.db);
	drain_posts(program);
	if (program->shared.source != NULL)
		program->shared.source_class->destroy(program->shared.source);
	for (unsigned i = 0; i < program->nworkers; i++)
		if (program->workers[i].worker != NULL)
			worker_free(program->workers[i].worker);
	drain_posts(program);		/* timers of theirs that were due may have asked something */
	for (unsigned i = 0; i < program->nworkers; i++)
		if (program->workers[i].thread.loop != NULL)
			loop_free(program->workers[i].thread.loop);
	if (program->shared.db != NULL)
		db_free(program->shared.db);
	if (program->source_thread.loop != NULL)
		loop_free(program->source_thread.loop);
	if (program->db_thread.loop != NULL)
		loop_free(program->db_thread.loop);
	memory_free(program->workers);
	if (program->shared.auth != NULL)
		auth_free(program->shared.auth);
	if (program->shared.users != NULL)
		users_free(program->shared.users);
	if (program->shared.inspector != NULL)
		inspector_free(program->shared.inspector);
	if (program->listener != NULL)
		listener_free(program->listener);
	loop_timer_free(program->watchdog);
	loop_free(program->loop);
	free_options(program->old_options);
	free_options(program->options);
}

/* Serves until a signal; the exit status. */
static int
serve(struct program *program)
{
	uint64_t	watchdog_us = 0;

	signal(SIGPIPE, SIG_IGN);
	raise_limits();
	program->loop = loop_new();
	loop_on_signal(program->loop, SIGTERM, on_terminate, program);
	loop_on_signal(program->loop, SIGINT, on_terminate, program);
	loop_on_signal(program->loop, SIGHUP, on_hangup, program);
	if (getrandom(program->shared.id_key, sizeof(program->shared.id_key), 0)
		!= (ssize_t) sizeof(program->shared.id_key)
		|| (program->shared.auth = make_auth(program->options)) == NULL)
		return 1;
	program->shared.users = users_new();
	program->shared.inspector = inspector_new();
	make_pool(program);
	make_source(program);
	if (!make_workers(program))
		return 1;
	program->listener = listener_new(program->loop, program->options, program->nworkers, accepted,
									 program);
	if (program->listener == NULL)
		return 1;
	for (unsigned i = 0; i < program->nworkers; i++)
		start_thread(&program->workers[i].thread);
	start_thread(&program->db_thread);
	start_thread(&program->source_thread);
	loop_post(program->source_thread.loop, start_source, program);
	if (sd_watchdog_enabled(0, &watchdog_us) > 0)
	{
		program->watchdog_ms = (unsigned) (watchdog_us / 2000);
		program->watchdog = loop_timer_new(program->loop, feed_watchdog, program);
		loop_timer_start(program->watchdog, program->watchdog_ms);
	}
	loop_run(program->loop);
	log_write(LOG_LEVEL_INFO, "stopped", " ");
	return 0;
}

/* --check: what is in force, and whether the keys can be used; the exit status. */
static int
check_configuration(const struct options *options)
{
	struct auth *auth;

	options_print(options, stdout);
	auth = make_auth(options);
	if (auth == NULL)
		return 2;
	auth_free(auth);
	return 0;
}

int
main(int argc, char **argv)
{
	struct program program = {.argc = argc, .argv = argv};
	int			status;

	program.options = memory_alloc_zeroed(sizeof(struct options));
	if (options_read(program.options, argc, argv, stderr) < 0)
	{
		free_options(program.options);
		return 2;
	}
	status = -1;
	if (program.options->is_help)
	{
		options_print_help(stdout);
		status = 0;
	}
	else if (program.options->is_version)
	{
		printf("realtime-notifier %s\n", REALTIME_VERSION);
		status = 0;
	}
	else if (!is_role(program.options->anon_role, stderr))
		status = 2;
	else if (program.options->is_check)
		status = check_configuration(program.options);
	else if (program.options->is_types)
		status = types_run(program.options);
	else if (program.options->tail != NULL)
		status = tail_run(program.options);
	if (status >= 0)
	{
		free_options(program.options);
		return status;
	}
	log_set_level(program.options->log_level);
	log_set_format(program.options->log_format);
	if (geteuid() == 0)
	{
		fprintf(stderr, "realtime-notifier: refuses to run as root\n"
				"Run it as an unprivileged user, for example with systemd's User=.\n");
		free_options(program.options);
		return 1;
	}
	status = serve(&program);
	tear_down(&program);
	return status;
}
