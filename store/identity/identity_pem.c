/* SPDX-License-Identifier: Apache-2.0 */
#include "store/identity/identity_pem.h"

#include <errno.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <string.h>

#include "schema/base/cleanup.h"
#include "store/identity/identity_make.h"

#define PEM_ROOM ((size_t)8192) /* of one certificate */

/* The certificate alone, whatever else the file had that it was read from. */
static int certificate_to_pem(const mbedtls_x509_crt *certificate, struct buffer *out)
{
    size_t length = 0;
    char *room = buffer_reserve(out, PEM_ROOM);
    int result = mbedtls_pem_write_buffer(
        "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", certificate->raw.p,
        certificate->raw.len, (unsigned char *)room, PEM_ROOM, &length);
    if (result == 0)
        out->length += strlen(room);
    return result;
}

/* Whether the PEM text has the certificate's private key. Returns 0 or mbedTLS's code. */
static int check_key(const struct buffer *pem, const mbedtls_x509_crt *certificate)
{
    cleanup(mbedtls_pk_free) mbedtls_pk_context key;
    const unsigned char *text = (const unsigned char *)buffer_text(pem);
    mbedtls_pk_init(&key);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    int result = mbedtls_pk_parse_key(&key, text, pem->length + 1, NULL, 0, identity_random, NULL);
    return result ? result : mbedtls_pk_check_pair(&certificate->pk, &key, identity_random, NULL);
#else
    int result = mbedtls_pk_parse_key(&key, text, pem->length + 1, NULL, 0);
    return result ? result : mbedtls_pk_check_pair(&certificate->pk, &key);
#endif
}

int identity_parse(const struct buffer *pem, bool with_key, struct identity *ret)
{
    cleanup(mbedtls_x509_crt_free) mbedtls_x509_crt certificate;
    cleanup(identity_free) struct identity identity = {.certificate_pem = BUFFER_EMPTY};
    mbedtls_x509_crt_init(&certificate);
    errno = 0; /* see schema/base/mbedtls.h */
    int result = mbedtls_x509_crt_parse(&certificate, (const unsigned char *)buffer_text(pem),
                                        pem->length + 1);
    if (result == 0 && with_key)
        result = check_key(pem, &certificate);
    if (result == 0)
        result = certificate_to_pem(&certificate, &identity.certificate_pem);
    if (result != 0)
        return result;
    pins_make(certificate.pk_raw.p, certificate.pk_raw.len, certificate.raw.p, certificate.raw.len,
              &identity.pins);
    *ret = identity;
    identity.certificate_pem = BUFFER_EMPTY;
    return 0;
}
