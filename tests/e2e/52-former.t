#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Guests that are copies of others: two with the same hardware address, and one that got the VMID of a guest that is no
# more. Each command that a message prints is run, with a stand-in for Proxmox's.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
mkdir "$HOST/tools"
echo 'dir: local' >"$HOST/pve/storage.cfg"
pct() { python3 -IS tests/standins/pve_tools "$HOST" pct "$@"; }
qm() { python3 -IS tests/standins/pve_tools "$HOST" qm "$@"; }
felhomctl() { ctl "$@"; }
finding() { ctl doctor ${2:+"$2"} --output-format json | jq -r --arg id "$1" ".checks[] | select(.id == \$id) | $3"; }
ctl init >/dev/null

# --- the same hardware address ---
copy_of() { sed "s/8204/$1/g" "$HOST/pve/lxc/8204.conf" | grep -v '^hookscript\|^lxc.mount' >"$HOST/pve/lxc/$1.conf"; }
guest_config 8204 </dev/null
sed -i 's/,type=veth/,firewall=1,trunks=5;7,type=veth/' "$HOST/pve/lxc/8204.conf"
mac=$(hwaddr_of 8204)
unlike "a guest of its own: no warning" "$(enroll 8204)" 'as well'
copy_of 8205
copy_of 8206
shared="net0 +has the address $mac that guest 8204 has as well"
renew="pct set 8205 --net0 'name=eth0,bridge=vmbr0,ip=dhcp,firewall=1,trunks=5;7,type=veth'"
like "enroll names the guest with the same address, and the command" "$(enroll 8205)" "warning +reach +$shared.*: $renew"
unlike "pre-start of the first: no other has started" "$(phase 8204 pre-start 2>&1)" 'as well'
like "pre-start names the guest with the same address, and the command" "$(phase 8205 pre-start 2>&1)" \
    "^felhom-hook: $shared, so felhomd may refuse both; to fix it: $renew"
like "... and its event" "$(sql "SELECT outcome || ': ' || detail FROM event WHERE vmid = 8205 AND kind = 'pre-start'")" \
    "^warning: net0 has the address $mac that guest 8204"
like "pre-start of the first names the other now" "$(phase 8204 pre-start 2>&1)" 'that guest 8205 has as well'
for vmid in 8204 8205; do
    is "doctor warns of guest $vmid" "$(finding guest.nic $vmid .result)" warning
    like "doctor names the other" "$(finding guest.nic $vmid .reason)" \
        "^net0 has the address $mac that guest $((8204 + 8205 - vmid)) has as well, so felhomd may refuse both$"
done
is "a copy that is not enrolled is no concern" "$(enroll 8206 >/dev/null; finding guest.nic 8206 .result)|$(ctl unenroll 8206 >/dev/null; sed -i "s/$mac/$(hwaddr_of 8206)/" "$HOST/pve/lxc/8206.conf"; finding guest.nic 8206 .result)" 'warning|ok'
eval "$(finding guest.nic 8205 .remedy)"
is "the command leaves the rest of the line" \
    "$(sed -n 's/^net0: //p' "$HOST/pve/lxc/8205.conf" | sed 's/hwaddr=[0-9A-F:]*/hwaddr/')" \
    'name=eth0,bridge=vmbr0,ip=dhcp,firewall=1,trunks=5;7,type=veth,hwaddr'
is "doctor is content with both" "$(finding guest.nic 8204 .result)|$(finding guest.nic 8205 .result)" 'ok|ok'
unlike "pre-start is content with both" "$(phase 8204 pre-start 2>&1; phase 8205 pre-start 2>&1)" 'as well'
sed -i "s/,hwaddr=[0-9A-F:]*/,hwaddr=$mac/" "$HOST/pve/lxc/8205.conf"
mv "$HOST/pve/lxc/8204.conf" "$HOST/8204.conf"
unlike "a guest that has left this node is no concern, though the store has it" "$(phase 8205 pre-start 2>&1)" 'as well'
mv "$HOST/8204.conf" "$HOST/pve/lxc/8204.conf"
printf 'net0: virtio=%s,bridge=vmbr0,firewall=1\nscsi0: local-lvm:vm-8210-disk-0\nname: vm\n' "$mac" >"$HOST/pve/qemu-server/8210.conf"
like "a virtual machine: enroll names the command" "$(enroll 8210)" "$shared.*: qm set 8210 --net0 'virtio,bridge=vmbr0,firewall=1'"
eval "$(finding guest.nic 8210 .remedy)"
like "a virtual machine: the command leaves the rest" "$(grep ^net0 "$HOST/pve/qemu-server/8210.conf")" \
    '^net0: virtio=BC:24:11:[0-9A-F:]*,bridge=vmbr0,firewall=1$'
guest_config 8211 <<<"lxc.net.0.hwaddr: $mac"
like "a NIC of raw lines: enroll names the file" "$(enroll 8211)" \
    "lxc.net.0 +has the address $mac that guest 8204 .*: editor $HOST/pve/lxc/8211.conf"

