/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two pins of the server's certificate, by which a guest recognises its host: a SHA-256 of the
 * public key in curl's form (--pinnedpubkey), and a SHA-256 of the whole certificate in the form
 * that openssl x509 -fingerprint prints.
 */
#ifndef FELHOM_PIN_H
#define FELHOM_PIN_H

#include <stddef.h>
#include <stdint.h>

/* Base64 of a SHA-256 and a NUL: curl's pin without the prefix sha256//. */
#define PIN_SPKI_SIZE 45
/* 32 upper-case hexadecimal pairs separated by colons, and a NUL. */
#define PIN_LEAF_SIZE 96

struct pins {
    char spki[PIN_SPKI_SIZE]; /* of the SubjectPublicKeyInfo in DER */
    char leaf[PIN_LEAF_SIZE]; /* of the certificate in DER */
};

/* Computes both pins from the two DER encodings. */
void pins_make(const uint8_t *spki_der, size_t spki_length, const uint8_t *cert_der,
               size_t cert_length, struct pins *ret);

#endif
