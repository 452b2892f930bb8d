/*
 * rv_listener: unix sockets, whose file must neither be in the way nor be
 * lost; and IPv6, where there is any.
 */
#include "rv_listener.h"

#include "descriptors.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT_SIZE = 100, LIMIT_MSEC = 60 * 1000 };

static char directory[] = "/tmp/rv_test_listener_XXXXXX";
static char path[TEXT_SIZE];
static char error[RV_LISTENER_ERROR];

static void
setup_run(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/socket", directory);
}

static void
clear(void)
{
    unlink(path);
}

static void
teardown_run(void)
{
    clear();
    rmdir(directory);
}

static int
exists(void)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static unsigned
mode(void)
{
    struct stat st;

    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert(S_ISSOCK(st.st_mode));
    return st.st_mode & 0777;
}

/* Not open yet. */
static rv_listener_t
listener(const char *option)
{
    char text[TEXT_SIZE + 8], word[32];
    char *words[] = { text, word };
    rv_listener_t ls;

    snprintf(text, sizeof(text), "unix:%s", path);
    snprintf(word, sizeof(word), "%s", option);
    ck_assert_int_eq(rv_listener_parse(&ls, words, option[0] == '\0' ? 1 : 2, error), RV_OK);
    return ls;
}

static rv_listener_t
opened(const char *option, const rv_listener_t *old)
{
    rv_listener_t ls = listener(option);

    ck_assert_msg(rv_listener_open(&ls, 2, old, error) == RV_OK, "%s", error);
    if (old == NULL)
        ck_assert_int_eq(rv_listener_listen(&ls, error), RV_OK);
    return ls;
}

static int
try_to_connect(const rv_addr_t *addr)
{
    int fd = socket(addr->sockaddr.sa.sa_family, SOCK_STREAM, 0);

    ck_assert_int_ne(fd, -1);
    if (connect(fd, &addr->sockaddr.sa, addr->length) == 0)
        return fd;
    close(fd);
    return -1;
}

static void
assert_accepts(const rv_listener_t *ls, int client)
{
    struct pollfd p = { .fd = ls->fds[0], .events = POLLIN };
    char byte = 0;

    ck_assert_int_ne(client, -1);
    ck_assert_int_eq(write(client, "x", 1), 1);
    ck_assert_int_eq(poll(&p, 1, LIMIT_MSEC), 1);
    int fd = accept(ls->fds[0], NULL, NULL);
    ck_assert_int_ne(fd, -1);
    ck_assert_int_eq(read(fd, &byte, 1), 1);
    ck_assert_int_eq(byte, 'x');
    close(fd);
    close(client);
}

static void
assert_serves(const rv_listener_t *ls)
{
    assert_accepts(ls, try_to_connect(&ls->addr));
}

/* What somebody leaves who has no time to clean up. */
static void
leave_a_stale_socket(void)
{
    rv_listener_t ls = opened("", NULL);

    rv_listener_close(&ls, 0);
    ck_assert(exists());
}

START_TEST(file_has_its_mode_and_goes_with_the_listener)
{
    int before = descriptors_open();

    umask(0077);
    rv_listener_t ls = opened("", NULL);
    ck_assert_uint_eq(mode(), 0666);
    ck_assert_uint_eq(ls.count, 1);
    ck_assert(ls.bound_path);
    assert_serves(&ls);
    rv_listener_close(&ls, 1);
    ck_assert(!exists());

    ls = opened("mode=0640", NULL);
    ck_assert_uint_eq(mode(), 0640);
    rv_listener_close(&ls, 1);
    ck_assert_int_eq(descriptors_open(), before);
}
END_TEST

START_TEST(worker_that_closes_leaves_the_file)
{
    rv_listener_t ls = opened("", NULL);
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        rv_listener_keep(&ls, 1);
        rv_listener_close(&ls, 0);
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    assert_serves(&ls);
    rv_listener_close(&ls, 1);
}
END_TEST

