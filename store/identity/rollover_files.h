/* SPDX-License-Identifier: Apache-2.0 */
/* What a rollover's files in STATE/tls are called. Each certificate follows its PEM file, which
 * holds the key as well. */
#ifndef FELHOM_ROLLOVER_FILES_H
#define FELHOM_ROLLOVER_FILES_H

#define NEXT_PEM_FILE             "next.pem"
#define NEXT_CERTIFICATE_FILE     "next.crt"
#define PREVIOUS_PEM_FILE         "previous.pem"
#define PREVIOUS_CERTIFICATE_FILE "previous.crt"

#endif
