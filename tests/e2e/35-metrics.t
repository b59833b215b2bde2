#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Metrics for Prometheus: what is told there, to whom, and that it harms nobody; the example rules and dashboard ask for nothing else.
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
# value SERIES: its value in a fresh scrape; nothing where there is none
value() {
    scrape && SERIES=$1 awk 'index($0, ENVIRON["SERIES"] " ") == 1 {print $NF}' "$HOST/metrics"
}
reaches() { [ "$(value "$1")" = "$2" ]; }

# --- what is told ---
is "200, as Prometheus wants it" "$(scrape -w '%{http_code} %{content_type}')" '200 text/plain; version=0.0.4; charset=utf-8'
is "it is well-formed" "$(tests/lib/metrics check "$HOST/metrics")" ''
if command -v promtool >/dev/null; then
    is "promtool has nothing to say about it" "$(promtool check metrics <"$HOST/metrics" 2>&1)" ''
    ok "nor about the rules" promtool check rules monitoring/felhom-agent.rules.yml
else
    skip "promtool has nothing to say about it" "there is no promtool"
fi
is "build info" "$(value "felhom_build_info{version=\"$("$BIN/felhomd" --version | cut -d' ' -f2)\"}")" 1
is "settings: token.max_age" "$(value felhom_token_max_age_seconds)" 604800
is "settings: backup.max_age" "$(value felhom_backup_max_age_seconds)" 43200
now=$(value felhom_time_seconds)
ok "the time of the figures" test $(($(date +%s) - ${now%.*})) -le 600
is "a guest with its name" "$(value 'felhom_guest_info{id="lxc/8200",name="web\"1\\",state="starting"}')" 1
is "that does not run yet" "$(value 'felhom_guest_up{id="lxc/8200"}')" 0
phase 8200 post-start >/dev/null 2>&1
is "and runs" "$(value 'felhom_guest_up{id="lxc/8200"}')" 1
like "the age of its token" "$(value 'felhom_guest_token_age_seconds{id="lxc/8200"}')" '^[0-9]+(\.[0-9]+)?$'
is "no backup is known: no age" "$(value 'felhom_guest_backup_age_seconds{id="lxc/8200"}')" ''
sql "INSERT INTO backup VALUES (8200, 'a', 1, (unixepoch() - 3600) * 1000)"
like "the age of its backup" "$(value 'felhom_guest_backup_age_seconds{id="lxc/8200"}')" '^3[6-9][0-9][0-9]'
is "no test of it: no verdict" "$(value 'felhom_guest_restore_test_passed{id="lxc/8200"}')" ''
sql "INSERT INTO restore_test VALUES (8200, 0, 'a', 0, 'broken', 1, (unixepoch() - 60) * 1000)"
is "a test that failed" "$(value 'felhom_guest_restore_test_passed{id="lxc/8200"}')" 0
sql 'UPDATE restore_test SET passed = 1'
is "one that passed" "$(value 'felhom_guest_restore_test_passed{id="lxc/8200"}')" 1
is "tokens" "$(value 'felhom_tokens{state="good"}')" 1
ok "the store's size" test "$(value felhom_store_size_bytes)" -gt 4096
is "the store is well" "$(value felhom_store_up)" 1

