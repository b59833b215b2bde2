/* SPDX-License-Identifier: Apache-2.0 */
/* What a PEM text with a certificate, and perhaps its key, says. */
#ifndef FELHOM_IDENTITY_PEM_H
#define FELHOM_IDENTITY_PEM_H

#include <stdbool.h>

#include "schema/base/buffer.h"
#include "store/identity/identity.h"

/* Takes the certificate alone, whatever else the text has. with_key: its private key must be there,
 * too, and fit. Returns 0 or mbedTLS's code; the caller frees *ret with identity_free. */
int identity_parse(const struct buffer *pem, bool with_key, struct identity *ret);

#endif
