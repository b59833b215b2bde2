#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What felhomd reports to the service manager and the journal: that it answers, that it waits, and which guest a message
# is about.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
guest_config 8200 </dev/null
guest_config 8300 </dev/null
ctl init >/dev/null
phase 8200 pre-start >/dev/null 2>&1
phase 8300 pre-start >/dev/null 2>&1
world_guest 8200 200
mkfifo "$HOST/release"

# datagrams SOCKET FILE: writes each datagram that the socket gets to the file, followed by an empty line.
datagrams() {
    rm -f "$1"
    python3 -c '
import socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
with open(sys.argv[2], "ab", 0) as out:
    while True:
        out.write(receiver.recv(65536).rstrip(b"\n") + b"\n\n")
' "$1" "$2" &
    RECEIVER=$!
    eventually test -S "$1"
}

# managed: starts felhomd as the service manager does, with a watchdog of two seconds.
managed() {
    : >"$HOST/told"
    NOTIFY_SOCKET=$HOST/notify WATCHDOG_USEC=2000000 "$BIN/felhomd" 2>>"$HOST/felhomd.log" &
    DAEMON=$!
}
datagrams "$HOST/notify" "$HOST/told"

told() { grep -c "$1" "$HOST/told"; }
told_more() { [ "$(told "$1")" -gt "$2" ]; }
# beats COUNT: waits until the watchdog has been fed that many more times.
beats() { eventually told_more '^WATCHDOG=1' $(($(told '^WATCHDOG=1') + $1 - 1)); }
# no_beats: after a failure the watchdog is not fed for longer than its interval.
no_beats() {
    local before
    before=$(told '^WATCHDOG=1')
    sleep 3
    [ "$(told '^WATCHDOG=1')" -eq "$before" ]
}
logged() { grep -c "$1" "$HOST/felhomd.log"; }
logged_more() { [ "$(logged "$1")" -gt "$2" ]; }
DEAD="felhomd's self-test failed"
ALIVE="felhomd's self-test succeeds again"
# On a slow machine the self-test may fail now and then: each logged failure is followed by a logged success.
is_well() { [ "$(logged "$DEAD")" -eq "$(logged "$ALIVE")" ]; }
is_failing() { [ "$(logged "$DEAD")" -eq $(($(logged "$ALIVE") + 1)) ]; }
from_host() { curl -sk -o /dev/null --max-time 120 -w '%{http_code}' "https://$ENDPOINT/healthz"; }
refused() { sql "SELECT count(*) FROM event WHERE kind = 'refused'"; }

# hold COUNT: opens that many silent connections of guest 8200, until `release`
hold() {
    rm -f "$HOST/held"
    in_guest 8200 bash -c "for _ in \$(seq $1); do exec {fd}<>/dev/tcp/$ADDRESS/$PORT; done; echo held; read -r" \
        <"$HOST/release" >"$HOST/held" &
    HOLDER=$!
    exec 7>"$HOST/release"
    eventually grep -q held "$HOST/held"
}
release() {
    exec 7>&-
    wait $HOLDER
}

# --- felhomd answers ---
agent_yaml <<<'limits: {threads: 4, connections_per_source: 4, handshake: 10m}'
managed
ok "the service manager is told that felhomd serves" eventually told_more '^STATUS=serving' 0
ok "felhomd feeds the watchdog again and again" beats 3

mv "$HOST/state/db/agent.db" "$HOST/agent.db" && mkdir "$HOST/state/db/agent.db"
is_unready() { [ "$(from_host)" = 503 ]; }
ok "felhomd says when it cannot read its store" eventually is_unready
ok "the watchdog is fed all the same, as no restart would help" beats 3
rmdir "$HOST/state/db/agent.db" && mv "$HOST/agent.db" "$HOST/state/db/agent.db"
is_ready() { [ "$(from_host)" = 200 ]; }
ok "felhomd says when it can read it again" eventually is_ready

hold 4
ok "the self-test fails when all workers are busy" eventually is_failing
ok "the watchdog is not fed while the self-test fails" no_beats
ok "the log has one message about the failing self-test" is_failing
like "the log gives the reason of the failing self-test" "$(grep "$DEAD" "$HOST/felhomd.log" | tail -n 1)" \
    "<3>$DEAD: $ADDRESS:$PORT: no TLS handshake: timed out"
release
ok "the watchdog is fed again once workers are free" beats 2
ok "the log has one message that the self-test succeeds again" is_well

# Failed self-tests count as nobody's refused connections.
agent_yaml <<'END'
local_api: {source_binding: require, allow: [10.0.0.0/8]}
limits: {threads: 4, connections_per_source: 1, requests_per_source: 1}
END
reload
ok "the self-test succeeds although no other client is admitted" beats 4
is "the self-test is not recorded as refused" "$(refused)" 0
is "another connection of the host is refused" "$(from_host)" 000
is_refused() { [ "$(refused)" -gt 0 ]; }
eventually is_refused
like "the refused connection has an event" "$(sql "SELECT detail || ' ' || source FROM event WHERE kind = 'refused'")" \
    "^not allowed.* $ADDRESS\$"
