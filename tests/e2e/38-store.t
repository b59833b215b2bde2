#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Files of the store that are cut, overwritten, taken away or something else, before felhomd starts or while it runs: it goes on from the last checkpoint, as
# SQLite promises, or every program refuses and says what it is; guests start all the same; and what doctor tells mends it.
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

# --- what the commands that doctor tells are here ---
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
doctor() { ctl doctor --output-format json | jq -r --arg id "$1" '.checks[] | select(.id == $id) | "\(.result): \(.reason)\n\(.remedy)"'; }
is_running() { [ "$LANE" = running ]; }
status_now() { curl -sk -o /dev/null --max-time 120 -w '%{http_code}' -H "@$(header_file "$(token_of 8200)")" "https://$ENDPOINT/storage"; }
# try COMMAND...: its exit status and all it says in $said
try() {
    said=$("$@" 2>&1)
    said="$? $said"
}

# --- a store of which some is in the database, and the guest's newest token in the log alone ---
phase 8200 pre-start >/dev/null && phase 8200 post-start
sql 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
phase 8200 pre-start >/dev/null && phase 8200 post-start
ok "(the log has something)" test -s "$DB-wal"
cp -a "$HOST/state/db" "$HOST/db"
cp -a "$(directory_of 8200)" "$HOST/directory"

# harm COMMAND...: does that to this store, which felhomd has open or not
harm() {
    rm -rf "$HOST/state/db"* && cp -a "$HOST/db" "$HOST/state/db" && cp -a "$HOST/directory/." "$(directory_of 8200)/"
    : >"$HOST/felhomd.log"
    ! is_running || { daemon_start && [ "$(status_now)" = 200 ]; } || diag "felhomd did not answer before the harm"
    "$@"
}
# garbage FILE FIRST [BYTES]: so many bytes of it, or all from there on, are something else
garbage() {
    dd if=/dev/urandom of="$1" bs=1 seek="$2" count="${3:-$(($(stat -c %s "$1") - $2))}" conv=notrunc status=none
}
is_well() {
    phase 8200 post-start 2>/dev/null # which a new store makes nothing of
    try phase 8200 pre-start
    like "$1: the guest starts" "$said" '^0 .*minted'
    is "$1: with a good token" "$(status_now)" 200
    is "$1: the store is sound" "$(sql 'PRAGMA integrity_check')" ok
    ok "$1: felhomd ends well" daemon_stop
}

# recovers WHAT STATUS: nobody has to do anything, but for a guest whose token is lost (STATUS 401)
recovers() {
    local told
    like "$1: doctor finds the store whole" "$(doctor store)" '^ok: '
    is_running || ok "$1: felhomd starts" daemon_start
    is "$1: what guests are answered" "$(status_now)" "$2"
    if [ "$2" = 401 ]; then
        told=$(doctor guest.token)
        like "$1: doctor knows why" "$told" '^error: the token in the guest.s directory is unknown'
        eval "$(tail -n 1 <<<"$told")" >/dev/null 2>&1
        is "$1: mended by what it told" "$(status_now)" 200
    fi
    is_well "$1"
}

# refuses WHAT REASON ANSWERS: every program says so, and what doctor tells is the way out
refuses() {
    local told
    try phase 8200 pre-start
    like "$1: the guest starts all the same" "$said" "^0 felhom-hook: .*$2.*starts all the same"
    try ctl rotate 8200
    like "$1: felhomctl says it" "$said" "^1 felhomctl: .*$2"
    if is_running; then
        like "$1: what guests are answered" "$(status_now)" "$3"
    else
        try "$BIN/felhomd"
        like "$1: felhomd does not start, and says it" "$said" "^1 .*felhomd: .*$2"
        daemon_start >/dev/null 2>&1 # as systemd does
    fi
    told=$(doctor store)
    like "$1: doctor says it" "$told" "^error: .*$2"
    eval "$(tail -n 1 <<<"$told")" >/dev/null 2>&1
    like "$1: mended by what it told" "$(doctor store)" '^ok: '
    is_well "$1"
}

FRAME=$((24 + 4096)) # a page of the log
# SQLite reads the log's header, and its checksums, only while nobody has it open.
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
like "an empty database with an empty log is none: doctor says so" "$(doctor store)" $'^error: the store .*/agent.db is empty\nfelhomctl init$'
try phase 8200 pre-start
like "and it is made anew" "$said" '^0 .*token gen 1 minted'
tap_done
