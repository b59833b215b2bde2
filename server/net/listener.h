/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTPS listener: a web server whose connections pass the gate and our TLS before CivetWeb sees
 * their first byte. Its certificate can be replaced while it runs, and it stops without cutting a
 * request off.
 *
 * The life of a connection: acceptor_accept accepts it; one of CivetWeb's threads calls
 * connection_open (gate, then handshake) by way of mod_mbedtls.inl; CivetWeb reads requests through
 * tls_read and calls the handle callback for each; connection_close ends it.
 */
#ifndef FELHOM_LISTENER_H
#define FELHOM_LISTENER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/agent/pin.h"
#include "schema/base/error.h"
#include "server/net/gate.h"

struct listener;
struct counters;
struct mg_connection; /* CivetWeb's */

struct listener_options {
    struct sockaddr_in address;
    int socket;            /* listens on address, non-blocking; borrowed; outlives the listener */
    const char *pem_file;  /* key and certificate; only listener_start reads it */
    uint32_t threads;      /* how many connections are served at once */
    uint64_t handshake_ms; /* the limit of the whole TLS handshake */
    uint64_t request_ms;   /* the limit of one request, headers and body */
    struct arrivals
        *arrivals;     /* of its connections; borrowed; outlives the listener; may be NULL */
    struct gate *gate; /* borrowed; outlives the listener */
    struct counters *counters; /* borrowed; outlives the listener; may be NULL */
    /* Answers one request, whatever its path; returns the HTTP status that it sent. */
    int (*handle)(struct mg_connection *connection, void *context);
    /* Answers a request that CivetWeb itself refuses (malformed, too large, timed out). */
    void (*handle_error)(struct mg_connection *connection, int status, void *context);
    void *context;
};

/* Returns once connections are accepted. The options are copied. The caller ends the listener with
 * listener_stop. */
int listener_start(const struct listener_options *options, struct listener **ret,
                   struct error *error);

/*
 * Stops accepting, answers at most one more request on each accepted connection, and ends the
 * listener. Connections that wait in the kernel are left to the next listener on the socket. A
 * client that sends nothing is waited for no longer than a handshake may take. listener_stop(NULL)
 * does nothing.
 */
void listener_stop(struct listener *listener);

/* Reads key and certificate again and uses them for new connections; open ones go on. On failure
 * nothing has changed. */
int listener_renew(struct listener *listener, const char *pem_file, struct error *error);

/* Fills in the pins of the certificate that new connections get. */
void listener_pins(const struct listener *listener, struct pins *ret);

/* Returns true if three quarters of the threads have a connection or the listener is being stopped:
 * answers should then end keep-alive. */
bool listener_crowded(const struct listener *listener);

#endif
