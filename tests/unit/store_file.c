/* SPDX-License-Identifier: Apache-2.0 */
/* Reading, drafts and replacement of files. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "store/files/file.h"
#include "tests/unit/scratch.h"

#define NOBODY 65534
#define KEEP   ((uid_t)-1)

static int open_scratch(void)
{
    int fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void assert_message(const struct error *error, enum error_kind kind, const char *format,
                           const char *name)
{
    char expected[512];
    cleanup_free char *path = mem_copy_text(in_scratch(name));
    const char *place = strstr(format, "PATH");
    assert_non_null(place);
    (void)snprintf(expected, sizeof expected, "%.*s%s%s", (int)(place - format), format, path,
                   place + strlen("PATH"));
    assert_string_equal(error->message, expected);
    assert_int_equal(error->kind, kind);
}

static void test_read(void **state)
{
    (void)state;
    struct error error;
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    shell("printf 12345 >file; ln -s file link");
    buffer_add_text(&out, "before ");
    assert_int_equal(file_read(in_scratch("file"), 5, &out, &error), 0);
    assert_int_equal(file_read(in_scratch("link"), SIZE_MAX, &out, &error), 0);
    assert_string_equal(buffer_text(&out), "before 1234512345");
    assert_int_equal(out.length, 17);
}

static void test_read_empty_and_large(void **state)
{
    (void)state;
    struct error error;
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    shell(": >empty; head -c 100000 /dev/zero | tr '\\0' x >large");
    assert_int_equal(file_read(in_scratch("empty"), 0, &out, &error), 0);
    assert_int_equal(out.length, 0);
    assert_int_equal(file_read(in_scratch("large"), 100000, &out, &error), 0);
    assert_int_equal(out.length, 100000);
    assert_int_equal(strspn(out.data, "x"), 100000);
}

/* The file's size is 0, its content is not empty. */
static void test_read_of_proc(void **state)
{
    (void)state;
    struct error error;
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    assert_int_equal(file_read("/proc/self/status", 65536, &out, &error), 0);
    assert_non_null(strstr(out.data, "Pid:"));
}

