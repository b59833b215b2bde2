/* SPDX-License-Identifier: Apache-2.0 */
#include "store/identity/rollover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/file.h"
#include "store/identity/identity.h"

/*
 * The moment of a switch is the rename of next.pem to agent.pem. The copies to previous.* that are
 * made before it have no effect as long as they equal the current identity's files. The work after
 * it can be derived from agent.pem, and every step begins by completing it.
 */

#define STAGE_ADVICE "remove next.pem and next.crt there, then run felhomctl identity stage"

static int tls_file_check_exists(const struct owned_directory *tls, const char *name,
                                 bool *ret_there, struct error *error)
{
    struct stat status;
    *ret_there = fstatat(tls->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (*ret_there || errno == ENOENT)
        return 0;
    return fail_errno(error, errno, "cannot look at %s/%s", tls->path, name);
}

static int tls_file_remove(const struct owned_directory *tls, const char *name, struct error *error)
{
    if (unlinkat(tls->fd, name, 0) < 0 && errno != ENOENT)
        return fail_errno(error, errno, "cannot remove %s/%s", tls->path, name);
    return 0;
}

static int tls_directory_sync(const struct owned_directory *tls, struct error *error)
{
    return fsync(tls->fd) == 0 ? 0 : fail_errno(error, errno, "cannot sync %s", tls->path);
}

/* Writes the certificate that belongs to a PEM file, after checking that the file's key is good. */
static int rollover_put_certificate(const struct owned_directory *tls, const char *pem_name,
                                    const char *certificate_name, const char *advice,
                                    struct error *error)
{
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    cleanup(identity_free) struct identity identity = {.certificate_pem = BUFFER_EMPTY};
    if (tls_directory_get(tls, pem_name, &pem, error) < 0)
        return -1;
    int result = identity_parse(&pem, true, &identity);
    if (result != 0)
        return tls_directory_damaged(tls, pem_name, result, advice, error);
    return tls_directory_put_certificate(tls, certificate_name, &identity.certificate_pem, error);
}

/* Completes a switch after its rename. next.crt is removed last: until then, a reader that still
 * finds the old agent.crt also finds the new certificate. */
static int rollover_complete_switch(const struct owned_directory *tls, struct error *error)
{
    if (rollover_put_certificate(tls, TLS_PEM_FILE, TLS_CERTIFICATE_FILE,
                                 "restore it from a backup; felhomctl init tells more",
                                 error) < 0 ||
        tls_file_remove(tls, NEXT_CERTIFICATE_FILE, error) < 0)
        return -1;
    return tls_directory_sync(tls, error);
}

/* Which files exist, after an interrupted switch has been completed. */
struct rollover_files {
    bool next_pem;
    bool next;
    bool previous_pem;
    bool previous;
    bool was_half_switched;
};

static int rollover_find_files(const struct owned_directory *tls, struct rollover_files *ret,
                               struct error *error)
{
    ret->was_half_switched = false;
    if (tls_file_check_exists(tls, NEXT_PEM_FILE, &ret->next_pem, error) < 0 ||
        tls_file_check_exists(tls, NEXT_CERTIFICATE_FILE, &ret->next, error) < 0 ||
        tls_file_check_exists(tls, PREVIOUS_PEM_FILE, &ret->previous_pem, error) < 0 ||
        tls_file_check_exists(tls, PREVIOUS_CERTIFICATE_FILE, &ret->previous, error) < 0)
        return -1;
    return 0;
}

static int rollover_begin(const char *state_dir, struct owned_directory *tls,
                          struct rollover_files *ret, struct error *error)
{
    bool there;
    if (tls_directory_locate(state_dir, tls, error) < 0 || tls_directory_make(tls, error) < 0 ||
        tls_file_check_exists(tls, TLS_PEM_FILE, &there, error) < 0 ||
        rollover_find_files(tls, ret, error) < 0)
        return -1;
    if (!there)
        return fail(error, ERROR_MISSING, "%s/" TLS_PEM_FILE " is missing: run felhomctl init",
                    tls->path);
    if (ret->next_pem)
        return 0;
    ret->was_half_switched = ret->next;
    ret->next = false;
    return rollover_complete_switch(tls, error);
}

/* --- stage --- */

static int rollover_make_next(const struct owned_directory *tls, const char *host_name,
                              struct in_addr address, struct error *error)
{
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    if (identity_make(host_name, address, &pem, error) < 0)
        return -1;
    return tls_directory_put(tls, NEXT_PEM_FILE, 0600, &pem, error);
}

int rollover_stage(const char *state_dir, const char *host_name, struct in_addr address,
                   bool *ret_changed, struct error *error)
{
    struct rollover_files files;
    cleanup_owned_directory struct owned_directory tls;
    if (rollover_begin(state_dir, &tls, &files, error) < 0)
        return -1;
    if (!files.next_pem && files.previous)
        return fail(error, ERROR_CONFLICT,
                    "the identity before this one is not retired yet: felhomctl identity retire");
    if (!files.next_pem && rollover_make_next(&tls, host_name, address, error) < 0)
        return -1;
    if (rollover_put_certificate(&tls, NEXT_PEM_FILE, NEXT_CERTIFICATE_FILE, STAGE_ADVICE, error) <
        0)
        return -1;
    *ret_changed = !files.next;
    return 0;
}

/* --- switch --- */

static int tls_file_copy(const struct owned_directory *tls, const char *from, const char *to,
                         mode_t mode, struct error *error)
{
    cleanup_buffer struct buffer content = BUFFER_EMPTY;
    if (tls_directory_get(tls, from, &content, error) < 0)
        return -1;
    return tls_directory_put(tls, to, mode, &content, error);
}

static int rollover_put_next_in_place(const struct owned_directory *tls, struct error *error)
{
    if (renameat(tls->fd, NEXT_PEM_FILE, tls->fd, TLS_PEM_FILE) < 0)
        return fail_errno(error, errno, "cannot put %s/" NEXT_PEM_FILE " in place", tls->path);
    return tls_directory_sync(tls, error);
}

int rollover_switch(const char *state_dir, bool *ret_changed, struct error *error)
{
    struct rollover_files files;
    cleanup_owned_directory struct owned_directory tls;
    if (rollover_begin(state_dir, &tls, &files, error) < 0)
        return -1;
    *ret_changed = files.next;
    if (!files.next && files.previous && !files.next_pem)
        return 0;
    if (!files.next)
        return fail(error, ERROR_CONFLICT,
                    "no next identity is staged for guests to know: felhomctl identity stage");
    /* The certificate has been given out, but the switch happens only if its key is good, too. */
    if (rollover_put_certificate(&tls, NEXT_PEM_FILE, NEXT_CERTIFICATE_FILE, STAGE_ADVICE, error) <
            0 ||
        tls_file_copy(&tls, TLS_PEM_FILE, PREVIOUS_PEM_FILE, 0600, error) < 0 ||
        tls_file_copy(&tls, TLS_CERTIFICATE_FILE, PREVIOUS_CERTIFICATE_FILE, 0644, error) < 0 ||
        rollover_put_next_in_place(&tls, error) < 0)
        return -1;
    return rollover_complete_switch(&tls, error);
}

/* --- retire --- */

int rollover_retire(const char *state_dir, bool *ret_changed, struct error *error)
{
    struct rollover_files files;
    cleanup_owned_directory struct owned_directory tls;
    if (rollover_begin(state_dir, &tls, &files, error) < 0)
        return -1;
    if (files.next_pem || files.was_half_switched)
        return fail(error, ERROR_CONFLICT,
                    "the next identity is staged, but not served yet: felhomctl identity switch");
    /* The key is removed last, because readers ignore a key without a certificate. */
    if (tls_file_remove(&tls, PREVIOUS_CERTIFICATE_FILE, error) < 0 ||
        tls_file_remove(&tls, PREVIOUS_PEM_FILE, error) < 0 || tls_directory_sync(&tls, error) < 0)
        return -1;
    *ret_changed = files.previous || files.previous_pem;
    return 0;
}

void rollover_free(struct rollover *rollover)
{
    identity_free(&rollover->current);
    identity_free(&rollover->next);
    identity_free(&rollover->previous);
}

bool rollover_has(const struct identity *identity)
{
    return identity->certificate_pem.length > 0;
}

/* Leaves *ret unchanged if the file does not exist. */
static int rollover_load_certificate(const struct owned_directory *tls, const char *name,
                                     struct identity *ret, struct error *error)
{
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    struct error problem;
    if (tls_directory_get(tls, name, &pem, &problem) < 0)
        return fail_unless_missing(error, &problem);
    int result = identity_parse(&pem, false, ret);
    if (result == 0)
        return 0;
    return tls_directory_damaged(tls, name, result,
                                 "remove it and run the last felhomctl identity step again", error);
}

/* A next or previous certificate that equals the current one was left by an interrupted switch. */
static void rollover_forget_same(struct identity *identity, const struct identity *current)
{
    if (strcmp(identity->pins.leaf, current->pins.leaf) == 0)
        identity_free(identity);
}

/*
 * The order makes this safe against a switch at the same time: next is read before it can have
 * become current, and previous after it must exist.
 */
static int rollover_load_all(const struct owned_directory *tls, struct rollover *rollover,
                             struct error *error)
{
    if (rollover_load_certificate(tls, NEXT_CERTIFICATE_FILE, &rollover->next, error) < 0 ||
        identity_read(tls, &rollover->current, error) < 0)
        return -1;
    return rollover_load_certificate(tls, PREVIOUS_CERTIFICATE_FILE, &rollover->previous, error);
}

int rollover_load(const char *state_dir, struct rollover *ret, struct error *error)
{
    cleanup_owned_directory struct owned_directory tls;
    cleanup(rollover_free) struct rollover rollover = {0};
    if (identity_open(state_dir, &tls, error) < 0 || rollover_load_all(&tls, &rollover, error) < 0)
        return -1;
    rollover_forget_same(&rollover.next, &rollover.current);
    rollover_forget_same(&rollover.previous, &rollover.current);
    *ret = steal(rollover);
    return 0;
}

const struct identity *rollover_shown(const struct rollover *rollover, const struct pins *recorded)
{
    bool behind = recorded && rollover_has(&rollover->previous) &&
                  strcmp(recorded->leaf, rollover->previous.pins.leaf) == 0;
    return behind ? &rollover->previous : &rollover->current;
}

const struct identity *rollover_coming(const struct rollover *rollover, const struct pins *recorded)
{
    if (rollover_shown(rollover, recorded) == &rollover->previous)
        return &rollover->current;
    return rollover_has(&rollover->next) ? &rollover->next : NULL;
}

static int rollover_find_coming(const char *state_dir, const struct pins *recorded,
                                struct pins *ret, struct error *error)
{
    cleanup(rollover_free) struct rollover rollover = {0};
    if (rollover_load(state_dir, &rollover, error) < 0)
        return -1;
    const struct identity *coming = rollover_coming(&rollover, recorded);
    if (coming)
        *ret = coming->pins;
    return 0;
}

static bool rollover_is_under_way(const char *state_dir)
{
    struct stat status;
    cleanup_free char *next = mem_format("%s/tls/" NEXT_CERTIFICATE_FILE, state_dir);
    cleanup_free char *previous = mem_format("%s/tls/" PREVIOUS_CERTIFICATE_FILE, state_dir);
    return lstat(next, &status) == 0 || lstat(previous, &status) == 0;
}

int rollover_coming_pins(const char *state_dir, const struct pins *recorded, struct pins *ret,
                         struct error *error)
{
    *ret = (struct pins){.spki = ""};
    return rollover_is_under_way(state_dir) ? rollover_find_coming(state_dir, recorded, ret, error)
                                            : 0;
}

static void rollover_add_certificate(const struct identity *identity, struct buffer *out)
{
    buffer_add(out, identity->certificate_pem.data, identity->certificate_pem.length);
}

void rollover_certificates(const struct rollover *rollover, const struct pins *recorded,
                           struct buffer *out)
{
    const struct identity *all[] = {&rollover->current, &rollover->next, &rollover->previous};
    const struct identity *shown = rollover_shown(rollover, recorded);
    rollover_add_certificate(shown, out);
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        if (all[i] != shown)
            rollover_add_certificate(all[i], out);
    }
}
