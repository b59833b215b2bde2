#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# felhom-hook as Proxmox calls it: arguments, output, exit codes, what it inherits and what it leaves behind.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
HOOK=$BIN/felhom-hook
guest_config 8200 </dev/null
ctl init >/dev/null
enroll 8200 >/dev/null

for arguments in '' 8200 'x pre-start' '99 pre-start' '1000000000 pre-start' '08200 pre-start' '+8200 pre-start' \
    '8200 pre-start more' '-8200 pre-start' '8200.5 pre-start'; do
    # shellcheck disable=SC2086  # words on purpose
    $HOOK $arguments >"$HOST/out" 2>"$HOST/err"
    is "usage: '$arguments' exits with 2" $? 2
    like "usage: '$arguments' prints the usage on stderr" "$(cat "$HOST/err")" 'usage: felhom-hook VMID PHASE'
    is "usage: '$arguments' prints nothing on stdout" "$(cat "$HOST/out")" ""
done
$HOOK 8200 '' >/dev/null 2>&1
is "an empty phase is a usage error" $? 2

like "an unknown phase is ignored with a notice" "$($HOOK 8200 pre-migrate)" '^felhom: 8200 pre-migrate: '
ok "an unknown phase exits with 0" $HOOK 8200 pre-migrate
unlike "a phase cannot put control characters into the log" "$($HOOK 8200 $'a\nb\e[31m')" $'\e'

$HOOK 8200 pre-start >"$HOST/out" 2>"$HOST/err"
is "pre-start exits 0" $? 0
is "pre-start prints one line" "$(wc -l <"$HOST/out")" 1
is "pre-start prints nothing on stderr" "$(cat "$HOST/err")" ""
inode=$(stat -c %i "$(directory_of 8200)")
is "the guest's directory has mode 0700" "$(stat -c %a "$(directory_of 8200)")" 700
for file in token bootstrap.json controller.yaml; do
    is "$file has mode 0600" "$(stat -c %a "$(directory_of 8200)/$file")" 600
done
is "agent.crt has mode 0644" "$(stat -c %a "$(directory_of 8200)/agent.crt")" 644
like "the token has its documented form" "$(cat "$(token_of 8200)")" \
    '^fh1_[0-9A-Za-z]{8}_[0-9A-Za-z_-]{43}_[0-9A-Za-z]{6}$'
is "the directory of all guests has mode 0711" "$(stat -c %a "$HOST/run/guests")" 711
is "only its owner can read the store" "$(stat -c %a "$HOST/state/db" "$HOST/state/db/agent.db" | xargs)" "700 600"
is "only its owner can read the TLS identity" "$(stat -c %a "$HOST/state/tls" "$HOST/state/tls/agent.pem" | xargs)" \
    "700 600"

is "bootstrap.json has exactly the spike's keys and ours" \
    "$(jq -c 'keys' "$(directory_of 8200)/bootstrap.json")" \
    '["controller_image","host_id","hub_url","local_api_endpoint","local_api_pin_leaf_sha256","local_api_pin_spki_sha256","local_api_token","registry","schema","vmid"]'
is "bootstrap.json contains the token of the file token" \
    "$(jq -r .local_api_token "$(directory_of 8200)/bootstrap.json")" "$(cat "$(token_of 8200)")"
is "the SPKI pin is what openssl computes" "$(pin_of 8200)" \
    "$(openssl x509 -in "$(directory_of 8200)/agent.crt" -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64)"
is "the leaf pin is what openssl computes" "$(jq -r .local_api_pin_leaf_sha256 "$(directory_of 8200)/bootstrap.json")" \
    "$(openssl x509 -in "$(directory_of 8200)/agent.crt" -noout -fingerprint -sha256 | cut -d= -f2)"

first=$(cat "$(token_of 8200)")
ok "a second pre-start without a stop in between succeeds" $HOOK 8200 pre-start
is "a second pre-start keeps the directory's inode" "$(stat -c %i "$(directory_of 8200)")" "$inode"
isnt_same() { [ "$first" != "$(cat "$(token_of 8200)")" ]; }
ok "a second pre-start mints a new token" isnt_same
is "after a second pre-start one token is valid and the older one is revoked" \
    "$(sql 'SELECT count(*) FROM token WHERE revoked_at_ms IS NULL')|$(sql 'SELECT count(*) FROM token')" "1|2"
