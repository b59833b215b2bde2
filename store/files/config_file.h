/* SPDX-License-Identifier: Apache-2.0 */
/* Where the operator's documents lie and how the programs read them. */
#ifndef FELHOM_SETTINGS_H
#define FELHOM_SETTINGS_H

#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/pve/guest_config.h"

#define CONFIG_FILE_PATH "/etc/felhom-agent/agent.yaml"
#define CONFIG_FILE_VARIABLE \
    "FELHOM_AGENT_CONFIG" /* names another file; the only variable that is heeded */

/* The path that is in force. Owned by the environment; valid until it changes. */
const char *config_file_path(void);

/* Reads agent.yaml; a missing file is all defaults. The caller frees *ret with config_free. */
int config_file_load(struct config *ret, struct error *error);

/* What can be made of an agent.yaml that config_file_load refuses. Freed in the same way. */
void config_file_salvage(struct config *ret);

/*
 * Reads the guest's configuration, PVE/lxc/VMID.conf or PVE/qemu-server/VMID.conf. ERROR_MISSING,
 * naming the first, where there is neither. The caller frees *ret with guest_config_free.
 */
int config_file_load_guest(const struct config *config, uint32_t vmid, struct guest_config *ret,
                           struct error *error);

/* Adds ENROLMENT/VMID.yaml to out; nothing where there is none. */
int config_file_read_enrolment(const struct config *config, uint32_t vmid, struct buffer *out,
                               struct error *error);

/* Adds the operator's controller template to out; nothing where there is none. */
int config_file_read_template(const struct config *config, struct buffer *out, struct error *error);

#endif
