# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A small world for tests and the demo: a scratch Proxmox host with a bridge, and guests on it, in namespaces of its
# own. Nothing of it is seen from outside, and all of it vanishes with the script. To be sourced.
#
#   world_enter "$0" "$@"         re-runs the script inside; what follows runs there
#   world_host                    $HOST: the scratch host's files; the bridge vmbr0 with 192.168.0.162/24
#   world_guest VMID LAST_BYTE    a guest of that VMID on the bridge at 192.168.0.LAST_BYTE
#   in_guest VMID COMMAND...      runs a command where that guest lives
#   guest_config VMID             writes PVE's configuration for it (more lines on standard input)
#   phase VMID PHASE              calls felhom-hook as Proxmox does
#   daemon_start / daemon_stop    felhomd; its log is $HOST/felhomd.log
#   reload                        makes it read agent.yaml again (with tap.sh)

BIN=${BIN:-$PWD/build}
ADDRESS=192.168.0.162
PORT=8443
ENDPOINT=$ADDRESS:$PORT

world_flags=(--mount --net --pid --fork --mount-proc --kill-child)
[ "$(id -u)" -eq 0 ] || world_flags+=(--user --map-root-user)

world_enter() {
    [ -z "${FELHOM_WORLD:-}" ] || return 0
    FELHOM_WORLD=$(id -u) exec unshare "${world_flags[@]}" -- bash "$@"
}

world_possible() {
    unshare "${world_flags[@]}" -- true 2>/dev/null
}

# Whether this world may give files to other users (not in a user namespace with one user).
world_is_root() {
    case ${FELHOM_WORLD:-none} in
    none) [ "$(id -u)" -eq 0 ] ;;
    *) [ "$FELHOM_WORLD" -eq 0 ] ;;
    esac
}

world_host() {
    HOST=$(mktemp -d /tmp/felhom-world.XXXXXX)
    trap world_end EXIT
    mount -t tmpfs -o mode=755 felhom-world "$HOST"
    # faketime names what it shares after its PID, which another world has, too.
    mount -t tmpfs -o mode=1777 felhom-world /dev/shm
    mkdir -p "$HOST"/{pve/lxc,pve/qemu-server,pve/nodes/pve1,pve/priv,cgroup,snippets}
    ln -s nodes/pve1 "$HOST/pve/local"
    ip link set lo up
    ip link add vmbr0 type bridge
    ip addr add $ADDRESS/24 dev vmbr0
    ip link set vmbr0 up
    export FELHOM_AGENT_CONFIG=$HOST/agent.yaml
    agent_yaml </dev/null
}

# The same without namespaces: one loopback address, no bridge, guests that are only names.
world_loopback() {
    HOST=$(mktemp -d /tmp/felhom-world.XXXXXX)
    trap world_end EXIT
    mkdir -p "$HOST"/{pve/lxc,pve/qemu-server,pve/nodes/pve1,pve/priv,cgroup,snippets}
    ln -s nodes/pve1 "$HOST/pve/local"
    ADDRESS=127.0.0.1
    PORT=$((20000 + RANDOM % 10000))
    ENDPOINT=$ADDRESS:$PORT
    export FELHOM_AGENT_CONFIG=$HOST/agent.yaml
    agent_yaml <<<"local_api: {listen: \"$ENDPOINT\"}"
    world_guest() { :; }
    in_guest() { shift; "$@"; }
}