START_TEST(stale_socket_is_replaced)
{
    leave_a_stale_socket();
    rv_listener_t ls = opened("mode=0600", NULL);

    ck_assert_uint_eq(mode(), 0600);
    assert_serves(&ls);
    rv_listener_close(&ls, 1);
}
END_TEST

START_TEST(live_socket_is_an_error_and_lives_on)
{
    rv_listener_t first = opened("mode=0600", NULL), second = listener("mode=0666");
    char expected[2 * TEXT_SIZE];
    int before = descriptors_open();

    ck_assert_int_eq(rv_listener_open(&second, 1, NULL, error), RV_ERROR);
    snprintf(expected, sizeof(expected), "bind() to \"unix:%s\" failed (%d: %s)", path, EADDRINUSE,
        strerror(EADDRINUSE));
    ck_assert_str_eq(error, expected);
    ck_assert_ptr_null(second.fds);
    ck_assert_int_eq(descriptors_open(), before);
    ck_assert_uint_eq(mode(), 0600);

    /* the connection that found out is closed, and waits in front of the next */
    close(accept(first.fds[0], NULL, NULL));
    assert_serves(&first);
    rv_listener_close(&first, 1);
}
END_TEST

/* One more than fits: connecting fails, but there is somebody. */
START_TEST(busy_socket_is_not_stale)
{
    rv_listener_t first = opened("backlog=1", NULL), second = listener("");
    int client[8];
    size_t n = 0;

    for (; n < rv_countof(client); n++) {
        client[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(client[n], &first.addr.sockaddr.sa, first.addr.length) == -1)
            break;
    }
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(rv_listener_open(&second, 1, NULL, error), RV_ERROR);
    ck_assert(exists());
    for (size_t i = 0; i <= n; i++)
        close(client[i]);
    rv_listener_close(&first, 1);
}
END_TEST

START_TEST(what_is_no_socket_is_not_removed)
{
    rv_listener_t ls = listener("");
    FILE *f = fopen(path, "w");

    ck_assert_ptr_nonnull(f);
    fclose(f);
    ck_assert_int_eq(rv_listener_open(&ls, 1, NULL, error), RV_ERROR);
    ck_assert_ptr_nonnull(strstr(error, strerror(EADDRINUSE)));
    ck_assert(exists());
    unlink(path);

    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    ck_assert_int_eq(rv_listener_open(&ls, 1, NULL, error), RV_ERROR);
    ck_assert(exists());
}
END_TEST

START_TEST(missing_folder_is_an_error_that_names_it)
{
    char expected[2 * TEXT_SIZE];

    snprintf(path, sizeof(path), "%s/none/socket", directory);
    rv_listener_t ls = listener("");
    ck_assert_int_eq(rv_listener_open(&ls, 1, NULL, error), RV_ERROR);
    snprintf(expected, sizeof(expected), "bind() to \"unix:%s\" failed (%d: %s)", path, ENOENT,
        strerror(ENOENT));
    ck_assert_str_eq(error, expected);
}
END_TEST

START_TEST(kept_socket_goes_on_and_its_file_changes_hands)
{
    rv_listener_t old = opened("mode=0600", NULL);
    int client = try_to_connect(&old.addr);
    rv_listener_t ls = opened("mode=0660", &old);

    ck_assert_uint_eq(mode(), 0600); /* until it is certain */
    ck_assert_int_eq(rv_listener_listen(&ls, error), RV_OK);
    ck_assert_int_eq(rv_listener_commit(&ls, &old, error), RV_OK);
    ck_assert_uint_eq(mode(), 0660);
    ck_assert(!old.bound_path);
    rv_listener_close(&old, 1);
    ck_assert(exists());
    assert_accepts(&ls, client);
    assert_serves(&ls);
    rv_listener_close(&ls, 1);
    ck_assert(!exists());
}
END_TEST