static void test_read_failures_leave_out_alone(void **state)
{
    (void)state;
    struct error error;
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    shell("printf 123456 >file; mkdir directory; mkfifo fifo; ln -s nowhere dangling");
    buffer_add_text(&out, "before");
    assert_int_equal(file_read(in_scratch("none"), 5, &out, &error), -1);
    assert_message(&error, ERROR_MISSING, "PATH: no such file", "none");
    assert_int_equal(file_read(in_scratch("dangling"), 5, &out, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    assert_int_equal(file_read(in_scratch("file"), 5, &out, &error), -1);
    assert_message(&error, ERROR_INVALID, "PATH: larger than 5 bytes", "file");
    assert_int_equal(file_read(in_scratch("directory"), 5, &out, &error), -1);
    assert_message(&error, ERROR_INVALID, "PATH: not a regular file", "directory");
    assert_int_equal(file_read(in_scratch("fifo"), 5, &out, &error), -1);
    assert_message(&error, ERROR_INVALID, "PATH: not a regular file", "fifo");
    assert_int_equal(file_read(in_scratch("file/below"), 5, &out, &error), -1);
    assert_message(&error, ERROR_SYSTEM, "cannot open PATH: Not a directory", "file/below");
    assert_string_equal(buffer_text(&out), "before");
}

static int read_as_nobody(void)
{
    struct error error;
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    EXPECT(geteuid() != 0 || setresuid(NOBODY, NOBODY, NOBODY) == 0);
    EXPECT(file_read(in_scratch("secret"), 100, &out, &error) == -1);
    EXPECT(error.kind == ERROR_SYSTEM);
    EXPECT(strstr(error.message, "secret: Permission denied") != NULL);
    return 0;
}

static void test_read_without_permission(void **state)
{
    (void)state;
    shell("chmod 711 .; printf x >secret; chmod 000 secret");
    in_child(read_as_nobody);
}

static void test_read_at_follows_no_link(void **state)
{
    (void)state;
    struct error error;
    cleanup_buffer struct buffer out = BUFFER_EMPTY;
    cleanup_close int dirfd = open_scratch();
    shell("printf 1 >file; ln -s file link");
    assert_int_equal(file_read_at(dirfd, "file", 1, &out, &error), 0);
    assert_int_equal(file_read_at(dirfd, "link", 1, &out, &error), -1);
    assert_int_equal(error.kind, ERROR_DENIED);
    assert_string_equal(error.message, "link: a symbolic link, which is not followed here");
    assert_int_equal(file_read_at(dirfd, "none", 1, &out, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    assert_string_equal(error.message, "none: no such file");
    assert_string_equal(buffer_text(&out), "1");
}

static void test_replace(void **state)
{
    (void)state;
    struct error error;
    cleanup_close int dirfd = open_scratch();
    mode_t mask = umask(0777);
    assert_int_equal(file_replace_at(dirfd, "new", 0644, KEEP, KEEP, "one", 3, true, &error), 0);
    (void)umask(mask);
    assert_content("new", "one");
    assert_int_equal(status_of("new").st_mode, S_IFREG | 0644);
    ino_t before = status_of("new").st_ino;
    assert_int_equal(file_replace_at(dirfd, "new", 0600, KEEP, KEEP, "two", 3, false, &error), 0);
    assert_content("new", "two");
    assert_int_equal(status_of("new").st_mode, S_IFREG | 0600);
    assert_int_not_equal(status_of("new").st_ino, before);
    assert_int_equal(file_replace_at(dirfd, "new", 0600, KEEP, KEEP, NULL, 0, false, &error), 0);
    assert_content("new", "");
    assert_int_equal(count_entries(scratch), 1);
}

static void test_replace_sets_the_owner(void **state)
{
    (void)state;
    struct error error;
    cleanup_close int dirfd = open_scratch();
    assert_int_equal(file_replace_at(dirfd, "new", 0600, 100000, 100001, "x", 1, false, &error), 0);
    bool root = geteuid() == 0;
    assert_int_equal(status_of("new").st_uid, root ? 100000 : geteuid());
    assert_int_equal(status_of("new").st_gid, root ? 100001 : getegid());
}

static void test_replace_does_not_write_through_a_link(void **state)
{
    (void)state;
    struct error error;
    cleanup_close int dirfd = open_scratch();
    shell("printf mine >victim; ln -s victim name");
    assert_int_equal(file_replace_at(dirfd, "name", 0600, KEEP, KEEP, "x", 1, false, &error), 0);
    assert_content("victim", "mine");
    assert_true(S_ISREG(status_of("name").st_mode));
}

static void test_draft_is_not_seen_until_published(void **state)
{
    (void)state;
    struct error error;
    struct file_draft draft = {.name = ""};
    cleanup_close int dirfd = open_scratch();
    shell("printf old >token");
    assert_int_equal(
        file_draft_write(dirfd, "token", 0600, KEEP, KEEP, "new", 3, true, &draft, &error), 0);
    assert_content("token", "old");
    assert_content(draft.name, "new");
    assert_int_equal(status_of(draft.name).st_mode, S_IFREG | 0600);
    assert_int_equal(file_draft_publish(&draft, "token", true, &error), 0);
    assert_string_equal(draft.name, "");
    file_draft_drop(&draft);
    assert_content("token", "new");
    assert_int_equal(count_entries(scratch), 1);
}

static void test_draft_drop(void **state)
{
    (void)state;
    struct error error;
    struct file_draft one = {.name = ""};
    struct file_draft two = {.name = ""};
    cleanup_close int dirfd = open_scratch();
    assert_int_equal(file_draft_write(dirfd, "f", 0600, KEEP, KEEP, "1", 1, false, &one, &error),
                     0);
    assert_int_equal(file_draft_write(dirfd, "f", 0600, KEEP, KEEP, "2", 1, false, &two, &error),
                     0);
    assert_string_not_equal(one.name, two.name);
    file_draft_drop(&one);
    file_draft_drop(&one);
    assert_int_equal(count_entries(scratch), 1);
    file_draft_drop(&two);
    assert_int_equal(count_entries(scratch), 0);
}

static void test_failed_publish_keeps_the_draft_for_drop(void **state)
{
    (void)state;
    struct error error;
    struct file_draft draft = {.name = ""};
    cleanup_close int dirfd = open_scratch();
    shell("mkdir token");
    assert_int_equal(
        file_draft_write(dirfd, "token", 0600, KEEP, KEEP, "x", 1, false, &draft, &error), 0);
    assert_int_equal(file_draft_publish(&draft, "token", false, &error), -1);
    assert_string_equal(error.message, "cannot put token in place: Is a directory");
    assert_string_not_equal(draft.name, "");
    file_draft_drop(&draft);
    assert_int_equal(count_entries(scratch), 1);
}

static void test_draft_of_a_name_too_long(void **state)
{
    (void)state;
    struct error error;
    struct file_draft draft = {.dirfd = 77};
    char name[128];
    cleanup_close int dirfd = open_scratch();
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(file_draft_write(dirfd, name, 0600, KEEP, KEEP, "x", 1, false, &draft, &error),
                     -1);
    assert_int_equal(error.kind, ERROR_SYSTEM);
    assert_non_null(strstr(error.message, "File name too long"));
    assert_int_equal(draft.dirfd, 77);
    assert_int_equal(count_entries(scratch), 0);
}

static void test_draft_in_a_directory_that_is_gone(void **state)
{
    (void)state;
    struct error error;
    struct file_draft draft = {.name = ""};
    shell("mkdir gone");
    cleanup_close int dirfd = open(in_scratch("gone"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    shell("rmdir gone");
    assert_int_equal(file_draft_write(dirfd, "f", 0600, KEEP, KEEP, "x", 1, false, &draft, &error),
                     -1);
    assert_string_equal(error.message, "cannot make a draft of f: No such file or directory");
}

/* The kernel writes the first part and refuses the second. */
static int write_beyond_the_limit(void)
{
    static char bytes[65536];
    struct error error;
    struct file_draft draft = {.name = ""};
    struct rlimit limit = {4096, 4096};
    cleanup_close int dirfd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    EXPECT(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    EXPECT(file_draft_write(dirfd, "f", 0600, KEEP, KEEP, bytes, sizeof bytes, false, &draft,
                            &error) == -1);
    EXPECT(strcmp(error.message, "cannot write f: File too large") == 0);
    return 0;
}

static void test_interrupted_write_leaves_nothing(void **state)
{
    (void)state;
    in_child(write_beyond_the_limit);
    assert_int_equal(count_entries(scratch), 0);
}

static int write_on_a_full_disk(void)
{
    static char bytes[1 << 20];
    struct error error;
    EXPECT(unshare(CLONE_NEWNS) == 0);
    EXPECT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    EXPECT(mount("tmpfs", scratch, "tmpfs", 0, "size=64k") == 0);
    cleanup_close int dirfd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    EXPECT(file_replace_at(dirfd, "f", 0600, KEEP, KEEP, "old", 3, true, &error) == 0);
    EXPECT(file_replace_at(dirfd, "f", 0600, KEEP, KEEP, bytes, sizeof bytes, true, &error) == -1);
    EXPECT(error.kind == ERROR_SYSTEM);
    EXPECT(strcmp(error.message, "cannot write f: No space left on device") == 0);
    EXPECT(count_entries(scratch) == 1);
    EXPECT(status_of("f").st_size == 3);
    /* The space that the failed draft took is free again. */
    EXPECT(file_replace_at(dirfd, "f", 0600, KEEP, KEEP, bytes, 40000, true, &error) == 0);
    return 0;
}

static void test_full_disk(void **state)
{
    (void)state;
    needs_root();
    in_child(write_on_a_full_disk);
}

static void test_clear_takes_drafts_alone(void **state)
{
    (void)state;
    struct error error;
    struct file_draft draft = {.name = ""};
    cleanup_close int dirfd = open_scratch();
    shell("touch token .hidden .token.short .token.0123456789abcdeF .0123456789abcdef "
          "token.0123456789abcdef .token.0123456789abcdef0; mkdir sub; ln -s token .link");
    int others = count_entries(scratch);
    assert_int_equal(
        file_draft_write(dirfd, "token", 0600, KEEP, KEEP, "x", 1, false, &draft, &error), 0);
    shell("ln -s token .token.0123456789abcdef; touch .a.b.0123456789abcdef");
    assert_int_equal(count_entries(scratch), others + 3);
    assert_int_equal(file_drafts_clear(dirfd, &error), 0);
    assert_int_equal(count_entries(scratch), others);
    assert_false(is_there(draft.name));
    /* Read again: the descriptor's offset was not moved. */
    shell("touch .token.0123456789abcdef");
    assert_int_equal(file_drafts_clear(dirfd, &error), 0);
    assert_int_equal(count_entries(scratch), others);
}

static void test_clear_names_what_it_cannot_remove(void **state)
{
    (void)state;
    struct error error;
    cleanup_close int dirfd = open_scratch();
    shell("mkdir .token.0123456789abcdef");
    assert_int_equal(file_drafts_clear(dirfd, &error), -1);
    assert_string_equal(error.message,
                        "cannot remove the draft .token.0123456789abcdef: Is a directory");
}

static void test_settle_changes_what_differs(void **state)
{
    (void)state;
    shell("touch file; chmod 600 file; touch -d @1000 file");
    cleanup_close int fd = open(in_scratch("file"), O_RDONLY | O_CLOEXEC);
    struct stat before = status_of("file");
    assert_int_equal(file_settle(fd, 0600, KEEP, KEEP), 0);
    assert_int_equal(file_settle(fd, 0600, before.st_uid, before.st_gid), 0);
    struct stat after = status_of("file");
    assert_memory_equal(&before.st_ctim, &after.st_ctim, sizeof before.st_ctim);
    assert_int_equal(file_settle(fd, 0640, KEEP, KEEP), 0);
    assert_int_equal(status_of("file").st_mode & 07777, 0640);
    if (geteuid() != 0)
        return;
    assert_int_equal(file_settle(fd, 0640, 4711, KEEP), 0);
    assert_int_equal(status_of("file").st_uid, 4711);
    assert_int_equal(status_of("file").st_gid, before.st_gid);
    assert_int_equal(file_settle(fd, 0640, KEEP, 4712), 0);
    assert_int_equal(status_of("file").st_uid, 4711);
    assert_int_equal(status_of("file").st_gid, 4712);
}

#define test(function) cmocka_unit_test_setup_teardown(function, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(test_read),
        test(test_read_empty_and_large),
        test(test_read_of_proc),
        test(test_read_failures_leave_out_alone),
        test(test_read_without_permission),
        test(test_read_at_follows_no_link),
        test(test_replace),
        test(test_replace_sets_the_owner),
        test(test_replace_does_not_write_through_a_link),
        test(test_draft_is_not_seen_until_published),
        test(test_draft_drop),
        test(test_failed_publish_keeps_the_draft_for_drop),
        test(test_draft_of_a_name_too_long),
        test(test_draft_in_a_directory_that_is_gone),
        test(test_interrupted_write_leaves_nothing),
        test(test_full_disk),
        test(test_clear_takes_drafts_alone),
        test(test_clear_names_what_it_cannot_remove),
        test(test_settle_changes_what_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
