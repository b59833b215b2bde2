/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket: holds burst tokens and gains one in every interval. It is kept as the one moment
 * at which it will be full again, so that a zeroed bucket is a full one. Time is the caller's,
 * microseconds of a clock that only goes forward.
 */
#ifndef FELHOM_BUCKET_H
#define FELHOM_BUCKET_H

#include <stdint.h>

struct bucket {
    int64_t full_at_us;
};

struct bucket_rate {
    int64_t interval_us;
    int64_t burst;
};

/* count tokens in period_us, and as many as burst of them at once. Neither is less than one. */
struct bucket_rate bucket_rate(uint32_t count, int64_t period_us, int64_t burst);

/* 0 while a token is there, else in how many microseconds one will be. */
int64_t bucket_wait(const struct bucket *bucket, const struct bucket_rate *rate, int64_t now_us);

/* The same, and takes the token if it is there. */
int64_t bucket_take(struct bucket *bucket, const struct bucket_rate *rate, int64_t now_us);

#endif
