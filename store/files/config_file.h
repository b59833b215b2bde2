/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds and reads the configuration files that others write: agent.yaml and the files that it
 * names, the guests' configurations in /etc/pve, and the operator's enrolments. The parsers are in
 * schema/; this module knows the paths and which files may be missing.
 */
#ifndef FELHOM_CONFIG_FILE_H
#define FELHOM_CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/agent/config.h"
#include "schema/base/buffer.h"
#include "schema/pve/guest_config.h"

#define CONFIG_FILE_PATH "/etc/felhom-agent/agent.yaml"
/* Names another agent.yaml. No other environment variable is read. */
#define CONFIG_FILE_VARIABLE "FELHOM_AGENT_CONFIG"

/* Returns the path of agent.yaml. The environment owns the text; it is valid until the variable
 * changes. */
const char *config_file_path(void);

/* Reads agent.yaml; a missing file gives all defaults. The caller frees *ret with config_free. */
int config_file_load(struct config *ret, struct error *error);

/* The SHA-256 of agent.yaml's bytes in hex, and a NUL. Of a missing file, that of no bytes. */
#define CONFIG_MARK_SIZE 65

/* Like config_file_load; ret_mark tells later whether the file is still the same. */
int config_file_load_marked(struct config *ret, char ret_mark[static CONFIG_MARK_SIZE],
                            struct error *error);

/* felhomd notes in STATE/agent.yaml.taken which agent.yaml it has taken up. */
int config_file_note_taken(const char *state_dir, const char *mark, struct error *error);

/* Returns false if no felhomd has noted it. */
bool config_file_taken(const char *state_dir, char ret_mark[static CONFIG_MARK_SIZE]);

/*
 * Reads what to go on with where config_file_load refuses agent.yaml and a guest's start cannot
 * wait for the operator: the last good one, if config_file_keep has kept one, and then returns
 * true; else what is valid of the bad one, with defaults for the rest. The caller frees *ret with
 * config_free.
 */
bool config_file_recover(struct config *ret);

/* Beside agent.yaml, where root alone may write: felhom-hook, which is root, goes by it. */
#define CONFIG_FILE_KEPT ".good"

/*
 * Keeps a copy of the agent.yaml that felhomd has taken up, called like it with CONFIG_FILE_KEPT
 * appended. A bad or a missing one is no failure, but is not kept; one that felhomd has not taken
 * up is ERROR_CONFLICT. What felhomd has noted decides only whether the operator's own file is
 * kept: felhomd writes nothing that root reads as a configuration.
 */
int config_file_keep(struct error *error);

/* Compares that copy with agent.yaml. ERROR_MISSING if there is none. */
int config_file_kept_is_same(bool *ret, struct error *error);

/*
 * Reads the guest's configuration, PVE/lxc/VMID.conf or PVE/qemu-server/VMID.conf. If neither
 * exists, fails with ERROR_MISSING and names the first. The caller frees *ret with
 * guest_config_free.
 */
int config_file_load_guest(const struct config *config, uint32_t vmid, struct guest_config *ret,
                           struct error *error);

/* Returns ENROLMENT/VMID.yaml, the path of the guest's enrolment. The caller frees it. */
char *config_file_enrolment_path(const struct config *config, uint32_t vmid);

/* Appends that file to out; nothing if it does not exist. */
int config_file_read_enrolment(const struct config *config, uint32_t vmid, struct buffer *out,
                               struct error *error);

/*
 * Finds the file of a hookscript (STORAGE:snippets/NAME) by PVE/storage.cfg, as Proxmox does. The
 * caller frees *ret. ERROR_MISSING if there is no such storage or it has no directory; the file
 * itself is not looked at.
 */
int config_file_hookscript_path(const struct config *config, const char *volume, char **ret,
                                struct error *error);

/* Appends the operator's template for controller.yaml to out; nothing if the file does not
 * exist. */
int config_file_read_template(const struct config *config, struct buffer *out, struct error *error);

/*
 * --- the files that agent.yaml names ---
 *
 * felhomd reads them while it works. Whoever changes one of them, or agent.yaml, can check them
 * before felhomd needs them.
 */

enum named_file_kind {
    NAMED_TEMPLATE,     /* for controller.yaml; may be missing */
    NAMED_CERTIFICATES, /* in PEM */
    NAMED_PASSWORD,     /* a secret: one line of text */
    NAMED_KEY,          /* a secret: one line of visible ASCII characters */
    NAMED_API_TOKEN,    /* a secret: one line USER@REALM!TOKENID=UUID */
};

struct named_file {
    const char *key; /* of agent.yaml, such as hub.ca_file */
    enum named_file_kind kind;
    const char *path; /* owned by the configuration */
};

#define NAMED_FILES_MAX 7

/* Lists the files that the configuration needs, and returns their number. */
size_t config_file_list_named(const struct config *config,
                              struct named_file ret[static NAMED_FILES_MAX]);

/* Fails if this process cannot read the file or its content is no use: "KEY: PATH: why", for a
 * template with line and column. ERROR_MISSING if there is no such file and there must be one. */
int config_file_check_named(const struct named_file *file, struct error *error);

/* Appends the secret in the file to out, without the end of its line. Fails like
 * config_file_check_named. */
int config_file_read_secret(const struct named_file *file, struct buffer *out, struct error *error);

#endif
