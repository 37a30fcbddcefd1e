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
	rt_cluster_start "${1:-fault}" "max_connections = 60" "restart_after_crash = on" "realtime.retention = '1d'"
}

# Runs the driver.
fault_play()
{
	rt_as node "$RT_SRC/test/fault/driver.js" "$@"
}
