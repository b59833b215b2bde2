/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/pve_data.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/text.h"
#include "schema/json/json.h"

#define DIGITS_MAX 18 /* always within an int64_t */

int pve_data_fail(struct error *error, const char *what)
{
    return fail(error, ERROR_CORRUPT, "Proxmox: its reply is not as documented: %s", what);
}

int pve_data_read(const struct pve_reply *reply, json_type type, json_t **ret, struct error *error)
{
    cleanup_json json_t *document = NULL;
    struct error problem;
    char shown[sizeof problem.message / 2];
    if (json_read(reply->body, reply->length, &document, &problem) < 0) {
        shown_text(shown, sizeof shown, problem.message);
        return pve_data_fail(error, shown);
    }
    json_t *data = json_object_get(document, "data");
    if (!data || json_typeof(data) != type)
        return pve_data_fail(error, data ? "data is of another type" : "there is no data");
    *ret = json_incref(data);
    return 0;
}

static bool read_digits(const char *text, int64_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > DIGITS_MAX || text[digits])
        return false;
    *ret = strtoll(text, NULL, 10);
    return true;
}

bool pve_data_int(const json_t *object, const char *key, int64_t otherwise, int64_t *ret)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_string(value))
        return read_digits(json_string_value(value), ret);
    if (value && !json_is_null(value) && !json_is_integer(value))
        return false;
    *ret = json_is_integer(value) ? json_integer_value(value) : otherwise;
    return true;
}

const char *pve_data_text(const json_t *object, const char *key, const char *otherwise)
{
    const json_t *value = json_object_get(object, key);
    return !value || json_is_null(value) ? otherwise : json_string_value(value);
}
