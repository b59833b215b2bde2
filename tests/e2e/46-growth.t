#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What grows with the number of guests and with time: the work of a daemon that nobody asks anything; the audit trail,
# of which each source has a share; and a backlog of events, which nobody has to wait for.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
GUESTS=300

ctl init >/dev/null
for vmid in 8200 8300; do
    guest_config $vmid </dev/null
    phase $vmid pre-start >/dev/null 2>&1
done

# --- a sweep reads each directory once, however many guests there are ---
mkdir -p "$HOST/cgroup/lxc"
for vmid in $(seq 1001 $((1000 + GUESTS))); do
    ln "$HOST/pve/lxc/8200.conf" "$HOST/pve/lxc/$vmid.conf"
    mkdir "$HOST/cgroup/lxc/$vmid"
done
sql "INSERT INTO guest (vmid, kind, name, state, root_uid, root_gid, mount_form, changed_at_ms)
     SELECT 1000 + value, 'lxc', 'x', 'running', 0, 0, '', 1 FROM generate_series(1, $GUESTS);
     INSERT INTO guest (vmid, kind, name, state, root_uid, root_gid, mount_form, changed_at_ms)
     SELECT 3000 + value, 'lxc', 'gone', 'stopped', 0, 0, '', 1 FROM generate_series(1, $GUESTS)"

revoked() { [ -n "$(sql "SELECT 1 FROM event WHERE vmid = $1 AND kind = 'revoke'")" ]; }
# sweeps: the calls of the main thread from one look at the configurations to the next, a line each
sweeps() { awk '$1 == 0 && $4 ~ /pve\/lxc$/ { if (last) print $2 - last; last = $2 }' "$HOST/calls"; }

# The sanitizer cannot look for leaks in a program that is traced.
ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 "$BIN/fault" "$HOST/calls" list "$BIN/felhomd" 2>>"$HOST/felhomd.log" &
DAEMON=$!
rm "$HOST/pve/lxc/8200.conf"
ok "a guest whose configuration has gone loses its token by a sweep" eventually revoked 8200
rm "$HOST/pve/lxc/8300.conf"
ok "another one by a later sweep" eventually revoked 8300
ok "felhomd stops" daemon_stop
calls=$(sweeps | sort -n | head -n 1)
ok "a sweep of $GUESTS running guests and as many that are gone takes fewer system calls than guests: ${calls:-none}" \
    test "${calls:-$GUESTS}" -lt $GUESTS

# --- a backlog of events is deleted some thousand at a time ---
# events_of COLUMNS COUNT VALUES: as many more rows
events_of() {
    sql "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $2)
         INSERT INTO event (at_ms, outcome, detail, duration_us, $1) SELECT i, 'ok', 'job', -1, $3 FROM n"
}
count_of() { sql "SELECT count(*) FROM event WHERE $1"; }
# come_to_a_batch: events are deleted with the next but one
come_to_a_batch() {
    sql "UPDATE sqlite_sequence SET seq = (seq / 1000 + 1) * 1000 - 2 WHERE name = 'event'"
}
guest_config 8200 </dev/null
guest_config 8300 </dev/null
phase 8300 pre-start >/dev/null 2>&1
mine=$(count_of 'vmid = 8300')
events_of 'vmid, kind, source' 200000 "8200, 'backup', ''"
before=$(count_of 1)
come_to_a_batch
like "a start at which two hundred thousand events are too many goes on" "$(phase 8200 pre-start 2>&1)" 'minted'
ok "it deletes some of them: $before, $(count_of 1)" test "$(count_of 1)" -lt "$before"
ok "and some thousand at the most" test "$(count_of 1)" -ge $((before - 5000))
before=$(count_of 1)
fewer() { [ "$(count_of 1)" -lt $((before - $1)) ]; }
ok "felhomd starts beside the others" daemon_start
ok "felhomd deletes more of them" eventually fewer 0
before=$(count_of 1)
ok "and goes on with it" eventually fewer 0
like "another start beside it goes on" "$(phase 8200 pre-start 2>&1)" 'minted'
is "another guest's events are all there" "$(count_of 'vmid = 8300')" "$mine"
sql "DELETE FROM event WHERE kind = 'backup'"

