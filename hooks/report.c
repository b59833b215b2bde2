/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct report *report_new(void)
{
    void *memory = mmap(NULL, sizeof(struct report), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void report_line(struct report *report, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(report->line, sizeof report->line, format, args);
    va_end(args);
}

void report_problem(struct report *report, const char *format, ...)
{
    if (report->problem_count >= REPORT_PROBLEMS_MAX)
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(report->problems[report->problem_count], sizeof report->problems[0], format,
                    args);
    va_end(args);
    report->problem_count++;
}

void report_failure(struct report *report, const struct error *error)
{
    /* The reason goes first: warnings before it are only its surroundings. */
    memmove(report->problems[1], report->problems[0],
            sizeof report->problems - sizeof report->problems[0]);
    if (report->problem_count < REPORT_PROBLEMS_MAX)
        report->problem_count++;
    (void)snprintf(report->problems[0], sizeof report->problems[0], "%s", error->message);
    report->outcome = error->kind == ERROR_FOREIGN ? REPORT_BLOCKED : REPORT_FAILED;
}
