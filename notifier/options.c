/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * options.c
 *	  See options.h. Everything comes from the table below; the only place that names an option twice is
 *	  doc/configuration.md, and script/check-config compares.
 *
 * A value is read by one function (set_value) wherever it comes from, the defaults included, and is
 * turned back into text by one (format_value).
 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "inifile.h"
#include "memory.h"

#define FILE_MAX (256 * 1024)	/* bytes of a configuration file: far more than all options take */
#define NAME_MAX_LENGTH 64		/* of an option's name in the environment; longer than any */

enum kind
{
	KIND_TEXT,					/* char *, NULL when empty or without a default */
	KIND_COUNT,					/* unsigned */
	KIND_MS,					/* unsigned, milliseconds; "1500", "1500ms", "2s" */
	KIND_SECONDS,				/* unsigned, seconds; "25", "25s", "5min", "1h", "1d" */
	KIND_SIZE,					/* size_t, bytes; "65536", "64kB", "4MB", "1GB" */
	KIND_SWITCH,				/* bool; on, off */
	KIND_LEVEL,					/* enum log_level */
	KIND_FORMAT					/* enum log_format */
};

enum
{
	RELOAD = 1,					/* taken over at SIGHUP */
	COMMAND = 2,				/* a flag only: says what to do */
	SECRET = 4					/* the value is never printed */
};

struct option
{
	const char *name;			/* the flag without "--" and the name in the file */
	enum kind	kind;
	size_t		offset;			/* in struct options */
	const char *initial;		/* default; NULL: none */
	const char *argument;		/* in --help; NULL for switches */
	unsigned	marks;
	unsigned long long min;
	unsigned long long max;
	const char *help;
};

#define AT(field) offsetof(struct options, field)
#define KB 1024ULL
#define MB (1024 * KB)
#define GB (1024 * MB)
#define HOUR 3600
#define COUNT_MAX 1000000		/* more than a machine has of anything counted here */

