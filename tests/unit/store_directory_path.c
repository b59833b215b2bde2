/* SPDX-License-Identifier: Apache-2.0 */
/* The path to a directory: which components are trusted, and which are made if they are missing. */
#include <fcntl.h>

#include "store/files/file.h"
#include "tests/unit/scratch.h"

#define KEEP    ((uid_t)-1)
#define USER    12345u
#define REFUSED (-77)

static struct error error;

/* Opens SCRATCH/NAME and closes it again; REFUSED on failure, with the descriptor unchanged. */
static int try_open(const char *name)
{
    int fd = REFUSED;
    if (directory_open(in_scratch(name), &fd, &error) < 0) {
        assert_int_equal(fd, REFUSED);
        return REFUSED;
    }
    return close(fd);
}

static int try_make(const char *name, mode_t mode, uid_t uid, gid_t gid)
{
    int fd = REFUSED;
    if (directory_make(in_scratch(name), mode, uid, gid, &fd, &error) < 0) {
        assert_int_equal(fd, REFUSED);
        return REFUSED;
    }
    return close(fd);
}

/* FORMAT's PATHs stand for SCRATCH/NAME. */
static void assert_refused(enum error_kind kind, const char *name, const char *format)
{
    cleanup_buffer struct buffer expected = BUFFER_EMPTY;
    for (const char *place; (place = strstr(format, "PATH")); format = place + strlen("PATH")) {
        buffer_add(&expected, format, (size_t)(place - format));
        buffer_add_text(&expected, in_scratch(name));
    }
    buffer_add_text(&expected, format);
    assert_string_equal(error.message, buffer_text(&expected));
    assert_int_equal(error.kind, kind);
}

static void test_root_directory(void **state)
{
    (void)state;
    int fd = -1;
    assert_int_equal(directory_open("/", &fd, &error), 0);
    (void)close(fd);
    assert_int_equal(directory_open("//", &fd, &error), 0);
    (void)close(fd);
}

static void test_relative_paths(void **state)
{
    (void)state;
    int fd = REFUSED;
    assert_int_equal(directory_open("tmp", &fd, &error), -1);
    assert_string_equal(error.message, "tmp: not an absolute path");
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_int_equal(directory_open("", &fd, &error), -1);
    assert_int_equal(directory_make("a/b", 0700, KEEP, KEEP, &fd, &error), -1);
    assert_string_equal(error.message, "a/b: not an absolute path");
    assert_int_equal(fd, REFUSED);
}

static void test_open(void **state)
{
    (void)state;
    int fd = -1;
    struct stat status;
    shell("mkdir -p a/b");
    assert_int_equal(try_open("a"), 0);
    assert_int_equal(try_open("a//b/"), 0);
    assert_int_equal(directory_open(in_scratch("a/b"), &fd, &error), 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_ino, status_of("a/b").st_ino);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & (O_PATH | O_ACCMODE), O_RDONLY);
    (void)close(fd);
}

static void test_missing_component_is_named(void **state)
{
    (void)state;
    shell("mkdir a");
    assert_int_equal(try_open("a/none/b"), REFUSED);
    assert_refused(ERROR_MISSING, "a/none", "PATH: no such directory");
}

static void test_link_at_each_component(void **state)
{
    (void)state;
    static const char *const links[] = {"a", "a/b", "a/b/c"};
    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        shell("rm -rf a real; mkdir -p a/b/c real/b/c; mv %s moved; ln -s %s/moved %s", links[i],
              scratch, links[i]);
        assert_int_equal(try_open("a/b/c"), REFUSED);
        assert_refused(ERROR_DENIED, links[i],
                       "PATH is a symbolic link: put a directory in its place, or name the "
                       "directory it points to");
        assert_int_equal(try_make("a/b/c/new", 0700, KEEP, KEEP), REFUSED);
        shell("test -z \"$(find moved -name new)\"; rm -rf moved");
    }
}

