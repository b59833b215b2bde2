/* SPDX-License-Identifier: Apache-2.0 */
/* The last restore test of each guest. */
#ifndef FELHOM_STORE_RESTORE_TEST_H
#define FELHOM_STORE_RESTORE_TEST_H

#include <stdbool.h>
#include <stdint.h>

#include "store/db/store.h"

/* The problem of a test that was broken off, by a signal or a dying machine. */
#define RESTORE_TEST_INTERRUPTED "it was interrupted"

struct restore_test {
    uint32_t vmid;       /* 0: there was none */
    uint32_t spare_vmid; /* what it was restored to; 0: that is certainly gone */
    char archive[512];
    bool passed;
    char error[384];
    int64_t started_at_ms;
    int64_t finished_at_ms; /* 0: it runs, or was killed and its spare guest may still be there */
};

/* Takes the place of the guest's last one. */
int restore_test_begin(struct store *store, const struct restore_test *test, struct error *error);

/* problem NULL: it passed. Adds an event. ERROR_MISSING where none was begun. */
int restore_test_finish(struct store *store, uint32_t vmid, const char *problem, int64_t now_ms,
                        struct error *error);

/* Notes that nothing is left of the spare guest. */
int restore_test_forget_spare(struct store *store, uint32_t vmid, struct error *error);

int restore_test_get(struct store *store, uint32_t vmid, struct restore_test *ret,
                     struct error *error);

/* In VMID order until visit returns non-zero; returns that, or -1 on failure. */
int restore_test_each(struct store *store,
                      int (*visit)(const struct restore_test *test, void *context), void *context,
                      struct error *error);

#endif
