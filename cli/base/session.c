/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/base/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>

#include "store/base/clock.h"
#include "store/base/nudge.h"
#include "store/db/token_record.h"
#include "store/files/config_file.h"
#include "store/files/guest_directory.h"
#include "store/tables/credential.h"
#include "store/tables/event.h"

int session_interrupt_open(int *ret_fd, struct error *error)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return fail_errno(error, errno, "cannot wait for signals");
    *ret_fd = fd;
    return 0;
}

void session_forbid_stops(void)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTSTP);
    (void)sigaddset(&signals, SIGTTOU);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
}

/* No lock is held while a verb waits, so the terminal may stop it. */
static bool poll_and_allow_stops(struct pollfd *polled, nfds_t count, int timeout_ms)
{
    sigset_t signals;
    const struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    (void)sigprocmask(SIG_BLOCK, NULL, &signals);
    (void)sigdelset(&signals, SIGTSTP);
    (void)sigdelset(&signals, SIGTTOU);
    return ppoll(polled, count, timeout_ms < 0 ? NULL : &timeout, &signals) > 0;
}

bool session_interrupt_wait(int fd, int timeout_ms)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    return poll_and_allow_stops(&polled, 1, timeout_ms);
}

/* poll reports a pipe without a reader as an error, even if no events are requested. */
bool session_interrupt_wait_or_closed(int fd, FILE *out, int timeout_ms)
{
    struct pollfd polled[] = {{.fd = fd, .events = POLLIN}, {.fd = fileno(out)}};
    return poll_and_allow_stops(polled, 2, timeout_ms);
}

/* Takes over the configuration. */
static int session_open_store(struct config *config, struct session *ret, struct error *error)
{
    struct session session = {.config = *config};
    token_record_use(session.config.paths.run);
    if (store_open(session.config.paths.state, STORE_OPEN_EXISTING, SESSION_BUSY_MS, &session.store,
                   error) < 0) {
        session_close(&session);
        return -1;
    }
    *ret = session;
    return 0;
}

int session_open(struct session *ret, struct error *error)
{
    struct config config;
    return config_file_load(&config, error) < 0 ? -1 : session_open_store(&config, ret, error);
}

int session_open_unattended(struct session *ret, struct error *ret_fault, struct error *error)
{
    struct config config;
    ret_fault->kind = ERROR_NONE;
    if (config_file_load(&config, error) < 0) {
        if (!config_file_recover(&config)) {
            token_record_use(config.paths.run);
            config_free(&config);
            return -1;
        }
        (void)fail(ret_fault, error->kind,
                   "%.300s: until that is corrected, %s" CONFIG_FILE_KEPT " is in force",
                   error->message, config_file_path());
    }
    return session_open_store(&config, ret, error);
}

void session_close(struct session *session)
{
    if (session->store && store_has_written(session->store))
        nudge_send(session->config.paths.state);
    store_close(session->store);
    config_free(&session->config);
}

static int add_event(const struct session *session, uint32_t vmid, const char *kind,
                     const char *outcome, const char *detail, struct error *error)
{
    const struct event event = {
        .at_ms = clock_wall_ms(),
        .vmid = vmid,
        .kind = kind,
        .outcome = outcome,
        .detail = detail,
        .source = "felhomctl",
        .duration_us = -1,
    };
    return event_add(session->store, &event, error);
}

int session_event(const struct session *session, uint32_t vmid, const char *kind,
                  const char *detail, struct error *error)
{
    return add_event(session, vmid, kind, "ok", detail, error);
}

void session_event_failed(const struct session *session, uint32_t vmid, const char *kind,
                          const char *why)
{
    struct error ignored;
    (void)add_event(session, vmid, kind, "error", why, &ignored);
}

static int revoke_tokens(struct store *store, uint32_t vmid, const char *reason, int *ret_count,
                         struct error *error)
{
    cleanup_transaction struct transaction transaction = {0};
    if (transaction_begin(store, &transaction, error) < 0 ||
        credential_revoke_all(store, vmid, clock_wall_ms(), reason, ret_count, error) < 0)
        return -1;
    return transaction_commit(&transaction, error);
}

/* The file goes first, so that it never holds a revoked token; the lock keeps a rotation from
 * writing a new token meanwhile. */
int session_revoke(const struct session *session, uint32_t vmid, const char *reason, int *ret_count,
                   struct error *error)
{
    struct error of_scrub;
    cleanup_close int lock = -1;
    if (guest_directory_lock(&session->config, vmid, &lock, error) < 0)
        return -1;
    int scrubbed = guest_directory_scrub(session->config.paths.guests, vmid, &of_scrub);
    if (revoke_tokens(session->store, vmid, reason, ret_count, error) < 0)
        return -1;
    if (scrubbed < 0)
        return fail(error, of_scrub.kind, "all tokens are revoked, but %.400s", of_scrub.message);
    return 0;
}

int session_find_guest(const struct session *session, uint32_t vmid, struct guest *ret,
                       struct error *error)
{
    if (guest_find(session->store, vmid, ret, error) == 0)
        return 0;
    if (error->kind != ERROR_MISSING)
        return -1;
    return fail(error, ERROR_MISSING, "guest %u is not known on this host: run felhomctl enroll %u",
                vmid, vmid);
}
