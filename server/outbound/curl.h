/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads libcurl by dlopen when it is first needed, because libcurl brings thirty libraries into
 * memory, and a host without a Proxmox token, a hub and a registry should not have to carry them.
 * Only http_client.c uses this.
 */
#ifndef FELHOM_CURL_H
#define FELHOM_CURL_H

#include <curl/curl.h>

#include "schema/base/error.h"

/* The functions of libcurl that http_client.c uses: curl->easy_init is curl_easy_init. */
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

/* Returns the functions, loading libcurl at the first call; it stays loaded. All callers get the
 * same struct, which they must not free. NULL with *error if libcurl is not installed or cannot be
 * used. Any thread may call it. */
const struct curl *curl_load(struct error *error);

#endif