# --- what is counted ---
counts() { # counts WHAT SERIES COMMAND...: the command raises it by one
    local what=$1 series=$2 before
    shift 2
    before=$(value "$series")
    "$@" >/dev/null 2>&1
    ok "$what" eventually reaches "$series" $((${before:-0} + 1))
}
counts "a request" 'felhom_requests_total{endpoint="/storage",code="200"}' request 8200 "$OWN" /storage
counts "one by the path with the VMID" 'felhom_requests_total{endpoint="/storage",code="200"}' request 8200 "$OWN" /guests/8200/storage
counts "one for another guest's path" 'felhom_requests_total{endpoint="/storage",code="403"}' request 8200 "$OWN" /guests/8300/storage
counts "a path that nobody knows" 'felhom_requests_total{endpoint="other",code="404"}' request 8200 "$OWN" '/%22%0a/x?y'
counts "a request that contradicts itself" 'felhom_requests_total{endpoint="/storage",code="400"}' request 8200 "$OWN" /storage -X POST -H 'Transfer-Encoding: chunked' -H 'Content-Length: 3' -d abc
counts "what is no request at all" 'felhom_requests_total{endpoint="other",code="400"}' request 8200 "$OWN" /storage -X 'A B'
counts "a refusal" 'felhom_refusals_total{reason="no token"}' request 8200 - /storage
counts "a malformed token" 'felhom_refusals_total{reason="malformed token"}' request 8200 /etc/hostname /storage
counts "each refusal, though the audit trail has one a minute" 'felhom_refusals_total{reason="no token"}' request 8200 - /storage
counts "a handshake that is none" 'felhom_tls_handshake_failures_total{reason="failed"}' in_guest 8200 curl -s "http://$ENDPOINT/"
counts "a handshake that takes too long" 'felhom_tls_handshake_failures_total{reason="late"}' \
    in_guest 8200 bash -c "exec 3<>/dev/tcp/$ADDRESS/$PORT; cat <&3"
request 8200 "$OWN" /snapshots >/dev/null
ok "a call that Proxmox does not answer" test "$(value 'felhom_outside_calls_total{peer="proxmox",outcome="failed"}')" -gt 0
is "nothing was refused for a reason that is not known" "$(value 'felhom_refusals_total{reason="other"}')" 0

# --- examples ---
is "every name that rules and dashboard use is served" \
    "$(comm -23 <(tests/lib/metrics used monitoring/*.json monitoring/*.yml) <(tests/lib/metrics names "$HOST/metrics"))" ''
ok "they use some" test "$(tests/lib/metrics used monitoring/*.json monitoring/*.yml | wc -l)" -gt 15

# --- who waits ---
newest=$(request 8200 "$OWN" /events | head -n 1 | jq '.data.events[-1].seq // 0')
request 8200 "$OWN" "/events?since=$newest&timeout=60" >"$HOST/waited" --max-time 600 &
waiter=$!
ok "a guest that waits" eventually reaches 'felhom_connections{state="waiting"}' 1
before=$(value 'felhom_requests_total{endpoint="/events",code="200"}')
phase 8200 pre-stop >/dev/null 2>&1
wait $waiter
is "it is answered" "$(tail -n 1 "$HOST/waited")" 200
ok "and counted only then" eventually reaches 'felhom_requests_total{endpoint="/events",code="200"}' $((before + 1))
ok "and waits no more" eventually reaches 'felhom_connections{state="waiting"}' 0

# --- the hooks ---
phases() { value 'felhom_hook_phase_duration_seconds_count{phase="pre-start"}'; }
is "phases before felhomd's start do not count" "$(phases)" 0
is "those after it do, by their outcome" "$(value 'felhom_hook_phases_total{phase="pre-stop",outcome="ok"}')" 1
is "with their durations" "$(value 'felhom_hook_phase_duration_seconds_count{phase="pre-stop"}')" 1
is "of which none is longer than the longest" "$(value 'felhom_hook_phase_duration_seconds_bucket{phase="pre-stop",le="+Inf"}')" 1
phase 8300 pre-start >/dev/null 2>&1
phase 8200 pre-start >/dev/null 2>&1
is "two more" "$(phases)" 2
sql 'DELETE FROM event'
is "what the store forgets takes nothing away" "$(phases)" 2
phase 8200 pre-start >/dev/null 2>&1
is "and counting goes on" "$(phases)" 3
mv "$HOST/run/guests/8300" "$HOST/elsewhere" && ln -s "$HOST/elsewhere" "$HOST/run/guests/8300"
phase 8300 post-stop
is "one that fails before it needs the store" "$(value 'felhom_hook_phases_total{phase="post-stop",outcome="error"}')" 1
rm "$HOST/run/guests/8300" && mv "$HOST/elsewhere" "$HOST/run/guests/8300"
is "a token that was revoked" "$(value 'felhom_tokens{state="revoked"}')" 2
is "each guest has series of its own" "$(scrape && grep -c '^felhom_guest_up{' "$HOST/metrics")" 2

