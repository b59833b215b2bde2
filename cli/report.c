/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/report.h"

#include <limits.h>

#include "cli/event_report.h"
#include "cli/output.h"
#include "schema/agent/enrolment.h"
#include "schema/base/cleanup.h"
#include "schema/json/json.h"
#include "store/base/clock.h"
#include "store/tables/event.h"
#include "store/tables/statistics.h"

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
