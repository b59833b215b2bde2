/* SPDX-License-Identifier: Apache-2.0 */
/* explain: why a request was refused. */
#include <string.h>

#include "cli/base/output.h"
#include "cli/base/session.h"
#include "cli/base/verb.h"
#include "cli/verbs/report.h"
#include "schema/base/address.h"
#include "schema/base/cleanup.h"
#include "schema/base/memory.h"
#include "schema/base/text.h"
#include "schema/base/vmid.h"
#include "store/tables/guest.h"

static const struct output_column fields[] = {
    {"request", "request_id", SHAPE_PLAIN},
    {"at", "at", SHAPE_PLAIN},
    {"answer", "status", SHAPE_PLAIN},
    {"refused for", "reason", SHAPE_PLAIN},
    {"detail", "detail", SHAPE_PLAIN},
    {"method", "method", SHAPE_PLAIN},
    {"path", "path", SHAPE_PLAIN},
    {"source", "source", SHAPE_PLAIN},
    {"source is guest", "source_vmid", SHAPE_PLAIN},
    {"token", "token_id", SHAPE_PLAIN},
    {"token of guest", "vmid", SHAPE_PLAIN},
    {"what to do", "advice", SHAPE_PLAIN},
};

/* The reasons are those that felhomd records. The first entry with a matching reason and status
 * applies. */
static const struct {
    const char *reason; /* NULL: any */
    int status;         /* 0: any */
    const char *text;
} advices[] = {
    {"no token", 0, "have the client send the token of its directory: Authorization: Bearer TOKEN"},
    {"malformed token", 0,
     "the client sends something other than what the file token holds, or only part of it: have it "
     "read the file again, without its newline"},
    {"unknown token", 0,
     "the token belongs to another host or to an earlier store: run felhomctl rotate VMID, "
     "and have the client read the file again"},
    {"revoked token", 0,
     "the client keeps an old token: have it read the file again whenever a request fails; if the "
     "file itself holds that token, or is gone, run felhomctl rotate VMID"},
    {"expired token", 0,
     "have the client read the file again; if the file itself holds that token, run felhomctl "
     "rotate VMID"},
    {"unrecorded token", 0,
     "the store has gone back to an earlier state, or what the host remembers of the token in "
     "/run/felhom-agent/tokens is gone: run felhomctl doctor, then felhomctl rotate --all"},
    {"too many bad tokens", 0,
     "the client may try again within a minute; look at the refusals before this one, or raise "
     "limits.failures_per_source"},
    {"too many requests", 0,
     "have the client send fewer requests, or wait with GET /events; or raise "
     "limits.requests_per_source"},
    {"stranger", 0,
     "it came from a machine on the link that is no guest's NIC: of a guest that is not enrolled "
     "(felhomctl enroll VMID), of docker's macvlan or ipvlan or of VRRP (keepalived) inside a "
     "guest, which have a MAC of their own (have the client use the guest's own address), or of "
     "another machine"},
    {"unresolvable", 0,
     "local_api.source_binding: require admits only what comes through a guest's port on this "
     "host"},
    {"address of another guest", 0,
     "the guest has a MAC that another guest has: give it one of its own (pct set VMID --net0 "
     "..., without hwaddr), or find out why it pretends to be the other"},
    {"unwitnessed", 0,
     "felhomd did not see how the connection came in, or saw it come in through two guests' ports: "
     "if it happens often, look for a guest that sends more than its own packets"},
    {"path of another guest", 0,
     "have the client leave out /guests/VMID: its token identifies the guest"},
    {"token of another guest", 0,
     "a guest uses another guest's token: run felhomctl rotate VMID and find out how it got there; "
     "if it is the same guest with a new network card, stop and start it on the host"},
    {"lookup failed", 0,
     "the kernel or the store did not say who the client is: look at felhomd's log (journalctl -u "
     "felhomd)"},
    {"too many snapshots", 0,
     "delete a snapshot of the guest's that is no longer needed (pct delsnapshot VMID NAME; for a "
     "virtual machine qm), or raise quota.snapshots: for this guest alone by felhomctl enroll VMID "
     "--quota-snapshots"},
    {"snapshots too often", 0,
     "have the client wait as long as Retry-After says, or lower quota.snapshot_interval: for this "
     "guest alone by felhomctl enroll VMID --quota-snapshot-interval"},
    {"backups too often", 0,
     "have the client ask GET /backup/due first, and wait as long as Retry-After says; or lower "
     "quota.backup_interval: for this guest alone by felhomctl enroll VMID "
     "--quota-backup-interval"},
    {"malformed request", 0, "the client's request is not valid HTTP: look at the request"},
    {"unknown path", 0,
     "the client requests a path that does not exist: GET /openapi.yaml lists all paths"},
    {"unknown method", 0,
     "the path exists, but does not support the method: see GET /openapi.yaml"},
    {NULL, 404, "the guest has nothing of that kind, or agent.yaml disables it"},
    {NULL, 409, "repeat the request when the cause that the detail names is over"},
    {NULL, 500, "correct the document that the detail names, then repeat the request"},
    {NULL, 503, "fix the problem that the detail names; journalctl -u felhomd says more"},
    {NULL, 0, "the detail says what the request lacks: see GET /openapi.yaml"},
};

