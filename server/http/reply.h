/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An answer in the making. Every one is a JSON envelope, {"ok":true,"data":{...}} or
 * {"ok":false,"error":"..."}, but for a document that is served as it is. It goes out in one piece.
 */
#ifndef FELHOM_REPLY_H
#define FELHOM_REPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "store/tables/event.h"

struct context;
struct mg_connection; /* CivetWeb's */
struct store_loan;

/* Until when, and after which one, an event of the guest is waited for. */
struct reply_wait {
    int64_t deadline_us; /* by clock_steady_us; 0: nothing is waited for */
    int64_t since;
};

struct reply {
    int status;
    const char *type;      /* of the body; NULL: there is none, as with 304 */
    struct buffer headers; /* further ones, each with its CR LF */
    struct buffer body;
    bool close;                             /* the connection can't go on after it */
    char request_id[REQUEST_ID_LENGTH + 1]; /* "": it gets one when it goes out */
    char why[256];          /* it is a refusal: for the operator, not the guest; never a secret */
    struct reply_wait wait; /* the answer may be put off; it stands where that cannot be */
};

#define REPLY_EMPTY ((struct reply){.status = 500})

/* Wipes and frees. Fits cleanup(). */
void reply_free(struct reply *reply);
#define cleanup_reply cleanup(reply_free)

/* {"ok":true,"data":DATA}; takes the reference to data. */
void reply_data(struct reply *reply, int status, json_t *data);

/* {"ok":false,"error":TEXT}; text NULL: the status's own. */
void reply_error(struct reply *reply, int status, const char *text);

/* 401, the same for every kind of bad token. */
void reply_unauthorized(struct reply *reply);

/* reply_error() with the status's own text and Retry-After. */
void reply_later(struct reply *reply, int status, uint32_t seconds);

/*
 * The answer where felhomd itself failed: 500 if error says that a document of the operator's is at
 * fault (ERROR_INVALID), else 503. The reason goes to the log and to reply->why; the guest does not
 * learn it. loan: the one that failed, closed unless the store was merely busy; NULL: none.
 */
void reply_internal_failure(struct reply *reply, struct context *context, struct store_loan *loan,
                            const struct error *error);

/* The answer where Proxmox or the registry failed: 503 with the reason, which the guest may know.
 */
void reply_upstream_failure(struct reply *reply, struct context *context,
                            const struct error *error);

/* Names it; what refused it can then be looked up by that name. */
void reply_name(struct reply *reply);

/* Keeps what the guest is not told: the reason of a refusal in the operator's words. */
void reply_because(struct reply *reply, const char *why);

/* An answer in JSON that the caller adds to the body, whole. */
struct buffer *reply_body(struct reply *reply, int status);

/* Adds one header. */
void reply_header(struct reply *reply, const char *name, const char *value);

/* How the answer goes out. */
struct reply_manner {
    bool head;       /* to HEAD: without the body */
    bool keep_alive; /* what the Connection header says */
    time_t now;
    const char *request_id;
};

/* Adds the whole answer as it goes over the wire. */
void reply_render(const struct reply *reply, const struct reply_manner *manner, struct buffer *out);

/* Adds it with the time of now and its name, or a fresh one, as X-Request-Id. */
void reply_compose(const struct reply *reply, bool head, bool keep_alive, struct buffer *out);

/*
 * Sends the composed answer in one write. keep_alive: whether the connection may
 * go on; where it is false, or the reply says close, CivetWeb is told to close it. Returns the
 * status.
 */
int reply_send(struct mg_connection *connection, const struct reply *reply, bool head,
               bool keep_alive);

/* Strong entity tags (RFC 9110, 8.8.3): the hash of what they stand for. */

#define ETAG_SIZE 35 /* 32 hex digits in quotes and a NUL */

void etag_make(const struct buffer *content, char ret[static ETAG_SIZE]);

/*
 * Whether one value of If-None-Match names the tag: by weak comparison, in a list, or with an
 * asterisk. Whatever else stands there matches nothing.
 */
bool etag_matches(const char *if_none_match, const char *etag);

/* The HTTP statuses that the local API answers with. */

/* The reason phrase of the status line: "Not Found". */
const char *status_phrase(int status);

/* One sentence for the guest where there is nothing more to say. */
const char *status_text(int status);

#endif
