#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A package's life, by real dpkg in a chroot that is for nothing else: /packages has the packages, and as older.deb the version before; what they
# depend on is installed.
. tests/lib/tap.sh
[ -n "${OFFLINE:-}" ] || OFFLINE=yes exec unshare --net bash "$0"
[ -e /packages/older.deb ] || { skip 'packages' 'no packages to be installed here'; tap_done; }
HOOK=/usr/libexec/felhom-agent/felhom-hook
SNIPPET=/var/lib/vz/snippets/felhom-hook
export DEBIAN_FRONTEND=noninteractive
out=$(mktemp)

# What Proxmox would have: guests on two nodes, of which some name the hook.
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
    printf 'mp1: /run/felhom-agent/guests/8200,mp=/etc/felhom-bootstrap,ro=1\nhookscript: local:snippets/felhom-hook\n' >>$pve/nodes/one/lxc/8200.conf
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
ok 'it installs' does dpkg -i "$agent"
ok 'the host is prepared' test -s /var/lib/felhom-agent/db/agent.db
ok 'the pins are shown' says 'SPKI pin: '
is 'the state is the daemon'"'"'s alone' "$(stat -c '%U:%G %a' /var/lib/felhom-agent/{db,tls} | sort -u)" 'felhom-agent:felhom-agent 700'
is 'the hook is where Proxmox looks for it' "$(readlink $SNIPPET)" $HOOK
is 'of the groups' "$(id -nG felhom-agent)" 'felhom-agent www-data'
ok 'felhomd would start' does setpriv --reuid felhom-agent --regid felhom-agent --init-groups felhomd --check
is 'the unit is enabled' "$(systemctl is-enabled felhomd felhom-restore-test.timer felhom-token-age.timer | sort -u)" enabled
is 'the version' "$(felhomd --version)" "felhomd $(dpkg-query -W -f '${Version}' felhom-agent | sed 's/-.*//')"
ok 'every key of agent.yaml is a comment' test -z "$(grep -vE '^ *#|^[a-z_]*:$|^$' /etc/felhom-agent/agent.yaml)"
for page in felhom-hook.8 felhomd.8 felhomctl.8; do
    ok "there is $page" test -e "/usr/share/man/man8/$page.gz"
done
first=$(identity)

# --- again, and upgrade ---
echo 'host_id: mine' >>/etc/felhom-agent/agent.yaml
ok 'it installs again' does dpkg -i --force-confold "$agent"
is 'the identity stays' "$(identity)" "$first"
is 'so does what the operator wrote' "$(tail -n 1 /etc/felhom-agent/agent.yaml)" 'host_id: mine'
fresh
ok 'the version before installs' does dpkg -i /packages/older.deb
first=$(identity)
ok 'it is upgraded' does dpkg -i "$agent"
is 'nothing is written to /etc/pve' "$(pve_sum)" "$sums"
is 'the identity stays' "$(identity)" "$first"

# --- remove, while guests name the hook ---
some
sums=$(pve_sum)
ok 'it is removed' does dpkg --remove felhom-agent
ok 'it says which guests name the hook' says 'these guests still name its hookscript: 8200 8300'
ok 'a hook stays for them' test -x $HOOK
for phase in pre-start post-start pre-stop post-stop odd; do
    ok "which ends well in $phase" $SNIPPET 8200 $phase
done
ok 'it makes the directory that a mount point needs' test -d /run/felhom-agent/guests/8200
mkdir -p $pve/priv/felhom
printf 'customer:\n  id: "acme"\nchain: "own:snippets/their own.sh"\n' >$pve/priv/felhom/8200.yaml
printf '#!/bin/sh\n[ "$*" = "path own:snippets/their own.sh" ] || exit 1\necho "/tmp/their own.sh"\n' >/usr/sbin/pvesm
printf '#!/bin/sh\necho "theirs: $*"\nexit 7\n' >'/tmp/their own.sh'
chmod 755 /usr/sbin/pvesm '/tmp/their own.sh'
for phase in pre-start post-stop; do
    is "it calls in $phase what was chained" "$($SNIPPET 8200 $phase; echo $?)" "theirs: 8200 $phase"$'\n7'
