/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.yaml: every setting of the agent, with its default. Contract: the comments in
 * debian/agent.yaml.
 */
#ifndef FELHOM_CONFIG_H
#define FELHOM_CONFIG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/address.h"
#include "schema/base/error.h"
#include "schema/yaml/keys.h"

enum source_binding { BINDING_AUTO, BINDING_REQUIRE, BINDING_OFF };
enum on_error { ON_ERROR_CONTINUE, ON_ERROR_BLOCK };
enum bootstrap_schema { BOOTSTRAP_SPIKE, BOOTSTRAP_V2 };
enum registry_mode { REGISTRY_NONE, REGISTRY_STATIC, REGISTRY_GITEA };

struct storage_class {
    char *storage;
    char *name; /* "fast", "slow" or whatever the operator says */
};

/* Where guests look for their controller.yaml unless they are told otherwise. */
#define CONFIG_CONTROLLER_PATH "/opt/docker/felhom-controller/controller.yaml"

/* Texts are never NULL: "" where the file does not say and there is no default. Durations are
 * milliseconds. */
struct config {
    char *host_id; /* "" means: the host's name */
    struct {
        char *bridge;
        bool has_listen;
        struct sockaddr_in listen; /* only if has_listen */
        struct cidr *allow;
        size_t allow_count; /* 0: the bridge's subnet */
        enum source_binding source_binding;
    } local_api;
    struct {
        enum on_error on_error;
        uint64_t deadline_ms;
    } hook;
    struct {
        uint32_t threads;                /* 4..4096 */
        uint32_t connections_per_source; /* 1..threads */
        uint32_t requests_per_source;    /* a second */
        uint32_t failures_per_source;    /* a minute */
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
        char *template_file; /* key: template */
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
        char *storage; /* "" means: where the guest's own disks lie */
        uint64_t every_ms;
        uint64_t hold_ms; /* how long the copy has to run */
        uint64_t deadline_ms;
    } restore_test;
    struct {
        bool has_listen;
        struct sockaddr_in listen; /* only if has_listen; a loopback address */
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
        char *cgroup; /* where running guests show as lxc/VMID and qemu.slice/VMID.scope */
    } paths;
};

/*
 * Reads length bytes of YAML; an empty document is all defaults. name stands in front of each
 * message ("agent.yaml:LINE:COLUMN: key: why"). Unknown and duplicate keys, wrong types and bad
 * values fail with ERROR_INVALID. The result is the caller's to free with config_free.
 */
int config_parse(const char *name, const char *text, size_t length, struct config *ret,
                 struct error *error);

/*
 * Reads a text that config_parse refuses: takes each value that is good by itself, and the default
 * for every other. Values may disagree with each other. For a guest's start, which cannot wait
 * until the operator has mended the file. The caller frees *ret with config_free.
 */
void config_salvage(const char *text, size_t length, struct config *ret);

void config_free(struct config *config);

/* The class of a storage by storage_classes, "" where it has none. Never NULL; owned by config. */
const char *config_storage_class(const struct config *config, const char *storage);

/* Every key of agent.yaml with type, default and bounds; its document is a struct config. */
extern const struct yaml_table config_table;

#endif
