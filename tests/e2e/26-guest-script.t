#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a guest bakes in: felhom-controller-bootstrap with the real daemon, without a container engine.
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

# What the script leaves in /run is of this world alone; engines of this machine are none of its business.
mount -t tmpfs -o mode=755 felhom-run /run
mkdir "$HOST/bin" "$MOUNT"
for program in sh bash cat chmod curl cut date dash flock getopt grep head id jq ln mkdir mktemp openssl rm sed sleep stat sync timeout tr; do
    ln -s "$(command -v $program)" "$HOST/bin/$program"
done

# bootstrap_in_guest ARGUMENT...: as the guest's unit runs it; $code, and what it said in $OUT
bootstrap_in_guest() {
    in_guest 8200 env -i PATH="$HOST/bin" FELHOM_BOOTSTRAP_PATH="$MOUNT" FELHOM_CONTROLLER_PATH="$YAML" FELHOM_CONTROLLER_IMAGE="${IMAGE:-}" \
        ${FAKETIME:+FAKETIME="$FAKETIME" FAKETIME_DONT_FAKE_MONOTONIC=1 LD_PRELOAD="$LIBFAKETIME"} dash "$SCRIPT" "$@" >"$OUT" 2>&1
    code=$?
}

said() {
    grep -qF -- "$1" "$OUT"
}

# ends NAME CODE TEXT: what the run before came to
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
ends 'an empty mount' 10 'bootstrap.json is not there'
: >"$MOUNT/bootstrap.json"
bootstrap_in_guest
ends 'an empty file' 10 'is empty'
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

