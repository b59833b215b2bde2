#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# felhomctl on a scratch host: what it writes into a guest's configuration, and how it removes that.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
CONFIG=$HOST/pve/lxc/8200.conf

ok "init succeeds" ctl init
before=$(find "$HOST/state/tls" -type f -exec sha256sum {} + | sort)
ok "a second init succeeds" ctl init
is "a second init keeps the identity" "$(find "$HOST/state/tls" -type f -exec sha256sum {} + | sort)" "$before"
is "identity prints the pins" "$(ctl identity --output-format json | jq -r .pin_leaf_sha256)" \
    "$(openssl x509 -in "$HOST/state/tls/agent.crt" -noout -fingerprint -sha256 | cut -d= -f2)"

guest_config 8200 <<<'#a note with [brackets]'
printf '\n[snap]\nhostname: old\nhookscript: local:snippets/other\n' >>"$CONFIG"
original=$(sha256sum <"$CONFIG")
ok "enroll on a scratch host needs no snippets directory" ctl enroll 8200 --customer acme
is "enroll sets the hookscript" "$(sed '/^\[/,$d' "$CONFIG" | grep ^hookscript)" \
    'hookscript: local:snippets/felhom-hook'
is "enroll adds the mount entry" "$(grep ^lxc.mount.entry "$CONFIG")" \
    "lxc.mount.entry: $HOST/run/export/8200 etc/felhom-bootstrap none bind,ro,create=dir,optional 0 0"
is "enroll does not change the snapshot's section" "$(sed -n '/^\[snap\]/,$p' "$CONFIG")" \
    "$(printf '[snap]\nhostname: old\nhookscript: local:snippets/other')"
enrolled=$(sha256sum <"$CONFIG")
ok "a second enroll succeeds" ctl enroll 8200
is "a second enroll does not change the configuration" "$(sha256sum <"$CONFIG")" "$enrolled"
is "the enrolment file has mode 0600" "$(stat -c %a "$HOST/pve/priv/felhom/8200.yaml")" 600
ok "enroll --mount mp changes the mount form" ctl enroll 8200 --mount mp
like "enroll --mount mp uses the lowest free mount point" "$(grep ^mp1 "$CONFIG")" \
    "^mp1: $HOST/run/guests/8200,mp=/etc/felhom-bootstrap,ro=1,backup=0,replicate=0,shared=1$"
is "enroll --mount mp removes the mount entry" "$(grep -c ^lxc.mount.entry "$CONFIG")" 0
like "pre-start accepts the mount form mp" "$(phase 8200 pre-start 2>&1)" '^felhom: 8200 pre-start: token gen 1 minted'
is "guests lists the enrolled guest" "$(ctl guests --output-format json | jq -c '.[0] | [.vmid, .name]')" \
    '[8200,"guest8200"]'
unlike "guest shows no secret" "$(ctl guest 8200)" "$(cut -c 14-56 "$(token_of 8200)")"
ok "unenroll succeeds" ctl unenroll 8200
is "unenroll restores the original configuration" "$(sha256sum <"$CONFIG")" "$original"
not_ok "unenroll deletes the guest's directory" test -e "$(directory_of 8200)"
ok "a second unenroll succeeds" ctl unenroll 8200

guest_config 8200 <<<'hookscript: local:snippets/theirs'
not_ok "enroll does not overwrite another hookscript" ctl enroll 8200
like "enroll names the other hookscript" "$(ctl enroll 8200 2>&1)" 'local:snippets/theirs'
guest_config 8200 <<<"lxc.mount.entry: $HOST/run/export/8300 etc/felhom-bootstrap none bind,ro,create=dir,optional 0 0"
ok "enroll of a cloned guest succeeds" ctl enroll 8200
is "enroll replaces the mount line of the guest that was cloned" \
    "$(grep -c "export/8200 " "$CONFIG")|$(grep -c "export/8300 " "$CONFIG")" "1|0"
guest_config 8200 <<<'lock: backup'
not_ok "enroll refuses a locked guest" ctl enroll 8200
not_ok "enroll refuses a guest that is not on this node" ctl enroll 8201
ctl nonsense >/dev/null 2>&1
is "an unknown verb is a usage error" $? 2
is "parse prints what Proxmox reads" "$(ctl parse "$CONFIG" --output-format json | jq -c '[.hostname, .root_uid]')" \
    "[\"guest8200\",$(world_is_root && echo 100000 || echo 0)]"
tap_done
