/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl, loaded when it is first needed: it brings thirty libraries with it, and a host without
 * Proxmox token, hub and registry shall not carry them in memory.
 */
#ifndef FELHOM_CURL_H
#define FELHOM_CURL_H

#include <curl/curl.h>

#include "schema/base/error.h"

/* The functions that are used, by their own names: curl->easy_init is curl_easy_init. */
struct curl {
    __typeof__(curl_global_init) *global_init;
    __typeof__(curl_easy_init) *easy_init;
    __typeof__(curl_easy_cleanup) *easy_cleanup;
    __typeof__((curl_easy_setopt)) *easy_setopt;
    __typeof__(curl_easy_perform) *easy_perform;
    __typeof__((curl_easy_getinfo)) *easy_getinfo;
    __typeof__(curl_easy_strerror) *easy_strerror;
    __typeof__(curl_share_init) *share_init;
    __typeof__((curl_share_setopt)) *share_setopt;
    __typeof__(curl_share_cleanup) *share_cleanup;
    __typeof__(curl_slist_append) *slist_append;
    __typeof__(curl_slist_free_all) *slist_free_all;
    __typeof__(curl_url) *url;
    __typeof__(curl_url_cleanup) *url_cleanup;
    __typeof__(curl_url_get) *url_get;
    __typeof__(curl_url_set) *url_set;
    __typeof__(curl_url_strerror) *url_strerror;
    __typeof__(curl_free) *free;
};

/* The same for every caller, from any thread; it stays loaded. NULL with *error where libcurl is
 * not installed. */
const struct curl *curl_load(struct error *error);

#endif
