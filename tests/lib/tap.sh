# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Test Anything Protocol for prove. To be sourced; a test file ends with `tap_done`. Each test returns whether it
# passed.

tap_count=0
tap_failures=0

tap_result() {
    tap_count=$((tap_count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tap_count - $2"
    else
        tap_failures=$((tap_failures + 1))
        echo "not ok $tap_count - $2"
        diag "failed: $2"
    fi
    return "$1"
}

# Several tests write at the same time: each line says whose it is.
diag() {
    local name=${0##*/}
    sed "s/^/# ${name%%-*}: /" <<<"$*" >&2
}

# ok WHAT COMMAND...: the command succeeds. Its standard output would pass for TAP.
ok() {
    local what=$1
    shift
    "$@" >/dev/null
    tap_result $? "$what"
}

# not_ok WHAT COMMAND...: the command fails.
not_ok() {
    local what=$1 status=0
    shift
    "$@" >/dev/null && status=1
    tap_result $status "$what"
}

# is WHAT GOT WANTED
is() {
    local status=0
    [ "$2" = "$3" ] || status=1
    tap_result $status "$1" && return
    diag "     got: $2" "
  wanted: $3"
    return 1
}

# like WHAT GOT REGEX
like() {
    local status=0
    [[ $2 =~ $3 ]] || status=1
    tap_result $status "$1" && return
    diag "     got: $2" "
  wanted: /$3/"
    return 1
}

# unlike WHAT GOT REGEX
unlike() {
    local status=0
    [[ ! $2 =~ $3 ]] || status=1
    tap_result $status "$1" && return
    diag "          got: $2" "
  not wanted: /$3/"
    return 1
}

# Seconds after which a wait is given up. What works never takes so long, however slow and busy the machine is: a test
# waits for what it asserts, and for no time.
PATIENCE=600

# eventually COMMAND...: tries until the command succeeds, ever more seldom: on a busy machine the tries would slow down
# what is waited for.
eventually() {
    local end=$((SECONDS + PATIENCE)) pause_ms=50 pause
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt $end ] || return 1
        printf -v pause '0.%03d' $pause_ms
        sleep "$pause"
        pause_ms=$((pause_ms < 400 ? pause_ms * 5 / 4 : 400))
    done
}

# subtest WHAT COMMAND...: a test file of its own, whose lines are set off
subtest() {
    local what=$1
    shift
    "$@" | sed 's/^/    /'
    tap_result "${PIPESTATUS[0]}" "$what"
}

skip() {
    tap_count=$((tap_count + 1))
    echo "ok $tap_count - $1 # SKIP $2"
}

tap_done() {
    echo "1..$tap_count"
    exit $((tap_failures > 0))
}
