#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The local API over the wire: codes, envelope, limits, scoping.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host
agent_yaml <<'EOF'
storage_classes: {local-lvm: fast, usb-backup: slow}
limits: {requests_per_source: 10000, failures_per_source: 1000, connections_per_source: 50}
EOF
guest_config 8200 </dev/null
guest_config 8300 </dev/null
ctl init >/dev/null
enroll 8200 --customer acme >/dev/null
enroll 8300 >/dev/null
world_guest 8200 200
world_guest 8300 201
phase 8200 pre-start >/dev/null
phase 8300 pre-start >/dev/null
ok "felhomd starts" daemon_start
OWN=$(token_of 8200)
OTHER=$(token_of 8300)

# get PATH [CURL_OPTION...]: as guest 8200 with its token; $status, $body, $headers (lower case)
get_as() {
    local token=$1 path=$2
    shift 2
    status=$(request 8200 "$token" "$path" -D "$HOST/headers" -o "$HOST/body" "$@" | tail -n 1)
    body=$(cat "$HOST/body" 2>/dev/null)
    headers=$(tr -d '\r' <"$HOST/headers" | tr '[:upper:]' '[:lower:]')
    : >"$HOST/body"
}
get() { get_as "$OWN" "$@"; }

get /storage
is "GET /storage gives 200" "$status" 200
is "storage_classes determines the class of a mount" "$(jq -c '[.data.mounts[].class]' <<<"$body")" '["fast","slow"]'
like "the reply is JSON" "$headers" 'content-type: application/json'
like "the reply has Cache-Control: no-store" "$headers" 'cache-control: no-store'
like "the reply has the right Content-Length" "$headers" "content-length: ${#body}|content-length: $((${#body} + 1))"
like "the connection is kept alive" "$headers" 'connection: keep-alive'
like "the reply has an X-Request-Id" "$headers" 'x-request-id: [0-9a-f]+'

get /guests/8200/storage
is "the guest's own VMID in the path gives 200" "$status" 200
get /guests/8300/storage
is "another guest's VMID in the path gives 403" "$status" 403
is "403 has a JSON envelope" "$(jq -c '[.ok, (.error | type)]' <<<"$body")" '[false,"string"]'
get /guests/8299/storage
is "a VMID without a guest gives the same reply as another guest's" "$status$(jq -r .error <<<"$body")" \
    "403$(get /guests/8300/storage; jq -r .error <<<"$body")"
get /guests/x/storage
is "/guests/ without a VMID gives 404" "$status" 404
get /nothing
is "an unknown path gives 404" "$status" 404
is "404 has a JSON envelope" "$(jq -c .ok <<<"$body")" false
get /storage -X DELETE
is "a method that the path does not support gives 405" "$status" 405
like "405 lists the allowed methods" "$headers" 'allow: .*get'
get /storage -X BREW
is "an unknown method gives a JSON envelope" "$(jq -c .ok <<<"$body")" false
get /storage --head
is "HEAD gives 200" "$status" 200
get '/storage%00x'
like "NUL in the path is refused" "$status" '^40[04]$'
get '/%73torage'
is "escapes in the path are not decoded" "$status" 404
get '/%2e%2e/storage'
like "escaped dots in the path lead to no other file" "$status" '^(200|404)$'
get /../storage --path-as-is
like "dots in the path lead to no other file" "$status" '^(200|40[04])$'

# All 401 replies are the same.
printf 'fh1_AAAAAAAA_%s_000000' "$(printf 'A%.0s' $(seq 43))" >"$HOST/malformed"
# One in sixty-four has an x there already.
sed 's/^\(.\{19\}\)x/\1y/; t; s/./x/20' "$OWN" >"$HOST/damaged"
phase 8300 post-stop
cp "$OTHER" "$HOST/other" 2>/dev/null
phase 8300 pre-start >/dev/null
cp "$OTHER" "$HOST/revoked"
phase 8300 post-stop
phase 8300 pre-start >/dev/null
get_as - /storage
reference=$body
is "no token gives 401" "$status" 401
like "401 has WWW-Authenticate: Bearer" "$headers" 'www-authenticate: bearer'
for bad in malformed damaged revoked; do
    get_as "$HOST/$bad" /storage
    is "$bad token gives 401" "$status" 401
    is "$bad token gives the same body as no token" "$body" "$reference"
