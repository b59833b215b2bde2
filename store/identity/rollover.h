/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replaces the host's TLS identity in three steps, so that guests learn the new pins before the
 * server shows the new certificate: stage creates next.pem and next.crt in STATE/tls, switch makes
 * them agent.pem and agent.crt and keeps the old ones as previous.pem and previous.crt, and retire
 * removes those.
 *
 * Readers look at certificates only. However a step was interrupted, they find every certificate
 * that a server may be showing: next.crt is removed only after agent.crt has become the same, and
 * previous.crt exists before agent.crt changes. The next step that is run completes an interrupted
 * one.
 */
#ifndef FELHOM_ROLLOVER_H
#define FELHOM_ROLLOVER_H

#include <netinet/in.h>
#include <stdbool.h>

#include "store/identity/identity.h"

struct rollover {
    struct identity current;  /* agent.crt: what felhomd shows or is about to show */
    struct identity next;     /* may be missing: see rollover_has */
    struct identity previous; /* may be missing: see rollover_has */
};

/* Loads the certificates of all identities that exist. ERROR_MISSING if even agent.crt does not.
 * The caller frees *ret with rollover_free. */
int rollover_load(const char *state_dir, struct rollover *ret, struct error *error);
void rollover_free(struct rollover *rollover);

/* Returns true if the identity (next or previous of a rollover) exists. */
bool rollover_has(const struct identity *identity);

/*
 * Returns the identity that felhomd shows. recorded: the pins that felhomd last recorded in the
 * store; NULL if it has recorded none. After a switch this is the previous identity until felhomd
 * has loaded the new one.
 */
const struct identity *rollover_shown(const struct rollover *rollover, const struct pins *recorded);

/* Returns the identity that felhomd will show after the present one; NULL if there is none. */
const struct identity *rollover_coming(const struct rollover *rollover,
                                       const struct pins *recorded);

/* Returns the pins of the identity that felhomd will show next, or empty texts if there is none.
 * Cheap while no rollover is under way. */
int rollover_coming_pins(const char *state_dir, const struct pins *recorded, struct pins *ret,
                         struct error *error);

/* Appends all certificates in PEM, the one that felhomd shows first. A client that trusts them all
 * accepts a server before and after a switch. */
void rollover_certificates(const struct rollover *rollover, const struct pins *recorded,
                           struct buffer *out);

/*
 * The three steps. *ret_changed is false if the step had been done before. A step out of order
 * fails with ERROR_CONFLICT and says what to do instead. An interrupted step is completed by the
 * next run of any step.
 */

/* Creates the next key and certificate, for the same names as identity_ensure. */
int rollover_stage(const char *state_dir, const char *host_name, struct in_addr address,
                   bool *ret_changed, struct error *error);

/* Makes the next identity the current one, and the current one the previous. */
int rollover_switch(const char *state_dir, bool *ret_changed, struct error *error);

/* Removes the previous identity. */
int rollover_retire(const char *state_dir, bool *ret_changed, struct error *error);

/* The files of a rollover in STATE/tls. Each certificate is a copy of the one in its PEM file,
 * which also contains the key. */

#define NEXT_PEM_FILE             "next.pem"
#define NEXT_CERTIFICATE_FILE     "next.crt"
#define PREVIOUS_PEM_FILE         "previous.pem"
#define PREVIOUS_CERTIFICATE_FILE "previous.crt"

#endif
