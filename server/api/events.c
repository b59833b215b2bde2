/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api/events.h"

#include <civetweb.h>

#include "schema/json/json.h"
#include "server/api/handlers.h"
#include "server/base/context.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "store/base/clock.h"
#include "store/tables/event.h"

#define EVENTS_MAX  100 /* in one answer */
#define TIMEOUT_MAX 60  /* seconds */
#define SECOND_US   ((int64_t)1000000)

void events_free(struct events *events)
{
    json_decref(events->list);
}

static json_t *duration_of(const struct event *event)
{
    return event->duration_us < 0 ? json_null() : json_real((double)event->duration_us / 1000.0);
}

static int keep(const struct event *event, void *context)
{
    struct events *events = context;
    json_t *item = json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}",     /**/
                             "seq", (json_int_t)event->seq,        /**/
                             "at", json_time_exact(event->at_ms),  /**/
                             "kind", json_text(event->kind),       /**/
                             "outcome", json_text(event->outcome), /**/
                             "detail", json_text(event->detail),   /**/
                             "duration_ms", duration_of(event));
    json_append(events->list, item);
    events->next = event->seq;
    return 0;
}

int events_find(struct store *store, uint32_t vmid, int64_t since, struct events *ret,
                struct error *error)
{
    int64_t newest;
    if (event_newest(store, &newest, error) < 0)
        return -1;
    bool reset = since > newest;
    cleanup_events struct events events = {vmid, json_array(), reset ? 0 : since, reset};
    if (event_each_own(store, vmid, events.next, EVENTS_MAX, keep, &events, error) < 0)
        return -1;
    *ret = events;
    events.list = NULL;
    return 0;
}

bool events_are_news(const struct events *events)
{
    return events->reset || json_array_size(events->list) > 0;
}

void events_tell(const struct events *events, struct reply *reply)
{
    json_t *data = json_pack("{s:I, s:O, s:I}",                /**/
                             "vmid", (json_int_t)events->vmid, /**/
                             "events", events->list,           /**/
                             "next", (json_int_t)events->next);
    if (events->reset)
        json_set(data, "reset", json_true());
    reply_data(reply, 200, data);
}

static void find_and_tell(struct context *context, const struct request *request, int64_t since,
                          int64_t timeout_s, struct reply *reply)
{
    struct error error;
    cleanup_events struct events events = {0};
    if (events_find(request->view->store, request->vmid, since, &events, &error) < 0) {
        reply_internal_failure(reply, context, request->view, &error);
        return;
    }
    events_tell(&events, reply);
    if (timeout_s > 0 && !events_are_news(&events))
        reply->wait = (struct reply_wait){clock_steady_us() + timeout_s * SECOND_US, since};
}

void events_get(struct context *context, const struct request *request, struct reply *reply)
{
    struct error error;
    enum { SINCE, TIMEOUT, NUMBERS };
    struct query_number numbers[NUMBERS] = {
        [SINCE] = {.name = "since", .max = INT64_MAX},
        [TIMEOUT] = {.name = "timeout", .max = TIMEOUT_MAX},
    };
    if (query_parse(request->info->query_string, numbers, NUMBERS, &error) < 0)
        reply_error(reply, 400, error.message);
    else
        find_and_tell(context, request, numbers[SINCE].value, numbers[TIMEOUT].value, reply);
}
