/* SPDX-License-Identifier: Apache-2.0 */
/* STATE/tls, where keys and certificates lie: whose it is, one at a time in it, files that are
 * whole. */
#ifndef FELHOM_TLS_DIRECTORY_H
#define FELHOM_TLS_DIRECTORY_H

#include <sys/types.h>

#include "schema/base/buffer.h"
#include "schema/base/error.h"
#include "store/files/file.h"

#define TLS_PEM_FILE         "agent.pem" /* key and certificate: the truth */
#define TLS_CERTIFICATE_FILE "agent.crt" /* follows it */
#define TLS_FILE_LIMIT       ((size_t)65536)

/* Finds out whose the directory is to be: the state directory's owner's. *tls is to be freed in any
 * case. */
int tls_directory_locate(const char *state_dir, struct place *tls, struct error *error);

/* Opens it for reading. ERROR_MISSING where there is none. */
int tls_directory_open(struct place *tls, struct error *error);

/* Makes it where it is missing, keeps other processes that do so out until it is closed, and clears
 * away drafts that a killed run left. */
int tls_directory_make(struct place *tls, struct error *error);

/* Reads a file in it (the directory is open), or puts a new one in place, durably. */
int tls_directory_get(const struct place *tls, const char *name, struct buffer *out,
                      struct error *error);
int tls_directory_put(const struct place *tls, const char *name, mode_t mode,
                      const struct buffer *content, struct error *error);

/* Puts a certificate, for all to read, unless it is there already. Whatever else has the name goes:
 * a run was killed, or somebody meddled. */
int tls_directory_put_certificate(const struct place *tls, const char *name,
                                  const struct buffer *pem, struct error *error);

/* Fails with what mbedTLS's code says of a file, and what to do. */
int tls_directory_damaged(const struct place *tls, const char *name, int result, const char *advice,
                          struct error *error);

#endif
