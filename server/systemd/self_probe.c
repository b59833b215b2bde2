/* SPDX-License-Identifier: Apache-2.0 */
#include "server/systemd/self_probe.h"

#include "store/host/probe.h"

static void announce(void *context, const struct sockaddr_in *own)
{
    struct gate *gate = context;
    if (own)
        gate_expect(gate, own);
    else
        gate_expect_nobody(gate);
}

int self_probe_run(const struct self_probe *self, struct error *error)
{
    const struct probe probe = {
        .listening = self->listening,
        .pins = self->pins,
        .patience_us = self->patience_us,
        .announce = announce,
        .context = self->gate,
    };
    return probe_run(&probe, error);
}