world_end() {
    local status=$?
    trap - EXIT
    set +e
    cd /
    # shellcheck disable=SC2046
    kill $(jobs -pr) 2>/dev/null
    umount -l "$HOST"/run/export/* 2>/dev/null
    umount -R -l "$HOST" 2>/dev/null
    rm -rf --one-file-system "$HOST"
    exit $status
}

# Writes agent.yaml: the scratch paths and what stands on standard input.
agent_yaml() {
    {
        cat <<EOF
paths:
  state: $HOST/state
  guests: $HOST/run/guests
  export: $HOST/run/export
  run: $HOST/run
  pve: $HOST/pve
  enrolment: $HOST/pve/priv/felhom
  cgroup: $HOST/cgroup
EOF
        cat
    } >"$HOST/agent.yaml"
}

hwaddr_of() {
    printf 'BC:24:11:00:%02X:%02X' $(($1 / 256 % 256)) $(($1 % 256))
}

# guest_config VMID: an unprivileged container with a NIC on the bridge; standard input is put in front.
guest_config() {
    {
        cat
        cat <<EOF
arch: amd64
hostname: guest$1
memory: 512
net0: name=eth0,bridge=vmbr0,hwaddr=$(hwaddr_of "$1"),ip=dhcp,type=veth
ostype: debian
rootfs: local-lvm:vm-$1-disk-0,size=8G
mp0: usb-backup:vm-$1-disk-1,mp=/srv/data,backup=1,size=100G
swap: 512
unprivileged: $(world_is_root && echo 1 || echo 0)
EOF
    } >"$HOST/pve/lxc/$1.conf"
}

world_guest() {
    local vmid=$1 address=192.168.0.$2 pid
    unshare --net sleep 86400 &
    pid=$!
    mkdir -p "$HOST/netns"
    echo $pid >"$HOST/netns/$vmid"
    until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.01; done
    ip link add "veth${vmid}i0" type veth peer name eth0 netns $pid
    ip link set "veth${vmid}i0" master vmbr0 up
    in_guest "$vmid" ip link set lo up
    in_guest "$vmid" ip link set eth0 address "$(hwaddr_of "$vmid")" up
    in_guest "$vmid" ip addr add "$address/24" dev eth0
}

in_guest() {
    local pid
    pid=$(cat "$HOST/netns/$1")
    shift
    nsenter --target "$pid" --net -- "$@"
}

phase() {
    "$BIN/felhom-hook" "$1" "$2"
}

ctl() {
    "$BIN/felhomctl" "$@"
}

enroll() {
    ctl enroll "$@" --snippets "$HOST/snippets" --hook "$BIN/felhom-hook"
}

daemon_start() {
    "$BIN/felhomd" >>"$HOST/felhomd.log" 2>&1 &
    DAEMON=$!
    local end=$((SECONDS + 600))
    while kill -0 $DAEMON 2>/dev/null && [ $SECONDS -lt $end ]; do
        curl -sk -o /dev/null --max-time 60 "https://$ENDPOINT/healthz" && return 0
        sleep 0.05
    done
    echo "felhomd does not answer:" >&2
    cat "$HOST/felhomd.log" >&2
    return 1
}

# Its log's end is shown if felhomd did not end well, or before its time.
daemon_stop() {
    local status=0
    kill -TERM "$DAEMON"
    wait "$DAEMON" || status=$?
    [ $status -eq 0 ] || { echo "felhomd ended with $status:" && tail -n 20 "$HOST/felhomd.log"; } | sed 's/^/# /' >&2
    return $status
}

# reload: felhomd has taken agent.yaml up, or said why not.
reload() {
    local before
    before=$(reloads)
    kill -HUP "$DAEMON"
    eventually reloaded "$before" || diag "felhomd did not reload"
}

reloads() {
    grep -cE 'configuration reloaded|reload failed' "$HOST/felhomd.log"
}

reloaded() {
    [ "$(reloads)" -gt "$1" ]
}

# The guest's directory and what is in it.
directory_of() {
    echo "$HOST/run/guests/$1"
}

pin_of() {
    jq -r .local_api_pin_spki_sha256 "$(directory_of "$1")/bootstrap.json"
}

# request VMID TOKEN_FILE PATH [CURL_OPTION...]: what the guest gets, pinned; prints BODY and, on a line of its own, the
# HTTP status.
request() {
    local vmid=$1 token_file=$2 path=$3
    shift 3
    local header=()
    [ "$token_file" = - ] || header=(-H "@$(header_file "$token_file")")
    in_guest "$vmid" curl -sk --max-time 120 --pinnedpubkey "sha256//${PIN:-$(pin_of "$vmid")}" \
        "${header[@]}" -w '\n%{http_code}' "$@" "https://$ENDPOINT$path"
}

# A curl header file, so that no token stands in an argument list.
header_file() {
    printf 'Authorization: Bearer %s\n' "$(cat "$1")" >"$HOST/header.$BASHPID"
    echo "$HOST/header.$BASHPID"
}

# The status alone.
status_of() {
    request "$@" | tail -n 1
}

token_of() {
    echo "$(directory_of "$1")/token"
}

sql() {
    sqlite3 -cmd '.timeout 300000' "$HOST/state/db/agent.db" "$1"
}

# rounds N: the numbers to N, of what is done so often at moments that differ; with sanitizers, which take their time,
# every fourth
rounds() {
    case $BIN in
    *asan*) seq 4 4 "$1" ;;
    *) seq "$1" ;;
    esac
}
