/* SPDX-License-Identifier: Apache-2.0 */
/* The file that node_exporter's textfile collector reads. */
#ifndef FELHOM_METRICS_FILE_H
#define FELHOM_METRICS_FILE_H

#include "schema/base/buffer.h"
#include "schema/base/error.h"

/* Puts the text in the place of what is there, at once and for everybody to read. */
int metrics_file_replace(const char *path, const struct buffer *text, struct error *error);

#endif
