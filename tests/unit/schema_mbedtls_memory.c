/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/base/mbedtls.h"

#include <errno.h>
#include <mbedtls/bignum.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509.h>
#include <sys/wait.h>
#include <unistd.h>

#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "tests/unit/test.h"

/* Returns the exit status of a process that checks the code; 0 if the code is not about memory. */
static int status_for(int code, int errnum)
{
    int status = -1;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(STDERR_FILENO);
        errno = errnum;
        mbedtls_check_memory(code);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
}

static void lack_of_memory_ends_the_process(void **state)
{
    static const int codes[] = {
        MBEDTLS_ERR_MPI_ALLOC_FAILED,
        MBEDTLS_ERR_ECP_ALLOC_FAILED,
        MBEDTLS_ERR_PEM_ALLOC_FAILED,
        MBEDTLS_ERR_X509_INVALID_EXTENSIONS + MBEDTLS_ERR_MPI_ALLOC_FAILED,
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
        assert_int_equal(status_for(codes[i], 0), EXIT_MEMORY);
}

static void nothing_else_does(void **state)
{
    static const int codes[] = {
        0,
        1,
        MBEDTLS_ERR_ECP_BAD_INPUT_DATA,
        MBEDTLS_ERR_PEM_NO_HEADER_FOOTER_PRESENT,
        MBEDTLS_ERR_X509_INVALID_EXTENSIONS + MBEDTLS_ERR_MPI_BAD_INPUT_DATA,
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
        assert_int_equal(status_for(codes[i], EAGAIN), 0);
}

static void nor_does_a_hidden_lack_pass(void **state)
{
    (void)state;
    assert_int_equal(status_for(MBEDTLS_ERR_PK_KEY_INVALID_FORMAT, ENOMEM), EXIT_MEMORY);
    assert_int_equal(status_for(0, ENOMEM), 0);
}

static void main_may_choose_the_status(void **state)
{
    (void)state;
    mem_exit_with(3);
    assert_int_equal(status_for(MBEDTLS_ERR_MPI_ALLOC_FAILED, 0), 3);
    mem_exit_with(EXIT_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lack_of_memory_ends_the_process),
        cmocka_unit_test(nothing_else_does),
        cmocka_unit_test(nor_does_a_hidden_lack_pass),
        cmocka_unit_test(main_may_choose_the_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
