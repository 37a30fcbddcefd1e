/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * options.c
 *	  See options.h. Everything comes from the table below; the only place that names an option twice is
 *	  doc/configuration.md, and script/check-config compares.
 *
 * A value is read by one function (set_value) wherever it comes from, the defaults included.
 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inifile.h"
#include "memory.h"
#include "setting.h"
#include "windows.h"

#define FILE_MAX (256 * 1024)	/* bytes of a configuration file: far more than all options take */
#define NAME_MAX_LENGTH 64		/* of an option's name in the environment; longer than any */

/* Marks of options. */
enum
{
	RELOAD = 1,					/* taken over at SIGHUP */
	COMMAND = 2,				/* a flag only: says what to do */
	SECRET = 4					/* the value is never printed */
};

#define HOUR 3600
#define COUNT_MAX 1000000		/* more than a machine has of anything counted here */

/* Rows of the table by kind of value. */
#define ROW(row_name, row_kind, field, row_initial, row_argument, row_marks, low, high, names, row_help) \
	{.name = (row_name), .kind = (row_kind), .offset = offsetof(struct options, field), \
	 .initial = (row_initial), .argument = (row_argument), .marks = (row_marks), .min = (low), \
	 .max = (high), .choices = (names), .help = (row_help)}
#define TEXT(name, field, initial, argument, marks, help) \
	ROW(name, SETTING_TEXT, field, initial, argument, marks, 0, 0, NULL, help)
#define COUNT(name, field, initial, marks, min, max, help) \
	ROW(name, SETTING_COUNT, field, initial, "N", marks, min, max, NULL, help)
#define MS(name, field, initial, marks, min, max, help) \
	ROW(name, SETTING_MS, field, initial, "TIME", marks, min, max, NULL, help)
#define SECONDS(name, field, initial, marks, min, max, help) \
	ROW(name, SETTING_SECONDS, field, initial, "TIME", marks, min, max, NULL, help)
#define SIZE(name, field, initial, marks, min, max, help) \
	ROW(name, SETTING_SIZE, field, initial, "SIZE", marks, min, max, NULL, help)
#define SWITCH(name, field, marks, help) \
	ROW(name, SETTING_SWITCH, field, "off", NULL, marks, 0, 0, NULL, help)
#define CHOICE(name, field, initial, argument, marks, names, help) \
	ROW(name, SETTING_CHOICE, field, initial, argument, marks, 0, 0, names, help)

static const char *const level_names[] = {"error", "warning", "info", "debug", NULL};
static const char *const format_names[] = {"text", "json", NULL};