# --- the way it should go ---
fill
bootstrap_in_guest --dry-run
ends 'a dry run' 0 "would install $YAML, as the host serves it"
ok 'a dry run installs nothing' test ! -e "$HOST/opt"
bootstrap_in_guest
ends 'the first run' 0 "installed $YAML, as the host serves it"
ok 'the first run: the host tells of the mounts' said 'the host lists 2 mounts of this guest'
ok 'without an image nothing is started' said 'no controller is started'
is "controller.yaml is root's alone" "$(stat -c '%a %u:%g' "$YAML")" '600 0:0'
ok 'and is what the host serves' cmp -s "$YAML" "$MOUNT/controller.yaml"
is 'no draft is left' "$(ls -A "${YAML%/*}")" controller.yaml
is 'nothing but the lock is left in /run' "$(ls -A /run)" felhom-controller-bootstrap.lock
echo mine >"$YAML"
bootstrap_in_guest
ends 'the second run' 0 'is there already and stays as it is'
is 'an existing controller.yaml is never replaced' "$(cat "$YAML")" mine
rm "$YAML"
ln -s /nowhere "$YAML"
bootstrap_in_guest
ends 'a dangling link' 0 'is there already and stays as it is'
rm "$YAML"
for token in "$(cat "$MOUNT/token")" Authorization; do
    not_ok 'no secret is said' said "$token"
done

# --- twenty at once ---
for i in {1..20}; do
    in_guest 8200 env -i PATH="$HOST/bin" FELHOM_BOOTSTRAP_PATH="$MOUNT" FELHOM_CONTROLLER_PATH="$YAML" dash "$SCRIPT" >"$OUT.$i" 2>&1 &
    runs+=($!)
done
wait "${runs[@]}"
is 'of twenty at once, one installs' "$(cat "$OUT".* | grep -c "installed $YAML")" 1
ok 'and it is whole' cmp -s "$YAML" "$MOUNT/controller.yaml"

# --- felhom.bootstrap/v2 ---
v2() {
    jq '{schema: "felhom.bootstrap/v2", customer: {id: ""}, hub: {url: "", retrieval_password: ""}, local_api: {
        endpoint: (.local_api_endpoint | ltrimstr("https://")), fingerprint: .local_api_pin_leaf_sha256, token: .local_api_token}} '"${1:-}" \
        "$HOST/run/guests/8200/bootstrap.json" >"$MOUNT/bootstrap.json"
}
v2
rm "$YAML"
bootstrap_in_guest
ends 'the second schema' 0 "installed $YAML, as the host serves it"
v2 '| .local_api.fingerprint |= (ascii_downcase | gsub(":"; ""))'
bootstrap_in_guest
ends 'its pin without colons' 0 'mounts of this guest'
v2 '| .local_api.fingerprint |= sub("^.."; "00")'
bootstrap_in_guest
ends 'a certificate that is not the pinned one' 10 'is not the certificate that'
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$HOST/other.key" -out "$MOUNT/agent.crt" -subj /CN=x 2>/dev/null
v2 "| .local_api.fingerprint = \"$(openssl x509 -in "$MOUNT/agent.crt" -noout -fingerprint -sha256 | cut -d = -f 2)\""
bootstrap_in_guest
ends 'the key of another host' 14 'is not the one that is pinned'

# The certificate shown is the one to come: the directory names both, and holds both.
cat "$HOST/run/guests/8200/agent.crt" >>"$MOUNT/agent.crt"
v2 "| .local_api.fingerprint_next = .local_api.fingerprint
    | .local_api.fingerprint = \"$(openssl x509 -in "$MOUNT/agent.crt" -noout -fingerprint -sha256 | cut -d = -f 2)\""
bootstrap_in_guest
ends 'a certificate that was to come' 0 'mounts of this guest'
fill
edit_bootstrap '.local_api_pin_spki_sha256_next = .local_api_pin_spki_sha256
    | .local_api_pin_spki_sha256 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="'
bootstrap_in_guest
ends 'a pin that was to come' 0 'mounts of this guest'
edit_bootstrap '.local_api_pin_spki_sha256_next = "/etc/passwd"'
bootstrap_in_guest
ends 'a pin to come that is none' 0 'mounts of this guest'

# --- the host in trouble ---
fill
rm "$YAML"
edit_bootstrap '.local_api_pin_spki_sha256 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="'
bootstrap_in_guest
ends 'a wrong pin' 14 'is not the one that is pinned'
not_ok 'a wrong pin is not asked again' said ' again'
ok "with the mount's copy" said "installed $YAML, the copy in $MOUNT"
ok 'which is whole' cmp -s "$YAML" "$MOUNT/controller.yaml"
fill
rm "$YAML"
edit_bootstrap '.local_api_token |= sub("fh1_...."; "fh1_0000")'
bootstrap_in_guest
ends 'a token that is not good' 14 'the host does not answer GET /storage: HTTP 401'
not_ok 'a refusal is not asked again' said ' again'
fill
rm "$YAML" "$MOUNT/controller.yaml"
edit_bootstrap '.local_api_token |= sub("fh1_...."; "fh1_0000")'
bootstrap_in_guest
ends 'no controller.yaml anywhere' 11 'there is no controller.yaml'
daemon_stop
fill
bootstrap_in_guest
ends 'a host that is away' 14 'the host does not answer GET /storage'
ok "it goes on with the mount's copy" said "installed $YAML, the copy in $MOUNT"
is 'it asks four times' "$(grep -c 'trying to get /controller.yaml from the host again' "$OUT")" 3
is 'and then no more' "$(grep -c 'trying to get /storage from the host again' "$OUT")" 0
daemon_start

# --- a clock that is wrong: the host's certificate is not valid yet, and no longer ---
for then in '1980-01-01 00:00:00' '2099-01-01 00:00:00'; do
    rm -f "$YAML"
    FAKETIME="@$then" bootstrap_in_guest
    ends "at $then" 0 'as the host serves it'
done

# --- where the file can't be ---
rm -r "$HOST/opt"
: >"$HOST/opt"
bootstrap_in_guest
ends 'a file in the way' 11 "$YAML can't be written"
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
ends 'no container engine' 13 'docker is not installed'

# --- words ---
bootstrap_in_guest --help
is '--help' "$code" 0
bootstrap_in_guest --what
ends 'an unknown option' 2 'usage:'
bootstrap_in_guest stray
ends 'an argument' 2 'usage:'
tap_done
