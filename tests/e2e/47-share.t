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
questions() { standin_requests "${1:-proxmox}" 'select(.method == "GET" and (.path | endswith("/snapshot"))) | .path' | grep -o '82[0-9]*' | tr '\n' ' '; }
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
tap_done
