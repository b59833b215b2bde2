/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of felhomctl, and the verbs that show or revoke. */
#include <string.h>

#include <jansson.h>

#include "schema/base/version.h"
#include "schema/pve/guest_config.h"
#include "store/identity/identity.h"
#include "store/tables/guest.h"
#include "store/tables/token.h"
#include "tests/unit/cli_scratch.h"
#include "tests/unit/enrolment.h"
#include "tests/unit/test.h"

static json_t *json_of(const struct outcome *outcome)
{
    json_t *json = json_loads(buffer_text(&outcome->out), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    return json;
}

#define assert_usage(message, ...) \
    do { \
        cleanup_outcome struct outcome usage_ = felhomctl(__VA_ARGS__, NULL); \
        assert_int_equal(usage_.status, 2); \
        assert_string_equal(buffer_text(&usage_.out), ""); \
        assert_int_equal(strncmp(buffer_text(&usage_.err), message "\nusage: felhomctl ", \
                                 strlen(message "\nusage: felhomctl ")), \
                         0); \
    } while (0)

static void usage_errors_end_with_2(void **state)
{
    (void)state;
    assert_usage("felhomctl: unknown verb 'guets': did you mean 'guests'?", "guets");
    assert_usage("felhomctl: unknown verb 'unenrol': did you mean 'unenroll'?", "unenrol");
    assert_usage("felhomctl: unknown verb 'frobnicate'", "frobnicate");
    assert_usage("felhomctl: unknown option '--bogus'", "--bogus");
    assert_usage("felhomctl: unknown option '-x'", "-x");
    assert_usage("felhomctl: unknown option '--bogus'", "enroll", "8200", "--bogus");
    assert_usage("felhomctl: --output-format: 'xml' is not one of text|json|json-pretty|yaml",
                 "--output-format=xml");
    assert_usage("felhomctl: --limit: '-1' is not a whole number", "events", "--limit=-1");
    assert_usage("felhomctl: --since: '' is not a whole number", "events", "--since=");
    assert_usage("felhomctl: option '--output-format' needs a value", "--output-format");
    assert_usage("felhomctl: --mount: 'both' is not one of entry|mp", "enroll", "--mount", "both");
    assert_usage("felhomctl: option '--mount' needs a value", "enroll", "8200", "--mount");
    assert_usage("felhomctl: option '--pem=1' takes no value", "identity", "--pem=1");
    assert_usage("felhomctl: identity: 'swap' is not one of stage|switch|retire", "identity",
                 "swap");
    assert_usage("felhomctl: identity: unexpected argument 'switch'", "identity", "stage",
                 "switch");
    assert_usage("felhomctl: unenroll: give a VMID", "unenroll");
    assert_usage("felhomctl: parse: give a FILE", "parse");
    assert_usage("felhomctl: guest: '99' is not a VMID (a number from 100 to 999999999)", "guest",
                 "99");
    assert_usage("felhomctl: guest: 'x' is not a VMID (a number from 100 to 999999999)", "guest",
                 "x");
    assert_usage("felhomctl: guest: unexpected argument '8201'", "guest", "8200", "8201");
    assert_usage("felhomctl: guests: unexpected argument 'x'", "guests", "--", "x");
}

static void help_and_version_are_no_errors(void **state)
{
    (void)state;
    cleanup_outcome struct outcome help = felhomctl("--help", NULL);
    cleanup_outcome struct outcome of_verb = felhomctl("enroll", "--help", NULL);
    cleanup_outcome struct outcome version = felhomctl("--version", NULL);
    assert_int_equal(help.status, 0);
    assert_contains(&help.out, "enroll VMID");
    assert_contains(&help.out, "parse FILE");
    assert_int_equal(of_verb.status, 0);
    assert_contains(&of_verb.out, "--mount entry|mp");
    assert_string_equal(buffer_text(&version.out), "felhomctl " FELHOM_VERSION "\n");
}

static void without_a_store_init_is_advised(void **state)
{
    (void)state;
    cleanup_outcome struct outcome outcome = felhomctl("guests", NULL);
    assert_int_equal(outcome.status, 1);
    assert_string_equal(buffer_text(&outcome.out), "");
    assert_contains(&outcome.err, "felhomctl: there is no state directory ");
    assert_contains(&outcome.err, "felhomctl init");
}

static void bad_settings_are_named(void **state)
{
    (void)state;
    scratch_write("agent.yaml", "bogus: 1\n");
    cleanup_outcome struct outcome outcome = felhomctl("guests", NULL);
    assert_int_equal(outcome.status, 1);
    assert_int_equal(strncmp(buffer_text(&outcome.err), "felhomctl: agent.yaml:1:1: bogus: ", 34),
                     0);
}

static void init_can_run_again(void **state)
{
    (void)state;
    cleanup_outcome struct outcome first = felhomctl("init", "--output-format", "json", NULL);
    cleanup_outcome struct outcome again = felhomctl("--output-format", "json", "init", NULL);
    assert_int_equal(first.status, 0);
    assert_int_equal(again.status, 0);
    json_t *one = json_of(&first);
    json_t *two = json_of(&again);
    assert_true(json_is_true(json_object_get(one, "changed")));
    assert_true(json_is_false(json_object_get(two, "changed")));
    assert_int_equal(json_string_length(json_object_get(one, "pin_spki_sha256")), 44);
    assert_true(json_equal(json_object_get(one, "pin_spki_sha256"),
                           json_object_get(two, "pin_spki_sha256")));
    assert_string_equal(json_string_value(json_object_get(one, "endpoint")), "127.0.0.1:18443");
    assert_string_equal(json_string_value(json_object_get(one, "host_id")), "test");
    assert_string_equal(json_string_value(json_object_get(one, "node")), "n1");
    json_decref(one);
    json_decref(two);
}

static void init_sets_modes(void **state)
{
    (void)state;
    (void)umask(077);
    cleanup_outcome struct outcome outcome = felhomctl("init", NULL);
    (void)umask(022);
    assert_int_equal(outcome.status, 0);
    assert_int_equal(scratch_mode("state"), 0755);
    assert_int_equal(scratch_mode("state/db"), 0700);
    assert_int_equal(scratch_mode("state/db/agent.db"), 0600);
    assert_int_equal(scratch_mode("state/tls"), 0700);
    assert_int_equal(scratch_mode("run"), 0711);
    assert_int_equal(scratch_mode("run/guests"), 0711);
    assert_int_equal(scratch_mode("run/export"), 0711);
    assert_int_equal(scratch_mode("pve/priv/felhom"), 0700);
}

static void init_says_what_to_do_without_an_address(void **state)
{
    (void)state;
    cleanup_buffer struct buffer settings = scratch_read("agent.yaml");
    char *listen = strstr(settings.data, "listen: \"127.0.0.1:18443\"");
    memcpy(listen, "bridge:  \"nosuchbridge0\" ", 25);
    scratch_write("agent.yaml", settings.data);
    cleanup_outcome struct outcome outcome = felhomctl("init", NULL);
    assert_int_equal(outcome.status, 1);
    assert_string_equal(buffer_text(&outcome.err),
                        "felhomctl: there is no bridge nosuchbridge0: set local_api.bridge or "
                        "local_api.listen in agent.yaml, or bring it up; then run felhomctl init "
                        "again\n");
    assert_contains(&outcome.out, "done     store ");
}

static void init_hands_over_what_root_made(void **state)
{
    (void)state;
    static const char *const handed[] = {"state",
                                         "state/db",
                                         "state/db/agent.db",
                                         "state/tls",
                                         "state/tls/agent.pem",
                                         "state/tls/agent.crt"};
    struct stat status;
    if (geteuid() != 0)
        skip();
    cleanup_outcome struct outcome before = felhomctl("init", "--user", "nosuchuser0", NULL);
    assert_contains(&before.out, "there is no user nosuchuser0: uid 0 keeps the files");
    cleanup_outcome struct outcome after = felhomctl("init", "--user", "nobody", NULL);
    assert_int_equal(after.status, 0);
    for (size_t i = 0; i < ARRAY_SIZE(handed); i++) {
        cleanup_free char *path = scratch_path(handed[i]);
        assert_int_equal(lstat(path, &status), 0);
        if (status.st_uid != 65534)
            fail_test("%s belongs to %u", path, status.st_uid);
    }
    cleanup_outcome struct outcome again = felhomctl("init", "--user", "nobody", NULL);
    assert_int_equal(again.status, 0);
    assert_contains(&again.out, "already  state ");
}

/* A guest with a NIC, a mount and a token, as a hook would have left it. */
static void make_guest(char *ret_token, size_t size)
{
    static const char text[] = "hostname: web\nrootfs: fast:vm-8200-disk-0,size=1536M\n"
                               "net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp\n";
    struct error error;
    cleanup_free char *state_dir = scratch_path("state");
    cleanup_store struct store *store = NULL;
    cleanup(guest_config_free) struct guest_config config = {0};
    struct guest guest = {.vmid = 8200, .state = GUEST_RUNNING, .name = "w\x1b[2Jb"};
    struct token token;
    cleanup_outcome struct outcome init = felhomctl("init", NULL);
    assert_int_equal(init.status, 0);
    assert_int_equal(guest_config_parse(GUEST_LXC, text, strlen(text), &config, &error), 0);
    assert_int_equal(store_open(state_dir, STORE_OPEN_EXISTING, 1000, &store, &error), 0);
    assert_int_equal(guest_put(store, &guest, &error), 0);
    assert_int_equal(nic_replace_all(store, 8200, config.nics, config.nic_count, &error), 0);
    assert_int_equal(mount_replace_all(store, 8200, config.volumes, config.volume_count, &error),
                     0);
    assert_int_equal(token_mint(store, 8200, 1000, 0, &token, &error), 0);
    (void)snprintf(ret_token, size, "%s", token.text.text);
    token_text_wipe(&token.text);
}

static void guests_are_listed(void **state)
{
    (void)state;
    char token[128];
    make_guest(token, sizeof token);
    cleanup_outcome struct outcome text = felhomctl(NULL);
    cleanup_outcome struct outcome outcome = felhomctl("guests", "--output-format=json", NULL);
    assert_contains(&text.out, "VMID  NAME    KIND  STATE    TOKEN  GEN  AGE ");
    assert_contains(&text.out, "\n8200  w?[2Jb  lxc   running  good   1 ");
    json_t *rows = json_of(&outcome);
    const json_t *row = json_array_get(rows, 0);
    assert_int_equal(json_array_size(rows), 1);
    assert_int_equal(json_integer_value(json_object_get(row, "vmid")), 8200);
    assert_string_equal(json_string_value(json_object_get(row, "token")), "good");
    assert_string_equal(json_string_value(json_object_get(row, "name")), "w\x1b[2Jb");
    json_decref(rows);
}

static void a_guest_is_shown_without_its_secret(void **state)
{
    (void)state;
    char token[128];
    char id[9];
    make_guest(token, sizeof token);
    (void)snprintf(id, sizeof id, "%.8s", token + 4);
    cleanup_outcome struct outcome text = felhomctl("guest", "8200", NULL);
    cleanup_outcome struct outcome json = felhomctl("guest", "8200", "--output-format=json", NULL);
    assert_int_equal(text.status, 0);
    assert_contains(&text.out, "BC:24:11:00:00:01");
    assert_contains(&text.out, "fast:vm-8200-disk-0");
    assert_contains(&text.out, "1.5 GiB");
    assert_contains(&text.out, id);
    assert_contains(&json.out, id);
    assert_null(strstr(buffer_text(&text.out), token + 13));
    assert_null(strstr(buffer_text(&json.out), token + 13));
    json_t *whole = json_of(&json);
    assert_int_equal(json_array_size(json_object_get(whole, "mounts")), 1);
    assert_int_equal(json_array_size(json_object_get(whole, "nics")), 1);
    assert_int_equal(json_array_size(json_object_get(whole, "tokens")), 1);
    json_decref(whole);
}

static void tokens_are_revoked_and_scrubbed(void **state)
{
    (void)state;
    char token[128];
    make_guest(token, sizeof token);
    scratch_make_directory("run/guests/8200");
    scratch_write("run/guests/8200/token", token);
    scratch_write("run/guests/8200/agent.crt", "x");
    scratch_write("pve/lxc/8200.conf", "hostname: web\n");
    cleanup_outcome struct outcome first = felhomctl("revoke", "8200", NULL);
    cleanup_outcome struct outcome again = felhomctl("revoke", "8200", NULL);
    cleanup_outcome struct outcome list = felhomctl("guest", "8200", NULL);
    assert_int_equal(first.status, 0);
    assert_contains(&first.out, "1 revoked");
    assert_contains(&first.out,
                    "the guest gets a new token at its next start, or by felhomctl rotate 8200.");
    assert_contains(&again.out, "already  tokens           0 revoked");
    assert_contains(&list.out, "revoked");
    assert_contains(&list.out, "felhomctl revoke");
    assert_false(scratch_exists("run/guests/8200/token"));
    assert_true(scratch_exists("run/guests/8200/agent.crt"));
}

/* What revoke advises works: rotate gives nothing to a guest that does not run. */
static void what_comes_after_revoke_depends_on_the_guest(void **state)
{
    (void)state;
    char token[128];
    make_guest(token, sizeof token);
    cleanup_outcome struct outcome destroyed = felhomctl("revoke", "8200", NULL);
    scratch_write("pve/lxc/8200.conf", "hostname: web\n");
    scratch_make_directory("cgroup/lxc");
    cleanup_outcome struct outcome stopped = felhomctl("revoke", "8200", NULL);
    assert_contains(&destroyed.out, "Next: nothing, as there is no guest 8200 on this node.");
    assert_contains(&stopped.out, "Next: the guest gets a new token at its next start.");
}

/* limits: of snapshots, of their interval and of that of backups, each with who set it. */
static void assert_quota(const char *const limits[3][2], const json_int_t values[3])
{
    static const char *const keys[] = {"snapshots", "snapshot_interval", "backup_interval"};
    cleanup_outcome struct outcome text = felhomctl("guest", "8200", NULL);
    cleanup_outcome struct outcome json = felhomctl("guest", "8200", "--output-format=json", NULL);
    json_t *whole = json_of(&json);
    const json_t *rows = json_object_get(whole, "quota");
    assert_int_equal(json_array_size(rows), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *row = json_array_get(rows, i);
        cleanup_free char *line =
            mem_format("\n%-19s%-7s%s\n", keys[i], limits[i][0], limits[i][1]);
        assert_contains(&text.out, line);
        assert_string_equal(json_string_value(json_object_get(row, "key")), keys[i]);
        assert_string_equal(json_string_value(json_object_get(row, "limit")), limits[i][0]);
        assert_string_equal(json_string_value(json_object_get(row, "set_by")), limits[i][1]);
        assert_int_equal(json_integer_value(json_object_get(row, "value")), values[i]);
    }
    json_decref(whole);
}

static void a_guest_is_shown_with_its_quota(void **state)
{
    static const char enrolment[] = "quota: {snapshots: 3, snapshot_interval: 90s}\n";
    static const char mistaken[] = "colour: blue\nquota: {snapshots: 3, backup_interval: soon}\n";
    (void)state;
    char token[128];
    struct error error;
    cleanup_store struct store *store = NULL;
    make_guest(token, sizeof token);
    assert_quota((const char *const[3][2]){{"10", "agent.yaml"},
                                           {"1m", "agent.yaml"},
                                           {"10m", "agent.yaml"}},
                 (const json_int_t[3]){10, 60, 600});
    shell("echo 'quota: {backup_interval: 0}' >>agent.yaml");
    assert_int_equal(store_open(in_scratch("state"), STORE_OPEN_EXISTING, 1000, &store, &error), 0);
    record_enrolment(store, 8200, enrolment, strlen(enrolment));
    assert_quota(
        (const char *const[3][2]){{"3", "enrolment"}, {"90s", "enrolment"}, {"none", "agent.yaml"}},
        (const json_int_t[3]){3, 90, 0});
    record_enrolment(store, 8200, mistaken, strlen(mistaken));
    assert_quota(
        (const char *const[3][2]){{"3", "enrolment"}, {"1m", "agent.yaml"}, {"none", "agent.yaml"}},
        (const json_int_t[3]){3, 60, 0});
}

static void unknown_guests_fail(void **state)
{
    (void)state;
    cleanup_outcome struct outcome init = felhomctl("init", NULL);
    cleanup_outcome struct outcome guest = felhomctl("guest", "8300", NULL);
    cleanup_outcome struct outcome revoked = felhomctl("revoke", "8300", NULL);
    assert_int_equal(guest.status, 1);
    assert_string_equal(
        buffer_text(&guest.err),
        "felhomctl: guest 8300 is not known on this host: run felhomctl enroll 8300\n");
    assert_int_equal(revoked.status, 1);
}

static void identity_shows_the_certificate(void **state)
{
    (void)state;
    struct error error;
    cleanup_free char *state_dir = scratch_path("state");
    cleanup(identity_free) struct identity identity = {0};
    cleanup_outcome struct outcome init = felhomctl("init", NULL);
    cleanup_outcome struct outcome text = felhomctl("identity", NULL);
    cleanup_outcome struct outcome pem = felhomctl("identity", "--pem", NULL);
    assert_int_equal(identity_load(state_dir, &identity, &error), 0);
    assert_contains(&text.out, identity.pins.spki);
    assert_contains(&text.out, identity.pins.leaf);
    assert_contains(&text.out, "valid to: ");
    assert_string_equal(buffer_text(&pem.out), buffer_text(&identity.certificate_pem));
}

static void a_file_is_parsed_without_settings(void **state)
{
    (void)state;
    cleanup_free char *path = scratch_path("c.conf");
    scratch_write("agent.yaml", "bogus: 1\n");
    scratch_write("c.conf", "hostname: web\nunprivileged: 1\nbogus line\nmp0: /srv,mp=/srv,ro=1\n");
    cleanup_outcome struct outcome text = felhomctl("parse", path, NULL);
    cleanup_outcome struct outcome json = felhomctl("parse", path, "--output-format", "json", NULL);
    cleanup_outcome struct outcome missing = felhomctl("parse", "/nonexistent", NULL);
    assert_int_equal(text.status, 0);
    assert_contains(&text.out, "name:         web\n");
    assert_contains(&text.out, "root uid:     100000\n");
    assert_contains(&text.out, "mp0  /srv    /srv  yes");
    assert_int_equal(strncmp(buffer_text(&text.err), "felhomctl: warning: ", 20), 0);
    json_t *guest = json_of(&json);
    assert_string_equal(json_string_value(json_object_get(guest, "hostname")), "web");
    assert_int_equal(json_integer_value(json_object_get(guest, "root_uid")), 100000);
    json_decref(guest);
    assert_int_equal(missing.status, 1);
    assert_string_equal(buffer_text(&missing.err), "felhomctl: /nonexistent: no such file\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(usage_errors_end_with_2, node_make),
        scratch_test(help_and_version_are_no_errors, node_make),
        scratch_test(without_a_store_init_is_advised, node_make),
        scratch_test(bad_settings_are_named, node_make),
        scratch_test(init_can_run_again, node_make),
        scratch_test(init_sets_modes, node_make),
        scratch_test(init_says_what_to_do_without_an_address, node_make),
        scratch_test(init_hands_over_what_root_made, node_make),
        scratch_test(guests_are_listed, node_make),
        scratch_test(a_guest_is_shown_without_its_secret, node_make),
        scratch_test(tokens_are_revoked_and_scrubbed, node_make),
        scratch_test(what_comes_after_revoke_depends_on_the_guest, node_make),
        scratch_test(a_guest_is_shown_with_its_quota, node_make),
        scratch_test(unknown_guests_fail, node_make),
        scratch_test(identity_shows_the_certificate, node_make),
        scratch_test(a_file_is_parsed_without_settings, node_make),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
