/* SPDX-License-Identifier: Apache-2.0 */
/* guests: one line for each guest that the store knows; guest: all that it knows of one guest. */
#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/verb.h"
#include "cli/pve/guest_reach.h"
#include "cli/verbs/report.h"
#include "schema/agent/enrolment.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "schema/json/json.h"
#include "store/base/clock.h"
#include "store/files/config_file.h"
#include "store/tables/event.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"

#define EVENTS_SHOWN 10

static void put_token(json_t *object, const struct token_life *token)
{
    int64_t now_ms = clock_wall_ms();
    output_put_text(object, "token", token_verdict_name(token_life_verdict(token, now_ms)));
    output_put_int(object, "token_generation", token->generation);
    output_put_int(object, "token_age_seconds", (now_ms - token->created_at_ms) / SECOND_MS);
}

/* The newest comes first, and is enough. */
static int visit_newest_token(const struct token_life *token, void *context)
{
    put_token(context, token);
    return 1;
}

/* The guest's row in the list of guests. */
static int guest_row(struct store *store, const struct guest *guest, json_t **ret,
                     struct error *error)
{
    cleanup_json json_t *row = json_object();
    output_put_int(row, "vmid", guest->vmid);
    output_put_texts(row, "name", guest->name, "kind", guest_kind_names[guest->kind], "state",
                     guest_state_names[guest->state], "token", "none");
    json_set(row, "token_generation", json_null());
    json_set(row, "token_age_seconds", json_null());
    output_put_text(row, "mount", guest->mount_form);
    if (token_each(store, guest->vmid, visit_newest_token, row, error) < 0)
        return -1;
    *ret = steal(row);
    return 0;
}

static int visit_token(const struct token_life *token, void *context)
{
    json_t *row = json_object();
    output_put_text(row, "id", token->id);
    put_token(row, token);
    output_put_time(row, "minted_at", token->created_at_ms);
    output_put_time(row, "expires_at", token->expires_at_ms);
    output_put_time(row, "revoked_at", token->revoked_at_ms);
    output_put_text(row, "revoked_reason", token->revoked_reason);
    json_append(context, row);
    return 0;
}

static int visit_nic(const struct nic_row *nic, void *context)
{
    json_t *row = json_object();
    output_put_texts(row, "key", nic->key, "hwaddr", nic->hwaddr, "bridge", nic->bridge, "ip",
                     nic->ip);
    json_append(context, row);
    return 0;
}

static int visit_event(const struct event *event, void *context)
{
    json_append(context, event_report(event));
    return 0;
}

static int add_mounts(struct store *store, uint32_t vmid, json_t *list, struct error *error)
{
    cleanup(mount_list_free) struct mount_list mounts = {0};
    if (mount_list(store, vmid, &mounts, error) < 0)
        return -1;
    for (size_t i = 0; i < mounts.count; i++) {
        const struct mount *mount = &mounts.items[i];
        json_t *row = json_object();
        output_put_texts(row, "key", mount->key, "source", mount->source, "storage", mount->storage,
                         "mount_point", mount->mount_point);
        output_put_bool(row, "read_only", mount->read_only);
        output_put_bool(row, "backup", mount->backup);
        json_set(row, "size_bytes", json_integer_or_null(mount->size_bytes));
        json_append(list, row);
    }
    return 0;
}

/* Adds a limit of the quota, as a text and as a number; 0: there is no limit. own: what the guest's
 * enrolment says of it; "" if nothing. */
static void add_limit(json_t *list, const char *key, const char *limit, int64_t value,
                      const char *own)
{
    json_t *row = json_object();
    output_put_texts(row, "key", key, "limit", value ? limit : "none");
    output_put_int(row, "value", value);
    output_put_text(row, "set_by", *own ? "enrolment" : "agent.yaml");
    json_append(list, row);
}

/* The value of an interval is in seconds. */
static void add_interval(json_t *list, const char *key, uint64_t ms, const char *own)
{
    cleanup_free char *limit = duration_format(ms);
    add_limit(list, key, limit, (int64_t)(ms / SECOND_MS), own);
}

/* What felhomd allows the guest: by its enrolment, else by agent.yaml. */
static json_t *quota_report(const struct config *config, const struct enrolment *enrolment)
{
    json_t *list = json_array();
    const struct quota quota = enrolment_quota(enrolment, &config->quota);
    cleanup_free char *snapshots = mem_format("%u", quota.snapshots);
    add_limit(list, "snapshots", snapshots, quota.snapshots, enrolment->quota_snapshots);
    add_interval(list, "snapshot_interval", quota.snapshot_interval_ms,
                 enrolment->quota_snapshot_interval);
    add_interval(list, "backup_interval", quota.backup_interval_ms,
                 enrolment->quota_backup_interval);
    return list;
}

/* All of the enrolment but its password; of one with a mistake, what is valid, as felhomd does. */
static int put_enrolment(const struct session *session, uint32_t vmid, json_t *object,
                         struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    if (guest_get_enrolment(session->store, vmid, &text, error) < 0)
        return -1;
    enrolment_salvage(buffer_text(&text), text.length, &enrolment);
    json_set(object, "quota", quota_report(&session->config, &enrolment));
    output_put_texts(object, "customer_id", enrolment.customer_id, "customer_name",
                     enrolment.customer_name, "customer_domain", enrolment.customer_domain,
                     "customer_email", enrolment.customer_email, "image", enrolment.image);
    return 0;
}

/* A fresh list under the key, borrowed from the object. */
static json_t *put_list(json_t *object, const char *key)
{
    json_t *list = json_array();
    json_set(object, key, list);
    return list;
}

