#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Files of the store are cut, overwritten, removed or replaced, before felhomd starts or while it runs: felhomd goes on
# from the last checkpoint, as
# SQLite promises, or every program refuses and gives the reason; guests start all the same; and the command that doctor
# prints fixes it.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/lanes.sh
lanes "$0" running stopped
world_enter "$0" "$@"
world_host
DB=$HOST/state/db/agent.db
agent_yaml </dev/null
guest_config 8200 </dev/null
ctl init >/dev/null
enroll 8200 >/dev/null

# --- stand-ins for the commands that doctor prints ---
felhomctl() { ctl "$@"; }
systemctl() {
    case $1 in
    stop) daemon_stop ;;
    start) daemon_start ;;
    esac
}
pct() {
    for name in pre-stop post-stop pre-start post-start; do phase "$2" $name; done
}
doctor() {
    ctl doctor --output-format json |
        jq -r --arg id "$1" '.checks[] | select(.id == $id) | "\(.result): \(.reason)\n\(.remedy)"'
}
is_running() { [ "$LANE" = running ]; }
status_now() {
    curl -sk -o /dev/null --max-time 120 -w '%{http_code}' -H "@$(header_file "$(token_of 8200)")" \
        "https://$ENDPOINT/storage"
}
# try COMMAND...: sets $said to its exit status and output
try() {
    said=$("$@" 2>&1)
    said="$? $said"
}

# --- a store with some data in the database, and the guest's newest token only in the log ---
phase 8200 pre-start >/dev/null && phase 8200 post-start
sql 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
phase 8200 pre-start >/dev/null && phase 8200 post-start
ok "(the log has data)" test -s "$DB-wal"
cp -a "$HOST/state/db" "$HOST/db"
cp -a "$(directory_of 8200)" "$HOST/directory"
cp -a "$HOST/run/tokens" "$HOST/tokens"

# harm COMMAND...: damages the store with that command, while felhomd has it open or not
harm() {
    until fresh; do :; done
    "$@"
}
# What the harm is done to: felhomd has not yet copied the log, which it does now and then, into the database.
fresh() {
    rm -rf "$HOST/state/db"* && cp -a "$HOST/db" "$HOST/state/db" && cp -a "$HOST/directory/." "$(directory_of 8200)/"
    cp -a "$HOST/tokens/." "$HOST/run/tokens/"
    : >"$HOST/felhomd.log"
    ! is_running || { daemon_start && [ "$(status_now)" = 200 ]; } || diag "felhomd did not answer before the harm"
    [ -s "$DB-wal" ] || { is_running && daemon_stop; return 1; }
}
# garbage FILE FIRST [BYTES]: overwrites that many bytes of it, or all from there on
garbage() {
    dd if=/dev/urandom of="$1" bs=1 seek="$2" count="${3:-$(($(stat -c %s "$1") - $2))}" conv=notrunc status=none
}
is_well() {
    phase 8200 post-start 2>/dev/null # which a new store makes nothing of
    try phase 8200 pre-start
    like "$1: the guest starts" "$said" '^0 .*minted'
    is "$1: the guest has a valid token" "$(status_now)" 200
    is "$1: the store is intact" "$(sql 'PRAGMA integrity_check')" ok
    ok "$1: felhomd exits with 0" daemon_stop
}

# recovers WHAT STATUS: needs no action, except for a guest whose token is lost (STATUS 401)
recovers() {
    local told
    like "$1: doctor finds the store intact" "$(doctor store)" '^ok: '
    is_running || ok "$1: felhomd starts" daemon_start
    is "$1: guests get the expected status" "$(status_now)" "$2"
    if [ "$2" = 401 ]; then
        told=$(doctor guest.token)
        like "$1: doctor reports the unknown token" "$told" '^error: the token in the guest.s directory is unknown'
        eval "$(tail -n 1 <<<"$told")" >/dev/null 2>&1
        is "$1: fixed by the printed command" "$(status_now)" 200
    fi
    is_well "$1"
}

# refuses WHAT REASON ANSWERS: every program reports it, and doctor prints how to recover
refuses() {
    local told
    try phase 8200 pre-start
    like "$1: the guest starts all the same" "$said" "^0 felhom-hook: .*$2.*starts all the same"
    try ctl rotate 8200
    like "$1: felhomctl reports it" "$said" "^1 felhomctl: .*$2"
    if is_running; then
        like "$1: guests get the expected status" "$(status_now)" "$3"
    else
        try "$BIN/felhomd"
        like "$1: felhomd does not start and reports it" "$said" "^1 .*felhomd: .*$2"
        daemon_start >/dev/null 2>&1 # as systemd does
    fi
    told=$(doctor store)
    like "$1: doctor reports it" "$told" "^error: .*$2"
    eval "$(tail -n 1 <<<"$told")" >/dev/null 2>&1
    like "$1: fixed by the printed command" "$(doctor store)" '^ok: '
    is_well "$1"
}

FRAME=$((24 + 4096)) # a page of the log
# SQLite reads the log's header and checksums only while no process has the log open.
lost_log() { is_running && echo 200 || echo 401; }
harm garbage "$DB-wal" 0 32
recovers "the log's header is garbage" "$(lost_log)"
harm garbage "$DB-wal" 0
if is_running; then
    refuses "the log is garbage" 'the store .*/agent.db is damaged' '^200$'
    harm garbage "$DB-wal" $FRAME
    refuses "all but the log's first page is garbage" 'the store .*/agent.db is damaged' '^200$'
else
    recovers "the log is garbage" 401
    harm garbage "$DB-wal" $((2 * FRAME)) 4096
    recovers "a page of the log is garbage" 401
fi
harm rm "$DB-wal"
recovers "the log is gone" 401
harm truncate -s 0 "$DB-wal"
if is_running; then
    refuses "the log is empty" 'the store .*/agent.db is damaged' '^200$'
else
    recovers "the log is empty" 401
fi
harm garbage "$DB-shm" 0
recovers "the log's index is garbage" 200
harm rm "$DB-shm"
recovers "the log's index is gone" 200
harm truncate -s 0 "$DB"
refuses "the database is empty" 'agent.db is damaged .it is empty beside its log' '^200$'
harm truncate -s $(($(stat -c %s "$HOST/db/agent.db") / 2)) "$DB"
refuses "half of the database is gone" 'agent.db is damaged' '^200$'
harm garbage "$DB" 0 4096
refuses "the database's first page is garbage" 'agent.db is damaged' '^200$'
harm garbage "$DB" 4096
refuses "all but the first page is garbage" 'agent.db is damaged' '^200$'
for suffix in -wal -shm; do
    to_directory() { rm "$DB$suffix" && mkdir "$DB$suffix"; }
    harm to_directory
    refuses "a directory in place of agent.db$suffix" "agent.db$suffix is not a regular file: move it away" '^503$'
done
rm -r "$HOST/state/db" && cp -a "$HOST/db" "$HOST/state/db"
sql 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
truncate -s 0 "$DB"
like "doctor reports an empty database with an empty log" "$(doctor store)" \
    $'^error: the store .*/agent.db is empty\nfelhomctl init$'
try phase 8200 pre-start
like "pre-start makes a new store in place of an empty one" "$said" '^0 .*token gen 1 minted'
tap_done
