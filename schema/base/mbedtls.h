/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256, the one digest of our documents: a pin, or what the store keeps of a token. */
#ifndef FELHOM_DIGEST_H
#define FELHOM_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_BYTES 32

void digest_sha256(const void *bytes, size_t length, uint8_t ret[static DIGEST_BYTES]);

#endif
