#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What felhomd tells the service manager and the journal: that it answers, that it waits, and about whom.
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

# datagrams SOCKET FILE: what is sent to the socket goes to the file, each datagram followed by an empty line.
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

# managed: felhomd as the service manager starts it, with a watchdog of two seconds.
managed() {
    : >"$HOST/told"
    NOTIFY_SOCKET=$HOST/notify WATCHDOG_USEC=2000000 "$BIN/felhomd" 2>>"$HOST/felhomd.log" &
    DAEMON=$!
}
datagrams "$HOST/notify" "$HOST/told"

told() { grep -c "$1" "$HOST/told"; }
told_more() { [ "$(told "$1")" -gt "$2" ]; }
# beats COUNT: the watchdog is fed that often from now on, sooner or later.
beats() { eventually told_more '^WATCHDOG=1' $(($(told '^WATCHDOG=1') + $1 - 1)); }
# no_beats: after the next failure nothing comes any more for longer than the watchdog would wait.
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
# A slow machine may now and then be too slow for the question: each failure that is told is followed by its end.
is_well() { [ "$(logged "$DEAD")" -eq "$(logged "$ALIVE")" ]; }
is_failing() { [ "$(logged "$DEAD")" -eq $(($(logged "$ALIVE") + 1)) ]; }
from_host() { curl -sk -o /dev/null --max-time 120 -w '%{http_code}' "https://$ENDPOINT/healthz"; }
refused() { sql "SELECT count(*) FROM event WHERE kind = 'refused'"; }

# hold COUNT: that many connections of guest 8200 on which nothing is said, until `release`
hold() {
    rm -f "$HOST/held"
    in_guest 8200 bash -c "for _ in \$(seq $1); do exec {fd}<>/dev/tcp/$ADDRESS/$PORT; done; echo held; read -r" <"$HOST/release" >"$HOST/held" &
    HOLDER=$!
    exec 7>"$HOST/release"
    eventually grep -q held "$HOST/held"
}
release() {
    exec 7>&-
    wait $HOLDER
}

# --- it answers ---
agent_yaml <<<'limits: {threads: 4, connections_per_source: 4, handshake: 10m}'
managed
ok "the service manager hears that it serves" eventually told_more '^STATUS=serving' 0
ok "and then that it answers, again and again" beats 3

hold 4
ok "all workers taken: it notices" eventually is_failing
ok "the watchdog is fed no more" no_beats
ok "the log says so once" is_failing
like "and why" "$(grep "$DEAD" "$HOST/felhomd.log" | tail -n 1)" "<3>$DEAD: $ADDRESS:$PORT: no TLS handshake: timed out"
release
ok "with workers again, it is fed again" beats 2
ok "the log says so once, too" is_well

# What was given up is refused to nobody's account.
agent_yaml <<'END'
local_api: {source_binding: require, allow: [10.0.0.0/8]}
limits: {threads: 4, connections_per_source: 1, requests_per_source: 1}
END
reload
ok "whoever may come, its own question does" beats 4
is "which is nobody refused" "$(refused)" 0
is "another connection of the host is refused" "$(from_host)" 000
is_refused() { [ "$(refused)" -gt 0 ]; }
eventually is_refused
like "with an event" "$(sql "SELECT detail || ' ' || source FROM event WHERE kind = 'refused'")" "^not allowed.* $ADDRESS\$"
ok "the watchdog does not mind" beats 2
is "and there is no event but that" "$(refused)" 1

agent_yaml <<<'local_api: {listen: "127.0.0.1:9443"}'
reload
ok "the question follows the listener" beats 2
agent_yaml </dev/null
reload
ok "and back" beats 2
ok "without a failure that lasts" is_well
is "and without one to reload" "$(logged "reload failed")" 0

ip addr del $ADDRESS/24 dev vmbr0
ok "an address that is gone: it notices" eventually is_failing
ok "the watchdog is fed no more" no_beats
ip addr add $ADDRESS/24 dev vmbr0
ok "once it is back, it is fed again" beats 2
before=$(told '^STOPPING=1')
ok "felhomd stops cleanly" daemon_stop
is "and says that first" "$(($(told '^STOPPING=1') - before))" 1
# A question that a slow machine was too slow for may have been given up in the midst of a handshake.
ok "clients' handshakes aside, the log has no more of it" test "$(grep -c "^<.>$ADDRESS: " "$HOST/felhomd.log")" -le $(($(logged "$DEAD") - 2))

# --- it waits ---
ip addr del $ADDRESS/24 dev vmbr0
started=$SECONDS
managed
ok "without the bridge's address it waits" eventually told_more '^STATUS=waiting: .*vmbr0' 0
ok "which is all that the watchdog wants" beats 3
is "the boot waits for it" "$(told '^READY=1')" 0
ok "but not for long" eventually told_more '^READY=1' 0
ok "fifteen seconds" test $((SECONDS - started)) -ge 14
is "as it still waits" "$(grep -A 1 '^READY=1' "$HOST/told" | grep -c '^STATUS=serving')" 0
ok "it goes on waiting" beats 3
is "nothing is listened on yet" "$(ss -Hltn "sport = :$PORT")" ""
is "the log says once what for" "$(logged '<4>waiting: .*vmbr0')" 1
ip addr add $ADDRESS/24 dev vmbr0
ok "then it serves" eventually told_more '^STATUS=serving' 0
is "requests, too" "$(from_host)" 200
ok "and answers itself" beats 2
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
like "the hook's entries have fields" "$(entry_of 'pre-start')" \
    '^MESSAGE=[^=]* PRIORITY=6 SYSLOG_IDENTIFIER=felhom-hook VMID=8200 PHASE=pre-start EVENT=phase'
: >"$HOST/felhomd.log"
JOURNAL_STREAM=$(stat -c %d:%i "$HOST/felhomd.log")
export JOURNAL_STREAM
daemon_start
is "a guest with another's token" "$(status_of 8200 "$(token_of 8300)" /storage)" 403
ok "is in the journal" eventually entered 'refused '
like "with fields" "$(entry_of 'refused ')" '^MESSAGE=refused [^=]* PRIORITY=5 SYSLOG_IDENTIFIER=felhomd VMID=8300 EVENT=refused'
kill -HUP $DAEMON
ok "what is about no guest" eventually entered 'configuration reloaded'
like "has no such field" "$(entry_of 'configuration reloaded')" '^MESSAGE=configuration reloaded PRIORITY=5 SYSLOG_IDENTIFIER=felhomd *$'
is "and nothing is said twice" "$(cat "$HOST/felhomd.log")" ""
unlike "no token is" "$(cat "$HOST/entries")" "$(cut -c 1-24 "$(token_of 8300)")"
kill "$JOURNAL"
rm /run/systemd/journal/socket
kill -HUP $DAEMON
ok "without a journal it goes to standard error" eventually logged_more '<5>configuration reloaded' 0
ok "felhomd stops cleanly" daemon_stop
tap_done
