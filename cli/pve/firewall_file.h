/* SPDX-License-Identifier: Apache-2.0 */
/* What Proxmox's firewall files (cluster.fw, host.fw, VMID.fw) say of a port, as far as it can be
 * seen without Proxmox's own rule compiler. Contract: pve-firewall's PVE::Firewall. */
#ifndef FELHOM_FIREWALL_FILE_H
#define FELHOM_FIREWALL_FILE_H

#include <stdbool.h>
#include <stdint.h>

enum firewall_switch { FIREWALL_UNSAID, FIREWALL_OFF, FIREWALL_ON };

/* The enable option of [OPTIONS]. */
enum firewall_switch firewall_file_switch(const char *text);

/* Returns true if a rule in force, of the file or of one of its groups, accepts TCP to the port
 * from any source. */
bool firewall_file_lets_in(const char *text, uint16_t port);

/* Returns true if the host's firewall is on, by the texts of cluster.fw and host.fw, and no rule
 * was found that accepts TCP to the port. */
bool firewall_files_drop_in(const char *cluster, const char *host, uint16_t port);

/* Returns true if VMID.fw is on, and surely drops what the guest sends to the port of any address:
 * by a rule, or by policy_out. */
bool firewall_file_drops_out(const char *text, uint16_t port);

#endif
