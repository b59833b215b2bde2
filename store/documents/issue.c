/* SPDX-License-Identifier: Apache-2.0 */
#include "store/documents/issue.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/cgroup.h"
#include "store/base/clock.h"
#include "store/files/config_file.h"
#include "store/tables/event.h"

struct issue issue_new(const struct config *config, struct store *store, uint32_t vmid)
{
    return (struct issue){.config = config, .store = store, .vmid = vmid, .drafts = {.dirfd = -1}};
}

void issue_free(struct issue *issue)
{
    guest_config_free(&issue->guest);
    document_sources_free(&issue->sources);
    token_text_wipe(&issue->token.text);
    guest_drafts_free(&issue->drafts);
}

int issue_inspect(struct issue *issue, struct error *error)
{
    const struct config *config = issue->config;
    if (config_file_load_guest(config, issue->vmid, &issue->guest, error) < 0)
        return -1;
    if (issue->guest.kind == GUEST_LXC &&
        guest_mount_check(config, issue->vmid, &issue->guest, &issue->own, error) < 0)
        return -1;
    const char *idmap = issue->own.volume ? issue->own.volume->idmap : NULL;
    guest_config_disk_ids(&issue->guest, idmap, &issue->uid, &issue->gid);
    return 0;
}

int issue_make_directory(struct issue *issue, struct error *error)
{
    const struct config *config = issue->config;
    int *directory = &issue->drafts.dirfd;
    if (guest_directory_open(config->paths.guests, issue->vmid, issue->uid, issue->gid, directory,
                             error) < 0)
        return -1;
    if (issue->guest.kind == GUEST_LXC && issue->own.form != MOUNT_FORM_MP)
        (void)guest_mount_export(config, issue->vmid, *directory, &issue->unexported);
    return 0;
}

int issue_load_sources(struct issue *issue, struct error *error)
{
    return document_sources_load(issue->config, issue->vmid, issue->store, &issue->sources, error);
}

static bool guest_has_hwaddr(const struct config *config, uint32_t vmid,
                             const struct hwaddr *hwaddr)
{
    struct error ignored;
    cleanup(guest_config_free) struct guest_config guest = {0};
    if (config_file_load_guest(config, vmid, &guest, &ignored) < 0)
        return false;
    for (size_t i = 0; i < guest.nic_count; i++)
        if (guest.nics[i].has_hwaddr && memcmp(&guest.nics[i].hwaddr, hwaddr, sizeof *hwaddr) == 0)
            return true;
    return false;
}

/* The store may still have a guest that has left this node, or has another NIC by now. */
static int find_sharing_guest(struct issue *issue, const struct nic *nic, struct error *error)
{
    struct hwaddr_owners owners;
    if (nic_find_owners(issue->store, &nic->hwaddr, &owners, error) < 0)
        return -1;
    for (size_t i = 0; i < owners.count; i++) {
        if (owners.vmids[i] == issue->vmid ||
            !guest_has_hwaddr(issue->config, owners.vmids[i], &nic->hwaddr))
            continue;
        issue->shared = nic;
        issue->shared_with = owners.vmids[i];
        return 0;
    }
    return 0;
}

int issue_record(struct issue *issue, enum guest_state state, int64_t now_ms, struct error *error)
{
    const struct guest_config *config = &issue->guest;
    const struct buffer *enrolment = &issue->sources.controller.enrolment_text;
    struct store *store = issue->store;
    const struct nic *shared;
    struct guest guest = {
        .vmid = issue->vmid,
        .kind = config->kind,
        .state = state,
        .root_uid = config->root_uid,
        .root_gid = config->root_gid,
        .changed_at_ms = now_ms,
    };
    (void)snprintf(guest.name, sizeof guest.name, "%s", config->name);
    (void)snprintf(guest.mount_form, sizeof guest.mount_form, "%s",
                   mount_form_name(issue->own.form));
    if (guest_put_enrolled(store, &guest, enrolment, error) < 0 ||
        nic_replace_all_and_look(store, guest.vmid, config->nics, config->nic_count, &shared,
                                 error) < 0 ||
        (shared && find_sharing_guest(issue, shared, error) < 0))
        return -1;
    return mount_replace_all(store, guest.vmid, config->volumes, config->volume_count, error);
}

static int issue_add_event(const struct issue *issue, int64_t now_ms, struct error *error)
{
    char detail[64];
    (void)snprintf(detail, sizeof detail, "token %s gen %" PRId64, issue->token.text.id,
                   issue->token.generation);
    const struct event event = {
        .at_ms = now_ms,
        .vmid = issue->vmid,
        .kind = "mint",
        .outcome = "ok",
        .detail = detail,
        .source = issue->source,
        .duration_us = issue->started_us ? clock_steady_us() - issue->started_us : -1,
    };
    return event_add(issue->store, &event, error);
}

int issue_mint(struct issue *issue, int64_t now_ms, struct error *error)
{
    int64_t end_ms = token_life_end(now_ms, issue->config->token.max_age_ms);
    if (token_mint_prepared(issue->store, issue->vmid, now_ms, end_ms, &issue->token, error) < 0)
        return -1;
    return issue_add_event(issue, now_ms, error);
}

int issue_draft(struct issue *issue, struct error *error)
{
    if (token_prepare(&issue->token, error) < 0)
        return -1;
    return documents_draft(issue->config, &issue->sources, issue->token.text.text, issue->uid,
                           issue->gid, &issue->drafts, &issue->fault, error);
}

int issue_publish(struct issue *issue, struct error *error)
{
    return guest_drafts_publish(&issue->drafts, error);
}

static int issue_check_token(const struct token_text *token, struct store *store, uint32_t vmid,
                             enum token_verdict *ret, struct error *error)
{
    struct token_check check;
    if (token_check(store, token->text, strlen(token->text), clock_wall_ms(), &check, error) < 0)
        return -1;
    *ret = check.verdict == TOKEN_GOOD && check.vmid != vmid ? TOKEN_UNKNOWN : check.verdict;
    return 0;
}

int issue_check(const struct config *config, struct store *store, uint32_t vmid,
                struct guest_directory *ret_directory, enum token_verdict *ret, struct error *error)
{
    cleanup_token_text struct token_text token = {0};
    if (guest_directory_inspect_token(config->paths.guests, vmid, ret_directory, &token, error) < 0)
        return -1;
    *ret = TOKEN_MALFORMED;
    return ret_directory->token_id[0] ? issue_check_token(&token, store, vmid, ret, error) : 0;
}

bool issue_guest_runs(const struct config *config, enum guest_kind kind, uint32_t vmid,
                      const struct guest *row)
{
    enum cgroup_state state = cgroup_guest_state(config->paths.cgroup, kind, vmid);
    if (state == CGROUP_UNKNOWN)
        return row && (row->state == GUEST_RUNNING || row->state == GUEST_STOPPING);
    return state == CGROUP_RUNS;
}
