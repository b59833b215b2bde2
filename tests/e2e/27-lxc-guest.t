#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A guest as it really is: an unprivileged container that boots systemd, is set up by the package felhom-guest, and runs
# its controller in a real container engine, pulled from a real registry.
. tests/lib/world.sh
. tests/lib/tap.sh
. tests/lib/lxc.sh
. tests/lib/registry.sh
world_enter "$0" "$@"
if ! lxc_possible; then
    skip 'a real guest' "$LXC_WHY"
    tap_done
fi
world_host
lxc_host

YAML=/opt/docker/felhom-controller/controller.yaml
IMAGE=$REGISTRY/felhom/controller:v1
hierarchy=/sys/fs/cgroup
[ -e $hierarchy/cgroup.controllers ] || hierarchy=/sys/fs/cgroup/systemd

# setup VMID: installs what a golden image has
setup() {
    cp -a --reflink=auto "$GUEST_IMAGE" "$ROOTFS/$1"
    echo "guest$1" >"$ROOTFS/$1/etc/hostname"
    make -s install-guest DESTDIR="$ROOTFS/$1" >/dev/null
    cp guest/*.service guest/*.path "$ROOTFS/$1/etc/systemd/system"
    SYSTEMD_LOG_LEVEL=err chroot "$ROOTFS/$1" systemctl --quiet enable felhom-controller-bootstrap.service \
        felhom-controller-bootstrap.path
    mkdir -p "$ROOTFS/$1/etc/docker/certs.d/$REGISTRY"
    cp "$HOST/registry/ca.crt" "$ROOTFS/$1/etc/docker/certs.d/$REGISTRY/ca.crt"
    lxc_shift "$1" $LXC_USUAL_ID
}

# journal VMID UNIT: prints the unit's messages of this boot
journal() {
    lxc_in "$1" journalctl --no-pager -o cat -b -u "$2"
}

journal_has() {
    journal "$1" "$2" | grep -qF -- "$3"
}

is_active() {
    [ "$(lxc_in "$1" systemctl is-active "$2")" = active ]
}

boots() {
    eventually lxc_settled "$1" && lxc_in "$1" systemctl is-system-running
}

# inside VMID PIN TOKEN_FILE: prints the status of a request for /storage, and curl's exit code
inside() {
    lxc_in "$1" sh -c 'pin=$1 token=$2
        { [ "$token" = - ] || printf "header = \"Authorization: Bearer %s\"\n" "$(cat "$token")"; } |
            curl -K - -sk -o /dev/null -w "%{http_code}" --pinnedpubkey "sha256//$pin" "$3"
        echo " $?"' sh "$2" "$3" "https://$ENDPOINT/storage"
}

guest_config 8200 </dev/null
guest_config 8300 <<END
lxc.idmap: u 0 $LXC_OTHER_ID 65536
lxc.idmap: g 0 $LXC_OTHER_ID 65536
END
(umask 077 && printf 'r3ad-0nly-%s' "$RANDOM$RANDOM" >"$HOST/password")
registry_start reader "$HOST/password" || diag "$(cat "$HOST/registry/log")"
registry_push felhom/controller v1
sed -i "s|^  cgroup: .*|  cgroup: $hierarchy/$LXC_SCOPE|" "$HOST/agent.yaml"
cat >>"$HOST/agent.yaml" <<END
registry: {mode: static, host: "$REGISTRY", username: reader, secret_file: $HOST/password}
END
ctl init >/dev/null
enroll 8200 --image "$IMAGE" >/dev/null
echo 'run: [--restart=unless-stopped, --network=none, --stop-timeout=1, "--env=MOTTO=a b, c"]' \
    >>"$HOST/pve/priv/felhom/8200.yaml"
enroll 8300 >/dev/null
setup 8200
lxc_config 8200 82
daemon_start

# --- the first boot ---
said=$(lxc_start 8200 2>&1)
like 'pre-start mints a token' "$said" \
    '^felhom: 8200 pre-start: token gen 1 minted, mount populated \(4 files\), [0-9.]+ ms$'
is 'the guest boots' "$(boots 8200)" running
if ! lxc_settled 8200; then
    diag "$(tail -n 20 "$HOST/lxc/8200.log")"
    exit 1
fi
ok 'the bootstrap unit has finished' is_active 8200 felhom-controller-bootstrap.service ||
    diag "$(journal 8200 felhom-controller-bootstrap)"
for said in "installed $YAML, as the host serves it" "logged in to $REGISTRY" "pulled $IMAGE" \
    "$IMAGE runs as felhom-controller" 'the host lists 2 mounts'; do
    ok "the bootstrap unit logs: $said" journal_has 8200 felhom-controller-bootstrap "$said"
done
is "on the host the files belong to the guest's mapped root" \
    "$(stat -c '%u:%g %a' "$(directory_of 8200)"/{token,bootstrap.json,controller.yaml,agent.crt} | sort -u | tr '\n' ' ')" \
    "$LXC_USUAL_ID:$LXC_USUAL_ID 600 $LXC_USUAL_ID:$LXC_USUAL_ID 644 "
is 'inside the guest the files belong to root, and only root can read them' \
    "$(lxc_in 8200 stat -c '%U:%G %a %n' /etc/felhom-bootstrap/{.,token,bootstrap.json,controller.yaml} | sed 's|/.*||' | sort -u | tr '\n' ' ')" \
    'root:root 600  root:root 700  '
not_ok 'other users of the guest cannot read the files' lxc_in 8200 setpriv --reuid 65534 --clear-groups cat \
    /etc/felhom-bootstrap/token 2>/dev/null
is 'controller.yaml is installed so that only root can read it' "$(lxc_in 8200 stat -c '%U:%G %a' $YAML)" \
    'root:root 600'
ok 'controller.yaml is what the host serves' lxc_in 8200 cmp $YAML /etc/felhom-bootstrap/controller.yaml
is 'the controller runs' "$(lxc_in 8200 docker inspect -f '{{.State.Running}} {{.Config.Image}}' felhom-controller)" \
    "true $IMAGE"
is "the controller runs with the options of the enrolment" "$(lxc_in 8200 docker inspect -f '{{.HostConfig.NetworkMode}} {{.HostConfig.RestartPolicy.Name}} {{json .Config.Env}}' felhom-controller |
    grep -o 'none unless-stopped \["MOTTO=a b, c"')" 'none unless-stopped ["MOTTO=a b, c"'
is "the controller sees its configuration and the bootstrap directory" \
    "$(lxc_in 8200 docker exec felhom-controller /bin/busybox cat /etc/felhom-bootstrap/token $YAML | sha256sum)" \
    "$(cat "$(token_of 8200)" "$(directory_of 8200)/controller.yaml" | sha256sum)"
not_ok 'the controller cannot write to the bootstrap directory' lxc_in 8200 docker exec felhom-controller /bin/busybox \
    touch /etc/felhom-bootstrap/x 2>/dev/null

# probed VMID: what doctor --probe says of it
probed() {
    ctl doctor "$1" --probe --output-format json | jq -r '.checks[] | select(.id == "guest.probe") | "\(.result) \(.reason)"'
}
is 'felhomctl doctor --probe enters the guest, with containers inside, and reaches felhomd from there' "$(probed 8200)" \
    "ok from inside the guest, felhomd answers at $ENDPOINT"

# --- there is no secret in any other place ---
# holders SECRET_FILE: lists the files of the guest that contain the secret
holders() {
    lxc_in 8200 grep -rlsF --exclude-dir=proc --exclude-dir=sys -f - / <"$1" |
        grep -v '^/var/lib/docker/overlay2/.*/merged/' | sort | tr '\n' ' '
}
is "no file of the guest contains the registry's password""'"'s password is nowhere in the guest' \
    "$(holders "$HOST/password")" ''
