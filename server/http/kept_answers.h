/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers that stay as they are until their guest starts again or the configuration is read anew,
 * kept as text: to build and write such a document costs more than all else of a request. Whoever
 * asks has been judged by then, as by a view of the store that tells the guest's version; no answer
 * outlives that version.
 */
#ifndef FELHOM_KEPT_ANSWERS_H
#define FELHOM_KEPT_ANSWERS_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/base/buffer.h"
#include "store/tables/guest.h"

/* Longer ones are not kept. */
#define KEPT_ANSWER_LIMIT ((size_t)4096)

struct kept_answers;

/* What an answer follows from. */
struct kept_key {
    uint32_t vmid;
    struct guest_version guest;
    uint64_t setup; /* its serial number */
};

struct kept_answers *kept_answers_new(void);
void kept_answers_free(struct kept_answers *kept);

/* Adds the answer to *out; false where none is kept for just this key. For any thread, as the next.
 */
bool kept_answers_find(struct kept_answers *kept, const struct kept_key *key, struct buffer *out);

/* Takes a copy, in the place of an older one of the guest's. */
void kept_answers_put(struct kept_answers *kept, const struct kept_key *key,
                      const struct buffer *answer);

#endif
