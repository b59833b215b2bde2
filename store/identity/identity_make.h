/* SPDX-License-Identifier: Apache-2.0 */
/* How a TLS identity comes into being. */
#ifndef FELHOM_IDENTITY_MAKE_H
#define FELHOM_IDENTITY_MAKE_H

#include <netinet/in.h>
#include <stddef.h>

#include "schema/base/buffer.h"
#include "schema/base/error.h"

/*
 * Adds a fresh P-256 key and its self-signed certificate, both in PEM, to out. The certificate
 * names address and host_name; characters that cannot stand in a DNS name become '-', and a name
 * without any becomes "felhom-agent".
 */
int identity_make(const char *host_name, struct in_addr address, struct buffer *out,
                  struct error *error);

/* Random bytes from the kernel, in the form in which mbedTLS asks for them. */
int identity_random(void *unused, unsigned char *out, size_t length);

#endif
