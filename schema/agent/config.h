/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.yaml, the operator's configuration of the agent: struct config has one field for each key,
 * and the table in config.c gives each key's type, default and bounds. config_parse reads a file
 * strictly. config_salvage makes the best of a file with mistakes, so that guests can still start.
 * To add a key, add the field here, the row in config.c, and the description in debian/agent.yaml
 * and schema/agent.yaml.5.
 */
#ifndef FELHOM_CONFIG_H
#define FELHOM_CONFIG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/address.h"
#include "schema/base/error.h"
#include "schema/base/vmid.h"
#include "schema/yaml/keys.h"

enum source_binding { BINDING_AUTO, BINDING_REQUIRE, BINDING_OFF };
enum on_error { ON_ERROR_CONTINUE, ON_ERROR_BLOCK };
enum bootstrap_schema { BOOTSTRAP_SPIKE, BOOTSTRAP_V2 };
enum registry_mode { REGISTRY_NONE, REGISTRY_STATIC, REGISTRY_GITEA };

struct storage_class {
    char *storage;
    char *name; /* "fast", "slow" or any other word of the operator's */
};

/* How much a guest may have its host do. 0: as much as it likes. */
struct quota {
    uint32_t snapshots;            /* how many snapshots it may have and still take another */
    uint64_t snapshot_interval_ms; /* from one request for a snapshot to the next */
    uint64_t backup_interval_ms;   /* the same for backups */
};

/* The default of controller.guest_path: where guests look for controller.yaml by themselves. */
#define CONFIG_CONTROLLER_PATH "/opt/docker/felhom-controller/controller.yaml"

/* Texts are never NULL; a text without a value and without a default is "". Durations are in
 * milliseconds. */
struct config {
    char *host_id; /* "": use the host's name */
    struct {
        char *bridge;
        bool has_listen;
        struct sockaddr_in listen; /* only if has_listen */
        struct cidr *allow;
        size_t allow_count; /* 0: allow the bridge's subnet */
        enum source_binding source_binding;
        struct vmids routers; /* guests that route for others */
    } local_api;
    struct quota quota; /* each guest's; its enrolment may say otherwise */
    struct {
        enum on_error on_error;
        uint64_t deadline_ms;
    } hook;
    struct {
        uint32_t threads;                /* 4..4096 */
        uint32_t connections_per_source; /* 1..threads */
        uint32_t requests_per_source;    /* per second */
        uint32_t failures_per_source;    /* per minute */
        uint64_t handshake_ms;
        uint64_t request_ms;
    } limits;
    struct {
        uint64_t overlap_ms;
        uint64_t max_age_ms; /* 0: no limit */
    } token;
    struct {
        char *guest_path;
        enum bootstrap_schema schema;
    } bootstrap;
    struct {
        char *image;
        char *template_file; /* the key is called template */
        char *guest_path;
    } controller;
    struct {
        char *url;
        char *api_key_file;
        uint64_t poll_ms;
        char *ca_file;
    } hub;
    struct {
        enum registry_mode mode;
        char *host;
        char *username;
        char *secret_file;
        char *ca_file;
    } registry;
    struct {
        char *endpoint;
        char *token_file;
        char *ca_file;
    } pve;
    struct {
        char *storage;
        char *mode;     /* snapshot, suspend or stop */
        char *compress; /* 0, 1, gzip, lzo or zstd */
        uint64_t max_age_ms;
        char *window; /* "" or HH:MM-HH:MM */
    } backup;
    struct {
        char *storage; /* "": the storage of the guest's own disks */
        uint64_t every_ms;
        uint64_t hold_ms; /* how long the restored copy must run */
        uint64_t deadline_ms;
    } restore_test;
    struct {
        bool has_listen;
        struct sockaddr_in listen; /* only if has_listen; always a loopback address */
        char *textfile;            /* "": none */
    } metrics;
    struct storage_class *storage_classes;
    size_t storage_class_count;
    struct {
        char *state;
        char *guests;
        char *export;
        char *run;
        char *pve;
        char *enrolment;
        char *cgroup; /* where the control groups lxc/VMID and qemu.slice/VMID.scope are */
    } paths;
};

/*
 * Reads length bytes of YAML; an empty document gives all defaults. Unknown and duplicate keys,
 * wrong types and bad values fail with ERROR_INVALID and "NAME:LINE:COLUMN: key: why". The caller
 * frees *ret with config_free.
 */
int config_parse(const char *name, const char *text, size_t length, struct config *ret,
                 struct error *error);

/*
 * Reads a text that config_parse refuses: keeps each value that is valid on its own and stands
 * before the first mistake in the YAML itself, and uses the default for every other key. Values may
 * contradict each other. This serves a guest's start, which cannot wait until the operator has
 * corrected the file. The caller frees *ret with config_free.
 */
void config_salvage(const char *text, size_t length, struct config *ret);

void config_free(struct config *config);

/* Returns the class of a storage according to storage_classes; "" if it has none. Never NULL; owned
 * by config. */
const char *config_storage_class(const struct config *config, const char *storage);

/* All keys of agent.yaml with type, default and bounds; it fills a struct config. */
extern const struct yaml_table config_table;

#endif