# --- the file ---
inode() { stat -c %i "$FILE"; }
ok "there is a file" eventually test -s "$FILE"
is "everybody may read it" "$(stat -c %a "$FILE")" 644
is "it is well-formed" "$(tests/lib/metrics check "$FILE")" ''
before=$(inode)
replaced() { [ "$(inode)" != "$1" ]; }
ok "it is replaced" eventually replaced "$before"
is "nothing lies beside it that the collector would take for another" "$(cd "$HOST/collector" && ls -A ./*.prom)" ./felhom.prom
ok "as one piece, with what is known by now" grep -q '^felhom_hook_phase_duration_seconds_count{phase="pre-start"} 3$' "$FILE"

# --- who may ask, and how ---
OWN=$(token_of 8200)
code() { curl -s -o "$HOST/answer" -w '%{http_code}' --max-time 120 "$@"; }
is "another path: 404" "$(code http://$METRICS/)" 404
is "a guest's path: 404" "$(code http://$METRICS/healthz)" 404
is "POST: 405" "$(code -X POST http://$METRICS/metrics)" 405
is "HEAD: 405" "$(code -I http://$METRICS/metrics)" 405
is "no TLS here" "$(code -k https://$METRICS/metrics)" 000
is "no plain HTTP there" "$(code http://$ENDPOINT/metrics)" 000
is "guests don't find it among their paths" "$(status_of 8200 "$OWN" /metrics)" 404
is "nor on the host's address" "$(in_guest 8200 curl -s -o /dev/null -w '%{http_code}' --max-time 120 "http://$ADDRESS:${METRICS#*:}/metrics")" 000
is "too long a header" "$(code -H "X: $(head -c 9000 /dev/zero | tr '\0' x)" http://$METRICS/metrics)" 400
for _ in 1 2 3 4 5; do
    bash -c "exec 3<>/dev/tcp/${METRICS/:/\/} && printf 'GET /met' >&3 && cat <&3" >/dev/null 2>&1 &
done
is "guests are answered while others hold it up" "$(status_of 8200 "$OWN" /storage)" 200
ok "who says nothing is cut off" eventually scrape

# --- when the store is away ---
mv "$HOST/state/db" "$HOST/state/gone"
is_away() { [ "$(value felhom_store_up)" = 0 ]; }
ok "there are metrics all the same" eventually is_away
is "without what is not known" "$(value 'felhom_tokens{state="good"}')" ''
is "and well-formed" "$(tests/lib/metrics check "$HOST/metrics")" ''
is "counters stay" "$(phases)" 3
mv "$HOST/state/gone" "$HOST/state/db"
is "and all is back" "$(value felhom_store_up)$(value 'felhom_tokens{state="good"}')" 12

# --- settings ---
METRICS=127.0.0.1:9222
settings "metrics: {listen: \"$METRICS\"}"
reload
is "another port" "$(phases)" 3
is "in the place of the old one" "$(code http://127.0.0.1:9221/metrics)" 000
settings ''
reload
is "off" "$(code http://$METRICS/metrics)" 000
before=$(inode)
python3 -c 'import socket, sys
taken = socket.create_server(("127.0.0.1", 9221))
print(flush=True)
sys.stdin.read()' < <(sleep 600) >"$HOST/taken" &
ok "a port that somebody has" eventually test -s "$HOST/taken"
settings 'metrics: {listen: "127.0.0.1:9221"}'
reload
ok "the log says so" grep -q 'metrics are not served: cannot listen on 127.0.0.1:9221' "$HOST/felhomd.log"
is "and guests are served" "$(status_of 8200 "$OWN" /storage)" 200
settings "metrics: {textfile: $HOST/nowhere/felhom.prom}"
reload
ok "a directory that is not there is told of" eventually grep -q "cannot write the metrics file: $HOST/nowhere/" "$HOST/felhomd.log"
is "the file is left alone that is no longer wanted" "$(inode)" "$before"
ok "felhomd stops cleanly" daemon_stop
tap_done