is 'the token is only in the expected files' "$(holders "$(token_of 8200)")" \
    "/etc/felhom-bootstrap/bootstrap.json /etc/felhom-bootstrap/controller.yaml /etc/felhom-bootstrap/token $YAML "
lxc_in 8200 sh -c \
    'docker inspect felhom-controller; journalctl --no-pager -o export; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ' \
    2>/dev/null >"$HOST/seen"
for secret in "$HOST/password" "$(token_of 8200)"; do
    is 'journal, docker inspect, arguments and environments contain no secret' "$(grep -acFf "$secret" "$HOST/seen")" 0
done
base64 -w 0 <<<"reader:$(cat "$HOST/password")" | head -c 30 >"$HOST/auth"
is "no file contains the registry's password in the engine's encoding" "$(holders "$HOST/auth")" ''

# --- acceptance tests inside the guest ---
enroll 8300 >/dev/null
phase 8300 pre-start >/dev/null
lxc_in 8200 sh -c 'cat >/run/other-token' <"$(token_of 8300)"
pin=$(pin_of 8200)
is "T1: the right pin and the guest's own token give 200" "$(inside 8200 "$pin" /etc/felhom-bootstrap/token)" '200 0'
is 'T2: the right pin and no token give 401' "$(inside 8200 "$pin" -)" '401 0'
is "T3: the right pin and another guest's token give 403" "$(inside 8200 "$pin" /run/other-token)" '403 0'
is 'T4: a wrong pin makes curl exit with 90' \
    "$(inside 8200 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= /etc/felhom-bootstrap/token)" '000 90'

