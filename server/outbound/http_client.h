/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the world beyond the host (Proxmox, hub, registry): HTTP and verified HTTPS by
 * libcurl. Connections and TLS sessions are used again, but nothing that requests and replies
 * carried stays in memory. Redirects are not followed, proxies of the environment are not used, and
 * a reply has a limit in time and size.
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

/* abort (borrowed, may be NULL): once it is true, a request under way ends within a second, with
 * ERROR_BUSY. Costs nothing before the first request. */
struct http_client *http_client_new(const atomic_bool *abort);
void http_client_free(struct http_client *client);

/* Counts the outcome of each request in *calls from now on; borrowed. */
void http_client_count(struct http_client *client, struct call_counters *calls);

struct http_request {
    const char *method; /* GET, POST, DELETE */
    const char *url;
    const char *ca_file;        /* PEM to verify the peer with; "": the system's */
    const char *const *headers; /* "Name: value"; ends with NULL; NULL: none */
    const char *username;       /* with password: basic authentication; NULL: none */
    const char *password;
    const char *body_type; /* NULL: there is no body */
    const char *body;
    size_t body_length;
    uint64_t timeout_ms; /* for the whole request, connecting included; 0: nothing is sent */
    size_t reply_limit;  /* of the reply's body, in bytes */
    bool confidential;   /* the reply is a secret: the connection is closed after it, as TLS keeps
                            what   it read last */
};

struct http_reply {
    int status;
    char reason[384]; /* of the status line; control characters are shown as '?' */
    struct buffer body;
};

/* Wipes and frees. Fits cleanup(). */
void http_reply_free(struct http_reply *reply);
#define cleanup_http_reply cleanup(http_reply_free)

/*
 * Success means that a whole reply came, whatever its status. Kinds of failure: ERROR_BUSY (no
 * connection, time out, cut short: it may pass), ERROR_DENIED (the certificate is not to be
 * trusted, in words that name the CA file), ERROR_INVALID (the URL, a header, a reply that is not
 * HTTP or over its limit), ERROR_SYSTEM. Messages name scheme, host and port, never header,
 * password or query.
 */
int http_client_perform(struct http_client *client, const struct http_request *request,
                        struct http_reply *ret, struct error *error);

/* After a failure: whether the peer may have seen the request, and so done what it asks for. */
bool http_client_may_have_sent(const struct http_client *client);

/* Adds the text with everything but letters, digits and - . _ ~ as %XX: right in paths, queries and
 * forms alike. */
void http_escape(const char *text, struct buffer *out);

#endif
