#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# GET /backup/due over the wire: age, window, jobs.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/standin.sh
export TZ=UTC
world_enter "$0" "$@"
world_host
guest_config 8200 </dev/null
guest_config 8300 </dev/null
ctl init >/dev/null
enroll 8200 >/dev/null
enroll 8300 >/dev/null
world_guest 8200 200
phase 8200 pre-start >/dev/null
phase 8300 pre-start >/dev/null
ok "felhomd starts" daemon_start

# due [PATH]: vmid, due, age and reason; the age is "right" if it is that of what `backup` or `job` has stored
due() {
    local reply asked_at
    asked_at=$(date +%s)
    reply=$(request 8200 "$(token_of 8200)" "${1:-/backup/due}" | head -n 1)
    jq -c --argjson least $((asked_at - ${ended_at:-0})) --argjson most $(($(date +%s) - ${ended_at:-0})) \
        '.data | [.vmid, .due, (.age_seconds | if . and . >= $least and . <= $most then "right" else . end), .reason]' \
        <<<"$reply"
}
# settings LINE REGEX: sets a line of the section backup, and waits until the reply matches
settings() {
    agent_yaml <<<"backup: {$1}"
    kill -HUP "$DAEMON"
    eventually answers "$2"
}
answers() {
    [[ $(due) =~ $1 ]]
}
# backup SECONDS: sets the age of the newest backup
backup() {
    ended_at=$(($(date +%s) - $1))
    sql "INSERT OR REPLACE INTO backup (vmid, archive, size_bytes, at_ms) VALUES (8200, 'local:backup/x', 1, $ended_at * 1000)"
}
# job PHASE [SECONDS]: makes the newest backup job, which finished that long ago
job() {
    local finished=NULL
    [ $# -eq 1 ] || { ended_at=$(($(date +%s) - $2)) && finished="$ended_at * 1000"; }
    sql "INSERT INTO job (vmid, kind, phase, created_at_ms, changed_at_ms, finished_at_ms) VALUES (8200, 'backup', '$1', 1, 1, $finished)"
}
no_jobs() {
    sql "DELETE FROM job"
}

is "a backup is due if there is none" "$(due)" '[8200,true,null,"no backup is known"]'
is "the path with the guest's VMID gives the same reply" "$(due /guests/8200/backup/due)" \
    '[8200,true,null,"no backup is known"]'
is "another guest's path gives 403" "$(request 8200 "$(token_of 8200)" /guests/8300/backup/due | tail -n 1)" 403
is "a request without a token gives 401" "$(request 8200 - /backup/due | tail -n 1)" 401
backup 93600
like "a backup is due if the last one is too old" "$(due)" \
    '^\[8200,true,"right","the last backup is 26 hours old, more than 24 hours"\]$'
backup 10800
like "no backup is due if the last one is new" "$(due)" \
    '^\[8200,false,"right","the last backup is 3 hours old, not more than 24 hours"\]$'
sql "INSERT INTO backup (vmid, archive, size_bytes, at_ms) VALUES (8300, 'local:backup/y', 1, 1000)"
like "another guest's backup has no effect" "$(due)" '^\[8200,false,"right",'
backup -19800
like "a backup dated slightly in the future counts as new" "$(due)" \
    '^\[8200,false,0,"the last backup is dated 5 hours ahead of the host.s clock, so it counts as new"\]$'
backup -3600
like "a backup dated an hour in the future counts as new" "$(due)" \
    '^\[8200,false,0,"the last backup is dated (5[0-9]|60) minutes ahead of the host.s clock, so it counts as new"\]$'
backup -864000
like "a backup dated far in the future does not count" "$(due)" \
    '^\[8200,true,0,"the last backup is dated (9|10) days ahead of the host.s clock, so it does not count"\]$'

sql "DELETE FROM backup WHERE vmid = 8200"
job running
like "no backup is due while a backup job is running" "$(due)" '^\[8200,false,null,"backup job [0-9]+ is running"\]$'
no_jobs
job snapshotted
like "no backup is due while a backup job is snapshotted" "$(due)" \
    '^\[8200,false,null,"backup job [0-9]+ is running"\]$'
no_jobs
job failed 60
is "a failed backup job does not count as a backup" "$(due)" '[8200,true,null,"no backup is known"]'
job "done" 7200
like "a finished backup job counts as a backup" "$(due)" '^\[8200,false,"right","the last backup is 2 hours old, '
backup 10800
like "a finished backup job counts if the known backup is older" "$(due)" \
    '^\[8200,false,7[2-9][0-9]{2},"the last backup is 2 hours old, '
backup 3600
like "a finished backup job does not count if the known backup is newer" "$(due)" \
    '^\[8200,false,"right","the last backup is 60 minutes '
no_jobs
sql "INSERT INTO job (vmid, kind, phase, created_at_ms, changed_at_ms) VALUES (8200, 'snapshot', 'running', 1, 1)"
backup 93600
like "a snapshot job does not count as a backup job" "$(due)" '^\[8200,true,'
no_jobs

# The hour may change while this runs, so the windows stay an hour away from it.
hour=$(date +%-H)
open=$(printf '%02d:00-%02d:00' $(((hour + 23) % 24)) $(((hour + 2) % 24)))
closed=$(printf '%02d:00-%02d:00' $(((hour + 2) % 24)) $(((hour + 23) % 24)))
settings "window: \"$closed\"" '"a backup is due, but only'
like "outside the window a backup that is due must wait" "$(due)" \
    "^\\[8200,false,\"right\",\"a backup is due, but only between ${closed%-*} and ${closed#*-}\"\\]\$"
settings "window: \"$open\"" true
like "inside the window a backup is due" "$(due)" \
    '^\[8200,true,"right","the last backup is 26 hours old, more than 24 hours"\]$'
settings "window: \"$closed\"" false
backup 10800
like "outside the window a new backup is reported as new" "$(due)" '3 hours old, not more than 24 hours'
settings "max_age: 2h" true
like "max_age determines how old a backup may be" "$(due)" \
    '^\[8200,true,"right","the last backup is 3 hours old, more than 2 hours"\]$'
ok "felhomd stops" daemon_stop
tap_done