static void add_reach(json_t *list, const struct guest_reach *reach, const struct reach_host *host,
                      const struct reach *one)
{
    json_t *row = json_object();
    cleanup_free char *words = reach_words(host, &reach->guest, one);
    cleanup_free char *remedy = reach_remedy(host, &reach->guest, one);
    output_put_texts(row, "nic", one->nic ? one->nic->key : "", "verdict",
                     reach_verdict_name(one->verdict), "reason", reach_reason_name(one->reason),
                     "text", words);
    if (remedy)
        output_put_text(row, "remedy", remedy);
    else
        json_set(row, "remedy", json_null());
    json_append(list, row);
}

/* Whether the guest reaches felhomd: by each of its NICs as its configuration is now. Of a guest
 * that is not on this node nothing is said. */
static void put_reach(const struct session *session, uint32_t vmid, json_t *object)
{
    struct error ignored;
    json_t *list = put_list(object, "reach");
    cleanup(guest_config_free) struct guest_config config = {0};
    if (config_file_load_guest(&session->config, vmid, &config, &ignored) < 0)
        return;
    cleanup(node_nics_free) struct node_nics nics = node_nics_load(&session->config);
    cleanup(node_reach_free) struct node_reach node = node_reach_load(&session->config, &nics);
    if (!node.is_loaded)
        return;
    cleanup(guest_reach_free) struct guest_reach reach = node_reach_judge(&node, vmid, &config);
    output_put_text(object, "reaches", reach_verdict_name(reach.whole.verdict));
    if (!reach.whole.nic)
        add_reach(list, &reach, &node.facts.host, &reach.whole);
    for (size_t i = 0; i < reach.count; i++)
        add_reach(list, &reach, &node.facts.host, &reach.nics[i]);
}

/* All that is known of the guest: its quota, mounts, NICs, tokens (never a secret), newest
 * events. */
static int guest_report(const struct session *session, const struct guest *guest, json_t **ret,
                        struct error *error)
{
    struct store *store = session->store;
    cleanup_json json_t *whole = NULL;
    if (guest_row(store, guest, &whole, error) < 0)
        return -1;
    output_put_time(whole, "changed_at", guest->changed_at_ms);
    output_put_int(whole, "root_uid", guest->root_uid);
    output_put_int(whole, "root_gid", guest->root_gid);
    if (put_enrolment(session, guest->vmid, whole, error) < 0 ||
        add_mounts(store, guest->vmid, put_list(whole, "mounts"), error) < 0 ||
        nic_each(store, guest->vmid, visit_nic, put_list(whole, "nics"), error) < 0 ||
        token_each(store, guest->vmid, visit_token, put_list(whole, "tokens"), error) < 0 ||
        event_each_newest(store, guest->vmid, 0, EVENTS_SHOWN, visit_event,
                          put_list(whole, "events"), error) < 0)
        return -1;
    put_reach(session, guest->vmid, whole);
    *ret = steal(whole);
    return 0;
}

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
static const struct output_column quota[] = {
    {"QUOTA", "key", SHAPE_PLAIN},
    {"LIMIT", "limit", SHAPE_PLAIN},
    {"SET BY", "set_by", SHAPE_PLAIN},
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
static const struct output_column reach[] = {
    {"NIC", "nic", SHAPE_PLAIN},
    {"REACHES FELHOMD", "verdict", SHAPE_PLAIN},
    {"WHY", "text", SHAPE_PLAIN},
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
    {"quota", quota, ARRAY_SIZE(quota)},    {"mounts", mounts, ARRAY_SIZE(mounts)},
    {"nics", nics, ARRAY_SIZE(nics)},       {"reach", reach, ARRAY_SIZE(reach)},
    {"tokens", tokens, ARRAY_SIZE(tokens)}, {"events", events, ARRAY_SIZE(events)},
};

/* As text, a remedy follows its reason: both are too long for columns of their own. */
static void join_remedies(const json_t *whole)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(whole, "reach"), i, row)
    {
        const char *remedy = json_get_text(row, "remedy", NULL);
        if (!remedy)
            continue;
        cleanup_free char *text =
            mem_format("%s; remedy: %s", json_get_text(row, "text", ""), remedy);
        output_put_text(row, "text", text);
    }
}

static void print_text(FILE *out, const json_t *whole)
{
    join_remedies(whole);
    output_fields(out, fields, ARRAY_SIZE(fields), whole);
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
        output_section(out, tables[i].columns, tables[i].count,
                       json_object_get(whole, tables[i].key));
}

static int run_guest(const struct invocation *invocation, struct error *error)
{
    cleanup_session struct session session = {.store = NULL};
    cleanup_json json_t *whole = NULL;
    struct guest guest;
    if (session_open(&session, error) < 0 ||
        session_find_guest(&session, invocation->vmid, &guest, error) < 0 ||
        guest_report(&session, &guest, &whole, error) < 0)
        return -1;
    if (!output_value(invocation, whole))
        print_text(invocation->out, whole);
    return 0;
}

const struct verb verb_guest = {
    .name = "guest",
    .operand = OPERAND_VMID,
    .help = "Show all that is known of a guest",
    .run = run_guest,
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
    if (guest_row(listing->store, guest, &row, listing->error) < 0)
        return -1;
    json_append(listing->rows, row);
    return 0;
}

static int run_guests(const struct invocation *invocation, struct error *error)
{
    cleanup_session struct session session = {.store = NULL};
    cleanup_json json_t *rows = json_array();
    if (session_open(&session, error) < 0)
        return -1;
    struct listing listing = {session.store, rows, error};
    if (guest_each(session.store, visit_guest, &listing, error) < 0)
        return -1;
    if (!output_value(invocation, rows))
        output_table(invocation->out, columns, ARRAY_SIZE(columns), rows);
    return 0;
}

const struct verb verb_guests = {
    .name = "guests",
    .help = "List the guests",
    .run = run_guests,
};
