/* SPDX-License-Identifier: Apache-2.0 */
/* revoke: a guest's tokens stop being good at once. */
#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/steps.h"
#include "cli/base/verb.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/documents/issue.h"
#include "store/files/config_file.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"

/* How the guest gets a token again. The caller frees it with free(). */
static char *next_text(const struct session *session, const struct guest *guest)
{
    struct error problem;
    cleanup(guest_config_free) struct guest_config config = {0};
    const char *start = "the guest gets a new token at its next start";
    if (config_file_load_guest(&session->config, guest->vmid, &config, &problem) < 0 &&
        problem.kind == ERROR_MISSING)
        return mem_format("nothing, as there is no guest %u on this node", guest->vmid);
    if (issue_guest_runs(&session->config, guest->kind, guest->vmid, guest))
        return mem_format("%s, or by felhomctl rotate %u", start, guest->vmid);
    return mem_copy_text(start);
}

static int revoke_guest(const struct session *session, uint32_t vmid, struct guest *ret_guest,
                        struct steps *steps, int *ret_count, struct error *error)
{
    if (guest_find(session->store, vmid, ret_guest, error) < 0 ||
        session_revoke(session, vmid, TOKEN_REVOKED_BY_OPERATOR, ret_count, error) < 0)
        return -1;
    steps_add_revoked(steps, *ret_count);
    cleanup_free char *detail = mem_format("%d tokens revoked", *ret_count);
    return *ret_count ? session_event(session, vmid, "revoke", detail, error) : 0;
}

static int run_revoke(const struct invocation *invocation, struct error *error)
{
    cleanup_session struct session session = {.store = NULL};
    cleanup(steps_free) struct steps steps = steps_new();
    cleanup_json json_t *report = json_object();
    struct guest guest;
    int count;
    if (session_open(&session, error) < 0 ||
        revoke_guest(&session, invocation->vmid, &guest, &steps, &count, error) < 0)
        return -1;
    cleanup_free char *next = next_text(&session, &guest);
    output_put_int(report, "vmid", invocation->vmid);
    output_put_int(report, "revoked", count);
    output_put_text(report, "next", next);
    steps_print(&steps, invocation, report);
    return 0;
}

const struct verb verb_revoke = {
    .name = "revoke",
    .operand = OPERAND_VMID,
    .help = "Revoke all of a guest's tokens now",
    .run = run_revoke,
};
