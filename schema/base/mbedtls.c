/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/mbedtls.h"

#include <errno.h>
#include <mbedtls/asn1.h>
#include <mbedtls/bignum.h>
#include <mbedtls/ecp.h>
#include <mbedtls/md.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"

/* An mbedTLS code is the sum of a high-level module's code and the low-level code that caused it.
 * UPPER yields the high-level part. */
#define UPPER(code) (-(code)&0xFF80)
#define LOWER(code) (-(code)&0x007F)

static const int upper[] = {
    MBEDTLS_ERR_X509_ALLOC_FAILED, MBEDTLS_ERR_PK_ALLOC_FAILED, MBEDTLS_ERR_ECP_ALLOC_FAILED,
    MBEDTLS_ERR_PEM_ALLOC_FAILED,  MBEDTLS_ERR_MD_ALLOC_FAILED,
};
static const int lower[] = {MBEDTLS_ERR_MPI_ALLOC_FAILED, MBEDTLS_ERR_ASN1_ALLOC_FAILED};

void mbedtls_check_memory(int code)
{
    if (code >= 0)
        return;
    if (errno == ENOMEM)
        mem_exhausted();
    for (size_t i = 0; i < ARRAY_SIZE(upper); i++)
        if (UPPER(code) == -upper[i])
            mem_exhausted();
    for (size_t i = 0; i < ARRAY_SIZE(lower); i++)
        if (LOWER(code) == -lower[i])
            mem_exhausted();
}

void digest_sha256(const void *bytes, size_t length, uint8_t ret[static DIGEST_BYTES])
{
    /* Whatever else can go wrong in mbedtls_md is ruled out when mbedTLS is built, so a failure
     * means lack of memory. */
    if (mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), bytes, length, ret) != 0)
        mem_exhausted();
}
