/* SPDX-License-Identifier: Apache-2.0 */
/* guests: one line for each guest that the store knows. */
#include "cli/output.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/verb.h"
#include "schema/base/cleanup.h"
#include "schema/json/json.h"

static const struct output_column columns[] = {
    {"VMID", "vmid", SHAPE_PLAIN},           {"NAME", "name", SHAPE_PLAIN},
    {"KIND", "kind", SHAPE_PLAIN},           {"STATE", "state", SHAPE_PLAIN},
    {"TOKEN", "token", SHAPE_PLAIN},         {"GEN", "token_generation", SHAPE_PLAIN},
    {"AGE", "token_age_seconds", SHAPE_AGE}, {"MOUNT", "mount", SHAPE_PLAIN},
};

struct listing {
    struct store *store;
    json_t *rows;
    struct error *error;
};

static int visit_guest(const struct guest *guest, void *context)
{
    const struct listing *listing = context;
    json_t *row = NULL;
    if (guest_report_row(listing->store, guest, &row, listing->error) < 0)
        return -1;
    json_append(listing->rows, row);
    return 0;
}

static int run(const struct invocation *invocation, struct error *error)
{
    cleanup_session struct session session = {.store = NULL};
    cleanup_json json_t *rows = json_array();
    if (session_open(&session, error) < 0)
        return -1;
    struct listing listing = {session.store, rows, error};
    if (guest_each(session.store, visit_guest, &listing, error) < 0)
        return -1;
    if (invocation->format != OUTPUT_TEXT)
        output_value(invocation, rows);
    else
        output_table(invocation->out, columns, ARRAY_SIZE(columns), rows);
    return 0;
}

const struct verb verb_guests = {
    .name = "guests",
    .help = "List the guests",
    .run = run,
};
