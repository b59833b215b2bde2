/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/agent/mount_form.h"

const char *mount_form_name(enum mount_form form)
{
    static const char *const names[] = {"", "entry", "mp"};
    return names[form];
}
