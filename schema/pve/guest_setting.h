/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of a guest's configuration (KEY: VALUE): which there are, what they may hold, and
 * what was set. */
#ifndef FELHOM_GUEST_SETTING_H
#define FELHOM_GUEST_SETTING_H

#include "schema/pve/guest_property.h"

enum setting_type { SETTING_TEXT, SETTING_BOOLEAN, SETTING_INTEGER, SETTING_NUMBER };

struct setting_rule {
    const char *name;
    unsigned family; /* 0: the name is the key; else the keys are NAME0 ... NAME(family - 1) */
    enum setting_type type;
    bool (*accepts)(const char *value);   /* of a text; NULL: anything */
    const struct property_schema *schema; /* of a property string; NULL: it is none */
    const char *stands_for;               /* the key that it is kept under, NULL: its own */
};

/* The rule for a key, NULL if Proxmox has no such setting (for QEMU guests: none that is read
 * here). */
const struct setting_rule *setting_find(enum guest_kind kind, const char *key);

/*
 * Checks a value against its rule. *ret becomes the value as Proxmox keeps it, "0" or "1" for
 * booleans; it is part of value or constant.
 */
int setting_check(const struct setting_rule *rule, const char *value, const char **ret,
                  struct error *error);

/* Settings as they were read. Keys and values belong to somebody else and outlive this. */
struct guest_settings {
    struct guest_setting {
        const char *key;
        const char *value;
        size_t order;
    } * items;
    size_t count;
    size_t capacity;
};

void settings_add(struct guest_settings *settings, const char *key, const char *value);

/* To be called after the last settings_add: sorts by key and lets the last of equal keys win. */
void settings_finish(struct guest_settings *settings);

/* A setting's value, NULL if it is not set. Only after settings_finish. */
const char *settings_get(const struct guest_settings *settings, const char *key);

void settings_free(struct guest_settings *settings);
#define cleanup_settings cleanup(settings_free)

#endif