# --- what one source does pushes out its own events alone ---
world_guest 8200 200
world_guest 8300 201
unshare --net sleep 86400 &
until [ "$(readlink "/proc/$!/ns/net")" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.01; done
ip link add strangers type veth peer name eth0 netns $!
echo $! >"$HOST/netns/stranger"
ip link set strangers master vmbr0 up
in_guest stranger ip link set eth0 up
in_guest stranger ip addr add 192.168.0.99/24 dev eth0
phase 8300 pre-start >/dev/null 2>&1
PIN=$(pin_of 8200)
is "8200 presents 8300's token and is refused" "$(status_of 8200 "$(token_of 8300)" /storage)" 403
is "8200 presents none and is refused" "$(status_of 8200 - /storage)" 401
stranger() { in_guest stranger curl -sk --max-time 120 -o /dev/null "https://$ENDPOINT/storage"; }
not_ok "a stranger is refused" stranger
refusals() { sql "SELECT vmid || ' ' || origin FROM event WHERE kind = 'refused' ORDER BY seq" | tr '\n' ,; }
three() { [ "$(count_of "kind = 'refused'")" -eq 3 ]; }
ok "each refusal is an event" eventually three
is "which says whose token it was, and which guest sent it" "$(refusals)" "8300 8200,0 8200,0 0,"
of_8300=$(sql "SELECT group_concat(seq) FROM event WHERE share = 8300")

# flooded WHAT COLUMNS VALUES: so many more events push out none of another share
flooded() {
    local rest="NOT ($4)" before
    before=$(count_of "$rest")
    events_of "$2" 12000 "$3"
    come_to_a_batch
    phase 8300 post-start >/dev/null 2>&1
    phase 8300 pre-stop >/dev/null 2>&1
    ok "$1 push out some of their own" test "$(count_of "$4")" -lt 12000
    is "$1 push out nothing else" "$(count_of "$rest")" $((before + 2))
}
flooded "a guest's jobs" 'vmid, kind, source' "8200, 'backup', ''" "share = 8200"
flooded "a stranger's refusals" 'vmid, kind, source, origin' "8300, 'refused', 'x', 0" "share = -1"
flooded "a guest's refusals" 'vmid, kind, source, origin' "8300, 'refused', 'x', 8200" "share = -8201"
is "what 8300 did is still there" \
    "$(sql "SELECT group_concat(seq) FROM event WHERE vmid = 8300 AND seq IN ($of_8300)")" "$of_8300"
newest=$(sql "SELECT max(seq) FROM event WHERE vmid = 8300 AND kind <> 'refused'")
is "8300 itself sees its newest event by /events" \
    "$(request 8300 "$(token_of 8300)" "/events?since=$((newest - 1))&timeout=0" | head -n 1 | jq -c '[.data.events[].seq]')" \
    "[$newest]"
is "felhomctl events shows it in order, with the refusals of its tokens" \
    "$(ctl events 8300 --since $((newest - 1)) --output-format json | jq -c '[.[].seq] | . == sort')" true
ok "felhomd stops" daemon_stop

# --- the store's log grows beside a process that never ends reading: doctor names it ---
felhomctl() { ctl "$@"; }
# doctor PART: of what doctor finds about the log
doctor() { ctl doctor --output-format json | jq -r --arg part "$1" '.checks[] | select(.id == "store.log") | .[$part]'; }
is "a log that is emptied is in order" "$(doctor result)" ok
python3 - "$HOST/state/db/agent.db" >"$HOST/reads" <<'END' &
import sqlite3, sys, time
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute("BEGIN")
store.execute("SELECT count(*) FROM event").fetchone()
print("reading", flush=True)
time.sleep(86400)
END
READER=$!
eventually test -s "$HOST/reads"
for _ in 1 2; do
    sql "INSERT INTO event (at_ms, vmid, kind, outcome, detail, source, duration_us)
         VALUES (1, 0, 'x', 'ok', hex(zeroblob(20000000)), '', -1); DELETE FROM event WHERE kind = 'x'"
done
like "beside a process that reads it grows" "$(doctor result) $(doctor reason)" \
    "warning .*agent.db-wal has grown to [0-9]+ MiB: the process $READER \(python3\) has been reading"
like "a start beside it goes on" "$(phase 8200 pre-start 2>&1)" 'minted'
remedy=$(doctor remedy)
eval "$remedy" >/dev/null
is "what doctor advises mends it: $remedy" "$(doctor result)" ok
kill $READER 2>/dev/null
wait $READER
tap_done
