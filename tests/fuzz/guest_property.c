/* SPDX-License-Identifier: Apache-2.0 */
/* A property string of a guest's configuration, read by a schema with every kind of rule: what is
 * taken keeps to the rules, and what is refused says why. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/memory.h"
#include "schema/pve/guest_property.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const choices[] = {"veth", "tap", NULL};
static const struct property_range range = {1, 64};
static const struct property_rule rules[] = {
    {.name = "volume", .type = PROPERTY_TEXT, .required = true, .bare = true},
    {.name = "ro", .type = PROPERTY_BOOLEAN},
    {.name = "mtu", .type = PROPERTY_INTEGER, .range = &range},
    {.name = "rate", .type = PROPERTY_NUMBER},
    {.name = "type", .type = PROPERTY_TEXT, .values = choices},
    {.name = "file", .alias = "volume"},
};

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void check_list(const struct property_schema *schema, const struct property_list *list)
{
    demand(property_list_get(list, "volume") != NULL);
    for (size_t i = 0; i < list->count; i++) {
        demand(property_schema_find(schema, list->items[i].key) != NULL);
        demand(list->items[i].value && !strchr(list->items[i].value, ','));
    }
    const char *type = property_list_get(list, "type");
    demand(!type || strcmp(type, "veth") == 0 || strcmp(type, "tap") == 0);
    const char *mtu = property_list_get(list, "mtu");
    demand(!mtu || (atof(mtu) >= range.minimum && atof(mtu) <= range.maximum));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error;
    cleanup_property_list struct property_list list = {0};
    const struct property_schema schema = PROPERTY_SCHEMA(rules);
    cleanup_free char *text = mem_copy_text_n((const char *)data, size);
    if (property_string_parse(&schema, text, &list, &error) == 0)
        check_list(&schema, &list);
    else
        demand(error.kind == ERROR_INVALID && *error.message);
    return 0;
}
