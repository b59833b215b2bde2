#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A package's life, by real dpkg in a chroot that is used for nothing else: /packages has the packages, and the version
# before as older.deb; the dependencies are installed.
. tests/lib/tap.sh
[ -n "${OFFLINE:-}" ] || OFFLINE=yes exec unshare --net bash "$0"
[ -e /packages/older.deb ] || { skip 'packages' 'no packages to be installed here'; tap_done; }
HOOK=/usr/libexec/felhom-agent/felhom-hook
SNIPPET=/var/lib/vz/snippets/felhom-hook
export DEBIAN_FRONTEND=noninteractive
out=$(mktemp)

# What a Proxmox host has: guests on two nodes, some of which have our hookscript.
pve=/etc/pve
mount -t tmpfs tmpfs /run
mkdir -p $pve
mount -t tmpfs tmpfs $pve
mkdir -p $pve/nodes/{one,two}/{lxc,qemu-server} $pve/priv "${SNIPPET%/*}"
ln -s nodes/one $pve/local
none() {
    printf 'arch: amd64\n' | tee $pve/nodes/one/lxc/{8200,8201}.conf $pve/nodes/two/qemu-server/8300.conf >/dev/null
}
some() {
    none
    printf \
        'mp1: /run/felhom-agent/guests/8200,mp=/etc/felhom-bootstrap,ro=1\nhookscript: local:snippets/felhom-hook\n' \
        >>$pve/nodes/one/lxc/8200.conf
    printf '\n[snap]\nhookscript: local:snippets/felhom-hook\n' >>$pve/nodes/two/qemu-server/8300.conf
}
pve_sum() {
    find $pve -type f -exec sha256sum {} + | sort | sha256sum
}
fresh() {
    dpkg --purge felhom-agent >/dev/null 2>&1
    rm -rf /usr/libexec/felhom-agent /var/lib/felhom-agent /etc/felhom-agent /run/felhom-agent "$SNIPPET"
}
says() {
    grep -qF -- "$1" "$out"
}
does() {
    "$@" >"$out" 2>&1 || { diag "$(tail -n 20 "$out")"; return 1; }
}
identity() {
    sha256sum /var/lib/felhom-agent/tls/agent.crt
}
agent=$(echo /packages/felhom-agent_*.deb)
guest=$(echo /packages/felhom-guest_*.deb)
fresh
none

# --- install ---
ip link add vmbr0 type bridge && ip addr add 192.0.2.1/24 dev vmbr0 && ip link set lo up
sums=$(pve_sum)
ok 'the package installs' does dpkg -i "$agent"
ok 'the installation makes the store' test -s /var/lib/felhom-agent/db/agent.db
ok 'the installation prints the pins' says 'SPKI pin: '
is 'the state belongs to felhom-agent, and only that user can read it'"'"'s alone' \
    "$(stat -c '%U:%G %a' /var/lib/felhom-agent/{db,tls} | sort -u)" 'felhom-agent:felhom-agent 700'
is "the hook is linked in Proxmox's snippets" "$(readlink $SNIPPET)" $HOOK
is 'the user felhom-agent is in the groups felhom-agent and www-data' "$(id -nG felhom-agent)" 'felhom-agent www-data'
ok 'felhomd --check succeeds as the user felhom-agent' does setpriv --reuid felhom-agent --regid felhom-agent \
    --init-groups felhomd --check
is 'the units are enabled' \
    "$(systemctl is-enabled felhomd felhom-restore-test.timer felhom-token-age.timer felhom-token-age.path | sort -u)" \
    enabled
is "felhomd has the package's version" "$(felhomd --version)" \
    "felhomd $(dpkg-query -W -f '${Version}' felhom-agent | sed 's/-.*//')"
ok 'every key in the installed agent.yaml is a comment' test -z \
    "$(grep -vE '^ *#|^[a-z_]*:$|^$' /etc/felhom-agent/agent.yaml)"
for page in felhom-hook.8 felhomd.8 felhomctl.8; do
    ok "there is $page" test -e "/usr/share/man/man8/$page.gz"
done
first=$(identity)

# --- installed again, and upgraded ---
echo 'host_id: mine' >>/etc/felhom-agent/agent.yaml
ok 'the package installs a second time' does dpkg -i --force-confold "$agent"
is 'a second installation keeps the identity' "$(identity)" "$first"
is "a second installation keeps the operator's agent.yaml" "$(tail -n 1 /etc/felhom-agent/agent.yaml)" 'host_id: mine'
fresh
ok 'the version before installs' does dpkg -i /packages/older.deb
first=$(identity)
ok 'the package upgrades the version before' does dpkg -i "$agent"
is 'the upgrade writes nothing to /etc/pve' "$(pve_sum)" "$sums"
is 'the upgrade keeps the identity' "$(identity)" "$first"

# --- removed while guests have the hookscript ---
some
sums=$(pve_sum)
ok 'the package can be removed while guests have its hookscript' does dpkg --remove felhom-agent
ok 'the removal lists the guests that have its hookscript' says 'these guests still have its hookscript: 8200 8300'
ok 'a replacement hook stays for these guests' test -x $HOOK
for phase in pre-start post-start pre-stop post-stop odd; do
    ok "the replacement hook succeeds in $phase" $SNIPPET 8200 $phase
