/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables/hub_config.h"

#include <string.h>

#include "schema/agent/guest_documents.h"
#include "store/db/sql.h"

static const char wanted[] = "wanted";
static const char refused[] = "refused";

static void add_with_nul(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text) + 1);
}

bool hub_origin(const char *url, const struct enrolment *enrolment,
                uint8_t ret[static DIGEST_BYTES])
{
    cleanup_buffer struct buffer text = BUFFER_EMPTY;
    if (!*url || !*enrolment->customer_id || !*enrolment->hub_retrieval_password)
        return false;
    add_with_nul(&text, url);
    add_with_nul(&text, enrolment->customer_id);
    add_with_nul(&text, enrolment->hub_retrieval_password);
    digest_sha256(text.data, text.length, ret);
    return true;
}

int hub_config_check(const char *body, size_t length, struct error *error)
{
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    if (strspn(body, " \t\r\n") == length)
        return fail(error, ERROR_INVALID, "the hub's configuration is empty");
    const struct controller alone = {
        .hub = {"the hub's configuration", body, length},
        .customer_id = "",
        .hub_url = "",
        .endpoint = "",
        .fingerprint = "",
        .fingerprint_next = "",
        .token = "",
    };
    return controller_render(&alone, &out, error);
}

int hub_pull_get(struct store *store, uint32_t vmid, struct hub_pull *ret, struct error *error)
{
    cleanup_query struct sql_query query = {0};
    size_t length = 0;
    int row = sql_first(store,
                        "SELECT origin, state, failures, fetched_at_ms, next_try_at_ms"
                        " FROM hub_config WHERE vmid = ?1",
                        sql_values(sql_int(vmid)), &query, error);
    if (row < 0)
        return -1;
    *ret = (struct hub_pull){0};
    if (row == 0)
        return 0;
    const void *origin = sql_column_bytes(&query, 0, &length);
    if (length != sizeof ret->origin)
        return fail(error, ERROR_CORRUPT, "the store's record of guest %u's hub is damaged", vmid);
    memcpy(ret->origin, origin, sizeof ret->origin);
    ret->vmid = vmid;
    ret->refused = strcmp(sql_column_text(&query, 1), refused) == 0;
    ret->failures = (uint32_t)sql_column_int(&query, 2);
    ret->fetched_at_ms = sql_column_int(&query, 3);
    ret->next_try_at_ms = sql_column_int(&query, 4);
    return 0;
}

static struct sql_value pull_origin(const struct hub_pull *pull)
{
    return sql_bytes(pull->origin, sizeof pull->origin);
}

int hub_config_put(struct store *store, const struct hub_pull *pull, const char *body,
                   size_t length, int64_t now_ms, struct error *error)
{
    return sql_run(store,
                   "INSERT INTO hub_config (vmid, origin, state, body, error, failures,"
                   " fetched_at_ms, next_try_at_ms) VALUES (?1, ?2, ?3, ?4, '', 0, ?5, ?6)"
                   " ON CONFLICT (vmid) DO UPDATE SET origin = excluded.origin,"
                   " state = excluded.state, body = excluded.body, error = '', failures = 0,"
                   " fetched_at_ms = excluded.fetched_at_ms,"
                   " next_try_at_ms = excluded.next_try_at_ms",
                   sql_values(sql_int(pull->vmid), pull_origin(pull), sql_text(wanted),
                              sql_bytes(length ? body : "", length), sql_int(now_ms),
                              sql_int(pull->next_try_at_ms)),
                   error);
}

int hub_config_fail(struct store *store, const struct hub_pull *pull, const char *problem,
                    struct error *error)
{
    return sql_run(store,
                   "INSERT INTO hub_config (vmid, origin, state, body, error, failures,"
                   " fetched_at_ms, next_try_at_ms) VALUES (?1, ?2, ?3, x'', ?4, ?5, NULL, ?6)"
                   " ON CONFLICT (vmid) DO UPDATE SET origin = excluded.origin,"
                   " state = excluded.state,"
                   " body = iif(origin = excluded.origin AND excluded.state = 'wanted', body, x''),"
                   " error = excluded.error, failures = excluded.failures,"
                   " fetched_at_ms = iif(origin = excluded.origin, fetched_at_ms, NULL),"
                   " next_try_at_ms = excluded.next_try_at_ms",
                   sql_values(sql_int(pull->vmid), pull_origin(pull),
                              sql_text(pull->refused ? refused : wanted), sql_text(problem),
                              sql_int(pull->failures), sql_int(pull->next_try_at_ms)),
                   error);
}

int hub_config_forget(struct store *store, uint32_t vmid, struct error *error)
{
    return sql_run(store, "DELETE FROM hub_config WHERE vmid = ?1", sql_values(sql_int(vmid)),
                   error);
}

int hub_config_get(struct store *store, uint32_t vmid, const uint8_t origin[static DIGEST_BYTES],
                   struct buffer *out, struct error *error)
{
    return sql_add_bytes(store, "SELECT body FROM hub_config WHERE vmid = ?1 AND origin = ?2",
                         sql_values(sql_int(vmid), sql_bytes(origin, DIGEST_BYTES)), out, error);
}

int hub_config_problem(struct store *store, uint32_t vmid, struct buffer *out, struct error *error)
{
    return sql_add_bytes(store, "SELECT error FROM hub_config WHERE vmid = ?1",
                         sql_values(sql_int(vmid)), out, error);
}
