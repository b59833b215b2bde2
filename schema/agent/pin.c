/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/pin.h"

#include <mbedtls/base64.h>

#include "schema/base/mbedtls.h"
#include "schema/base/memory.h"

static const char hex_digits[] = "0123456789ABCDEF";

static void pin_make_spki(const uint8_t *der, size_t length, char ret[static PIN_SPKI_SIZE])
{
    uint8_t digest[DIGEST_BYTES];
    size_t written;
    digest_sha256(der, length, digest);
    if (mbedtls_base64_encode((unsigned char *)ret, PIN_SPKI_SIZE, &written, digest, DIGEST_BYTES))
        mem_exhausted();
}

static void pin_make_leaf(const uint8_t *der, size_t length, char ret[static PIN_LEAF_SIZE])
{
    uint8_t digest[DIGEST_BYTES];
    digest_sha256(der, length, digest);
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        *ret++ = hex_digits[digest[i] >> 4];
        *ret++ = hex_digits[digest[i] & 15];
        *ret++ = i + 1 < DIGEST_BYTES ? ':' : '\0';
    }
}

void pins_make(const uint8_t *spki_der, size_t spki_length, const uint8_t *cert_der,
               size_t cert_length, struct pins *ret)
{
    pin_make_spki(spki_der, spki_length, ret->spki);
    pin_make_leaf(cert_der, cert_length, ret->leaf);
}
