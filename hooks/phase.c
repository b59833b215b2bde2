/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/phase.h"

#include <string.h>

#include "schema/base/cleanup.h"

/* Nothing is printed in post-stop: Proxmox loses it, and a full pipe would hang the stop. */
static const struct phase phases[] = {
    /* name          reaction          can block  line   problems */
    {"pre-start", react_pre_start, true, true, true},
    {"post-start", react_post_start, false, false, true},
    {"pre-stop", react_pre_stop, false, false, true},
    {"post-stop", react_post_stop, false, false, false},
};

const struct phase *phase_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(phases); i++)
        if (strcmp(phases[i].name, name) == 0)
            return &phases[i];
    return NULL;
}
