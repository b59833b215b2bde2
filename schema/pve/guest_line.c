/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_line.h"

#include <string.h>
#include <strings.h>

#include "schema/base/cleanup.h"

const char *const guest_kind_names[] = {[GUEST_LXC] = "lxc", [GUEST_QEMU] = "qemu", NULL};

static bool is_blank(struct slice text)
{
    return slice_span(text, SPACES) == text.length;
}

/* Returns true if the line is the prefix followed by anything but blanks. */
static bool line_says(const char *text, const char *prefix)
{
    const char *rest = text_after(text, prefix);
    return rest && rest[strspn(rest, SPACES)];
}

static const char *const pending_names[] = {
    [GUEST_LXC] = "pve:pending",
    [GUEST_QEMU] = "PENDING",
};

static bool is_pending_name(enum guest_kind kind, struct slice name)
{
    const char *pending = pending_names[kind];
    return name.length == strlen(pending) && strncasecmp(name.text, pending, name.length) == 0;
}

bool guest_line_is_pending(enum guest_kind kind, struct slice line)
{
    const char *end = memchr(line.text, ']', line.length);
    return end && guest_line_is_section(kind, line) &&
           is_pending_name(kind, (struct slice){line.text + 1, (size_t)(end - line.text) - 1});
}

bool guest_line_is_section(enum guest_kind kind, struct slice line)
{
    const char *end =
        line.length > 0 && line.text[0] == '[' ? memchr(line.text, ']', line.length) : NULL;
    if (!end || !is_blank(slice_skip(line, (size_t)(end - line.text) + 1)))
        return false;
    struct slice name = {line.text + 1, (size_t)(end - line.text) - 1};
    if (kind == GUEST_QEMU)
        return true;
    if (is_pending_name(kind, name))
        return true;
    return name.length >= 2 && slice_span(name, LETTERS) > 0 &&
           slice_span(name, ALNUM "_-") == name.length;
}

/* Proxmox's expression matches "snapstate: prepare" or "snapstate: delete" at the end of any line,
 * whatever is before it. */
static bool ends_with_snapstate(const char *text)
{
    static const char *const states[] = {"prepare", "delete"};
    static const char name[] = "snapstate:";
    size_t end = slice_trim_end(slice_of(text), SPACES).length;
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        size_t length = strlen(states[i]);
        if (end < length || strncmp(text + end - length, states[i], length) != 0)
            continue;
        size_t before = slice_trim_end((struct slice){text, end - length}, SPACES).length;
        return before >= sizeof name - 1 &&
               strncmp(text + before - (sizeof name - 1), name, sizeof name - 1) == 0;
    }
    return false;
}

#define RAW_PREFIX "lxc."

/* Returns the length of a setting's key: letters, then digits. */
static size_t setting_key(enum guest_kind kind, struct slice line)
{
    if (slice_span(line, LOWER) == 0)
        return 0;
    size_t length = slice_span(line, kind == GUEST_QEMU ? LOWER "_-" : LOWER "_");
    return length + slice_span(slice_skip(line, length), DIGITS);
}

size_t guest_line_key(enum guest_kind kind, struct slice line, size_t *ret_separator)
{
    bool raw = kind == GUEST_LXC && slice_starts(line, RAW_PREFIX);
    size_t length = raw ? slice_span(line, LOWER DIGITS "_-.") : setting_key(kind, line);
    struct slice rest = slice_skip(line, length);
    size_t space = slice_span(rest, SPACES);
    if (length == 0 || (raw && length == strlen(RAW_PREFIX)))
        return 0;
    if (slice_starts(rest, ":"))
        *ret_separator = 1;
    else if (raw && slice_starts(slice_skip(rest, space), "="))
        *ret_separator = space + 1;
    else
        return 0;
    return length;
}

static char *line_trim(char *text)
{
    struct slice trimmed = slice_trim(slice_of(text), SPACES);
    text += trimmed.text - text;
    text[trimmed.length] = '\0';
    return text;
}

/* If a setting's value is blank, it is its last blank: Proxmox's expression demands at least one
 * character. */
static char *setting_value(char *text)
{
    bool blank = is_blank(slice_of(text));
    return blank ? text + strlen(text) - 1 : line_trim(text);
}

/* Splits "KEY: VALUE" in place. */
static bool read_key_and_value(enum guest_kind kind, char *text, bool raw, struct guest_line *ret)
{
    size_t separator;
    size_t length = guest_line_key(kind, slice_of(text), &separator);
    if (length == 0)
        return false;
    char *value = text + length + separator;
    if (!raw && !*value)
        return false;
    text[length] = '\0';
    *ret = raw ? (struct guest_line){LINE_RAW, text, line_trim(value)}
               : (struct guest_line){LINE_SETTING, text, setting_value(value)};
    return true;
}

