#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Many hooks at once, with and without the daemon.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
ctl init >/dev/null
for vmid in $(seq 1000 1199); do
    guest_config "$vmid" </dev/null
done

crowd() {
    local vmid
    rm -f "$HOST"/failed.*
    for vmid in $(seq 1000 1199); do
        phase "$vmid" "$1" >"$HOST/out.$vmid" 2>&1 || touch "$HOST/failed.$vmid" &
        pids[vmid]=$!
    done
    for vmid in $(seq 1000 1199); do
        wait "${pids[vmid]}"
    done
}
minted() { cat "$HOST"/out.1* | grep -c minted; }
problems() { cat "$HOST"/out.1* | grep -v 'minted\|nothing mounts' | sort | uniq -c | head -n 5; }

agent_yaml <<<'hook: {on_error: block}'
rm -rf "$HOST/state/db"
crowd pre-start
is "two hundred starts at once on a new store mint all tokens" "$(minted)" 200
is "none of two hundred starts at once failed" "$(ls "$HOST"/failed.* 2>/dev/null)" ""
is "two hundred starts at once print no other message" "$(problems)" ""
is "two hundred starts at once leave the store intact" "$(sql 'PRAGMA integrity_check')" ok
is "each guest has one valid token after two hundred starts at once" \
    "$(sql 'SELECT count(DISTINCT vmid) || "/" || count(*) FROM token WHERE revoked_at_ms IS NULL')" 200/200

ok "felhomd starts" daemon_start
crowd pre-start
is "two hundred restarts at once while felhomd runs mint all tokens" "$(minted)" 200
is "none of two hundred restarts at once failed" "$(ls "$HOST"/failed.* 2>/dev/null)" ""
crowd post-stop
is "two hundred stops at once leave no valid token" "$(sql 'SELECT count(*) FROM token WHERE revoked_at_ms IS NULL')" 0
is "two hundred stops at once leave no secret" "$(find "$HOST/run/guests" -type f ! -name agent.crt)" ""
ok "felhomd stops" daemon_stop
tap_done
