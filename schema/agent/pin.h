/* SPDX-License-Identifier: Apache-2.0 */
/* The two forms in which a client pins the server's certificate. */
#ifndef FELHOM_PIN_H
#define FELHOM_PIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* curl's sha256//... without the prefix: base64 of a SHA-256, and a NUL. */
#define PIN_SPKI_SIZE 45
/* 32 upper-case hex pairs with colons, and a NUL. */
#define PIN_LEAF_SIZE 96

struct pins {
    char spki[PIN_SPKI_SIZE]; /* of the DER SubjectPublicKeyInfo */
    char leaf[PIN_LEAF_SIZE]; /* of the certificate's DER */
};

/* Formats both pins from the two DER pieces. */
void pins_make(const uint8_t *spki_der, size_t spki_length, const uint8_t *cert_der,
               size_t cert_length, struct pins *ret);

/* Brings a leaf pin in any case, with or without colons, into our form. False if it is none; *ret
 * untouched. */
bool pin_leaf_normalize(const char *text, char ret[static PIN_LEAF_SIZE]);

#endif
