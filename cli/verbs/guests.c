/* SPDX-License-Identifier: Apache-2.0 */
/* guests: one line for each guest that the store knows. */
#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/verb.h"
#include "cli/verbs/report.h"
#include "schema/base/cleanup.h"
#include "schema/json/json.h"

/* guest: all that the store knows of one guest. */

static const struct output_column fields[] = {
    {"vmid", "vmid", SHAPE_PLAIN},
    {"name", "name", SHAPE_PLAIN},
    {"kind", "kind", SHAPE_PLAIN},
    {"state", "state", SHAPE_PLAIN},
    {"since", "changed_at", SHAPE_PLAIN},
    {"root uid", "root_uid", SHAPE_PLAIN},
    {"root gid", "root_gid", SHAPE_PLAIN},
    {"mount", "mount", SHAPE_PLAIN},
    {"customer id", "customer_id", SHAPE_PLAIN},
    {"customer name", "customer_name", SHAPE_PLAIN},
    {"domain", "customer_domain", SHAPE_PLAIN},
    {"e-mail", "customer_email", SHAPE_PLAIN},
    {"image", "image", SHAPE_PLAIN},
};
static const struct output_column mounts[] = {
    {"MOUNT", "key", SHAPE_PLAIN},     {"AT", "mount_point", SHAPE_PLAIN},
    {"SOURCE", "source", SHAPE_PLAIN}, {"READ-ONLY", "read_only", SHAPE_PLAIN},
    {"BACKUP", "backup", SHAPE_PLAIN}, {"SIZE", "size_bytes", SHAPE_SIZE},
};
static const struct output_column nics[] = {
    {"NIC", "key", SHAPE_PLAIN},
    {"HWADDR", "hwaddr", SHAPE_PLAIN},
    {"BRIDGE", "bridge", SHAPE_PLAIN},
    {"IP", "ip", SHAPE_PLAIN},
};
static const struct output_column tokens[] = {
    {"TOKEN", "id", SHAPE_PLAIN},           {"GEN", "token_generation", SHAPE_PLAIN},
    {"STATE", "token", SHAPE_PLAIN},        {"AGE", "token_age_seconds", SHAPE_AGE},
    {"EXPIRES", "expires_at", SHAPE_PLAIN}, {"REASON", "revoked_reason", SHAPE_PLAIN},
};
static const struct output_column events[] = {
    {"EVENT", "at", SHAPE_PLAIN},        {"KIND", "kind", SHAPE_PLAIN},
    {"OUTCOME", "outcome", SHAPE_PLAIN}, {"SOURCE", "source", SHAPE_PLAIN},
    {"DETAIL", "detail", SHAPE_PLAIN},
};

static const struct {
    const char *key;
    const struct output_column *columns;
    size_t count;
} tables[] = {
    {"mounts", mounts, ARRAY_SIZE(mounts)},
    {"nics", nics, ARRAY_SIZE(nics)},
    {"tokens", tokens, ARRAY_SIZE(tokens)},
    {"events", events, ARRAY_SIZE(events)},
};

static void print_text(FILE *out, const json_t *whole)
{
    output_fields(out, fields, ARRAY_SIZE(fields), whole);
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
        output_section(out, tables[i].columns, tables[i].count,
                       json_object_get(whole, tables[i].key));
}

static int guest_run(const struct invocation *invocation, struct error *error)
{
    cleanup_session struct session session = {.store = NULL};
    cleanup_json json_t *whole = NULL;
    struct guest guest;
    if (session_open(&session, error) < 0 ||
        session_find_guest(&session, invocation->vmid, &guest, error) < 0 ||
        guest_report_whole(session.store, &guest, &whole, error) < 0)
        return -1;
    if (invocation->format != OUTPUT_TEXT)
        output_value(invocation, whole);
    else
        print_text(invocation->out, whole);
    return 0;
}

const struct verb verb_guest = {
    .name = "guest",
    .operand = OPERAND_VMID,
    .help = "Show all that is known of a guest",
    .run = guest_run,
};

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

static int guests_run(const struct invocation *invocation, struct error *error)
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
    .run = guests_run,
};
