# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A test that waits for long, in parts that have nothing to do with each other: side by side, each in a world of its
# own. To be sourced.
#
#   lanes "$0" NAME...   before world_enter: runs the script once for each NAME, with LANE=NAME, tells all their results
# as one test's, and ends.
#                        Within a lane it does nothing. `LANE=NAME tests/e2e/...` runs that one alone. The longest is
# best named first

lanes() {
    local script=$1 name
    [ -z "${LANE:-}" ] || return 0
    shift
    LANES=$(mktemp -d /tmp/felhom-lanes.XXXXXX)
    trap lanes_end EXIT
    for name; do
        [ "$(jobs -pr | wc -l)" -lt $((3 * $(nproc))) ] || wait -n
        echo >"$LANES/$name"
        LANE=$name bash "$script" >>"$LANES/$name" 2>&1 &
    done
    wait
    lanes_tell "$@"
    exit
}

# What is no result is a diagnosis. A lane without its plan ended before its time.
lanes_tell() {
    (cd "$LANES" && awk '
        FNR == 1 { leave(); lane = FILENAME; planned = -1; seen = 0; next }
        function say(result, what) { print result, ++count, what; failed = failed || result != "ok" }
        function leave() { if (lane != "" && seen != planned) say("not ok", "- " lane " came to its end") }
        match($0, /^(not )?ok [0-9]+ /) { seen++; say($1 == "ok" ? "ok" : "not ok", substr($0, RLENGTH + 1)); next }
        match($0, /^1\.\.[0-9]+$/) { planned = substr($0, 4); next }
        { print lane ": " $0 >"/dev/stderr" }
        END { leave(); print "1.." count; exit failed }' "$@")
}

lanes_end() {
    trap - EXIT
    # Without -r, the bash of Debian 13 lists those that have ended, too, whose numbers may be others' by now.
    # shellcheck disable=SC2046
    kill $(jobs -pr) 2>/dev/null
    rm -rf "$LANES"
}
