# SPDX-License-Identifier: PostgreSQL
#
# play.sh
#	What run, planted and the layer share. Source it after e2e_build.

# The library of test/e2e with its packages, and the cluster.
fault_begin()
{
	if ! [ -d "$RT_SRC/test/e2e/node_modules" ]; then
		(cd "$RT_SRC/test/e2e" && HOME=$RT_HOME npm ci --ignore-scripts --no-audit --no-fund \
			>"$RT_WORK/npm.log" 2>&1) || { cat "$RT_WORK/npm.log" >&2; rt_die "npm ci failed in test/e2e"; }
		rt_give "$RT_SRC/test/e2e"
	fi
	# The notifiers' wall clock is stepped by a library; every round runs with it.
	FAULT_CLOCK=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null | head -n 1) || true
	if [ -z "$FAULT_CLOCK" ]; then
		rt_install_packages libfaketime libfaketime
		FAULT_CLOCK=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 | head -n 1)
	fi
	# Sanitizers' libraries must be loaded before any other.
	FAULT_CLOCK=$(ldd "$RT_NOTIFIER" | awk '/lib(asan|tsan|ubsan)/ { printf "%s:", $3 }')$FAULT_CLOCK
	export FAULT_CLOCK
	rt_need_command prlimit util-linux
	rt_cluster_start "${1:-fault}" "max_connections = 60" "restart_after_crash = on" "realtime.retention = '1d'"
}

# Runs the driver.
fault_play()
{
	rt_as node "$RT_SRC/test/fault/driver.js" "$@"
}
