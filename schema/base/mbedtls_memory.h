/* SPDX-License-Identifier: Apache-2.0 */
/* Lack of memory, as mbedTLS tells of it. */
#ifndef FELHOM_MBEDTLS_MEMORY_H
#define FELHOM_MBEDTLS_MEMORY_H

/* Ends the process as in schema/base/memory.h if this is what mbedTLS's code says: a key or a
 * certificate is not damaged because there was no room to read it. Some of mbedTLS's functions hide
 * it behind another code, as the parser of keys, which tries one format after the other: so any
 * code is taken for it if errno is ENOMEM, and the caller clears errno before it calls mbedTLS. */
void mbedtls_heed_memory(int code);

#endif
