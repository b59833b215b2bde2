#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A rollback is done when the guest runs again: Proxmox ends the rollback's task before it starts the guest.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/standin.sh
world_enter "$0" "$@"
world_host
PVE=$HOST/proxmox
USER_NAME='felhom-agent@pve!agent'
SECRET=0f4a1c52-97d3-4bb5-8a55-6d4f0e21c9aa
mkdir -p "$PVE"
agent_yaml <<EOF
pve: {endpoint: "https://127.0.0.1:8006", token_file: $HOST/pve.token, ca_file: $PVE/ca.pem}
EOF
printf '%s=%s\n' "$USER_NAME" $SECRET >"$HOST/pve.token"
cat >"$PVE/tokens.json" <<EOF
{"$USER_NAME": {"secret": "$SECRET", "privileges": {"/vms": ["VM.Audit", "VM.Snapshot", "VM.PowerMgmt"]}}}
EOF
# 8203 is a virtual machine, with a snapshot of its memory, too; 8204 is under high availability.
jq -n '{before: {snaptime: 1795428000, description: ""}} as $s |
    {"8200": {type: "lxc", running: true, snapshots: $s}, "8201": {type: "lxc", running: true, snapshots: $s},
     "8203": {type: "qemu", running: true, snapshots: ($s + {memory: {snaptime: 1795428001, vmstate: 1}})},
     "8204": {type: "lxc", running: true, ha: true, snapshots: $s}}' >"$PVE/guests.json"
standin_certificate "$PVE"
ctl init >/dev/null
for vmid in 8200 8201 8203 8204; do
    if [ $vmid = 8203 ]; then
        printf 'net0: virtio=%s,bridge=vmbr0\nscsi0: local-lvm:vm-8203-disk-0,size=8G\n' "$(hwaddr_of 8203)" \
            >"$HOST/pve/qemu-server/8203.conf"
    else
        guest_config $vmid </dev/null
    fi
    enroll $vmid >/dev/null 2>&1
    world_guest $vmid $((vmid - 8000))
    phase $vmid pre-start >/dev/null 2>&1
done
standin_start proxmox 8006
ok "felhomd starts" daemon_start

# roll_back VMID [SNAPSHOT]
roll_back() {
    ok "guest $1 requests a rollback" test "$(status_of "$1" "$(token_of "$1")" /rollback -X POST \
        -H 'Content-Type: application/json' -d "{\"name\": \"${2:-before}\"}")" = 202
}
crash() {
    kill -KILL "$DAEMON"
    wait "$DAEMON" 2>/dev/null
    return 0
}
started() { jq -e ".[] | select(.id == \"$1\" and (.type | test(\"start\$\")))" "$PVE/tasks.json"; }
rolled_back() { jq -e ".[] | select(.id == \"$1\" and .type == \"vzrollback\" and .exitstatus)" "$PVE/tasks.json"; }
followed() { standin_requests proxmox '.path' | grep -q ':vzstart:.*/status'; }
ended() { [ "$(sql "SELECT count(*) FROM job WHERE vmid = $1 AND finished_at_ms IS NULL")" = 0 ]; }
# result VMID: phase and error of its newest job
result() { sql "SELECT trim(phase || ' ' || error) FROM job WHERE vmid = $1 ORDER BY job_id DESC LIMIT 1"; }
events() { sql "SELECT outcome || ' ' || substr(detail, instr(detail, ': ') + 2) FROM event WHERE vmid = $1 AND kind = 'rollback' ORDER BY seq DESC LIMIT 1"; }

# --- the start fails ---
standin_control proxmox '{"task_seconds": 0.3, "start_fail": "startup for container 8200 failed"}'
roll_back 8200
ok "the job ends" eventually ended 8200
is "a guest that does not start again fails its rollback, with the start's own words" "$(result 8200)" \
    "failed rolled back, but did not start: startup for container 8200 failed"
is "so does the event" "$(events 8200)" \
    "error failed: rolled back, but did not start: startup for container 8200 failed"

# --- the start takes its time, and felhomd is restarted in it ---
standin_control proxmox '{"task_seconds": 0.3, "start_hold": 0.01}'
roll_back 8200
roll_back 8201
for vmid in 8200 8201; do
    ok "Proxmox has rolled $vmid back" eventually rolled_back $vmid
    ok "Proxmox begins to start $vmid" eventually started $vmid
done
: >"$PVE/requests.jsonl"
ok "felhomd follows the starts" eventually followed
is "the rollbacks run as long as the starts" "$(result 8200) $(result 8201)" "running running"
crash
: >"$PVE/requests.jsonl"
ok "felhomd starts again in the middle of it" daemon_start
ok "it follows the starts again" eventually followed
is "the rollbacks still run" "$(result 8200) $(result 8201)" "running running"
crash
standin_control proxmox '{"task_seconds": 0.3}'
ok "felhomd starts again after their end" daemon_start
for vmid in 8200 8201; do
    ok "the rollback of $vmid ends" eventually ended $vmid
    is "the rollback of $vmid is done" "$(result $vmid)" "done"
done
is "no rollback was requested twice" "$(standin_requests proxmox 'select(.method == "POST")')" ""

# --- virtual machines, and high availability ---
roll_back 8203
ok "the rollback of a virtual machine ends" eventually ended 8203
is "the rollback of a virtual machine is done" "$(result 8203)" "done"
ok "once its own task has started it" started 8203
starts=$(started 8203 | jq -s length)
roll_back 8203 memory
ok "the rollback to a snapshot with memory ends" eventually ended 8203
is "the rollback to a snapshot with memory is done" "$(result 8203)" "done"
is "without a task that starts it" "$(started 8203 | jq -s length)" "$starts"
standin_control proxmox '{"task_seconds": 0.3, "ha_starts": false}'
roll_back 8204
asked() { standin_requests proxmox '.path' | grep -q '/8204/status/current'; }
ok "felhomd asks whether a guest under high availability runs" eventually asked
is "its rollback runs until it does" "$(result 8204)" "running"
jq '."8204".running = true' "$PVE/guests.json" >"$PVE/guests.new"
mv "$PVE/guests.new" "$PVE/guests.json"
ok "the rollback under high availability ends" eventually ended 8204
is "the rollback under high availability is done" "$(result 8204)" "done"
ok "felhomd stops" daemon_stop
tap_done
