#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Snapshots, rollbacks and backups: what guests can request, what felhomd then requests from Proxmox, and how failures
# are reported.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/standin.sh
world_enter "$0" "$@"
world_host
PVE=$HOST/proxmox
PVE_PORT=8006
USER_NAME='felhom-agent@pve!agent'
SECRET=0f4a1c52-97d3-4bb5-8a55-6d4f0e21c9aa
GUESTS="8200 8201 8202 8203 8204 8205"
mkdir -p "$PVE"

# settings [STORAGE]
settings() {
    agent_yaml <<EOF
quota: {snapshots: 0, snapshot_interval: 0, backup_interval: 0}
pve: {endpoint: "https://127.0.0.1:$PVE_PORT", token_file: $HOST/pve.token, ca_file: $PVE/ca.pem}
backup: {storage: ${1:-local}}
EOF
}

# --- what Proxmox has: guest 8204 is not running, and the token may only look at 8205 ---
cat >"$PVE/tokens.json" <<EOF
{"$USER_NAME": {"secret": "$SECRET", "privileges": {
    "/vms": ["VM.Audit"], $(for vmid in 8200 8201 8202 8203 8204; do printf '"/vms/%d": ["VM.Snapshot", "VM.Backup"], ' $vmid; done)
    "/storage/local": ["Datastore.AllocateSpace"], "/storage/usb": ["Datastore.AllocateSpace"]}}}
EOF
jq -n '{"8200": {type: "lxc", running: true, volumes: 2}, "8201": {type: "lxc", running: true}, "8202": {type: "lxc", running: true},
        "8203": {type: "qemu", running: true}, "8204": {type: "lxc"}, "8205": {type: "lxc", running: true}}' >"$PVE/guests.json"

