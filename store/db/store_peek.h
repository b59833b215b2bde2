/* SPDX-License-Identifier: Apache-2.0 */
/* A look at the store from outside, for those who must not change it. */
#ifndef FELHOM_STORE_PEEK_H
#define FELHOM_STORE_PEEK_H

#include "schema/base/error.h"
#include "store/db/store.h"

/* The schema version of STATE_DIR/db/agent.db, which may be newer than this program's. No file is
 * made or written. ERROR_MISSING where there is no store. */
int store_peek_version(const char *state_dir, int *ret, struct error *error);

#endif