if world_is_root; then
    is "a second pre-start does not mount the export a second time" \
        "$(grep -c " $HOST/run/export/8200 " /proc/self/mountinfo)" 1
    like "the export is mounted read-only" "$(findmnt -no OPTIONS "$HOST/run/export/8200")" '^ro,nosuid,nodev,noexec'
fi

$HOOK 8200 post-stop >"$HOST/out" 2>"$HOST/err"
is "post-stop exits 0" $? 0
is "post-stop prints nothing" "$(cat "$HOST/out" "$HOST/err")" ""
ok "a second post-stop succeeds" $HOOK 8200 post-stop
is "post-stop keeps the directory, as it is the source of a bind mount" "$(stat -c %i "$(directory_of 8200)")" "$inode"
is "post-stop leaves no valid token" "$(sql 'SELECT count(*) FROM token WHERE revoked_at_ms IS NULL')" 0
rm -rf "$HOST/run/guests/8200"
$HOOK 8200 post-stop >"$HOST/out" 2>"$HOST/err"
is "post-stop without a directory prints nothing and exits with 0" "$?$(cat "$HOST/out" "$HOST/err")" 0
ok "post-start succeeds when the guest's state is unknown" $HOOK 8200 post-start
ok "pre-stop succeeds when the guest's state is unknown" $HOOK 8200 pre-stop
ok "pre-start succeeds when the directory was lost" $HOOK 8200 pre-start

is "every phase has an event" \
    "$(sql "SELECT group_concat(DISTINCT kind) FROM (SELECT kind FROM event WHERE kind GLOB '*-st*' ORDER BY kind)")" \
    "post-start,post-stop,pre-start,pre-stop"
is "every pre-start's event has a duration" \
    "$(sql "SELECT count(*) FROM event WHERE kind = 'pre-start' AND duration_us <= 0")" 0
is "the store contains no secret" "$(cat "$HOST"/state/db/* | grep -caF -- "$(cut -c 14-56 "$(token_of 8200)")")" 0

# What the hook inherits.
exec 9<"$HOST/agent.yaml"
LD_LIBRARY_PATH=/nonexistent TZ=:/nonexistent HOME=/nonexistent ok "a strange environment is no matter" $HOOK 8200 \
    pre-start
ok "pre-start succeeds with closed standard descriptors" bash -c "$HOOK 8200 pre-start <&- >&- 2>&-"
ok "the store is intact after a pre-start with closed standard descriptors" sql 'PRAGMA integrity_check'
exec 9<&-
(cd "$HOST/pve" && $HOOK 8200 pre-start >/dev/null)
is "pre-start succeeds in any working directory" $? 0
left=$(timeout 600 bash -c "$HOOK 8200 pre-start 2>&1 | cat")
like "no process of pre-start keeps the output pipe open" "$left" 'minted'
umask 000
$HOOK 8200 pre-start >/dev/null
is "an open umask does not widen the files' modes" "$(stat -c %a "$(token_of 8200)")" 600
umask 022

# A QEMU guest: identity without ownership mapping.
cat >"$HOST/pve/qemu-server/8400.conf" <<'EOF'
name: vm
net0: virtio=BC:24:11:00:84:00,bridge=vmbr0
scsi0: local-lvm:vm-8400-disk-0,size=32G
EOF
like "a QEMU guest gets its directory, which is no mount" "$($HOOK 8400 pre-start)" \
    'token gen 1 minted, directory populated \(4 files\)'
guest_config 8500 </dev/null
like "a container that mounts nothing is said to have no mount" "$($HOOK 8500 pre-start 2>/dev/null)" \
    'token gen 1 minted, directory populated \(4 files\)'
is "a QEMU guest's files belong to the host's root" "$(stat -c %u "$(token_of 8400)")" "$(id -u)"
is "the store knows a QEMU guest's NIC" "$(sql 'SELECT hwaddr FROM nic WHERE vmid = 8400')" BC:24:11:00:84:00
tap_done
