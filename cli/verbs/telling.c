/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs/telling.h"

#include <string.h>

#include "schema/base/cleanup.h"
#include "store/base/clock.h"
#include "store/documents/documents.h"
#include "store/documents/live_directory.h"
#include "store/files/directory.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"

struct work {
    const struct session *session;
    uint32_t vmid;
    struct live_directory directory;
    struct token_text token;
    struct sources sources;
    struct guest_files files;
};

static void work_free(struct work *work)
{
    token_text_wipe(&work->token);
    sources_free(&work->sources);
    guest_files_free(&work->files);
}

static const char *guests_dir(const struct work *work)
{
    return work->session->config.paths.guests;
}

/* One that has ended by its age is the guest's until a rotation. */
static int check_token(const struct work *work, bool *ret_revoked, struct error *error)
{
    enum token_verdict verdict;
    if (token_recheck(work->session->store, work->directory.token_id, clock_wall_ms(), &verdict,
                      error) < 0)
        return -1;
    *ret_revoked = verdict != TOKEN_GOOD && verdict != TOKEN_EXPIRED;
    return 0;
}

static int is_live(struct work *work, bool *ret, struct error *error)
{
    struct guest guest;
    bool revoked;
    if (live_directory_look(guests_dir(work), work->vmid, &work->directory, error) < 0 ||
        guest_find(work->session->store, work->vmid, &guest, error) < 0 ||
        check_token(work, &revoked, error) < 0)
        return -1;
    *ret = work->directory.live && guest.state != GUEST_STOPPED && !revoked;
    return 0;
}

static int render(struct work *work, struct error *ret_left_out, struct error *error)
{
    const struct config *config = &work->session->config;
    if (live_directory_token(guests_dir(work), work->vmid, &work->token, error) < 0 ||
        sources_load(config, work->vmid, work->session->store, &work->sources, error) < 0)
        return -1;
    return documents_render(config, &work->sources, work->token.text, &work->files, ret_left_out,
                            error);
}

static bool holds(const struct work *work, const char *name, const struct buffer *content)
{
    struct error ignored;
    cleanup_buffer struct buffer there = BUFFER_EMPTY;
    return live_directory_read(guests_dir(work), work->vmid, name, &there, &ignored) == 0 &&
           there.length == content->length && memcmp(there.data, content->data, there.length) == 0;
}

static bool is_told(const struct work *work)
{
    return holds(work, "agent.crt", &work->files.agent_crt) &&
           holds(work, "controller.yaml", &work->files.controller_yaml) &&
           holds(work, "bootstrap.json", &work->files.bootstrap_json);
}

/* felhomd's sweep is not held back by the lock: what it scrubbed must not stay here after it. */
static int check_still_live(const struct work *work, struct error *error)
{
    bool revoked;
    if (check_token(work, &revoked, error) < 0)
        return -1;
    if (!revoked)
        return 0;
    if (guest_directory_scrub(guests_dir(work), work->vmid, error) < 0)
        return -1;
    return fail(error, ERROR_CONFLICT, "guest %u: its token was revoked meanwhile", work->vmid);
}

static int publish(const struct work *work, struct error *error)
{
    const struct live_directory *directory = &work->directory;
    cleanup(guest_drafts_free) struct guest_drafts drafts = {.dirfd = -1};
    if (guest_drafts_write(guests_dir(work), work->vmid, directory->uid, directory->gid,
                           &work->files, &drafts, error) < 0 ||
        guest_drafts_publish(&drafts, error) < 0)
        return -1;
    return check_still_live(work, error);
}

int telling_run(const struct session *session, uint32_t vmid, struct telling *ret,
                struct error *error)
{
    struct telling telling = {.outcome = TELLING_NOT_LIVE};
    cleanup(work_free) struct work work = {.session = session, .vmid = vmid};
    cleanup_close int lock = -1;
    bool live;
    if (guest_lock(&session->config, vmid, &lock, error) < 0 || is_live(&work, &live, error) < 0 ||
        (live && render(&work, &telling.left_out, error) < 0))
        return -1;
    if (live)
        telling.outcome = is_told(&work) ? TELLING_ALREADY : TELLING_DONE;
    if (telling.outcome == TELLING_DONE && publish(&work, error) < 0)
        return -1;
    *ret = telling;
    return 0;
}

/* What cannot be found out counts as owed. */
bool telling_is_owed(const struct session *session, uint32_t vmid, const struct identity *identity)
{
    bool live = true;
    struct error ignored;
    struct work work = {.session = session, .vmid = vmid};
    cleanup_buffer struct buffer certificates = BUFFER_EMPTY;
    if (is_live(&work, &live, &ignored) == 0 && !live)
        return false;
    return live_directory_read(guests_dir(&work), vmid, "agent.crt", &certificates, &ignored) < 0 ||
           !strstr(buffer_text(&certificates), buffer_text(&identity->certificate_pem));
}
