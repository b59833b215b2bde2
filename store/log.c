/* SPDX-License-Identifier: Apache-2.0 */
#include "store/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE 1024

static void mask_control_characters(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
    }
}

void log_line(int priority, const char *format, ...)
{
    char text[LINE_SIZE];
    char line[LINE_SIZE + sizeof "<7>\n"];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
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