/* Returns one sentence: what the operator can do about the refusal. */
static const char *advice_on(const struct explanation *explanation)
{
    size_t i = 0;
    while ((advices[i].reason && strcmp(advices[i].reason, explanation->reason) != 0) ||
           (advices[i].status && advices[i].status != explanation->status))
        i++;
    return advices[i].text;
}

static int find_refusal(struct store *store, const char *request_id, struct explanation *ret,
                        struct error *error)
{
    if (explanation_find(store, request_id, ret, error) == 0)
        return 0;
    if (error->kind != ERROR_MISSING)
        return -1;
    return fail(error, ERROR_MISSING,
                "no refused request %s is recorded: it was not refused, or %d others of the same "
                "guest (or %d of others) were refused after it, or its source was refused so "
                "often that only some were recorded; felhomctl events counts them",
                request_id, EXPLANATIONS_OF_GUEST, EXPLANATIONS_OF_OTHERS);
}

/* Puts the guest that the source is, or whose network card has the source's hardware address now;
 * null if there is none. The source is written by peer_name (server/net/peer.h). */
static int put_source_guest(struct store *store, const struct explanation *explanation,
                            json_t *report, struct error *error)
{
    char text[HWADDR_TEXT_SIZE];
    struct hwaddr hwaddr;
    uint32_t vmid = 0;
    memcpy(text, explanation->source, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    const char *guest = text_after(explanation->source, "guest ");
    if (guest) {
        cleanup_free char *number = mem_copy_text_n(guest, strspn(guest, DIGITS));
        (void)vmid_parse(number, &vmid);
    } else if (hwaddr_parse(text, &hwaddr) &&
               nic_find_guest(store, &hwaddr, explanation->vmid, &vmid, error) < 0)
        return -1;
    output_put_vmid(report, "source_vmid", vmid);
    return 0;
}

static int run_explain(const struct invocation *invocation, struct error *error)
{
    cleanup_session struct session session = {.store = NULL};
    struct explanation explanation;
    if (session_open(&session, error) < 0 ||
        find_refusal(session.store, invocation->request_id, &explanation, error) < 0)
        return -1;
    cleanup_json json_t *report = refusal_report(&explanation);
    if (put_source_guest(session.store, &explanation, report, error) < 0)
        return -1;
    output_put_text(report, "advice", advice_on(&explanation));
    if (!output_value(invocation, report))
        output_fields(invocation->out, fields, ARRAY_SIZE(fields), report);
    return 0;
}

const struct verb verb_explain = {
    .name = "explain",
    .operand = OPERAND_REQUEST_ID,
    .help = "Explain why a request was refused, by its X-Request-Id",
    .run = run_explain,
};
