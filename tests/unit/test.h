/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka as the unit tests use it. */
#ifndef FELHOM_TEST_H
#define FELHOM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* cmocka's macro of this name would hide schema/base/error.h's function. */
#undef fail

/* Ends the test with a message, as cmocka's fail_msg does. */
#define fail_test(...) \
    do { \
        print_error(__VA_ARGS__); \
        print_error("\n"); \
        _fail(__FILE__, __LINE__); \
    } while (0)

#endif