# --- a VMID that is given out again ---
ENROLMENT=$HOST/pve/priv/felhom/8202.yaml
echo 's3cret of oldco' >"$HOST/password"
# former: guest 8202 is enrolled for oldco, starts and is destroyed; another gets its VMID
former() {
    ctl unenroll 8202 >/dev/null
    guest_config 8202 </dev/null
    enroll 8202 --customer oldco --retrieval-password-file "$HOST/password" >/dev/null
    phase 8202 pre-start >/dev/null
    pct destroy 8202
    guest_config 8202 </dev/null
    sed -i 's/BC:24:11/BC:24:99/' "$HOST/pve/lxc/8202.conf"
}
of_oldco() { grep -c 'oldco\|s3cret' "$@" | paste -sd' '; }
state_of() { cat "$ENROLMENT" "$HOST/pve/lxc/8202.conf"; sql "SELECT * FROM guest WHERE vmid = 8202"; }
former
before=$(state_of)
output=$(enroll 8202 2>&1)
is "another guest: enroll refuses" $? 1
like "another guest: the message names both" "$output" \
    "8202.yaml is of another guest that had the VMID .*$(hwaddr_of 8202), customer oldco\); this one is .* BC:24:99:.*--customer .*--keep"
is "another guest: nothing has changed" "$(state_of)" "$before"
is "another guest: doctor says so" "$(finding guest.enrolment 8202 .result)" error
REMEDY=$(finding guest.enrolment 8202 .remedy)
eval "$REMEDY" >/dev/null
is "another guest: doctor's command ($REMEDY) mends it" "$(finding guest.enrolment 8202 .result)" ok
is "another guest: doctor's command hands nothing on" "$(of_oldco "$ENROLMENT")" 0
former
token=$(cat "$(token_of 8202)")
like "another guest: a new customer begins a new enrolment" "$(enroll 8202 --customer newco)" \
    "nothing of the former guest's is kept"
phase 8202 pre-start >/dev/null
is "another guest: nothing of the former one's is handed on" \
    "$(of_oldco "$ENROLMENT" "$(directory_of 8202)/controller.yaml" "$(directory_of 8202)/bootstrap.json" | sed 's/[^ ]*://g')" '0 0 0'
is "another guest: the former one's token has ended" \
    "$(sql "SELECT revoked_at_ms IS NOT NULL FROM token WHERE id = '$(cut -c 5-12 <<<"$token")'")" 1
former
ok "another guest: --keep takes the enrolment over" enroll 8202 --keep
is "another guest: --keep keeps customer and password" "$(of_oldco "$ENROLMENT")" 2
ok "another guest: once kept, it is the enrolled one" enroll 8202

# --- the same guest, changed ---
# same WHAT SED_COMMAND...: the guest, enrolled, is changed, without our lines, and enrolled again
same() {
    local what=$1
    shift
    ctl unenroll 8202 >/dev/null
    guest_config 8202 <<<"net1: name=eth1,bridge=vmbr0,hwaddr=BC:24:22:00:00:01,type=veth"
    enroll 8202 --customer acme >/dev/null
    sed -i -e '/^hookscript/d; /^lxc.mount.entry/d' "$@" "$HOST/pve/lxc/8202.conf"
    ok "the same guest, $what: enroll succeeds" enroll 8202
    is "the same guest, $what: its enrolment stays" "$(grep -c acme "$ENROLMENT")" 1
    is "the same guest, $what: doctor is content" "$(finding guest.enrolment 8202 .result)" ok
}
same 'nothing changed'
same 'its disk is on another storage' -e 's/local-lvm:vm/other:vm/'
same 'restored in place' -e 's/disk-0/disk-7/'
same 'one NIC has a new address' -e '/^net0/s/BC:24:11/BC:24:99/'
same 'one NIC is gone' -e '/^net1/d'
same 'all NICs are gone' -e '/^net/d'
ctl unenroll 8202 >/dev/null
guest_config 8202 </dev/null
enroll 8202 >/dev/null
sed -i 's/BC:24:11/BC:24:99/; s/disk-0/disk-7/' "$HOST/pve/lxc/8202.conf"
ok "the same guest, all is new, but it mounts the VMID's directory: enroll succeeds" enroll 8202
printf '# mine\ncustomer: {id: acme}\n' >"$ENROLMENT"
enroll 8202 >/dev/null
is "an enrolment with comments is left as it is" "$(cat "$ENROLMENT")" $'# mine\ncustomer: {id: acme}'

# --- an enrolment that is left ---
is "all guests exist" "$(finding former '' .result)" ok
mkdir -p "$HOST/pve/nodes/pve2/lxc"
mv "$HOST/pve/lxc/8202.conf" "$HOST/pve/nodes/pve2/lxc/"
is "a guest on another node exists" "$(finding former '' .result)" ok
rm "$HOST/pve/nodes/pve2/lxc/8202.conf"
is "an enrolment whose guest is on no node is named" "$(finding former '' .reason)" \
    'there is an enrolment of guest 8202, but no such guest on any node'
eval "$(finding former '' .remedy)" >/dev/null
is "the command removes it" "$(finding former '' .result)|$(ls "$ENROLMENT" 2>/dev/null)" 'ok|'
tap_done