# --- root cannot write to the bootstrap directory ---
not_ok 'root cannot create a file in the bootstrap directory' lxc_in 8200 touch /etc/felhom-bootstrap/x 2>/dev/null
not_ok 'root cannot remount the bootstrap directory' lxc_in 8200 mount -o remount,rw,bind /etc/felhom-bootstrap \
    2>/dev/null
not_ok 'root cannot write to the bootstrap directory through another bind mount' lxc_in 8200 sh -c \
    'mkdir -p /run/b && mount --bind /etc/felhom-bootstrap /run/b && mount -o remount,rw,bind /run/b' 2>/dev/null
not_ok 'root cannot write to a file of the bootstrap directory' lxc_in 8200 sh -c \
    'echo x >/etc/felhom-bootstrap/token' 2>/dev/null
not_ok 'root cannot remove a file of the bootstrap directory' lxc_in 8200 rm -f /etc/felhom-bootstrap/token 2>/dev/null

# --- a reboot inside the guest ---
init_of() {
    lxc-info -P "$HOST/lxc" -n 8200 -p -H
}
rebooted() {
    local now
    now=$(init_of) && [ -n "$now" ] && [ "$now" != "$1" ]
}
before=$(init_of)
lxc_in 8200 reboot 2>/dev/null
ok 'the guest reboots from inside' eventually rebooted "$before"
is 'the guest boots after a reboot from inside' "$(boots 8200)" running
is 'the token is valid after a reboot from inside' "$(inside 8200 "$pin" /etc/felhom-bootstrap/token)" '200 0'
ok 'controller.yaml stays after a reboot from inside' journal_has 8200 felhom-controller-bootstrap \
    "$YAML is there already"
ok 'the controller runs after a reboot from inside' journal_has 8200 felhom-controller-bootstrap \
    'the container felhom-controller runs' ||
    diag "$(journal 8200 felhom-controller-bootstrap)"
not_ok 'no image is pulled after a reboot from inside' journal_has 8200 felhom-controller-bootstrap 'logged in'

# --- the host replaces a file ---
lxc_in 8200 sh -c 'cat /etc/felhom-bootstrap/token' >"$HOST/old-token"
ok "the guest's token is rotated" ctl rotate 8200
is 'the guest sees the new token at once' "$(lxc_in 8200 cat /etc/felhom-bootstrap/token | sha256sum)" \
    "$(sha256sum <"$(token_of 8200)")"
not_ok 'the rotated token is another one' cmp -s "$HOST/old-token" "$(token_of 8200)"
ok "the guest's path unit starts felhom-controller-refresh" eventually journal_has 8200 felhom-controller-refresh \
    'the host lists 2 mounts'
