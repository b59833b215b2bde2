/* SPDX-License-Identifier: Apache-2.0 */
/* Proxmox's dump of figures: whatever it holds, storages come out sorted, each once, with names and
 * figures that a reply may carry. The texts of /proc are read from the same bytes. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/buffer.h"
#include "schema/base/cleanup.h"
#include "schema/host/figures.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void check_storages(const struct rrd_storages *storages)
{
    for (size_t i = 0; i < storages->count; i++) {
        const struct rrd_storage *storage = &storages->items[i];
        demand(storage->storage[0] && !strpbrk(storage->storage, "/:\n \""));
        demand(storage->at > 0 && storage->at <= INT64_MAX / 1000);
        demand(storage->total_bytes >= -1 && storage->used_bytes >= -1);
        demand(i == 0 || strcmp(storages->items[i - 1].storage, storage->storage) < 0);
    }
}

static void check_host_stat(const char *text)
{
    struct cpu_times times;
    double load[3];
    const struct memory_figures memory = meminfo_parse(text);
    demand(memory.total >= -1 && memory.available >= -1);
    demand(memory.swap_total >= -1 && memory.swap_free >= -1);
    demand(uptime_parse(text) >= -1);
    demand(!loadavg_parse(text, load) || (load[0] >= 0 && load[1] >= 0 && load[2] >= 0));
    if (!cpu_times_parse(text, &times))
        return;
    int busy = cpu_times_busy(&(struct cpu_times){0}, &times);
    demand(times.count > 0 && busy >= -1 && busy <= 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rrd_storages storages;
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    rrd_dump_storages((const char *)data, size, "pve1", &storages);
    check_storages(&storages);
    rrd_storages_free(&storages);
    buffer_add(&text, data, size);
    check_host_stat(buffer_text(&text));
    return 0;
}
