/* SPDX-License-Identifier: Apache-2.0 */
#include "store/identity/rollover.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/file.h"
#include "store/identity/identity.h"
#include "store/identity/rollover_files.h"

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

/* Leaves *ret as it is where there is none. */
static int load_certificate(const struct place *tls, const char *name, struct identity *ret,
                            struct error *error)
{
    cleanup_buffer struct buffer pem = BUFFER_EMPTY;
    struct error problem;
    if (tls_directory_get(tls, name, &pem, &problem) < 0) {
        if (problem.kind == ERROR_MISSING)
            return 0;
        *error = problem;
        return -1;
    }
    int result = identity_parse(&pem, false, ret);
    if (result == 0)
        return 0;
    return tls_directory_damaged(tls, name, result,
                                 "remove it and run the last felhomctl identity step again", error);
}

/* One that is the current one again is left over from a switch that was cut short. */
static void forget_same(struct identity *identity, const struct identity *current)
{
    if (strcmp(identity->pins.leaf, current->pins.leaf) == 0)
        identity_free(identity);
}

/*
 * The order holds against a switch meanwhile: the next one is looked for before it can have become
 * the current one, the previous one after it must have.
 */
static int load_all(const struct place *tls, struct rollover *rollover, struct error *error)
{
    if (load_certificate(tls, NEXT_CERTIFICATE_FILE, &rollover->next, error) < 0 ||
        identity_read(tls, &rollover->current, error) < 0)
        return -1;
    return load_certificate(tls, PREVIOUS_CERTIFICATE_FILE, &rollover->previous, error);
}

int rollover_load(const char *state_dir, struct rollover *ret, struct error *error)
{
    cleanup_place struct place tls;
    cleanup(rollover_free) struct rollover rollover = {0};
    if (identity_open(state_dir, &tls, error) < 0 || load_all(&tls, &rollover, error) < 0)
        return -1;
    forget_same(&rollover.next, &rollover.current);
    forget_same(&rollover.previous, &rollover.current);
    *ret = rollover;
    rollover = (struct rollover){0};
    return 0;
}

const struct identity *rollover_shown(const struct rollover *rollover, const struct pins *told)
{
    bool behind = told && rollover_has(&rollover->previous) &&
                  strcmp(told->leaf, rollover->previous.pins.leaf) == 0;
    return behind ? &rollover->previous : &rollover->current;
}

const struct identity *rollover_coming(const struct rollover *rollover, const struct pins *told)
{
    if (rollover_shown(rollover, told) == &rollover->previous)
        return &rollover->current;
    return rollover_has(&rollover->next) ? &rollover->next : NULL;
}

static int find_coming(const char *state_dir, const struct pins *told, struct pins *ret,
                       struct error *error)
{
    cleanup(rollover_free) struct rollover rollover = {0};
    if (rollover_load(state_dir, &rollover, error) < 0)
        return -1;
    const struct identity *coming = rollover_coming(&rollover, told);
    if (coming)
        *ret = coming->pins;
    return 0;
}

static bool is_under_way(const char *state_dir)
{
    struct stat status;
    cleanup_free char *next = mem_format("%s/tls/" NEXT_CERTIFICATE_FILE, state_dir);
    cleanup_free char *previous = mem_format("%s/tls/" PREVIOUS_CERTIFICATE_FILE, state_dir);
    return lstat(next, &status) == 0 || lstat(previous, &status) == 0;
}

int rollover_coming_pins(const char *state_dir, const struct pins *told, struct pins *ret,
                         struct error *error)
{
    *ret = (struct pins){.spki = ""};
    return is_under_way(state_dir) ? find_coming(state_dir, told, ret, error) : 0;
}

static void add_certificate(const struct identity *identity, struct buffer *out)
{
    buffer_add(out, identity->certificate_pem.data, identity->certificate_pem.length);
}

void rollover_certificates(const struct rollover *rollover, const struct pins *told,
                           struct buffer *out)
{
    const struct identity *all[] = {&rollover->current, &rollover->next, &rollover->previous};
    const struct identity *shown = rollover_shown(rollover, told);
    add_certificate(shown, out);
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        if (all[i] != shown)
            add_certificate(all[i], out);
    }
}
