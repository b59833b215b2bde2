/* SPDX-License-Identifier: Apache-2.0 */
/* What texts of settings files may look like. Lengths are the table's business. */
#ifndef FELHOM_TEXT_RULES_H
#define FELHOM_TEXT_RULES_H

#include "schema/yaml/keys.h"

extern const struct yaml_text_rule rule_name;    /* host and customer ids */
extern const struct yaml_text_rule rule_host_id; /* the same, as long as a DNS name */
extern const struct yaml_text_rule rule_line;    /* one line of anything */
extern const struct yaml_text_rule
    rule_word; /* the same without blanks: image references, user names */
extern const struct yaml_text_rule rule_interface; /* a network interface's name */
extern const struct yaml_text_rule rule_storage;   /* a Proxmox storage's id */
extern const struct yaml_text_rule rule_snippet;   /* STORAGE:snippets/NAME */
extern const struct yaml_text_rule rule_path;      /* absolute and plain */
extern const struct yaml_text_rule
    rule_mount_path; /* the same, fit for a mount line of a guest's config */
extern const struct yaml_text_rule rule_textfile;  /* a path that ends in .prom */
extern const struct yaml_text_rule rule_url;       /* http:// or https:// */
extern const struct yaml_text_rule rule_https;     /* https:// and an authority alone */
extern const struct yaml_text_rule rule_authority; /* HOST or HOST:PORT */
extern const struct yaml_text_rule rule_window;    /* HH:MM-HH:MM */

#endif
