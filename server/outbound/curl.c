/* SPDX-License-Identifier: Apache-2.0 */
#include "server/outbound/curl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "schema/base/cleanup.h"

static const struct {
    const char *symbol;
    size_t member; /* offset of the member in struct curl */
} functions[] = {
#define CURL_SYMBOL(name) {"curl_" #name, offsetof(struct curl, name)},
    CURL_FUNCTIONS(CURL_SYMBOL)
#undef CURL_SYMBOL
};

/* The one libcurl of the process. Written only in curl_load_once, which pthread_once calls. */
static struct {
    pthread_once_t once;
    int result;
    struct error error;
    struct curl curl;
} loaded = {.once = PTHREAD_ONCE_INIT};

static int curl_find_functions(void *library)
{
    for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
        void *function = dlsym(library, functions[i].symbol);
        if (!function)
            return fail(&loaded.error, ERROR_SYSTEM, "the installed libcurl has no %s: update it",
                        functions[i].symbol);
        memcpy((char *)&loaded.curl + functions[i].member, &function, sizeof function);
    }
    return 0;
}

static int curl_open_library(void)
{
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return fail(&loaded.error, ERROR_SYSTEM,
                    "libcurl is not installed: apt-get install libcurl4 (libcurl4t64 on Debian "
                    "13), then restart felhomd");
    if (curl_find_functions(library) < 0)
        return -1;
    if (loaded.curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fail(&loaded.error, ERROR_SYSTEM, "libcurl does not start");
    return 0;
}

static void curl_load_once(void)
{
    loaded.result = curl_open_library();
}

const struct curl *curl_load(struct error *error)
{
    (void)pthread_once(&loaded.once, curl_load_once);
    if (loaded.result == 0)
        return &loaded.curl;
    *error = loaded.error;
    return NULL;
}
