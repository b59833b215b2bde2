/* SPDX-License-Identifier: Apache-2.0 */
/* Strong entity tags (RFC 9110, 8.8.3): the hash of what they stand for. */
#ifndef FELHOM_ETAG_H
#define FELHOM_ETAG_H

#include <stdbool.h>

#include "schema/base/buffer.h"

#define ETAG_SIZE 35 /* 32 hex digits in quotes and a NUL */

void etag_make(const struct buffer *content, char ret[static ETAG_SIZE]);

/*
 * Whether one value of If-None-Match names the tag: by weak comparison, in a list, or with an
 * asterisk. Whatever else stands there matches nothing.
 */
bool etag_matches(const char *if_none_match, const char *etag);

#endif
