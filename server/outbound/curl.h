/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl, loaded by dlopen when it is first needed: it brings thirty libraries with it, and a host
 * without Proxmox token, hub and registry shall not carry them in memory. For http_client.c alone.
 */
#ifndef FELHOM_CURL_H
#define FELHOM_CURL_H

#include <curl/curl.h>

#include "schema/base/error.h"

/* The functions that are used, by their own names: curl->easy_init is curl_easy_init. */
#define CURL_FUNCTIONS(F) \
    F(global_init) \
    F(easy_init) \
    F(easy_cleanup) \
    F(easy_setopt) \
    F(easy_perform) \
    F(easy_getinfo) \
    F(easy_strerror) \
    F(share_init) \
    F(share_setopt) \
    F(share_cleanup) \
    F(slist_append) \
    F(slist_free_all) \
    F(url) \
    F(url_cleanup) \
    F(url_get) \
    F(url_set) \
    F(url_strerror) \
    F(free)

struct curl {
#define CURL_MEMBER(name) __typeof__((curl_##name)) *(name);
    CURL_FUNCTIONS(CURL_MEMBER)
#undef CURL_MEMBER
};

/* The same for every caller, from any thread; it stays loaded. NULL with *error where libcurl is
 * not installed. */
const struct curl *curl_load(struct error *error);

#endif
