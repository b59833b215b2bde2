/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/query.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 64 /* of a strange name, in an answer */

/* A part of the query. */
struct part {
    const char *text;
    size_t length;
};

static struct query_number *find_number(const struct part *name, struct query_number *numbers,
                                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(numbers[i].name) == name->length &&
            memcmp(numbers[i].name, name->text, name->length) == 0)
            return &numbers[i];
    }
    return NULL;
}

static int fail_unknown(const struct part *name, struct error *error)
{
    int shown = name->length < SHOWN_MAX ? (int)name->length : SHOWN_MAX;
    if (shown == 0)
        return fail(error, ERROR_INVALID, "the query has a parameter without a name");
    return fail(error, ERROR_INVALID, "%.*s: unknown parameter", shown, name->text);
}

/* What ends the digits is the parameter's end: '&' or the query's. */
static bool read_number(const struct part *digits, int64_t *ret)
{
    char *end;
    if (digits->length == 0 || strspn(digits->text, "0123456789") < digits->length)
        return false;
    errno = 0;
    *ret = strtoll(digits->text, &end, 10);
    return errno == 0;
}

static int take(const struct part *name, const struct part *value, struct query_number *numbers,
                size_t count, struct error *error)
{
    struct query_number *number = find_number(name, numbers, count);
    int64_t read;
    if (!number)
        return fail_unknown(name, error);
    if (number->given)
        return fail(error, ERROR_INVALID, "%s: is given twice", number->name);
    if (!read_number(value, &read) || read > number->max)
        return fail(error, ERROR_INVALID, "%s: must be a whole number from 0 to %" PRId64,
                    number->name, number->max);
    number->value = read;
    number->given = true;
    return 0;
}

int query_parse(const char *query, struct query_number *numbers, size_t count, struct error *error)
{
    while (query && *query) {
        struct part name = {query, strcspn(query, "=&")};
        const char *rest = query + name.length;
        struct part value = {rest + (*rest == '='), strcspn(rest + (*rest == '='), "&")};
        if (take(&name, &value, numbers, count, error) < 0)
            return -1;
        query = value.text + value.length;
        query += *query == '&';
    }
    return 0;
}
