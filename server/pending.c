/* SPDX-License-Identifier: Apache-2.0 */
/* The workers for jobs and for the registry are not there yet: neither is started, and no route
 * leads to them. */
#include <stddef.h>

#include "server/jobs.h"
#include "server/registry.h"

struct jobs *jobs_start(struct agent *agent)
{
    (void)agent;
    return NULL;
}

void jobs_stop(struct jobs *jobs)
{
    (void)jobs;
}

void jobs_wake(struct jobs *jobs)
{
    (void)jobs;
}

struct registry *registry_start(struct agent *agent)
{
    (void)agent;
    return NULL;
}

void registry_stop(struct registry *registry)
{
    (void)registry;
}

void registry_wake(struct registry *registry)
{
    (void)registry;
}