static const struct setting table[] = {
	TEXT("database", database, "", "CONNINFO", SECRET,
		 "PostgreSQL, as libpq connects: key=value words or a URI. What is missing comes from PGHOST and its like"),
	COUNT("database-pool", database_pool, "4", 0, 1, 1000,
		  "connections for snapshots, history and checks"),
	MS("statement-timeout", statement_timeout_ms, "30s", 0, 100, HOUR * 1000,
		"longest run of one of their statements"),
	MS("policy-timeout", policy_timeout_ms, "1s", RELOAD, 10, 60000,
		"longest evaluation of a row-level security policy on the rows of a batch"),
	MS("poll-min", poll_min_ms, "0", 0, 0, 60000,
		"least pause between reads of the commit log; 0: as long as a read takes"),
	MS("poll-max", poll_max_ms, "1s", 0, 10, 60000,
		"pause between reads at rest, when no doorbell rings"),

	TEXT("listen", listen, "127.0.0.1:8090", "ADDRESS,...", 0,
		 "where to listen: HOST:PORT, [IPV6]:PORT, unix:/PATH"),
	TEXT("tls-certificate", tls_certificate, NULL, "FILE", RELOAD,
		 "certificate chain (PEM); with it all listeners speak TLS"),
	TEXT("tls-key", tls_key, NULL, "FILE", RELOAD,
		 "private key of the certificate (PEM)"),
	COUNT("workers", workers, "0", 0, 0, 256,
		  "threads that serve connections; 0: one per core"),
	TEXT("static", static_dir, NULL, "DIR", 0,
		 "directory of files to serve at /"),
	TEXT("allowed-origins", allowed_origins, NULL, "ORIGIN,...", RELOAD,
		 "pages that may connect besides those of the notifier's own host; * for all"),
	SWITCH("trust-forwarded-for", has_proxy, 0,
		   "take a peer's address from X-Forwarded-For; only behind a proxy that sets it"),

	TEXT("anon-role", anon_role, NULL, "ROLE", RELOAD,
		 "PostgreSQL role of peers without a token; without it a token is required"),
	TEXT("jwt-secret-file", jwt_secret_file, NULL, "FILE", 0,
		 "file with the shared secret of HS256 and its like"),
	TEXT("jwks", jwks, NULL, "FILE|URL", 0,
		 "JSON Web Key Set with the keys that sign tokens"),
	SECONDS("jwks-refresh", jwks_refresh_s, "5min", 0, 10, 24 * HOUR,
			"how often the key set is read again"),
	TEXT("jwt-algorithms", jwt_algorithms, "HS256,RS256,ES256", "NAME,...", 0,
		 "signature algorithms that are accepted"),
	TEXT("jwt-audience", jwt_audience, NULL, "TEXT", 0,
		 "what a token's aud must be or hold"),
	TEXT("jwt-issuer", jwt_issuer, NULL, "TEXT", 0,
		 "what a token's iss must be"),
	TEXT("jwt-role-claim", jwt_role_claim, "role", "PATH", 0,
		 "claim that names the PostgreSQL role; dots lead into objects"),
	TEXT("jwt-default-role", jwt_default_role, NULL, "ROLE", 0,
		 "role of tokens without that claim; without it they are refused"),
	SECONDS("jwt-leeway", jwt_leeway_s, "5s", 0, 0, HOUR,
			"difference of clocks that is forgiven"),
	TEXT("admin-role", admin_role, NULL, "ROLE", RELOAD,
		 "role whose tokens may use the inspector, and read /metrics from afar, which else only this machine may"),
	SWITCH("inspector", has_inspector, RELOAD,
		   "serve a page at /inspector that shows sessions, views, rates and events to admin-role"),

	COUNT("max-connections", max_connections, "10000", RELOAD, 1, COUNT_MAX,
		  "connections of the process"),
	COUNT("max-connections-per-address", max_connections_per_address, "0", RELOAD, 0, COUNT_MAX,
		  "connections of one address; 0: no limit"),
	COUNT("max-connections-per-user", max_connections_per_user, "0", RELOAD, 0, COUNT_MAX,
		  "connections of one user (claim sub); 0: no limit"),
	COUNT("max-subscriptions", max_subscriptions, "100", RELOAD, 1, COUNT_MAX,
		  "subscriptions of one session"),
	SIZE("max-message", max_message, "64kB", RELOAD, SETTING_KB, 16 * SETTING_MB,
		 "largest message of a client"),
	COUNT("max-messages-per-minute", max_messages_per_minute, "600", RELOAD, 1, COUNT_MAX,
		  "messages of one session"),
	SIZE("max-queue", max_queue, "4MB", RELOAD, 16 * SETTING_KB, SETTING_GB,
		 "bytes that may wait for one session"),
	SIZE("max-snapshot", max_snapshot, "256MB", RELOAD, 64 * SETTING_KB, 64 * SETTING_GB,
		 "largest snapshot"),
	SECONDS("slow-timeout", slow_timeout_s, "30s", RELOAD, 1, HOUR,
			"a full queue that does not move for so long closes its session (4008)"),
	SECONDS("auth-timeout", auth_timeout_s, "10s", RELOAD, 1, HOUR,
			"from the handshake to a valid token"),
	SECONDS("handshake-timeout", handshake_timeout_s, "10s", RELOAD, 1, HOUR,
			"from the connection to a complete request"),
	SECONDS("heartbeat", heartbeat_s, "25s", RELOAD, 1, HOUR,
			"longest silence: a ping and a position follow"),
	SECONDS("drain", drain_s, "5s", RELOAD, 0, HOUR,
			"at SIGTERM, connections are closed spread over so long"),
	SIZE("history-cache", history_cache, "64MB", RELOAD, 0, 64 * SETTING_GB,
		 "recent transactions kept in memory for clients that resume"),
	SIZE("total-memory", total_memory, "1GB", RELOAD, SETTING_MB, 1024 * SETTING_GB,
		 "bytes that may wait for all sessions; beyond, the largest queues get a gap"),
	SECONDS("poll-timeout", poll_timeout_s, "25s", RELOAD, 1, HOUR,
			"longest wait of a long poll"),
	TEXT("coalesce-window", windows, NULL, "FEATURE.ENTITY=TIME,...", RELOAD,
		 "how long commits are held and merged for subscriptions that do not say so themselves; at most 1min"),

	CHOICE("log-level", log_level, "info", "LEVEL", RELOAD, level_names,
		   "error, warning, info or debug"),
	CHOICE("log-format", log_format, "text", "FORMAT", RELOAD, format_names,
		   "text or json"),

	TEXT("config", config, NULL, "FILE", COMMAND,
		 "file of options, one \"name = value\" a line"),
	SWITCH("check", is_check, COMMAND,
		   "read the configuration, say what is wrong or in force, exit"),
	SWITCH("types", is_types, COMMAND,
		   "print what the database has registered as a TypeScript module, exit"),
	TEXT("tail", tail, NULL, "FEATURE.ENTITY[.ACTION]", COMMAND,
		 "print live events of a running notifier; * for any"),
	TEXT("url", url, NULL, "URL", COMMAND,
		 "that notifier (ws:// or wss://); else the one that --listen describes"),
	TEXT("token-file", token_file, NULL, "FILE", COMMAND,
		 "token to show it"),
	SWITCH("version", is_version, COMMAND,
		   "print the version, exit"),
	SWITCH("help", is_help, COMMAND,
		   "print this, exit"),
};

