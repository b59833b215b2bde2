/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules for texts in agent.yaml and in enrolments: which characters a text may contain, how long it
 * may be, and the words in which a message says so. The tables in config.c and enrolment.c name a
 * rule for each text key. Lengths are in bytes.
 */
#ifndef FELHOM_TEXT_RULES_H
#define FELHOM_TEXT_RULES_H

#include "schema/yaml/keys.h"

/* One line of any characters but control characters. */
extern const struct yaml_text_rule rule_line;
/* Like rule_line, without blanks: image references, user names. */
extern const struct yaml_text_rule rule_word;
/* Letters, digits, - _ and .: customer ids. */
extern const struct yaml_text_rule rule_name;
/* Like rule_name, up to the length of a DNS name. */
extern const struct yaml_text_rule rule_host_id;
/* The name of a network interface. */
extern const struct yaml_text_rule rule_interface;
/* The id of a Proxmox storage. */
extern const struct yaml_text_rule rule_storage;
/* A hookscript's volume: STORAGE:snippets/NAME. */
extern const struct yaml_text_rule rule_snippet;
/* An absolute path without . or .. components. */
extern const struct yaml_text_rule rule_path;
/* Like rule_path, safe in a mount line of a guest's configuration. */
extern const struct yaml_text_rule rule_mount_path;
/* Like rule_path, ending in .prom. */
extern const struct yaml_text_rule rule_textfile;
/* An http:// or https:// URL without a user name or a query. */
extern const struct yaml_text_rule rule_url;
/* https:// with HOST or HOST:PORT and no path. */
extern const struct yaml_text_rule rule_https;
/* HOST or HOST:PORT. */
extern const struct yaml_text_rule rule_authority;
/* A number of snapshots, from 0 to this. */
#define QUOTA_SNAPSHOTS_MOST 10000
extern const struct yaml_text_rule rule_snapshots;
/* A duration, as duration_parse reads it. */
extern const struct yaml_text_rule rule_duration;
/* A daily window: HH:MM-HH:MM. */
extern const struct yaml_text_rule rule_window;

#endif
