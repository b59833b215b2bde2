/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/memory.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"

/* Sanitizers have their own heap, whose blocks these functions cannot handle. */
#if defined(__SANITIZE_ADDRESS__)
#define NEEDS_PLAIN_HEAP skip()
#else
#define NEEDS_PLAIN_HEAP
#endif

static void fill(char *block, size_t length)
{
    for (size_t i = 0; i < length; i++)
        block[i] = (char)('a' + i % 26);
}

static void assert_filled(const char *block, size_t length)
{
    for (size_t i = 0; i < length; i++)
        assert_int_equal(block[i], 'a' + (int)(i % 26));
}

static void test_what_moves_is_kept(void **state)
{
    (void)state;
    NEEDS_PLAIN_HEAP;
    static const size_t lengths[] = {1, 24, 25, 1000, 5000, 200000, 3000000};
    char *block = NULL;
    size_t filled = 0;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        block = wiping_realloc(block, lengths[i]);
        assert_non_null(block);
        assert_filled(block, filled);
        filled = lengths[i];
        fill(block, filled);
    }
    wiping_free(block);
}

static void test_what_is_cut_is_kept(void **state)
{
    (void)state;
    NEEDS_PLAIN_HEAP;
    char *block = wiping_realloc(NULL, 100000);
    fill(block, 100000);
    for (size_t length = 99999; length > 0; length = length * 2 / 3) {
        block = wiping_realloc(block, length);
        assert_non_null(block);
        assert_filled(block, length);
    }
    wiping_free(block);
}

#define SIZE ((size_t)64 * 4096)

/* The block stays part of the heap when it is released, so that it can be looked at. The heap
 * itself writes to its first bytes. */
static void test_what_is_freed_is_wiped(void **state)
{
    (void)state;
    NEEDS_PLAIN_HEAP;
    (void)mallopt(M_MMAP_THRESHOLD, SIZE * 2);
    (void)mallopt(M_TRIM_THRESHOLD, SIZE * 4);
    char *block = malloc(SIZE);
    char *after = malloc(100);
    uintptr_t start = (uintptr_t)block;
    memset(block, 's', SIZE);
    wiping_free(block);
    const volatile char *released = (const volatile char *)start;
    for (size_t i = 32; i < SIZE; i++)
        assert_int_equal(released[i], 0);
    free(after);
}

/* Ends with 0 if nothing is left of what the blocks have held. */
static void wipe_and_look(void)
{
    uintptr_t starts[6];
    /* None fits into what was free before. */
    static const size_t sizes[6] = {9000, 50000, 4097, SIZE, 4096, 3 * SIZE};
    mem_mark_heap();
    for (size_t i = 0; i < 6; i++) {
        char *block = malloc(sizes[i]);
        starts[i] = (uintptr_t)block;
        memset(block, 's', sizes[i]);
        if (i % 2)
            free(block);
    }
    mem_wipe_heap();
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < sizes[i]; j++)
            if (((const volatile char *)starts[i])[j] != 0)
                _exit(1 + (int)i);
    _exit(0);
}

static void test_a_heap_is_wiped_as_a_whole(void **state)
{
    (void)state;
    NEEDS_PLAIN_HEAP;
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        wipe_and_look();
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_nothing_is_no_block(void **state)
{
    (void)state;
    NEEDS_PLAIN_HEAP;
    wiping_free(NULL);
    assert_null(wiping_realloc(wiping_realloc(NULL, 10), 0));
}

static void test_too_much_leaves_the_block(void **state)
{
    (void)state;
    NEEDS_PLAIN_HEAP;
    char *block = wiping_realloc(NULL, 10);
    volatile size_t everything = SIZE_MAX / 2;
    fill(block, 10);
    assert_null(wiping_realloc(block, everything));
    assert_filled(block, 10);
    wiping_free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_moves_is_kept),
        cmocka_unit_test(test_what_is_cut_is_kept),
        cmocka_unit_test(test_nothing_is_no_block),
        cmocka_unit_test(test_too_much_leaves_the_block),
        cmocka_unit_test(test_what_is_freed_is_wiped),
        cmocka_unit_test(test_a_heap_is_wiped_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
