/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/pve/guest_nic.h"

#include <math.h>
#include <stdlib.h>

#include "schema/base/memory.h"
#include "schema/pve/guest_format.h"

static const char *const lxc_types[] = {"veth", NULL};
static const struct property_range vlan_tags = {1, 4094};
static const struct property_range lxc_mtus = {64, 65535};
static const struct property_range qemu_mtus = {1, 65520};
static const struct property_range qemu_queues = {0, 64};
static const struct property_range not_negative = {0, INFINITY};

static const struct property_rule lxc_rules[] = {
    {.name = "type", .values = lxc_types},
    {.name = "name", .required = true, .accepts = format_word},
    {.name = "bridge", .accepts = format_word},
    {.name = "hwaddr", .accepts = format_unicast_hwaddr},
    {.name = "mtu", .type = PROPERTY_INTEGER, .range = &lxc_mtus},
    {.name = "ip", .accepts = format_ipv4_config},
    {.name = "gw", .accepts = format_ipv4},
    {.name = "ip6", .accepts = format_ipv6_config},
    {.name = "gw6", .accepts = format_ipv6},
    {.name = "firewall", .type = PROPERTY_BOOLEAN},
    {.name = "tag", .type = PROPERTY_INTEGER, .range = &vlan_tags},
    {.name = "trunks", .accepts = format_vlan_ids},
    {.name = "rate", .type = PROPERTY_NUMBER},
    {.name = "link_down", .type = PROPERTY_BOOLEAN},
    {.name = "host-managed", .type = PROPERTY_BOOLEAN},
};

/* "virtio=BC:24:11:00:00:01" says the model and the address at once. */
#define MODEL(model) \
    { \
        .name = (model), .alias = "macaddr", .name_of = "model" \
    }

static const char *const qemu_models[] = {
    "e1000",  "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e",
    "i82551", "i82557b",       "i82559er",      "ne2k_isa",      "ne2k_pci",
    "pcnet",  "rtl8139",       "virtio",        "vmxnet3",       NULL,
};

static const struct property_rule qemu_rules[] = {
    {.name = "model", .required = true, .bare = true, .values = qemu_models},
    {.name = "macaddr", .accepts = format_unicast_hwaddr},
    MODEL("e1000"),
    MODEL("e1000-82540em"),
    MODEL("e1000-82544gc"),
    MODEL("e1000-82545em"),
    MODEL("e1000e"),
    MODEL("i82551"),
    MODEL("i82557b"),
    MODEL("i82559er"),
    MODEL("ne2k_isa"),
    MODEL("ne2k_pci"),
    MODEL("pcnet"),
    MODEL("rtl8139"),
    MODEL("virtio"),
    MODEL("vmxnet3"),
    {.name = "bridge", .accepts = format_word},
    {.name = "queues", .type = PROPERTY_INTEGER, .range = &qemu_queues},
    {.name = "rate", .type = PROPERTY_NUMBER, .range = &not_negative},
    {.name = "tag", .type = PROPERTY_INTEGER, .range = &vlan_tags},
    {.name = "trunks", .accepts = format_vlan_ranges},
    {.name = "firewall", .type = PROPERTY_BOOLEAN},
    {.name = "link_down", .type = PROPERTY_BOOLEAN},
    {.name = "mtu", .type = PROPERTY_INTEGER, .range = &qemu_mtus},
    {.name = "host-tunnel", .type = PROPERTY_BOOLEAN},
};

const struct property_schema lxc_nic_schema = PROPERTY_SCHEMA(lxc_rules);
const struct property_schema qemu_nic_schema = PROPERTY_SCHEMA(qemu_rules);

static char *copy_property(const struct property_list *list, const char *key)
{
    const char *value = property_list_get(list, key);
    return mem_copy_text(value ? value : "");
}

/* The address's property is named hwaddr for containers, macaddr for virtual machines. */
static bool read_hwaddr(const struct property_list *list, struct hwaddr *ret)
{
    const char *hwaddr = property_list_get(list, "hwaddr");
    const char *text = hwaddr ? hwaddr : property_list_get(list, "macaddr");
    return text && hwaddr_parse(text, ret);
}

void nic_from_properties(const char *key, struct property_list *list, struct nic *ret)
{
    *ret = (struct nic){
        .key = mem_copy_text(key),
        .bridge = copy_property(list, "bridge"),
        .ip = copy_property(list, "ip"),
        .properties = list->items,
        .property_count = list->count,
    };
    ret->has_hwaddr = read_hwaddr(list, &ret->hwaddr);
    *list = (struct property_list){NULL, 0};
}

void nic_free(struct nic *nic)
{
    struct property_list list = {nic->properties, nic->property_count};
    property_list_free(&list);
    free(nic->key);
    free(nic->bridge);
    free(nic->ip);
}
