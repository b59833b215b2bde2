/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs/guest_memory.h"

#include <stdio.h>

#include "store/base/clock.h"
#include "store/base/running.h"
#include "store/tables/guest.h"

/* A guest that the hook has already seen keeps its state. */
static int describe(const struct session *session, const struct guest_memory *memory,
                    struct guest *ret, struct error *error)
{
    const struct config *config = &session->config;
    const struct guest_config *guest = memory->guest;
    uint32_t vmid = memory->vmid;
    struct error unknown;
    if (guest_find(session->store, vmid, ret, &unknown) < 0) {
        if (unknown.kind != ERROR_MISSING) {
            *error = unknown;
            return -1;
        }
        *ret = (struct guest){
            .vmid = vmid,
            .state = cgroup_has_guest(config->paths.cgroup, guest->kind, vmid) ? GUEST_RUNNING
                                                                               : GUEST_STOPPED,
            .changed_at_ms = clock_wall_ms(),
        };
    }
    ret->kind = guest->kind;
    (void)snprintf(ret->name, sizeof ret->name, "%s", guest->name);
    (void)snprintf(ret->mount_form, sizeof ret->mount_form, "%s", mount_form_name(memory->form));
    guest_config_disk_ids(guest, NULL, &ret->root_uid, &ret->root_gid);
    return 0;
}

static int put_all(const struct session *session, const struct guest_memory *memory,
                   const struct guest *guest, struct error *error)
{
    struct store *store = session->store;
    const struct buffer *text = memory->enrolment;
    if (guest_put(store, guest, error) < 0 ||
        guest_set_enrolment(store, guest->vmid, buffer_text(text), text->length, error) < 0)
        return -1;
    return memory->changed ? session_event(session, guest->vmid, "enroll", guest->mount_form, error)
                           : 0;
}

int guest_remember(const struct session *session, const struct guest_memory *memory,
                   struct error *error)
{
    struct store *store = session->store;
    struct guest guest;
    if (store_begin(store, error) < 0)
        return -1;
    if (describe(session, memory, &guest, error) == 0 &&
        put_all(session, memory, &guest, error) == 0 && store_commit(store, error) == 0)
        return 0;
    store_rollback(store);
    return -1;
}
