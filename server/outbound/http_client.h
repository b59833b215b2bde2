/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes requests to servers outside felhomd (Proxmox, the hub, the registry): HTTP and verified
 * HTTPS, by libcurl. Connections and TLS sessions are reused from one request to the next, but
 * nothing of what requests and replies carried stays in memory. Redirects are not followed, the
 * proxies of the environment are not used, and each reply is limited in time and size.
 */
#ifndef FELHOM_HTTP_CLIENT_H
#define FELHOM_HTTP_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"

struct call_counters;
struct http_client; /* belongs to one thread at a time */

/* Makes a client; libcurl is not loaded before the first request. abort (borrowed, may be NULL):
 * once it is true, a request under way ends within a second with ERROR_BUSY. calls (borrowed, may
 * be NULL): counts the outcome of each request. Ends with http_client_free, which accepts NULL. */
struct http_client *http_client_new(const atomic_bool *abort, struct call_counters *calls);
void http_client_free(struct http_client *client);

struct http_request {
    const char *method; /* GET, POST, DELETE */
    const char *url;
    const char *ca_file; /* PEM file to verify the peer with; "": the system's CA certificates */
    const char *const *headers; /* each "Name: value"; the list ends with NULL; NULL: no headers */
    const char *username;       /* with password, for basic authentication; NULL: none */
    const char *password;
    const char *body_type; /* media type of the body; NULL: no body */
    const char *body;
    size_t body_length;
    uint64_t timeout_ms; /* for the whole request, connecting included; 0: fail without sending */
    size_t reply_limit;  /* most bytes that the reply's body may have */
    bool confidential;   /* the reply is a secret: the connection is closed after it, because TLS
                            keeps what it read last */
};

struct http_reply {
    int status;
    char reason[384]; /* of the status line; control characters are replaced by a question mark */
    struct buffer body;
};

/* Wipes and frees the reply. Fits cleanup(). */
void http_reply_free(struct http_reply *reply);
#define cleanup_http_reply cleanup(http_reply_free)

/*
 * Sends the request and reads the reply. Succeeds if a complete reply came, whatever its status;
 * the caller then frees *ret with http_reply_free. Kinds of failure:
 *
 *   ERROR_BUSY     no connection, timed out, or cut short: it may work later
 *   ERROR_DENIED   the certificate is not trusted; the message names the CA file
 *   ERROR_INVALID  the URL, a header, or a reply that is not HTTP or over its limit
 *   ERROR_SYSTEM   everything else
 *
 * Messages name the scheme, host and port, but never a header, a password or a query.
 */
int http_client_perform(struct http_client *client, const struct http_request *request,
                        struct http_reply *ret, struct error *error);

/* After a failure: true if the peer may have received the request, and so may have done what it
 * asks for. */
bool http_client_may_have_sent(const struct http_client *client);

/* Adds the text to out, with every byte but letters, digits and - . _ ~ as %XX. That is right in
 * paths, queries and forms. */
void http_escape(const char *text, struct buffer *out);

#endif
