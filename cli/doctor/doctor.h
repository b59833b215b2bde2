/* SPDX-License-Identifier: Apache-2.0 */
/* What the checks of doctor know and how they tell what they found. None changes anything. */
#ifndef FELHOM_DOCTOR_H
#define FELHOM_DOCTOR_H

#include <jansson.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/base/verb.h"
#include "schema/agent/config.h"
#include "schema/pve/guest_config.h"
#include "store/db/store.h"
#include "store/tables/guest.h"

/* What doctor found: a grade, a reason and, where something is wrong, the command that mends it. */

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

/* The guest that is looked at. */
struct patient {
    uint32_t vmid;
    bool here;                  /* its configuration is on this node, and can be read */
    struct error problem;       /* only unless here */
    struct guest_config config; /* all zero unless here */
    bool known;                 /* by the store */
    struct guest guest;         /* only if known */
    bool running;
};

struct doctor {
    struct config config;
    const char *snippets;          /* where Proxmox looks for hookscripts; NULL: nowhere */
    struct store *store;           /* opened only to look; NULL where that cannot be */
    const struct patient *patient; /* NULL: the host */
    const char *check;             /* the id of the check that runs */
    struct findings findings;
};

/* Says one thing: nothing, where there is nothing to check. The id stays as it is from release to
 * release. */
struct check {
    const char *id;
    void (*run)(struct doctor *doctor);
};
struct check_list {
    const struct check *items;
    size_t count;
};

/* Notes what the running check found. remedy NULL: there is no command for it. */
void doctor_note(struct doctor *doctor, enum grade grade, const char *remedy, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

/* The groups, in the order in which they are run. state opens doctor->store. */
extern const struct check_list doctor_state_checks;
extern const struct check_list doctor_host_checks;
extern const struct check_list doctor_daemon_checks;
extern const struct check_list doctor_pve_checks;
extern const struct check_list doctor_guest_checks;
extern const struct check_list doctor_running_checks;

#endif
