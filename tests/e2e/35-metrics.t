#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Metrics for Prometheus: what is exported, to whom, and that it harms nobody; the example rules and dashboard use
# nothing else.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
METRICS=127.0.0.1:9221
FILE=$HOST/collector/felhom.prom
settings() {
    agent_yaml <<<"$1
limits: {requests_per_source: 10000, connections_per_source: 100, handshake: 2s}"
}
settings "metrics: {listen: \"$METRICS\", textfile: $FILE}
token: {max_age: 7d}
backup: {max_age: 12h}
pve: {endpoint: \"https://127.0.0.1:1\", token_file: $HOST/pve.token, ca_file: /etc/ssl/certs/ca-certificates.crt}"
for vmid in 8200 8300; do
    guest_config $vmid </dev/null
done
ctl init >/dev/null
(umask 077 && echo 'felhom@pve!agent=01234567-89ab-cdef-0123-456789abcdef' >"$HOST/pve.token")
chown --reference="$HOST/state" "$HOST/pve.token"
mkdir "$HOST/collector"
chown --reference="$HOST/state" "$HOST/collector"
world_guest 8200 200
phase 8200 pre-start >/dev/null 2>&1
PIN=$(pin_of 8200)
OWN=$(token_of 8200)
sql "UPDATE guest SET name = 'web\"1\\' WHERE vmid = 8200"
ok "felhomd starts" daemon_start

scrape() { curl -s --max-time 120 -o "$HOST/metrics" "$@" "http://$METRICS/metrics"; }
# value SERIES: its value in a new scrape; nothing if there is none
value() {
    scrape && SERIES=$1 awk 'index($0, ENVIRON["SERIES"] " ") == 1 {print $NF}' "$HOST/metrics"
}
reaches() { [ "$(value "$1")" = "$2" ]; }

# --- what is exported ---
is "a scrape gives 200 and Prometheus's content type" "$(scrape -w '%{http_code} %{content_type}')" \
    '200 text/plain; version=0.0.4; charset=utf-8'
is "the metrics are well-formed" "$(tests/lib/metrics check "$HOST/metrics")" ''
if command -v promtool >/dev/null; then
    is "promtool accepts the metrics" "$(promtool check metrics <"$HOST/metrics" 2>&1)" ''
    ok "promtool accepts the alerting rules" promtool check rules monitoring/felhom-agent.rules.yml
else
    skip "promtool accepts the metrics" "there is no promtool"
fi
is "the metrics have the build info" \
    "$(value "felhom_build_info{version=\"$("$BIN/felhomd" --version | cut -d' ' -f2)\"}")" 1
is "the metrics have the setting token.max_age" "$(value felhom_token_max_age_seconds)" 604800
is "the metrics have the setting backup.max_age" "$(value felhom_backup_max_age_seconds)" 43200
now=$(value felhom_time_seconds)
ok "the metrics have the time at which they were made" test $(($(date +%s) - ${now%.*})) -le 600
is "the metrics have a guest with its name" \
    "$(value 'felhom_guest_info{id="lxc/8200",name="web\"1\\",state="starting"}')" 1
is "a guest that is starting is not up" "$(value 'felhom_guest_up{id="lxc/8200"}')" 0
phase 8200 post-start >/dev/null 2>&1
is "a running guest is up" "$(value 'felhom_guest_up{id="lxc/8200"}')" 1
like "the metrics have the age of a guest's token" "$(value 'felhom_guest_token_age_seconds{id="lxc/8200"}')" \
    '^[0-9]+(\.[0-9]+)?$'
is "without a backup there is no backup age" "$(value 'felhom_guest_backup_age_seconds{id="lxc/8200"}')" ''
sql "INSERT INTO backup VALUES (8200, 'a', 1, (unixepoch() - 3600) * 1000)"
like "the metrics have the age of a guest's backup" "$(value 'felhom_guest_backup_age_seconds{id="lxc/8200"}')" \
    '^3[6-9][0-9][0-9]'
is "without a restore test there is no result" "$(value 'felhom_guest_restore_test_passed{id="lxc/8200"}')" ''
sql "INSERT INTO restore_test VALUES (8200, 0, 'a', 0, 'broken', 1, (unixepoch() - 60) * 1000)"
is "the metrics have a failed restore test" "$(value 'felhom_guest_restore_test_passed{id="lxc/8200"}')" 0
sql 'UPDATE restore_test SET passed = 1'
is "the metrics have a passed restore test" "$(value 'felhom_guest_restore_test_passed{id="lxc/8200"}')" 1
is "the metrics have the number of valid tokens" "$(value 'felhom_tokens{state="good"}')" 1
ok "the metrics have the size of the store" test "$(value felhom_store_size_bytes)" -gt 4096
is "the metrics show that the store works" "$(value felhom_store_up)" 1

# --- what is counted ---
counts() { # counts WHAT SERIES COMMAND...: the command raises it by one
    local what=$1 series=$2 before
    shift 2
    before=$(value "$series")
    "$@" >/dev/null 2>&1
    ok "$what" eventually reaches "$series" $((${before:-0} + 1))
}
counts "a request is counted" 'felhom_requests_total{endpoint="/storage",code="200"}' request 8200 "$OWN" /storage
counts "a request by the path with the VMID is counted" 'felhom_requests_total{endpoint="/storage",code="200"}' \
    request 8200 "$OWN" /guests/8200/storage
