/* SPDX-License-Identifier: Apache-2.0 */
/* What we need of mbedTLS everywhere: SHA-256, and lack of memory told from damaged input. */
#ifndef FELHOM_MBEDTLS_H
#define FELHOM_MBEDTLS_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_BYTES 32

/* The one digest of our documents: of a pin, or what the store keeps of a token. */
void digest_sha256(const void *bytes, size_t length, uint8_t ret[static DIGEST_BYTES]);

/*
 * Ends the process as schema/base/memory.h says if mbedTLS's code means lack of memory: a key or a
 * certificate is not damaged because there was no room to read it. Some functions of mbedTLS hide
 * that behind another code, such as the parser of keys, which tries one format after the other.
 * So any failure counts as lack of memory if errno is ENOMEM: clear errno before you call mbedTLS.
 */
void mbedtls_check_memory(int code);

#endif
