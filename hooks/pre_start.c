/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pre-start: the host learns what the guest is, and the guest gets its identity.
 *
 * The order is what makes a death at any instruction harmless. The new token becomes good and the
 * drafts of the files are complete before any file that the guest reads changes; older tokens end
 * only after the files hold the new one. So at no moment does a file hold a token that the server
 * refuses.
 *
 * What may keep the guest from starting is checked before the guest's lock is taken, so that a lock
 * that cannot be had is no way around it. What goes into the files is read under the lock: whoever
 * changes it then brings it to the guest's directory under the lock, too, before or after this.
 */
#include <stdio.h>

#include "hooks/reaction.h"
#include "schema/base/cleanup.h"
#include "store/base/clock.h"
#include "store/documents/documents.h"
#include "store/files/config_file.h"
#include "store/files/guest_directory.h"
#include "store/files/guest_mount.h"
#include "store/tables/credential.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"

/* What pre-start reads before it changes anything. */
struct arrival {
    struct guest_config guest;
    struct guest_mount own;
    struct document_sources sources;
    uint32_t uid; /* the owner of the directory on the host */
    uint32_t gid;
};

static void arrival_free(struct arrival *arrival)
{
    guest_config_free(&arrival->guest);
    document_sources_free(&arrival->sources);
}

static void cleanup_token_fn(struct token *token)
{
    token_text_wipe(&token->text);
}

static void report_skipped_lines(struct reaction *reaction, const struct guest_config *guest)
{
    if (guest->warning_count > 0)
        report_problem(reaction->report, "guest configuration: %s%s", guest->warnings[0],
                       guest->warning_count > 1 ? " (and more)" : "");
}

static void report_unseen_directory(struct reaction *reaction, const struct arrival *arrival)
{
    if (arrival->guest.kind == GUEST_LXC && arrival->own.form == MOUNT_FORM_NONE)
        report_problem(reaction->report,
                       "nothing mounts %s/%u into the guest; felhomctl enroll %u sets it up",
                       reaction->config->paths.export, reaction->vmid, reaction->vmid);
}

static int inspect_guest(struct reaction *reaction, struct arrival *arrival, struct error *error)
{
    const struct config *config = reaction->config;
    if (config_file_load_guest(config, reaction->vmid, &arrival->guest, error) < 0)
        return -1;
    report_skipped_lines(reaction, &arrival->guest);
    if (reaction_open_store(reaction, error) < 0)
        return -1;
    if (arrival->guest.kind == GUEST_LXC &&
        guest_mount_check(config, reaction->vmid, &arrival->guest, &arrival->own, error) < 0)
        return -1;
    report_unseen_directory(reaction, arrival);
    const char *idmap = arrival->own.volume ? arrival->own.volume->idmap : NULL;
    guest_config_disk_ids(&arrival->guest, idmap, &arrival->uid, &arrival->gid);
    return 0;
}

static int record_guest(struct reaction *reaction, const struct arrival *arrival, int64_t now_ms,
                        struct error *error)
{
    const struct guest_config *config = &arrival->guest;
    const struct buffer *enrolment = &arrival->sources.controller.enrolment_text;
    struct store *store = reaction->store;
    struct guest guest = {
        .vmid = reaction->vmid,
        .kind = config->kind,
        .state = GUEST_STARTING,
        .root_uid = config->root_uid,
        .root_gid = config->root_gid,
        .changed_at_ms = now_ms,
    };
    (void)snprintf(guest.name, sizeof guest.name, "%s", config->name);
    (void)snprintf(guest.mount_form, sizeof guest.mount_form, "%s",
                   mount_form_name(arrival->own.form));
    if (guest_put(store, &guest, error) < 0 ||
        guest_set_enrolment(store, guest.vmid, buffer_text(enrolment), enrolment->length, error) <
            0 ||
        nic_replace_all(store, guest.vmid, config->nics, config->nic_count, error) < 0)
        return -1;
    return mount_replace_all(store, guest.vmid, config->volumes, config->volume_count, error);
}

