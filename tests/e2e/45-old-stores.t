#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Stores that earlier versions have made are opened by the programs of today, whichever comes first: nothing is lost,
# tokens stay good, guests start and stop.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
guest_config 8200 </dev/null
guest_config 8300 </dev/null
mkdir -p "$HOST/cgroup/lxc/8200"
world_guest 8200 200
ctl init >/dev/null
phase 8200 pre-start >/dev/null 2>&1
PIN=$(pin_of 8200)
newest=$(sql 'PRAGMA user_version')
# columns: what the schema has, whatever the form of its texts
columns() {
    sql "SELECT kind.name, kind.type, column.* FROM sqlite_schema AS kind LEFT JOIN pragma_table_xinfo(kind.name) AS column
         WHERE kind.type <> 'index' ORDER BY kind.name, column.name"
    sql "SELECT kind.name, ix.name, ix.\"unique\", ix.partial, column.* FROM sqlite_schema AS kind,
         pragma_index_list(kind.name) AS ix, pragma_index_xinfo(ix.name) AS column ORDER BY kind.name, ix.name, column.seqno"
}
columns | sort >"$HOST/columns"

NOW=$(date +%s)000
# old_store FILE: puts it in place, as if this boot had seen no other, and its tokens had been minted in this boot
old_store() {
    rm -f "$HOST"/state/db/* "$HOST"/run/tokens/*
    (umask 077 && sqlite3 "$HOST/state/db/agent.db" <"$1" && sql 'PRAGMA journal_mode = WAL' >/dev/null)
    sql "UPDATE token SET created_at_ms = $NOW"
    sed -n '1s/.*: //p' "$1" >"$HOST/token.old"
}
api() { request 8200 "$HOST/token.old" "$1" | head -n 1 | jq -c "$2"; }

for store in tests/data/stores/*.sql; do
    name=$(basename "$store" .sql)
    version=${name%%-*}

    old_store "$store"
    tables=$(sql "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    before=$(for table in $tables; do sql "SELECT '$table', * FROM $table"; done)
    is "$name: it is of version $version" "$(sql 'PRAGMA user_version')" "$version"
    like "$name: felhomd --check says what it will do" "$("$BIN/felhomd" --check)" \
        "has version $version and will be brought to $newest"
    is "$name: doctor says so, and that it is no fault" \
        "$(ctl doctor --output-format json | jq -r '.checks[] | select(.id == "store") | .result')" warning
    is "$name: neither changes it" "$(sql 'PRAGMA user_version')" "$version"

    like "$name: a start opens it" "$(phase 8300 pre-start 2>&1)" 'token gen 2 minted'
    is "$name: and brings it to the newest version" "$(sql 'PRAGMA user_version')" "$newest"
    is "$name: with the very columns and indexes of a new one" "$(columns | sort | diff "$HOST/columns" -)" ""
    is "$name: it is whole" "$(sql 'PRAGMA integrity_check; PRAGMA foreign_key_check')" ok

    old_store "$store"
    ok "$name: felhomd opens it" daemon_start
    after=$(for table in $tables; do sql "SELECT '$table', * FROM $table"; done)
    lost() {
        while read -r row; do
            grep -qF -- "$row" <<<"$after" || echo "$row"
        done <<<"$before"
    }
    is "$name: each row is still there" "$(lost | grep -av '^host|')" ""
    is "$name: the token of then is good, and its mounts are known" "$(api /storage '[.data.mounts[].key]')" \
        '["rootfs","mp0"]'
    is "$name: the last backup is known" "$(api /backup/status '[.data.phase, .data.job_id]')" '["done",1]'
    [ "$version" -lt 2 ] ||
        is "$name: and its archive, and the restore test" \
            "$(api /backup/status .data.backup.archive)$(api /restore-test/status .data.passed)" \
            '"local:backup/vzdump-lxc-8200-2023_11_14-22_13_20.tar.zst"true'
    [ "$version" -lt 3 ] ||
        like "$name: a refusal of then is explained" "$(ctl explain 8c1f0a5e92d34b67)" 'token of another guest'
    is "$name: the trail begins as it did" \
        "$(ctl events 8200 --since 0 --output-format json | jq -c '[.[].kind][0:4]')" \
        '["mint","pre-start","post-start","refused"]'
    is "$name: the guest sees the events that it saw then, and no refusal" \
        "$(api '/events?since=0&timeout=0' '[.data.events[].kind]')" '["mint","pre-start","post-start"]'
    like "$name: the enrolment is known" "$(ctl guest 8200 --output-format json | jq -c '[.customer_id, .state]')" \
        'acme.*running'
    phase 8200 post-stop
    is "$name: a stop ends the token" "$(status_of 8200 "$HOST/token.old" /storage)" 401
    phase 8200 pre-start >/dev/null 2>&1
    is "$name: a start mints another" "$(status_of 8200 "$(token_of 8200)" /storage)" 200
    ok "$name: felhomd stops" daemon_stop
done
is "there is a store of each released version" \
    "$(basename -a tests/data/stores/*.sql | sed 's/-.*//' | sort -nu | tr '\n' ' ')" \
    "$(grep -v '^#' schema/sql/released | sed 's/.*  0*\([0-9]*\)_.*/\1/' | tr '\n' ' ')"
tap_done
