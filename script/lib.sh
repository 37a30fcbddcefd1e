# SPDX-License-Identifier: PostgreSQL
#
# lib.sh
#	What the project's scripts share: missing packages, a private build, private clusters, counting.
#
# Model
# 1. Nothing of the machine is changed but missing packages. The sources are copied to a temporary
#    directory and built there; the library is installed into a private copy of PostgreSQL's
#    programs (they find their files relative to themselves), never into the system's.
# 2. PostgreSQL refuses to run as root. When the caller is root, clusters and tests run as user
#    postgres (or realtime, made if there is none), who owns the temporary directory; else all runs
#    as the caller.
# 3. Clusters listen on a socket inside the temporary directory and on a free port of 127.0.0.1.
#    They are stopped by process id when the script ends, however it ends.
# 4. Connections by TCP need the password of $RT_ROOT/password: others on the machine reach the port.
# 5. A script started by another one (script/test starts layers) uses its build: RT_ROOT.
#
# Source it with RT_TOP unset, then call rt_begin. Environment: PG_CONFIG picks the PostgreSQL,
# RT_KEEP=1 keeps the temporary directory, RT_JOBS is make's -j.

RT_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
RT_CLUSTERS=()					# data directories of the clusters this process started
RT_WORK=						# this process's temporary directory

# Prints a line for people, on stderr: stdout belongs to results.
rt_log()
{
	printf '# %s\n' "$*" >&2
}

# Prints why and ends the script.
rt_die()
{
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# Runs a command as root: directly or through sudo; fails when neither is possible.
rt_as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo "$@"
	else
		return 1
	fi
}

# Installs Debian packages; the first argument says what is missing.
rt_install_packages()
{
	local what=$1
	local lock=
	shift
	command -v apt-get >/dev/null 2>&1 ||
		rt_die "$what is missing, and there is no apt-get to install it: please install $*"
	rt_log "$what is missing: installing $*"
	# Layers run beside each other; apt does one thing at a time.
	if [ -n "${RT_ROOT:-}" ]; then
		exec {lock}>"$RT_ROOT/apt.lock"
		flock "$lock"
	fi
	if [ -z "${RT_APT_UPDATED:-}" ]; then
		rt_as_root apt-get update -q >&2 || rt_log "apt-get update failed; trying with the old lists"
		RT_APT_UPDATED=1
	fi
	rt_as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -q -y --no-install-recommends "$@" >&2 ||
		rt_die "$what is missing and could not be installed: please install $*"
	if [ -n "$lock" ]; then exec {lock}>&-; fi
}

# Installs the package of a command when the command is missing: rt_need_command COMMAND PACKAGE...
rt_need_command()
{
	local command=$1
	shift
	command -v "$command" >/dev/null 2>&1 || rt_install_packages "$command" "$@"
}

