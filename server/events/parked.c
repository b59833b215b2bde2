/* SPDX-License-Identifier: Apache-2.0 */
#include "server/events/parked.h"

#include <stdlib.h>

#include "schema/base/memory.h"
#include "server/api/events.h"
#include "server/http/auth.h"
#include "store/base/clock.h"
#include "store/tables/token.h"

struct parked *parked_new(const struct detached *connection, const struct waiter *waiter)
{
    struct parked *parked = mem_new(struct parked);
    parked->connection = *connection;
    parked->waiter = *waiter;
    parked->deadline_us = waiter->wait.deadline_us;
    /* Something may have happened since its handler looked. */
    parked->due = true;
    return parked;
}

void parked_free(struct parked *parked)
{
    detached_close(&parked->connection);
    buffer_free(&parked->answer);
    free(parked);
}

int parked_find_answer(const struct parked *parked, struct store *store, bool final,
                       struct reply *reply, struct refusal *refusal, struct error *error)
{
    const struct waiter *waiter = &parked->waiter;
    cleanup_events struct events events = {0};
    enum token_verdict verdict;
    if (token_recheck(store, waiter->token_id, clock_wall_ms(), &verdict, error) < 0)
        return -1;
    if (verdict != TOKEN_GOOD) {
        refusal->reason = auth_refusal_reason(verdict);
        reply_unauthorized(reply);
        return 1;
    }
    if (events_find(store, waiter->vmid, waiter->wait.since, &events, error) < 0)
        return -1;
    if (!final && !events_are_news(&events))
        return 0;
    events_tell(&events, reply);
    return 1;
}

void parked_answer(struct parked *parked, const struct reply *reply, int64_t deadline_us)
{
    reply_compose(reply, parked->waiter.head, false, &parked->answer);
    parked->deadline_us = deadline_us;
}

bool parked_is_answered(const struct parked *parked)
{
    return parked->answer.length > 0;
}

int parked_send(struct parked *parked)
{
    const struct buffer *answer = &parked->answer;
    while (parked->sent < answer->length) {
        int count = tls_try_write(parked->connection.session, answer->data + parked->sent,
                                  answer->length - parked->sent);
        if (count <= 0)
            return count;
        parked->sent += (size_t)count;
    }
    return 1;
}
