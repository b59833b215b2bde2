#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# GET /events: whose events, in which order, after which cursor; a client that waits uses no thread and is answered at
# once.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/standin.sh
. tests/lib/lanes.sh
lanes "$0" tokens woken crowd cursors hanging_up reload told
world_enter "$0" "$@"
world_host
crowd=100

# settings [THREADS]: far fewer threads than guests that wait
settings() {
    agent_yaml <<<"local_api: {allow: [192.168.0.0/24, 127.0.0.0/8]}
limits: {threads: ${1:-24}, connections_per_source: 8, requests_per_source: 10000, failures_per_source: 1000, handshake: 20s}"
}
# take_token VMID: copies the guest's present token, to be kept after its end
take_token() { cp "$(token_of "$1")" "$HOST/token.$1"; }
# events [QUERY] [CURL_OPTION...]: requests as guest 8200; sets $status, $body, $data, $cursor
events() {
    local query=${1:-}
    shift
    status=$(request 8200 "$HOST/token.8200" "/events$query" -D "$HOST/headers" -o "$HOST/body" --max-time 600 "$@" | tail -n 1)
    body=$(cat "$HOST/body")
    data=$(jq -c .data <<<"$body")
    cursor=$(jq .next <<<"$data")
}
now_ms() { date +%s%3N; }
# How many clients wait: felhomd's watch has an epoll descriptor with them, its eventfd and the nudge socket.
waiting() { cat /proc/"$DAEMON"/fdinfo/* 2>/dev/null | grep -c ^tfd:; }
wait_more_than() { [ "$(waiting)" -gt "$1" ]; }
waits_or_ended() { [ -e "$HOST/$1.ended" ] || wait_more_than "$2"; }
# wait_for NAME QUERY [CURL_OPTION...]: requests in the background and returns once it waits; writes
# $HOST/NAME.{status,body,ended}; sets $waiter
wait_for() {
    local name=$1 query=$2 before
    shift 2
    rm -f "$HOST/$name.ended"
    before=$(waiting)
    {
        request 8200 "$HOST/token.8200" "/events$query" -D "$HOST/$name.headers" -o "$HOST/$name.body" --max-time 600 \
            "$@" | tail -n 1 >"$HOST/$name.status"
        : >"$HOST/$name.ended"
    } &
    waiter=$!
    eventually waits_or_ended "$name" "$before" || diag "$name does not wait"
}
# heeds_nudges WHAT: checks that waiting clients are answered at once
heeds_nudges() {
    is "$1" "$(in_guest 8200 tests/lib/nudged "$ENDPOINT" "$HOST/token.8200" 8200 "$HOST/state" "$DAEMON")" heard
}
# nudges WHAT COMMAND...: checks that the command nudges felhomd, in whose place a helper listens
nudges() {
    local what=$1
    shift
    rm -f "$HOST/nudged"
    mv "$HOST/state/nudge" "$HOST/state/away"
    python3 -c 'import socket, sys
ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
ear.bind(sys.argv[1])
print("listens", flush=True)
ear.recv(1)
print("heard", flush=True)' "$HOST/state/nudge" >"$HOST/nudged" &
    eventually grep -q listens "$HOST/nudged"
    "$@" >/dev/null 2>&1
    ok "$what" eventually grep -q heard "$HOST/nudged"
    rm "$HOST/state/nudge"
    mv "$HOST/state/away" "$HOST/state/nudge"
}
kinds() { jq -r '[.data.events[].kind] | join(" ")' "$1"; }
# has_kinds WHAT NAME KINDS: checks that the reply has events of these kinds
has_kinds() { is "$1" "$(cat "$HOST/$2.status") $(kinds "$HOST/$2.body")" "200 $3"; }
# happens [PHASE]: makes an event that guest 8200 sees
happens() {
    phase 8200 "${1:-post-start}" >/dev/null 2>&1
}
# The daemon's descriptors, without those that the store opens and closes.
sockets() { find /proc/"$DAEMON"/fd -mindepth 1 -lname 'socket:*' | wc -l; }
has_sockets() { [ "$(sockets)" -le "$1" ]; }
memory_kb() { awk '/^VmRSS/ {print $2}' /proc/"$DAEMON"/status; }
# waiters NAME COUNT [END]: runs in the background; returns once all wait; their output is in $HOST/NAME.said; sets
# $waiter
waiters() {
    rm -f "$HOST/$1.said"
    tests/lib/waiters "$ENDPOINT" "$HOST/token.8200" "$2" "/events?since=$cursor&timeout=60" "${3:-answer}" \
        >"$HOST/$1.said" 2>&1 &
    waiter=$!
    eventually grep -q '^waiting$' "$HOST/$1.said" || diag "$(tail -n 3 "$HOST/felhomd.log")"
    ! grep -q ^again: "$HOST/$1.said" || diag "$(grep ^again: "$HOST/$1.said")" "$(grep handshake "$HOST/felhomd.log")"
}
said() { grep -vE '^(waiting$|again:)' "$HOST/$1.said"; }
# nothing_came WHAT CURSOR: checks that the reply has no events and the same cursor
# explains WHAT NAME EXPLANATION: checks that the reply's X-Request-Id has that explanation
explains() {
    local id
    id=$(tr -d '\r' <"$HOST/$2.headers" | sed -n 's/^X-Request-Id: //p')
    eventually ctl explain "$id"
    is "$1" \
        "$(ctl explain "$id" --output-format json | jq -c "[.status, .reason, .method, .path] + if .token_id == \"$(cut -d_ -f2 "$HOST/token.8200")\" then [] else [.token_id] end")" \
        "$3"
}
nothing_came() { is "$1" "$status $data" "200 {\"vmid\":8200,\"events\":[],\"next\":$2}"; }

lane_told() {
    events
    is "GET /events gives 200" "$status" 200
    is "the reply has the guest's events" "$(kinds "$HOST/body")" "mint pre-start"
    is "an event has the documented members" "$(jq -c '.events[0] | keys' <<<"$data")" \
        '["at","detail","duration_ms","kind","outcome","seq"]'
    is "the reply has the documented members" "$(jq -c keys <<<"$data")" '["events","next","vmid"]'
    like "an event has a time with milliseconds" "$(jq -r '.events[0].at' <<<"$data")" \
        '^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$'
    like "an event has its duration" "$(jq '.events[1].duration_ms' <<<"$data")" '^[0-9]+(\.[0-9]{1,3})?$'
    is "events are in order, and next is the last one's seq" \
        "$(jq -c '[.events[].seq] == ([.events[].seq] | sort) and .next == .events[-1].seq' <<<"$data")" true
    like "the connection is kept alive" "$(tr -d '\r' <"$HOST/headers")" 'Connection: keep-alive'
    first=$cursor
    events "?since=$first"
    nothing_came "a request after the last event returns no events" "$first"
    is "HEAD /events gives 200" "$(status_of 8200 "$HOST/token.8200" /events --head)" 200
    is "the path with the guest's VMID gives 200" "$(status_of 8200 "$HOST/token.8200" /guests/8200/events)" 200
    is "another guest's path gives 403" "$(status_of 8200 "$HOST/token.8200" /guests/8300/events)" 403
    is "another guest's token gives 403 without a wait" "$(status_of 8200 "$HOST/token.8300" '/events?timeout=30')" 403
    is "a request without a token gives 401 without a wait" "$(status_of 8200 - '/events?timeout=30')" 401
    events "?since=$first"
    nothing_came "refused requests are not among the guest's events" "$first"
    ok "the refused requests have events" test \
        "$(sql "SELECT count(*) FROM event WHERE kind = 'refused' AND vmid = 8200")" -gt 0
    for query in since=x since= since timeout=61 timeout=-1 since=1\&since=2 limit=5 since=99999999999999999999 \
        since=1%30; do
        events "?$query"
        like "?$query: 400 names the parameter" "$status $(jq -r .error <<<"$body")" "^400 ${query%%=*}: "
    done
    sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250)
         INSERT INTO event (at_ms, vmid, kind, outcome, detail, source, duration_us) SELECT 1700000000000 + i, 8200 + 100 * (i % 2), 'test', 'ok', i, '', -1 FROM n"
    events "?since=$first"
    is "a reply has at most a hundred events, and the guest's own only" \
        "$(jq -c '[(.events | length), .events[0].detail, .events[99].detail]' <<<"$data")" '[100,"2","200"]'
    is "duration_ms is null for an event without a duration" "$(jq -c '.events[0].duration_ms' <<<"$data")" null
    events "?since=$cursor&timeout=20"
    is "the next request returns the remaining events at once" \
        "$(jq -c '[(.events | length), .events[-1].detail]' <<<"$data")" '[25,"250"]'
}

lane_woken() {
    local tls
    events
    began=$(now_ms)
    events "?since=$cursor&timeout=1"
    took=$(($(now_ms) - began))
    nothing_came "after a wait without events the reply is empty and has the same cursor" "$cursor"
    ok "the reply without events is sent after the timeout" test $took -ge 1000
    like "a reply that had to wait closes the connection" "$(tr -d '\r' <"$HOST/headers")" 'Connection: close'
    is "HEAD waits until the timeout, too" \
        "$(status_of 8200 "$HOST/token.8200" "/events?since=$cursor&timeout=1" --head)" 200
    for tls in --tlsv1.2\ --tls-max\ 1.2 --tlsv1.3; do
        # shellcheck disable=SC2086
        if ! in_guest 8200 curl -sk -o /dev/null $tls "https://$ENDPOINT/healthz"; then
            skip "woken over $tls" "this library has no such version" && continue
        fi
        # shellcheck disable=SC2086
        wait_for woken "?since=$cursor&timeout=30" $tls
        happens
        wait $waiter
        has_kinds "over $tls a waiting client gets the event" woken post-start
        cursor=$(jq .data.next "$HOST/woken.body")
    done
    wait_for body "?since=$cursor&timeout=30" -X GET --data-binary '{"what": "is read before the wait"}'
    happens
    wait $waiter
    has_kinds "a request with a body waits, too" body post-start
    cursor=$(jq .data.next "$HOST/body.body")
    wait_for other "?since=$cursor&timeout=2"
    phase 8300 post-start >/dev/null 2>&1
    wait $waiter
    has_kinds "another guest's event is not sent to a waiting client" other ""
    is "only felhomd's user can use the nudge socket" "$(stat -c '%a %F' "$HOST/state/nudge")" '600 socket'
    mv "$HOST/state/nudge" "$HOST/state/away"
    wait_for unnudged "?since=$cursor&timeout=30"
    happens pre-stop
    wait $waiter
    has_kinds "without a nudge a waiting client still gets the event" unnudged pre-stop
    mv "$HOST/state/away" "$HOST/state/nudge"
    heeds_nudges "with a nudge a waiting client gets the event at once"
    for phase_name in post-stop pre-start post-start pre-stop; do
        nudges "$phase_name nudges" phase 8200 $phase_name
    done
    nudges "rotate nudges felhomd" ctl rotate 8200
    nudges "revoke nudges felhomd" ctl revoke 8200
}

# A cursor is valid across restarts of felhomd; a cursor ahead of the store comes from another store.
lane_cursors() {
    events
    daemon_stop
    happens
    ok "(felhomd has started again)" daemon_start
    events "?since=$cursor&timeout=10"
    is "no event is lost across a restart" "$(kinds "$HOST/body")" post-start
    wait_for nudged "?since=$cursor&timeout=30"
    happens
    wait $waiter
    has_kinds "after a restart a waiting client gets events" nudged post-start
    heeds_nudges "after a restart felhomd receives nudges"
    events
    wait_for orphan "?since=$cursor&timeout=30"
    kill -KILL "$DAEMON"
    wait "$DAEMON" 2>/dev/null
    wait $waiter
    is "a client that waits when felhomd is killed gets no reply" "$(cat "$HOST/orphan.status")" 000
    happens pre-stop
    ok "(felhomd has started again after a kill)" daemon_start
    events "?since=$cursor&timeout=10"
    is "no event is lost across a kill" "$(kinds "$HOST/body")" pre-stop
    wait_for nudged "?since=$cursor&timeout=30"
    happens
    wait $waiter
    has_kinds "after a kill a waiting client gets events" nudged post-start
    heeds_nudges "after a kill felhomd receives nudges, although the socket was left"
    events "?since=1000000&timeout=30"
    is "a cursor ahead of the store returns events from the beginning, with reset" \
        "$(jq -c '[.reset, .events[0].kind]' <<<"$data")" '[true,"mint"]'
    cursor=$(sql "SELECT max(seq) FROM event")
    wait_for reset "?since=$cursor&timeout=30"
    sql "DELETE FROM event WHERE seq > 3; UPDATE sqlite_sequence SET seq = 3 WHERE name = 'event'"
    wait $waiter
    is "a waiting client gets reset when the store is replaced" "$(jq -c .data.reset "$HOST/reset.body")" true
}

# A token that ends while its client waits, by the guest's stop and by the operator; and a VMID that is used again.
lane_tokens() {
    events
    wait_for stopped "?since=$cursor&timeout=30"
    happens post-stop
    wait $waiter
    is "a waiting client gets 401 when the guest stops" \
        "$(cat "$HOST/stopped.status") $(jq -c .ok "$HOST/stopped.body")" "401 false"
    explains "explain has the request that waited when the guest stopped" stopped \
        '[401,"revoked token","GET","/events"]'
    happens pre-start
    take_token 8200
    events
    wait_for revoked "?since=$cursor&timeout=30"
    ctl revoke 8200 >/dev/null
    wait $waiter
    is "a waiting client gets 401 when the operator revokes the token" "$(cat "$HOST/revoked.status")" 401
    explains "explain has the request that waited when the token was revoked" revoked \
        '[401,"revoked token","GET","/events"]'
    phase 8200 pre-start >/dev/null 2>&1
    take_token 8200
    events
    wait_for expired "?since=$cursor&timeout=30"
    sql "UPDATE token SET expires_at_ms = 1 WHERE revoked_at_ms IS NULL"
    happens post-start
    wait $waiter
    explains "explain has the request that waited when the token expired" expired \
        '[401,"expired token","GET","/events"]'
    happens post-stop
    ctl unenroll 8200 >/dev/null 2>&1
    guest_config 8200 </dev/null
    happens pre-start
    take_token 8200
    events
    is "after unenroll and enroll the guest sees no earlier events" "$(kinds "$HOST/body")" "mint pre-start"
    touch "$HOST/pve/lxc/100.conf"
    happens post-stop
    mv "$HOST/pve/lxc/8200.conf" "$HOST/8200.conf"
    ok "(felhomd has noticed that the configuration is gone)" eventually is_forgotten
    mv "$HOST/8200.conf" "$HOST/pve/lxc/8200.conf"
    happens pre-start
    take_token 8200
    events
    is "a new guest with the VMID sees no earlier events" "$(kinds "$HOST/body")" "mint pre-start"
}
is_forgotten() {
    [ "$(sql "SELECT first_seq >= (SELECT max(seq) FROM event WHERE vmid = 8200) FROM guest WHERE vmid = 8200")" = 1 ]
}

# Half of the possible descriptors are for waiting clients.
lane_crowd() {
    daemon_stop
    ulimit -n $((2 * crowd + 100))
    daemon_start
    events
    idle=$(sockets)
    before=$(waiting)
    before_kb=$(memory_kb)
    waiters all $crowd
    all=$waiter
    ok "$crowd clients wait while felhomd has 24 threads" eventually wait_more_than $((before + crowd - 1))
    each_kb=$((($(memory_kb) - before_kb) / crowd))
    case $BIN in
    *asan*) skip "and take little memory" "sanitizers keep what is freed" ;;
    *) ok "and take little memory: $each_kb KB each" test $each_kb -lt 100 ;;
    esac
    is "another guest is answered while many clients wait" \
        "$(in_guest 8300 curl -sk -H "@$(header_file "$HOST/token.8300")" -o /dev/null -w '%{http_code}\n' "https://$ENDPOINT/storage?[1-100]" | sort | uniq -c | xargs)" \
        "100 200"
    is "another guest's connection is kept alive while many clients wait" \
        "$(in_guest 8300 curl -sk -o /dev/null -o /dev/null -w '%{num_connects}' "https://$ENDPOINT/healthz" "https://$ENDPOINT/healthz")" \
        10
    waiters rest 50
    began=$(now_ms)
    events "?since=$cursor&timeout=60"
    nothing_came "a request beyond the number of possible waiting clients is answered at once" "$cursor"
    ok "all waiting clients are answered at once" test $(($(now_ms) - began)) -lt 55000
    happens
    wait $all $waiter
    is "all waiting clients get the event" "$(said all)|$(said rest)" "$crowd*200/1|50*200/1"
    ok "answered clients leave no descriptor open" eventually has_sockets "$idle"
    events
    wait_for later "?since=$cursor&timeout=30"
    happens
    wait $waiter
    has_kinds "after the crowd is answered, a client can wait again" later post-start
}

lane_hanging_up() {
    local round end
    events
    idle=$(sockets)
    for round in 1 2; do
        for end in close reset half request garbage; do
            waiters $end 30 $end
            wait $waiter
        done
    done
    for end in half request garbage; do
        is "$end: felhomd closes connections whose client sends more while it waits" "$(said $end)" "30 ended"
    done
    ok "$((round * 150)) clients that are gone left no descriptor open" eventually has_sockets "$idle"
    wait_for staying "?since=$cursor&timeout=30"
    staying=$waiter
    waiters leaving 30 reset
    wait $waiter
    happens
    wait $staying
    has_kinds "a client that keeps its connection open gets the event" staying post-start
}

lane_reload() {
    events
    waiters staying 30
    reload
    happens
    wait $waiter
    is "a reload that keeps the listener leaves waiting clients alone" "$(said staying)" "30*200/1"
    events
    waiters moved 30
    settings 25
    kill -HUP "$DAEMON"
    wait $waiter
    is "a reload that moves the listener answers waiting clients" "$(said moved)" "30*200/0"
    eventually curl -sk -o /dev/null --max-time 60 "https://$ENDPOINT/healthz"
    wait_for reloaded "?since=$cursor&timeout=30"
    happens
    wait $waiter
    has_kinds "after the reload a client can wait again" reloaded post-start
    events
    waiters stopped 30
    began=$(now_ms)
    ok "felhomd stops cleanly" daemon_stop
    ok "felhomd stops without waiting for waiting clients' timeouts" test $(($(now_ms) - began)) -lt 55000
    wait $waiter
    is "felhomd answers waiting clients when it stops" "$(said stopped)" "30*200/0"
    ok "(felhomd has started again)" daemon_start
}

settings
for vmid in 8200 8300; do
    guest_config $vmid </dev/null
done
ctl init >/dev/null
world_guest 8200 200
world_guest 8300 201
for vmid in 8200 8300; do
    phase $vmid pre-start >/dev/null 2>&1
    take_token $vmid
done
PIN=$(pin_of 8200)
ok "$LANE: felhomd starts" daemon_start
"lane_$LANE"
ok "$LANE: felhomd stops cleanly" daemon_stop
is "$LANE: felhomd's log has no sanitizer report" "$(grep -ci 'sanitizer\|could not' "$HOST/felhomd.log")" 0
tap_done