START_TEST(discarded_switch_leaves_the_file_alone)
{
    rv_listener_t old = opened("mode=0600", NULL);
    rv_listener_t ls = opened("mode=0666", &old);

    rv_listener_close(&ls, 1);
    ck_assert_uint_eq(mode(), 0600);
    assert_serves(&old);
    rv_listener_close(&old, 1);
    ck_assert(!exists());
}
END_TEST

/* --- IPv6 --------------------------------------------------------------------------- */

/* On a port of the kernel's choice; RV_ERROR where there is no IPv6. */
static int
open_v6(rv_listener_t *ls, const char *option)
{
    char text[] = "[::]:1", word[32];
    char *words[] = { text, word };
    socklen_t length = sizeof(ls->addr.sockaddr);

    snprintf(word, sizeof(word), "%s", option);
    ck_assert_int_eq(rv_listener_parse(ls, words, option[0] == '\0' ? 1 : 2, error), RV_OK);
    ls->addr.sockaddr.in6.sin6_port = 0;
    if (rv_listener_open(ls, 1, NULL, error) != RV_OK || rv_listener_listen(ls, error) != RV_OK)
        return RV_ERROR;
    return getsockname(ls->fds[0], &ls->addr.sockaddr.sa, &length);
}

static rv_addr_t
v4_of(const rv_listener_t *ls)
{
    rv_addr_t addr = { .length = sizeof(struct sockaddr_in) };

    addr.sockaddr.in = (struct sockaddr_in){ .sin_family = AF_INET,
        .sin_port = ls->addr.sockaddr.in6.sin6_port,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    return addr;
}

START_TEST(v6_takes_v4_clients_only_when_told_to)
{
    rv_listener_t ls;
    rv_addr_t v4;

    if (open_v6(&ls, "") != RV_OK)
        return;
    v4 = v4_of(&ls);
    ck_assert_int_eq(rv_listener_listen(&ls, error), RV_OK);
    ck_assert_int_eq(try_to_connect(&v4), -1);
    rv_listener_close(&ls, 1);

    ck_assert_int_eq(open_v6(&ls, "ipv6only=off"), RV_OK);
    ck_assert_int_eq(rv_listener_listen(&ls, error), RV_OK);
    v4 = v4_of(&ls);
    assert_accepts(&ls, try_to_connect(&v4));
    rv_listener_close(&ls, 1);
}
END_TEST

START_TEST(whom_a_bound_address_takes_cannot_be_changed)
{
    rv_listener_t old, ls;

    if (open_v6(&old, "") != RV_OK)
        return;
    ls = old;
    ls.ipv6only = 0;
    ck_assert_int_eq(rv_listener_open(&ls, 1, &old, error), RV_ERROR);
    ck_assert_str_eq(error, "\"ipv6only\" of a bound address cannot be changed");
    rv_listener_close(&old, 1);
}
END_TEST

static Suite *
listener_suite(void)
{
    Suite *suite = suite_create("listener_unix");
    TCase *tcase = tcase_create("listener_unix");

    tcase_add_unchecked_fixture(tcase, setup_run, teardown_run);
    tcase_add_checked_fixture(tcase, clear, clear);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, file_has_its_mode_and_goes_with_the_listener);
    tcase_add_test(tcase, worker_that_closes_leaves_the_file);
    tcase_add_test(tcase, stale_socket_is_replaced);
    tcase_add_test(tcase, live_socket_is_an_error_and_lives_on);
    tcase_add_test(tcase, busy_socket_is_not_stale);
    tcase_add_test(tcase, what_is_no_socket_is_not_removed);
    tcase_add_test(tcase, missing_folder_is_an_error_that_names_it);
    tcase_add_test(tcase, kept_socket_goes_on_and_its_file_changes_hands);
    tcase_add_test(tcase, discarded_switch_leaves_the_file_alone);
    tcase_add_test(tcase, v6_takes_v4_clients_only_when_told_to);
    tcase_add_test(tcase, whom_a_bound_address_takes_cannot_be_changed);
    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(listener_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
