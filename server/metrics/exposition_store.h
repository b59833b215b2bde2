/* SPDX-License-Identifier: Apache-2.0 */
/* What the store holds, as metrics: tokens, jobs, and each guest with the age of what it has. */
#ifndef FELHOM_EXPOSITION_STORE_H
#define FELHOM_EXPOSITION_STORE_H

#include <stdint.h>

#include "schema/base/buffer.h"
#include "store/db/store.h"

/* Adds it; after a failure it is not whole. */
int exposition_store(struct store *store, int64_t now_ms, struct buffer *out, struct error *error);

#endif