# The PostgreSQL to build against: its server, its client programs and its build files.
rt_need_postgres()
{
	local major=15				# Debian 12's

	PG_CONFIG=${PG_CONFIG:-pg_config}
	if ! command -v "$PG_CONFIG" >/dev/null 2>&1 ||
		! [ -e "$("$PG_CONFIG" --pgxs)" ] ||
		! [ -e "$("$PG_CONFIG" --includedir-server)/postgres.h" ] ||
		! [ -x "$("$PG_CONFIG" --bindir)/initdb" ] ||
		! [ -x "$("$PG_CONFIG" --bindir)/pgbench" ]; then
		if command -v "$PG_CONFIG" >/dev/null 2>&1 && [ -x "$("$PG_CONFIG" --bindir)/postgres" ]; then
			major=$("$PG_CONFIG" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
		fi
		rt_install_packages "PostgreSQL's server with its build files" \
			"postgresql-$major" "postgresql-client-$major" "postgresql-server-dev-$major"
	fi
	[ -e "$("$PG_CONFIG" --includedir-server)/postgres.h" ] ||
		rt_die "$PG_CONFIG does not lead to PostgreSQL's build files"
	rt_need_command make build-essential
	rt_need_command cc build-essential
}

# What the notifier is built with, and the plug-in that its event loop loads.
rt_need_notifier()
{
	local missing=()
	local pair

	rt_need_command pkg-config pkg-config
	for pair in libwebsockets:libwebsockets-dev libuv:libuv1-dev jansson:libjansson-dev \
		cjose:libcjose-dev openssl:libssl-dev libcurl:libcurl4-openssl-dev inih:libinih-dev \
		libsystemd:libsystemd-dev libpq:libpq-dev
	do
		pkg-config --exists "${pair%%:*}" 2>/dev/null || missing+=("${pair##*:}")
	done
	[ -e /usr/include/uthash.h ] || missing+=(uthash-dev)
	[ -e /usr/include/cmocka.h ] || missing+=(libcmocka-dev)
	# Until 4.1 libwebsockets loads libuv's support as a plug-in, a package of its own.
	if command -v dpkg >/dev/null 2>&1 && ! dpkg -s libwebsockets-evlib-uv >/dev/null 2>&1; then
		missing+=(libwebsockets-evlib-uv)
	fi
	if [ "${#missing[@]}" -gt 0 ]; then
		rt_install_packages "what the notifier is built with" "${missing[@]}"
	fi
}

# Builds the notifier once for all layers: rt_build_notifier [SANITIZE], as in notifier/Makefile. Sets
# RT_NOTIFIER to the program.
rt_build_notifier()
{
	local sanitize=${1:-}
	local build=$RT_ROOT/notifier

	rt_need_notifier
	rt_as make -C "$RT_SRC/notifier" -s --no-print-directory -j "${RT_JOBS:-$(nproc)}" \
		"PG_CONFIG=$PG_CONFIG" "BUILD=$build" "SANITIZE=$sanitize" all >"$RT_WORK/notifier.log" 2>&1 ||
		{ cat "$RT_WORK/notifier.log" >&2; rt_die "the notifier's build failed"; }
	case $sanitize in
		"") RT_NOTIFIER=$build/realtime-notifier ;;
		address,*) RT_NOTIFIER=$build/asan/realtime-notifier ;;
		thread) RT_NOTIFIER=$build/tsan/realtime-notifier ;;
	esac
	[ -x "$RT_NOTIFIER" ] || RT_NOTIFIER=$build/./realtime-notifier
	export RT_NOTIFIER
}

# Node and npm, for the tests and tools written in JavaScript.
rt_need_node()
{
	rt_need_command node nodejs
	rt_need_command npm npm
}

# Decides who runs the clusters (RT_USER) and how to become that user (RT_AS, a prefix of commands);
# makes the user when root has none to use.
rt_choose_user()
{
	if [ "$(id -u)" -ne 0 ]; then
		RT_USER=$(id -un)
	elif id postgres >/dev/null 2>&1; then
		RT_USER=postgres
	else
		id realtime >/dev/null 2>&1 ||
			useradd --system --user-group --no-create-home --shell /usr/sbin/nologin realtime
		RT_USER=realtime
	fi
	RT_AS=(env)
	if [ "$(id -un)" != "$RT_USER" ]; then
		RT_AS=(setpriv --reuid="$RT_USER" --regid="$(id -g "$RT_USER")" --init-groups env)
	fi
}

# Runs a command as RT_USER. In the background, use "${RT_AS[@]}" COMMAND & instead: then $! is the
# command's own process id. RT_AS ends with env, so VARIABLE=value and -u VARIABLE may come first.
rt_as()
{
	"${RT_AS[@]}" "$@"
}

# Gives RT_USER a file or directory with all that is in it.
rt_give()
{
	[ "$(id -un)" = "$RT_USER" ] || chown -R "$RT_USER:$(id -g "$RT_USER")" "$@"
}

# Makes the temporary directory of this process, inside the parent's if there is one.
rt_make_work()
{
	local parent=${RT_ROOT:-${TMPDIR:-/tmp}}

	RT_WORK=$(mktemp -d "$parent/rt.XXXXXX")
	rt_give "$RT_WORK"
	if ! rt_as test -w "$RT_WORK"; then
		rmdir "$RT_WORK"		# a TMPDIR that only the caller may enter
		RT_WORK=$(mktemp -d /tmp/rt.XXXXXX)
		rt_give "$RT_WORK"
	fi
	export RT_HOME=${RT_HOME:-$HOME}	# the caller's, for npm's settings and cache
	export HOME=$RT_WORK		# the caller's is closed to RT_USER
	[ "${#RT_WORK}" -le 80 ] || rt_die "$RT_WORK is too long for a socket in it: set TMPDIR"
}