done
ok 'the replacement hook makes the directory for a mount point' test -d /run/felhom-agent/guests/8200
mkdir -p $pve/priv/felhom
printf 'customer:\n  id: "acme"\nchain: "own:snippets/their own.sh"\n' >$pve/priv/felhom/8200.yaml
printf '#!/bin/sh\n[ "$*" = "path own:snippets/their own.sh" ] || exit 1\necho "/tmp/their own.sh"\n' >/usr/sbin/pvesm
printf '#!/bin/sh\necho "theirs: $*"\nexit 7\n' >'/tmp/their own.sh'
chmod 755 /usr/sbin/pvesm '/tmp/their own.sh'
for phase in pre-start post-stop; do
    is "the replacement hook calls the chained hookscript in $phase" "$($SNIPPET 8200 $phase; echo $?)" \
        "theirs: 8200 $phase"$'\n7'
done
ok 'the replacement hook calls the chained hookscript only for guests that have one' $SNIPPET 8201 pre-start
rm '/tmp/their own.sh'
not_ok 'a missing chained hookscript blocks the start' $SNIPPET 8200 pre-start 2>/dev/null
rm /usr/sbin/pvesm
not_ok 'a chained hookscript on an unknown storage blocks the start' $SNIPPET 8200 pre-start 2>/dev/null
rm -r $pve/priv/felhom
ok 'the replacement hook succeeds without arguments' $HOOK
ok 'the replacement hook succeeds with invalid arguments' $HOOK ../../x pre-start
is 'the removal keeps the data' "$(identity)" "$first"
is 'the removal writes nothing to /etc/pve' "$(pve_sum)" "$sums"
ok 'the package installs again after its removal' does dpkg -i "$agent"
is 'the installation puts the real hook back' "$(head -c 4 $HOOK | od -An -c | tr -d ' ')" '177ELF'
is 'the installation keeps the identity' "$(identity)" "$first"

# --- purged while guests have the hookscript ---
mkdir -p /run/felhom-agent/guests/8200 && echo secret >/run/felhom-agent/guests/8200/token
echo secret >/etc/felhom-agent/pve.token && echo mine >/etc/felhom-agent/controller.yaml
ok 'the package can be purged while guests have its hookscript' does dpkg --purge felhom-agent
ok 'the purge announces that it removes the data' says 'purge: removing /var/lib/felhom-agent'
not_ok 'the purge removes the data' test -e /var/lib/felhom-agent
not_ok "the purge removes the guests' secrets" test -e /run/felhom-agent/guests/8200/token
not_ok 'the purge removes the token for Proxmox' test -e /etc/felhom-agent/pve.token
ok "the purge keeps the operator's own file" test -e /etc/felhom-agent/controller.yaml
ok 'the purge keeps the replacement hook' test -x $HOOK
is 'the purge writes nothing to /etc/pve' "$(pve_sum)" "$sums"

# --- removed when no guest has the hookscript ---
none
ok 'the package installs after a purge' does dpkg -i "$agent"
ok 'the package can be removed when no guest has its hookscript' does dpkg --remove felhom-agent
not_ok 'the removal lists no guest' says 'still have its hookscript'
not_ok 'the removal leaves no hook' test -e $HOOK
not_ok 'the removal leaves no link to the hook' test -L $SNIPPET
ok 'the package can be purged' does dpkg --purge felhom-agent

# --- Proxmox's cluster file system is not mounted ---
umount $pve
ok 'the package installs without Proxmox' does dpkg -i "$agent"
ok 'the package can be removed without Proxmox' does dpkg --remove felhom-agent
ok 'the removal leaves the hook, as guests may have the hookscript' test -x $HOOK
fresh

# --- another hook has the name ---
mkdir -p "${SNIPPET%/*}" && echo theirs >$SNIPPET
ok 'the package installs although another hook has the name' does dpkg -i "$agent"
ok 'the installation reports the other hook' says "$SNIPPET is a file, not a link"
ok 'the package can be removed beside the other hook' does dpkg --remove felhom-agent
is 'the other hook stays' "$(cat $SNIPPET)" theirs
fresh

# --- there is no bridge yet ---
ip link del vmbr0
ok 'the package installs without a bridge' does dpkg -i "$agent"
fresh

# --- felhom-guest ---
ok 'felhom-guest installs' does dpkg -i "$guest"
is 'the units of felhom-guest are enabled' \
    "$(systemctl is-enabled felhom-controller-bootstrap.service felhom-controller-bootstrap.path | sort -u)" enabled
is "felhom-controller-bootstrap has the package's version" "$(felhom-controller-bootstrap --version)" \
    "felhom-controller-bootstrap $(dpkg-query -W -f '${Version}' felhom-guest | sed 's/-.*//')"
felhom-controller-bootstrap >/dev/null 2>&1
is 'felhom-controller-bootstrap is in setup mode' $? 10
ok 'felhom-guest can be purged' does dpkg --purge felhom-guest
not_ok 'the purge of felhom-guest removes the program' test -e /usr/sbin/felhom-controller-bootstrap
is 'the purge of felhom-guest leaves no links of its units' "$(find /etc/systemd/system -name 'felhom*')" ''
tap_done
