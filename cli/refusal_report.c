/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/refusal_report.h"

#include <string.h>

#include "cli/output.h"
#include "schema/base/cleanup.h"
#include "schema/json/json.h"

static void put_known(json_t *report, const char *key, const char *text)
{
    if (*text)
        output_put_text(report, key, text);
    else
        json_set(report, key, json_null());
}

json_t *refusal_report(const struct explanation *explanation)
{
    json_t *report = json_object();
    output_put_text(report, "request_id", explanation->request_id);
    output_put_time(report, "at", explanation->at_ms);
    output_put_int(report, "status", explanation->status);
    output_put_text(report, "reason", explanation->reason);
    put_known(report, "method", explanation->method);
    put_known(report, "path", explanation->path);
    output_put_text(report, "source", explanation->source);
    output_put_vmid(report, "vmid", explanation->vmid);
    put_known(report, "token_id", explanation->token_id);
    put_known(report, "detail", explanation->detail);
    return report;
}

/* The reasons are those that felhomd gives; the first whose text and status fit is meant. */
static const struct {
    const char *reason; /* NULL: any */
    int status;         /* 0: any */
    const char *text;
} advices[] = {
    {"no token", 0, "have the client send the token of its directory: Authorization: Bearer TOKEN"},
    {"malformed token", 0,
     "the client sends something else than the file token holds, or not all of it: have it read "
     "the file anew, without its newline"},
    {"unknown token", 0,
     "the token is of another host or of a store of before: start the guest anew from outside, or "
     "felhomctl rotate VMID"},
    {"revoked token", 0,
     "the client keeps an old token: have it read the file anew whenever a request fails; if the "
     "file itself holds it, start the guest anew from outside"},
    {"expired token", 0,
     "have the client read the file anew; if the file itself holds it, felhomctl rotate VMID"},
    {"too many bad tokens", 0,
     "it may try again within a minute; look for the refusals before it, or raise "
     "limits.failures_per_source"},
    {"too many requests", 0,
     "have the client ask less often, or wait by GET /events; else raise "
     "limits.requests_per_source"},
    {"path of another guest", 0,
     "have the client leave out /guests/VMID: its token names the guest"},
    {"token of another guest", 0,
     "a guest holds another's token: felhomctl rotate VMID and find out how it came there; if it "
     "is one guest with a new network card, start it anew from outside"},
    {"malformed request", 0, "the client does not speak HTTP as it should: look at its request"},
    {"unknown path", 0, "the client asks for what does not exist: GET /openapi.yaml lists it all"},
    {"unknown method", 0, "the path is right, the method is not: see GET /openapi.yaml"},
    {NULL, 404, "there is no such thing for this guest, or it is switched off in agent.yaml"},
    {NULL, 409, "it can be asked for again once what stands in its way is over"},
    {NULL, 500, "mend the document that the detail names, then ask again"},
    {NULL, 503, "mend what the detail names; journalctl -u felhomd says more"},
    {NULL, 0, "the detail says what the request lacks: see GET /openapi.yaml"},
};

const char *refusal_advice(const struct explanation *explanation)
{
    size_t i = 0;
    while ((advices[i].reason && strcmp(advices[i].reason, explanation->reason) != 0) ||
           (advices[i].status && advices[i].status != explanation->status))
        i++;
    return advices[i].text;
}