static int mint_token(struct reaction *reaction, int64_t now_ms, struct token *ret,
                      struct error *error)
{
    char detail[64];
    int64_t end_ms = token_life_end(now_ms, reaction->config->token.max_age_ms);
    if (token_mint(reaction->store, reaction->vmid, now_ms, end_ms, ret, error) < 0)
        return -1;
    (void)snprintf(detail, sizeof detail, "token %s gen %lld", ret->text.id,
                   (long long)ret->generation);
    return reaction_event(reaction, "mint", "ok", detail, error);
}

static int write_drafts(struct reaction *reaction, const struct arrival *arrival,
                        const struct token *token, struct guest_drafts *ret, struct error *error)
{
    struct error left_out;
    if (documents_draft(reaction->config, &arrival->sources, token->text.text, arrival->uid,
                        arrival->gid, ret, &left_out, error) < 0)
        return -1;
    if (left_out.kind != ERROR_NONE)
        report_problem(reaction->report, "controller.yaml is made without the hub: %s",
                       left_out.message);
    return 0;
}

/* The first transaction: all that the host believes of the guest, and a token that is good from its
 * commit on. */
static int mint_and_draft(struct reaction *reaction, const struct arrival *arrival,
                          struct token *token, int *older, struct guest_drafts *drafts,
                          struct error *error)
{
    int64_t now_ms = clock_wall_ms();
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(reaction->store, &transaction, error) < 0 ||
        record_guest(reaction, arrival, now_ms, error) < 0 ||
        mint_token(reaction, now_ms, token, error) < 0 ||
        token_count_before(reaction->store, reaction->vmid, token->generation, now_ms, older,
                           error) < 0 ||
        write_drafts(reaction, arrival, token, drafts, error) < 0)
        return -1;
    if (reaction_phase_event(reaction, error) < 0)
        return -1;
    return transaction_commit(&transaction, error);
}

/* The second one, needed only where the guest's last stop went by unseen. */
static int retire_older(struct reaction *reaction, int64_t generation, struct error *error)
{
    int count = 0;
    char detail[64];
    int64_t now_ms = clock_wall_ms();
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(reaction->store, &transaction, error) < 0 ||
        token_revoke_before(reaction->store, reaction->vmid, generation, now_ms,
                            "a newer token was minted", &count, error) < 0 ||
        credential_doom(reaction->store, reaction->vmid, now_ms, error) < 0)
        return -1;
    (void)snprintf(detail, sizeof detail, "%d older than gen %lld", count, (long long)generation);
    if (reaction_event(reaction, "revoke", "ok", detail, error) < 0)
        return -1;
    return transaction_commit(&transaction, error);
}

static int offer_export(struct reaction *reaction, const struct arrival *arrival, int directory,
                        struct error *error)
{
    if (arrival->guest.kind != GUEST_LXC || arrival->own.form == MOUNT_FORM_MP)
        return 0;
    if (guest_mount_export(reaction->config, reaction->vmid, directory, error) == 0)
        return 0;
    if (error->kind != ERROR_DENIED)
        return -1;
    report_problem(reaction->report, "%s; going on without it", error->message);
    return 0;
}

int react_pre_start(struct reaction *reaction, struct error *error)
{
    cleanup(arrival_free) struct arrival arrival = {0};
    cleanup(cleanup_token_fn) struct token token = {0};
    cleanup(guest_drafts_free) struct guest_drafts drafts = {.dirfd = -1};
    cleanup_close int lock = -1;
    int older = 0;
    if (inspect_guest(reaction, &arrival, error) < 0 ||
        guest_directory_lock(reaction->config, reaction->vmid, &lock, error) < 0 ||
        document_sources_load(reaction->config, reaction->vmid, reaction->store, &arrival.sources,
                              error) < 0 ||
        mint_and_draft(reaction, &arrival, &token, &older, &drafts, error) < 0 ||
        guest_drafts_publish(&drafts, error) < 0)
        return -1;
    if (older > 0 && retire_older(reaction, token.generation, error) < 0)
        return -1;
    if (offer_export(reaction, &arrival, drafts.dirfd, error) < 0)
        return -1;
    report_line(reaction->report,
                "felhom: %u pre-start: token gen %lld minted, mount populated (%d files), %.1f ms",
                reaction->vmid, (long long)token.generation, GUEST_FILE_COUNT,
                reaction_elapsed_ms(reaction));
    return 0;
}
