/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property strings, "local:8,mp=/data,ro=1": a list of KEY=VALUE between commas, of which one may
 * be a bare VALUE. What is allowed is said by a schema; Proxmox refuses the whole string for one
 * bad property, and so does this.
 */
#ifndef FELHOM_GUEST_PROPERTY_H
#define FELHOM_GUEST_PROPERTY_H

#include "schema/base/cleanup.h"
#include "schema/pve/guest_config.h"

enum property_type { PROPERTY_TEXT, PROPERTY_BOOLEAN, PROPERTY_INTEGER, PROPERTY_NUMBER };

struct property_range {
    double minimum;
    double maximum;
};

struct property_rule {
    const char *name;
    enum property_type type;
    bool required;
    bool bare;                          /* a value without a key is this one's */
    const char *alias;                  /* it is another name of this property */
    const char *name_of;                /* an alias: the property whose value the alias's name is */
    bool (*accepts)(const char *value); /* NULL: anything */
    const char *const *values; /* the only ones there are, NULL at the end; NULL: anything */
    const struct property_range *range; /* NULL: any number */
};

struct property_schema {
    const struct property_rule *rules;
    size_t count;
};

#define PROPERTY_SCHEMA(rules) ((struct property_schema){rules, ARRAY_SIZE(rules)})

struct property_list {
    struct property *items;
    size_t count;
};

/* Reads a property string. The list is the caller's to free with property_list_free. */
int property_string_parse(const struct property_schema *schema, const char *text,
                          struct property_list *ret, struct error *error);

/* Adds a property at the end; copies both texts. */
void property_list_add(struct property_list *list, const char *key, const char *value);

/* The property's value, NULL if there is none. */
const char *property_list_get(const struct property_list *list, const char *key);

void property_list_free(struct property_list *list);
#define cleanup_property_list cleanup(property_list_free)

/* The rule for a property, NULL if the schema has none. */
const struct property_rule *property_schema_find(const struct property_schema *schema,
                                                 const char *name);

/* "1" for 1, on, yes and true, "0" for 0, off, no and false in either case, NULL for anything else.
 */
const char *property_boolean(const char *text);

#endif
