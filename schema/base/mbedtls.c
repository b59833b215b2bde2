/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/mbedtls.h"

#include <mbedtls/md.h>

#include "schema/base/memory.h"

void digest_sha256(const void *bytes, size_t length, uint8_t ret[static DIGEST_BYTES])
{
    /* Of what can go wrong inside, only lack of memory does not depend on how mbedTLS was built. */
    if (mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), bytes, length, ret) != 0)
        mem_exhausted();
}
