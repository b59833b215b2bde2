/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs/enrolment_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/pve/config.h"
#include "schema/agent/enrolment.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/yaml/tree.h"
#include "store/documents/settings.h"
#include "store/files/file.h"

#define PASSWORD_LIMIT ((size_t)4096)

static char *file_path(const struct config *config, uint32_t vmid)
{
    return mem_format("%s/%u.yaml", config->paths.enrolment, vmid);
}

void enrolment_plan_free(struct enrolment_plan *plan)
{
    buffer_free(&plan->text);
}

static int refuse_to_lose(const char *path, const struct buffer *text, struct error *error)
{
    cleanup_yaml_tree struct yaml_tree *root = NULL;
    if (yaml_tree_load(path, buffer_text(text), text->length, &root, error) < 0)
        return -1;
    cleanup_yaml_tree struct yaml_tree *keys = yaml_tree_take(root, "controller");
    if (!keys)
        return 0;
    return fail(error, ERROR_CONFLICT,
                "%s has controller keys, which a change from here would lose: edit the file "
                "instead, then enroll without these options",
                path);
}

/* Returns whether the field had another text. */
static bool replace_text(char **field, const char *text)
{
    if (!text || strcmp(*field, text) == 0)
        return false;
    explicit_bzero(*field, strlen(*field));
    free(*field);
    *field = mem_copy_text(text);
    return true;
}

/* The first line of the file; NULL in *password where there is no such wish. */
static int read_password(const struct enrolment_wish *wish, struct buffer *password,
                         struct error *error)
{
    if (!wish->retrieval_password_file)
        return 0;
    if (file_read(wish->retrieval_password_file, PASSWORD_LIMIT, password, error) < 0)
        return -1;
    size_t length = strcspn(buffer_text(password), "\r\n");
    if (length == 0)
        return fail(error, ERROR_INVALID, "%s: no password in its first line",
                    wish->retrieval_password_file);
    password->data[length] = '\0';
    return 0;
}

static int put_over(const struct enrolment_wish *wish, struct enrolment *enrolment,
                    bool *ret_changed, struct error *error)
{
    cleanup_buffer struct buffer password = BUFFER_EMPTY;
    if (read_password(wish, &password, error) < 0)
        return -1;
    const struct {
        char **field;
        const char *text;
    } fields[] = {
        {&enrolment->customer_id, wish->customer_id},
        {&enrolment->customer_name, wish->customer_name},
        {&enrolment->customer_domain, wish->customer_domain},
        {&enrolment->customer_email, wish->customer_email},
        {&enrolment->image, wish->image},
        {&enrolment->chain, wish->chain},
        {&enrolment->hub_retrieval_password, password.data},
    };
    *ret_changed = false;
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (replace_text(fields[i].field, fields[i].text))
            *ret_changed = true;
    return 0;
}

static int file_is_there(const char *path, bool *ret, struct error *error)
{
    *ret = access(path, F_OK) == 0;
    if (*ret || errno == ENOENT || errno == ENOTDIR)
        return 0;
    return fail_errno(error, errno, "cannot look at %s", path);
}

int enrolment_plan_make(const struct config *config, uint32_t vmid,
                        const struct enrolment_wish *wish, struct enrolment_plan *ret,
                        struct error *error)
{
    cleanup_free char *path = file_path(config, vmid);
    cleanup(enrolment_plan_free) struct enrolment_plan plan = {0};
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    bool changed = false;
    if (file_is_there(path, &plan.exists, error) < 0 ||
        settings_read_enrolment(config, vmid, &plan.text, error) < 0 ||
        enrolment_parse(path, buffer_text(&plan.text), plan.text.length, &enrolment, error) < 0 ||
        put_over(wish, &enrolment, &changed, error) < 0)
        return -1;
    if (changed && refuse_to_lose(path, &plan.text, error) < 0)
        return -1;
    plan.write = changed || !plan.exists;
    if (plan.write) {
        buffer_free(&plan.text);
        if (enrolment_render(&enrolment, &plan.text, error) < 0)
            return -1;
    }
    *ret = plan;
    plan.text = BUFFER_EMPTY;
    return 0;
}

int enrolment_plan_apply(const struct config *config, uint32_t vmid,
                         const struct enrolment_plan *plan, struct error *error)
{
    cleanup_free char *name = mem_format("%u.yaml", vmid);
    cleanup_close int dirfd = -1;
    if (!plan->write)
        return 0;
    if (directory_make(config->paths.enrolment, 0700, (uid_t)-1, (gid_t)-1, &dirfd, error) < 0 ||
        pve_file_replace(dirfd, name, 0600, &plan->text, error) < 0)
        return fail_context(error, "enrolment directory %s", config->paths.enrolment);
    return 0;
}

int enrolment_file_chain(const struct config *config, uint32_t vmid, char **ret,
                         struct error *error)
{
    cleanup_free char *path = file_path(config, vmid);
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    cleanup(enrolment_free) struct enrolment enrolment = {0};
    if (settings_read_enrolment(config, vmid, &text, error) < 0 ||
        enrolment_parse(path, buffer_text(&text), text.length, &enrolment, error) < 0)
        return -1;
    *ret = steal(enrolment.chain);
    return 0;
}

int enrolment_file_remove(const struct config *config, uint32_t vmid, bool *ret_removed,
                          struct error *error)
{
    cleanup_free char *path = file_path(config, vmid);
    *ret_removed = unlink(path) == 0;
    if (*ret_removed || errno == ENOENT || errno == ENOTDIR)
        return 0;
    return fail_errno(error, errno, "cannot remove %s", path);
}
