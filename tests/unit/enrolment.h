/* SPDX-License-Identifier: Apache-2.0 */
/* Enrolments of guests that the store knows already. */
#ifndef FELHOM_TEST_ENROLMENT_H
#define FELHOM_TEST_ENROLMENT_H

#include "schema/base/buffer.h"
#include "store/tables/guest.h"
#include "tests/unit/test.h"

static inline void record_enrolment(struct store *store, uint32_t vmid, const char *text,
                                    size_t length)
{
    struct guest guest;
    struct error failure;
    cleanup_buffer struct buffer enrolment = BUFFER_EMPTY;
    buffer_add(&enrolment, text, length);
    assert_int_equal(guest_find(store, vmid, &guest, &failure), 0);
    assert_int_equal(guest_put_enrolled(store, &guest, &enrolment, &failure), 0);
}

#endif
