/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "schema/base/text.h"

int fail(struct error *error, enum error_kind kind, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    text_mask(error->message);
    error->kind = kind;
    return -1;
}

int fail_errno(struct error *error, int errnum, const char *format, ...)
{
    char what[sizeof error->message];
    char reason[128];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return fail(error, ERROR_SYSTEM, "%.350s: %s", what, strerror_r(errnum, reason, sizeof reason));
}

int fail_context(struct error *error, const char *format, ...)
{
    char inner[sizeof error->message];
    char context[sizeof error->message];
    va_list args;
    memcpy(inner, error->message, sizeof inner);
    va_start(args, format);
    (void)vsnprintf(context, sizeof context, format, args);
    va_end(args);
    return fail(error, error->kind, "%.200s: %.300s", context, inner);
}

int fail_unless_missing(struct error *error, const struct error *problem)
{
    if (problem->kind == ERROR_MISSING)
        return 0;
    *error = *problem;
    return -1;
}
