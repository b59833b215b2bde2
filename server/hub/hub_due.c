/* SPDX-License-Identifier: Apache-2.0 */
#include "server/hub/hub_due.h"

#include <stdlib.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/tables/guest.h"

struct vmids {
    uint32_t *items;
    size_t count;
};

static void vmids_free(struct vmids *vmids)
{
    free(vmids->items);
}

static int keep_vmid(const struct guest *guest, void *context)
{
    struct vmids *vmids = context;
    vmids->items = mem_resize(vmids->items, vmids->count + 1, sizeof *vmids->items);
    vmids->items[vmids->count++] = guest->vmid;
    return 0;
}

void hub_errands_free(struct hub_errands *errands)
{
    for (size_t i = 0; i < errands->count; i++) {
        char *password = errands->items[i].password;
        explicit_bzero(password, strlen(password));
        free(password);
        free(errands->items[i].customer);
    }
    free(errands->items);
}

static void add(struct hub_errands *errands, const struct enrolment *enrolment,
                const struct hub_pull *pull)
{
    errands->items = mem_resize(errands->items, errands->count + 1, sizeof *errands->items);
    errands->items[errands->count++] = (struct hub_errand){
        .customer = mem_copy_text(enrolment->customer_id),
        .password = mem_copy_text(enrolment->hub_retrieval_password),
        .pull = *pull,
    };
}

/* No try is ever that far away: the clock was put back, or hub.poll was longer then. */
static bool is_too_far(const struct hub_look *look, int64_t at_ms)
{
    int64_t longest_ms = (int64_t)look->config->hub.poll_ms;
    return at_ms - look->now_ms > longest_ms + longest_ms / 8;
}

static bool is_due(const struct hub_look *look, const struct hub_pull *pull)
{
    bool is_new = pull->next_try_at_ms == 0;
    if (is_new || look->unreachable)
        return is_new;
    return pull->next_try_at_ms <= look->now_ms || is_too_far(look, pull->next_try_at_ms) ||
           (look->fresh && pull->failures > 0);
}

static void sort_in(const struct hub_look *look, const struct enrolment *enrolment,
                    const struct hub_pull *pull, struct hub_errands *errands)
{
    if (is_due(look, pull))
        add(errands, enrolment, pull);
    else if (pull->next_try_at_ms < errands->next_at_ms)
        errands->next_at_ms = pull->next_try_at_ms;
}

static int consider(struct store *store, const struct hub_look *look, uint32_t vmid,
                    const struct enrolment *enrolment, struct hub_errands *errands,
                    struct error *error)
{
    struct hub_pull pull;
    uint8_t origin[DIGEST_BYTES];
    if (hub_pull_get(store, vmid, &pull, error) < 0)
        return -1;
    if (!hub_origin(look->config->hub.url, enrolment, origin))
        return pull.vmid ? hub_config_forget(store, vmid, error) : 0;
    if (memcmp(pull.origin, origin, sizeof origin) != 0) {
        pull = (struct hub_pull){.vmid = vmid};
        memcpy(pull.origin, origin, sizeof origin);
    }
    if (!pull.refused)
        sort_in(look, enrolment, &pull, errands);
    return 0;
}

/* pre-start has refused what cannot be read: such an enrolment is an older one's. */
static int look_at(struct store *store, const struct hub_look *look, uint32_t vmid,
                   struct hub_errands *errands, struct error *error)
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    if (guest_get_enrolment(store, vmid, &text, error) < 0)
        return -1;
    if (enrolment_parse("enrolment", buffer_text(&text), text.length, &enrolment, error) < 0)
        return 0;
    return consider(store, look, vmid, &enrolment, errands, error);
}

static int compare(const void *a, const void *b)
{
    int64_t left = ((const struct hub_errand *)a)->pull.next_try_at_ms;
    int64_t right = ((const struct hub_errand *)b)->pull.next_try_at_ms;
    return (left > right) - (left < right);
}

int hub_errands_list(struct store *store, const struct hub_look *look, struct hub_errands *ret,
                     struct error *error)
{
    cleanup(vmids_free) struct vmids vmids = {0};
    struct hub_errands errands = {.next_at_ms = INT64_MAX};
    int result = guest_each(store, keep_vmid, &vmids, error);
    for (size_t i = 0; i < vmids.count && result == 0; i++)
        result = look_at(store, look, vmids.items[i], &errands, error);
    if (result < 0) {
        hub_errands_free(&errands);
        return -1;
    }
    if (errands.count > 1)
        qsort(errands.items, errands.count, sizeof *errands.items, compare);
    *ret = errands;
    return 0;
}
