#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# felhomd's own life: start, waiting for the bridge, reload, sweep, stop.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
guest_config 8200 </dev/null

"$BIN/felhomd" --check >"$HOST/out" 2>&1
is "--check before init fails" $? 1
like "felhomd --check before init says what to do" "$(cat "$HOST/out")" 'felhomctl init'
"$BIN/felhomd" >"$HOST/out" 2>&1
is "felhomd before init fails" $? 1
like "felhomd before init says what to do" "$(cat "$HOST/out")" 'felhomctl init'
"$BIN/felhomd" --nonsense >/dev/null 2>&1
is "an unknown option is a usage error" $? 2
ctl init >/dev/null
before=$(find "$HOST/state" -printf '%p %T@\n' | grep -v 'shm\|wal' | sort)
ok "felhomd --check succeeds after init" "$BIN/felhomd" --check
is "--check changes nothing" "$(find "$HOST/state" -printf '%p %T@\n' | grep -v 'shm\|wal' | sort)" "$before"
# A certificate without its key: felhomd does not wait for the key, and does not start without it.
mv "$HOST/state/tls/agent.pem" "$HOST/agent.pem"
timeout 20 "$BIN/felhomd" >"$HOST/out" 2>&1
is "felhomd without its key fails" $? 1
like "felhomd without its key names the file and the remedy" "$(cat "$HOST/out")" \
    'tls/agent\.pem is missing, .*restore it from a backup'
is "felhomd without its key prints one line" "$(wc -l <"$HOST/out")" 1
"$BIN/felhomd" --check >"$HOST/out" 2>&1
is "--check without the key fails" $? 1
like "felhomd --check without the key names the file" "$(cat "$HOST/out")" 'error: .*tls/agent\.pem is missing, '
mv "$HOST/agent.pem" "$HOST/state/tls/agent.pem"

agent_yaml <<<'limits: {threads: many}'
"$BIN/felhomd" --check >"$HOST/out" 2>&1
is "--check of a wrong agent.yaml fails" $? 1
like "felhomd --check of a wrong agent.yaml gives the line and column" "$(cat "$HOST/out")" \
    'agent.yaml:[0-9]+:[0-9]+: limits.threads: '
agent_yaml </dev/null
phase 8200 pre-start >/dev/null 2>&1
TOKEN=$HOST/kept
cp "$(token_of 8200)" "$TOKEN"
api() {
    curl -sk -o /dev/null --max-time 120 -w '%{http_code}' -H "@$(header_file "$TOKEN")" "https://$ENDPOINT/storage"
}

answers() { [ "$(api)" = "$1" ]; }

# At boot the bridge does not exist yet.
ip addr del $ADDRESS/24 dev vmbr0
"$BIN/felhomd" >"$HOST/felhomd.log" 2>&1 &
DAEMON=$!
waits_for_bridge() { grep -q vmbr0 "$HOST/felhomd.log"; }
eventually waits_for_bridge
holdings() { echo "$(ls /proc/$DAEMON/task | wc -l) threads, $(ls /proc/$DAEMON/fd | wc -l) descriptors"; }
before=$(holdings)
sleep 3
ok "felhomd waits for the bridge's address" kill -0 $DAEMON
is "waiting for the bridge uses no further thread or descriptor for each try" "$(holdings)" "$before"
is "waiting for the bridge is logged once" "$(grep -c vmbr0 "$HOST/felhomd.log")" 1
ip addr add $ADDRESS/24 dev vmbr0
ok "felhomd listens on the bridge's address once it exists" eventually answers 200
ok "felhomd listens on no other address" test -z "$(ss -Hltn "sport = :$PORT" | grep -v "$ADDRESS:$PORT")"
phase 8200 post-start >/dev/null 2>&1

# Idle, felhomd uses little memory and sleeps.
rss_kb() { awk '/^VmRSS/ {print $2}' /proc/$DAEMON/status; }
switches() { cat /proc/$DAEMON/task/*/status | awk '/^voluntary_ctxt_switches/ {n += $2} END {print n}'; }
case $BIN in
*asan*) skip "RSS and wakeups" "sanitizers take more" ;;
*)
    ok "RSS is below 12 MB with 256 idle threads" test "$(rss_kb)" -lt 12000
    is "felhomd has at least 256 threads" "$(($(find /proc/$DAEMON/task -maxdepth 1 -mindepth 1 | wc -l) >= 256))" 1
    # Once felhomd has finished the requests just made.
    is_asleep() {
        local begun before
        begun=$(date +%s%N)
        before=$(switches)
        sleep 5
        [ $(((($(switches) - before)) * 1000000000)) -le $(($(date +%s%N) - begun)) ]
    }
    ok "idle felhomd wakes up at most once a second" eventually is_asleep
    ;;
esac

# Reload.
echo 'nonsense: [' >>"$HOST/agent.yaml"
reload
is "a reload of a broken configuration keeps the old one in force" "$(api)" 200
like "a reload of a broken configuration logs the reason" "$(cat "$HOST/felhomd.log")" 'agent.yaml:[0-9]+:[0-9]+'
agent_yaml <<<"local_api: {listen: '$ADDRESS:9443'}"
reload
is "a reload with another port keeps the old configuration in force" "$(api)" 200
like "a reload with another port says how to change it" "$(cat "$HOST/felhomd.log")" \
    'port of local_api cannot change while felhomd runs: systemctl restart felhomd'
agent_yaml <<<"local_api: {listen: '127.0.0.1:$PORT'}"
reload
ok "a reload moves the listener to a new address" eventually curl -sk -o /dev/null "https://127.0.0.1:$PORT/healthz"
ok "a reload closes the listener at the old address" eventually answers 000
agent_yaml </dev/null
reload
ok "a reload moves the listener back" eventually answers 200

# A guest that no longer exists, and one that is not running.
mkdir -p "$HOST/cgroup/lxc/8200"
sql "UPDATE guest SET changed_at_ms = changed_at_ms - 120000"
sleep 12
is "a running guest keeps its token" "$(api)" 200
rmdir "$HOST/cgroup/lxc/8200"
ok "a guest that has not been running for a minute loses its token" eventually answers 401
like "the sweep's revocation has an event" \
    "$(sql "SELECT detail FROM event WHERE kind = 'revoke' ORDER BY seq DESC LIMIT 1")" 'running'
mkdir "$HOST/cgroup/lxc/8200"
phase 8200 pre-start >/dev/null 2>&1
cp "$(token_of 8200)" "$TOKEN"
is "(started again)" "$(api)" 200
mv "$HOST/pve" "$HOST/pve.away"
mkdir "$HOST/pve"
sleep 12
is "an unmounted /etc/pve revokes nothing" "$(api)" 200
rmdir "$HOST/pve"
mv "$HOST/pve.away" "$HOST/pve"
touch "$HOST/pve/lxc/100.conf"
mv "$HOST/pve/lxc/8200.conf" "$HOST/8200.conf"
ok "a guest whose configuration no longer exists loses its token" eventually answers 401
mv "$HOST/8200.conf" "$HOST/pve/lxc/8200.conf"

like "felhomd leaves no core dumps" "$(grep 'Max core file size' /proc/$DAEMON/limits)" 'size +0 +0 '
kill -TERM $DAEMON
wait $DAEMON
is "SIGTERM makes felhomd exit with 0" $? 0
like "felhomd's log has no sanitizer report" "$(grep -ci 'sanitizer' "$HOST/felhomd.log")" '^0$'
tap_done