#define TABLE_LENGTH (sizeof(table) / sizeof(table[0]))

/* Where values are read from at the moment, for messages. */
struct reader
{
	struct options *options;
	FILE	   *err;
	const char *file_name;
	unsigned	line;			/* in the file; 0: not in a file */
	const char *prefix;			/* "--" for flags, "" for the file */
	bool		is_given[TABLE_LENGTH];	/* names that stood in the file */
};

/* The name in the environment: REALTIME_ANON_ROLE. */
static void
environment_name(const struct setting *option, char name[NAME_MAX_LENGTH])
{
	snprintf(name, NAME_MAX_LENGTH, "REALTIME_%s", option->name);
	for (char *p = name; *p != '\0'; p++)
		*p = *p == '-' ? '_' : (char) toupper((unsigned char) *p);
}

/* Puts a value into the struct; says so and returns RT_MALFORMED when it is no good. */
static int
set_value(const struct reader *reader, const struct setting *option, const char *value)
{
	if (setting_set(option, reader->options, value) == RT_OK)
		return RT_OK;
	if (reader->line > 0)
		fprintf(reader->err, "%s:%u: ", reader->file_name, reader->line);
	fprintf(reader->err, "%s%s: \"%.60s\" is no good: expected ", reader->prefix, option->name,
			(option->marks & SECRET) != 0 ? "..." : value);
	setting_print_expected(option, reader->err);
	fputs("\n", reader->err);
	return RT_MALFORMED;
}

/* The option of a name of len bytes, NULL when there is none. */
static const struct setting *
find_option(const char *name, size_t len)
{
	for (size_t i = 0; i < TABLE_LENGTH; i++)
		if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
			return &table[i];
	return NULL;
}

/* One entry of the file. */
static int
set_from_file(void *arg, unsigned line, const char *name, const char *value)
{
	struct reader *reader = arg;
	const struct setting *option = find_option(name, strlen(name));

	reader->line = line;
	if (option == NULL || (option->marks & COMMAND) != 0)
	{
		fprintf(reader->err, "%s:%u: there is no option \"%.60s\"%s\n", reader->file_name, line, name,
				option ? " in a file: it is a flag" : "; --help lists them");
		return RT_MALFORMED;
	}
	if (reader->is_given[option - table])
	{
		fprintf(reader->err, "%s:%u: %s is given twice\n", reader->file_name, line, name);
		return RT_MALFORMED;
	}
	reader->is_given[option - table] = true;
	return set_value(reader, option, value);
}