counts "a request for another guest's path is counted" 'felhom_requests_total{endpoint="/storage",code="403"}' request \
    8200 "$OWN" /guests/8300/storage
counts "a request for an unknown path is counted" 'felhom_requests_total{endpoint="other",code="404"}' request 8200 \
    "$OWN" '/%22%0a/x?y'
counts "a contradictory request is counted" 'felhom_requests_total{endpoint="/storage",code="400"}' request 8200 \
    "$OWN" /storage -X POST -H 'Transfer-Encoding: chunked' -H 'Content-Length: 3' -d abc
counts "an invalid request is counted" 'felhom_requests_total{endpoint="other",code="400"}' request 8200 "$OWN" \
    /storage -X 'A B'
counts "a refusal is counted" 'felhom_refusals_total{reason="no token"}' request 8200 - /storage
counts "a malformed token is counted" 'felhom_refusals_total{reason="malformed token"}' request 8200 /etc/hostname \
    /storage
counts "each refusal is counted, though the audit trail has one a minute" 'felhom_refusals_total{reason="no token"}' \
    request 8200 - /storage
counts "a failed handshake is counted" 'felhom_tls_handshake_failures_total{reason="failed"}' in_guest 8200 curl -s \
    "http://$ENDPOINT/"
counts "a handshake that takes too long is counted" 'felhom_tls_handshake_failures_total{reason="late"}' \
    in_guest 8200 bash -c "exec 3<>/dev/tcp/$ADDRESS/$PORT; cat <&3"
request 8200 "$OWN" /snapshots >/dev/null
ok "a failed call of Proxmox is counted" test "$(value 'felhom_outside_calls_total{peer="proxmox",outcome="failed"}')" \
    -gt 0
is "no refusal has an unknown reason" "$(value 'felhom_refusals_total{reason="other"}')" 0

# --- the examples ---
is "every metric that rules and dashboard use is exported" \
    "$(comm -23 <(tests/lib/metrics used monitoring/*.json monitoring/*.yml) <(tests/lib/metrics names "$HOST/metrics"))" \
    ''
ok "rules and dashboard use more than 15 metrics" test \
    "$(tests/lib/metrics used monitoring/*.json monitoring/*.yml | wc -l)" -gt 15

# --- other users of the host ---
cat >"$HOST/idle.py" <<'END'
import socket, sys, time
host, port, count, start = sys.argv[1:]
idle = [socket.create_connection((host, int(port))) for _ in range(int(count))]
for connection in idle:
    connection.sendall(start.encode())
print("held", flush=True)
time.sleep(600)
END
for start in '' 'GET /met'; do
    mkfifo "$HOST/held"
    python3 "$HOST/idle.py" ${METRICS/:/ } 200 "$start" >"$HOST/held" &
    idler=$!
    read -r _ <"$HOST/held"
    is "five scrapes beside 200 connections that sent '$start'" \
        "$(for _ in 1 2 3 4 5; do scrape -w '%{http_code} '; done)" '200 200 200 200 200 '
    kill $idler
    wait $idler
    rm "$HOST/held"
done

# --- waiting requests ---
newest=$(request 8200 "$OWN" /events | head -n 1 | jq '.data.events[-1].seq // 0')
request 8200 "$OWN" "/events?since=$newest&timeout=60" >"$HOST/waited" --max-time 600 &
waiter=$!
ok "a waiting request is counted as a waiting connection" eventually reaches 'felhom_connections{state="waiting"}' 1
before=$(value 'felhom_requests_total{endpoint="/events",code="200"}')
phase 8200 pre-stop >/dev/null 2>&1
wait $waiter
is "the waiting request is answered" "$(tail -n 1 "$HOST/waited")" 200
ok "a waiting request is counted when it is answered" eventually reaches \
    'felhom_requests_total{endpoint="/events",code="200"}' $((before + 1))
ok "an answered request is no longer counted as waiting" eventually reaches 'felhom_connections{state="waiting"}' 0

# --- the hooks ---
phases() { value 'felhom_hook_phase_duration_seconds_count{phase="pre-start"}'; }
is "phases before felhomd's start are not counted" "$(phases)" 0
is "phases after felhomd's start are counted by outcome" \
    "$(value 'felhom_hook_phases_total{phase="pre-stop",outcome="ok"}')" 1
is "durations of phases are counted" "$(value 'felhom_hook_phase_duration_seconds_count{phase="pre-stop"}')" 1
is "all durations are in the bucket +Inf" \
    "$(value 'felhom_hook_phase_duration_seconds_bucket{phase="pre-stop",le="+Inf"}')" 1
