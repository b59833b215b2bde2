/* SPDX-License-Identifier: Apache-2.0 */
#include "server/jobs/snapshot_lists.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "server/base/limiter.h"
#include "server/base/lock.h"
#include "store/base/clock.h"

#define SHARED_US    SECOND_US
#define FORGOTTEN_US (10 * MINUTE_US) /* no request waits so long */

/* What Proxmox has answered to a guest's last question. */
struct snapshot_answer {
    uint32_t vmid;
    struct job_mark mark;
    int64_t asked_us;
    int64_t answered_us;
    struct pve_snapshots snapshots;
};

struct snapshot_lists {
    struct fair_lock client_lock; /* held while client is used */
    struct pve_client *client;
    pthread_mutex_t lock; /* guards the members below */
    struct snapshot_answer *answers;
    size_t count;
};

struct snapshot_lists *snapshot_lists_new(struct call_counters *calls)
{
    struct snapshot_lists *lists = mem_new(struct snapshot_lists);
    fair_lock_init(&lists->client_lock);
    (void)pthread_mutex_init(&lists->lock, NULL);
    lists->client = pve_client_new(NULL, calls);
    return lists;
}

void snapshot_lists_free(struct snapshot_lists *lists)
{
    if (!lists)
        return;
    for (size_t i = 0; i < lists->count; i++)
        pve_snapshots_free(&lists->answers[i].snapshots);
    free(lists->answers);
    pve_client_free(lists->client);
    (void)pthread_mutex_destroy(&lists->lock);
    fair_lock_destroy(&lists->client_lock);
    free(lists);
}

static void snapshots_copy(const struct pve_snapshots *from, struct pve_snapshots *ret)
{
    *ret = (struct pve_snapshots){.count = from->count};
    ret->items = mem_new_array(from->count + 1, sizeof *ret->items);
    for (size_t i = 0; i < from->count; i++) {
        ret->items[i] = from->items[i];
        ret->items[i].description = mem_copy_text(from->items[i].description);
    }
}

/* Forgets answers that nobody can use any more. The caller holds lists->lock. */
static void answers_prune(struct snapshot_lists *lists, int64_t now_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < lists->count; i++) {
        if (now_us - lists->answers[i].answered_us < FORGOTTEN_US)
            lists->answers[kept++] = lists->answers[i];
        else
            pve_snapshots_free(&lists->answers[i].snapshots);
    }
    lists->count = kept;
}

/* The caller holds lists->lock. NULL if there is none. */
static struct snapshot_answer *answers_find(struct snapshot_lists *lists, uint32_t vmid)
{
    for (size_t i = 0; i < lists->count; i++)
        if (lists->answers[i].vmid == vmid)
            return &lists->answers[i];
    return NULL;
}

/* Keeps the answer in place of the guest's last one. Takes over answer->snapshots. */
static void answers_put(struct snapshot_lists *lists, const struct snapshot_answer *answer)
{
    lock_scope(&lists->lock);
    answers_prune(lists, answer->answered_us);
    struct snapshot_answer *place = answers_find(lists, answer->vmid);
    if (place) {
        pve_snapshots_free(&place->snapshots);
    } else {
        lists->answers = mem_resize(lists->answers, lists->count + 1, sizeof *lists->answers);
        place = &lists->answers[lists->count++];
    }
    *place = *answer;
}

static bool answer_serves(const struct snapshot_answer *answer,
                          const struct snapshot_question *question, int64_t came_us)
{
    if (answer->mark.newest != question->mark.newest ||
        answer->mark.unfinished != question->mark.unfinished)
        return false;
    return answer->answered_us >= came_us || clock_steady_us() - answer->asked_us < SHARED_US;
}

/* True if there is an answer for a request that came at came_us. */
static bool answers_take(struct snapshot_lists *lists, const struct snapshot_question *question,
                         int64_t came_us, struct pve_snapshots *ret)
{
    lock_scope(&lists->lock);
    const struct snapshot_answer *answer = answers_find(lists, question->guest.vmid);
    if (!answer || !answer_serves(answer, question, came_us))
        return false;
    snapshots_copy(&answer->snapshots, ret);
    return true;
}

/* The caller holds client_lock. A failure is kept for nobody: it may come from this request's
 * deadline alone. */
static int snapshots_ask(struct snapshot_lists *lists, const struct snapshot_question *question,
                         struct pve_snapshots *ret, struct error *error)
{
    const struct pve_call call = {
        .client = lists->client,
        .config = question->config,
        .node = question->node,
        .deadline_us = question->deadline_us,
    };
    struct snapshot_answer answer = {
        .vmid = question->guest.vmid,
        .mark = question->mark,
        .asked_us = clock_steady_us(),
    };
    if (pve_snapshots(&call, &question->guest, ret, error) < 0)
        return -1;
    answer.answered_us = clock_steady_us();
    snapshots_copy(ret, &answer.snapshots);
    answers_put(lists, &answer);
    return 0;
}

int snapshot_lists_read(struct snapshot_lists *lists, const struct snapshot_question *question,
                        struct pve_snapshots *ret, struct error *error)
{
    const int64_t came_us = clock_steady_us();
    if (answers_take(lists, question, came_us, ret))
        return 0;
    if (fair_lock_acquire(&lists->client_lock, question->guest.vmid,
                          question->config->limits.threads, question->deadline_us, error) < 0)
        return -1;
    int result = answers_take(lists, question, came_us, ret)
                     ? 0
                     : snapshots_ask(lists, question, ret, error);
    fair_lock_release(&lists->client_lock);
    return result;
}

uint32_t snapshot_lists_waiting(struct snapshot_lists *lists)
{
    return fair_lock_waiting(&lists->client_lock);
}