struct guest_line guest_line_read(enum guest_kind kind, char *text)
{
    struct guest_line line = {LINE_NOTHING, NULL, NULL};
    bool raw = kind == GUEST_LXC && text_after(text, RAW_PREFIX);
    if (is_blank(slice_of(text)) || text[0] == '#')
        return line;
    if (guest_line_is_section(kind, slice_of(text)))
        return (struct guest_line){LINE_SECTION, NULL, NULL};
    if (raw && read_key_and_value(kind, text, true, &line))
        return line;
    if (line_says(text, "description:") || ends_with_snapstate(text))
        return line;
    if (line_says(text, "delete:"))
        return (struct guest_line){LINE_DELETE, NULL, NULL};
    if (raw || !read_key_and_value(kind, text, false, &line))
        line.type = LINE_UNKNOWN;
    return line;
}

static const char *const outdated_prefixes[] = {"lxc.limit.", "lxc.cgroup."};
static const char *const good_prefixes[] = {"lxc.cgroup2.", "lxc.prlimit.", "lxc.net."};
static const char *const forbidden[] = {"lxc.rootfs.path", "lxc.rootfs.options", NULL};

/* The names that these keys had before LXC 3.0. */
static const char *const outdated[] = {
    "lxc.aa_profile",
    "lxc.aa_allow_incomplete",
    "lxc.console",
    "lxc.devttydir",
    "lxc.haltsignal",
    "lxc.rebootsignal",
    "lxc.stopsignal",
    "lxc.id_map",
    "lxc.init_cmd",
    "lxc.loglevel",
    "lxc.logfile",
    "lxc.mount",
    "lxc.network.type",
    "lxc.network.flags",
    "lxc.network.link",
    "lxc.network.mtu",
    "lxc.network.name",
    "lxc.network.hwaddr",
    "lxc.network.ipv4",
    "lxc.network.ipv4.gateway",
    "lxc.network.ipv6",
    "lxc.network.ipv6.gateway",
    "lxc.network.script.up",
    "lxc.network.script.down",
    "lxc.pts",
    "lxc.se_context",
    "lxc.seccomp",
    "lxc.tty",
    "lxc.utsname",
    NULL,
};

static const char *const good[] = {
    "lxc.apparmor.profile",
    "lxc.apparmor.allow_incomplete",
    "lxc.apparmor.allow_nesting",
    "lxc.apparmor.raw",
    "lxc.selinux.context",
    "lxc.include",
    "lxc.arch",
    "lxc.uts.name",
    "lxc.signal.halt",
    "lxc.signal.reboot",
    "lxc.signal.stop",
    "lxc.init.cmd",
    "lxc.init.cwd",
    "lxc.init.uid",
    "lxc.init.gid",
    "lxc.init.groups",
    "lxc.pty.max",
    "lxc.console.logfile",
    "lxc.console.path",
    "lxc.tty.max",
    "lxc.devtty.dir",
    "lxc.hook.autodev",
    "lxc.autodev",
    "lxc.kmsg",
    "lxc.mount.fstab",
    "lxc.mount.entry",
    "lxc.mount.auto",
    "lxc.rootfs.mount",
    "lxc.cap.drop",
    "lxc.cap.keep",
    "lxc.seccomp.profile",
    "lxc.seccomp.notify.proxy",
    "lxc.seccomp.notify.cookie",
    "lxc.idmap",
    "lxc.hook.pre-start",
    "lxc.hook.pre-mount",
    "lxc.hook.mount",
    "lxc.hook.start",
    "lxc.hook.stop",
    "lxc.hook.post-stop",
    "lxc.hook.clone",
    "lxc.hook.destroy",
    "lxc.hook.version",
    "lxc.log.level",
    "lxc.log.file",
    "lxc.start.auto",
    "lxc.start.delay",
    "lxc.start.order",
    "lxc.group",
    "lxc.environment",
    "lxc.environment.hooks",
    "lxc.sysctl.fs.mqueue",
    "lxc.sysctl.kernel.msgmax",
    "lxc.sysctl.kernel.msgmnb",
    "lxc.sysctl.kernel.msgmni",
    "lxc.sysctl.kernel.sem",
    "lxc.sysctl.kernel.shmall",
    "lxc.sysctl.kernel.shmmax",
    "lxc.sysctl.kernel.shmmni",
    "lxc.sysctl.kernel.shm_rmid_forced",
    NULL,
};

static bool key_starts_with_any(const char *key, const char *const *prefixes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (text_after(key, prefixes[i]))
            return true;
    return false;
}

enum raw_key_class guest_line_classify_raw(const char *key)
{
    if (strcmp(key, "lxc.environment.runtime") == 0)
        return RAW_KEY_ENVIRONMENT;
    if (text_index(key, forbidden) >= 0)
        return RAW_KEY_FORBIDDEN;
    if (text_index(key, outdated) >= 0 ||
        key_starts_with_any(key, outdated_prefixes, ARRAY_SIZE(outdated_prefixes)))
        return RAW_KEY_OUTDATED;
    if (text_index(key, good) >= 0 ||
        key_starts_with_any(key, good_prefixes, ARRAY_SIZE(good_prefixes)))
        return RAW_KEY_GOOD;
    return RAW_KEY_UNKNOWN;
}
