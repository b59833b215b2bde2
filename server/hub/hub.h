/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hub: each guest's configuration is pulled for its customer, GET
 * {hub.url}/api/v1/config/{customer} with the guest's own retrieval password, and the host reports
 * itself, POST {hub.url}/api/v1/host-report with the host's key. Guests are answered from the store
 * alone.
 */
#ifndef FELHOM_HUB_H
#define FELHOM_HUB_H

struct agent;
struct hub;

struct hub *hub_start(struct agent *agent);

/* NULL is fine. */
void hub_stop(struct hub *hub);

/* Something was committed, perhaps an enrolment; or the settings are others. */
void hub_wake(struct hub *hub);

#endif
