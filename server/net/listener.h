/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTPS listener: CivetWeb's threads behind the gate and our TLS. */
#ifndef FELHOM_LISTENER_H
#define FELHOM_LISTENER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/pin.h"
#include "schema/base/error.h"
#include "server/net/gate.h"

struct listener;
struct tally;
struct mg_connection; /* CivetWeb's */

struct listener_settings {
    struct sockaddr_in address;
    int socket;           /* listens there, and never blocks; borrowed; outlives the listener */
    const char *pem_file; /* key and certificate; needed for the start alone */
    uint32_t threads;
    uint64_t handshake_ms; /* the whole TLS handshake */
    uint64_t request_ms;   /* headers and body of one request */
    struct gate *gate;     /* borrowed; outlives the listener */
    struct tally *tally;   /* the same; may be NULL */
    /* Answers one request, whatever its path; returns the HTTP status that it sent. */
    int (*handle)(struct mg_connection *connection, const struct peer *peer, void *context);
    /* Answers a request that CivetWeb itself refuses (malformed, too large, timed out). */
    void (*handle_error)(struct mg_connection *connection, int status, void *context);
    void *context;
};

/* Starts accepting; the settings are copied. Ends with listener_stop, which serves those who were
 * let in, each with one request, and leaves the others to the next listener on the socket. Who says
 * nothing is waited for no longer than a handshake may take. */
int listener_start(const struct listener_settings *settings, struct listener **ret,
                   struct error *error);
void listener_stop(struct listener *listener);

/* Has new connections shown the certificate that the file holds now; nobody is disconnected. On
 * failure all stays as it was. */
int listener_renew(struct listener *listener, const char *pem_file, struct error *error);

/* What clients pin of the certificate that is shown. */
void listener_pins(const struct listener *listener, struct pins *ret);

/* Whether three quarters of the threads hold a connection, or it is being stopped: time to withdraw
 * keep-alive. */
bool listener_crowded(const struct listener *listener);

#endif
