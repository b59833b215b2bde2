/* SPDX-License-Identifier: Apache-2.0 */
/* Two helpers for mbedTLS that every part of the project may use: SHA-256, and a check that tells
 * lack of memory from damaged input. */
#ifndef FELHOM_MBEDTLS_H
#define FELHOM_MBEDTLS_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_BYTES 32

/* Writes the SHA-256 of length bytes to ret. All digests of the project use it: certificate pins,
 * and the token hashes in the database. */
void digest_sha256(const void *bytes, size_t length, uint8_t ret[static DIGEST_BYTES]);

/*
 * Ends the process as schema/base/memory.h says if an mbedTLS code means lack of memory. Otherwise
 * a key or a certificate would be reported as damaged only because there was no memory to read it.
 *
 * Some mbedTLS functions hide lack of memory behind another code; the key parser does, because it
 * tries one format after the other. Therefore any failing code counts as lack of memory if errno is
 * ENOMEM. Callers must clear errno before they call mbedTLS.
 */
void mbedtls_check_memory(int code);

#endif
