/* SPDX-License-Identifier: Apache-2.0 */
/* events: the audit trail, those events too that guests never see. */
#include <limits.h>
#include <stdlib.h>

#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/verb.h"
#include "cli/verbs/report.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

#define SHOWN   100 /* unless a number or a beginning is given */
#define LOOK_MS 250

enum { OPTION_FOLLOW, OPTION_SINCE, OPTION_LIMIT };
static const struct verb_option options[] = {
    [OPTION_FOLLOW] = {"follow", NULL, "go on printing new events"},
    [OPTION_SINCE] = {"since", "SEQ", "only the events after number SEQ"},
    [OPTION_LIMIT] = {"limit", "N", "the newest N (default: 100; all with --since)"},
};

static const struct output_column columns[] = {
    {"SEQ", "seq", SHAPE_PLAIN},         {"AT", "at", SHAPE_PLAIN},
    {"VMID", "vmid", SHAPE_PLAIN},       {"KIND", "kind", SHAPE_PLAIN},
    {"OUTCOME", "outcome", SHAPE_PLAIN}, {"SOURCE", "source", SHAPE_PLAIN},
    {"DETAIL", "detail", SHAPE_PLAIN},
};
/* Fixed, as the rows to come are not known yet. */
static const size_t widths[ARRAY_SIZE(columns)] = {6, 20, 5, 12, 7, 10, 0};

struct trail {
    const struct invocation *invocation;
    struct session session;
    json_t *list;     /* NULL: each is printed at once */
    int64_t seen;     /* all up to this one are dealt with */
    int64_t versions; /* of the store when it was last looked into */
};

static void trail_free(struct trail *trail)
{
    json_decref(trail->list);
    session_close(&trail->session);
}

static void show_event(const struct trail *trail, json_t *row)
{
    const struct invocation *invocation = trail->invocation;
    if (trail->list) {
        if (json_array_append(trail->list, row) < 0)
            mem_exhausted();
    } else if (!output_value(invocation, row)) {
        output_row(invocation->out, columns, widths, ARRAY_SIZE(columns), row);
    }
}

static int visit_event(const struct event *event, void *context)
{
    struct trail *trail = context;
    cleanup_json json_t *row = event_report(event);
    show_event(trail, row);
    trail->seen = event->seq;
    return 0;
}

static int64_t number_or(const struct invocation *invocation, int option, int64_t otherwise)
{
    const char *value = invocation->values[option];
    return value ? strtoll(value, NULL, 10) : otherwise;
}

static int limit_of(const struct invocation *invocation)
{
    int64_t standard = invocation->values[OPTION_SINCE] ? INT_MAX : SHOWN;
    int64_t limit = number_or(invocation, OPTION_LIMIT, standard);
    return limit < INT_MAX ? (int)limit : INT_MAX;
}

/* Events that --limit leaves out must not be printed by --follow either: hence seen. */
static int show_past(struct trail *trail, struct error *error)
{
    const struct invocation *invocation = trail->invocation;
    struct store *store = trail->session.store;
    int64_t since = number_or(invocation, OPTION_SINCE, 0);
    int64_t newest;
    if (store_data_version(store, &trail->versions, error) < 0 ||
        event_newest(store, &newest, error) < 0)
        return -1;
    trail->seen = newest > since ? newest : since;
    return event_each_newest(store, invocation->vmid, since, limit_of(invocation), visit_event,
                             trail, error);
}

static int show_new(struct trail *trail, struct error *error)
{
    int64_t versions;
    if (store_data_version(trail->session.store, &versions, error) < 0)
        return -1;
    if (versions == trail->versions)
        return 0;
    trail->versions = versions;
    return event_each(trail->session.store, trail->invocation->vmid, trail->seen, INT_MAX,
                      visit_event, trail, error);
}

/* Ends at a signal, or when nobody reads the output any more. */
static int follow_events(struct trail *trail, struct error *error)
{
    FILE *out = trail->invocation->out;
    cleanup_close int interrupt = -1;
    if (session_interrupt_open(&interrupt, error) < 0)
        return -1;
    do {
        if (show_new(trail, error) < 0)
            return -1;
        if (fflush(out) == EOF)
            return fail(error, ERROR_SYSTEM, "cannot write the output");
    } while (!session_interrupt_wait_or_closed(interrupt, out, LOOK_MS));
    return 0;
}

static int run_events(const struct invocation *invocation, struct error *error)
{
    bool follows = invocation->values[OPTION_FOLLOW];
    cleanup(trail_free) struct trail trail = {.invocation = invocation};
    if (session_open(&trail.session, error) < 0)
        return -1;
    if (!follows && invocation->format != OUTPUT_TEXT)
        trail.list = json_array();
    if (show_past(&trail, error) < 0)
        return -1;
    if (trail.list)
        (void)output_value(invocation, trail.list);
    return follows ? follow_events(&trail, error) : 0;
}

const struct verb verb_events = {
    .name = "events",
    .operand = OPERAND_VMID_OR_NONE,
    .help = "Show the audit trail, the newest last",
    .run = run_events,
    VERB_OPTIONS(options),
};
