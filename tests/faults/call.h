/* SPDX-License-Identifier: Apache-2.0 */
/* What a system call is, as far as faults are chosen by it. */
#ifndef FELHOM_TEST_CALL_H
#define FELHOM_TEST_CALL_H

#include <sys/types.h>

struct ptrace_syscall_info;

/* Its name; "other" for those that no fault is for. *ret_path: which of its arguments names a file;
 * -1: none. */
const char *call_name(pid_t pid, const struct ptrace_syscall_info *info, int *ret_path);

#endif
