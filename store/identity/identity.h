/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's TLS identity: an ECDSA P-256 key and a self-signed certificate in STATE/tls, created
 * once and kept, because every guest pins it. agent.pem (0600) contains both key and certificate,
 * so that they always match; agent.crt (0644) contains the certificate alone and is derived from
 * agent.pem. rollover.h replaces the identity. The functions identity_... load, check and create an
 * identity; tls_directory_... read and write files in STATE/tls.
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
    int64_t valid_to_ms;           /* when it expires */
    struct buffer certificate_pem; /* freed by identity_free */
};

/*
 * Loads STATE_DIR/tls/agent.crt and computes the pins; the key is not read. ERROR_MISSING if there
 * is no certificate, ERROR_CORRUPT if the file is not a certificate. The caller frees *ret with
 * identity_free.
 */
int identity_load(const char *state_dir, struct identity *ret, struct error *error);

/* The two steps of identity_load, for callers that read more files in STATE_DIR/tls. The caller
 * must free *ret_tls with owned_directory_close even after a failure. */
int identity_open(const char *state_dir, struct owned_directory *ret_tls, struct error *error);
int identity_read(const struct owned_directory *tls, struct identity *ret, struct error *error);

/*
 * Creates the identity if there is none (valid for 20 years, subject CN=host_name, subject
 * alternative names: the address and the host name), then loads it. Never replaces an existing one.
 * *ret_made: it was created now. The files belong to the state directory's owner. The caller frees
 * *ret with identity_free.
 */
int identity_ensure(const char *state_dir, const char *host_name, struct in_addr address,
                    struct identity *ret, bool *ret_made, struct error *error);

/* Checks that agent.pem contains the private key of the certificate in agent.crt. ERROR_MISSING,
 * ERROR_CORRUPT and ERROR_CONFLICT say which file is wrong and what to do. Changes nothing. */
int identity_verify(const char *state_dir, struct error *error);

void identity_free(struct identity *identity);

/* --- PEM texts with a certificate and possibly its key --- */

/* Reads the first certificate and ignores everything else. with_key: the text must also contain the
 * matching private key. Returns 0 or an mbedTLS code; the caller frees *ret with identity_free. */
int identity_parse(const struct buffer *pem, bool with_key, struct identity *ret);

/* --- creating an identity --- */

/*
 * Appends a new P-256 key and its self-signed certificate to out, both in PEM. The certificate
 * names address and host_name; characters that are not allowed in a DNS name become '-', and a name
 * without any allowed character becomes "felhom-agent".
 */
int identity_make(const char *host_name, struct in_addr address, struct buffer *out,
                  struct error *error);

/* --- STATE/tls, the directory of keys and certificates --- */

#define TLS_PEM_FILE         "agent.pem" /* key and certificate */
#define TLS_CERTIFICATE_FILE "agent.crt" /* the certificate in agent.pem */
#define TLS_FILE_LIMIT       ((size_t)65536)

/* Finds out the path and the owner of STATE_DIR/tls, which is the owner of the state directory. The
 * caller must free *tls with owned_directory_close even after a failure. */
int tls_directory_locate(const char *state_dir, struct owned_directory *tls, struct error *error);

/* Creates the directory if it is missing, opens it, locks it against other processes until it is
 * closed, and removes drafts that killed processes have left. */
int tls_directory_make(struct owned_directory *tls, struct error *error);

/* Read a file in the open directory, or replace it durably. */
int tls_directory_get(const struct owned_directory *tls, const char *name, struct buffer *out,
                      struct error *error);
int tls_directory_put(const struct owned_directory *tls, const char *name, mode_t mode,
                      const struct buffer *content, struct error *error);

/* Writes a certificate that everyone may read, unless the file already has this content. Any other
 * content is replaced: a process was killed, or somebody changed the file. */
int tls_directory_put_certificate(const struct owned_directory *tls, const char *name,
                                  const struct buffer *pem, struct error *error);

/* Fails with ERROR_CORRUPT, mbedTLS's reason for the code result, and advice on what to do. */
int tls_directory_damaged(const struct owned_directory *tls, const char *name, int result,
                          const char *advice, struct error *error);

#endif
