# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# bash completion for felhomctl(8): verbs, options, and VMIDs with the guests' names. Verbs and options are what the program's own help says.

_felhomctl_verbs() {
    felhomctl --help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p'
}

_felhomctl_options() {
    printf '%s\n' --help
    if [ -n "$1" ]; then
        felhomctl "$1" --help 2>/dev/null | sed -n 's/^  \(--[a-z-]*\).*/\1/p'
    else
        printf '%s\n' --output-format --quiet --version
    fi
}

# VMID and name of each guest that the agent serves.
_felhomctl_guests() {
    felhomctl guests 2>/dev/null | awk '$1 ~ /^[0-9]+$/ { print $1, $2 }'
}

# The same of all guests of this host, whoever serves them.
_felhomctl_host_guests() {
    local file name
    for file in "${FELHOMCTL_PVE:-/etc/pve}"/local/{lxc,qemu-server}/[0-9]*.conf; do
        [ -r "$file" ] || continue
        name=$(sed -n '/^\[/q; s/^\(hostname\|name\): *//p' "$file" 2>/dev/null)
        file=${file##*/}
        printf '%s %s\n' "${file%.conf}" "$name"
    done
}

# Of one VMID that fits, it alone is put in; of several, bash shows the list and puts in what they have in common, which is never of a name.
_felhomctl_vmids() {
    local vmid name
    while read -r vmid name; do
        [[ $vmid == "$current"* ]] || continue
        COMPREPLY+=("$vmid${name:+ ($name)}")
    done
    [ ${#COMPREPLY[@]} -ne 1 ] || COMPREPLY=("${COMPREPLY[0]%% *}")
}

_felhomctl_words() {
    mapfile -t COMPREPLY < <(compgen -W "$*" -- "$current")
}

_felhomctl() {
    local current=${COMP_WORDS[COMP_CWORD]} previous='' verb='' word i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [ -z "$verb" ] && [ "$previous" != --output-format ] && [[ $word != -* ]]; then
            verb=$word
        fi
        previous=$word
    done
    case $previous in
    --output-format) _felhomctl_words text json json-pretty yaml && return ;;
    --mount) _felhomctl_words entry mp && return ;;
    --kind) _felhomctl_words lxc qemu && return ;;
    --user) mapfile -t COMPREPLY < <(compgen -u -- "$current") && return ;;
    --retrieval-password-file | --hook) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
    --snippets) mapfile -t COMPREPLY < <(compgen -d -- "$current") && return ;;
    --customer* | --image | --quota* | --since | --limit) return ;;
    esac
    if [[ $current == -* ]]; then
        _felhomctl_words "$(_felhomctl_options "$verb")"
        return
    fi
    case $verb in
    '') _felhomctl_words "$(_felhomctl_verbs)" ;;
    enroll | doctor) _felhomctl_vmids < <(_felhomctl_host_guests) ;;
    guest | events | unenroll | revoke | rotate | restore-test) _felhomctl_vmids < <(_felhomctl_guests) ;;
    identity) _felhomctl_words stage switch retire ;;
    parse) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    esac
}

complete -F _felhomctl felhomctl
