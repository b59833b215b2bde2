/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256, the one digest of our documents: a pin, or what the store keeps of a token. */
#ifndef FELHOM_DIGEST_H
#define FELHOM_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_BYTES 32

void digest_sha256(const void *bytes, size_t length, uint8_t ret[static DIGEST_BYTES]);

/* Lack of memory, as mbedTLS tells of it. */

/* Ends the process as in schema/base/memory.h if this is what mbedTLS's code says: a key or a
 * certificate is not damaged because there was no room to read it. Some of mbedTLS's functions hide
 * it behind another code, as the parser of keys, which tries one format after the other: so any
 * code is taken for it if errno is ENOMEM, and the caller clears errno before it calls mbedTLS. */
void mbedtls_heed_memory(int code);

#endif
