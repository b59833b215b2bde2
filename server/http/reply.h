/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reply to one request, while it is made and sent. A handler fills it in with one of the
 * functions from reply_data to reply_body; what was filled in before is replaced. answer.c sends
 * it, in one piece, with reply_send; the waiters' thread, which must not block, renders it with
 * reply_compose and sends it itself.
 *
 * The body is a JSON envelope, {"ok":true,"data":{...}} or {"ok":false,"error":"..."}, or a
 * document that is served as it is. A reply belongs to one thread.
 */
#ifndef FELHOM_REPLY_H
#define FELHOM_REPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "server/base/counters.h"
#include "store/tables/event.h"

struct context;
struct mg_connection; /* CivetWeb's */
struct store_loan;

/* Until when a request waits for an event of its guest, and after which event. */
struct reply_wait {
    int64_t deadline_us; /* by clock_steady_us; 0: it does not wait */
    int64_t since;
};

struct reply {
    int status;
    const char *type;      /* media type of the body; NULL: no body, as with 304 */
    struct buffer headers; /* the headers beyond the usual ones, each with its CR LF */
    struct buffer body;
    bool close;                             /* the connection must be closed after the reply */
    char request_id[REQUEST_ID_LENGTH + 1]; /* "": reply_compose makes one up */
    char why[256];               /* why it is a refusal, for the operator alone; never a secret */
    enum refusal_reason refused; /* why the handler has refused the request, to be reported */
    struct reply_wait wait; /* if set, the request may wait, and this reply is sent if it cannot */
};

#define REPLY_EMPTY ((struct reply){.status = 500})

/* Wipes and frees the headers and the body. Fits cleanup(). */
void reply_free(struct reply *reply);
#define cleanup_reply cleanup(reply_free)

/* Replies {"ok":true,"data":DATA}. Takes over the reference to data. */
void reply_data(struct reply *reply, int status, json_t *data);

/* Replies {"ok":false,"error":TEXT}. text NULL: the status's own text (status_text). */
void reply_error(struct reply *reply, int status, const char *text);

/* Replies 401, with the same text for every kind of bad token. */
void reply_unauthorized(struct reply *reply);

/* Replies as reply_error does with the status's own text, and adds Retry-After. */
void reply_later(struct reply *reply, int status, uint32_t seconds);

/*
 * Replies that felhomd itself failed: 500 if error says that a document of the operator is faulty
 * (ERROR_INVALID), else 503. The reason goes to the log and to reply->why; the guest is not told.
 * loan: the loan whose use failed (see store_loan_failed); NULL: none.
 */
void reply_internal_failure(struct reply *reply, struct context *context, struct store_loan *loan,
                            const struct error *error);

/* Replies 503 with the reason, because Proxmox or the registry failed; the guest may be told
 * why. */
void reply_upstream_failure(struct reply *reply, struct context *context,
                            const struct error *error);

/*
 * Replies that the guest has asked for more than it may, with a text for it, and has this reported
 * as a refusal, with a text for the operator. seconds: for Retry-After; 0: none.
 */
void reply_refuse(struct reply *reply, int status, uint32_t seconds, enum refusal_reason reason,
                  const char *text, const char *why);

/* Gives the reply its request id, by which the operator can look up a refusal. */
void reply_assign_id(struct reply *reply);

/* Begins a reply of type application/json and returns its body, to which the caller adds the
 * whole document. */
struct buffer *reply_body(struct reply *reply, int status);

/* Adds one header. */
void reply_header(struct reply *reply, const char *name, const char *value);

/* How a reply is rendered. */
struct reply_manner {
    bool head;       /* the request was HEAD: the body is left out */
    bool keep_alive; /* what the Connection header says */
    time_t now;
    const char *request_id;
};

/* Adds status line, headers and body to out, as they are sent. */
void reply_render(const struct reply *reply, const struct reply_manner *manner, struct buffer *out);

/* Renders the reply with the present time, and with its request id or a fresh one as
 * X-Request-Id. */
void reply_compose(const struct reply *reply, bool head, bool keep_alive, struct buffer *out);

/*
 * Sends the composed reply in one write. keep_alive: whether the connection may stay open; if it
 * may not, or the reply says close, CivetWeb is told to close it. Returns the status.
 */
int reply_send(struct mg_connection *connection, const struct reply *reply, bool head,
               bool keep_alive);

/* Strong entity tags (RFC 9110, 8.8.3): a hash of the content. */

#define ETAG_SIZE 35 /* 32 hex digits in quotes and a NUL */

void etag_make(const struct buffer *content, char ret[static ETAG_SIZE]);

/*
 * True if this value of If-None-Match names the tag: by weak comparison, in a list, or as an
 * asterisk. A malformed value matches nothing.
 */
bool etag_matches(const char *if_none_match, const char *etag);

/* The HTTP statuses that the local API answers with. */

/* Returns the reason phrase of the status line, such as "Not Found". */
const char *status_phrase(int status);

/* Returns one sentence for the guest, for when there is nothing more exact to say. */
const char *status_text(int status);

#endif
