/* SPDX-License-Identifier: Apache-2.0 */
#include "store/base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/base/journal.h"

#define IDENTIFIER "felhomd"
#define LINE_SIZE  1024

static void mask_control_characters(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
    }
}

static void write_line(int priority, char *text)
{
    char line[LINE_SIZE + sizeof "<7>\n"];
    mask_control_characters(text);
    if (isatty(STDERR_FILENO))
        (void)snprintf(line, sizeof line, "%s\n", text);
    else
        (void)snprintf(line, sizeof line, "<%d>%s\n", LOG_PRI(priority), text);
    /* One call, so that lines of several threads never mix. Nobody is left to be told if it fails.
     */
    ssize_t ignored = write(STDERR_FILENO, line, strlen(line));
    (void)ignored;
}

__attribute__((format(printf, 4, 0))) static void
log_arguments(int priority, uint32_t vmid, const char *event, const char *format, va_list args)
{
    char text[LINE_SIZE];
    (void)vsnprintf(text, sizeof text, format, args);
    const struct journal_entry entry = {
        .priority = priority,
        .identifier = IDENTIFIER,
        .vmid = vmid,
        .event = event,
        .text = text,
    };
    if (!journal_reads(STDERR_FILENO) || !journal_send(JOURNAL_SOCKET, &entry))
        write_line(priority, text);
}

void log_line(int priority, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_arguments(priority, 0, NULL, format, args);
    va_end(args);
}

void log_guest(int priority, uint32_t vmid, const char *event, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_arguments(priority, vmid, event, format, args);
    va_end(args);
}