phase 8300 pre-start >/dev/null 2>&1
phase 8200 pre-start >/dev/null 2>&1
is "two more phases are counted" "$(phases)" 2
sql 'DELETE FROM event'
is "deleted events do not reduce the counters" "$(phases)" 2
phase 8200 pre-start >/dev/null 2>&1
is "phases are counted after events were deleted" "$(phases)" 3
mv "$HOST/run/guests/8300" "$HOST/elsewhere" && ln -s "$HOST/elsewhere" "$HOST/run/guests/8300"
phase 8300 post-stop
is "a phase that fails before it opens the store is counted" \
    "$(value 'felhom_hook_phases_total{phase="post-stop",outcome="error"}')" 1
rm "$HOST/run/guests/8300" && mv "$HOST/elsewhere" "$HOST/run/guests/8300"
is "the metrics have the number of revoked tokens" "$(value 'felhom_tokens{state="revoked"}')" 2
is "each guest has its own series" "$(scrape && grep -c '^felhom_guest_up{' "$HOST/metrics")" 2

# --- the textfile ---
inode() { stat -c %i "$FILE"; }
ok "the textfile exists" eventually test -s "$FILE"
is "all users can read the textfile" "$(stat -c %a "$FILE")" 644
is "the textfile is well-formed" "$(tests/lib/metrics check "$FILE")" ''
before=$(inode)
replaced() { [ "$(inode)" != "$1" ]; }
ok "the textfile is replaced" eventually replaced "$before"
is "there is no other .prom file beside the textfile" "$(cd "$HOST/collector" && ls -A ./*.prom)" ./felhom.prom
ok "the replaced textfile is whole and has the present values" grep -q \
    '^felhom_hook_phase_duration_seconds_count{phase="pre-start"} 3$' "$FILE"

# --- which requests are answered ---
OWN=$(token_of 8200)
code() { curl -s -o "$HOST/answer" -w '%{http_code}' --max-time 120 "$@"; }
is "an unknown path gives 404" "$(code http://$METRICS/)" 404
is "a path of the guests' API gives 404" "$(code http://$METRICS/healthz)" 404
is "POST gives 405" "$(code -X POST http://$METRICS/metrics)" 405
is "HEAD gives 405" "$(code -I http://$METRICS/metrics)" 405
is "the metrics port does not use TLS" "$(code -k https://$METRICS/metrics)" 000
is "the guests' API does not use plain HTTP" "$(code http://$ENDPOINT/metrics)" 000
is "the guests' API has no path /metrics" "$(status_of 8200 "$OWN" /metrics)" 404
is "guests cannot reach the metrics port" \
    "$(in_guest 8200 curl -s -o /dev/null -w '%{http_code}' --max-time 120 "http://$ADDRESS:${METRICS#*:}/metrics")" \
    000
is "a header that is too long gives 400" \
    "$(code -H "X: $(head -c 9000 /dev/zero | tr '\0' x)" http://$METRICS/metrics)" 400
for _ in 1 2 3 4 5; do
    bash -c "exec 3<>/dev/tcp/${METRICS/:/\/} && printf 'GET /met' >&3 && cat <&3" >/dev/null 2>&1 &
done
is "guests are answered while silent connections block the metrics port" "$(status_of 8200 "$OWN" /storage)" 200
ok "silent connections to the metrics port are closed" eventually scrape

# --- without the store ---
mv "$HOST/state/db" "$HOST/state/gone"
is_away() { [ "$(value felhom_store_up)" = 0 ]; }
ok "metrics are exported without the store" eventually is_away
is "without the store unknown values are left out" "$(value 'felhom_tokens{state="good"}')" ''
is "the metrics are well-formed without the store" "$(tests/lib/metrics check "$HOST/metrics")" ''
is "without the store counters keep their values" "$(phases)" 3
mv "$HOST/state/gone" "$HOST/state/db"
is "once the store is back all values are back" "$(value felhom_store_up)$(value 'felhom_tokens{state="good"}')" 12

# --- settings ---
METRICS=127.0.0.1:9222
settings "metrics: {listen: \"$METRICS\"}"
reload
is "a reload moves the metrics to another port" "$(phases)" 3
is "a reload closes the old metrics port" "$(code http://127.0.0.1:9221/metrics)" 000
settings ''
reload
is "a reload switches the metrics off" "$(code http://$METRICS/metrics)" 000
before=$(inode)
python3 -c 'import socket, sys
taken = socket.create_server(("127.0.0.1", 9221))
print(flush=True)
sys.stdin.read()' < <(sleep 600) >"$HOST/taken" &
ok "(another program has the port)" eventually test -s "$HOST/taken"
settings 'metrics: {listen: "127.0.0.1:9221"}'
reload
ok "the log says that the metrics port is taken" grep -q 'metrics are not served: cannot listen on 127.0.0.1:9221' \
    "$HOST/felhomd.log"
is "guests are served although the metrics port is taken" "$(status_of 8200 "$OWN" /storage)" 200
settings "metrics: {textfile: $HOST/nowhere/felhom.prom}"
reload
ok "the log says that the textfile cannot be written" eventually grep -q \
    "cannot write the metrics file: $HOST/nowhere/" "$HOST/felhomd.log"
is "a textfile that is no longer configured is left alone" "$(inode)" "$before"
ok "felhomd stops cleanly" daemon_stop
tap_done
