/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/pin.h"

#include <ctype.h>
#include <mbedtls/base64.h>
#include <string.h>

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

bool pin_leaf_normalize(const char *text, char ret[static PIN_LEAF_SIZE])
{
    size_t length = strlen(text);
    bool colons = length == PIN_LEAF_SIZE - 1;
    if (!colons && length != (size_t)2 * DIGEST_BYTES)
        return false;
    char leaf[PIN_LEAF_SIZE] = "";
    for (size_t i = 0; i < PIN_LEAF_SIZE - 1; i++) {
        bool between = i % 3 == 2;
        char c = ':';
        if (!between || colons)
            c = *text++;
        if (between ? c != ':' : !isxdigit((unsigned char)c))
            return false;
        leaf[i] = (char)toupper((unsigned char)c);
    }
    memcpy(ret, leaf, sizeof leaf);
    return true;
}
