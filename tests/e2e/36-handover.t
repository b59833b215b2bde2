#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# felhomd is restarted, reloaded and killed, again and again, under clients that ask without a pause: none is refused or reset, no answer is cut, no
# connection ends without a goodbye. The service manager keeps the socket meanwhile.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
# settings [YAML]: agent.yaml under which nobody is refused for asking much
settings() {
    agent_yaml <<<"limits: {requests_per_source: 100000, connections_per_source: 100, handshake: 20s, request: 20s${1:-}}"
}
settings
guest_config 8200 </dev/null
ctl init >/dev/null
phase 8200 pre-start >/dev/null
phase 8200 post-start >/dev/null
world_guest 8200 20

# managed STORE_MAX: a service manager for felhomd, which keeps so many descriptors; it is told by `manager WORD...`, which prints its answer. Its own 9 is
# agent.yaml.
managed() {
    coproc MANAGER { exec tests/lib/manager "$HOST/notify" "$1" "$BIN/felhomd" 9<"$HOST/agent.yaml" 2>>"$HOST/felhomd.log"; }
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
# asking COUNT / asked: so many clients begin; they come to their end, and what they met is in $HOST/met
asking() {
    rm -f "$HOST/enough"
    : >"$HOST/enough.answers"
    in_guest 8200 tests/lib/askers "$ENDPOINT" "$(token_of 8200)" "$1" "$HOST/enough" >"$HOST/met" 2>&1 &
    ASKERS=$!
}
# work: until they had some more answers
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
answers() { [ "$(sql 'SELECT count(*) FROM token')" -gt 0 ] && [ "$(status_of 8200 "$(token_of 8200)" /storage)" = 200 ]; }
listening() { ss -Hltn "sport = :$1" | awk '{ print $4 }'; }
inode() { ss -Hltne "sport = :$1" 2>/dev/null | grep -o 'ino:[0-9]*'; }
logged() { grep -c "$1" "$HOST/felhomd.log"; }

# --- restarts ---
managed 4
is "it starts" "$(manager start)" start
is "and leaves what it listens on with the manager" "$(manager kept)" 'kept local_api'
before=$(inode $PORT)
asking 40
wrong=''
for _ in $(seq 20); do
    answer=$(manager restart)
    [ "$answer" = 'restart 0' ] || wrong+="$answer; "
    work
done
is "twenty restarts, each a clean end" "$wrong" ""
enough
diag "$(cat "$HOST/met")"
is "no client met a failure" "$(met .failed)" '{}'
is "all kinds had answers" "$(met '[.answers[] | . > 0] | all, length')" $'true\n5'
ok "connections were closed after an answer that said so" test "$(met .last)" -gt 0
is "it was one socket all the time" "$(inode $PORT)" "$before"
is "kept once" "$(manager kept)" 'kept local_api'

# --- reloads that start the listener anew ---
asking 40
wrong=''
for threads in 250 251 252 253 254 255; do
    settings ", threads: $threads"
    answer=$(manager reload)
    [ "$answer" = reload ] || wrong+="$answer; "
    work
done
is "six reloads with other threads" "$wrong" ""
enough
is "no client met a failure" "$(met .failed)" '{}'
is "reloaded each time" "$(logged 'configuration reloaded')" 6

# --- another address ---
agent_yaml <<<'local_api: {listen: "127.0.0.1:9443"}'
is "a reload with another address" "$(manager reload)" reload
is "is listened on there" "$(listening 9443)" 127.0.0.1:9443
is "and no more where it was" "$(listening $PORT)" ''
is "the manager keeps the new one alone" "$(manager kept)" 'kept local_api'
agent_yaml <<'END_OF_YAML'
local_api: {listen: "0.0.0.0:9443", allow: [127.0.0.0/8]}
END_OF_YAML
is "an address that includes the old one" "$(manager reload)" reload
is "is listened on" "$(listening 9443)" 0.0.0.0:9443
settings
is "an address that changed before the restart" "$(manager restart)" 'restart 0'
is "is listened on" "$(listening $PORT)" $ENDPOINT
is "the old one is not" "$(listening 9443)" ''
is "the manager keeps the new one alone" "$(manager kept)" 'kept local_api'
ok "guests are answered" answers

# --- killed ---
before=$(inode $PORT)
is "killed, it starts again" "$(manager crash)" 'crash -9'
is "on the same socket" "$(inode $PORT)" "$before"
ok "guests are answered" answers
is "stopped, it ends" "$(manager stop)" 'stop 0'
is "and nothing is listened on" "$(listening $PORT)" ''
unmanaged

# --- what is none of ours ---
managed 4
manager keep of_a_later_version 9 >/dev/null
is "a descriptor that it does not know" "$(manager start)" start
is "is dropped" "$(manager kept)" 'kept local_api'
is "and closed" "$(find "/proc/$(pgrep -P "$MANAGER_PID" felhomd)/fd" -lname "$HOST/agent.yaml")" ''
ok "guests are answered" answers
is "stopped, it ends" "$(manager stop)" 'stop 0'
unmanaged

# --- a manager that keeps nothing ---
managed 0
is "it starts" "$(manager start)" start
is "nothing is kept" "$(manager kept)" kept
is "it starts again all the same" "$(manager restart)" 'restart 0'
ok "guests are answered" answers
is "stopped, it ends" "$(manager stop)" 'stop 0'
unmanaged
is "nothing went wrong unsaid" "$(grep -i 'sanitizer\|CivetWeb' "$HOST/felhomd.log")" ''
tap_done
