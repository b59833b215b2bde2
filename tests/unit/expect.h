/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of functions that fill in a struct error: calls that must succeed, and calls that must
 * fail in a certain way. */
#ifndef FELHOM_TEST_EXPECT_H
#define FELHOM_TEST_EXPECT_H

#include "schema/base/error.h"
#include "tests/unit/test.h"

static struct error error;

/* Fails the test with the error's message unless the call returns 0. */
#define OK(call) \
    do { \
        if ((call) != 0) \
            fail_test("%s: %s", #call, error.message); \
    } while (0)

/* Fails the test unless the call fails with this kind and message. */
#define FAILS(call, expected_kind, expected_message) \
    do { \
        assert_int_equal((call), -1); \
        assert_string_equal(error.message, expected_message); \
        assert_int_equal(error.kind, expected_kind); \
    } while (0)

#endif
