#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
# consumer.sh URL SUBSCRIPTIONS STATE: prints each event once, and each gap, across restarts (curl, jq).
set -u
url=$1 subscribe=$2 file=$3
[ -s "$file" ] || echo '{"since":null,"seen":[],"merged":false}' >"$file"

# A state and a frame in; the next state and what to print out, one a line.
# shellcheck disable=SC2016
take='input as $s | input as $f |
	if $f.op == "commit" then
		($s.merged or $f.merged == true) as $merged |
		[$f.events[] | select($merged or ("\(.meta.tx)/\(.meta.seq)" | IN($s.seen[]) | not))] as $new |
		($s | .merged = $merged | .seen += [$new[].meta | "\(.tx)/\(.seq)"]), $new[]
	elif $f.op == "position" or ($f.op == "subscribed" and $s.since == null) then
		{since: $f.position, seen: [], merged: false}
	elif $f.op == "gap" or $f.op == "error" then $s, $f
	else $s end'

while :; do
	while IFS= read -r frame; do
		out=$({ cat "$file"; printf '%s\n' "$frame"; } | jq -cn "$take") || exit 1
		[ "${out#*$'\n'}" = "$out" ] || printf '%s\n' "${out#*$'\n'}"
		printf '%s\n' "${out%%$'\n'*}" >"$file.new" && mv "$file.new" "$file"
	done < <(jq -c --argjson subscribe "$subscribe" '{subscribe: $subscribe, since}' "$file" |
		curl -sSN --fail-with-body --speed-limit 1 --speed-time 60 --data-binary @- -H 'Content-Type: application/json' \
			-K <([ -z "${REALTIME_TOKEN:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$REALTIME_TOKEN") \
			"$url/v1/events" | sed -un 's/^data: *//p')
	sleep "$((RANDOM % 2 + 1))"
done
