/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_line.h"

#include <string.h>
#include <strings.h>
#include <sys/types.h>

#include "schema/base/cleanup.h"
#include "schema/pve/guest_format.h"

#define LOWER   "abcdefghijklmnopqrstuvwxyz"
#define LETTERS LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

static const char *after_blanks(const char *text)
{
    return text + strspn(text, GUEST_BLANKS);
}

/* The length of text without the blanks at its end. */
static size_t trimmed_length(const char *text)
{
    size_t length = strlen(text);
    while (length > 0 && strchr(GUEST_BLANKS, text[length - 1]))
        length--;
    return length;
}

static char *trim(char *text)
{
    text += strspn(text, GUEST_BLANKS);
    text[trimmed_length(text)] = '\0';
    return text;
}

/* Whether the line is "PREFIX something". */
static bool says(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(text, prefix, length) == 0 && *after_blanks(text + length);
}

/* The length of what stands between the brackets of "[...]", -1 when the line is not like that. */
static ssize_t section_name_length(const char *text)
{
    const char *end = text[0] == '[' ? strchr(text, ']') : NULL;
    return end && !*after_blanks(end + 1) ? end - text - 1 : -1;
}

static bool is_section(enum guest_kind kind, const char *text)
{
    static const char pending[] = "[pve:pending]";
    ssize_t length = section_name_length(text);
    if (length < 0 || kind == GUEST_QEMU)
        return length >= 0;
    if (strncasecmp(text, pending, sizeof pending - 1) == 0)
        return true;
    return length >= 2 && strchr(LETTERS, text[1]) &&
           strspn(text + 1, LETTERS DIGITS "_-") == (size_t)length;
}

/* "snapstate: prepare" or "snapstate: delete" counts at the end of any line, whatever stands before
 * it. */
static bool ends_with_snapstate(const char *text)
{
    static const char *const states[] = {"prepare", "delete"};
    static const char name[] = "snapstate:";
    size_t end = trimmed_length(text);
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        size_t length = strlen(states[i]);
        if (end < length || strncmp(text + end - length, states[i], length) != 0)
            continue;
        size_t before = end - length;
        while (before > 0 && strchr(GUEST_BLANKS, text[before - 1]))
            before--;
        return before >= sizeof name - 1 &&
               strncmp(text + before - (sizeof name - 1), name, sizeof name - 1) == 0;
    }
    return false;
}

static bool read_raw(char *text, struct guest_line *ret)
{
    static const char prefix[] = "lxc.";
    if (strncmp(text, prefix, sizeof prefix - 1) != 0)
        return false;
    size_t name = strspn(text + sizeof prefix - 1, LOWER DIGITS "_-.");
    char *key_end = text + sizeof prefix - 1 + name;
    char *separator = *key_end == ':' ? key_end : key_end + strspn(key_end, GUEST_BLANKS);
    bool separated =
        separator == key_end ? *separator == ':' || *separator == '=' : *separator == '=';
    if (name == 0 || !separated)
        return false;
    *ret = (struct guest_line){LINE_RAW, text, trim(separator + 1)};
    *key_end = '\0';
    return true;
}

/* A value of nothing but blanks is its last blank: Proxmox's expression wants one character at
 * least. */
static char *setting_value(char *text)
{
    bool blank = !*after_blanks(text);
    return blank ? text + strlen(text) - 1 : trim(text);
}

static bool read_setting(enum guest_kind kind, char *text, struct guest_line *ret)
{
    if (!text[0] || !strchr(LOWER, text[0]))
        return false;
    char *end = text + strspn(text, kind == GUEST_QEMU ? LOWER "_-" : LOWER "_");
    end += strspn(end, DIGITS);
    if (*end != ':' || !end[1])
        return false;
    *end = '\0';
    *ret = (struct guest_line){LINE_SETTING, text, setting_value(end + 1)};
    return true;
}

struct guest_line guest_line_read(enum guest_kind kind, char *text)
{
    struct guest_line line = {LINE_NOTHING, NULL, NULL};
    if (!*after_blanks(text) || text[0] == '#')
        return line;
    if (is_section(kind, text))
        return (struct guest_line){LINE_SECTION, NULL, NULL};
    if (kind == GUEST_LXC && read_raw(text, &line))
        return line;
    if (says(text, "description:") || ends_with_snapstate(text))
        return line;
    if (says(text, "delete:"))
        return (struct guest_line){LINE_DELETE, NULL, NULL};
    if (!read_setting(kind, text, &line))
        line.type = LINE_UNKNOWN;
    return line;
}
