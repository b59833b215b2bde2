#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# felhomd is restarted, reloaded and killed again and again, while clients send requests without a pause: none is
# refused or reset, no answer is cut short, no connection ends without close_notify. The service manager keeps the
# socket meanwhile.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
# settings [YAML]: writes agent.yaml with limits that refuse no client
settings() {
    agent_yaml \
        <<<"limits: {requests_per_source: 100000, connections_per_source: 100, handshake: 20s, request: 20s${1:-}}"
}
settings
guest_config 8200 </dev/null
ctl init >/dev/null
phase 8200 pre-start >/dev/null
phase 8200 post-start >/dev/null
world_guest 8200 20

# managed STORE_MAX [COMMAND...]: a service manager for felhomd, run by that command, that keeps that many descriptors. `manager WORD...` sends it a
# command and prints the answer. Its own descriptor 9 is agent.yaml.
managed() {
    local max=$1
    shift
    coproc MANAGER { exec tests/lib/manager "$HOST/notify" "$max" "$@" "$BIN/felhomd" 9<"$HOST/agent.yaml" \
        2>>"$HOST/felhomd.log"; }
}
manager() {
    local answer
    echo "$*" >&"${MANAGER[1]}"
    read -r -t 1200 answer <&"${MANAGER[0]}"
    echo "$answer"
}
unmanaged() {
    local pid=$MANAGER_PID
    eval "exec ${MANAGER[1]}>&-"
    wait "$pid"
    rm "$HOST/notify"
}
# asking COUNT / asked: starts that many clients; ends them, and $HOST/met has what they met
asking() {
    rm -f "$HOST/enough"
    : >"$HOST/enough.answers"
    in_guest 8200 tests/lib/askers "$ENDPOINT" "$(token_of 8200)" "$1" "$HOST/enough" >"$HOST/met" 2>&1 &
    ASKERS=$!
}
# work: waits until the clients got some more answers
work() {
    local before
    before=$(answered)
    eventually answered_more "$before"
}
answered() { wc -l <"$HOST/enough.answers"; }
answered_more() { [ "$(answered)" -gt $(($1 + 20)) ]; }
all_kinds() { [ "$(sort -u "$HOST/enough.answers" | wc -l)" -eq 5 ] || { manager restart >/dev/null && false; }; }
enough() {
    eventually all_kinds
    touch "$HOST/enough"
    manager restart >/dev/null # for those that wait for it
    wait $ASKERS
}
met() { jq -c "$1" "$HOST/met"; }
answers() {
    [ "$(sql 'SELECT count(*) FROM token')" -gt 0 ] && [ "$(status_of 8200 "$(token_of 8200)" /storage)" = 200 ]
}
listening() { ss -Hltn "sport = :$1" | awk '{ print $4 }'; }
inode() { ss -Hltne "sport = :$1" 2>/dev/null | grep -o 'ino:[0-9]*'; }
logged() { grep -c "$1" "$HOST/felhomd.log"; }

# What felhomd leaves with the manager while it runs.
all='kept witness local_api'

# --- restarts ---
managed 4
is "felhomd starts under the manager" "$(manager start)" start
is "felhomd leaves its listening socket with the manager" "$(manager kept)" "$all"
before=$(inode $PORT)
asking 40
wrong=''
for _ in $(seq 20); do
    answer=$(manager restart)
    [ "$answer" = 'restart 0' ] || wrong+="$answer; "
    work
done
is "twenty restarts all exit with 0" "$wrong" ""
enough
diag "$(cat "$HOST/met")"
is "no client met a failure during the restarts" "$(met .failed)" '{}'
is "all kinds of clients got answers" "$(met '[.answers[] | . > 0] | all, length')" $'true\n5'
ok "connections were closed after an answer with Connection: close" test "$(met .last)" -gt 0
is "all restarts kept the same socket" "$(inode $PORT)" "$before"
is "the manager has one socket" "$(manager kept)" "$all"

# --- reloads that restart the listener ---
asking 40
wrong=''
for threads in 250 251 252 253 254 255; do
    settings ", threads: $threads"
    answer=$(manager reload)
    [ "$answer" = reload ] || wrong+="$answer; "
    work
done
is "six reloads with another number of threads succeed" "$wrong" ""
enough
is "no client met a failure during the reloads" "$(met .failed)" '{}'
is "each reload is logged" "$(logged 'configuration reloaded')" 6

