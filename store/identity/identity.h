/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's TLS identity: an ECDSA P-256 key and a self-signed certificate in STATE/tls, made once
 * and kept, as every guest pins it. Both stand in one PEM file, agent.pem (0600), so that they can
 * never disagree; agent.crt holds the certificate alone (0644).
 */
#ifndef FELHOM_IDENTITY_H
#define FELHOM_IDENTITY_H

#include <netinet/in.h>
#include <stdbool.h>

#include "schema/agent/pin.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "store/files/file.h"

struct identity {
    struct pins pins;
    struct buffer certificate_pem; /* freed by identity_free */
};

/*
 * Loads STATE_DIR/tls/agent.crt and computes the pins; the key is not read. ERROR_MISSING where
 * there is none, ERROR_CORRUPT where it is no certificate.
 */
int identity_load(const char *state_dir, struct identity *ret, struct error *error);

/* Its two halves, for who reads more in STATE_DIR/tls. *ret_tls is to be freed in any case. */
int identity_open(const char *state_dir, struct place *ret_tls, struct error *error);
int identity_read(const struct place *tls, struct identity *ret, struct error *error);

/*
 * Makes the identity where there is none (20 years, subject CN=host_name, subject alternative
 * names: the address and the host name), then loads it. Never replaces one. *ret_made tells whether
 * it was made now. The files get the state directory's owner.
 */
int identity_ensure(const char *state_dir, const char *host_name, struct in_addr address,
                    struct identity *ret, bool *ret_made, struct error *error);

/* Whether the key in agent.pem is that of the certificate in agent.crt. ERROR_MISSING and
 * ERROR_CORRUPT say which is wrong, and what to do. Nothing is changed. */
int identity_verify(const char *state_dir, struct error *error);

void identity_free(struct identity *identity);

#endif
