/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /events: the events of the guest after a cursor. If there is none yet and the request has a
 * timeout, the handler sets reply->wait; answer.c then hands the connection to events/waiters,
 * which calls events_answer again once the guest has an event or the time is up.
 */
#include <civetweb.h>

#include "schema/base/units.h"
#include "schema/json/json.h"
#include "server/api/route.h"
#include "server/base/context.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "store/base/clock.h"
#include "store/tables/event.h"

#define EVENTS_MAX  100 /* in one reply */
#define TIMEOUT_MAX 60  /* seconds */

/* The events of a guest after a cursor, as the reply lists them. */
struct events {
    json_t *list;
    int64_t next; /* the cursor after the last of them */
};

static json_t *event_duration_json(const struct event *event)
{
    return event->duration_us < 0 ? json_null() : json_real((double)event->duration_us / 1000.0);
}

static int events_add(const struct event *event, void *context)
{
    struct events *events = context;
    json_t *item = json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}",     /**/
                             "seq", (json_int_t)event->seq,        /**/
                             "at", json_time_exact(event->at_ms),  /**/
                             "kind", json_text(event->kind),       /**/
                             "outcome", json_text(event->outcome), /**/
                             "detail", json_text(event->detail),   /**/
                             "duration_ms", event_duration_json(event));
    json_append(events->list, item);
    events->next = event->seq;
    return 0;
}

int events_answer(struct store *store, uint32_t vmid, int64_t since, struct reply *reply,
                  struct error *error)
{
    int64_t newest;
    cleanup_json json_t *list = json_array();
    if (event_newest(store, &newest, error) < 0)
        return -1;
    bool reset = since > newest;
    struct events events = {list, reset ? 0 : since};
    if (event_each_own(store, vmid, events.next, EVENTS_MAX, events_add, &events, error) < 0)
        return -1;
    json_t *data = json_pack("{s:I, s:O, s:I}",        /**/
                             "vmid", (json_int_t)vmid, /**/
                             "events", list,           /**/
                             "next", (json_int_t)events.next);
    if (reset)
        json_set(data, "reset", json_true());
    reply_data(reply, 200, data);
    return reset || json_array_size(list) > 0;
}

void events_get(struct context *context, const struct request *request, struct reply *reply)
{
    struct error error;
    enum { SINCE, TIMEOUT, NUMBERS };
    struct query_number numbers[NUMBERS] = {
        [SINCE] = {.name = "since", .max = INT64_MAX},
        [TIMEOUT] = {.name = "timeout", .max = TIMEOUT_MAX},
    };
    if (query_parse(request->info->query_string, numbers, NUMBERS, &error) < 0) {
        reply_error(reply, 400, error.message);
        return;
    }
    int64_t since = numbers[SINCE].value;
    int64_t timeout_s = numbers[TIMEOUT].value;
    int found = events_answer(request->view->store, request->vmid, since, reply, &error);
    if (found < 0)
        reply_internal_failure(reply, context, request->view, &error);
    else if (found == 0 && timeout_s > 0)
        reply->wait = (struct reply_wait){clock_steady_us() + timeout_s * SECOND_US, since};
}
