/* SPDX-License-Identifier: Apache-2.0 */
/* felhomd --check: would it start? */
#ifndef FELHOM_CHECK_H
#define FELHOM_CHECK_H

#include <stdbool.h>
#include <stdio.h>

/* Writes one line for each finding, "ok: ...", "warning: ..." or "error: ...", and changes nothing.
 * False if one is an error. */
bool check_run(FILE *out);

#endif
