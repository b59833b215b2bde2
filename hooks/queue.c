/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/queue.h"

#include <errno.h>
#include <sys/file.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/base/clock.h"
#include "store/files/file.h"

/* How long a hook waits in all while others get on. */
#define LONGEST_WAIT_US INT64_C(120000000)

int queue_enter(const struct config *config, struct queue_wait *wait, struct queue_place *place,
                struct error *error)
{
    cleanup_close int fd = -1;
    if (place->taken)
        return 0;
    *place = (struct queue_place){.taken = true, .fd = -1};
    if (file_open_lock(config->paths.run, QUEUE_LOCK_FILE, &fd, error) < 0)
        return -1;
    int64_t since_us = clock_steady_us();
    wait->since_us = since_us;
    bool failed = TEMP_FAILURE_RETRY(flock(fd, LOCK_EX)) < 0;
    int errnum = errno;
    /* In this order: the supervisor, which may look in between, then gives too much time. */
    wait->waited_us += clock_steady_us() - since_us;
    wait->since_us = 0;
    if (failed)
        return fail_errno(error, errnum, "%s/" QUEUE_LOCK_FILE, config->paths.run);
    place->fd = steal_fd(&fd);
    return 0;
}

void queue_note_progress(const struct queue_place *place)
{
    int64_t now_us = clock_steady_us();
    if (place->taken && place->fd >= 0)
        (void)!pwrite(place->fd, &now_us, sizeof now_us, 0);
}

void queue_leave(struct queue_place *place)
{
    if (place->taken && place->fd >= 0)
        (void)close(place->fd);
    place->taken = false;
}

bool queue_is_waiting(const struct queue_wait *wait)
{
    return wait->since_us != 0;
}

/* When a holder has last got something done; 0 if none has. */
static int64_t last_progress_us(const struct config *config)
{
    int64_t at_us = 0;
    struct error ignored;
    cleanup_close int fd = -1;
    if (file_open_lock(config->paths.run, QUEUE_LOCK_FILE, &fd, &ignored) < 0 ||
        pread(fd, &at_us, sizeof at_us, 0) != sizeof at_us)
        return 0;
    /* A file that an earlier boot has left may name a time that is still to come. */
    int64_t now_us = clock_steady_us();
    return at_us < now_us ? at_us : now_us;
}

int64_t queue_time_is_up_us(const struct config *config, const struct queue_wait *wait,
                            int64_t started_us)
{
    int64_t since_us = wait->since_us;
    int64_t waited_us = wait->waited_us;
    int64_t deadline_us = (int64_t)config->hook.deadline_ms * 1000;
    int64_t up_us = started_us + deadline_us + waited_us;
    if (since_us == 0)
        return up_us;
    int64_t progress_us = last_progress_us(config);
    int64_t patience_us = since_us + LONGEST_WAIT_US - waited_us;
    int64_t stuck_us = up_us + (progress_us > since_us ? progress_us - since_us : 0);
    int64_t longest_us = patience_us > up_us ? patience_us : up_us;
    return stuck_us < longest_us ? stuck_us : longest_us;
}
