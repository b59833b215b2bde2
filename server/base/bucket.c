/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/bucket.h"

struct bucket_rate bucket_rate(uint32_t count, int64_t period_us, int64_t burst)
{
    return (struct bucket_rate){
        .interval_us = period_us / (count > 0 ? count : 1),
        .burst = burst > 0 ? burst : 1,
    };
}

int64_t bucket_wait(const struct bucket *bucket, const struct bucket_rate *rate, int64_t now_us)
{
    int64_t token_at_us = bucket->full_at_us - (rate->burst - 1) * rate->interval_us;
    return token_at_us > now_us ? token_at_us - now_us : 0;
}

int64_t bucket_take(struct bucket *bucket, const struct bucket_rate *rate, int64_t now_us)
{
    int64_t wait_us = bucket_wait(bucket, rate, now_us);
    if (wait_us == 0) {
        int64_t base_us = bucket->full_at_us > now_us ? bucket->full_at_us : now_us;
        bucket->full_at_us = base_us + rate->interval_us;
    }
    return wait_us;
}
