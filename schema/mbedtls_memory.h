/* SPDX-License-Identifier: Apache-2.0 */
/* Lack of memory, as mbedTLS tells of it. */
#ifndef FELHOM_MBEDTLS_MEMORY_H
#define FELHOM_MBEDTLS_MEMORY_H

/* Ends the process as in schema/memory.h if this is what mbedTLS's code says: a key or a
 * certificate is not damaged because there was no room to read it. */
void mbedtls_heed_memory(int code);

#endif
