/* SPDX-License-Identifier: Apache-2.0 */
/* A request as the handlers see it: read to its end, within its limits, and free of contradictions.
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

/* A secret where it lies in CivetWeb's buffer. */
struct presented_token {
    const char *text; /* not ended by a NUL */
    size_t length;    /* 0: none was presented */
};

/* Where path and method of a request lead, whoever asks; see route_resolve. */
struct destination {
    const struct route *route; /* NULL: there is no such path, or it does not have the method */
    const char *path;          /* without /guests/VMID; borrowed */
    size_t endpoint;           /* the number of that path; ROUTE_COUNT if there is no such path */
    bool open;                 /* answered without a look at the token */
    bool has_vmid;             /* the path began with /guests/VMID */
    uint32_t vmid;
};

struct request {
    const struct mg_request_info *info; /* method, headers, query: borrowed */
    const char *method;                 /* HEAD counts as GET */
    const char *
        path; /* as sent, without dot segments: no path of ours needs escapes, so none is decoded */
    bool head;
    bool keep_alive; /* the client wants the connection to go on, and CivetWeb will let it */
    struct presented_token token;
    size_t length; /* of the body, where it was told beforehand */
    bool chunked;
    bool expects_continue;
    struct buffer body;

    /* From here on filled in by those who judge the request. */
    struct destination destination;
    const struct peer *peer;
    const struct config *config; /* in force when it came */
    uint64_t config_serial;
    struct store_loan *view; /* the store as its token was found in it; see struct route */
    uint32_t vmid;           /* the guest that it speaks for; 0: nobody has looked at the token */
    char token_id[TOKEN_ID_LENGTH + 1];
};

/* Judges request line and headers: 0 with *ret filled, else the status to refuse it with. */
int request_parse(const struct mg_request_info *info, struct request *ret);

/*
 * Compares it with the bytes that came for it so far: received, from the method on. 400 where
 * CivetWeb has passed over lines of the head, else 0. The connection is not kept where more came
 * than belongs to it, so that nothing of one request is ever taken for another.
 */
int request_measure(struct request *request, size_t received);

/* Reads the body to its end: 0, else the status to refuse it with. */
int request_read_body(struct mg_connection *connection, struct request *request);

/* The value of the index-th header of this name, NULL where there are no more. */
const char *request_header(const struct request *request, const char *name, size_t index);

/* Until when the request may wait for Proxmox or the registry, by clock_steady_us, counted from
 * now. */
int64_t request_deadline_us(const struct request *request);

/* Wipes the token from CivetWeb's buffer, and frees. Fits cleanup(). */
void request_end(struct request *request);
#define cleanup_request cleanup(request_end)

/* The query of a request's path: NAME=NUMBER&NAME=NUMBER. */

struct query_number {
    const char *name;
    int64_t max;
    int64_t value; /* beforehand: what it is where it is not given */
    bool given;
};

/* Fills the numbers from the query (NULL: there is none). ERROR_INVALID, which names the parameter,
 * for one that is unknown, given twice or no number from 0 to its max. */
int query_parse(const char *query, struct query_number *numbers, size_t count, struct error *error);

/* The JSON body of a request. */

struct request;
struct reply;

/*
 * Reads the body by these keys (schema/json/json.h: *ret_values are the caller's to free).
 * False where it cannot be: the reply then says why, 415 where a body is not sent as
 * application/json, else 400.
 */
bool body_read(const struct request *request, const struct json_body_key *keys, size_t count,
               char **ret_values, struct reply *reply);

#endif
