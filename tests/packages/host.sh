# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A Debian that boots systemd as a Proxmox host with nothing but Proxmox's files, and with network namespaces as guests.
# To be sourced; the host is used for nothing else and is deleted afterwards.
# tools/check-deb and tests/packages/systemd.t put the packages there: this is no machine that somebody works on.
[ -d /packages ] || {
    echo "$0 changes the whole machine: make check-deb runs it in one of its own" >&2
    exit 1
}
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/standin.sh

# Where everything is on a real host, by the names of a scratch host.
export FELHOM_WORLD=1 # no other user's files: the container's own ids are all there are
HOST=/host
BIN=$HOST/bin

host_layout() {
    mkdir -p $HOST/bin $HOST/run /etc/pve/{lxc,qemu-server,nodes/host1,priv}
    ln -sfn nodes/host1 /etc/pve/local
    ln -sfn /etc/pve $HOST/pve
    ln -sfn /run/felhom-agent/guests $HOST/run/guests
    ln -sfn /var/lib/felhom-agent $HOST/state
    ln -sf /usr/libexec/felhom-agent/felhom-hook /usr/sbin/felhomd /usr/sbin/felhomctl $HOST/bin
    host_modes
}

# As Proxmox's cluster file system shows its files.
host_modes() {
    chgrp -R www-data /etc/pve
    find /etc/pve -type d -exec chmod 755 {} +
    find /etc/pve -type f -exec chmod 640 {} +
    chmod 700 /etc/pve/priv
}

# host_unit NAME: adds a unit, from standard input, that the host's boot starts
host_unit() {
    cat >"/etc/systemd/system/$1"
    systemctl --quiet enable "$1" 2>/dev/null
}

property() {
    systemctl show --value -p "$2" "$1"
}

is_active() {
    [ "$(systemctl is-active "$1")" = active ]
}

does() {
    "$@" >"$HOST/out" 2>&1 || { diag "$(tail -n 20 "$HOST/out")"; return 1; }
}

# entries FIELD=VALUE...: prints the journal's entries with these fields, one a line: message, priority, identifier,
# phase, event
entries() {
    journalctl --no-pager -o json "$@" |
        jq -r '[.MESSAGE, .PRIORITY, .SYSLOG_IDENTIFIER, .PHASE, .EVENT] | map(. // "-") | join("|")'
}
