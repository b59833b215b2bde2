/* SPDX-License-Identifier: Apache-2.0 */
#include "store/documents/live_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "store/files/file.h"

#define TOKEN_FILE_LIMIT 4096
#define FILE_LIMIT       ((size_t)16 << 20)

/* -1 with *error, or 0 with *ret_fd at -1 where there is no such directory. */
static int open_directory(const char *guests_dir, uint32_t vmid, int *ret_fd, struct error *error)
{
    char name[sizeof "4294967295"];
    struct error problem;
    cleanup_free char *path = mem_format("%s/%u", guests_dir, vmid);
    cleanup_close int parent = -1;
    (void)snprintf(name, sizeof name, "%u", vmid);
    *ret_fd = -1;
    if (directory_open(guests_dir, &parent, &problem) == 0 &&
        directory_open_at(parent, name, path, ret_fd, &problem) == 0)
        return 0;
    if (problem.kind == ERROR_MISSING)
        return 0;
    *error = problem;
    return -1;
}

static int has_documents(int fd, bool *ret, struct error *error)
{
    static const char *const names[] = {"controller.yaml", "bootstrap.json", "token"};
    struct stat status;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (fstatat(fd, names[i], &status, AT_SYMLINK_NOFOLLOW) == 0)
            continue;
        *ret = false;
        return errno == ENOENT ? 0 : fail_errno(error, errno, "cannot look at %s", names[i]);
    }
    *ret = true;
    return 0;
}

/* The file holds the token and a newline. */
static bool parse_token(const struct buffer *content, struct token_text *ret)
{
    size_t length = content->length > 0 ? content->length - 1 : 0;
    return token_text_parse(buffer_text(content), length, ret);
}

static int read_token_id(int fd, struct live_directory *live, struct error *error)
{
    cleanup_buffer struct buffer content = BUFFER_EMPTY;
    cleanup_token_text struct token_text token = {0};
    if (file_read_at(fd, "token", TOKEN_FILE_LIMIT, &content, error) < 0)
        return -1;
    if (parse_token(&content, &token))
        (void)snprintf(live->token_id, sizeof live->token_id, "%s", token.id);
    return 0;
}

static int look_into(int fd, struct live_directory *live, struct error *error)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return fail_errno(error, errno, "cannot look at it");
    live->uid = status.st_uid;
    live->gid = status.st_gid;
    if (has_documents(fd, &live->live, error) < 0)
        return -1;
    return live->live ? read_token_id(fd, live, error) : 0;
}

int live_directory_look(const char *guests_dir, uint32_t vmid, struct live_directory *ret,
                        struct error *error)
{
    struct live_directory live = {.live = false};
    cleanup_close int fd = -1;
    if (open_directory(guests_dir, vmid, &fd, error) < 0)
        return -1;
    if (fd >= 0 && look_into(fd, &live, error) < 0)
        return fail_context(error, "%s/%u", guests_dir, vmid);
    *ret = live;
    return 0;
}

int live_directory_read(const char *guests_dir, uint32_t vmid, const char *name, struct buffer *out,
                        struct error *error)
{
    cleanup_close int fd = -1;
    if (open_directory(guests_dir, vmid, &fd, error) < 0)
        return -1;
    if (fd < 0)
        return fail(error, ERROR_MISSING, "%s/%u: no such directory", guests_dir, vmid);
    if (file_read_at(fd, name, FILE_LIMIT, out, error) < 0)
        return fail_context(error, "%s/%u", guests_dir, vmid);
    return 0;
}

int live_directory_token(const char *guests_dir, uint32_t vmid, struct token_text *ret,
                         struct error *error)
{
    cleanup_buffer struct buffer content = BUFFER_EMPTY;
    if (live_directory_read(guests_dir, vmid, "token", &content, error) < 0)
        return -1;
    if (parse_token(&content, ret))
        return 0;
    return fail(error, ERROR_INVALID, "%s/%u: token: holds no token", guests_dir, vmid);
}
