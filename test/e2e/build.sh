# SPDX-License-Identifier: PostgreSQL
#
# build.sh
#	What the layers e2e and realinput share: the notifier under AddressSanitizer and UBSan, and the
#	library that keeps a backend from committing. Source it after rt_begin.
#
# RT_NOTIFIER, if set, is used as it is. E2E_BUILD is the target of notifier/Makefile: asan (default),
# tsan, or all for one without sanitizers.

# Builds and exports RT_NOTIFIER, RT_LATE_WRITER and RT_WORK.
e2e_build()
{
	local target=${E2E_BUILD:-asan}
	local build=$RT_ROOT/notifier

	if [ -z "${RT_NOTIFIER:-}" ]; then
		rt_need_notifier
		mkdir -p "$build"
		rt_give "$build"
		rt_log "building the notifier ($target)"
		rt_as make -C "$RT_SRC/notifier" -s -j "${RT_JOBS:-$(nproc)}" "PG_CONFIG=$PG_CONFIG" \
			"BUILD=$build" "$target" >"$RT_WORK/notifier.log" 2>&1 ||
			{ cat "$RT_WORK/notifier.log"; rt_die "the notifier does not build"; }
		RT_NOTIFIER=$build/realtime-notifier
		[ "$target" = all ] || RT_NOTIFIER=$build/$target/realtime-notifier
	fi
	rt_as make -C "$RT_SRC/test/modules/late_writer" -s "PG_CONFIG=$PG_CONFIG" with_llvm=no \
		>"$RT_WORK/late.log" 2>&1 || { cat "$RT_WORK/late.log"; rt_die "late_writer does not build"; }
	RT_LATE_WRITER=$RT_SRC/test/modules/late_writer/late_writer.so
	export RT_NOTIFIER RT_LATE_WRITER RT_WORK
}
