/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files/named_files.h"

#include <ctype.h>
#include <errno.h>
#include <mbedtls/error.h>
#include <mbedtls/x509_crt.h>
#include <string.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/mbedtls.h"
#include "schema/base/units.h"
#include "schema/yaml/tree.h"
#include "store/files/file.h"

#define LINE_LIMIT         (4 * KIB)
#define TEMPLATE_LIMIT     MIB
#define CERTIFICATES_LIMIT (8 * MIB)

size_t named_files_list(const struct config *config, struct named_file ret[static NAMED_FILES_MAX])
{
    struct error ignored;
    cleanup_buffer struct buffer token = BUFFER_EMPTY;
    bool has_registry = config->registry.mode != REGISTRY_NONE;
    bool has_hub = *config->hub.url;
    /* Without its token felhomd does not talk to Proxmox. */
    bool has_token = file_read(config->pve.token_file, LINE_LIMIT, &token, &ignored) == 0 ||
                     ignored.kind != ERROR_MISSING;
    const struct {
        bool needed;
        struct named_file file;
    } files[NAMED_FILES_MAX] = {
        {true, {"controller.template", NAMED_TEMPLATE, true, config->controller.template_file}},
        {has_hub, {"hub.api_key_file", NAMED_LINE, false, config->hub.api_key_file}},
        {has_hub, {"hub.ca_file", NAMED_CERTIFICATES, false, config->hub.ca_file}},
        {has_registry, {"registry.secret_file", NAMED_LINE, false, config->registry.secret_file}},
        {has_registry, {"registry.ca_file", NAMED_CERTIFICATES, false, config->registry.ca_file}},
        {has_token, {"pve.token_file", NAMED_LINE, false, config->pve.token_file}},
        {has_token, {"pve.ca_file", NAMED_CERTIFICATES, false, config->pve.ca_file}},
    };
    size_t count = 0;
    for (size_t i = 0; i < NAMED_FILES_MAX; i++)
        if (files[i].needed && *files[i].file.path)
            ret[count++] = files[i].file;
    return count;
}

static int check_template(const struct named_file *file, const struct buffer *text,
                          struct error *error)
{
    cleanup_yaml_tree struct yaml_tree *root = NULL;
    return yaml_tree_load(file->path, buffer_text(text), text->length, &root, error);
}

static int check_line(const struct named_file *file, const struct buffer *text, struct error *error)
{
    size_t length = text->length;
    while (length > 0 && strchr("\r\n", text->data[length - 1]))
        length--;
    bool is_line = length > 0;
    for (size_t i = 0; i < length; i++)
        is_line = is_line && !iscntrl((unsigned char)text->data[i]);
    if (is_line)
        return 0;
    return fail(error, ERROR_INVALID, "%s: does not hold one line of text", file->path);
}

static int check_certificates(const struct named_file *file, const struct buffer *text,
                              struct error *error)
{
    char reason[128];
    cleanup(mbedtls_x509_crt_free) mbedtls_x509_crt chain;
    mbedtls_x509_crt_init(&chain);
    errno = 0; /* see mbedtls_check_memory */
    int result =
        mbedtls_x509_crt_parse(&chain, (const unsigned char *)buffer_text(text), text->length + 1);
    /* A positive number counts those that mbedTLS does not understand; libcurl may. */
    if (result >= 0)
        return 0;
    mbedtls_check_memory(result);
    mbedtls_strerror(result, reason, sizeof reason);
    return fail(error, ERROR_INVALID, "%s: holds no certificate in PEM (%s)", file->path, reason);
}

int named_file_check(const struct named_file *file, struct error *error)
{
    static const struct {
        size_t limit;
        int (*check)(const struct named_file *file, const struct buffer *text, struct error *error);
    } kinds[] = {
        [NAMED_TEMPLATE] = {TEMPLATE_LIMIT, check_template},
        [NAMED_LINE] = {LINE_LIMIT, check_line},
        [NAMED_CERTIFICATES] = {CERTIFICATES_LIMIT, check_certificates},
    };
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (file_read(file->path, kinds[file->kind].limit, &text, error) < 0) {
        if (error->kind == ERROR_MISSING && file->may_be_missing)
            return 0;
        return fail_context(error, "%s", file->key);
    }
    if (kinds[file->kind].check(file, &text, error) < 0)
        return fail_context(error, "%s", file->key);
    return 0;
}
