#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a golden image contains: felhom-controller-bootstrap with the real daemon, without a container engine.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
if ! world_is_root; then
    skip 'a guest sets itself up' 'it has to be run by root'
    tap_done
fi

SCRIPT=$PWD/guest/felhom-controller-bootstrap
MOUNT=$HOST/mount
YAML=$HOST/opt/controller/controller.yaml
OUT=$HOST/out
LIBFAKETIME=$(echo /usr/lib/*/faketime/libfaketime.so.1)

# The script's files in /run are in this test's mount namespace only; it must not find the machine's own engines.
mount -t tmpfs -o mode=755 felhom-run /run
mkdir "$HOST/bin" "$MOUNT"
for program in sh bash cat chmod curl cut date dash flock getopt grep head id jq ln mkdir mktemp openssl rm sed sleep \
    stat sync timeout tr; do
    ln -s "$(command -v $program)" "$HOST/bin/$program"
done

# bootstrap_in_guest ARGUMENT...: runs the script as the guest's unit does; sets $code; its output is in $OUT
bootstrap_in_guest() {
    in_guest 8200 env -i PATH="$HOST/bin" FELHOM_BOOTSTRAP_PATH="$MOUNT" FELHOM_CONTROLLER_PATH="$YAML" \
        FELHOM_CONTROLLER_IMAGE="${IMAGE:-}" \
        ${FAKETIME:+FAKETIME="$FAKETIME" FAKETIME_DONT_FAKE_MONOTONIC=1 LD_PRELOAD="$LIBFAKETIME"} dash "$SCRIPT" "$@" \
        >"$OUT" 2>&1
    code=$?
}

said() {
    grep -qF -- "$1" "$OUT"
}

# ends NAME CODE TEXT: checks the last run's exit code and output
ends() {
    is "$1: exit code" "$code" "$2"
    ok "$1: $3" said "$3" || diag "$(cat "$OUT")"
}

fill() {
    rm -rf "${MOUNT:?}"/*
    cp -p "$HOST/run/guests/8200"/* "$MOUNT"
}

edit_bootstrap() {
    jq "$@" "$HOST/run/guests/8200/bootstrap.json" >"$MOUNT/bootstrap.json"
}

world_guest 8200 82
guest_config 8200 </dev/null
ctl init >/dev/null
enroll 8200 >/dev/null
phase 8200 pre-start >/dev/null
daemon_start

# --- in setup mode ---
bootstrap_in_guest
ends 'an empty mount leads to setup mode' 10 'bootstrap.json is not there'
: >"$MOUNT/bootstrap.json"
bootstrap_in_guest
ends 'an empty file leads to setup mode' 10 'is empty'
while IFS='|' read -r name text why; do
    printf '%s' "$text" >"$MOUNT/bootstrap.json"
    bootstrap_in_guest
    ends "$name" 10 "$why"
done <<'END'
not JSON|{"schema": "spike"|is malformed
not an object|["spike"]|is malformed
two documents|{} {}|has an unknown schema
another schema|{"schema": "felhom.bootstrap/v9"}|has an unknown schema
a schema that is no text|{"schema": ["spike"]}|has an unknown schema
END
while IFS='|' read -r name filter why; do
    fill
    edit_bootstrap "$filter"
    bootstrap_in_guest
    ends "$name" 10 "$why"
done <<'END'
no endpoint|del(.local_api_endpoint)|names no address of the host
an endpoint without TLS|.local_api_endpoint = "http://192.168.0.162:8443"|names no address of the host
an endpoint with an option of curl's|.local_api_endpoint = "https://x\"\noutput = \"/etc/passwd"|names no address of the host
no token|.local_api_token = ""|holds no token
a token that ends curl's header|.local_api_token = "a\"\nurl = \"http://evil"|holds no token
no pin|.local_api_pin_spki_sha256 = null|holds no pin
a pin that is a path|.local_api_pin_spki_sha256 = "/etc/felhom-bootstrap/agent.crt"|holds no pin
options that are no list|.controller_run = "--init"|controller_run is not a list of container options
an option that is none|.controller_run = ["--init", "evil/image"]|controller_run is not a list of container options
an option in two lines|.controller_run = ["--env=a\nevil"]|controller_run is not a list of container options
the container's name|.controller_run = ["--name=other"]|controller_run is not a list of container options
END
ok 'setup mode leaves nothing behind' test ! -e "$HOST/opt"

# --- as it should be ---
fill
bootstrap_in_guest --dry-run
ends 'a dry run says what it would install' 0 "would install $YAML, as the host serves it"
ok 'a dry run installs nothing' test ! -e "$HOST/opt"
bootstrap_in_guest
ends 'the first run installs controller.yaml' 0 "installed $YAML, as the host serves it"
ok 'the first run reports how many mounts the host lists' said 'the host lists 2 mounts of this guest'
ok 'without an image no controller is started' said 'no controller is started'
is "only root can read controller.yaml" "$(stat -c '%a %u:%g' "$YAML")" '600 0:0'
ok 'controller.yaml is what the host serves' cmp -s "$YAML" "$MOUNT/controller.yaml"
is 'the first run leaves no temporary file' "$(ls -A "${YAML%/*}")" controller.yaml
is 'the first run leaves nothing but the lock in /run' "$(ls -A /run)" felhom-controller-bootstrap.lock
echo mine >"$YAML"
bootstrap_in_guest
ends 'the second run keeps controller.yaml' 0 'is there already and stays as it is'
is 'an existing controller.yaml is never replaced' "$(cat "$YAML")" mine
rm "$YAML"
ln -s /nowhere "$YAML"
bootstrap_in_guest
ends 'a dangling link in place of controller.yaml stays' 0 'is there already and stays as it is'
rm "$YAML"
for token in "$(cat "$MOUNT/token")" Authorization; do
    not_ok 'the output contains no secret' said "$token"
done

# --- twenty runs at once ---
for i in {1..20}; do
    in_guest 8200 env -i PATH="$HOST/bin" FELHOM_BOOTSTRAP_PATH="$MOUNT" FELHOM_CONTROLLER_PATH="$YAML" dash "$SCRIPT" \
        >"$OUT.$i" 2>&1 &
    runs+=($!)
done
wait "${runs[@]}"
is 'of twenty runs at once one installs controller.yaml' "$(cat "$OUT".* | grep -c "installed $YAML")" 1
ok 'controller.yaml is whole after twenty runs at once' cmp -s "$YAML" "$MOUNT/controller.yaml"

# --- felhom.bootstrap/v2 ---
v2() {
    jq '{schema: "felhom.bootstrap/v2", customer: {id: ""}, hub: {url: "", retrieval_password: ""}, local_api: {
        endpoint: (.local_api_endpoint | ltrimstr("https://")), fingerprint: .local_api_pin_leaf_sha256, token: .local_api_token}} '"${1:-}" \
        "$HOST/run/guests/8200/bootstrap.json" >"$MOUNT/bootstrap.json"
}
v2
rm "$YAML"
bootstrap_in_guest
ends 'bootstrap.json of the second schema is accepted' 0 "installed $YAML, as the host serves it"
v2 '| .local_api.fingerprint |= (ascii_downcase | gsub(":"; ""))'
bootstrap_in_guest
ends 'a pin without colons is accepted' 0 'mounts of this guest'
# One in 256 begins with 00 already.
v2 '| .local_api.fingerprint |= if startswith("00") then sub("^.."; "01") else sub("^.."; "00") end'
bootstrap_in_guest
ends 'a certificate that does not match the pin leads to setup mode' 10 'is not the certificate that'
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$HOST/other.key" -out "$MOUNT/agent.crt" \
    -subj /CN=x 2>/dev/null
v2 "| .local_api.fingerprint = \"$(openssl x509 -in "$MOUNT/agent.crt" -noout -fingerprint -sha256 | cut -d = -f 2)\""
bootstrap_in_guest
ends 'the key of another host is refused' 14 'is not the one that is pinned'

# The host shows its next certificate: the bootstrap directory has both certificates and both pins.
cat "$HOST/run/guests/8200/agent.crt" >>"$MOUNT/agent.crt"
v2 "| .local_api.fingerprint_next = .local_api.fingerprint
    | .local_api.fingerprint = \"$(openssl x509 -in "$MOUNT/agent.crt" -noout -fingerprint -sha256 | cut -d = -f 2)\""
bootstrap_in_guest
ends 'the next certificate is accepted' 0 'mounts of this guest'
fill
edit_bootstrap '.local_api_pin_spki_sha256_next = .local_api_pin_spki_sha256
    | .local_api_pin_spki_sha256 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="'
bootstrap_in_guest
ends 'the pin of the next certificate is accepted' 0 'mounts of this guest'
edit_bootstrap '.local_api_pin_spki_sha256_next = "/etc/passwd"'
bootstrap_in_guest
ends 'an invalid pin of the next certificate is ignored' 0 'mounts of this guest'

# --- the host fails ---
fill
rm "$YAML"
edit_bootstrap '.local_api_pin_spki_sha256 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="'
bootstrap_in_guest
ends 'a wrong pin is refused' 14 'is not the one that is pinned'
not_ok 'a wrong pin is not tried again' said ' again'
ok "with a wrong pin the copy in the mount is installed" said "installed $YAML, the copy in $MOUNT"
ok 'the installed copy is whole' cmp -s "$YAML" "$MOUNT/controller.yaml"
fill
rm "$YAML"
edit_bootstrap '.local_api_token |= sub("fh1_...."; "fh1_0000")'
bootstrap_in_guest
ends 'an invalid token is refused' 14 'the host does not answer GET /storage: HTTP 401'
not_ok 'a refused request is not tried again' said ' again'
fill
rm "$YAML" "$MOUNT/controller.yaml"
edit_bootstrap '.local_api_token |= sub("fh1_...."; "fh1_0000")'
bootstrap_in_guest
ends 'a missing controller.yaml on host and mount is an error' 11 'there is no controller.yaml'
daemon_stop
fill
bootstrap_in_guest
ends 'a host that is down is reported' 14 'the host does not answer GET /storage'
ok "with the host down the copy in the mount is installed" said "installed $YAML, the copy in $MOUNT"
is 'the script tries four times to get controller.yaml' \
    "$(grep -c 'trying to get /controller.yaml from the host again' "$OUT")" 3
is 'after controller.yaml the script tries nothing else again' \
    "$(grep -c 'trying to get /storage from the host again' "$OUT")" 0
daemon_start

# --- a wrong clock: the host's certificate is not yet valid, or no longer valid ---
for then in '1980-01-01 00:00:00' '2099-01-01 00:00:00'; do
    rm -f "$YAML"
    FAKETIME="@$then" bootstrap_in_guest
    ends "the certificate is accepted at $then" 0 'as the host serves it'
done

# --- controller.yaml cannot be written ---
rm -r "$HOST/opt"
: >"$HOST/opt"
bootstrap_in_guest
ends 'a file in place of the directory is an error' 11 "$YAML can't be written"
rm "$HOST/opt"

# --- images ---
while IFS='|' read -r image; do
    IMAGE=$image bootstrap_in_guest
    ends "the image '$image'" 12 'is not an image reference'
done <<'END'
--privileged
-v
a b
a/Upper
x;reboot
$(reboot)
registry.example/
/x
x:
x:-tag
x@sha256:abc
x@md5:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
registry.example:port/x
a//b
a..b
END
while IFS='|' read -r image; do
    IMAGE=$image bootstrap_in_guest --dry-run
    ends "the image '$image'" 0 "would run $image as felhom-controller"
done <<'END'
busybox
gitea.example/admin/felhom-controller:v0.34.0
192.168.0.162:5000/a/b_c/d__e/f-g.h:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
END
IMAGE=busybox bootstrap_in_guest
ends 'a missing container engine is an error' 13 'docker is not installed'

# --- command line ---
bootstrap_in_guest --help
is '--help exits with 0' "$code" 0
bootstrap_in_guest --what
ends 'an unknown option is a usage error' 2 'usage:'
bootstrap_in_guest stray
ends 'an argument is a usage error' 2 'usage:'
tap_done
