/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs/report.h"

#include <limits.h>
#include <string.h>

#include "cli/base/output.h"
#include "schema/agent/enrolment.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/json/json.h"
#include "store/base/clock.h"
#include "store/documents/settings.h"
#include "store/tables/event.h"
#include "store/tables/statistics.h"

static void put_known(json_t *report, const char *key, const char *text)
{
    if (*text)
        output_put_text(report, key, text);
    else
        json_set(report, key, json_null());
}

json_t *refusal_report(const struct explanation *explanation)
{
    json_t *report = json_object();
    output_put_text(report, "request_id", explanation->request_id);
    output_put_time(report, "at", explanation->at_ms);
    output_put_int(report, "status", explanation->status);
    output_put_text(report, "reason", explanation->reason);
    put_known(report, "method", explanation->method);
    put_known(report, "path", explanation->path);
    output_put_text(report, "source", explanation->source);
    output_put_vmid(report, "vmid", explanation->vmid);
    put_known(report, "token_id", explanation->token_id);
    put_known(report, "detail", explanation->detail);
    return report;
}

/* The reasons are those that felhomd gives; the first whose text and status fit is meant. */
static const struct {
    const char *reason; /* NULL: any */
    int status;         /* 0: any */
    const char *text;
} advices[] = {
    {"no token", 0, "have the client send the token of its directory: Authorization: Bearer TOKEN"},
    {"malformed token", 0,
     "the client sends something else than the file token holds, or not all of it: have it read "
     "the file anew, without its newline"},
    {"unknown token", 0,
     "the token is of another host or of a store of before: start the guest anew from outside, or "
     "felhomctl rotate VMID"},
    {"revoked token", 0,
     "the client keeps an old token: have it read the file anew whenever a request fails; if the "
     "file itself holds it, start the guest anew from outside"},
    {"expired token", 0,
     "have the client read the file anew; if the file itself holds it, felhomctl rotate VMID"},
    {"too many bad tokens", 0,
     "it may try again within a minute; look for the refusals before it, or raise "
     "limits.failures_per_source"},
    {"too many requests", 0,
     "have the client ask less often, or wait by GET /events; else raise "
     "limits.requests_per_source"},
    {"path of another guest", 0,
     "have the client leave out /guests/VMID: its token names the guest"},
    {"token of another guest", 0,
     "a guest holds another's token: felhomctl rotate VMID and find out how it came there; if it "
     "is one guest with a new network card, start it anew from outside"},
    {"malformed request", 0, "the client does not speak HTTP as it should: look at its request"},
    {"unknown path", 0, "the client asks for what does not exist: GET /openapi.yaml lists it all"},
    {"unknown method", 0, "the path is right, the method is not: see GET /openapi.yaml"},
    {NULL, 404, "there is no such thing for this guest, or it is switched off in agent.yaml"},
    {NULL, 409, "it can be asked for again once what stands in its way is over"},
    {NULL, 500, "mend the document that the detail names, then ask again"},
    {NULL, 503, "mend what the detail names; journalctl -u felhomd says more"},
    {NULL, 0, "the detail says what the request lacks: see GET /openapi.yaml"},
};

const char *refusal_advice(const struct explanation *explanation)
{
    size_t i = 0;
    while ((advices[i].reason && strcmp(advices[i].reason, explanation->reason) != 0) ||
           (advices[i].status && advices[i].status != explanation->status))
        i++;
    return advices[i].text;
}

static const struct output_column columns[] = {
    {"host id", "host_id", SHAPE_PLAIN},
    {"node", "node", SHAPE_PLAIN},
    {"endpoint", "endpoint", SHAPE_PLAIN},
    {"SPKI pin", "pin_spki_sha256", SHAPE_PLAIN},
    {"leaf pin", "pin_leaf_sha256", SHAPE_PLAIN},
    {"next SPKI pin", "next_pin_spki_sha256", SHAPE_PLAIN},
    {"next leaf pin", "next_pin_leaf_sha256", SHAPE_PLAIN},
    {"previous SPKI pin", "previous_pin_spki_sha256", SHAPE_PLAIN},
    {"previous leaf pin", "previous_pin_leaf_sha256", SHAPE_PLAIN},
    {"next step", "next_step", SHAPE_PLAIN},
    {"certificate", "certificate", SHAPE_PLAIN},
    {"valid from", "valid_from", SHAPE_PLAIN},
    {"valid to", "valid_to", SHAPE_PLAIN},
    {"settings", "settings", SHAPE_PLAIN},
    {"state", "state", SHAPE_PLAIN},
    {"guests", "guests", SHAPE_PLAIN},
    {"export", "export", SHAPE_PLAIN},
    {"enrolment", "enrolment", SHAPE_PLAIN},
};

