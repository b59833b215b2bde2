/* SPDX-License-Identifier: Apache-2.0 */
/* CivetWeb's worker, without its threads and sockets. */
#ifndef FELHOM_FUZZ_CIVETWEB_TALK_H
#define FELHOM_FUZZ_CIVETWEB_TALK_H

#include <stddef.h>

struct connection;
struct mg_callbacks;

/*
 * Serves one connection from its first request to its close, by the options that
 * server/net/listener.c gives: what it reads comes from tls_read(), what it writes goes to
 * tls_write().
 */
void civetweb_talk(const struct mg_callbacks *callbacks, size_t header_limit,
                   struct connection *connection);

#endif
