#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# felhomctl init --pve-token: role, user, rights and token of Proxmox, made once, and with the least.
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
is "without pveum it fails" $? 1
like "and says what it could not run" "$out" 'cannot run /usr/sbin/pveum: No such file'
ok "all else was made" test -e "$HOST/state/db/agent.db"

cp tests/standins/pveum /usr/sbin/pveum
ok "init without the option asks Proxmox nothing" ctl init
not_ok "really nothing" test -e "$HOST/pveum.json"

out=$(ctl init --pve-token 2>&1)
is "init --pve-token" $? 0
like "tells each privilege with its reason" "$out" 'VM.Backup \(back guests up'
is "the role has these and no more" "$(state '.roles.FelhomAgent')" \
    '"Datastore.AllocateSpace,VM.Audit,VM.Backup,VM.PowerMgmt,VM.Snapshot"'
is "on guests and on the backup storage alone" "$(state '[.acl[] | [.path, .ugid, .roleid]]')" \
    '[["/vms","felhom-agent@pve","FelhomAgent"],["/storage/local","felhom-agent@pve","FelhomAgent"]]'
is "the token is named for the node" "$(state '.users["felhom-agent@pve"].tokens | keys')" '["agent-pve1"]'
is "its file has Proxmox's form" "$(cat "$HOST/etc/pve.token")" \
    "felhom-agent@pve!agent-pve1=$(jq -r '.users["felhom-agent@pve"].tokens["agent-pve1"].value' "$HOST/pveum.json")"
is "for its owner alone" "$(stat -c %a "$HOST/etc/pve.token")" 600
secret=$(cut -d= -f2 "$HOST/etc/pve.token")
unlike "the secret is not printed" "$out" "$secret"
unlike "nor was it an argument" "$(state .calls)" "$secret"

before=$(cat "$HOST/etc/pve.token")
calls=$(state '[.calls[] | select(.[1] != "list" and .[2] != "list")] | length')
ok "again" ctl init --pve-token
is "changes nothing at Proxmox" "$(state '[.calls[] | select(.[1] != "list" and .[2] != "list")] | length')" "$calls"
is "nor the file" "$(cat "$HOST/etc/pve.token")" "$before"

rm "$HOST/etc/pve.token"
out=$(ctl init --pve-token 2>&1)
like "a lost secret is replaced" "$out" 'its secret was lost'
isnt_same() { [ "$before" != "$(cat "$HOST/etc/pve.token")" ]; }
ok "by another" isnt_same

jq '.roles.FelhomAgent = "VM.Audit,Sys.Modify" | .acl = []' "$HOST/pveum.json" >"$HOST/pveum.new"
mv "$HOST/pveum.new" "$HOST/pveum.json"
ok "after somebody else's change" ctl init --pve-token
is "the role is mended" "$(state '.roles.FelhomAgent')" '"Datastore.AllocateSpace,VM.Audit,VM.Backup,VM.PowerMgmt,VM.Snapshot"'
is "and the rights" "$(state '.acl | length')" 2

echo 'ops@pve!mine=11111111-2222-3333-4444-555555555555' >"$HOST/etc/pve.token"
out=$(ctl init --pve-token 2>&1)
like "another user's token stays" "$out" 'of another user: it stays'
is "untouched" "$(cat "$HOST/etc/pve.token")" 'ops@pve!mine=11111111-2222-3333-4444-555555555555'
tap_done
