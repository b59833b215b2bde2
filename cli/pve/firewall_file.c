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

enum firewall_switch firewall_file_switch(const char *text)
{
    static const char key[] = "enable:";
    cleanup(reader_free) struct reader reader = {text, NULL, mem_copy_text("")};
    enum firewall_switch found = FIREWALL_UNSAID;
    while (read_line(&reader)) {
        if (!is_in(&reader, "[options]") || strncasecmp(reader.line, key, sizeof key - 1) != 0)
            continue;
        const char *value = reader.line + sizeof key - 1;
        found = strtol(value, NULL, 10) != 0 ? FIREWALL_ON : FIREWALL_OFF;
    }
    return found;
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

/* A disabled rule begins with '|'; macros such as SSH(ACCEPT) have ports of their own. */
static bool rule_lets_in(char *line, uint16_t port)
{
    char *words[WORDS_MAX];
    char *rest = NULL;
    size_t count = 0;
    for (char *word = strtok_r(line, LINE_BLANKS, &rest); word && count < WORDS_MAX;
         word = strtok_r(NULL, LINE_BLANKS, &rest))
        words[count++] = word;
    return count >= 2 && strcasecmp(words[0], "in") == 0 && strcasecmp(words[1], "accept") == 0 &&
           options_fit(words + 2, count - 2, port);
}

bool firewall_file_lets_in(const char *text, uint16_t port)
{
    cleanup(reader_free) struct reader reader = {text, NULL, mem_copy_text("")};
    bool found = false;
    while (!found && read_line(&reader))
        if (is_in(&reader, "[rules]") || is_in(&reader, "[group "))
            found = rule_lets_in(reader.line, port);
    return found;
}
