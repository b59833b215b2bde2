#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# felhomctl on a scratch host: what it writes into a guest's configuration, and takes out again.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
CONFIG=$HOST/pve/lxc/8200.conf

ok "init" ctl init
before=$(find "$HOST/state/tls" -type f -exec sha256sum {} + | sort)
ok "init again" ctl init
is "the identity stays as it was" "$(find "$HOST/state/tls" -type f -exec sha256sum {} + | sort)" "$before"
is "identity tells the pins" "$(ctl identity --output-format json | jq -r .pin_leaf_sha256)" \
    "$(openssl x509 -in "$HOST/state/tls/agent.crt" -noout -fingerprint -sha256 | cut -d= -f2)"

guest_config 8200 <<<'#a note with [brackets]'
printf '\n[snap]\nhostname: old\nhookscript: local:snippets/other\n' >>"$CONFIG"
original=$(sha256sum <"$CONFIG")
ok "enroll on a scratch host needs no snippets" ctl enroll 8200 --customer acme
is "the hookscript" "$(sed '/^\[/,$d' "$CONFIG" | grep ^hookscript)" 'hookscript: local:snippets/felhom-hook'
is "the mount entry" "$(grep ^lxc.mount.entry "$CONFIG")" \
    "lxc.mount.entry: $HOST/run/export/8200 etc/felhom-bootstrap none bind,ro,create=dir,optional 0 0"
is "the snapshot is as it was" "$(sed -n '/^\[snap\]/,$p' "$CONFIG")" "$(printf '[snap]\nhostname: old\nhookscript: local:snippets/other')"
enrolled=$(sha256sum <"$CONFIG")
ok "enroll again" ctl enroll 8200
is "changes nothing" "$(sha256sum <"$CONFIG")" "$enrolled"
is "the enrolment is private" "$(stat -c %a "$HOST/pve/priv/felhom/8200.yaml")" 600
ok "the other mount form" ctl enroll 8200 --mount mp
like "takes the lowest free mount point" "$(grep ^mp1 "$CONFIG")" \
    "^mp1: $HOST/run/guests/8200,mp=/etc/felhom-bootstrap,ro=1,backup=0,replicate=0,shared=1$"
is "in place of the entry" "$(grep -c ^lxc.mount.entry "$CONFIG")" 0
like "a start agrees" "$(phase 8200 pre-start 2>&1)" '^felhom: 8200 pre-start: token gen 1 minted'
is "guests lists it" "$(ctl guests --output-format json | jq -c '.[0] | [.vmid, .name]')" '[8200,"guest8200"]'
unlike "guest shows no secret" "$(ctl guest 8200)" "$(cut -c 14-56 "$(token_of 8200)")"
ok "unenroll" ctl unenroll 8200
is "leaves the configuration as it was" "$(sha256sum <"$CONFIG")" "$original"
not_ok "and no directory" test -e "$(directory_of 8200)"
ok "unenroll again" ctl unenroll 8200

guest_config 8200 <<<'hookscript: local:snippets/theirs'
not_ok "a foreign hookscript is not overwritten" ctl enroll 8200
like "and named" "$(ctl enroll 8200 2>&1)" 'local:snippets/theirs'
guest_config 8200 <<<"lxc.mount.entry: $HOST/run/export/8300 etc/felhom-bootstrap none bind,ro,create=dir,optional 0 0"
ok "the line of the guest that this one was cloned from" ctl enroll 8200
is "is replaced" "$(grep -c "export/8200 " "$CONFIG")|$(grep -c "export/8300 " "$CONFIG")" "1|0"
guest_config 8200 <<<'lock: backup'
not_ok "a locked guest is left alone" ctl enroll 8200
not_ok "so is one that is not here" ctl enroll 8201
ctl nonsense >/dev/null 2>&1
is "an unknown verb is a usage error" $? 2
is "parse tells what Proxmox reads" "$(ctl parse "$CONFIG" --output-format json | jq -c '[.hostname, .root_uid]')" \
    "[\"guest8200\",$(world_is_root && echo 100000 || echo 0)]"
tap_done
