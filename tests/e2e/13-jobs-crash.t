#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# felhomd is killed at every stage of its jobs: Proxmox never starts a job twice, and each job ends after a restart.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/standin.sh
world_enter "$0" "$@"
world_host
PVE=$HOST/proxmox
PVE_PORT=8006
USER_NAME='felhom-agent@pve!agent'
SECRET=0f4a1c52-97d3-4bb5-8a55-6d4f0e21c9aa
mkdir -p "$PVE"
agent_yaml <<EOF
quota: {snapshot_interval: 0, backup_interval: 0}
pve: {endpoint: "https://127.0.0.1:$PVE_PORT", token_file: $HOST/pve.token, ca_file: $PVE/ca.pem}
EOF
printf '%s=%s\n' "$USER_NAME" $SECRET >"$HOST/pve.token"
cat >"$PVE/tokens.json" <<EOF
{"$USER_NAME": {"secret": "$SECRET", "privileges": {
    "/vms": ["VM.Audit", "VM.Snapshot", "VM.Backup"], "/storage/local": ["Datastore.AllocateSpace"]}}}
EOF
jq -n \
    '[8200, 8201, 8202] | map({(tostring): {type: "lxc", running: true, snapshots: {before: {snaptime: 1795428000, description: ""}}}}) | add' \
    >"$PVE/guests.json"
standin_certificate "$PVE"
ctl init >/dev/null
for vmid in 8200 8201 8202; do
    guest_config $vmid </dev/null
    enroll $vmid >/dev/null
    world_guest $vmid $((vmid - 8000))
    phase $vmid pre-start >/dev/null 2>&1
done
standin_start proxmox $PVE_PORT
ok "felhomd starts" daemon_start

# ask VMID PATH [BODY]
ask() {
    ok "guest $1 requests its ${2#/}" test \
        "$(status_of "$1" "$(token_of "$1")" "$2" -X POST ${3:+-H 'Content-Type: application/json' -d "$3"})" = 202
}
crash() {
    kill -KILL "$DAEMON"
    wait "$DAEMON" 2>/dev/null
    return 0
}
calls() { standin_requests proxmox 'select(.method == "POST")' | wc -l; }
# The guest's start after a rollback is a task that no job has asked for.
tasks() { jq 'map(select(.type != "vzstart")) | length' "$PVE/tasks.json" 2>/dev/null || echo 0; }
at_least() { [ "$("$1")" -ge "$2" ]; }
all_ended() { [ "$(sql 'SELECT count(*) FROM job WHERE finished_at_ms IS NULL')" = 0 ]; }
# all_well WHAT JOBS: that many jobs are done, each with its own task
all_well() {
    ok "$1: all jobs end" eventually all_ended
    is "$1: all jobs are done" "$(sql "SELECT count(*) || ' ' || group_concat(DISTINCT phase || error) FROM job")" \
        "$2 done"
    is "$1: each job has its own task" "$(sql 'SELECT upid FROM job ORDER BY upid')" \
        "$(jq -r '.[] | select(.type != "vzstart").upid' "$PVE/tasks.json" | sort)"
    is "$1: each step of a job has one event" \
        "$(sql "SELECT DISTINCT count(*) FROM event WHERE detail LIKE 'job %' GROUP BY vmid, kind, detail")" 1
}
# three: a job of each kind
three() {
    ask 8200 /backup
    ask 8201 /snapshot '{"name": "'"$1"'"}'
    ask 8202 /rollback '{"name": "before"}'
}

# crash_at COUNT FIRST CONTROL: kills felhomd when Proxmox's COUNT (calls or tasks) reaches FIRST, FIRST + 1 and FIRST +
# 2, while CONTROL delays Proxmox there.
crash_at() {
    local n
    for n in 0 1 2; do
        ok "Proxmox has $(($2 + n)) $1" eventually at_least "$1" $(($2 + n))
        crash
        standin_control proxmox '{"task_seconds": 0.3}'
        ok "Proxmox starts the task after felhomd was killed" eventually at_least tasks $(($2 + n))
        standin_control proxmox "$3"
        daemon_start || return 1
    done
    standin_control proxmox '{"task_seconds": 0.3}'
}
HELD='{"hold": true, "method": "POST", "task_seconds": 0.3}'
ANSWER_HELD='{"hold_answer": true, "method": "POST", "task_seconds": 0.3}'

# Proxmox has the request, and felhomd is killed before Proxmox starts the task. The jobs are requested one by one.
standin_control proxmox "$HELD"
three first
crash_at calls 1 "$HELD"
all_well "killed before Proxmox begins" 3

# Proxmox has started the task, and felhomd is killed before it gets the reply.
standin_control proxmox "$ANSWER_HELD"
three second
crash_at tasks 4 "$ANSWER_HELD"
all_well "killed before Proxmox answers" 6

# felhomd is killed at moments spread over the tasks' duration.
standin_control proxmox '{"task_seconds": 3}'
three third
ok "Proxmox has started all tasks" eventually at_least tasks 9
for moment in 0 0.05 0.1 0.2 0.3 0.4 0.5 0.8; do
    sleep $moment
    crash
    daemon_start || break
done
all_well "killed while Proxmox is at it" 9
is "no POST was sent a second time" "$(calls)" 9
is "the store has the backup that finished" "$(sql 'SELECT count(*) FROM backup WHERE vmid = 8200')" 1

# The job is recorded, but felhomd is killed before it can send the request, as Proxmox still handles the one before.
standin_control proxmox "$HELD"
ask 8200 /backup
ok "Proxmox has 10 calls" eventually at_least calls 10
ask 8202 /rollback '{"name": "before"}'
crash
is "the last job was not sent to Proxmox before felhomd was killed" \
    "$(sql "SELECT count(*) FROM job WHERE called_at_ms IS NULL AND finished_at_ms IS NULL")" 1
standin_control proxmox '{"task_seconds": 0.3}'
ok "Proxmox starts the task of the job before" eventually at_least tasks 10
daemon_start
all_well "killed before it asks" 11

# It is unknown whether the request was sent: felhomd looks for the task and does not send the request again.
crash
sql "INSERT INTO job (vmid, kind, phase, name, created_at_ms, changed_at_ms, called_at_ms)
    SELECT 8201, 'snapshot', 'running', 'lost', now, now, now FROM (SELECT unixepoch() * 1000 AS now)"
before=$(calls)
daemon_start
looked() { [ \
    "$(standin_requests proxmox 'select(.path | endswith("/tasks")) | select(.query.vmid == "8201" and .query.typefilter == "vzsnapshot")' | wc -l)" \
    -gt "$1" ]; }
looks=$(standin_requests proxmox 'select(.path | endswith("/tasks")) | select(.query.vmid == "8201")' | wc -l)
ok "felhomd looks for a task that may have been started" eventually looked "$looks"
ok "felhomd looks for the task again" eventually looked $((looks + 1))
is "felhomd does not request the job again" "$(calls)" "$before"
is "the guest's next request is refused, as its job counts as running" \
    "$(status_of 8201 "$(token_of 8201)" /snapshot -X POST)" 409
tap_done
