#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A host that comes back after a power cut starts all its guests at once: each gets its identity, with default settings.
# Then the queue in which their hooks wait: a moving one is waited for, a stuck one is not, and a dead one frees its place.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
LOCK=$HOST/run/hooks.lock
PIDS=()
crowd_config() {
    guest_config "$1" <<<"lxc.mount.entry: $HOST/run/export/$1 etc/felhom-bootstrap none bind,ro,create=dir,optional 0 0"
}
for vmid in $(seq 1000 1299) $(seq 2000 2099) 8200 8300; do crowd_config "$vmid"; done
# The hooks' settings are the default ones; a handshake may be late beside so many.
agent_yaml <<<'local_api: {listen: "127.0.0.1:8443", allow: [127.0.0.0/8]}
limits: {handshake: 60s}'
ENDPOINT=127.0.0.1:8443
ctl init >/dev/null

# The guests here are addresses of the host's own: that no other guest could reach it there is said each time.
without_reach() { grep -v 'guests are told that felhomd is at 127\.0\.0\.1:8443, which for each of them is itself'; }

# storm PHASE FIRST LAST: all at once; what each said is in $HOST/out.VMID and $HOST/err.VMID
storm() {
    local vmid
    rm -f "$HOST"/{out,err,failed}.*
    for vmid in $(seq "$2" "$3"); do
        phase "$vmid" "$1" >"$HOST/out.$vmid" 2>"$HOST/err.$vmid" &
        PIDS[vmid]=$!
    done
    for vmid in $(seq "$2" "$3"); do
        wait "${PIDS[vmid]}" || touch "$HOST/failed.$vmid"
    done
}
# lacking FIRST LAST: prints for whom the four files do not have one token, the only good one that the store has for it
lacking() {
    sql 'SELECT vmid, group_concat(id) FROM token WHERE revoked_at_ms IS NULL GROUP BY vmid' |
        python3 -c '
import json, os, sys

guests, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
good = dict(line.strip().split("|") for line in sys.stdin)
for vmid in range(first, last + 1):
    def read(name):
        with open(os.path.join(guests, str(vmid), name)) as file:
            return file.read()
    try:
        token = read("token").strip()
        if json.loads(read("bootstrap.json"))["local_api_token"] != token:
            print(vmid, "bootstrap.json has another token")
        if token not in read("controller.yaml"):
            print(vmid, "controller.yaml has another token")
        if "BEGIN CERTIFICATE" not in read("agent.crt"):
            print(vmid, "no certificate")
        if good.get(str(vmid)) != token[4:12]:
            print(vmid, "the token is not its only good one, but", good.get(str(vmid)))
    except OSError as error:
        print(vmid, error)
' "$HOST/run/guests" "$1" "$2" | head -n 5
}
# all_well WHAT FIRST LAST
all_well() {
    is "$1: no hook fails" "$(find "$HOST" -maxdepth 1 -name 'failed.*')" ""
    is "$1: no guest is told otherwise" "$(cat "$HOST"/err.* | without_reach | sort | uniq -c | head -n 5)" ""
    is "$1: each mints a token" "$(cat "$HOST"/out.* | grep -c minted)" $(($3 - $2 + 1))
    is "$1: each guest has its identity" "$(lacking "$2" "$3")" ""
}

storm pre-start 1000 1299
all_well "three hundred starts at once" 1000 1299

# Once more, with tokens that are still good, as nobody has seen the guests stop, and while a hundred others poll.
storm pre-start 2000 2099
for vmid in $(seq 2000 2099); do echo "127.0.1.$((vmid - 1999)) $(token_of "$vmid")"; done >"$HOST/pollers"
ok "felhomd starts" daemon_start
tests/lib/pollers "$ENDPOINT" /storage 6 1 <"$HOST/pollers" >"$HOST/polled" &
poller=$!
polling() { [ "$(ss -Htn state established 'src 127.0.1.0/24 and dport = :8443' | wc -l)" -ge 50 ]; }
ok "(guests poll)" eventually polling
storm pre-start 1000 1299
all_well "three hundred restarts at once while a hundred guests poll" 1000 1299
wait $poller
is "three hundred restarts at once: every poll is answered with 200" "$(cat "$HOST/polled")" "600 200"
storm post-stop 1000 1299
is "three hundred stops at once: no secret is left" \
    "$(find "$HOST"/run/guests/1??? -type f ! -name agent.crt | head -n 5)" ""
is "three hundred stops at once: no token is good" \
    "$(sql 'SELECT count(*) FROM token WHERE vmid < 2000 AND revoked_at_ms IS NULL')" 0
ok "felhomd stops" daemon_stop

# One start beside twenty busy processes.
busy=()
for _ in $(seq 20); do
    while :; do :; done &
    busy+=($!)