# --- another address ---
agent_yaml <<<"local_api: {listen: '127.0.0.1:$PORT'}"
is "a reload with another address succeeds" "$(manager reload)" reload
is "felhomd listens on the new address alone" "$(listening $PORT)" 127.0.0.1:$PORT
is "the manager has the new listening socket only" "$(manager kept)" "$all"
agent_yaml <<END_OF_YAML
local_api: {listen: "0.0.0.0:$PORT", allow: [127.0.0.0/8]}
END_OF_YAML
is "a reload with 0.0.0.0, which includes the old address, succeeds" "$(manager reload)" reload
is "felhomd listens on 0.0.0.0" "$(listening $PORT)" 0.0.0.0:$PORT
agent_yaml <<<'local_api: {listen: "127.0.0.1:9443"}'
is "a reload with another port ends" "$(manager reload)" reload
is "but felhomd listens where it did" "$(listening 9443) $(listening $PORT)" " 0.0.0.0:$PORT"
is "and says that it has to be restarted" \
    "$(logged 'the port of local_api cannot change while felhomd runs: systemctl restart felhomd')" 1
is "a restart with another port succeeds" "$(manager restart)" 'restart 0'
is "felhomd listens on the new port" "$(listening 9443)" 127.0.0.1:9443
settings
is "a restart with a changed address succeeds" "$(manager restart)" 'restart 0'
is "felhomd listens on the changed address" "$(listening $PORT)" $ENDPOINT
is "felhomd no longer listens on the old port" "$(listening 9443)" ''
is "the manager has the sockets of the changed address only" "$(manager kept)" "$all"
ok "guests are answered after the address has changed" answers

# --- killed ---
before=$(inode $PORT)
is "felhomd starts again after a kill" "$(manager crash)" 'crash -9'
is "felhomd uses the same socket after a kill" "$(inode $PORT)" "$before"
ok "guests are answered after a kill" answers
is "felhomd stops under the manager" "$(manager stop)" 'stop 0'
is "nothing listens after the stop" "$(listening $PORT)" ''
unmanaged

# --- a felhomd that may not open packet sockets itself, as its unit has it ---
managed 8 setpriv --bounding-set=-net_raw --inh-caps=-net_raw
settings
echo 'local_api: {source_binding: require}' >>"$HOST/agent.yaml"
like "without a packet socket felhomd does not start where ports are required" "$(manager start)" ended
# open_packet_socket: as systemd's ExecStartPre; the manager has it then
open_packet_socket() {
    NOTIFY_SOCKET=$HOST/notify "$BIN/felhomd" --open-packet-socket
    manager kept >/dev/null
}
open_packet_socket
is "with the socket that was opened for it it does" "$(manager start)" start
is "it has the manager keep that" "$(manager kept)" "$all"
ok "guests are answered" answers
asking 10
wrong=''
for _ in 1 2 3 4; do
    open_packet_socket
    answer=$(manager restart)
    [ "$answer" = 'restart 0' ] || wrong+="$answer; "
    work
done
is "four restarts, each with another socket before it, all exit with 0" "$wrong" ""
enough
is "no client met a failure" "$(met .failed)" '{}'
is "the manager keeps one packet socket" "$(manager kept)" "$all"
is "felhomd never had the right to open one" \
    "$(sed -n 's/^Cap\(Eff\|Prm\|Bnd\|Amb\):\t//p' "/proc/$(pgrep -n -P "$MANAGER_PID" felhomd)/status" |
        while read -r set; do echo $(((0x$set >> 13) & 1)); done | sort -u)" 0
is "felhomd stops" "$(manager stop)" 'stop 0'
unmanaged
settings

# --- an unknown descriptor ---
managed 4
manager keep of_a_later_version 9 >/dev/null
is "felhomd starts with an unknown descriptor" "$(manager start)" start
is "felhomd has the manager drop the unknown descriptor" "$(manager kept)" "$all"
is "felhomd closes the unknown descriptor" \
    "$(find "/proc/$(pgrep -P "$MANAGER_PID" felhomd)/fd" -lname "$HOST/agent.yaml")" ''
ok "guests are answered after the unknown descriptor was dropped" answers
is "felhomd stops after the unknown descriptor was dropped" "$(manager stop)" 'stop 0'
unmanaged

# --- a manager that keeps nothing ---
managed 0
is "felhomd starts under a manager that keeps no descriptors" "$(manager start)" start
is "a manager without a descriptor store keeps nothing" "$(manager kept)" kept
is "felhomd restarts under a manager that keeps no descriptors" "$(manager restart)" 'restart 0'
ok "guests are answered under a manager that keeps no descriptors" answers
is "felhomd stops under a manager that keeps no descriptors" "$(manager stop)" 'stop 0'
unmanaged
is "felhomd's log has no sanitizer report and no message of CivetWeb" \
    "$(grep -i 'sanitizer\|CivetWeb' "$HOST/felhomd.log")" ''
tap_done
