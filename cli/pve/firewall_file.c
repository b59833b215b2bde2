/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/firewall_file.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

#define LINE_BLANKS " \t\r"
#define WORDS_MAX   32

/* The position in a file: its next line, and the section of the last line. */
struct reader {
    const char *next;
    char *line;
    char *section; /* "[rules]"; "" before the first */
};

static void reader_free(struct reader *reader)
{
    free(reader->line);
    free(reader->section);
}

/* Removes the comment. */
static char *bare_line(const char *text, size_t length)
{
    char *line = mem_copy_text_n(text, length);
    line[strcspn(line, "#")] = '\0';
    return line;
}

/* Returns false at the end. */
static bool read_line(struct reader *reader)
{
    if (*reader->next == '\0')
        return false;
    size_t length = strcspn(reader->next, "\n");
    free(reader->line);
    reader->line = bare_line(reader->next, length);
    reader->next += length + (reader->next[length] == '\n');
    if (reader->line[0] == '[') {
        free(reader->section);
        reader->section = mem_copy_text(reader->line);
    }
    return true;
}

static bool is_in(const struct reader *reader, const char *section)
{
    return strncasecmp(reader->section, section, strlen(section)) == 0 && reader->line[0] != '[';
}

/* Returns the value of the last line "KEY: VALUE" of [OPTIONS], which the caller frees; NULL if
 * there is none. key: with its colon. */
static char *read_option(const char *text, const char *key)
{
    cleanup(reader_free) struct reader reader = {text, NULL, mem_copy_text("")};
    char *found = NULL;
    while (read_line(&reader)) {
        if (!is_in(&reader, "[options]") || strncasecmp(reader.line, key, strlen(key)) != 0)
            continue;
        const char *value = reader.line + strlen(key);
        free(found);
        found = mem_copy_text(value + strspn(value, LINE_BLANKS));
    }
    return found;
}

enum firewall_switch firewall_file_switch(const char *text)
{
    cleanup_free char *value = read_option(text, "enable:");
    if (!value)
        return FIREWALL_UNSAID;
    return strtol(value, NULL, 10) != 0 ? FIREWALL_ON : FIREWALL_OFF;
}

/* Returns true if a list such as "80,8000:9000" contains the port. */
static bool has_port(const char *list, uint16_t port)
{
    for (; *list; list += strspn(list, ",")) {
        char *end;
        unsigned long first = strtoul(list, &end, 10);
        unsigned long last = *end == ':' ? strtoul(end + 1, NULL, 10) : first;
        if (first <= port && port <= last)
            return true;
        list += strcspn(list, ",");
    }
    return false;
}

/* A rule's words after its direction and its action: options, each with its value. */
static bool options_fit(char *const *words, size_t count, uint16_t port)
{
    for (size_t i = 0; i + 1 < count; i++) {
        const char *name = words[i] + strspn(words[i], "-");
        if (name == words[i])
            continue;
        bool is_proto = strcasecmp(name, "p") == 0 || strcasecmp(name, "proto") == 0;
        if (is_proto && strcasecmp(words[i + 1], "tcp") != 0)
            return false;
        if (strcasecmp(name, "dport") == 0 && !has_port(words[i + 1], port))
            return false;
        if (strcasecmp(name, "enable") == 0 && strcmp(words[i + 1], "0") == 0)
            return false;
    }
    return true;
}

/* A rule's words. */
struct rule {
    char *words[WORDS_MAX];
    size_t count;
};

static struct rule split_rule(char *line)
{
    struct rule rule = {.count = 0};
    char *rest = NULL;
    for (char *word = strtok_r(line, LINE_BLANKS, &rest); word && rule.count < WORDS_MAX;
         word = strtok_r(NULL, LINE_BLANKS, &rest))
        rule.words[rule.count++] = word;
    return rule;
}

/* A disabled rule begins with '|'; macros such as SSH(ACCEPT) have ports of their own. */
static bool rule_is(const struct rule *rule, const char *direction, const char *action,
                    uint16_t port)
{
    return rule->count >= 2 && strcasecmp(rule->words[0], direction) == 0 &&
           strcasecmp(rule->words[1], action) == 0 &&
           options_fit(rule->words + 2, rule->count - 2, port);
}

bool firewall_file_lets_in(const char *text, uint16_t port)
{
    cleanup(reader_free) struct reader reader = {text, NULL, mem_copy_text("")};
    bool found = false;
    while (!found && read_line(&reader)) {
        if (!is_in(&reader, "[rules]") && !is_in(&reader, "[group "))
            continue;
        const struct rule rule = split_rule(reader.line);
        found = rule_is(&rule, "in", "accept", port);
    }
    return found;
}

static bool is_drop(const char *action)
{
    return strcasecmp(action, "drop") == 0 || strcasecmp(action, "reject") == 0;
}

/* Returns true if the rule is for some addresses, ports or interfaces alone. */
static bool is_restricted(const struct rule *rule)
{
    static const char *const restrictions[] = {"source", "dest", "sport", "i", "iface", NULL};
    for (size_t i = 2; i < rule->count; i++)
        for (size_t j = 0; restrictions[j]; j++)
            if (rule->words[i][0] == '-' &&
                strcasecmp(rule->words[i] + strspn(rule->words[i], "-"), restrictions[j]) == 0)
                return true;
    return false;
}

/* What is not for all, or stands in a group, may let the guest out: only what surely drops is said
 * to. */
bool firewall_file_drops_out(const char *text, uint16_t port)
{
    cleanup(reader_free) struct reader reader = {text, NULL, mem_copy_text("")};
    cleanup_free char *policy = read_option(text, "policy_out:");
    if (firewall_file_switch(text) != FIREWALL_ON)
        return false;
    while (read_line(&reader)) {
        if (!is_in(&reader, "[rules]"))
            continue;
        const struct rule rule = split_rule(reader.line);
        if (rule.count > 0 && strcasecmp(rule.words[0], "group") == 0)
            return false;
        if (rule_is(&rule, "out", "accept", port))
            return false;
        if (!is_restricted(&rule) &&
            (rule_is(&rule, "out", "drop", port) || rule_is(&rule, "out", "reject", port)))
            return true;
    }
    if (policy)
        policy[strcspn(policy, LINE_BLANKS)] = '\0';
    return policy && is_drop(policy);
}

bool firewall_files_drop_in(const char *cluster, const char *host, uint16_t port)
{
    return firewall_file_switch(cluster) == FIREWALL_ON &&
           firewall_file_switch(host) != FIREWALL_OFF && !firewall_file_lets_in(host, port) &&
           !firewall_file_lets_in(cluster, port);
}
