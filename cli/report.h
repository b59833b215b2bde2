/* SPDX-License-Identifier: Apache-2.0 */
/* A guest as the store knows it, in JSON. */
#ifndef FELHOM_GUEST_REPORT_H
#define FELHOM_GUEST_REPORT_H

#include <jansson.h>

#include "schema/base/error.h"
#include "store/db/store.h"
#include "store/tables/guest.h"

/* Its row in the list of guests: a new reference in *ret, the caller's to json_decref. */
int guest_report_row(struct store *store, const struct guest *guest, json_t **ret,
                     struct error *error);

/* All that is known, its mounts, NICs, tokens (never a secret) and last events included. */
int guest_report_whole(struct store *store, const struct guest *guest, json_t **ret,
                       struct error *error);

#endif
