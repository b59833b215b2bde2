/* SPDX-License-Identifier: Apache-2.0 */
/* From a configuration's settings to what they mean: the guest's name, volumes, NICs and ids. */
#ifndef FELHOM_GUEST_CONTENTS_H
#define FELHOM_GUEST_CONTENTS_H

#include "schema/pve/guest_setting.h"

/* Fills config, whose kind and raw lines are there already, from the finished settings. */
void guest_contents_fill(struct guest_config *config, const struct guest_settings *settings);

#endif