json_t *host_report(const struct config *config, const struct host *host)
{
    json_t *report = json_object();
    cleanup_free char *certificate = mem_format("%s/tls/agent.crt", config->paths.state);
    const struct {
        const char *key;
        const char *text;
    } texts[] = {
        {"host_id", host->host_id},
        {"node", host->node},
        {"endpoint", host->endpoint},
        {"pin_spki_sha256", host->pins.spki},
        {"pin_leaf_sha256", host->pins.leaf},
        {"certificate", certificate},
        {"settings", settings_path()},
        {"state", config->paths.state},
        {"guests", config->paths.guests},
        {"export", config->paths.export},
        {"enrolment", config->paths.enrolment},
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        output_put_text(report, texts[i].key, texts[i].text);
    return report;
}

void host_report_print(FILE *out, const json_t *report)
{
    output_fields(out, columns, ARRAY_SIZE(columns), report);
}

json_t *event_report(const struct event *event)
{
    json_t *row = json_object();
    output_put_int(row, "seq", event->seq);
    output_put_time(row, "at", event->at_ms);
    output_put_vmid(row, "vmid", event->vmid);
    output_put_text(row, "kind", event->kind);
    output_put_text(row, "outcome", event->outcome);
    output_put_text(row, "source", event->source);
    output_put_text(row, "detail", event->detail);
    json_set(row, "duration_us",
             event->duration_us < 0 ? json_null() : json_integer(event->duration_us));
    return row;
}

#define MS_PER_SECOND 1000
#define EVENTS_SHOWN  10

static const char *token_state(const struct token_row *token, int64_t now_ms)
{
    if (token->revoked_at_ms)
        return "revoked";
    return token->expires_at_ms && token->expires_at_ms <= now_ms ? "expired" : "good";
}

static void put_token(json_t *object, const struct token_row *token)
{
    int64_t now_ms = clock_wall_ms();
    output_put_text(object, "token", token_state(token, now_ms));
    output_put_int(object, "token_generation", token->generation);
    output_put_int(object, "token_age_seconds", (now_ms - token->created_at_ms) / MS_PER_SECOND);
}

/* The newest comes first, and is enough. */
static int visit_newest_token(const struct token_row *token, void *context)
{
    put_token(context, token);
    return 1;
}

int guest_report_row(struct store *store, const struct guest *guest, json_t **ret,
                     struct error *error)
{
    cleanup_json json_t *row = json_object();
    output_put_int(row, "vmid", guest->vmid);
    output_put_text(row, "name", guest->name);
    output_put_text(row, "kind", guest_kind_name(guest->kind));
    output_put_text(row, "state", guest_state_name(guest->state));
    output_put_text(row, "token", "none");
    json_set(row, "token_generation", json_null());
    json_set(row, "token_age_seconds", json_null());
    output_put_text(row, "mount", guest->mount_form);
    if (token_each(store, guest->vmid, visit_newest_token, row, error) < 0)
        return -1;
    *ret = steal(row);
    return 0;
}

static int visit_token(const struct token_row *token, void *context)
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
    output_put_text(row, "key", nic->key);
    output_put_text(row, "hwaddr", nic->hwaddr);
    output_put_text(row, "bridge", nic->bridge);
    output_put_text(row, "ip", nic->ip);
    json_append(context, row);
    return 0;
}

/* The store hands them out oldest first. */
static int visit_event(const struct event *event, void *context)
{
    json_append(context, event_report(event));
    if (json_array_size(context) > EVENTS_SHOWN)
        (void)json_array_remove(context, 0);
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
        output_put_text(row, "key", mount->key);
        output_put_text(row, "source", mount->source);
        output_put_text(row, "storage", mount->storage);
        output_put_text(row, "mount_point", mount->mount_point);
        output_put_bool(row, "read_only", mount->read_only);
        output_put_bool(row, "backup", mount->backup);
        json_set(row, "size_bytes",
                 mount->size_bytes < 0 ? json_null() : json_integer(mount->size_bytes));
        json_append(list, row);
    }
    return 0;
}

/* All of the enrolment but its password. */
static int put_enrolment(struct store *store, uint32_t vmid, json_t *object, struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    if (guest_get_enrolment(store, vmid, &text, error) < 0 ||
        enrolment_parse("enrolment", buffer_text(&text), text.length, &enrolment, error) < 0)
        return -1;
    output_put_text(object, "customer_id", enrolment.customer_id);
    output_put_text(object, "customer_name", enrolment.customer_name);
    output_put_text(object, "customer_domain", enrolment.customer_domain);
    output_put_text(object, "customer_email", enrolment.customer_email);
    output_put_text(object, "image", enrolment.image);
    return 0;
}

/* A fresh list under the key, borrowed from the object. */
static json_t *put_list(json_t *object, const char *key)
{
    json_t *list = json_array();
    json_set(object, key, list);
    return list;
}

int guest_report_whole(struct store *store, const struct guest *guest, json_t **ret,
                       struct error *error)
{
    cleanup_json json_t *whole = NULL;
    if (guest_report_row(store, guest, &whole, error) < 0)
        return -1;
    output_put_time(whole, "changed_at", guest->changed_at_ms);
    output_put_int(whole, "root_uid", guest->root_uid);
    output_put_int(whole, "root_gid", guest->root_gid);
    if (put_enrolment(store, guest->vmid, whole, error) < 0 ||
        add_mounts(store, guest->vmid, put_list(whole, "mounts"), error) < 0 ||
        nic_each(store, guest->vmid, visit_nic, put_list(whole, "nics"), error) < 0 ||
        token_each(store, guest->vmid, visit_token, put_list(whole, "tokens"), error) < 0 ||
        event_each(store, guest->vmid, 0, INT_MAX, visit_event, put_list(whole, "events"), error) <
            0)
        return -1;
    *ret = steal(whole);
    return 0;
}
