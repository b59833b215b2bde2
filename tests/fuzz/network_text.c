/* SPDX-License-Identifier: Apache-2.0 */
/* A text as every kind of address and number that is written by hand: what is taken keeps its
 * meaning when it is written and read again. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/address.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/vmid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static bool is_same_network(const struct cidr *a, const struct cidr *b)
{
    size_t size = a->family == AF_INET ? sizeof a->address.v4 : sizeof a->address.v6;
    return a->family == b->family && a->prefix == b->prefix &&
           memcmp(&a->address, &b->address, size) == 0;
}

static void check_contains_its_first(const struct cidr *cidr)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = cidr->address.v4};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = cidr->address.v6};
    demand(cidr->family == AF_INET ? cidr_contains(cidr, (struct sockaddr *)&v4)
                                   : cidr_contains(cidr, (struct sockaddr *)&v6));
}

static void check_network(const char *text)
{
    char written[CIDR_TEXT_SIZE];
    struct cidr exact;
    struct cidr meant;
    struct cidr again;
    bool is_exact = cidr_parse(text, &exact);
    if (!cidr_parse_host(text, &meant)) {
        demand(!is_exact);
        return;
    }
    demand(meant.prefix <= (meant.family == AF_INET ? 32 : 128));
    demand(!is_exact || is_same_network(&exact, &meant));
    check_contains_its_first(&meant);
    cidr_format(&meant, written);
    demand(cidr_parse(written, &again) && is_same_network(&meant, &again));
}

static void check_endpoint(const char *text)
{
    char host[INET_ADDRSTRLEN];
    struct sockaddr_in endpoint;
    if (!endpoint_parse(text, &endpoint))
        return;
    demand(endpoint.sin_family == AF_INET && endpoint.sin_port != 0);
    demand(inet_ntop(AF_INET, &endpoint.sin_addr, host, sizeof host) != NULL);
    cleanup_free char *written = mem_format("%s:%u", host, ntohs(endpoint.sin_port));
    demand(strcmp(written, text) == 0);
}

static void check_hwaddr(const char *text)
{
    char written[HWADDR_TEXT_SIZE];
    struct hwaddr hwaddr;
    if (!hwaddr_parse(text, &hwaddr))
        return;
    hwaddr_format(&hwaddr, written);
    demand(strcasecmp(written, text) == 0);
}

static void check_vmid(const char *text)
{
    char written[VMID_TEXT_SIZE];
    uint32_t vmid;
    if (!vmid_parse(text, &vmid))
        return;
    demand(vmid >= VMID_MIN && vmid <= VMID_MAX);
    (void)snprintf(written, sizeof written, "%" PRIu32, vmid);
    demand(strcmp(written, text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_free char *text = mem_copy_text_n((const char *)data, size);
    check_network(text);
    check_endpoint(text);
    check_hwaddr(text);
    check_vmid(text);
    return 0;
}
