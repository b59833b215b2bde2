#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two hundred guests that ask for /storage every two seconds, each on a connection of its own.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
# Sanitizers make a handshake ten times as long; two hundred of them at once then need more than the default.
case $BIN in *asan*) handshake=20s ;; *) handshake=2s ;; esac
agent_yaml <<EOF
local_api: {listen: "127.0.0.1:8443", allow: [127.0.0.0/8]}
limits: {handshake: $handshake}
EOF
ctl init >/dev/null
for vmid in $(seq 1000 1199); do
    guest_config "$vmid" </dev/null
    phase "$vmid" pre-start >/dev/null 2>&1
done
ENDPOINT=127.0.0.1:8443
ok "felhomd starts" daemon_start

# Each guest has an address of its own, as on a bridge; curl keeps its connection between polls while the server does.
poll() {
    local vmid=$1 address=127.0.$((1 + $1 / 250)).$((1 + $1 % 250)) polls=()
    for _ in 1 2 3 4 5 6; do
        polls+=("https://$ENDPOINT/storage" -o /dev/null)
    done
    sleep "0.$((vmid % 10))$((vmid / 10 % 10))"
    curl -sk --interface "$address" --max-time 20 --rate 30/m -w '%{http_code} %{errormsg}\n' \
        -H "@$(header_file "$(token_of "$vmid")")" "${polls[@]}" >"$HOST/polled.$vmid" 2>&1
}
for vmid in $(seq 1000 1199); do
    poll "$vmid" &
    pids[vmid]=$!
done
for vmid in $(seq 1000 1199); do
    wait "${pids[vmid]}"
done
is "1200 polls, no error" "$(sort "$HOST"/polled.* | uniq -c | sed 's/ *$//' | xargs)" "1200 200"
ok "felhomd stops cleanly" daemon_stop
tap_done
