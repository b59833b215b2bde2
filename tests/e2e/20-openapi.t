#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# /openapi.yaml and felhomd agree: every path and method, accepted and refused (tests/lib/openapi-walk).
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/standin.sh
world_enter "$0" "$@"
world_host
# settings REGISTRY_MODE FAILURES
settings() {
    agent_yaml <<EOF
quota: {snapshot_interval: 0, backup_interval: 0}
storage_classes: {local-lvm: fast, usb-backup: slow}
limits: {requests_per_source: 100000, failures_per_source: $2, connections_per_source: 50, handshake: 20s}
pve: {endpoint: "https://127.0.0.1:8006", token_file: $HOST/pve.token, ca_file: $HOST/proxmox/ca.pem}
registry: {mode: $1, host: "127.0.0.1:8008", username: felhom, secret_file: $HOST/registry.secret, ca_file: $HOST/gitea/ca.pem}
EOF
}
settings gitea 10000
mkdir -p "$HOST"/{proxmox,gitea,walk}
echo 'felhom-agent@pve!agent-pve1=00000000-1111-2222-3333-444444444444' >"$HOST/pve.token"
echo registry-secret >"$HOST/registry.secret"
echo '{"felhom-agent@pve!agent-pve1": {"secret": "00000000-1111-2222-3333-444444444444", "privileges":
    {"/vms": ["VM.Audit", "VM.Snapshot", "VM.Snapshot.Rollback", "VM.PowerMgmt", "VM.Backup"],
     "/storage/local": ["Datastore.AllocateSpace", "Datastore.Audit"]}}}' >"$HOST/proxmox/tokens.json"
echo '{"8200": {"type": "lxc", "running": true}}' >"$HOST/proxmox/guests.json"
echo '{"felhom": "registry-secret"}' >"$HOST/gitea/users.json"
printf 'pve-storage-9.0/pve1/local:1795428000:100861726720:25769803776\npve-storage-9.0/pve1/usb:1795428000:U:U\n' \
    >"$HOST/pve/.rrd"
standin_start proxmox 8006
standin_start gitea 8008
ctl init >/dev/null
last=200
for vmid in 8200 8300; do
    guest_config $vmid </dev/null
    enroll $vmid --customer acme >/dev/null
    world_guest $vmid $((last++))
    phase $vmid pre-start >/dev/null 2>&1
    cp "$(token_of $vmid)" "$HOST/token.$vmid"
done
ok "felhomd starts" daemon_start

curl -sk "https://$ENDPOINT/openapi.yaml" >"$HOST/served.yaml"
ok "felhomd serves schema/openapi.yaml" cmp "$HOST/served.yaml" schema/openapi.yaml

jq -n --arg endpoint "$ENDPOINT" --arg pin "$(pin_of 8200)" --arg token "$HOST/token.8200" --arg other \
    "$HOST/token.8300" \
    --arg namespace "$(cat "$HOST/netns/8200")" --arg scratch "$HOST/walk" --arg proxmox "$HOST/proxmox" \
    '{$endpoint, $pin, $token, $namespace, $scratch, $proxmox, vmid: 8200, other_vmid: 8300, other_token: $other}' \
    >"$HOST/world.json"
# walk STAGE...
walk() {
    local verdict what count=0
    while read -r verdict what; do
        count=$((count + 1))
        tap_result "$verdict" "$what"
    done < \
        <(tests/lib/openapi-walk "$HOST/served.yaml" "$HOST/world.json" "$@" || echo "1 the walk through $* came to its end")
    ok "the walk through $* made requests" test $count -gt 0
}
walk reads jobs
sql "INSERT INTO restore_test VALUES (8200, 9200, 'local:backup/x.tar.zst', 0, 'it does not start', 1795428000000, 1795428060000)"
walk reads
walk refusals
standin_stop proxmox
standin_stop gitea
walk outages
settings none 1
reload
walk missing limits report
ok "felhomd stops cleanly" daemon_stop

# The linter finds each fault that is put into the document.
ok "the document passes the linter" tools/lint-openapi
faulty() {
    local what=$1
    sed "$2" schema/openapi.yaml >"$HOST/faulty.yaml"
    not_ok "(the fault is in the document)" cmp -s "$HOST/faulty.yaml" schema/openapi.yaml
    tools/lint-openapi "$HOST/faulty.yaml" >"$HOST/out" 2>&1
    is "the linter fails: $what" $? 1
    like "the linter says where the fault is: $what" "$(cat "$HOST/out")" "faulty.yaml: .*$3"
}
faulty "an unknown field" "s/summary: The guest's mounts/sumary: x/" 'storage/get: .*summary'
faulty "an older version of OpenAPI" 's/^openapi: 3.1.0/openapi: 3.0.0/' '#/openapi'
faulty "another version of the API" 's/^  version: .*/  version: 9.9.9/' '#/info/version'
faulty "a reference to a component that does not exist" 's#schemas/Mount"#schemas/Mounts"#' \
    'schemas/Mounts names nothing'
faulty "a duplicate operationId" 's/operationId: getEvents/operationId: getStorage/' 'getStorage is another'
faulty "a path that felhomd does not serve" 's#^  /backup/due:#  /backup/duo:#' 'GET /backup/duo'
faulty "a path with another method" '/^  .storage:/,/responses/s/    get:/    put:/' 'GET /storage'
faulty "a path without a token that is documented with one" '0,/security: \[\]/s///' 'GET /healthz'
faulty "an unknown type" 's/type: boolean/type: bool/' "'bool'"
faulty "an example that does not match its schema" 's/cpu_count: 8/cpu_count: many/' "'many'"
faulty "a required key that is not a property" 's/required: \[vmid, due/required: [vmid, dew/' 'dew is required'
faulty "a duplicate key" 's#^  /healthz:#  /healthz: {}\n&#' 'there twice'
faulty "an unused component" 's/^    Health:/    Unused: {type: object}\n&/' 'Unused: nobody uses it'
faulty "a response without a description" 's/  description: The agent answers and can read its store\.//' 'response without description'
faulty "an undeclared tag" 's/tags: \[server\]/tags: [servers]/' 'servers is not declared'
faulty "an invalid status" '0,/"200":/s//"20x":/' '20x is no status'
tap_done
