/* SPDX-License-Identifier: Apache-2.0 */
/* What doctor found: a grade, a reason and, where something is wrong, the command that mends it. */
#ifndef FELHOM_FINDINGS_H
#define FELHOM_FINDINGS_H

#include <jansson.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/verb.h"

enum grade { GRADE_OK, GRADE_WARNING, GRADE_ERROR, GRADE_MAX };

struct findings {
    json_t *list;
    size_t counts[GRADE_MAX];
};

/* An empty list, the caller's to free with findings_free. */
struct findings findings_new(void);
void findings_free(struct findings *findings);

/* check: its stable id. vmid 0: of the host. remedy NULL: there is no command for it. */
void findings_add(struct findings *findings, const char *check, uint32_t vmid, enum grade grade,
                  const char *remedy, const char *format, va_list arguments)
    __attribute__((format(printf, 6, 0)));

/* Prints them, those of the host and of each guest below a heading. */
void findings_print(const struct findings *findings, const struct invocation *invocation);

/* What to exit with: 0, 3 where the worst is a warning, 4 where it is an error. */
int findings_status(const struct findings *findings);

#endif