# Ends what this process started: clusters by process id, then the temporary directory.
rt_end()
{
	local status=$?
	local data

	trap - EXIT
	set +e
	for data in "${RT_CLUSTERS[@]}"; do
		rt_cluster_kill "$data"
	done
	if [ -n "${RT_KEEP:-}" ]; then
		rt_log "kept $RT_WORK"
	elif [ -n "$RT_WORK" ]; then
		rm -rf "$RT_WORK"
	fi
	exit "$status"
}

# Starts a script: user, temporary directory, clean-up, and the build unless a parent made one.
rt_begin()
{
	# Installing PostgreSQL makes the user that the clusters run as, also for the layers that come later.
	if [ -z "${RT_ROOT:-}" ]; then
		rt_need_postgres
	fi
	rt_choose_user
	trap rt_end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
	rt_make_work
	cd "$RT_WORK" || exit 1		# the caller's directory may be closed to RT_USER
	if [ -z "${RT_ROOT:-}" ]; then
		rt_build
	fi
	RT_BINDIR=$RT_ROOT/pg$("$PG_CONFIG" --bindir)
	RT_SRC=$RT_ROOT/src
	export PG_CONFIG RT_ROOT RT_BINDIR RT_SRC
	# The caller's connection settings must not leak into tests, nor its psqlrc or locale.
	unset PGAPPNAME PGDATABASE PGSERVICE PGOPTIONS PGPASSFILE PGSSLMODE PGHOSTADDR PGDATA PGTZ PGDATESTYLE
	export PGUSER=postgres LC_ALL=C PSQLRC=/dev/null
}

