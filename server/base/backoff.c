/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/backoff.h"

#include <sys/random.h>

#define FIRST_MS      ((int64_t)30 * 1000)
#define DOUBLINGS_MAX 20

/* No randomness is no reason to fail: then they come back together. */
static int64_t jitter(int64_t bound)
{
    uint64_t number = 0;
    (void)!getrandom(&number, sizeof number, GRND_NONBLOCK);
    return (int64_t)(number % (uint64_t)(bound + 1));
}

int64_t backoff_ms(uint32_t failures, int64_t limit_ms)
{
    uint32_t doublings = failures > 0 ? failures - 1 : 0;
    int64_t wait_ms = FIRST_MS << (doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX);
    if (wait_ms > limit_ms)
        wait_ms = limit_ms;
    return wait_ms + jitter(wait_ms / 8);
}