static void test_dangling_link_is_not_made_good(void **state)
{
    (void)state;
    shell("ln -s target link");
    assert_int_equal(try_make("link", 0700, KEEP, KEEP), REFUSED);
    assert_int_equal(try_make("link/sub", 0700, KEEP, KEEP), REFUSED);
    assert_int_equal(error.kind, ERROR_DENIED);
    assert_false(is_there("target"));
}

static void test_file_in_the_way(void **state)
{
    (void)state;
    shell("mkdir a; touch a/file; mkfifo a/fifo");
    assert_int_equal(try_open("a/file"), REFUSED);
    assert_refused(ERROR_DENIED, "a/file", "PATH is not a directory: move it out of the way");
    assert_int_equal(try_open("a/fifo/b"), REFUSED);
    assert_refused(ERROR_DENIED, "a/fifo", "PATH is not a directory: move it out of the way");
    assert_int_equal(try_make("a/file/b", 0700, KEEP, KEEP), REFUSED);
    assert_refused(ERROR_DENIED, "a/file", "PATH is not a directory: move it out of the way");
}

static void test_wrong_owner_at_each_component(void **state)
{
    (void)state;
    static const char *const components[] = {"a", "a/b", "a/b/c"};
    needs_root();
    for (size_t i = 0; i < ARRAY_SIZE(components); i++) {
        shell("rm -rf a; mkdir -p a/b/c; chown %u %s", USER, components[i]);
        assert_int_equal(try_open("a/b/c"), REFUSED);
        assert_refused(ERROR_DENIED, components[i],
                       "PATH belongs to uid 12345, who could replace what is in it: "
                       "chown root PATH");
        assert_int_equal(try_make("a/b/c/new", 0700, KEEP, KEEP), REFUSED);
        assert_false(is_there("a/b/c/new"));
    }
}

static void test_one_more_owner(void **state)
{
    (void)state;
    int fd = -1;
    needs_root();
    shell("mkdir -p a/b/c; chown %u a/b a/b/c", USER);
    assert_int_equal(directory_open_of(in_scratch("a/b/c"), USER, &fd, &error), 0);
    (void)close(fd);
    shell("chown 54321 a/b");
    assert_int_equal(directory_open_of(in_scratch("a/b/c"), USER, &fd, &error), -1);
    assert_int_equal(error.kind, ERROR_DENIED);
    shell("chown %u a/b", USER);
    assert_int_equal(try_make("a/b/c/tls", 0700, USER, 54321), 0);
    assert_int_equal(status_of("a/b/c/tls").st_uid, USER);
    assert_int_equal(status_of("a/b/c/tls").st_gid, 54321);
}

static void test_writable_by_others(void **state)
{
    (void)state;
    static const char *const modes[] = {"0777", "0775", "0702", "2770"};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        shell("mkdir -p a/b; chmod %s a", modes[i]);
        assert_int_equal(try_open("a/b"), REFUSED);
        cleanup_free char *format =
            mem_format("PATH may be written to by others (mode %s): chmod go-w PATH", modes[i]);
        assert_refused(ERROR_DENIED, "a", format);
    }
    shell("chmod 0755 a; chmod 0757 a/b");
    assert_int_equal(try_open("a/b"), REFUSED);
    shell("chmod 1777 a/b");
    assert_int_equal(try_open("a/b"), 0);
}

/* Entering a directory needs the x bit only. */
static int open_as_ordinary_user(void)
{
    int fd = -1;
    EXPECT(setresuid(USER, USER, USER) == 0);
    EXPECT(directory_open(in_scratch("a/mine"), &fd, &error) == 0);
    EXPECT(directory_open(in_scratch("a"), &fd, &error) == -1);
    EXPECT(error.kind == ERROR_SYSTEM && strstr(error.message, "/a: Permission denied") != NULL);
    EXPECT(directory_make(in_scratch("a/new"), 0700, KEEP, KEEP, &fd, &error) == -1);
    EXPECT(strstr(error.message, "cannot make /tmp/") == error.message);
    EXPECT(directory_make(in_scratch("a/mine/new"), 0700, 4711, 4711, &fd, &error) == 0);
    EXPECT(status_of("a/mine/new").st_uid == USER);
    EXPECT(directory_open(in_scratch("a/other"), &fd, &error) == -1);
    EXPECT(error.kind == ERROR_DENIED);
    return 0;
}

