/* SPDX-License-Identifier: Apache-2.0 */
/* The data of Proxmox's replies, for the files that read them (schema/pve_reply*.c). */
#ifndef FELHOM_PVE_DATA_H
#define FELHOM_PVE_DATA_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/base/error.h"
#include "schema/pve/reply.h"

/* Reads the reply and checks that its data is of this type. *ret is the data alone, the caller's to
 * json_decref. Fails with ERROR_CORRUPT. */
int pve_data_read(const struct pve_reply *reply, json_type type, json_t **ret, struct error *error);

/* ERROR_CORRUPT: the reply is not as Proxmox documents it, in what. */
int pve_data_fail(struct error *error, const char *what);

/*
 * The whole number at key of an object; Perl writes one as a text now and then. False, with *ret
 * untouched, for anything else; where there is none, *ret is otherwise.
 */
bool pve_data_int(const json_t *object, const char *key, int64_t otherwise, int64_t *ret);

/* The text at key; otherwise (may be NULL) where there is none; NULL where it is something else. */
const char *pve_data_text(const json_t *object, const char *key, const char *otherwise);

#endif