ok "the watchdog is fed although a connection was refused" beats 2
is "there is one event of a refused connection only" "$(refused)" 1

agent_yaml <<<"local_api: {listen: '127.0.0.1:$PORT'}"
reload
ok "the self-test uses the listener's new address" beats 2
agent_yaml </dev/null
reload
ok "the self-test uses the old address again after another reload" beats 2
ok "no self-test fails for good across reloads" is_well
is "no reload failed" "$(logged "reload failed")" 0

ip addr del $ADDRESS/24 dev vmbr0
ok "the self-test fails when the host has lost the address" eventually is_failing
ok "the watchdog is not fed while the address is missing" no_beats
ip addr add $ADDRESS/24 dev vmbr0
ok "the watchdog is fed again once the address is back" beats 2
before=$(told '^STOPPING=1')
ok "felhomd stops cleanly" daemon_stop
is "felhomd announces its stop" "$(($(told '^STOPPING=1') - before))" 1
# A self-test may have timed out on a slow machine during a handshake.
ok "except for handshakes, the log has no message about the self-test's connections" test \
    "$(grep -c "^<.>$ADDRESS: " "$HOST/felhomd.log")" -le $(($(logged "$DEAD") - 2))

# --- felhomd waits ---
ip addr del $ADDRESS/24 dev vmbr0
started=$SECONDS
managed
ok "without the bridge's address felhomd reports that it waits" eventually told_more '^STATUS=waiting: .*vmbr0' 0
ok "felhomd feeds the watchdog while it waits" beats 3
is "felhomd does not report itself as ready at first" "$(told '^READY=1')" 0
ok "felhomd reports itself as ready although it still waits" eventually told_more '^READY=1' 0
ok "felhomd reports itself as ready after about fifteen seconds" test $((SECONDS - started)) -ge 14
is "READY=1 of a waiting felhomd does not come with STATUS=serving" \
    "$(grep -A 1 '^READY=1' "$HOST/told" | grep -c '^STATUS=serving')" 0
ok "felhomd feeds the watchdog after READY=1, too" beats 3
is "felhomd does not listen while it waits" "$(ss -Hltn "sport = :$PORT")" ""
is "the log says once what felhomd waits for" "$(logged '<4>waiting: .*vmbr0')" 1
ip addr add $ADDRESS/24 dev vmbr0
ok "felhomd reports that it serves once the address is there" eventually told_more '^STATUS=serving' 0
is "felhomd answers requests once the address is there" "$(from_host)" 200
ok "felhomd feeds the watchdog after its wait" beats 2
ok "felhomd stops cleanly" daemon_stop

# --- the journal ---
mount -t tmpfs felhom-run /run
mkdir -p /run/systemd/journal
datagrams /run/systemd/journal/socket "$HOST/entries"
JOURNAL=$RECEIVER
entry_of() { grep -A 6 "^MESSAGE=.*$1" "$HOST/entries" | sed '/^$/q' | tr '\n' ' '; }
entered() { grep -q "^MESSAGE=.*$1" "$HOST/entries"; }
phase 8200 pre-stop >/dev/null 2>&1
phase 8200 pre-start >/dev/null 2>&1
eventually entered 'pre-start'
like "the hook's journal entries have fields" "$(entry_of 'pre-start')" \
    '^MESSAGE=[^=]* PRIORITY=6 SYSLOG_IDENTIFIER=felhom-hook VMID=8200 PHASE=pre-start EVENT=phase'
: >"$HOST/felhomd.log"
JOURNAL_STREAM=$(stat -c %d:%i "$HOST/felhomd.log")
export JOURNAL_STREAM
daemon_start
is "another guest's token gives 403" "$(status_of 8200 "$(token_of 8300)" /storage)" 403
ok "the refused request has a journal entry" eventually entered 'refused '
like "the journal entry of the refused request has fields" "$(entry_of 'refused ')" \
    '^MESSAGE=refused [^=]* PRIORITY=5 SYSLOG_IDENTIFIER=felhomd VMID=8300 EVENT=refused'
kill -HUP $DAEMON
ok "a reload has a journal entry" eventually entered 'configuration reloaded'
like "a message that is about no guest has no field VMID" "$(entry_of 'configuration reloaded')" \
    '^MESSAGE=configuration reloaded PRIORITY=5 SYSLOG_IDENTIFIER=felhomd *$'
is "what goes to the journal does not go to standard error" "$(cat "$HOST/felhomd.log")" ""
unlike "no journal entry contains a token" "$(cat "$HOST/entries")" "$(cut -c 1-24 "$(token_of 8300)")"
kill "$JOURNAL"
rm /run/systemd/journal/socket
kill -HUP $DAEMON
ok "without a journal messages go to standard error" eventually logged_more '<5>configuration reloaded' 0
ok "felhomd stops cleanly" daemon_stop
tap_done
