/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request as the handlers see it: read completely, within its limits, and without contradictory
 * headers. CivetWeb has parsed the head; answer.c then calls request_parse, request_measure and
 * request_read_body, in this order, and each of them may refuse the request with an HTTP status.
 * Handlers read query and body with query_parse and body_read.
 *
 * A request belongs to the thread that serves it. It borrows from CivetWeb, so it must not outlive
 * that thread's hold on the connection.
 */
#ifndef FELHOM_REQUEST_H
#define FELHOM_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/agent/token.h"
#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/error.h"
#include "schema/json/json.h"
#include "server/net/peer.h"

#define REQUEST_BODY_LIMIT ((size_t)65536)

struct mg_connection;   /* CivetWeb's */
struct mg_request_info; /* CivetWeb's */
struct route;
struct store_loan;

/* A secret token, in CivetWeb's buffer. */
struct presented_token {
    const char *text; /* not NUL-terminated */
    size_t length;    /* 0: the request has no token */
};

/* Where the path and method of a request lead, independent of who asks; see route_resolve. */
struct destination {
    const struct route *route; /* NULL: no such path, or not with this method */
    const char *path;          /* the path without /guests/VMID; borrowed */
    size_t endpoint;           /* the number of the path; ROUTE_COUNT if there is no such path */
    bool open;                 /* answered without a token */
    bool has_vmid;             /* the path begins with /guests/VMID */
    uint32_t vmid;
};

struct request {
    const struct mg_request_info *info; /* method, headers, query: borrowed */
    const char *method;                 /* HEAD counts as GET */
    const char *path; /* as sent, without dot segments; not decoded, because no path of ours needs
                         escapes */
    bool head;
    bool keep_alive; /* the client wants the connection kept, and CivetWeb can keep it */
    struct presented_token token;
    size_t length; /* of the body, as Content-Length announces it */
    bool chunked;
    bool expects_continue;
    struct buffer body;

    /* The members below are set later, by answer.c and auth.c. */
    struct destination destination;
    const struct peer *peer;
    const struct config *config; /* in force when the request came */
    uint64_t config_serial;
    uint64_t guests_serial;  /* by guest_refresh_serial, before the store is read */
    struct store_loan *view; /* the store that the token was found in; see views in struct route */
    uint32_t vmid; /* the guest that the request speaks for; 0: its token was not accepted */
    char token_id[TOKEN_ID_LENGTH + 1];
};

/* Reads the request line and the headers. Returns 0 with *ret filled in, else the HTTP status to
 * refuse the request with. */
int request_parse(const struct mg_request_info *info, struct request *ret);

/*
 * Compares the request with the number of bytes received for it so far, counted from the method on.
 * Returns 400 if CivetWeb has skipped lines of the head, else 0. If more bytes came than belong to
 * the request, keep_alive becomes false, so that no byte of one request is ever read as part of
 * another.
 */
int request_measure(struct request *request, size_t received);

/* Reads the whole body. Returns 0, else the HTTP status to refuse the request with. */
int request_read_body(struct mg_connection *connection, struct request *request);

/* Returns the value of the index-th header of this name (from 0); NULL if there are no more. */
const char *request_header(const struct request *request, const char *name, size_t index);

/* Returns until when the request may wait for Proxmox or the registry, by clock_steady_us:
 * limits.request from now. */
int64_t request_deadline_us(const struct request *request);

/* Wipes the token from CivetWeb's buffer and frees the body. Fits cleanup(). */
void request_end(struct request *request);
#define cleanup_request cleanup(request_end)

/* The query of a path: NAME=NUMBER&NAME=NUMBER. */

struct query_number {
    const char *name;
    int64_t max;
    int64_t value; /* set by the caller to the value that it has if it is not given */
    bool given;
};

/* Fills in the numbers from the query (NULL: there is none). ERROR_INVALID, with the name of the
 * parameter, if one is unknown, given twice, or not a whole number from 0 to its max. */
int query_parse(const char *query, struct query_number *numbers, size_t count, struct error *error);

/* The JSON body of a request. */

struct request;
struct reply;

/*
 * Reads the body, a JSON object with these keys (schema/json/json.h; the caller frees *ret_values).
 * False if it cannot be read; the reply then says why: 415 if the body was not sent as
 * application/json, else 400.
 */
bool body_read(const struct request *request, const struct json_body_key *keys, size_t count,
               char **ret_values, struct reply *reply);

#endif
