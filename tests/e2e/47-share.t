#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a guest may take of what all share: its turn to have Proxmox or the registry asked, and its quota.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/standin.sh
world_enter "$0" "$@"
world_host
PVE=$HOST/proxmox
USER_NAME='felhom-agent@pve!agent'
SECRET=0f4a1c52-97d3-4bb5-8a55-6d4f0e21c9aa
METRICS=127.0.0.1:9221
HOGS="8201 8202 8203"
mkdir -p "$PVE" "$HOST/gitea"

# Requests wait as long as the stand-ins are held, however slow the machine is.
LIMITS='limits: {request: 10m, handshake: 1m, requests_per_source: 10000}'
# settings [MORE]
settings() {
    agent_yaml <<EOF
pve: {endpoint: "https://127.0.0.1:8006", token_file: $HOST/pve.token, ca_file: $PVE/ca.pem}
registry: {mode: gitea, host: "127.0.0.1:8008", username: felhom, secret_file: $HOST/registry.secret, ca_file: $HOST/gitea/ca.pem}
metrics: {listen: "$METRICS"}
$(printf '%s\n' "$@")
EOF
}
printf '%s=%s\n' "$USER_NAME" $SECRET >"$HOST/pve.token"
cat >"$PVE/tokens.json" <<EOF
{"$USER_NAME": {"secret": "$SECRET", "privileges": {
    "/vms": ["VM.Audit", "VM.Snapshot", "VM.PowerMgmt", "VM.Backup"], "/storage/local": ["Datastore.AllocateSpace"]}}}
EOF
jq -n '[8200, 8201, 8202, 8203] | map({(tostring): {type: "lxc", running: true}}) | add' >"$PVE/guests.json"
echo registry-secret >"$HOST/registry.secret"
echo '{"felhom": "registry-secret"}' >"$HOST/gitea/users.json"
standin_certificate "$PVE"
settings "$LIMITS"
ctl init >/dev/null
for vmid in 8200 $HOGS; do
    guest_config $vmid </dev/null
    enroll $vmid >/dev/null
    world_guest $vmid $((vmid - 8000))
    phase $vmid pre-start >/dev/null 2>&1
done
standin_start proxmox 8006
standin_start gitea 8008
ok "felhomd starts" daemon_start