is 'the new token is valid' "$(inside 8200 "$pin" /etc/felhom-bootstrap/token)" '200 0'

# --- the host has lost all its files, and gives the guest a new identity while it runs ---
refreshes() { journal 8200 felhom-controller-refresh | grep -cF 'the host lists 2 mounts'; }
refreshed() { [ "$(refreshes)" -gt "$1" ]; }
ctl revoke 8200 >/dev/null
find "$HOST/run/guests" -type f -delete
is 'the guest sees that its files are gone' "$(lxc_in 8200 ls /etc/felhom-bootstrap)" ''
before=$(refreshes)
ok 'a running guest gets a new identity' ctl rotate 8200
is 'the guest sees it without a restart' "$(inside 8200 "$pin" /etc/felhom-bootstrap/token)" '200 0'
ok "the guest's path unit notices that its files are back" eventually refreshed "$before"

# --- a container that cannot run, and an engine that fails ---
# again [PATH]: runs the program once more; its output is in $HOST/said
again() {
    lxc_in 8200 env PATH="${1:-}/usr/sbin:/usr/bin:/sbin:/bin" felhom-controller-bootstrap >"$HOST/said" 2>&1
}
controllers() {
    lxc_in 8200 docker ps --all --quiet --filter name=felhom-controller
}
running=$(controllers)
lxc_in 8200 sh -c 'mkdir /run/stumbling && cat >/run/stumbling/docker && chmod 755 /run/stumbling/docker' <<'END'
#!/bin/sh
[ "$1" != container ] || exit 1
exec /usr/bin/docker "$@"
END
again /run/stumbling:
is 'the controller cannot run beside another container of its name' $? 13
is 'the other container of that name stays' "$(controllers)" "$running"
lxc_in 8200 docker rm -f felhom-controller >/dev/null
sed -i 's/^run: .*/run: [--network=nowhere]/' "$HOST/pve/priv/felhom/8200.yaml"
ok 'a rotation writes the changed enrolment' ctl rotate 8200
eventually journal_has 8200 felhom-controller-refresh "can't be run: "
again
is 'a controller that cannot run is an error' $? 13
like 'the message says why the controller cannot run' "$(cat "$HOST/said")" "$IMAGE can't be run: .*network nowhere"
is 'a controller that cannot run is removed' "$(controllers)" ''

# --- the guest's stop ---
lxc_in 8200 cat /etc/felhom-bootstrap/token >"$HOST/last-token"
lxc_stop 8200
is "only the certificate remains in the stopped guest's directory" "$(ls "$(directory_of 8200)")" agent.crt
is "the stopped guest's tokens are revoked" \
    "$(sql "select count(*) from token where vmid = 8200 and revoked_at_ms is null")" 0
is "the stopped guest's token is refused" "$(PIN=$pin; printf 'header = "Authorization: Bearer %s"\n' "$(cat "$HOST/last-token")" |
    curl -K - -sk -o /dev/null -w '%{http_code}' --pinnedpubkey "sha256//$PIN" "https://$ENDPOINT/storage")" 401

