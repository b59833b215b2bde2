# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Stand-ins for the services beyond the host, on the scratch host's loopback. To be sourced after world.sh.
#
#   standin_start NAME PORT [--plain]   tests/standins/NAME, with a certificate for 127.0.0.1 by the CA
# $HOST/NAME/ca.pem
#   standin_stop NAME                   as a service that is down
#   standin_control NAME JSON           makes trouble (tests/standins/standin.py); '{}' ends it
#   standin_requests NAME JQ_FILTER     what it was asked so far, one JSON object a line, through jq -c

standin_certificate() {
    local directory=$1 extra=${2:-subjectAltName=IP:127.0.0.1,DNS:localhost}
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=stand-in CA" \
        -keyout "$directory/ca.key" -out "$directory/ca.pem" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=127.0.0.1 \
        -keyout "$directory/key.pem" -out "$directory/request.pem" 2>/dev/null
    openssl x509 -req -in "$directory/request.pem" -CA "$directory/ca.pem" -CAkey "$directory/ca.key" -CAcreateserial \
        -days 2 \
        -extfile <(printf '%s\n' "$extra") -out "$directory/cert.pem" 2>/dev/null
    cat "$directory/key.pem" "$directory/cert.pem" >"$directory/server.pem"
}

standin_start() {
    local name=$1 port=$2
    shift 2
    mkdir -p "$HOST/$name"
    [ -e "$HOST/$name/server.pem" ] || standin_certificate "$HOST/$name"
    [ -e "$HOST/$name/requests.jsonl" ] || : >"$HOST/$name/requests.jsonl"
    python3 "tests/standins/$name" "$HOST/$name" "$port" "$@" >>"$HOST/$name/log" 2>&1 &
    echo $! >"$HOST/$name/pid"
    local end=$((SECONDS + 600))
    while kill -0 $! 2>/dev/null && [ $SECONDS -lt $end ]; do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return 0
        sleep 0.05
    done
    echo "the stand-in $name does not listen:" >&2
    cat "$HOST/$name/log" >&2
    return 1
}

standin_stop() {
    local pid
    pid=$(cat "$HOST/$1/pid")
    kill "$pid"
    wait "$pid" 2>/dev/null || return 0
}

standin_control() {
    printf '%s\n' "$2" >"$HOST/$1/control.new"
    mv "$HOST/$1/control.new" "$HOST/$1/control.json"
}

standin_requests() {
    jq -c "$2" "$HOST/$1/requests.jsonl"
}