# Copies the sources as git sees them (or all of them, outside a git checkout) to a directory.
rt_copy_sources()
{
	local to=$1
	local git=(git -c "safe.directory=*" -C "$RT_TOP")

	mkdir -p "$to"
	if command -v git >/dev/null 2>&1 && "${git[@]}" rev-parse --is-inside-work-tree >/dev/null 2>&1
	then
		"${git[@]}" ls-files -z --cached --others --exclude-standard |
			(cd "$RT_TOP" && while IFS= read -r -d '' f; do
				if [ -e "$f" ]; then printf '%s\0' "$f"; fi
			done | tar --null --files-from=- -cf -) | tar -C "$to" -xf -
	else
		(cd "$RT_TOP" && tar --exclude=.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' \
			--exclude=node_modules -cf - .) | tar -C "$to" -xf -
	fi
}

# Builds the extension with warnings as errors and installs it into a private copy of PostgreSQL.
rt_build()
{
	local dir
	local root=$RT_WORK/root

	mkdir -p "$root/src"
	rt_copy_sources "$root/src"
	for dir in "$("$PG_CONFIG" --bindir)" "$("$PG_CONFIG" --pkglibdir)" "$("$PG_CONFIG" --sharedir)"
	do
		mkdir -p "$root/pg$dir"
		cp -a "$dir/." "$root/pg$dir"
	done
	(umask 077; od -An -N16 -tx1 /dev/urandom | tr -d " \n" >"$root/password")
	rt_give "$root"
	rt_log "building with $("$PG_CONFIG" --version), as $RT_USER"
	rt_as make -C "$root/src" -s -j "${RT_JOBS:-$(nproc)}" "PG_CONFIG=$PG_CONFIG" \
		EXTRA_CFLAGS=-Werror >"$root/build.log" 2>&1 ||
		{ cat "$root/build.log" >&2; rt_die "the build failed"; }
	rt_as make -C "$root/src" -s "PG_CONFIG=$PG_CONFIG" "DESTDIR=$root/pg" install \
		>>"$root/build.log" 2>&1 || { cat "$root/build.log" >&2; rt_die "the installation failed"; }
	RT_ROOT=$root
	rt_as "$RT_ROOT/pg$("$PG_CONFIG" --bindir)/initdb" --no-sync --locale=C --encoding=UTF8 \
		-U postgres --auth-local=trust --auth-host=scram-sha-256 \
		--pwfile="$root/password" -D "$RT_ROOT/template" >"$root/initdb.log" 2>&1 ||
		{ cat "$root/initdb.log" >&2; rt_die "initdb failed"; }
}

# Prints a port of 127.0.0.1 that nobody listens on now.
rt_free_port()
{
	local port

	while :; do
		port=$((20000 + RANDOM % 12000))
		if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			echo "$port"
			return
		fi
	done
}

# Makes and starts a cluster: rt_cluster_start NAME [SETTING...], settings as in postgresql.conf.
# Sets and exports PGHOST (the socket's directory), PGPORT, PGPASSWORD, and RT_PGDATA.
rt_cluster_start()
{
	local name=$1
	local try
	shift

	RT_PGDATA=$RT_WORK/$name
	rt_as cp -a "$RT_ROOT/template" "$RT_PGDATA"
	PGHOST=$RT_WORK
	PGPASSWORD=$(cat "$RT_ROOT/password")
	export PGHOST PGPORT PGPASSWORD RT_PGDATA
	RT_CLUSTERS+=("$RT_PGDATA")
	for try in 1 2 3 4 5; do
		PGPORT=$(rt_free_port)
		{
			echo "port = $PGPORT"
			echo "unix_socket_directories = '$RT_WORK'"
			echo "listen_addresses = '127.0.0.1'"
			echo "max_prepared_transactions = 20"
			echo "wal_level = logical"
			echo "max_worker_processes = 16"
			echo "fsync = off"
			echo "shared_buffers = 64MB"
			echo "max_wal_size = 2GB"
			echo "log_line_prefix = '%m [%p] %q%a '"
			[ $# -eq 0 ] || printf '%s\n' "$@"
		} | rt_as tee "$RT_PGDATA/postgresql.auto.conf" >/dev/null
		if rt_cluster_restart "$RT_PGDATA" 2>/dev/null; then
			return
		fi
		grep -q 'could not bind' "$RT_PGDATA/server.log" || break
	done
	tail -n 30 "$RT_PGDATA/server.log" >&2
	rt_die "cluster $name does not start (attempt $try)"
}

# Starts a stopped cluster again, with the settings it has; waits until it takes connections. The
# clients' settings must not reach the server, whose workers are clients, too (subscriptions).
rt_cluster_restart()
{
	rt_as -u PGHOST -u PGPORT -u PGUSER -u PGPASSWORD -u PGDATABASE "$RT_BINDIR/pg_ctl" -D "$1" -l "$1/server.log" -w -s start </dev/null
}

# Stops a cluster in an orderly way and waits for it.
rt_cluster_stop()
{
	rt_as "$RT_BINDIR/pg_ctl" -D "$1" -m fast -w -s stop
}

# Ends a cluster at once, by the process id in its directory; waits until it is gone.
rt_cluster_kill()
{
	if [ -s "$1/postmaster.pid" ]; then
		rt_as "$RT_BINDIR/pg_ctl" -D "$1" -m immediate -w -t 60 -s stop 2>/dev/null ||
			rt_log "the cluster in $1 was not running any more"
	fi
}

# psql that stops at the first error: rt_psql DATABASE [OPTION...]; SQL from -c or stdin.
rt_psql()
{
	local database=$1
	shift
	rt_as "$RT_BINDIR/psql" -X -q -v ON_ERROR_STOP=1 -d "$database" "$@"
}

# One value: rt_value DATABASE SQL
rt_value()
{
	rt_psql "$1" -At -c "$2"
}

# Waits until a query gives t: rt_wait_for DATABASE SECONDS SQL; false when it does not in time.
rt_wait_for()
{
	local end=$((SECONDS + $2))

	until [ "$(rt_value "$1" "$3")" = t ]; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# Records one test: rt_pass NAME, rt_fail NAME. script/test counts these lines.
rt_pass()
{
	printf 'ok - %s\n' "$1"
}

rt_fail()
{
	RT_FAILED=$((${RT_FAILED:-0} + 1))
	printf 'not ok - %s\n' "$1"
}

# A test that compares: rt_is NAME ACTUAL EXPECTED
rt_is()
{
	if [ "$2" = "$3" ]; then
		rt_pass "$1"
	else
		rt_fail "$1"
		printf '#   expected: %s\n#   actual:   %s\n' "$3" "$2"
	fi
}

# A test that a command succeeds: rt_ok NAME COMMAND...; shows its output when it does not.
rt_ok()
{
	local name=$1
	local output
	shift

	if output=$("$@" 2>&1); then
		rt_pass "$name"
	else
		rt_fail "$name"
		printf '%s\n' "$output" | sed 's/^/#   /'
	fi
}

# The last line of a layer: its exit status says whether a test failed.
rt_finish()
{
	[ "${RT_FAILED:-0}" -eq 0 ] || exit 1
}

# Runs "make installcheck" for one of its two halves against the running cluster and records each
# of its tests: rt_run_regress NAME REGRESS|ISOLATION [MAKE-ARGUMENT...]. Shows the differences of
# failed ones.
rt_run_regress()
{
	local name=$1
	local kind=$2
	local other=ISOLATION
	local status=0
	local line
	local diffs=$RT_WORK/$name.results/regression.diffs
	shift 2

	if [ "$kind" = ISOLATION ]; then
		other=REGRESS
		diffs=$RT_SRC/output_iso/regression.diffs
	else
		mkdir -p "$RT_WORK/$name.results"
		rt_give "$RT_WORK/$name.results"
		set -- "$@" "EXTRA_REGRESS_OPTS=--outputdir=$RT_WORK/$name.results"	# others may run beside
	fi
	rt_as make -C "$RT_SRC" -s --no-print-directory "PG_CONFIG=$PG_CONFIG" "$other=" "$@" \
		installcheck >"$RT_WORK/regress.out" 2>&1 || status=$?
	# Until 15: "test name ... ok  12 ms" or "FAILED"; since 16: "ok 1 - name  12 ms" or "not ok".
	while IFS= read -r line; do
		if [[ $line =~ ^(test|\ )\ *([^\ ]+)\ +\.\.\.\ (ok|FAILED|failed) ]]; then
			if [ "${BASH_REMATCH[3]}" = ok ]; then
				rt_pass "$name/${BASH_REMATCH[2]}"
			else
				rt_fail "$name/${BASH_REMATCH[2]}"
			fi
		elif [[ $line =~ ^(not\ )?ok\ [0-9]+\ +[-+]\ ([^\ ]+) ]]; then
			if [ -z "${BASH_REMATCH[1]}" ]; then
				rt_pass "$name/${BASH_REMATCH[2]}"
			else
				rt_fail "$name/${BASH_REMATCH[2]}"
			fi
		fi
	done <"$RT_WORK/regress.out"
	if [ "$status" -ne 0 ]; then
		cat "$RT_WORK/regress.out"
		if [ -s "$diffs" ]; then cat "$diffs"; fi
		[ "${RT_FAILED:-0}" -gt 0 ] || rt_fail "$name could not run"
	fi
}

# Runs Node tests of a directory against the running cluster, installing its packages first:
# rt_run_node DIRECTORY FILE...  Records each test; shows all that node says.
rt_run_node()
{
	local dir=$1
	local out=$RT_WORK/node.out
	local file
	local passed
	local failed
	shift

	rt_need_node
	if ! [ -d "$dir/node_modules" ]; then
		(cd "$dir" && HOME=$RT_HOME npm ci --ignore-scripts --no-audit --no-fund >"$RT_WORK/npm.log" 2>&1) ||
			{ cat "$RT_WORK/npm.log" >&2; rt_die "npm ci failed in $dir"; }
		rt_give "$dir"
	fi
	for file in "$@"; do
		(cd "$dir" && rt_as node --test-reporter=tap --test "$file") >"$out" 2>&1 || true
		sed 's/^/# /' "$out"
		passed=$(sed -n 's/^# pass \([0-9]*\)$/\1/p' "$out" | tail -n 1)
		failed=$(sed -n 's/^# fail \([0-9]*\)$/\1/p' "$out" | tail -n 1)
		if [ -z "$passed" ] || [ $((passed + ${failed:-0})) -eq 0 ]; then
			rt_fail "$file could not run"
			continue
		fi
		for ((; passed > 0; passed--)); do rt_pass "$file"; done
		for ((; failed > 0; failed--)); do rt_fail "$file"; done
	done
}
