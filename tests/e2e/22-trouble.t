#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Proxmox, hub and registry all fail at once: guests are answered within their limit, with the reason, and a guest that
# needs none of the three does not notice.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/standin.sh
world_enter "$0" "$@"
world_host
agent_yaml <<EOF
limits: {requests_per_source: 10000, connections_per_source: 30, threads: 32}
pve: {endpoint: "https://127.0.0.1:8006", token_file: $HOST/pve.token, ca_file: $HOST/proxmox/ca.pem}
hub: {url: "https://127.0.0.1:8007", ca_file: $HOST/hub/ca.pem, poll: 1m, api_key_file: $HOST/hub.key}
registry: {mode: gitea, host: "127.0.0.1:8008", username: felhom, secret_file: $HOST/registry.secret, ca_file: $HOST/gitea/ca.pem}
EOF
echo 'felhom-agent@pve!agent-pve1=00000000-1111-2222-3333-444444444444' >"$HOST/pve.token"
echo host-key >"$HOST/hub.key"
echo registry-secret >"$HOST/registry.secret"
echo pull-me >"$HOST/password"
mkdir -p "$HOST"/{proxmox,hub,gitea}
echo '{"felhom-agent@pve!agent-pve1": {"secret": "00000000-1111-2222-3333-444444444444", "privileges":
    {"/vms": ["VM.Audit", "VM.Snapshot", "VM.PowerMgmt", "VM.Backup"], "/storage/local": ["Datastore.AllocateSpace"]}}}' >"$HOST/proxmox/tokens.json"
echo '{"8200": {"type": "lxc", "running": true}}' >"$HOST/proxmox/guests.json"
echo '{"felhom": "registry-secret"}' >"$HOST/gitea/users.json"
echo '{"acme": {"password": "pull-me", "config": "from_hub: 1\n"}}' >"$HOST/hub/customers.json"
echo '{}' >"$HOST/hub/hosts.json"
standin_start proxmox 8006
standin_start hub 8007
standin_start gitea 8008
ctl init >/dev/null
# One guest for each kind of failure: a guest must wait five seconds between two credentials.
for vmid in {8200..8207} 8300; do
    guest_config $vmid </dev/null
    enroll $vmid --customer acme --retrieval-password-file "$HOST/password" >/dev/null
    world_guest $vmid $((vmid % 1000 / 100 * 10 + vmid % 100 + 100))
    phase $vmid pre-start >/dev/null 2>&1
done
daemon_start
PIN=$(pin_of 8200)
guest=8200
answer() { request $guest "$(token_of $guest)" "$@" | tr '\n' ' '; }
like "without failures the snapshots are listed" "$(answer /snapshots)" '"ok":true'
ok "without failures all configurations are pulled from the hub" eventually bash -c \
    "[ \"\$(sqlite3 '$HOST/state/db/agent.db' 'SELECT count(*) FROM hub_config')\" = 9 ]"
like "without failures there is a registry credential" "$(answer /registry-credential)" '"ok":true'

# troubled WHAT CONTROL REGEX: with Proxmox, hub and registry failing in this way, each path gives 503 and the reason
# within its limit.
troubled() {
    local what=$1 control=$2 pattern=$3 path start took reply name
    guest=$((guest + 1))
    for name in proxmox gitea hub; do standin_control $name "$control"; done
    for path in /snapshots /registry-credential; do
        start=$(date +%s%N)
        reply=$(answer "$path")
        took=$((($(date +%s%N) - start) / 1000000))
        like "$what: $path gives the reason" "$reply" "\"ok\":false,\"error\":\"[^\"]*($pattern).* 503"
        ok "$what: $path is answered within its limit" test $took -lt 500000
    done
    like "$what: a path that needs none of them gives its data" "$(answer /storage)" '"ok":true'
    like "$what: the configuration from the hub stays the last pulled one" "$(answer /controller.yaml)" 'from_hub: 1'
}
troubled "slow" '{"delay": 600}' 'no answer within ([1-4]?[0-9]{1,3}|5000) ms'
troubled "status 500" '{"status": 500, "reason": "out of sorts"}' '500'
troubled "garbage" '{"garbage": true}' 'not JSON|not as documented|something other than'
troubled "incomplete reply" '{"half": true}' 'hung up|cut|middle'
troubled "no reply" '{"drop": true}' 'hung up|no answer|middle|without'

for name in proxmox gitea hub; do
    standin_stop $name
    mv "$HOST/$name/server.pem" "$HOST/$name/good.pem"
    mkdir "$HOST/other-$name"
    standin_certificate "$HOST/other-$name"
    cp "$HOST/other-$name/server.pem" "$HOST/$name/server.pem"
done
standin_start proxmox 8006
standin_start hub 8007
standin_start gitea 8008
troubled "wrong certificate" '{}' 'certificate'
for name in proxmox gitea hub; do standin_stop $name; done
troubled "not running" '{}' 'no connection|refused'

# As many requests at once as a guest may send, all to a slow Proxmox, while another guest polls.
OWN=$(token_of 8200)
for name in proxmox gitea hub; do
    cp "$HOST/$name/good.pem" "$HOST/$name/server.pem"
    standin_control $name '{"delay": 600}'
done
standin_start proxmox 8006
standin_start hub 8007
standin_start gitea 8008
bearer=$(header_file "$OWN")
before=$(standin_requests proxmox .path | wc -l)
for _ in $(seq 20); do echo "- $OWN"; done | in_guest 8200 tests/lib/pollers "$ENDPOINT" /snapshots 3 0 >"$HOST/flood" &
flood=$!
asked() { [ "$(standin_requests proxmox .path | wc -l)" -gt "$before" ]; }
eventually asked
bad=0
for _ in $(seq 20); do
    [ "$(PIN=$PIN status_of 8300 "$(token_of 8300)" /storage)" = 200 ] || bad=$((bad + 1))
done
is "another guest's polls succeed while sixty requests wait for Proxmox" $bad 0
wait $flood
is "all sixty requests are answered with 503" "$(cat "$HOST/flood")" "60 503"
for name in proxmox gitea hub; do standin_control $name '{}'; done
ok "once Proxmox is no longer slow, requests succeed" eventually bash -c \
    "[ \"\$(curl -sk -o /dev/null -w '%{http_code}' -H @$bearer https://$ENDPOINT/snapshots)\" = 200 ]"

# Bodies of requests.
post() { request 8200 "$OWN" "$1" -X POST -H "Content-Type: ${3:-application/json}" --data-binary "$2" | tr '\n' ' '; }
like "a body nested too deeply gives 400" "$(post /snapshot "$(printf '[%.0s' $(seq 60000))")" 'nested deeper.* 400'
like "an unknown key gives 400 with its name" "$(post /snapshot '{"name": "a1", "vmid": 8300}')" \
    'vmid: unknown key.* 400'
like "a duplicate key gives 400" "$(post /snapshot '{"name": "a1", "name": "b1"}')" 'duplicate.* 400'
like "a body that is not an object gives 400" "$(post /snapshot '["a1"]')" 'JSON object.* 400'
like "a value of another type gives 400" "$(post /snapshot '{"name": 1}')" 'name: must be a text.* 400'
like "another Content-Type gives 415" "$(post /snapshot '{}' text/plain)" 'application/json.* 415'
like "a body of more than 64 KiB gives 413" \
    "$(head -c 70000 /dev/zero | tr '\0' ' ' >"$HOST/big"; post /snapshot "@$HOST/big")" ' 413'
daemon_stop
is "felhomd exits with 0 after all these failures" $? 0
tap_done
