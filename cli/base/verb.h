/* SPDX-License-Identifier: Apache-2.0 */
/* The interface of a verb: what it declares (struct verb) and what it is called with (struct
 * invocation). */
#ifndef FELHOM_VERB_H
#define FELHOM_VERB_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "schema/base/vmid.h"

#define VERB_OPTIONS_MAX 18

enum output_format { OUTPUT_TEXT, OUTPUT_JSON, OUTPUT_JSON_PRETTY, OUTPUT_YAML };

/* The formats have the same names as pvesh's. */
#define OUTPUT_FORMATS "text|json|json-pretty|yaml"

/* What may follow the verb. With OPERAND_VMID_OR_NONE and OPERAND_VMIDS (any number) the verb
 * itself checks the operands. OPERAND_WORD_OR_NONE: one of struct verb's words. */
enum operand {
    OPERAND_NONE,
    OPERAND_VMID,
    OPERAND_FILE,
    OPERAND_VMID_OR_NONE,
    OPERAND_VMIDS,
    OPERAND_REQUEST_ID,
    OPERAND_WORD_OR_NONE,
};

struct verb_option {
    const char *name;
    /* NULL: none; "a|b": one of these; "N", "SEQ": a whole number; else its name in the usage */
    const char *argument;
    const char *help;
};

/* What the operator requested. Texts are borrowed from argv. */
struct invocation {
    enum output_format format;
    const char *values[VERB_OPTIONS_MAX]; /* by option; NULL: not given; "": takes no argument */
    uint32_t vmid;                        /* with OPERAND_VMID; 0: not given */
    struct vmids vmids;                   /* with OPERAND_VMIDS, in the order given */
    const char *file;                     /* with OPERAND_FILE */
    const char *word;                     /* with OPERAND_WORD_OR_NONE; NULL: not given */
    const char *request_id;               /* with OPERAND_REQUEST_ID */
    FILE *out;                            /* for the result */
    FILE *warnings;                       /* for problems that do not stop the verb */
};

struct verb {
    const char *name;
    enum operand operand; /* what the verb takes */
    const char *help;
    /* Returns 0, -1 with an error, or another exit status if the result itself is bad news. */
    int (*run)(const struct invocation *invocation, struct error *error);
    const struct verb_option *options; /* set by VERB_OPTIONS, with the next */
    size_t option_count;
    const char *words; /* with OPERAND_WORD_OR_NONE: "a|b" */
    /* "--a|--b": the verb needs VMIDs or one of these options; NULL: no option stands for VMIDs. */
    const char *instead;
};

#define VERB_OPTIONS(array) .options = (array), .option_count = ARRAY_SIZE(array)

extern const struct verb verb_init;
extern const struct verb verb_enroll;
extern const struct verb verb_unenroll;
extern const struct verb verb_guests;
extern const struct verb verb_guest;
extern const struct verb verb_status;
extern const struct verb verb_events;
extern const struct verb verb_explain;
extern const struct verb verb_identity;
extern const struct verb verb_revoke;
extern const struct verb verb_rotate;
extern const struct verb verb_restore_test;
extern const struct verb verb_parse;
extern const struct verb verb_doctor;
extern const struct verb verb_firewall;

#endif
