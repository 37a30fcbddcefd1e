# realtime: build of the extension with PGXS. The version has one source, realtime.control.
EXTENSION = realtime
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" realtime.control)
MODULE_big = realtime
OBJS = $(patsubst %.c,%.o,$(wildcard extension/*.c))
LOCAL_INCLUDES = $(wildcard extension/*.h)
DATA = $(wildcard extension/realtime--*.sql)
PGFILEDESC = "realtime - live events from plain SQL writes"

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --load-extension=plpgsql
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --load-extension=realtime

PG_CPPFLAGS = -DREALTIME_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers $(EXTRA_CFLAGS)

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(LOCAL_INCLUDES)

# make lint: cppcheck of the extension, with the server's headers, then notifier/'s. make -k lint: all to the end.
LINT_JOBS ?= 2
.PHONY: lint lint-extension lint-notifier
lint: lint-extension lint-notifier

lint-extension:
	cppcheck -j $(LINT_JOBS) --quiet --std=c11 --enable=warning,style,performance,portability --inline-suppr \
		--error-exitcode=1 --suppressions-list=extension/cppcheck.suppress \
		'--suppress=*:$(shell $(PG_CONFIG) --includedir-server)/*' \
		-I$(shell $(PG_CONFIG) --includedir-server) -Iextension -D__linux__ -D__x86_64__ -D__GNUC__=12 \
		$(PG_CPPFLAGS) $(wildcard extension/*.c)

lint-notifier:
	$(MAKE) -C notifier --no-print-directory PG_CONFIG=$(PG_CONFIG) LINT_JOBS=$(LINT_JOBS) lint
