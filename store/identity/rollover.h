/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's identity in the course of being replaced by another. Beside agent.pem and agent.crt
 * there are, in STATE/tls, next.pem and next.crt from the staging to the switch, and previous.pem
 * and previous.crt from the switch until the old identity is retired.
 *
 * What readers go by is certificates alone. They find, however a step was cut short, each that a
 * server may be showing: next.crt goes only once agent.crt is the same, and previous.crt is there
 * before agent.crt changes. The next step to be run completes what was left half-way.
 */
#ifndef FELHOM_ROLLOVER_H
#define FELHOM_ROLLOVER_H

#include <netinet/in.h>
#include <stdbool.h>

#include "store/identity/identity.h"

struct rollover {
    struct identity current;  /* agent.crt: what felhomd shows, or is about to */
    struct identity next;     /* see rollover_has */
    struct identity previous; /* see rollover_has */
};

/* What there is. ERROR_MISSING where not even agent.crt is. The caller frees it. */
int rollover_load(const char *state_dir, struct rollover *ret, struct error *error);
void rollover_free(struct rollover *rollover);

/* Whether there is such a one: of next and previous of a rollover. */
bool rollover_has(const struct identity *identity);

/* Which one felhomd shows, by the pins that it last told the store (NULL: it has told none): from a
 * switch until felhomd has taken it up that is still the previous. */
const struct identity *rollover_shown(const struct rollover *rollover, const struct pins *told);

/* The one to come after that which is shown; NULL where there is none. */
const struct identity *rollover_coming(const struct rollover *rollover, const struct pins *told);

/* The pins of the one to come, texts of "" where there is none; cheap while no rollover is under
 * way. */
int rollover_coming_pins(const char *state_dir, const struct pins *told, struct pins *ret,
                         struct error *error);

/* Adds all its certificates in PEM, the shown one first: a client that verifies with them takes a
 * server that has any. */
void rollover_certificates(const struct rollover *rollover, const struct pins *told,
                           struct buffer *out);

/*
 * The steps. *ret_changed: it was not done already. ERROR_CONFLICT, with what to do instead, where
 * it is not its turn. Each comes to its end, or leaves what the next run of any completes.
 */

/* Makes the next key and certificate, for the names that identity_ensure takes. */
int rollover_stage(const char *state_dir, const char *host_name, struct in_addr address,
                   bool *ret_changed, struct error *error);

/* The next one becomes the current one, and that the previous. */
int rollover_switch(const char *state_dir, bool *ret_changed, struct error *error);

/* Forgets the previous one. */
int rollover_retire(const char *state_dir, bool *ret_changed, struct error *error);

/* What a rollover's files in STATE/tls are called. Each certificate follows its PEM file, which
 * holds the key as well. */

#define NEXT_PEM_FILE             "next.pem"
#define NEXT_CERTIFICATE_FILE     "next.crt"
#define PREVIOUS_PEM_FILE         "previous.pem"
#define PREVIOUS_CERTIFICATE_FILE "previous.crt"

#endif