done
ok 'but for those that have it' $SNIPPET 8201 pre-start
rm '/tmp/their own.sh'
not_ok 'one that is gone keeps the guest from starting' $SNIPPET 8200 pre-start 2>/dev/null
rm /usr/sbin/pvesm
not_ok 'so does one that nobody can find' $SNIPPET 8200 pre-start 2>/dev/null
rm -r $pve/priv/felhom
ok 'with no arguments' $HOOK
ok 'with odd ones' $HOOK ../../x pre-start
is 'the data stay' "$(identity)" "$first"
is 'nothing is written to /etc/pve' "$(pve_sum)" "$sums"
ok 'it installs over what stayed' does dpkg -i "$agent"
is 'with the real hook' "$(head -c 4 $HOOK | od -An -c | tr -d ' ')" '177ELF'
is 'and the same identity' "$(identity)" "$first"

# --- purge, while guests name the hook ---
mkdir -p /run/felhom-agent/guests/8200 && echo secret >/run/felhom-agent/guests/8200/token
echo secret >/etc/felhom-agent/pve.token && echo mine >/etc/felhom-agent/controller.yaml
ok 'it is purged' does dpkg --purge felhom-agent
ok 'it says so before' says 'purge: removing /var/lib/felhom-agent'
not_ok 'the data are gone' test -e /var/lib/felhom-agent
not_ok 'what guests read too' test -e /run/felhom-agent/guests/8200/token
not_ok 'and the token for Proxmox' test -e /etc/felhom-agent/pve.token
ok "the operator's own stays" test -e /etc/felhom-agent/controller.yaml
ok 'the hook still does' test -x $HOOK
is 'nothing is written to /etc/pve' "$(pve_sum)" "$sums"

# --- remove, when no guest does ---
none
ok 'it installs' does dpkg -i "$agent"
ok 'it is removed' does dpkg --remove felhom-agent
not_ok 'it names no guest' says 'still name'
not_ok 'no hook stays' test -e $HOOK
not_ok 'nor the link to it' test -L $SNIPPET
ok 'it is purged' does dpkg --purge felhom-agent

# --- where Proxmox's cluster file system is not mounted ---
umount $pve
ok 'it installs without Proxmox' does dpkg -i "$agent"
ok 'it is removed' does dpkg --remove felhom-agent
ok 'and leaves the hook, as guests may name it' test -x $HOOK
fresh

# --- where somebody else's hook has the name ---
mkdir -p "${SNIPPET%/*}" && echo theirs >$SNIPPET
ok 'it installs beside a hook of the same name' does dpkg -i "$agent"
ok 'and says so' says "$SNIPPET is a file, not a link"
ok 'it is removed' does dpkg --remove felhom-agent
is 'their hook stays' "$(cat $SNIPPET)" theirs
fresh

# --- where there is no bridge yet ---
ip link del vmbr0
ok 'it installs without a bridge' does dpkg -i "$agent"
fresh

# --- felhom-guest ---
ok 'felhom-guest installs' does dpkg -i "$guest"
is 'its units are enabled' "$(systemctl is-enabled felhom-controller-bootstrap.service felhom-controller-bootstrap.path | sort -u)" enabled
is 'its version' "$(felhom-controller-bootstrap --version)" "felhom-controller-bootstrap $(dpkg-query -W -f '${Version}' felhom-guest | sed 's/-.*//')"
felhom-controller-bootstrap >/dev/null 2>&1
is 'it is in setup mode' $? 10
ok 'it is purged' does dpkg --purge felhom-guest
not_ok 'and gone' test -e /usr/sbin/felhom-controller-bootstrap
is 'nothing of its units stays' "$(find /etc/systemd/system -name 'felhom*')" ''
tap_done
