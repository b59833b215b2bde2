/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/text_rules.h"

#include <limits.h>
#include <linux/if.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/text.h"
#include "schema/base/units.h"
#include "schema/pve/storage_config.h"

static bool is_name(const char *text)
{
    return text_is_all(text, ALNUM "-_.") && !text_is_one_of(*text, "-.");
}

/* Bytes beyond ASCII are accepted: libyaml has checked that they are UTF-8. */
static bool is_line(const char *text)
{
    return *text && !text_has_control(text);
}

static bool is_word(const char *text)
{
    return is_line(text) && !strchr(text, ' ');
}

static bool is_interface(const char *text)
{
    return is_word(text) && !strpbrk(text, "/:") && strcmp(text, ".") != 0 &&
           strcmp(text, "..") != 0;
}

static bool is_storage(const char *text)
{
    size_t length = strlen(text);
    return length > 1 && text_is_all(text, ALNUM "-_.") && text_is_one_of(text[0], LETTERS) &&
           text_is_one_of(text[length - 1], ALNUM);
}

static bool is_snippet(const char *text)
{
    return is_line(text) && snippet_volume_is_valid(text);
}

/* Returns true for an empty component of a path, and for "." and "..". */
static bool is_odd_component(const char *component, size_t length)
{
    return length == 0 || (length == 1 && component[0] == '.') ||
           (length == 2 && component[0] == '.' && component[1] == '.');
}

static bool is_path(const char *text)
{
    if (!is_line(text))
        return false;
    while (*text == '/') {
        size_t length = strcspn(text + 1, "/");
        if (is_odd_component(text + 1, length))
            return false;
        text += 1 + length;
    }
    return !*text;
}

static bool is_mount_path(const char *text)
{
    return is_path(text) && text_is_all(text, ALNUM "/-_.+@");
}

static bool is_textfile(const char *text)
{
    return is_path(text) && text_ends_with(text, ".prom") && !text_ends_with(text, "/.prom");
}

static bool is_port(const char *text)
{
    uint64_t port;
    return text_number(text, UINT16_MAX, &port) && port > 0;
}

/* Accepts HOST or HOST:PORT in length bytes. HOST: a name, an IPv4 address, or an IPv6 address in
 * brackets. */
static bool is_authority_n(const char *text, size_t length)
{
    char copy[NAME_MAX + 1];
    if (length >= sizeof copy)
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    char *host = *copy == '[' ? copy + 1 : copy;
    char *end = host + strspn(host, *copy == '[' ? HEX_DIGITS ":." : ALNUM "-.");
    char *port = *copy == '[' && *end == ']' ? end + 1 : end;
    bool is_closed = (*copy == '[') == (*end == ']');
    return is_closed && end > host && !text_is_one_of(*host, "-.") &&
           (!*port || (*port == ':' && is_port(port + 1)));
}

static bool is_authority(const char *text)
{
    return is_authority_n(text, strlen(text));
}

static bool is_https(const char *text)
{
    const char *authority = text_after(text, "https://");
    return authority && is_authority(authority);
}

/* User names and queries are refused because they may contain secrets, which belong in files of
 * their own. */
static bool is_url(const char *text)
{
    const char *rest = text_after(text, "https://");
    if (!rest)
        rest = text_after(text, "http://");
    return rest && is_authority_n(rest, strcspn(rest, "/")) && is_word(rest) &&
           !strpbrk(rest, "@?#\\\"<>");
}

/* Accepts a text that begins with HH:MM; the caller checks what follows. */
static bool is_time(const char *text)
{
    static const char shape[] = "dd:dd";
    for (size_t i = 0; shape[i]; i++)
        if (shape[i] == 'd' ? !text_is_one_of(text[i], DIGITS) : text[i] != shape[i])
            return false;
    return text[3] < '6' && (text[0] < '2' || (text[0] == '2' && text[1] < '4'));
}

static bool is_window(const char *text)
{
    return strlen(text) == 11 && is_time(text) && text[5] == '-' && is_time(text + 6) &&
           strncmp(text, text + 6, 5) != 0;
}

/* At most QUOTA_SNAPSHOTS_MOST, which has five digits. */
static bool is_snapshots(const char *text)
{
    return text_is_all(text, DIGITS) && strlen(text) <= 5 &&
           strtoul(text, NULL, 10) <= QUOTA_SNAPSHOTS_MOST;
}

static bool is_duration(const char *text)
{
    uint64_t ms;
    return duration_parse(text, &ms);
}

const struct yaml_text_rule rule_name = {
    is_name, 128, "letters, digits, - _ and . only, without - or . in front"};
const struct yaml_text_rule rule_host_id = {
    is_name, 253, "letters, digits, - _ and . only, without - or . in front"};
const struct yaml_text_rule rule_line = {is_line, 1024, "one line without control characters"};
const struct yaml_text_rule rule_word = {is_word, 512,
                                         "one word without blanks or control characters"};
const struct yaml_text_rule rule_interface = {is_interface, IFNAMSIZ - 1,
                                              "the name of a network interface"};
const struct yaml_text_rule rule_storage = {
    is_storage, 100, "a storage's id: letters, digits, - _ and ., with a letter in front"};
const struct yaml_text_rule rule_snippet = {is_snippet, 255,
                                            "a hookscript's volume: STORAGE:snippets/NAME"};
const struct yaml_text_rule rule_snapshots = {is_snapshots, 5, "a number from 0 to 10000"};
const struct yaml_text_rule rule_duration = {
    is_duration, 32, "a duration: digits and one of s m h d, such as 30s or 24h, or 0"};
const struct yaml_text_rule rule_path = {
    is_path, PATH_MAX - 1, "an absolute path without . or .. in it, // or a / at its end"};
const struct yaml_text_rule rule_mount_path = {
    is_mount_path, 1024,
    "an absolute path of letters, digits and / - _ . + @, without . or .. in it, // or a / at its "
    "end"};
const struct yaml_text_rule rule_textfile = {is_textfile, PATH_MAX - 1,
                                             "an absolute path of a file whose name ends in .prom"};
const struct yaml_text_rule rule_url = {
    is_url, 1024, "http://HOST[:PORT][/PATH] or https://..., without a user name or a query"};
const struct yaml_text_rule rule_https = {is_https, 300, "https://HOST:PORT and nothing more"};
const struct yaml_text_rule rule_authority = {is_authority, 255, "HOST or HOST:PORT"};
const struct yaml_text_rule rule_window = {
    is_window, 64, "HH:MM-HH:MM, from 00:00 to 23:59, with two different times"};
