/* SPDX-License-Identifier: Apache-2.0 */
#include "server/systemd/reload.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "schema/base/cleanup.h"
#include "schema/base/text.h"
#include "store/base/log.h"

#define TAKEN_UP "done"
#define REFUSED  "refused: "

void reload_begin(struct reload *reload, const char *state_dir)
{
    struct error error;
    *reload = (struct reload){.socket = -1};
    if (nudge_listen_reload(state_dir, &reload->socket, &error) < 0)
        log_line(LOG_WARNING, "systemctl reload felhomd will fail: %s", error.message);
}

static void reload_drop_askers(struct reload *reload)
{
    while (reload->asker_count > 0)
        cleanup_close_fn(&reload->askers[--reload->asker_count]);
}

void reload_end(struct reload *reload)
{
    reload_drop_askers(reload);
    cleanup_close_fn(&reload->socket);
}

void reload_accept(struct reload *reload)
{
    while (reload->socket >= 0 && reload->asker_count < NUDGE_RELOAD_MAX) {
        int fd = accept4(reload->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        reload->askers[reload->asker_count++] = fd;
    }
}

void reload_finish(struct reload *reload, const struct error *error)
{
    char reply[RELOAD_REPLY_SIZE];
    (void)snprintf(reply, sizeof reply, "%s%s", error ? REFUSED : TAKEN_UP,
                   error ? error->message : "");
    for (size_t i = 0; i < reload->asker_count; i++)
        (void)send(reload->askers[i], reply, strlen(reply), MSG_NOSIGNAL);
    reload_drop_askers(reload);
}

static int reload_read_reply(int fd, struct error *error)
{
    char reply[RELOAD_REPLY_SIZE];
    ssize_t length = recv(fd, reply, sizeof reply - 1, 0);
    if (length <= 0)
        return fail(error, ERROR_SYSTEM,
                    "felhomd has ended meanwhile; journalctl -u felhomd says why");
    reply[length] = '\0';
    text_mask(reply);
    if (strcmp(reply, TAKEN_UP) == 0)
        return 0;
    const char *reason =
        strncmp(reply, REFUSED, strlen(REFUSED)) == 0 ? reply + strlen(REFUSED) : reply;
    return fail(error, ERROR_CONFLICT, "felhomd has kept its old configuration: %.400s", reason);
}

int reload_request(const char *state_dir, int timeout_ms, struct error *error)
{
    pid_t pid;
    struct error problem;
    cleanup_close int fd = -1;
    if (nudge_connect_reload(state_dir, &fd, &pid, &problem) < 0)
        return fail(error, problem.kind, "%.400s: systemctl restart felhomd", problem.message);
    if (kill(pid, SIGHUP) < 0)
        return fail_errno(error, errno, "cannot signal felhomd");
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    if (TEMP_FAILURE_RETRY(poll(&polled, 1, timeout_ms)) <= 0)
        return fail(error, ERROR_BUSY, "felhomd has not reloaded within %d s", timeout_ms / 1000);
    return reload_read_reply(fd, error);
}
