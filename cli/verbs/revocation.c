/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs/revocation.h"

#include "schema/base/cleanup.h"
#include "store/base/clock.h"
#include "store/files/guest_directory.h"
#include "store/tables/credential.h"
#include "store/tables/token.h"

int revocation_in_transaction(struct store *store, uint32_t vmid, const char *reason,
                              int *ret_count, struct error *error)
{
    int64_t now_ms = clock_wall_ms();
    if (token_revoke_before(store, vmid, INT64_MAX, now_ms, reason, ret_count, error) < 0)
        return -1;
    return credential_doom(store, vmid, now_ms, error);
}

static int revoke_tokens(struct store *store, uint32_t vmid, const char *reason, int *ret_count,
                         struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0 ||
        revocation_in_transaction(store, vmid, reason, ret_count, error) < 0)
        return -1;
    return transaction_commit(&transaction, error);
}

/* The file goes first, so that it never holds a revoked token; the lock keeps a rotation from
 * writing a new token meanwhile. */
int revocation_run(const struct session *session, uint32_t vmid, const char *reason,
                   struct steps *steps, int *ret_count, struct error *error)
{
    struct error of_scrub;
    cleanup_close int lock = -1;
    if (guest_directory_lock(&session->config, vmid, &lock, error) < 0)
        return -1;
    int scrubbed = guest_directory_scrub(session->config.paths.guests, vmid, &of_scrub);
    if (revoke_tokens(session->store, vmid, reason, ret_count, error) < 0)
        return -1;
    steps_add(steps, *ret_count ? STEP_DONE : STEP_ALREADY, "tokens", "%d revoked", *ret_count);
    if (scrubbed < 0)
        return fail(error, of_scrub.kind, "all tokens are revoked, but %.400s", of_scrub.message);
    return 0;
}