done
get_as - /nothing
is "an unknown path without a token gives 401" "$status" 401
status=$(in_guest 8200 curl -sk -o /dev/null -w '%{http_code}' -H "Authorization: Basic eDp5" "https://$ENDPOINT/storage")
is "another authentication scheme gives 401" "$status" 401
get /storage -H 'Authorization: Bearer x'
is "two Authorization headers give 400" "$status" 400
cp "$OWN" "$HOST/own"
sql "UPDATE token SET expires_at_ms = 1 WHERE vmid = 8200 AND revoked_at_ms IS NULL"
get_as "$HOST/own" /storage
is "an expired token gives 401" "$status$body" "401$reference"
sql "UPDATE token SET expires_at_ms = NULL WHERE vmid = 8200 AND revoked_at_ms IS NULL" 2>/dev/null ||
    sql "UPDATE token SET expires_at_ms = 0 WHERE vmid = 8200 AND revoked_at_ms IS NULL"
get /storage
is "(the token is valid again)" "$status" 200
PIN=$(pin_of 8200)
ctl revoke 8200 >/dev/null
get_as "$HOST/own" /storage
is "a token that the operator revoked is refused at once" "$status" 401
not_ok "revoking deletes the token from the guest's directory" test -e "$OWN"
phase 8200 pre-start >/dev/null

# Another guest's token.
get_as "$OTHER" /storage
is "another guest's token gives 403" "$status" 403
unlike "403 does not contain the other guest's VMID" "$body" 8300
get_as "$OTHER" /guests/8300/storage
is "another guest's token gives 403 under that guest's path, too" "$status" 403

# controller.yaml
get /controller.yaml
is "GET /controller.yaml gives 200" "$status" 200
like "controller.yaml is served as YAML" "$headers" 'content-type: application/yaml'
etag=$(grep -o '^etag: .*' <<<"$headers" | cut -d' ' -f2)
like "controller.yaml has a strong ETag" "$etag" '^"[^"]+"$'
etag=$(tr -d '\r' <"$HOST/headers" | sed -n 's/^[Ee][Tt]ag: //p')
get /controller.yaml -H "If-None-Match: $etag"
is "If-None-Match with the ETag gives 304" "$status$body" 304
get /controller.yaml -H "If-None-Match: \"x\", W/$etag"
is "If-None-Match with the ETag in a list and marked as weak gives 304" "$status" 304
get /controller.yaml -H 'If-None-Match: "x"'
is "If-None-Match with another ETag gives 200" "$status" 200
ok "controller.yaml is valid YAML and contains the caller's token" python3 -c '
import sys, yaml
document = yaml.safe_load(sys.argv[1])
assert document["local_api"]["token"] == open(sys.argv[2]).read().strip()
assert document["local_api"]["endpoint"] == "192.168.0.162:8443"
assert document["customer"]["id"] == "acme"
' "$body" "$OWN"

# Health
get_as - /healthz
is "/healthz needs no token" "$status" 200
unlike "/healthz contains nothing about a guest" "$body" '8200|8300|guest8'

