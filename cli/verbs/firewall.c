/* SPDX-License-Identifier: Apache-2.0 */
/* firewall: the rules that let guests through Proxmox's firewall. They are printed, and written
 * nowhere: the firewall is the operator's. */
#include <arpa/inet.h>

#include "cli/base/output.h"
#include "cli/base/verb.h"
#include "schema/agent/config.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/config_file.h"
#include "store/host/host.h"

#define SET "felhom-guests"

/* What the rules are made from. */
struct firewall_rules {
    struct config config;
    char node[256];
    struct sockaddr_in endpoint;
    struct cidr *networks; /* whose requests are let in */
    size_t count;
};

static void firewall_rules_free(struct firewall_rules *rules)
{
    free(rules->networks);
    config_free(&rules->config);
}

/* The endpoint is IPv4, so that nobody else's network matters. */
static int find_networks(struct firewall_rules *rules, struct error *error)
{
    const struct config *config = &rules->config;
    size_t count = config->local_api.allow_count;
    rules->networks = mem_new_array(count + 1, sizeof *rules->networks);
    if (count == 0) {
        rules->count = 1;
        return host_network(&rules->endpoint, &rules->networks[0], error);
    }
    for (size_t i = 0; i < count; i++)
        if (config->local_api.allow[i].family == AF_INET)
            rules->networks[rules->count++] = config->local_api.allow[i];
    return 0;
}

static int find_rules(struct firewall_rules *rules, struct error *error)
{
    const struct pins none = {.spki = ""};
    struct host host;
    if (config_file_load(&rules->config, error) < 0 ||
        host_endpoint(&rules->config, &rules->endpoint, error) < 0 ||
        host_describe(&rules->config, &none, &host, error) < 0 || find_networks(rules, error) < 0)
        return -1;
    (void)snprintf(rules->node, sizeof rules->node, "%s", host.node);
    return 0;
}

/* Host rules come before the cluster's: whoever is not let in here is dropped here. */
static void write_host_rules(const struct firewall_rules *rules, struct buffer *out)
{
    char address[INET_ADDRSTRLEN];
    unsigned int port = ntohs(rules->endpoint.sin_port);
    bool on_bridge = !rules->config.local_api.has_listen;
    bool anywhere = rules->endpoint.sin_addr.s_addr == htonl(INADDR_ANY);
    (void)inet_ntop(AF_INET, &rules->endpoint.sin_addr, address, sizeof address);
    buffer_add_text(out, "[RULES]\n");
    for (size_t i = 0; i < rules->count; i++) {
        char network[CIDR_TEXT_SIZE];
        cidr_format(&rules->networks[i], network);
        buffer_add_format(out, "IN ACCEPT%s%s -source %s%s%s -p tcp -dport %u\n",
                          on_bridge ? " -i " : "", on_bridge ? rules->config.local_api.bridge : "",
                          network, anywhere ? "" : " -dest ", anywhere ? "" : address, port);
    }
    buffer_add_format(out, "IN DROP -p tcp -dport %u\n", port);
}

/* Each node has an address of its own, so the cluster's rules name none. */
static void write_cluster_rules(const struct firewall_rules *rules, struct buffer *out)
{
    unsigned int port = ntohs(rules->endpoint.sin_port);
    buffer_add_text(out, "[IPSET " SET "]\n");
    for (size_t i = 0; i < rules->count; i++) {
        char network[CIDR_TEXT_SIZE];
        cidr_format(&rules->networks[i], network);
        buffer_add_format(out, "%s\n", network);
    }
    buffer_add_format(out,
                      "\n[RULES]\n"
                      "IN ACCEPT -source +dc/" SET " -p tcp -dport %u\n"
                      "IN DROP -p tcp -dport %u\n",
                      port, port);
}

static void print_rules(FILE *out, const json_t *report)
{
    (void)fprintf(out, "# For this host, in %s:\n%s\n# Or for all of the cluster, in %s:\n%s",
                  json_string_value(json_object_get(report, "host_file")),
                  json_string_value(json_object_get(report, "host_rules")),
                  json_string_value(json_object_get(report, "cluster_file")),
                  json_string_value(json_object_get(report, "cluster_rules")));
}

static int run_firewall(const struct invocation *invocation, struct error *error)
{
    cleanup(firewall_rules_free) struct firewall_rules rules = {.count = 0};
    cleanup_buffer struct buffer of_host = BUFFER_EMPTY;
    cleanup_buffer struct buffer of_cluster = BUFFER_EMPTY;
    cleanup_json json_t *report = json_object();
    if (find_rules(&rules, error) < 0)
        return -1;
    const char *pve = rules.config.paths.pve;
    cleanup_free char *host_file = mem_format("%s/nodes/%s/host.fw", pve, rules.node);
    cleanup_free char *cluster_file = mem_format("%s/firewall/cluster.fw", pve);
    write_host_rules(&rules, &of_host);
    write_cluster_rules(&rules, &of_cluster);
    output_put_texts(report, "host_file", host_file, "host_rules", buffer_text(&of_host),
                     "cluster_file", cluster_file, "cluster_rules", buffer_text(&of_cluster));
    if (!output_value(invocation, report))
        print_rules(invocation->out, report);
    return 0;
}

const struct verb verb_firewall = {
    .name = "firewall",
    .help = "Print the rules that Proxmox's firewall needs, without writing them",
    .run = run_firewall,
};