# --- an unusable mount: the guest boots nevertheless ---
rm "$ROOTFS/8200$YAML"
malformed() { echo '{"schema": "spike"' >"$(directory_of 8200)/bootstrap.json"; }
empty() { rm -f "$(directory_of 8200)"/*; }
absent() {
    rmdir "$(directory_of 8200)" 2>/dev/null || mv "$(directory_of 8200)" "$HOST/moved"
    umount "$HOST/run/export/8200"
    rmdir "$HOST/run/export/8200"
}
for what in malformed empty absent; do
    phase 8200 pre-start >/dev/null
    $what
    lxc_run 8200
    is "the guest boots with a directory that is $what" "$(boots 8200)" running
    not_ok "$what: there is no controller.yaml" test -e "$ROOTFS/8200$YAML"
    if [ $what = malformed ]; then
        ok "$what: the unit logs setup mode" journal_has 8200 felhom-controller-bootstrap \
            'setup mode: /etc/felhom-bootstrap/bootstrap.json is malformed'
    else
        is "$what: the unit has nothing to do" "$(lxc_in 8200 systemctl is-active felhom-controller-bootstrap)" inactive
    fi
    lxc_stop 8200
done

# --- power-off inside the guest: post-stop is the only phase ---
phase 8200 pre-start >/dev/null
lxc_run 8200
eventually lxc_settled 8200
lxc_in 8200 poweroff 2>/dev/null
ok 'the guest powers off from inside' lxc_ended 8200
is 'only the certificate remains after a power-off from inside' "$(ls "$(directory_of 8200)")" agent.crt
is 'the tokens are revoked after a power-off from inside' \
    "$(sql "select count(*) from token where vmid = 8200 and revoked_at_ms is null")" 0

# --- the host is down ---
rm "$ROOTFS/8200$YAML"
daemon_stop
phase 8200 pre-start >/dev/null
lxc_run 8200
eventually lxc_settled 8200
ok "with the host down the guest installs the copy in the mount" journal_has 8200 felhom-controller-bootstrap \
    "installed $YAML, the copy in /etc/felhom-bootstrap"
ok 'the installed copy is whole' lxc_in 8200 cmp $YAML /etc/felhom-bootstrap/controller.yaml
ok 'the guest logs that the host does not answer' journal_has 8200 felhom-controller-bootstrap \
    'the host does not answer GET /storage'
lxc_stop 8200
daemon_start

# --- the other mount form ---
ctl unenroll 8200 >/dev/null
ok 'the guest is enrolled with the mount form mp' ctl enroll 8200 --mount mp
rm -rf "${ROOTFS:?}/8200/etc/felhom-bootstrap"
lxc_config 8200 82
said=$(lxc_start 8200 2>&1)
like 'mount form mp: pre-start mints a token' "$said" 'mount populated'
unlike 'mount form mp: pre-start finds the mount' "$said" 'not mounted'
is 'mount form mp: the guest boots' "$(boots 8200)" running
ok 'mount form mp: the bootstrap unit has finished' journal_has 8200 felhom-controller-bootstrap \
    'the host lists 3 mounts'
is 'mount form mp: inside the guest the files belong to root' \
    "$(lxc_in 8200 stat -c '%U:%G %a' /etc/felhom-bootstrap/token)" 'root:root 600'
not_ok 'mount form mp: root cannot remount the bootstrap directory' lxc_in 8200 mount -o remount,rw,bind \
    /etc/felhom-bootstrap 2>/dev/null
not_ok 'mount form mp: root cannot write to the bootstrap directory' lxc_in 8200 touch /etc/felhom-bootstrap/x \
    2>/dev/null
lxc_stop 8200

# --- the guest has its own id mapping ---
mv "$ROOTFS/8200" "$ROOTFS/8300"
lxc_shift 8300 $((LXC_OTHER_ID - LXC_USUAL_ID))
lxc_config 8300 83
said=$(lxc_start 8300 2>&1)
like 'own id mapping: pre-start mints a token' "$said" 'mount populated'
is 'own id mapping: the guest boots' "$(boots 8300)" running
is "own id mapping: on the host the files belong to the guest's mapped root" \
    "$(stat -c '%u:%g %a' "$(token_of 8300)")" "$LXC_OTHER_ID:$LXC_OTHER_ID 600"
is 'own id mapping: inside the guest the files belong to root' \
    "$(lxc_in 8300 stat -c '%U:%G %a' /etc/felhom-bootstrap/token)" 'root:root 600'
is 'own id mapping: felhomctl doctor --probe enters the guest' "$(probed 8300)" "ok from inside the guest, felhomd answers at $ENDPOINT"
is 'own id mapping: the token is valid' "$(inside 8300 "$(pin_of 8300)" /etc/felhom-bootstrap/token)" '200 0'
lxc_stop 8300
tap_done
