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

agent_yaml <<<'hook: {on_error: block, deadline: 1h}'
rm -rf "$HOST/state/db"
crowd pre-start
is "two hundred starts at once on a new store: all minted" "$(minted)" 200
is "none failed" "$(ls "$HOST"/failed.* 2>/dev/null)" ""
is "no other word" "$(problems)" ""
is "the store is sound" "$(sql 'PRAGMA integrity_check')" ok
is "each guest has one good token" "$(sql 'SELECT count(DISTINCT vmid) || "/" || count(*) FROM token WHERE revoked_at_ms IS NULL')" 200/200

ok "the daemon starts" daemon_start
crowd pre-start
is "two hundred restarts at once with the daemon running" "$(minted)" 200
is "none failed" "$(ls "$HOST"/failed.* 2>/dev/null)" ""
crowd post-stop
is "two hundred stops at once" "$(sql 'SELECT count(*) FROM token WHERE revoked_at_ms IS NULL')" 0
is "no secret is left" "$(find "$HOST/run/guests" -type f ! -name agent.crt)" ""
ok "the daemon stops" daemon_stop
tap_done