int
options_read_text(struct options *options, const char *text, size_t len, const char *file_name,
				  FILE *err)
{
	struct reader reader = {.options = options, .err = err, .file_name = file_name, .prefix = ""};
	const char *why;
	unsigned	line;

	memset(options, 0, sizeof(*options));
	for (size_t i = 0; i < TABLE_LENGTH; i++)
		if (table[i].initial != NULL && set_value(&reader, &table[i], table[i].initial) != RT_OK)
			abort();			/* a default that is not in the range: a mistake in the table */
	if (inifile_parse(text, len, set_from_file, &reader, &line, &why) == RT_OK)
		return RT_OK;
	if (why != NULL)
		fprintf(err, "%s:%u: %s\n", file_name, line, why);
	return RT_MALFORMED;
}

/* A whole file, malloc'd, at most FILE_MAX bytes; NULL when it cannot be read, and says so. */
static char *
read_file(const char *name, size_t *len, FILE *err)
{
	FILE	   *file = fopen(name, "r");
	char	   *text;

	if (file == NULL)
	{
		fprintf(err, "--config: cannot open %s: %s\n", name, strerror(errno));
		return NULL;
	}
	text = memory_alloc(FILE_MAX + 1);
	*len = fread(text, 1, FILE_MAX + 1, file);
	if (ferror(file) || *len > FILE_MAX)
	{
		fprintf(err, "--config: cannot read %s: %s\n", name,
				ferror(file) ? strerror(errno) : "it is over 256 kB");
		memory_free(text);
		text = NULL;
	}
	fclose(file);
	return text;
}

/* Variables that are set in the environment. */
static int
read_environment(struct reader *reader)
{
	for (size_t i = 0; i < TABLE_LENGTH; i++)
	{
		char		name[NAME_MAX_LENGTH];
		struct setting named = table[i];
		const char *value;

		if ((table[i].marks & COMMAND) != 0)
			continue;
		environment_name(&table[i], name);
		value = getenv(name);
		named.name = name;		/* for the message */
		if (value != NULL && set_value(reader, &named, value) != RT_OK)
			return RT_MALFORMED;
	}
	return RT_OK;
}

/* Flags: --name=value, --name value; a switch alone is on. */
static int
read_flags(struct reader *reader, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
	{
		const char *name = argv[i];
		const char *value = NULL;
		const struct setting *option = NULL;
		size_t		len;

		if (strcmp(name, "-h") == 0)
			name = "--help";
		len = strcspn(name, "=");
		if (strncmp(name, "--", 2) == 0)
			option = find_option(name + 2, len - 2);
		if (option == NULL)
		{
			fprintf(reader->err, "there is no option \"%.*s\"; --help lists them\n",
					len > 60 ? 60 : (int) len, name);
			return RT_MALFORMED;
		}
		if (name[len] == '=')
			value = name + len + 1;
		else if (option->kind == SETTING_SWITCH)
			value = "on";
		else if (i + 1 < argc)
			value = argv[++i];
		else
		{
			fprintf(reader->err, "--%s: needs a value: %s\n", option->name, option->argument);
			return RT_MALFORMED;
		}
		if (set_value(reader, option, value) != RT_OK)
			return RT_MALFORMED;
	}
	return RT_OK;
}

/* What must fit together. */
static int
check_together(const struct options *options, FILE *err)
{
	if ((options->tls_certificate == NULL) != (options->tls_key == NULL))
	{
		fputs("tls-certificate and tls-key: one is given without the other\n", err);
		return RT_MALFORMED;
	}
	if (windows_check(options->windows) != RT_OK)
	{
		fputs("coalesce-window: expected FEATURE.ENTITY=TIME, several separated by commas, each at most 1min\n", err);
		return RT_MALFORMED;
	}
	if (options->poll_min_ms > options->poll_max_ms)
	{
		fputs("poll-min: it must not be over poll-max\n", err);
		return RT_MALFORMED;
	}
	return RT_OK;
}

