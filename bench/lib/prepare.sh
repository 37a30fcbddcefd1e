# SPDX-License-Identifier: PostgreSQL
#
# prepare.sh
#	What the benchmarks of the notifier share: building, a cluster, and a start of the figure's program.
#	Source it after script/lib.sh.

# Builds what measures, the notifier and PostgreSQL, starts a cluster, and runs figures/NAME.js, which
# prints a table and writes figures.json: bench_run NAME "SETTING lines" OPTION...
# RT_NOTIFIER, if set, is used as it is. --dir and --json are for here, the others for the figure.
bench_run()
{
	local name=$1 settings=$2
	local program json=
	local cc=(cc -std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror)
	local arguments=() lines=()
	shift 2

	while [ $# -gt 0 ]; do
		case "$1" in
			--dir) export TMPDIR; TMPDIR=$(realpath "$2"); shift ;;
			--json) json=$(realpath -m "$2"); shift ;;
			*) arguments+=("$1") ;;
		esac
		shift
	done
	rt_begin
	[ -n "${RT_NOTIFIER:-}" ] || rt_build_notifier
	export RT_NOTIFIER RT_WORK
	ulimit -n "$(ulimit -Hn)"	# it bounds the connections
	for program in load floor; do
		"${cc[@]}" -o "$RT_WORK/$program" "$RT_SRC/bench/load/$program.c" "$RT_SRC/bench/load/tally.c"
	done
	"${cc[@]}" -I"$("$PG_CONFIG" --includedir)" -L"$("$PG_CONFIG" --libdir)" -o "$RT_WORK/publish" \
		"$RT_SRC/bench/load/publish.c" "$RT_SRC/bench/load/tally.c" -lpq
	rt_need_node
	if ! [ -d "$RT_SRC/bench/node_modules" ]; then
		(cd "$RT_SRC/bench" && HOME=$RT_HOME npm ci --ignore-scripts --no-audit --no-fund \
			>"$RT_WORK/npm.log" 2>&1) || { cat "$RT_WORK/npm.log" >&2; rt_die "npm ci failed"; }
	fi
	rt_give "$RT_WORK"
	mapfile -t lines <<<"$settings"
	rt_cluster_start bench "max_connections = 120" "autovacuum = off" "jit = off" "${lines[@]}"
	# The server that is measured has a core for itself, if there are two: else whom it wakes preempts it.
	if [ -n "${bench_is_pinned:-}" ] && [ "$(nproc)" -gt 1 ]; then
		export BENCH_SERVER_CORE=0
		taskset -acp "1-$(($(nproc) - 1))" "$(head -n 1 "$RT_PGDATA/postmaster.pid")" >/dev/null
		taskset -cp "1-$(($(nproc) - 1))" $$ >/dev/null
	fi
	rt_as node "$RT_SRC/bench/figures/$name.js" "${arguments[@]}" || rt_die "bench/$name failed"
	if [ -n "$json" ]; then cp "$RT_WORK/figures.json" "$json"; fi
}
