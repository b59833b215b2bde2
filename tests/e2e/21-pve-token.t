#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# felhomctl init --pve-token: makes the role, user, rights and token in Proxmox, once, and with the least privileges.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
agent_yaml <<EOF
pve: {token_file: $HOST/etc/pve.token}
EOF
mount -t tmpfs run /run
: >"$HOST/pveum"
mkdir -p "$HOST/sbin-upper" "$HOST/sbin-work"
if ! mount -t overlay overlay -o "lowerdir=/usr/sbin,upperdir=$HOST/sbin-upper,workdir=$HOST/sbin-work" /usr/sbin; then
    skip "init --pve-token" "no overlay can be mounted here"
    tap_done
fi
echo "$HOST/pveum.json" >/run/pveum-state
state() { jq -c "$1" "$HOST/pveum.json"; }

out=$(ctl init --pve-token 2>&1)
is "init --pve-token fails without pveum" $? 1
like "init --pve-token says that it could not run pveum" "$out" 'cannot run /usr/sbin/pveum: No such file'
ok "init --pve-token makes everything else without pveum" test -e "$HOST/state/db/agent.db"

cp tests/standins/pveum /usr/sbin/pveum
ok "init without --pve-token sends Proxmox no request" ctl init
not_ok "really nothing" test -e "$HOST/pveum.json"

out=$(ctl init --pve-token 2>&1)
is "init --pve-token succeeds" $? 0
like "init --pve-token prints each privilege with its reason" "$out" 'VM.Backup \(back guests up'
like "it says what the power over guests entails" "$out" 'VM.PowerMgmt \(start a guest .*; it lets the token stop guests too\)'
is "the role has the required privileges and no others" "$(state '.roles.FelhomAgent')" \
    '"Datastore.AllocateSpace,VM.Audit,VM.Backup,VM.PowerMgmt,VM.Snapshot"'
is "the rights are on the guests and the backup storage only" "$(state '[.acl[] | [.path, .ugid, .roleid]]')" \
    '[["/vms","felhom-agent@pve","FelhomAgent"],["/storage/local","felhom-agent@pve","FelhomAgent"]]'
is "the token's name contains the node's name" "$(state '.users["felhom-agent@pve"].tokens | keys')" '["agent-pve1"]'
is "the token file has Proxmox's format" "$(cat "$HOST/etc/pve.token")" \
    "felhom-agent@pve!agent-pve1=$(jq -r '.users["felhom-agent@pve"].tokens["agent-pve1"].value' "$HOST/pveum.json")"
is "only its owner can read the token file" "$(stat -c %a "$HOST/etc/pve.token")" 600
secret=$(cut -d= -f2 "$HOST/etc/pve.token")
unlike "the secret is not printed" "$out" "$secret"
unlike "the secret was not an argument of a command" "$(state .calls)" "$secret"

before=$(cat "$HOST/etc/pve.token")
calls=$(state '[.calls[] | select(.[1] != "list" and .[2] != "list")] | length')
ok "a second init --pve-token succeeds" ctl init --pve-token
is "a second init --pve-token changes nothing in Proxmox" \
    "$(state '[.calls[] | select(.[1] != "list" and .[2] != "list")] | length')" "$calls"
is "a second init --pve-token does not change the token file" "$(cat "$HOST/etc/pve.token")" "$before"

rm "$HOST/etc/pve.token"
out=$(ctl init --pve-token 2>&1)
like "a token whose secret was lost is replaced" "$out" 'its secret was lost'
isnt_same() { [ "$before" != "$(cat "$HOST/etc/pve.token")" ]; }
ok "the replacement is another token" isnt_same

jq '.roles.FelhomAgent = "VM.Audit,Sys.Modify" | .acl = []' "$HOST/pveum.json" >"$HOST/pveum.new"
mv "$HOST/pveum.new" "$HOST/pveum.json"
ok "init --pve-token succeeds after the operator has changed role and rights" ctl init --pve-token
is "init --pve-token restores the role" "$(state '.roles.FelhomAgent')" \
    '"Datastore.AllocateSpace,VM.Audit,VM.Backup,VM.PowerMgmt,VM.Snapshot"'
is "init --pve-token restores the rights" "$(state '.acl | length')" 2

echo 'ops@pve!mine=11111111-2222-3333-4444-555555555555' >"$HOST/etc/pve.token"
out=$(ctl init --pve-token 2>&1)
like "init --pve-token reports another user's token" "$out" 'of another user: it stays'
is "another user's token file is not changed" "$(cat "$HOST/etc/pve.token")" \
    'ops@pve!mine=11111111-2222-3333-4444-555555555555'
tap_done