done
before=$(md5sum "$LOCK")
said=$(set -o pipefail && phase 1000 pre-start 2>&1 | without_reach)
like "beside twenty busy processes a guest gets its identity" "$? $said" '^0 felhom: 1000 pre-start: token gen 3 minted'
unlike "its hook has noted for others that it got on" "$(md5sum "$LOCK")" "^${before%% *}"
kill "${busy[@]}"
wait "${busy[@]}" 2>/dev/null

# --- the queue ---
# holder HOW: another process is the first in the queue, until let_go
mkfifo "$HOST/hold"
holder() {
    rm -f "$HOST/held"
    tests/lib/queue-holder "$LOCK" "$1" <"$HOST/hold" >"$HOST/held" &
    HOLDER=$!
    exec 9>"$HOST/hold"
    eventually grep -q held "$HOST/held"
}
let_go() {
    exec 9>&-
    wait "$HOLDER"
}
waiting() { [ "$(grep -c -- "-> FLOCK.*:$(stat -c %i "$LOCK") " /proc/locks)" -ge "${1:-1}" ]; }
# start VMID: a hook in the background; its pid is $STARTED
start() {
    phase "$1" pre-start >"$HOST/said" 2>&1 9>&- &
    STARTED=$!
}
settings() { agent_yaml <<<"hook: {$1}"; }

settings 'on_error: block, deadline: 2s'
ok "(another process is first in the queue, which moves)" holder moving
start 8200
ok "(a hook waits)" eventually waiting
sleep 4
ok "a queue that moves: the hook waits for longer than its deadline" waiting
let_go
wait $STARTED
like "a queue that moves: then the guest gets its identity" "$? $(cat "$HOST/said")" '^0 felhom: 8200 pre-start: token gen 1 minted'

kept=$(cat "$(token_of 8200)")
settings 'on_error: block, deadline: 1s'
ok "(another process is first in the queue, which is stuck)" holder stuck
start 8200
wait $STARTED
like "a stuck queue: the hook gives up, and says what holds it up" "$? $(cat "$HOST/said")" \
    "^1 felhom-hook: waited in vain for the hooks that are before it: .fuser -v $LOCK. shows them"
settings 'on_error: continue, deadline: 1s'
start 8200
wait $STARTED
like "a stuck queue with on_error: continue: the guest starts" "$? $(cat "$HOST/said")" \
    '^0 felhom-hook: waited in vain .*guest 8200 starts all the same, without a fresh identity'
is "a stuck queue: the guest keeps its token" "$(cat "$(token_of 8200)")" "$kept"
is "a stuck queue: it is in the audit trail" \
    "$(sql "SELECT count(*) FROM event WHERE vmid = 8200 AND outcome = 'error' AND detail LIKE 'waited in vain%'")" 2
let_go
settings 'on_error: block'
like "a queue that was stuck: the next hook gets through" "$(phase 8200 pre-start 2>&1)" 'gen 2 minted'

# A hook that was stopped by a signal keeps its place, and one that was killed does not.
mkfifo "$HOST/writer"
sqlite3 -cmd ".timeout 5000" "$HOST/state/db/agent.db" <"$HOST/writer" 2>/dev/null &
exec 8>"$HOST/writer"
echo 'BEGIN IMMEDIATE;' >&8
is_locked() { ! sqlite3 "$HOST/state/db/agent.db" 'BEGIN IMMEDIATE'; }
held() { grep -q "[0-9]: FLOCK.*:$(stat -c %i "$LOCK") " /proc/locks; }
ok "(another process holds the store's lock)" eventually is_locked
settings 'on_error: block, deadline: 10m'
start 8200
stopped=$STARTED
ok "(a hook has its place and waits for the store)" eventually held
child=$(pgrep -P "$stopped")
kill -STOP "$stopped" "$child"
exec 8>&-
settings 'on_error: block, deadline: 1s'
start 8300
wait $STARTED
like "a stopped hook is first: the next one gives up" "$? $(cat "$HOST/said")" '^1 felhom-hook: waited in vain'
settings 'on_error: block'
start 8300
ok "(another hook waits)" eventually waiting
kill -KILL "$child" "$stopped"
wait "$stopped" 2>/dev/null
wait $STARTED
like "the first hook was killed: the next one goes on" "$? $(cat "$HOST/said")" '^0 felhom: 8300 pre-start: token gen 1 minted'
is "the first hook was killed: the store is intact" "$(sql 'PRAGMA integrity_check')" ok

# Where there can be no queue, there is none.
rm "$LOCK"
mkdir "$LOCK"
is "a directory in place of the lock: the hook goes on without a queue, and says so" "$(phase 8200 pre-start 2>&1 >/dev/null)" \
    "felhom-hook: $LOCK: Is a directory; going on without a queue"
rmdir "$LOCK"
ln -s /etc/passwd "$LOCK"
is "a symbolic link in place of the lock: the hook goes on without a queue, and says so" "$(phase 8200 pre-start 2>&1 >/dev/null)" \
    "felhom-hook: $LOCK: Too many levels of symbolic links; going on without a queue"
is "a guest that started without a queue has its identity" "$(lacking 8200 8200)" ""
tap_done