static void test_ordinary_user(void **state)
{
    (void)state;
    needs_root();
    shell("chmod 711 .; mkdir -p a/mine a/other; chmod 711 a; chown %u a/mine; chown 54321 a/other",
          USER);
    in_child(open_as_ordinary_user);
}

static void test_make(void **state)
{
    (void)state;
    mode_t mask = umask(0077);
    error.kind = ERROR_NONE;
    assert_int_equal(try_make("a/b/c", 0711, KEEP, KEEP), 0);
    assert_int_equal(error.kind, ERROR_NONE);
    assert_int_equal(umask(mask), 0077);
    assert_int_equal(status_of("a").st_mode, S_IFDIR | 0711);
    assert_int_equal(status_of("a/b").st_mode, S_IFDIR | 0711);
    assert_int_equal(status_of("a/b/c").st_mode, S_IFDIR | 0711);
}

static void test_make_leaves_what_is_there(void **state)
{
    (void)state;
    shell("mkdir -p a/b; chmod 750 a a/b");
    ino_t before = status_of("a/b").st_ino;
    assert_int_equal(try_make("a/b/", 0711, 4711, 4711), 0);
    assert_int_equal(status_of("a").st_mode, S_IFDIR | 0750);
    assert_int_equal(status_of("a/b").st_mode, S_IFDIR | 0750);
    assert_int_equal(status_of("a/b").st_uid, geteuid());
    assert_int_equal(status_of("a/b").st_ino, before);
}

static void test_make_gives_away_the_last_alone(void **state)
{
    (void)state;
    needs_root();
    assert_int_equal(try_make("a/b", 0700, 4711, 4712), 0);
    assert_int_equal(status_of("a").st_uid, 0);
    assert_int_equal(status_of("a/b").st_uid, 4711);
    assert_int_equal(status_of("a/b").st_gid, 4712);
    assert_int_equal(status_of("a/b").st_mode, S_IFDIR | 0700);
}

static void test_open_at(void **state)
{
    (void)state;
    int fd = REFUSED;
    cleanup_close int dirfd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    shell("mkdir real; ln -s real link; touch file; chmod 777 real");
    assert_int_equal(directory_open_at(dirfd, "link", "/the/link", &fd, &error), -1);
    assert_string_equal(error.message, "/the/link is a symbolic link: put a directory in its "
                                       "place, or name the directory it points to");
    assert_int_equal(directory_open_at(dirfd, "file", "/the/file", &fd, &error), -1);
    assert_string_equal(error.message, "/the/file is not a directory: move it out of the way");
    assert_int_equal(directory_open_at(dirfd, "none", "/the/none", &fd, &error), -1);
    assert_int_equal(error.kind, ERROR_MISSING);
    assert_int_equal(fd, REFUSED);
    assert_int_equal(directory_open_at(dirfd, "real", "/the/real", &fd, &error), 0);
    (void)close(fd);
}

#define test(function) cmocka_unit_test_setup_teardown(function, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(test_root_directory),
        test(test_relative_paths),
        test(test_open),
        test(test_missing_component_is_named),
        test(test_link_at_each_component),
        test(test_dangling_link_is_not_made_good),
        test(test_file_in_the_way),
        test(test_wrong_owner_at_each_component),
        test(test_one_more_owner),
        test(test_writable_by_others),
        test(test_ordinary_user),
        test(test_make),
        test(test_make_leaves_what_is_there),
        test(test_make_gives_away_the_last_alone),
        test(test_open_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
