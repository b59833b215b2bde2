/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pve/guest_reach.h"

#include <string.h>

#include "cli/pve/firewall_file.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/units.h"
#include "store/files/file.h"
#include "store/host/host.h"

#define FIREWALL_LIMIT MIB

void firewall_file_load(const struct config *config, const char *name, struct buffer *ret)
{
    struct error ignored;
    cleanup_free char *path = mem_format("%s/%s", config->paths.pve, name);
    (void)file_read(path, FIREWALL_LIMIT, ret, &ignored);
}

/* felhomd's listeners all have the same port. */
static uint16_t reach_port(const struct node_reach *reach)
{
    const struct reach_host *host = &reach->facts.host;
    return host->listener_count > 0 ? reach_listener_port(&host->listeners[0]) : ENDPOINT_PORT;
}

struct node_reach node_reach_load(const struct config *config, const struct node_nics *nics)
{
    struct error ignored;
    struct node_reach reach = {.config = config, .nics = nics};
    cleanup_buffer struct buffer cluster = BUFFER_EMPTY;
    cleanup_buffer struct buffer host = BUFFER_EMPTY;
    reach.is_loaded = reach_facts_load(config, &reach.facts, &ignored) == 0;
    firewall_file_load(config, "firewall/cluster.fw", &cluster);
    firewall_file_load(config, "local/host.fw", &host);
    reach.cluster_filtered = firewall_file_switch(buffer_text(&cluster)) == FIREWALL_ON;
    reach.facts.host.firewall_drops =
        firewall_files_drop_in(buffer_text(&cluster), buffer_text(&host), reach_port(&reach));
    return reach;
}

void node_reach_free(struct node_reach *reach)
{
    if (reach->is_loaded)
        reach_facts_free(&reach->facts);
    reach->is_loaded = false;
}

/* One guest that is judged. */
struct judged {
    const struct node_reach *reach;
    uint32_t vmid;
    bool firewall_drops;
};

static void complete_nic(void *context, struct reach_nic *nic)
{
    const struct judged *judged = context;
    const char *firewall = nic_property(nic->nic, "firewall");
    nic->firewall_drops = judged->firewall_drops && firewall && strcmp(firewall, "1") == 0;
    nic->shared_with = node_nics_sharing(judged->reach->nics, judged->vmid, nic->nic);
    nic->shared_is_up = nic->shared_with && reach_facts_guest_is_up(nic->shared_with);
}

struct guest_reach node_reach_judge(struct node_reach *reach, uint32_t vmid,
                                    const struct guest_config *guest)
{
    struct judged judged = {.reach = reach, .vmid = vmid};
    const struct reach_guest of = {vmid, guest};
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup_free char *name = mem_format("firewall/%u.fw", vmid);
    if (reach->cluster_filtered)
        firewall_file_load(reach->config, name, &text);
    judged.firewall_drops = firewall_file_drops_out(buffer_text(&text), reach_port(reach));
    return reach_facts_judge(&reach->facts, &of, complete_nic, &judged);
}