# ask VMID METHOD PATH [BODY]: "STATUS BODY"; $HOST/headers.VMID has the headers
ask() {
    local options=(-X "$2" -D "$HOST/headers.$1")
    [ $# -lt 4 ] || options+=(-H 'Content-Type: application/json' --data-binary "$4")
    request "$1" "$(token_of "$1")" "$3" "${options[@]}" |
        awk '{line = line previous; previous = $0} END {print previous, line}'
}
questions() { standin_requests proxmox 'select(.method == "GET" and (.path | endswith("/snapshot"))) | .path' | grep -o '82[0-9]*' | tr '\n' ' '; }
waiting() {
    [ "$(curl -s --max-time 120 "http://$METRICS/metrics" |
        awk -v peer="$1" 'index($0, "felhom_waiting_requests{peer=\"" peer "\"}") == 1 {print $2}')" = "$2" ]
}
# note NAME VMID PATH: keeps the status that the guest gets
note() { printf '%s\n' "$(status_of "$2" "$(token_of "$2")" "$3")" >"$HOST/status.$1"; }
asked_once() { [ "$(questions | wc -w)" = 1 ]; }
statuses() { sort "$HOST"/status."${1-}"* | uniq -c | sed 's/^ *//'; }

# --- Proxmox: three guests with eight requests each, and one with one ---
# all_ask: what is asked, once the stand-in is let go
all_ask() {
    local vmid i
    rm -f "$HOST"/status.*
    standin_control proxmox '{"hold": true, "only": "/snapshot"}'
    : >"$PVE/requests.jsonl"
    note 8201.1 8201 /snapshots &
    ok "Proxmox is asked for the first guest" eventually asked_once
    for vmid in $HOGS; do
        for i in 1 2 3 4 5 6 7 8; do
            [ "$vmid.$i" = 8201.1 ] || note $vmid.$i $vmid /snapshots &
        done
    done
    ok "all others wait" eventually waiting proxmox 23
    note 8200 8200 /snapshots &
    ok "so does the guest that makes one request" eventually waiting proxmox 24
    standin_control proxmox '{}'
    ok "none waits any more" eventually waiting proxmox 0
    ok "all have their answers" eventually answered 25
    is "each request is answered" "$(statuses)" '25 200'
}
answered() { [ "$(cat "$HOST"/status.* | wc -l)" = "$1" ]; }
for vmid in $HOGS; do
    is "guest $vmid has its list" "$(ask "$vmid" GET /snapshots)" \
        "200 {\"ok\":true,\"data\":{\"vmid\":$vmid,\"snapshots\":[]}}"
    # What was answered a moment ago is good until a job has changed something.
    sql "INSERT INTO job (vmid, kind, phase, created_at_ms, changed_at_ms, finished_at_ms) VALUES ($vmid, 'rollback', 'done', 1, 1, 1)"
done
all_ask
questions=$(questions)
is "each guest has one question asked, however many requests it makes" "$(wc -w <<<"$questions")" 4
is "whoever has not asked lately is next" "$(cut -d ' ' -f 1,2 <<<"$questions")" "8201 8200"

# --- the same for minting ---
hold() { standin_control gitea "$1"; }
mints() { standin_requests gitea 'select(.method == "POST")' | wc -l; }
minting() { [ "$(mints)" = "$1" ]; }
hold '{"hold": true, "method": "POST"}'
rm -f "$HOST"/status.*
note 8201 8201 /registry-credential &
ok "the registry is asked for the first guest" eventually minting 1
for vmid in 8200 8202 8203; do
    note $vmid $vmid /registry-credential &
done
ok "the others wait" eventually waiting registry 3
hold '{}'
ok "all have their answers" eventually answered 4
is "each guest gets its credential" "$(statuses)" '4 200'

# --- three guests that ask for all there is, without a pause ---
standin_control proxmox '{"delay": 0.15, "task_seconds": 0.3}'
touch "$HOST/hogging"
# hog VMID PATH CONNECTIONS
hog() {
    for _ in $(seq "$3"); do echo "- $(token_of "$1")"; done |
        in_guest "$1" tests/lib/pollers "$ENDPOINT" "$2" 1000000 0.02 &
    hogs+=" $!"
}
# posts VMID: goes on asking for snapshots
posts() {
    local header
    header=$(header_file "$(token_of "$1")")
    while [ -e "$HOST/hogging" ]; do
        in_guest "$1" curl -sk --max-time 600 -o /dev/null -H "@$header" -X POST "https://$ENDPOINT/snapshot"
        sleep 0.1
    done &
}
hogs=
: >"$PVE/requests.jsonl"
for vmid in $HOGS; do
    hog "$vmid" /snapshots 3
    for path in host/metrics backup/due backup/status registry-credential; do
        hog "$vmid" /$path 1
    done
    posts "$vmid"
done
asks() { standin_requests proxmox .path | grep -q "/lxc/$1/snapshot"; }
for vmid in $HOGS; do
    ok "Proxmox is asked for guest $vmid" eventually asks "$vmid"
done
for i in 1 2 3 4 5 6 7 8 9 10; do
    note victim.$i 8200 /snapshots
done
rm "$HOST/hogging"
# shellcheck disable=SC2086
kill $hogs
is "a guest beside them is always answered" "$(statuses victim)" '10 200'

# --- quotas: what agent.yaml says of them if it says nothing ---
standin_control proxmox '{"task_seconds": 0.1}'
settings "$LIMITS"
reload
ended() { [ "$(sql "SELECT count(*) FROM job WHERE vmid = $1 AND finished_at_ms IS NULL")" = 0 ]; }
for vmid in $HOGS; do
    ok "the jobs of $vmid end" eventually ended "$vmid"
done
# takes VMID WHAT: the job is accepted, and ends
takes() {
    is "guest $1 may have a $2" "$(ask "$1" POST "/$2" | cut -d ' ' -f 1)" 202
    ok "the $2 of $1 ends" eventually ended "$1"
}
# header NAME VMID
header() { sed -n "s/^$1: //Ip" "$HOST/headers.$2" | tr -d '\r'; }
# too_early VMID WHAT SECONDS: it is refused, as the last one is not that long ago
too_early() {
    local reply after
    reply=$(ask "$1" POST "/$2")
    after=$(header Retry-After "$1")
    is "the next $2 of $1 is too early" "$reply" \
        "429 {\"ok\":false,\"error\":\"too early: from one $2 of this guest to the next it has to be $3 seconds; try again in $after seconds\"}"
    ok "it may be requested after $after seconds" test "$after" -ge 1 -a "$after" -le "$3"
}
# pass SECONDS: as if all jobs had been requested so much earlier
pass() { sql "UPDATE job SET created_at_ms = created_at_ms - $1 * 1000"; }
counted() {
    curl -s --max-time 120 "http://$METRICS/metrics" |
        awk -v reason="$1" 'index($0, "felhom_refusals_total{reason=\"" reason "\"}") == 1 {print $NF}'
}

takes 8200 snapshot
too_early 8200 snapshot 60
ok "the refusal is counted" test "$(counted 'snapshots too often')" -ge 1
like "it is explained to the operator" "$(ctl explain "$(header X-Request-Id 8200)")" \
    'of the 60 seconds from one snapshot to the next are left.*quota.snapshot_interval'
is "it is in the audit trail" "$(sql "SELECT outcome, detail LIKE 'snapshots too often: %' FROM event WHERE vmid = 8200 AND kind = 'refused' AND detail LIKE 'snapshots%' LIMIT 1")" 'warning|1'
ok "felhomd stops" daemon_stop
ok "felhomd starts again" daemon_start
too_early 8200 snapshot 60
takes 8200 backup
pass 60
takes 8200 snapshot
standin_control proxmox '{"task_seconds": 0.1, "task_fail": "no space left"}'
pass 60
takes 8200 snapshot
is "that one has failed" "$(sql "SELECT phase FROM job WHERE vmid = 8200 ORDER BY job_id DESC LIMIT 1")" failed
too_early 8200 snapshot 60
standin_control proxmox '{"task_seconds": 0.1}'

# The operator's snapshots count, too.
jq '."8200".snapshots = ([range(10) | {("of-operator-\(.)"): {snaptime: (1795428000 + .), description: ""}}] | add)' \
    "$PVE/guests.json" >"$PVE/guests.new"
mv "$PVE/guests.new" "$PVE/guests.json"
pass 60
full() {
    [ "$(ask 8200 POST /snapshot)" = '409 {"ok":false,"error":"this guest has 10 snapshots, and may have 10: the oldest is of-operator-0; have the operator delete one on the host (delsnapshot 8200 of-operator-0), or raise the quota"}' ]
}
ok "a guest that has as many snapshots as it may is refused another one" full
like "that is explained to the operator" "$(ctl explain "$(header X-Request-Id 8200)")" \
    '10 snapshots, 10 allowed; oldest: of-operator-0.*pct delsnapshot'
ok "it is counted" test "$(counted 'too many snapshots')" -ge 1
jq 'del(."8200".snapshots."of-operator-0")' "$PVE/guests.json" >"$PVE/guests.new"
mv "$PVE/guests.new" "$PVE/guests.json"
# What Proxmox has answered is good for a second.
has_room() { [ "$(ask 8200 POST /snapshot | cut -d ' ' -f 1)" = 202 ]; }
ok "once the operator has deleted one it gets another" eventually has_room
ok "the snapshot ends" eventually ended 8200

# While Proxmox does not say how many there are, none is promised.
jobs=$(sql 'SELECT max(job_id) FROM job')
standin_stop proxmox
pass 60
is "without Proxmox a snapshot is not accepted" "$(ask 8200 POST /snapshot | cut -d ' ' -f 1)" 503
is "no job is recorded" "$(sql 'SELECT max(job_id) FROM job')" "$jobs"
standin_start proxmox 8006

# --- quotas: backups ---
too_early 8200 backup 600
pass 600
takes 8200 backup
# A job that was no due one was requested a moment ago and failed; now a backup is due.
sql "UPDATE job SET phase = 'failed', due = 0 WHERE vmid = 8200 AND kind = 'backup';
    UPDATE backup SET at_ms = at_ms - 2 * 86400000 WHERE vmid = 8200"
is "a backup is due" "$(ask 8200 GET /backup/due | cut -d ' ' -f 2- | jq .data.due)" true
standin_control proxmox '{"task_seconds": 0.1, "task_fail": "no space left"}'
takes 8200 backup
is "a backup is still due, as that one failed" "$(ask 8200 GET /backup/due | cut -d ' ' -f 2- | jq .data.due)" true
too_early 8200 backup 600
standin_control proxmox '{"task_seconds": 0.1}'

# --- quotas: what agent.yaml and the enrolment say ---
settings "$LIMITS" 'quota: {snapshots: 3, snapshot_interval: 0, backup_interval: 0}'
reload
jq '."8201".snapshots = {}' "$PVE/guests.json" >"$PVE/guests.new"
mv "$PVE/guests.new" "$PVE/guests.json"
touch "$HOST/hogging"
for _ in 1 2 3 4 5 6; do
    posts 8201
done
before=$(counted 'too many snapshots')
refused() { [ "$(counted 'too many snapshots')" -ge $((before + 3)) ]; }
ok "a guest that asks six times at once reaches its quota" eventually refused
rm "$HOST/hogging"
ok "its last job ends" eventually ended 8201
is "it has no more snapshots than it may" "$(jq '."8201".snapshots | length' "$PVE/guests.json")" 3
takes 8200 backup
takes 8200 backup
like "one guest may have another quota, which is said to be in force at once" \
    "$(enroll 8201 --quota-snapshots 4 --quota-backup-interval 1h)" 'Next: the quota is in force now'
is "its enrolment has it" "$(grep -A 2 quota "$HOST/pve/priv/felhom/8201.yaml" | tr '\n' ' ')" \
    'quota:   snapshots: "4"   backup_interval: "1h" '
takes 8201 snapshot
is "its quota is its own" "$(ask 8201 POST /snapshot | cut -c 1-60)" \
    '409 {"ok":false,"error":"this guest has 4 snapshots, and may'
takes 8201 backup
too_early 8201 backup 3600
ok "it may have that of all again" enroll 8201 --quota-snapshots default --quota-backup-interval default
not_ok "its enrolment says nothing of it" grep -q quota "$HOST/pve/priv/felhom/8201.yaml"
takes 8201 backup
like "a slip is named" "$(enroll 8201 --quota-snapshots many 2>&1)" 'quota.snapshots: must be a number from 0 to 10000'
sql "UPDATE guest SET enrolment = CAST('quota: {snapshots: x, backup_interval: 1h}' AS BLOB) WHERE vmid = 8201"
too_early 8201 backup 3600
is "of an enrolment with a slip the rest is in force" "$(ask 8201 POST /snapshot | cut -c 1-60)" \
    '409 {"ok":false,"error":"this guest has 4 snapshots, and may'
ok "felhomd stops" daemon_stop
tap_done