static const struct option table[] = {
	{"database", KIND_TEXT, AT(database), "", "CONNINFO", SECRET, 0, 0,
		"PostgreSQL, as libpq connects: key=value words or a URI. What is missing comes from PGHOST and its like"},
	{"database-pool", KIND_COUNT, AT(database_pool), "4", "N", 0, 1, 1000,
		"connections for snapshots, history and checks"},
	{"statement-timeout", KIND_MS, AT(statement_timeout_ms), "30s", "TIME", 0, 100, HOUR * 1000,
		"longest run of one of their statements"},
	{"poll-min", KIND_MS, AT(poll_min_ms), "1ms", "TIME", 0, 0, 60000,
		"pause between reads of the commit log while transactions keep coming"},
	{"poll-max", KIND_MS, AT(poll_max_ms), "1s", "TIME", 0, 10, 60000,
		"pause between reads at rest, when no doorbell rings"},

	{"listen", KIND_TEXT, AT(listen), "127.0.0.1:8090", "ADDRESS,...", 0, 0, 0,
		"where to listen: HOST:PORT, [IPV6]:PORT, unix:/PATH"},
	{"tls-certificate", KIND_TEXT, AT(tls_certificate), NULL, "FILE", RELOAD, 0, 0,
		"certificate chain (PEM); with it the TCP listeners speak TLS"},
	{"tls-key", KIND_TEXT, AT(tls_key), NULL, "FILE", RELOAD, 0, 0,
		"private key of the certificate (PEM)"},
	{"workers", KIND_COUNT, AT(workers), "0", "N", 0, 0, 256,
		"threads that serve connections; 0: one per core"},
	{"static", KIND_TEXT, AT(static_dir), NULL, "DIR", 0, 0, 0,
		"directory of files to serve at /"},
	{"allowed-origins", KIND_TEXT, AT(allowed_origins), NULL, "ORIGIN,...", RELOAD, 0, 0,
		"pages that may connect besides those of the notifier's own host; * for all"},
	{"trust-forwarded-for", KIND_SWITCH, AT(has_proxy), "off", NULL, 0, 0, 0,
		"take a peer's address from X-Forwarded-For; only behind a proxy that sets it"},

	{"anon-role", KIND_TEXT, AT(anon_role), NULL, "ROLE", RELOAD, 0, 0,
		"PostgreSQL role of peers without a token; without it a token is required"},
	{"jwt-secret-file", KIND_TEXT, AT(jwt_secret_file), NULL, "FILE", 0, 0, 0,
		"file with the shared secret of HS256 and its like"},
	{"jwks", KIND_TEXT, AT(jwks), NULL, "FILE|URL", 0, 0, 0,
		"JSON Web Key Set with the keys that sign tokens"},
	{"jwks-refresh", KIND_SECONDS, AT(jwks_refresh_s), "5min", "TIME", 0, 10, 24 * HOUR,
		"how often the key set is read again"},
	{"jwt-algorithms", KIND_TEXT, AT(jwt_algorithms), "HS256,RS256,ES256", "NAME,...", 0, 0, 0,
		"signature algorithms that are accepted"},
	{"jwt-audience", KIND_TEXT, AT(jwt_audience), NULL, "TEXT", 0, 0, 0,
		"what a token's aud must be or hold"},
	{"jwt-issuer", KIND_TEXT, AT(jwt_issuer), NULL, "TEXT", 0, 0, 0,
		"what a token's iss must be"},
	{"jwt-role-claim", KIND_TEXT, AT(jwt_role_claim), "role", "PATH", 0, 0, 0,
		"claim that names the PostgreSQL role; dots lead into objects"},
	{"jwt-default-role", KIND_TEXT, AT(jwt_default_role), NULL, "ROLE", 0, 0, 0,
		"role of tokens without that claim; without it they are refused"},
	{"jwt-leeway", KIND_SECONDS, AT(jwt_leeway_s), "5s", "TIME", 0, 0, HOUR,
		"difference of clocks that is forgiven"},
	{"admin-role", KIND_TEXT, AT(admin_role), NULL, "ROLE", 0, 0, 0,
		"role whose tokens may read /metrics from afar; without it only this machine may"},

	{"max-connections", KIND_COUNT, AT(max_connections), "10000", "N", RELOAD, 1, COUNT_MAX,
		"connections of the process"},
	{"max-connections-per-address", KIND_COUNT, AT(max_connections_per_address), "0", "N", RELOAD, 0, COUNT_MAX,
		"connections of one address; 0: no limit"},
	{"max-connections-per-user", KIND_COUNT, AT(max_connections_per_user), "0", "N", RELOAD, 0, COUNT_MAX,
		"connections of one user (claim sub); 0: no limit"},
	{"max-subscriptions", KIND_COUNT, AT(max_subscriptions), "100", "N", RELOAD, 1, COUNT_MAX,
		"subscriptions of one session"},
	{"max-message", KIND_SIZE, AT(max_message), "64kB", "SIZE", RELOAD, KB, 16 * MB,
		"largest message of a client"},
	{"max-messages-per-minute", KIND_COUNT, AT(max_messages_per_minute), "600", "N", RELOAD, 1, COUNT_MAX,
		"messages of one session"},
	{"max-queue", KIND_SIZE, AT(max_queue), "4MB", "SIZE", RELOAD, 64 * KB, GB,
		"bytes that may wait for one session"},
	{"max-snapshot", KIND_SIZE, AT(max_snapshot), "256MB", "SIZE", RELOAD, 64 * KB, 64 * GB,
		"largest snapshot"},
	{"slow-timeout", KIND_SECONDS, AT(slow_timeout_s), "30s", "TIME", RELOAD, 1, HOUR,
		"a full queue that does not move for so long closes its session (4008)"},
	{"auth-timeout", KIND_SECONDS, AT(auth_timeout_s), "10s", "TIME", RELOAD, 1, HOUR,
		"from the handshake to a valid token"},
	{"handshake-timeout", KIND_SECONDS, AT(handshake_timeout_s), "10s", "TIME", RELOAD, 1, HOUR,
		"from the connection to a complete request"},
	{"heartbeat", KIND_SECONDS, AT(heartbeat_s), "25s", "TIME", RELOAD, 1, HOUR,
		"longest silence: a ping and a position follow"},
	{"drain", KIND_SECONDS, AT(drain_s), "5s", "TIME", RELOAD, 0, HOUR,
		"at SIGTERM, connections are closed spread over so long"},
	{"history-cache", KIND_SIZE, AT(history_cache), "64MB", "SIZE", RELOAD, 0, 64 * GB,
		"recent transactions kept in memory for clients that resume"},
	{"total-memory", KIND_SIZE, AT(total_memory), "1GB", "SIZE", RELOAD, MB, 1024 * GB,
		"bytes that may wait for all sessions; beyond, the largest queues get a gap"},
	{"poll-timeout", KIND_SECONDS, AT(poll_timeout_s), "25s", "TIME", RELOAD, 1, HOUR,
		"longest wait of a long poll"},

	{"log-level", KIND_LEVEL, AT(log_level), "info", "LEVEL", RELOAD, 0, 0,
		"error, warning, info or debug"},
	{"log-format", KIND_FORMAT, AT(log_format), "text", "FORMAT", RELOAD, 0, 0,
		"text or json"},

	{"config", KIND_TEXT, AT(config), NULL, "FILE", COMMAND, 0, 0,
		"file of options, one \"name = value\" a line"},
	{"check", KIND_SWITCH, AT(is_check), "off", NULL, COMMAND, 0, 0,
		"read the configuration, say what is wrong or in force, exit"},
	{"tail", KIND_TEXT, AT(tail), NULL, "FEATURE.ENTITY[.ACTION]", COMMAND, 0, 0,
		"print live events of a running notifier; * for any"},
	{"url", KIND_TEXT, AT(url), NULL, "URL", COMMAND, 0, 0,
		"that notifier (ws:// or wss://); else the one that --listen describes"},
	{"token-file", KIND_TEXT, AT(token_file), NULL, "FILE", COMMAND, 0, 0,
		"token to show it"},
	{"version", KIND_SWITCH, AT(is_version), "off", NULL, COMMAND, 0, 0,
		"print the version, exit"},
	{"help", KIND_SWITCH, AT(is_help), "off", NULL, COMMAND, 0, 0,
		"print this, exit"},
};

