/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /storage: the mounts of the guest, as its configuration was last read. The mounts are read
 * from the store, and the reply is cached (http/reply_cache) until the guest starts again, its
 * mounts are changed, or the agent's configuration is reloaded.
 */
#include "schema/json/json.h"
#include "server/api/route.h"
#include "server/base/context.h"
#include "server/http/reply.h"
#include "server/http/reply_cache.h"
#include "server/http/request.h"
#include "store/tables/guest.h"

static json_t *mount_describe(const struct mount *mount, const struct config *config)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:b, s:b, s:o}",                            /**/
                     "key", json_text(mount->key),                                     /**/
                     "storage", json_text(mount->storage),                             /**/
                     "mount_point", json_text(mount->mount_point),                     /**/
                     "class", json_text(config_storage_class(config, mount->storage)), /**/
                     "backup", mount->backup,                                          /**/
                     "read_only", mount->read_only,                                    /**/
                     "size_bytes", json_integer_or_null(mount->size_bytes));
}

static json_t *mounts_describe(uint32_t vmid, const struct mount_list *mounts,
                               const struct config *config)
{
    json_t *list = json_array();
    for (size_t i = 0; i < mounts->count; i++)
        json_append(list, mount_describe(&mounts->items[i], config));
    return json_pack("{s:I, s:o}", "vmid", (json_int_t)vmid, "mounts", list);
}

static void storage_reply_from_store(struct context *context, const struct request *request,
                                     const struct reply_cache_key *key, struct reply *reply)
{
    struct error error;
    cleanup(mount_list_free) struct mount_list mounts = {0};
    if (mount_list(request->view->store, request->vmid, &mounts, &error) < 0) {
        reply_internal_failure(reply, context, request->view, &error);
        return;
    }
    reply_data(reply, 200, mounts_describe(request->vmid, &mounts, request->config));
    reply_cache_put(context->storage_cache, key, &reply->body);
}

void storage_get(struct context *context, const struct request *request, struct reply *reply)
{
    struct error error;
    struct reply_cache_key key = {.vmid = request->vmid,
                                  .config_serial = request->config_serial,
                                  .guests_serial = request->guests_serial};
    if (guest_version(request->view->store, request->vmid, &key.guest, &error) < 0)
        reply_internal_failure(reply, context, request->view, &error);
    else if (!reply_cache_find(context->storage_cache, &key, reply_body(reply, 200)))
        storage_reply_from_store(context, request, &key, reply);
}
