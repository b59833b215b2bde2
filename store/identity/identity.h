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
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "schema/agent/pin.h"
#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "store/files/file.h"

struct identity {
    struct pins pins;
    int64_t valid_from_ms;         /* when the certificate becomes valid, since 1970 */
    int64_t valid_to_ms;           /* and until when it is */
    struct buffer certificate_pem; /* freed by identity_free */
};

/*
 * Loads STATE_DIR/tls/agent.crt and computes the pins; the key is not read. ERROR_MISSING where
 * there is none, ERROR_CORRUPT where it is no certificate.
 */
int identity_load(const char *state_dir, struct identity *ret, struct error *error);

/* Its two halves, for who reads more in STATE_DIR/tls. *ret_tls is to be freed in any case. */
int identity_open(const char *state_dir, struct owned_directory *ret_tls, struct error *error);
int identity_read(const struct owned_directory *tls, struct identity *ret, struct error *error);

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

/* What a PEM text with a certificate, and perhaps its key, says. */

/* Takes the certificate alone, whatever else the text has. with_key: its private key must be there,
 * too, and fit. Returns 0 or mbedTLS's code; the caller frees *ret with identity_free. */
int identity_parse(const struct buffer *pem, bool with_key, struct identity *ret);

/* How a TLS identity comes into being. */

/*
 * Adds a fresh P-256 key and its self-signed certificate, both in PEM, to out. The certificate
 * names address and host_name; characters that cannot stand in a DNS name become '-', and a name
 * without any becomes "felhom-agent".
 */
int identity_make(const char *host_name, struct in_addr address, struct buffer *out,
                  struct error *error);

/* Random bytes from the kernel, in the form in which mbedTLS asks for them. */
int identity_random(void *unused, unsigned char *out, size_t length);

/* STATE/tls, where keys and certificates lie: whose it is, one at a time in it, files that are
 * whole. */

#define TLS_PEM_FILE         "agent.pem" /* key and certificate: the truth */
#define TLS_CERTIFICATE_FILE "agent.crt" /* follows it */
#define TLS_FILE_LIMIT       ((size_t)65536)

/* Finds out whose the directory is to be: the state directory's owner's. *tls is to be freed in any
 * case. */
int tls_directory_locate(const char *state_dir, struct owned_directory *tls, struct error *error);

/* Opens it for reading. ERROR_MISSING where there is none. */
int tls_directory_open(struct owned_directory *tls, struct error *error);

/* Makes it where it is missing, keeps other processes that do so out until it is closed, and clears
 * away drafts that a killed run left. */
int tls_directory_make(struct owned_directory *tls, struct error *error);

/* Reads a file in it (the directory is open), or puts a new one in place, durably. */
int tls_directory_get(const struct owned_directory *tls, const char *name, struct buffer *out,
                      struct error *error);
int tls_directory_put(const struct owned_directory *tls, const char *name, mode_t mode,
                      const struct buffer *content, struct error *error);

/* Puts a certificate, for all to read, unless it is there already. Whatever else has the name goes:
 * a run was killed, or somebody meddled. */
int tls_directory_put_certificate(const struct owned_directory *tls, const char *name,
                                  const struct buffer *pem, struct error *error);

/* Fails with what mbedTLS's code says of a file, and what to do. */
int tls_directory_damaged(const struct owned_directory *tls, const char *name, int result,
                          const char *advice, struct error *error);

#endif