# Limits
get /storage -H "X-Long: $(printf 'x%.0s' $(seq 17000))"
like "headers over 16 KiB are refused" "$status" '^(400|413|431)$'
is "the refusal of long headers is JSON" "$(jq -c .ok <<<"$body")" false
head -c 70000 /dev/zero | tr '\0' x >"$HOST/large"
get /storage -X POST --data-binary "@$HOST/large"
like "a body over 64 KiB is refused" "$status" '^(405|413)$'
# raw: sends standard input, and prints what comes until felhomd closes
raw() {
    in_guest 8200 timeout 600 openssl s_client -quiet -ign_eof -connect "$ENDPOINT" 2>/dev/null
}
reply=$(printf 'GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' | raw | tr -d '\r')
like "Transfer-Encoding with Content-Length gives 400" "$reply" '^HTTP/1.1 400'
like "Transfer-Encoding with Content-Length closes the connection" "$reply" 'Connection: close'
reply=$(printf 'GET /healthz HTTP/1.1\r\nHost: x\r\n folded\r\nTransfer-Encoding: chunked\r\n\r\n' | raw | tr -d '\r')
like "a folded header line, which would hide the next headers, gives 400" "$reply" '^HTTP/1.1 400'
reply=$(printf 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n%.0s' 1 2 | raw | tr -d '\r')
is "of two requests sent at once the first is answered" "$(grep -c '^HTTP/1.1' <<<"$reply")" 1
like "two requests sent at once close the connection" "$reply" 'Connection: close'
get /storage -X POST -H 'Expect: 100-continue' --data-binary $'\n\n{}'
is "a body that waits for 100 Continue may begin with blanks" "$status" 405
reply=$(printf 'nonsense\r\n\r\n' | raw | tr -d '\r')
like "a request that is not HTTP gives 400" "$reply" ' 400 '
like "the reply to a request that is not HTTP is JSON" "$reply" '"ok":false'
reply=$(printf 'GET /healthz HTTP/1.1\r\nHost:' | raw | tr -d '\r')
like "an unfinished request gives 408" "$reply" ' 408 |^$'
curl_connects=$(in_guest 8200 curl -sk -o /dev/null -o /dev/null -o /dev/null -w '%{num_connects}' \
    "https://$ENDPOINT/healthz" "https://$ENDPOINT/healthz" "https://$ENDPOINT/healthz")
is "three requests use one connection" "$curl_connects" 100

# TLS
for version in tls1 tls1_1; do
    not_ok "$version is refused" in_guest 8200 sh -c \
        "echo | openssl s_client -connect $ENDPOINT -$version -cipher ALL:@SECLEVEL=0 >/dev/null 2>&1"
done
ok "TLS 1.2 is served" in_guest 8200 sh -c "echo | openssl s_client -connect $ENDPOINT -tls1_2 >/dev/null 2>&1"

# /storage reports what the last start found, classified by the configuration in force, even if it was requested before.
mounts() {
    get /storage
    jq -c '[.data.mounts[] | .key + " " + .class]' <<<"$body"
}
is "GET /storage lists the mounts, and does so again" "$(mounts)$(mounts)" \
    '["rootfs fast","mp0 slow"]["rootfs fast","mp0 slow"]'
guest_config 8200 <<<'mp1: local-lvm:vm-8200-disk-2,mp=/srv/more,size=1G'
is "a new mount is not listed before the next start" "$(mounts)" '["rootfs fast","mp0 slow"]'
phase 8200 pre-start >/dev/null
is "a new mount is listed after the next start" "$(mounts)" '["rootfs fast","mp0 slow","mp1 fast"]'
sed -i 's/local-lvm: fast/local-lvm: nvme/' "$HOST/agent.yaml"
reload
is "after a reload the mounts have the new classes" "$(mounts)" '["rootfs nvme","mp0 slow","mp1 nvme"]'

# Refused requests are recorded, without a secret.
ok "refused requests have events" test "$(sql "SELECT count(*) FROM event WHERE kind = 'refused'")" -gt 0
secret=$(cut -c 14-56 "$OWN")
is "the log contains no secret" "$(grep -cF -- "$secret" "$HOST/felhomd.log")" 0
is "the audit trail contains no secret" "$(sql "SELECT count(*) FROM event WHERE detail LIKE '%$secret%'")" 0
unlike "felhomd's arguments contain no secret" "$(tr '\0' ' ' </proc/"$DAEMON"/cmdline)" "$secret"
ok "felhomd stops cleanly" daemon_stop
tap_done
