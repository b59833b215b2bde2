#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Man pages and completion agree with what the programs print.
. tests/lib/world.sh
. tests/lib/tap.sh
world_enter "$0" "$@"
world_host

pages=(hooks/felhom-hook.8 server/felhomd.8 cli/felhomctl.8 schema/agent.yaml.5 guest/felhom-controller-bootstrap.8)
for page in "${pages[@]}"; do
    is "$page is well-formed" "$(mandoc -T lint -W warning "$page" 2>&1)" ''
done
mentions() {
    grep -qF -- "$2" "$1"
}
verbs=$(ctl --help | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p')
is 'felhomctl(8) documents every verb' "$(sed -n 's/^\.Ss \([a-z-]*\).*/\1/p' cli/felhomctl.8 | sort)" \
    "$(sort <<<"$verbs")"
for verb in $verbs; do
    is "felhomctl(8) documents the options of $verb" \
        "$(sed -n "/^\.Ss $verb\$/,/^\.S[sh]/p; /^\.Ss $verb /,/^\.S[sh]/p" cli/felhomctl.8 | grep '^\.It Fl' | grep -o 'Fl -[a-z-]*' | sed 's/Fl /-/' | sort -u)" \
        "$(ctl "$verb" --help | sed -n 's/^  \(--[a-z-]*\).*/\1/p' | sort)"
done
is 'felhomctl(8) documents every check of doctor' \
    "$(sed -n '/ids stay the same/,/^\.El/s/^\.It Li //p' cli/felhomctl.8 | sed 's/ , /\n/g' | sort)" \
    "$({ sed -n 's/^    {"\([a-z._-]*\)", [A-Z]*, doctor_check.*/\1/p' cli/doctor/doctor.c
        sed -n 's/^#define CHECK_[A-Z]* *"\(.*\)"/\1/p; s/.*->check = "\(.*\)";/\1/p' cli/doctor/doctor.c; } | sort -u)"
# keys FILE of agent.yaml's comments: "section.key: default"
keys() {
    python3 - <<'END'
import re
section = ''
for line in open('debian/agent.yaml'):
    if match := re.match(r'#([a-z_]+):$', line):
        section = match[1] + '.'
    elif match := re.match(r'#(  )?([a-z_]+): (.*)$', line):
        print((section if match[1] else '') + match[2] + ' : No ' + match[3].replace('""', r'\&""'))
END
}
is 'agent.yaml(5) documents every key with its default' "$(sed -n 's/^\.It Ic //p' schema/agent.yaml.5 | sort)" \
    "$(keys | sort)"
for program in felhomd felhom-hook; do
    is "$program(8) begins with the options that it has" \
        "$(sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESC/p' "$(ls */$program.8)" | grep -o 'Fl -[a-z-]*' | sed 's/Fl /-/' | sort)" \
        "$("$BIN/$program" --help 2>&1 | sed -n 's/^  \(--[a-z-]*\).*/\1/p' | sort)"
    for option in $("$BIN/$program" --help 2>&1 | sed -n 's/^  \(--[a-z]*\).*/\1/p'); do
        ok "$program(8) has $option" mentions "$(ls */$program.8)" "Fl ${option#-}"
    done
done

# The daemon's page and its unit have the same places that it may write to.
is "felhomd(8) says where the unit lets it write" \
    "$(sed -n '/read-only file system/,/cluster file system/s|^\.Pa \(/[^ ]*\).*|\1|p' server/felhomd.8 | sort)" \
    "$(sed -n 's/^ReadWritePaths=-*//p' debian/felhom-agent.felhomd.service | sort)"

# --- completion ---
guest_config 8200 </dev/null
guest_config 8201 </dev/null
guest_config 9000 </dev/null
ctl init >/dev/null
for vmid in 8200 8201; do
    enroll $vmid >/dev/null
    phase $vmid pre-start >/dev/null
done
export PATH=$BIN:$PATH FELHOMCTL_PVE=$HOST/pve
mkdir -p "$HOST/pve/local"
ln -s ../../lxc "$HOST/pve/nodes/pve1/lxc"
# completes WORD...: prints the completions of the last word, one a line
completes() {
    bash -uc '. cli/felhomctl.bash
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _felhomctl
        printf "%s\n" "${COMPREPLY[@]}"' bash "$@" 2>&1
}
is 'completion offers every verb' "$(completes felhomctl '' | sort)" "$(sort <<<"$verbs")"
is 'completion completes a verb' "$(completes felhomctl une)" unenroll
is 'completion completes an option' "$(completes felhomctl enroll 8200 --customer-n)" --customer-name
is 'completion offers the choices of an option' "$(completes felhomctl enroll 8200 --mount '')" $'entry\nmp'
offers_guests=''
for verb in $verbs; do
    for option in $(ctl "$verb" --help | sed -n 's/^  \(--[a-z-]*\) [A-Za-z].*/\1/p'); do
        completes felhomctl "$verb" "$option" '' | grep -q '^8200' && offers_guests+=" $verb $option"
    done
done
is 'completion offers no guest where an option wants its value' "$offers_guests" ''
is 'completion offers output formats' "$(completes felhomctl --output-format j)" $'json\njson-pretty'
is 'completion offers verbs after a global option' "$(completes felhomctl --output-format json rev)" revoke
is 'completion offers guests with their names' "$(completes felhomctl guest '')" $'8200 (guest8200)\n8201 (guest8201)'
is 'completion of a single guest is its VMID only' "$(completes felhomctl revoke 8201)" 8201
is 'completion offers the steps of identity' "$(completes felhomctl identity s)" $'stage\nswitch'
is 'completion offers nothing for an unknown guest' "$(completes felhomctl guest 7)" ''
is 'completion of enroll offers all guests of the host' "$(completes felhomctl enroll '')" \
    $'8200 (guest8200)\n8201 (guest8201)\n9000 (guest9000)'
is 'completion of enroll offers a guest that is not enrolled' "$(completes felhomctl enroll 9)" 9000
is 'completion of doctor offers a guest that is not enrolled' "$(completes felhomctl doctor 9)" 9000
is 'completion without a store offers nothing and prints nothing' \
    "$(FELHOM_AGENT_CONFIG=/nonexistent completes felhomctl guest '')" ''
# pressed KEYS: prints a real terminal's command line after these keys
pressed() {
    python3 - "$1" <<'END'
import os, pty, re, select, sys, time

pid, fd = pty.fork()
if pid == 0:
    os.environ.update(PS1='$ ', TERM='dumb', INPUTRC='/dev/null')
    os.execvp('bash', ['bash', '--norc', '--noprofile', '-i'])

def seen(until, seconds=600):
    text, end = '', time.monotonic() + seconds
    while time.monotonic() < end and not re.search(until, text):
        if select.select([fd], [], [], 0.1)[0]:
            text += os.read(fd, 4096).decode(errors='replace')
    return text

seen(r'\$ $')
os.write(fd, b"set -u; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; . cli/felhomctl.bash; echo rea''dy\n")
seen(r'ready\r?\n\$ $')
# The resulting line is shown and not run.
os.write(fd, sys.argv[1].encode() + b'\t')
os.write(fd, b"\x01echo '\x05' en''d\n")
print(re.search(r"\n(.*?) end\r?\n", seen(r' end\r?\n')).group(1))
END
}
is 'Tab inserts the VMID' "$(pressed 'felhomctl enroll 9')" 'felhomctl enroll 9000 '
is 'Tab inserts the common part of several VMIDs and never a name' "$(pressed 'felhomctl guest 8')" \
    'felhomctl guest 820'
tap_done