# ask VMID METHOD PATH [BODY [CURL_OPTION...]]: "STATUS BODY"
ask() {
    local vmid=$1 method=$2 path=$3 body=${4-}
    shift 3
    [ $# -eq 0 ] || shift
    local options=(-X "$method")
    [ -z "$body" ] || options+=(-H 'Content-Type: application/json' --data-binary "$body")
    request "$vmid" "$(token_of "$vmid")" "$path" "${options[@]}" "$@" |
        awk '{line = line previous; previous = $0} END {print previous, line}'
}
data() { jq -c "$2" <<<"${1#* }"; }
backup_status() { ask "$1" GET /backup/status | cut -d ' ' -f 2- | jq -c ".data${2-}"; }
knows_no_backup() { [ "$(backup_status "$1" .backup)" = null ]; }
backup_is() { [ "$(backup_status "$1" .phase)" = "\"$2\"" ]; }
snapshot_names() { ask "$1" GET /snapshots | cut -d ' ' -f 2- | jq -c '[.data.snapshots[].name]'; }
# events VMID KIND: outcome and detail of each, without the job's number
events() { sql \
    "SELECT group_concat(outcome || ' ' || substr(detail, instr(detail, ': ') + 2), '; ') FROM (SELECT * FROM event WHERE vmid = $1 AND kind = '$2' ORDER BY seq)"; \
    }
ended() { [ "$(sql "SELECT count(*) FROM job WHERE vmid = $1 AND finished_at_ms IS NULL")" = 0 ]; }
tasks() { jq length "$PVE/tasks.json"; }
asked() { standin_requests proxmox "select(.method == \"POST\") | $1"; }

standin_certificate "$PVE"
settings
ctl init >/dev/null
last=200
for vmid in $GUESTS; do
    if [ "$vmid" = 8203 ]; then
        printf 'net0: virtio=%s,bridge=vmbr0\nscsi0: local-lvm:vm-8203-disk-0,size=8G\n' "$(hwaddr_of 8203)" \
            >"$HOST/pve/qemu-server/8203.conf"
    else
        guest_config "$vmid" </dev/null
        enroll "$vmid" >/dev/null
    fi
    world_guest "$vmid" $((last++))
    phase "$vmid" pre-start >/dev/null 2>&1
done
standin_start proxmox $PVE_PORT
standin_control proxmox '{"task_seconds": 0.3}'
ok "felhomd starts" daemon_start

# --- no token ---
NO_TOKEN='503 {"ok":false,"error":"there is no Proxmox API token: felhomctl init --pve-token makes one"}'
is "without a Proxmox token a snapshot is refused" "$(ask 8200 POST /snapshot)" "$NO_TOKEN"
is "without a Proxmox token a rollback is refused" "$(ask 8200 POST /rollback '{"name": "before"}')" "$NO_TOKEN"
is "without a Proxmox token a backup is refused" "$(ask 8200 POST /backup)" "$NO_TOKEN"
is "without a Proxmox token there is no list of snapshots" "$(ask 8200 GET /snapshots)" "$NO_TOKEN"
is "without a Proxmox token the backup status is idle" "$(ask 8200 GET /backup/status)" \
    '200 {"ok":true,"data":{"vmid":8200,"phase":"idle","job_id":null,"error":null,"backup":null}}'
is "without a token felhomd sends Proxmox no request" "$(standin_requests proxmox .path)" ""
printf '%s=%s\n' "$USER_NAME" $SECRET >"$HOST/pve.token"

# --- a backup ---
standin_control proxmox '{"task_seconds": 1, "task_hold": 0.01}'
is "POST /backup is accepted" "$(ask 8200 POST /backup)" \
    '202 {"ok":true,"data":{"vmid":8200,"job_id":1,"phase":"running"}}'
is "a second job of a guest with a running backup is refused" "$(ask 8200 POST /backup)" \
    '409 {"ok":false,"error":"job 1 (backup) is running"}'
is "a snapshot of a guest with a running backup is refused" "$(ask 8200 POST /snapshot '{"name": "another"}')" \
    '409 {"ok":false,"error":"job 1 (backup) is running"}'
is "the backup status is running" "$(backup_status 8200)" \
    '{"vmid":8200,"phase":"running","job_id":1,"error":null,"backup":null}'
standin_control proxmox '{"task_seconds": 1, "task_hold": 0.7}'
ok "the backup status is snapshotted before it is done" eventually backup_is 8200 snapshotted
standin_control proxmox '{}'
ok "the backup status is done at the end" eventually backup_is 8200 "done"
like "the backup status has the archive" "$(backup_status 8200 .backup)" \
    '^\{"archive":"local:backup/vzdump-lxc-8200-[0-9_-]+\.tar\.zst","size_bytes":123456789,"at":"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z"\}$'
is "each step of the backup has an event" "$(events 8200 backup)" "ok begun; ok snapshotted; ok done"
is "felhomd requests the backup from Proxmox and nothing else" "$(asked '[.path, .body]')" \
    '["/api2/json/nodes/pve1/vzdump","vmid=8200&storage=local&mode=snapshot&compress=zstd"]'
is "Proxmox has one task for the backup" "$(tasks)" 1

# --- what a body may contain: Proxmox gets none of these requests ---
# refused WHAT STATUS ERROR PATH BODY [CURL_OPTION...]
refused() {
    local what=$1 status=$2 error=$3
    shift 3
    is "$what" "$(ask 8200 POST "$@")" "$status $(jq -nc --arg error "$error" '{ok: false, $error}')"
}
long=$(printf 'x%.0s' {1..256})
refused "an unknown key is refused" 400 'nmae: unknown key' /snapshot '{"nmae": "a"}'
refused "a number as the name is refused" 400 'name: must be a text' /snapshot '{"name": 1}'
refused "an invalid name is refused" 400 \
    "a snapshot's name begins with a letter and goes on with letters, digits, _ and -" /snapshot '{"name": "a b"}'
refused "a name that Proxmox reserves is refused" 400 'a snapshot cannot be named current: Proxmox uses that' \
    /snapshot '{"name": "current"}'
refused "a name that is too long is refused" 400 'name: longer than 40 bytes' /snapshot "{\"name\": \"$long\"}"
refused "a description that is too long is refused" 400 'description: longer than 255 bytes' /snapshot \
    "{\"description\": \"$long\"}"
refused "a body that is not an object is refused" 400 'the body must be a JSON object' /snapshot '["name"]'
refused "a body that is not JSON is refused" 400 'not JSON: line 1 column 9: unexpected token near end of file' \
    /snapshot '{"name": '
refused "a rollback without a name is refused" 400 'name: is missing' /rollback
refused "a rollback with a description is refused" 400 'description: unknown key' /rollback \
    '{"name": "a", "description": "b"}'
refused "a backup with a key is refused" 400 'storage: unknown key' /backup '{"storage": "usb"}'
is "a body of another media type gives 415" \
    "$(status_of 8200 "$(token_of 8200)" /snapshot -X POST -H 'Content-Type: text/plain' -d '{"name": "a"}')" 415
is "another guest's path gives 403" "$(ask 8200 POST /guests/8201/backup | cut -d ' ' -f 1)" 403
is "none of the refused requests made a job" "$(sql 'SELECT count(*) FROM job')" 1

# --- snapshots ---
standin_control proxmox '{"task_seconds": 0.3}'
is "a snapshot with a name is accepted" \
    "$(ask 8200 POST /snapshot '{"name": "before", "description": "ä & b=c"}' | cut -d ' ' -f 1)" 202
is "a snapshot without a body, by the path with the VMID, is accepted" \
    "$(ask 8201 POST /guests/8201/snapshot | cut -d ' ' -f 1)" 202
is "a snapshot of a QEMU guest is accepted" "$(ask 8203 POST /snapshot '{}' | cut -d ' ' -f 1)" 202
for vmid in 8200 8201 8203; do
    ok "the snapshot of $vmid ends" eventually ended $vmid
done
snapshots=$(ask 8200 GET /snapshots)
is "the snapshot is listed with its description" \
    "$(data "$snapshots" '.data | [.vmid, (.snapshots[] | .name, .description, .parent)]')" \
    '[8200,"before","ä & b=c",null]'
like "the snapshot is listed with its time" "$(data "$snapshots" '.data.snapshots[0].at')" \
    '^"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z"$'
like "a snapshot without a name is named after the time" "$(snapshot_names 8201)" '^\["felhom-20[0-9]{6}-[0-9]{6}"\]$'
is "each step of the snapshot has an event" "$(events 8200 snapshot)" "ok begun: before; ok done"
is "the snapshot of a QEMU guest is requested by the path /qemu" "$(asked '.path' | grep -c '/qemu/8203/snapshot"')" 1

# --- rollback ---
is "a rollback to a snapshot that does not exist is refused" "$(ask 8200 POST /rollback '{"name": "felhom-1"}')" \
    '404 {"ok":false,"error":"there is no snapshot felhom-1"}'
is "a rollback to another guest's snapshot is refused" \
    "$(ask 8201 POST /rollback '{"name": "before"}' | cut -d ' ' -f 1)" 404
job=$(sql 'SELECT max(job_id) + 1 FROM job')
standin_control proxmox '{"task_seconds": 0.3, "task_hold": 0.01}'
is "a rollback to the guest's own snapshot is accepted" "$(ask 8200 POST /rollback '{"name": "before"}')" \
    "202 {\"ok\":true,\"data\":{\"vmid\":8200,\"job_id\":$job,\"phase\":\"running\"}}"
is "an event announces the rollback before it begins" "$(events 8200 rollback)" \
    "ok begun: back to before; Proxmox stops the guest for it and starts it again"
standin_control proxmox '{"task_seconds": 0.3}'
ok "the rollback ends" eventually ended 8200
like "another event reports that the rollback is done" "$(events 8200 rollback)" '; ok done$'
is "felhomd requests that Proxmox starts the guest after the rollback" \
    "$(asked 'select(.path | endswith("/rollback")) | [.path, .body]')" \
    '["/api2/json/nodes/pve1/lxc/8200/snapshot/before/rollback","start=1"]'
ok "felhomd requests the rollback a second later, so that the guest gets its reply first" \
    test "$(asked "select(.path | endswith(\"/rollback\")) | .at * 1000 >=
        $(sql "SELECT created_at_ms FROM job WHERE job_id = $job") + 1000")" = true

# --- the mount point that forbids snapshots ---
sql "UPDATE guest SET mount_form = 'mp' WHERE vmid = 8201"
MENDED='409 {"ok":false,"error":"the mount point of the bootstrap directory forbids snapshots: felhomctl enroll 8201 --mount entry on the host mends that"}'
is "a guest of mount form mp cannot take snapshots" "$(ask 8201 POST /snapshot)" "$MENDED"
is "a guest of mount form mp cannot be rolled back" "$(ask 8201 POST /rollback '{"name": "before"}')" "$MENDED"
sql "UPDATE guest SET mount_form = 'entry' WHERE vmid = 8201"

# --- how Proxmox's tasks end, for several guests at once ---
# begin CONTROL VMID PATH: starts a job while Proxmox behaves as CONTROL says, and waits until Proxmox has the task
begin() {
    local before
    before=$(tasks)
    standin_control proxmox "$1"
    ok "guest $2 requests its $3" test "$(ask "$2" POST "/$3" | cut -d ' ' -f 1)" = 202
    ok "Proxmox starts the $3 of guest $2" eventually more_tasks "$before"
}
more_tasks() { [ "$(tasks)" -gt "$1" ]; }
all_ended() { [ "$(sql 'SELECT count(*) FROM job WHERE finished_at_ms IS NULL')" = 0 ]; }
# how VMID: the phase and the error of its backup
how() { backup_status "$1" '| [.phase, .error]'; }
sql 'DELETE FROM event'
begin '{"task_seconds": 0.3, "task_warnings": 2}' 8200 snapshot
begin '{"task_seconds": 1, "task_fail": "no space left on device", "task_fail_after": "Total bytes"}' 8201 backup
begin '{"task_seconds": 0.3, "permission_in_task": "403 Permission check failed"}' 8202 backup
begin '{"task_seconds": 1}' 8203 backup
begin '{"task_seconds": 1}' 8204 backup
begin '{"task_seconds": 0.3}' 8205 backup
ok "the jobs of all guests have ended" eventually all_ended
is "a job's event contains the task's warnings" "$(events 8200 snapshot | sed 's/felhom-[0-9-]*/NAME/')" \
    "ok begun: NAME; warning done: WARNINGS: 2"
is "a backup fails with the reason from vzdump's log" "$(how 8201)" '["failed","no space left on device"]'
is "the events show how far the failed backup got" "$(events 8201 backup)" \
    "ok begun; ok snapshotted; error failed: no space left on device"
is "a failure inside the task gives the task's error" "$(how 8202)" '["failed","403 Permission check failed"]'
is "the backup of a QEMU guest is done" "$(how 8203)" '["done",null]'
is "the backup of a QEMU guest was snapshotted before" "$(events 8203 backup)" "ok begun; ok snapshotted; ok done"
is "the backup of a stopped guest is never snapshotted" "$(events 8204 backup)" "ok begun; ok done"
is "a missing privilege is named" "$(how 8205)" '["failed","403 Permission check failed (/vms/8205, VM.Backup)"]'

sql 'DELETE FROM event'
begin '{"task_seconds": 1, "mode_failure": true}' 8200 backup
begin '{"task_seconds": 0.3, "task_fail": "snapshot feature is not available"}' 8201 snapshot
begin '{"task_seconds": 0.3, "lose_answer": true, "only": "/vzdump"}' 8202 backup
begin '{"task_seconds": 0.3, "task_warnings": 1}' 8203 backup
standin_control proxmox '{"status": 500, "reason": "got no worker", "only": "/8204/snapshot"}'
is "a job is accepted although Proxmox will fail to start it" \
    "$(ask 8204 POST /snapshot '{"name": "before"}' | cut -d ' ' -f 1)" 202
is "a job is accepted although Proxmox will refuse it" \
    "$(ask 8205 POST /snapshot '{"name": "before"}' | cut -d ' ' -f 1)" 202
ok "the jobs have ended, whatever Proxmox answered" eventually all_ended
is "a backup that fell back to another mode is never snapshotted" "$(events 8200 backup)" "ok begun; ok done"
is "a failed snapshot has the error of its task" "$(events 8201 snapshot | sed 's/felhom-[0-9-]*/NAME/')" \
    "ok begun: NAME; error failed: snapshot feature is not available"
is "a task is found although Proxmox's reply to its start was lost" "$(how 8202)" '["done",null]'
is "the task whose reply was lost is started once" "$(jq '[.[] | select(.id == "8202")] | length' "$PVE/tasks.json")" 2
is "a backup with warnings is done without an error" "$(how 8203)" '["done",null]'
is "the warnings of a backup are in its event" "$(events 8203 backup)" \
    "ok begun; ok snapshotted; warning done: WARNINGS: 1"
is "a job that Proxmox cannot start fails with Proxmox's message" "$(events 8204 snapshot)" \
    "ok begun: before; error failed: Proxmox: 500 got no worker"
is "a job that Proxmox refuses fails with Proxmox's message" "$(events 8205 snapshot)" \
    "ok begun: before; error failed: Proxmox: 403 Permission check failed (/vms/8205, VM.Snapshot)"
is "the job that Proxmox refuses is requested once" "$(asked .path | grep -c /8205/snapshot)" 1

# --- Proxmox does not answer ---
standin_control proxmox '{"delay": 600, "only": "/snapshot"}'
like "a request that needs a slow Proxmox is answered with 503 in time" "$(ask 8200 GET /snapshots)" \
    '^503 .*"error":"https://127\.0\.0\.1:8006: no answer within ([1-4]?[0-9]{1,3}|5000) ms"'
standin_control proxmox '{"task_seconds": 0.3}'
standin_stop proxmox
sql 'DELETE FROM event'
like "without Proxmox the list of snapshots gives 503" "$(ask 8200 GET /snapshots)" \
    '^503 .*"error":"https://127\.0\.0\.1:8006: .*"'
is "without Proxmox a rollback gives 503" "$(ask 8200 POST /rollback '{"name": "before"}' | cut -d ' ' -f 1)" 503
is "without Proxmox a snapshot is accepted and waits" \
    "$(ask 8200 POST /snapshot '{"name": "later"}' | cut -d ' ' -f 1)" 202
ok "the log says that the job waits for Proxmox" eventually grep -q \
    'guest 8200: job [0-9]* (snapshot): Proxmox cannot be asked yet: https://127.0.0.1:8006: ' "$HOST/felhomd.log"
standin_start proxmox $PVE_PORT
settings usb
reload
# A call that Proxmox's end cuts off would leave it unknown whether it was begun.
ok "the snapshot that waited ends once Proxmox answers" eventually ended 8200
begin '{"task_seconds": 1, "task_hold": 0.01}' 8201 backup
standin_stop proxmox
standin_control proxmox '{}'
ok "the log says that Proxmox does not report on a task" eventually grep -q \
    '(backup): Proxmox does not say how it is going: ' "$HOST/felhomd.log"
standin_start proxmox $PVE_PORT
ok "once Proxmox answers again, all jobs end" eventually all_ended
is "the snapshot that waited for Proxmox is done" "$(events 8200 snapshot)" "ok begun: later; ok done"
is "the backup is done although Proxmox did not report on its task for a while" "$(how 8201)" '["done",null]'
like "the backup is on the storage that agent.yaml names now" "$(backup_status 8201 .backup.archive)" '^"usb:backup/'
ok "other guests' backups are looked up on the new storage, too" eventually knows_no_backup 8200
not_ok "no log contains the token's secret" grep -q $SECRET "$HOST/felhomd.log"
not_ok "the store does not contain the token's secret" grep -rqa $SECRET "$HOST/state/db"
tap_done
