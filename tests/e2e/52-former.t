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
finding() { ctl doctor "$2" --output-format json | jq -r --arg id "$1" ".checks[] | select(.id == \$id) | $3"; }
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
like "enroll names the guest with the same address, and the command" "$(enroll 8205)" "warning +$shared.*: $renew"
unlike "pre-start of the first: no other has started" "$(phase 8204 pre-start 2>&1)" 'as well'
like "pre-start names the guest with the same address, and the command" "$(phase 8205 pre-start 2>&1)" \
    "^felhom-hook: $shared, so felhomd may refuse both; to give it another: $renew"
like "... and its event" "$(sql "SELECT outcome || ': ' || detail FROM event WHERE vmid = 8205 AND kind = 'pre-start'")" \
    "^warning: net0 has the address $mac that guest 8204"
like "pre-start of the first names the other now" "$(phase 8204 pre-start 2>&1)" 'that guest 8205 has as well'
for vmid in 8204 8205; do
    is "doctor warns of guest $vmid" "$(finding guest.nic $vmid .result)" warning
    like "doctor names the other" "$(finding guest.nic $vmid .reason)" \
        "^net0 has the address $mac, which guest $((8204 + 8205 - vmid)) has as well$"
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
tap_done
