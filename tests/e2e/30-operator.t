#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the operator sees of the agent's doings: the audit trail as it grows, why a request was refused, how things stand.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
ctl init >/dev/null
guest_config 8200 </dev/null
guest_config 8300 </dev/null
enroll 8200 >/dev/null
enroll 8300 >/dev/null

# --- events ---
has() {
    grep -q -- "$2" "$1"
}
is "the newest come last" "$(ctl events --output-format json | jq -c '[.[-2:][] | [.vmid, .kind]]')" '[[8200,"enroll"],[8300,"enroll"]]'
before=$(ctl events --limit 1 --output-format json | jq '.[0].seq')
"$BIN/felhomctl" events --follow --since "$before" >"$HOST/followed" 2>&1 &
follower=$!
"$BIN/felhomctl" events 8300 --follow --limit 0 --output-format json >"$HOST/followed.8300" &
follower_8300=$!
ok "a start is followed" phase 8200 pre-start
ok "as it happens" eventually 5 has "$HOST/followed" ' 8200  *pre-start '
ok "a start of the other guest" phase 8300 pre-start
ok "is seen by who follows that one" eventually 5 has "$HOST/followed.8300" '"kind":"pre-start"'
is "and nothing else is" "$(jq -s 'map(.vmid) | unique | .[]' "$HOST/followed.8300")" 8300
is "nothing is told twice" "$(awk '{ print $1 }' "$HOST/followed" | sort | uniq -d)" ''
kill -INT $follower
kill -TERM $follower_8300
wait $follower
is "an interrupt ends it well" $? 0
wait $follower_8300
is "so does SIGTERM" $? 0
mkfifo "$HOST/pipe"
"$BIN/felhomctl" events --follow >"$HOST/pipe" &
follower=$!
read -r _ <"$HOST/pipe"
gone() {
    ! kill -0 "$1"
}
ok "it ends when nobody reads any more" eventually 5 gone $follower
is "nothing is printed with --quiet" "$(ctl events --quiet 2>&1)" ''
is "YAML says the same as JSON" "$(ctl events --output-format yaml | python3 -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))' | jq -cS .)" \
    "$(ctl events --output-format json | jq -cS .)"
tap_done