int
options_read(struct options *options, int argc, char **argv, FILE *err)
{
	struct reader reader = {.options = options, .err = err, .prefix = "--"};
	char	   *text = NULL;
	size_t		len = 0;
	int			result;

	/* Flags first, for --config and --help; again at last, because they win. */
	if (options_read_text(options, "", 0, "", err) != RT_OK || read_flags(&reader, argc, argv) != RT_OK)
		return RT_MALFORMED;
	if (options->is_help || options->is_version)
		return RT_OK;
	if (options->config != NULL)
	{
		char	   *name = memory_copy_string(options->config, strlen(options->config));

		text = read_file(name, &len, err);
		options_release(options);
		result = text ? options_read_text(options, text, len, name, err) : RT_MALFORMED;
		memory_free(text);
		memory_free(name);
		if (result != RT_OK)
			return result;
	}
	reader.prefix = "";
	if (read_environment(&reader) != RT_OK)
		return RT_MALFORMED;
	reader.prefix = "--";
	if (read_flags(&reader, argc, argv) != RT_OK)
		return RT_MALFORMED;
	return check_together(options, err);
}

int
options_reread(struct options *options, int argc, char **argv, FILE *err)
{
	return options_read(options, argc, argv, err);
}

void
options_release(struct options *options)
{
	for (size_t i = 0; i < TABLE_LENGTH; i++)
		setting_release(&table[i], options);
}

/* Whether two texts, NULL for none, are the same. */
static bool
is_same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

unsigned
options_keep_fixed(struct options *options, const struct options *running, char *names, size_t size)
{
	const struct reader reader = {.options = options, .err = stderr, .prefix = ""};
	unsigned	count = 0;
	size_t		used = 0;

	if (size > 0)
		*names = '\0';
	for (size_t i = 0; i < TABLE_LENGTH; i++)
	{
		char	   *old = setting_get(&table[i], running);
		char	   *now = setting_get(&table[i], options);

		if ((table[i].marks & RELOAD) == 0 && !is_same(old, now))
		{
			if (used < size)
				used += (size_t) snprintf(names + used, size - used, "%s%s", count > 0 ? ", " : "",
										  table[i].name);
			if (set_value(&reader, &table[i], old ? old : "") != RT_OK)
				abort();		/* it was good once */
			count++;
		}
		memory_free(old);
		memory_free(now);
	}
	return count;
}

/* The last line of an option's help, which doc/configuration.md repeats. */
static void
print_facts(const struct setting *option, FILE *out)
{
	char		name[NAME_MAX_LENGTH];
	char		low[32];
	char		high[32];

	if ((option->marks & COMMAND) != 0)
	{
		fputs("        Flag only.\n", out);
		return;
	}
	if (option->initial == NULL || *option->initial == '\0')
		fputs("        Default: none.", out);
	else
		fprintf(out, "        Default: %s.", option->initial);
	if (option->max > 0)
	{
		setting_format_number(option->kind, option->min, low, sizeof(low));
		setting_format_number(option->kind, option->max, high, sizeof(high));
		fprintf(out, " Range: %s to %s.", low, high);
	}
	environment_name(option, name);
	fprintf(out, " Environment: %s. Reload: %s.\n", name,
			(option->marks & RELOAD) != 0 ? "yes" : "no");
}

void
options_print_help(FILE *out)
{
	fputs("usage: realtime-notifier [OPTION...]\n"
		  "Pushes the events of PostgreSQL's extension realtime to browsers and programs.\n\n"
		  "Each option but those marked \"flag only\" may also stand in the file of --config (name = value)\n"
		  "or in the environment; flags win over the environment, and that over the file.\n"
		  "Times take ms, s, min, h, d; sizes B, kB, MB, GB. Options marked \"reload: yes\" are taken over\n"
		  "at SIGHUP.\n\n", out);
	for (size_t i = 0; i < TABLE_LENGTH; i++)
	{
		fprintf(out, "  --%s%s%s\n        %s\n", table[i].name, table[i].argument ? " " : "",
				table[i].argument ? table[i].argument : "", table[i].help);
		print_facts(&table[i], out);
	}
}

void
options_print(const struct options *options, FILE *out)
{
	for (size_t i = 0; i < TABLE_LENGTH; i++)
	{
		char	   *value = setting_get(&table[i], options);

		if ((table[i].marks & COMMAND) == 0 && value != NULL && *value != '\0')
			fprintf(out, "%s%s = %s\n", (table[i].marks & SECRET) != 0 ? "# " : "", table[i].name,
					(table[i].marks & SECRET) != 0 ? "(not shown)" : value);
		memory_free(value);
	}
}