#define TABLE_LENGTH (sizeof(table) / sizeof(table[0]))

/* A unit of times or sizes; the first of each list is the kind's own. */
struct unit
{
	const char *name;
	unsigned long long factor;
};
static const struct unit ms_units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {NULL, 0}};
static const struct unit second_units[] = {{"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}, {NULL, 0}};
static const struct unit size_units[] = {{"B", 1}, {"kB", KB}, {"MB", MB}, {"GB", GB}, {NULL, 0}};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static const char *const level_names[] = {"error", "warning", "info", "debug", NULL};
static const char *const format_names[] = {"text", "json", NULL};
static const char *const switch_names[] = {"off", "on", NULL};

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

static const struct unit *
units_of(enum kind kind)
{
	switch (kind)
	{
		case KIND_MS:
			return ms_units;
		case KIND_SECONDS:
			return second_units;
		case KIND_SIZE:
			return size_units;
		default:
			return no_units;
	}
}

static const char *const *
names_of(enum kind kind)
{
	switch (kind)
	{
		case KIND_LEVEL:
			return level_names;
		case KIND_FORMAT:
			return format_names;
		default:
			return switch_names;
	}
}

/* The name in the environment: REALTIME_ANON_ROLE. */
static void
environment_name(const struct option *option, char name[NAME_MAX_LENGTH])
{
	snprintf(name, NAME_MAX_LENGTH, "REALTIME_%s", option->name);
	for (char *p = name; *p != '\0'; p++)
		*p = *p == '-' ? '_' : (char) toupper((unsigned char) *p);
}

/* A number with its largest unit that leaves no rest: 65536 is 64kB. */
static void
format_number(enum kind kind, unsigned long long number, char *text, size_t size)
{
	const struct unit *best = units_of(kind);

	for (const struct unit *unit = best; unit->name != NULL && number > 0; unit++)
		if (number % unit->factor == 0)
			best = unit;
	snprintf(text, size, "%llu%s", number / best->factor, number > 0 ? best->name : "");
}

static unsigned long long
get_number(const struct options *options, const struct option *option)
{
	const char *at = (const char *) options + option->offset;

	return option->kind == KIND_SIZE ? *(const size_t *) at : *(const unsigned *) at;
}

/* A value as text, malloc'd; NULL for none. */
static char *
format_value(const struct options *options, const struct option *option)
{
	const char *at = (const char *) options + option->offset;
	const char *text;
	char		number[32];

	switch (option->kind)
	{
		case KIND_TEXT:
			text = *(char *const *) at;
			break;
		case KIND_SWITCH:
			text = switch_names[*(const bool *) at];
			break;
		case KIND_LEVEL:
			text = level_names[*(const enum log_level *) at];
			break;
		case KIND_FORMAT:
			text = format_names[*(const enum log_format *) at];
			break;
		default:
			format_number(option->kind, get_number(options, option), number, sizeof(number));
			text = number;
			break;
	}
	return text ? memory_copy_string(text, strlen(text)) : NULL;
}

/* Reads a number with its unit; RT_MALFORMED when it is none, RT_TOO_LARGE when it is out of range. */
static int
parse_number(const struct option *option, const char *text, unsigned long long *number)
{
	const struct unit *unit = units_of(option->kind);
	char	   *end;

	if (!isdigit((unsigned char) *text))
		return RT_MALFORMED;
	errno = 0;
	*number = strtoull(text, &end, 10);
	if (errno != 0)
		return RT_TOO_LARGE;
	end += strspn(end, " ");
	for (; *end != '\0' && unit->name != NULL && strcmp(end, unit->name) != 0; unit++)
		;
	if (unit->name == NULL)
		return RT_MALFORMED;
	if (*number > ULLONG_MAX / unit->factor)
		return RT_TOO_LARGE;
	*number *= unit->factor;
	return *number < option->min || *number > option->max ? RT_TOO_LARGE : RT_OK;
}

/* Says that a value is no good and what would be. */
static void
complain_value(const struct reader *reader, const struct option *option, const char *value)
{
	char		low[32];
	char		high[32];

	if (reader->line > 0)
		fprintf(reader->err, "%s:%u: ", reader->file_name, reader->line);
	fprintf(reader->err, "%s%s: \"%.60s\" is no good: ", reader->prefix, option->name, value);
	switch (option->kind)
	{
		case KIND_TEXT:
			fputs("it must not be empty\n", reader->err);
			break;
		case KIND_SWITCH:
		case KIND_LEVEL:
		case KIND_FORMAT:
			fputs("it is", reader->err);
			for (const char *const *name = names_of(option->kind); *name != NULL; name++)
				fprintf(reader->err, "%s %s", name == names_of(option->kind) ? "" : " or", *name);
			fputs("\n", reader->err);
			break;
		default:
			format_number(option->kind, option->min, low, sizeof(low));
			format_number(option->kind, option->max, high, sizeof(high));
			fprintf(reader->err, "it is a whole number from %s to %s", low, high);
			for (const struct unit *unit = units_of(option->kind); unit->name != NULL; unit++)
				if (*unit->name != '\0')
					fprintf(reader->err, "%s%s", unit == units_of(option->kind) ? ", in " : ", ",
							unit->name);
			fputs("\n", reader->err);
			break;
	}
}

/* Index of a text in a list that ends with NULL, -1 when it is not in it. */
static int
find_name(const char *const *names, const char *text)
{
	for (int i = 0; names[i] != NULL; i++)
		if (strcmp(names[i], text) == 0)
			return i;
	return -1;
}

/* Puts text into a string option; empty text is none, unless the default is a string. */
static int
set_text(char **at, const struct option *option, const char *value)
{
	if (*value == '\0' && option->initial != NULL && *option->initial != '\0')
		return RT_MALFORMED;
	memory_free(*at);
	*at = *value == '\0' && option->initial == NULL ? NULL : memory_copy_string(value, strlen(value));
	return RT_OK;
}

/* Puts a value into the struct; says so and returns RT_MALFORMED when it is no good. */
static int
set_value(const struct reader *reader, const struct option *option, const char *value)
{
	char	   *at = (char *) reader->options + option->offset;
	unsigned long long number;
	int			index;
	int			result = RT_OK;

	switch (option->kind)
	{
		case KIND_TEXT:
			result = set_text((char **) (void *) at, option, value);
			break;
		case KIND_SWITCH:
		case KIND_LEVEL:
		case KIND_FORMAT:
			index = find_name(names_of(option->kind), value);
			if (index < 0)
				result = RT_MALFORMED;
			else if (option->kind == KIND_SWITCH)
				*(bool *) at = index == 1;
			else if (option->kind == KIND_LEVEL)
				*(enum log_level *) (void *) at = (enum log_level) index;
			else
				*(enum log_format *) (void *) at = (enum log_format) index;
			break;
		default:
			result = parse_number(option, value, &number);
			if (result == RT_OK && option->kind == KIND_SIZE)
				*(size_t *) (void *) at = (size_t) number;
			else if (result == RT_OK)
				*(unsigned *) (void *) at = (unsigned) number;
			break;
	}
	if (result != RT_OK)
		complain_value(reader, option, value);
	return result == RT_OK ? RT_OK : RT_MALFORMED;
}

/* The option of a name of len bytes, NULL when there is none. */
static const struct option *
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
	const struct option *option = find_option(name, strlen(name));

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
		struct option named = table[i];
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
		const struct option *option = NULL;
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
		else if (option->kind == KIND_SWITCH)
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
		if (table[i].kind == KIND_TEXT)
			memory_free(*(char **) (void *) ((char *) options + table[i].offset));
	memset(options, 0, sizeof(*options));
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
		char	   *old = format_value(running, &table[i]);
		char	   *now = format_value(options, &table[i]);

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
print_facts(const struct option *option, FILE *out)
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
		format_number(option->kind, option->min, low, sizeof(low));
		format_number(option->kind, option->max, high, sizeof(high));
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
		char	   *value = format_value(options, &table[i]);

		if ((table[i].marks & COMMAND) == 0 && value != NULL && *value != '\0')
			fprintf(out, "%s%s = %s\n", (table[i].marks & SECRET) != 0 ? "# " : "", table[i].name,
					(table[i].marks & SECRET) != 0 ? "(not shown)" : value);
		memory_free(value);
	}
}
