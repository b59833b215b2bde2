#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two hundred guests that poll /storage every two seconds, each on its own connection.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
agent_yaml <<<'local_api: {listen: "127.0.0.1:8443", allow: [127.0.0.0/8]}'
ctl init >/dev/null
for vmid in $(seq 1000 1199); do
    guest_config "$vmid" </dev/null
    phase "$vmid" pre-start >/dev/null 2>&1
done
ENDPOINT=127.0.0.1:8443
ok "felhomd starts" daemon_start

# Each guest has its own address, as on a bridge.
guests() {
    local vmid
    for vmid in $(seq 1000 1199); do
        echo "127.0.$((1 + vmid / 250)).$((1 + vmid % 250)) $(token_of "$vmid")"
    done
}
is "1200 polls are all answered with 200" "$(guests | tests/lib/pollers "$ENDPOINT" /storage 6 2)" "1200 200"
ok "felhomd stops cleanly" daemon_stop
tap_done
