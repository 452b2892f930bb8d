/*
 * rv_listener: TCP sockets, from one generation to the next.
 *
 * Ports are the kernel's choice: port 0 is put where the parser allows none.
 */
#include "rv_listener.h"

#include "descriptors.h"
#include "rv_fd.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS = 8, LIMIT_MSEC = 60 * 1000 };

static char error[RV_LISTENER_ERROR];

/* Reads a directive's value: RV_OK, or RV_ERROR and `error`. */
static int
parse(const char *text, rv_listener_t *ls)
{
    char copy[256], *words[WORDS], *save = NULL;
    size_t n = 0;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
        words[n++] = word;
    error[0] = '\0';
    return rv_listener_parse(ls, words, n, error);
}

static ino_t
socket_of(int fd)
{
    struct stat st;

    ck_assert_int_eq(fstat(fd, &st), 0);
    return st.st_ino;
}

/* A listener of 127.0.0.1 with these options, not open; its port is `port`. */
static rv_listener_t
listener(const char *options, in_port_t port)
{
    char text[128];
    rv_listener_t ls;

    snprintf(text, sizeof(text), "127.0.0.1:1 %s", options);
    ck_assert_msg(parse(text, &ls) == RV_OK, "%s", error);
    ls.addr.sockaddr.in.sin_port = port;
    return ls;
}

static void
open_it(rv_listener_t *ls, unsigned workers, const rv_listener_t *old)
{
    ck_assert_msg(rv_listener_open(ls, workers, old, error) == RV_OK, "%s", error);
}

/* Opened on a free port, which is in its address then. */
static rv_listener_t
opened(const char *options)
{
    rv_listener_t ls = listener(options, 0);
    socklen_t length = sizeof(ls.addr.sockaddr);

    open_it(&ls, 1, NULL);
    ck_assert_int_eq(rv_listener_listen(&ls, error), RV_OK);
    ck_assert_int_eq(getsockname(ls.fds[0], &ls.addr.sockaddr.sa, &length), 0);
    ck_assert_uint_ne(ls.addr.sockaddr.in.sin_port, 0);
    return ls;
}

static int
connect_to(const rv_addr_t *addr)
{
    int fd = socket(addr->sockaddr.sa.sa_family, SOCK_STREAM, 0);

    ck_assert_int_ne(fd, -1);
    ck_assert_msg(connect(fd, &addr->sockaddr.sa, addr->length) == 0, "%s", strerror(errno));
    return fd;
}

/* Takes the next client of any of the listener's sockets. */
static void
assert_accepts(const rv_listener_t *ls, int client)
{
    struct pollfd p[16];
    char byte = 0;

    ck_assert_int_eq(write(client, "x", 1), 1);
    for (unsigned i = 0; i < ls->count; i++)
        p[i] = (struct pollfd){ .fd = ls->fds[i], .events = POLLIN };
    ck_assert_int_gt(poll(p, ls->count, LIMIT_MSEC), 0);
    for (unsigned i = 0; i < ls->count; i++) {
        int fd = p[i].revents & POLLIN ? accept(ls->fds[i], NULL, NULL) : -1;

        if (fd == -1)
            continue;
        ck_assert_int_eq(read(fd, &byte, 1), 1);
        close(fd);
    }
    ck_assert_int_eq(byte, 'x');
    close(client);
}

static uint32_t
backlog_of(int fd)
{
    struct tcp_info info = { 0 };
    socklen_t length = sizeof(info);

    ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    return info.tcpi_sacked; /* of a listening socket */
}

#if RV_HAVE_REUSEPORT

static int
shares_its_address(int fd)
{
    int on = -1;
    socklen_t size = sizeof(on);

    ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, &size), 0);
    return on;
}

#else

static int
shares_its_address(RV_UNUSED int fd)
{
    return 0;
}

#endif

START_TEST(open_listener_accepts_until_it_is_closed)
{
    int before = descriptors_open(), option = 0;
    rv_listener_t ls = opened("backlog=7");
    socklen_t size = sizeof(option);

    ck_assert_uint_eq(ls.count, 1);
    ck_assert_int_eq(descriptors_open(), before + 1);
    ck_assert_int_ne(fcntl(ls.fds[0], F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_ne(fcntl(ls.fds[0], F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(getsockopt(ls.fds[0], SOL_SOCKET, SO_REUSEADDR, &option, &size), 0);
    ck_assert_int_eq(option, 1);
    ck_assert_uint_eq(backlog_of(ls.fds[0]), 7);
    assert_accepts(&ls, connect_to(&ls.addr));

    rv_listener_close(&ls, 1);
    ck_assert_ptr_null(ls.fds);
    ck_assert_uint_eq(ls.count, 0);
    ck_assert_int_eq(descriptors_open(), before);
    rv_listener_close(&ls, 1);
}
END_TEST

START_TEST(taken_address_is_an_error_that_names_it)
{
    rv_listener_t first = opened("");
    rv_listener_t second = listener("", first.addr.sockaddr.in.sin_port);
    char expected[128];
    int before = descriptors_open();

    ck_assert_int_eq(rv_listener_open(&second, 1, NULL, error), RV_ERROR);
    snprintf(expected, sizeof(expected), "bind() to \"127.0.0.1:%u\" failed (%d: %s)",
        ntohs(first.addr.sockaddr.in.sin_port), EADDRINUSE, strerror(EADDRINUSE));
    ck_assert_str_eq(error, expected);
    ck_assert_ptr_null(second.fds);
    ck_assert_uint_eq(second.count, 0);
    ck_assert_int_eq(descriptors_open(), before);
    assert_accepts(&first, connect_to(&first.addr));
    rv_listener_close(&first, 0);
}
END_TEST

START_TEST(client_of_before_the_switch_is_accepted_after_it)
{
    rv_listener_t old = opened(""), ls = listener("", 0);
    ino_t same = socket_of(old.fds[0]);

    ls.addr = old.addr;
    int client = connect_to(&old.addr);
    open_it(&ls, 1, &old);
    ck_assert_int_ne(ls.fds[0], old.fds[0]);
    ck_assert_int_eq(rv_listener_listen(&ls, error), RV_OK);
    ck_assert_int_eq(rv_listener_commit(&ls, &old, error), RV_OK);
    rv_listener_close(&old, 1);

    ck_assert_uint_eq(socket_of(ls.fds[0]), same);
    ck_assert_int_ne(fcntl(ls.fds[0], F_GETFD) & FD_CLOEXEC, 0);
    assert_accepts(&ls, client);
    assert_accepts(&ls, connect_to(&ls.addr));
    rv_listener_close(&ls, 1);
}
END_TEST

START_TEST(backlog_changes_at_the_commit_and_not_before)
{
    rv_listener_t old = opened("backlog=7"), ls = listener("backlog=9", 0);

    ls.addr = old.addr;
    open_it(&ls, 1, &old);
    ck_assert_uint_eq(backlog_of(old.fds[0]), 7);
    ck_assert_int_eq(rv_listener_listen(&ls, error), RV_OK);
    ck_assert_int_eq(rv_listener_commit(&ls, &old, error), RV_OK);
    ck_assert_uint_eq(backlog_of(ls.fds[0]), 9);
    rv_listener_close(&old, 1);
    rv_listener_close(&ls, 1);
}
END_TEST

START_TEST(discarded_switch_leaves_the_old_one_as_it_was)
{
    rv_listener_t old = opened(""),
                  ls = listener(RV_HAVE_REUSEPORT ? "reuseport backlog=9" : "backlog=9", 0);

    ls.addr = old.addr;
    int client = connect_to(&old.addr);
    int before = descriptors_open();
    open_it(&ls, RV_HAVE_REUSEPORT ? 3 : 1, &old);
    rv_listener_close(&ls, 1);
    ck_assert_int_eq(descriptors_open(), before);
    ck_assert_uint_eq(backlog_of(old.fds[0]), RV_LISTENER_BACKLOG);
    ck_assert_int_eq(shares_its_address(old.fds[0]), 0);
    assert_accepts(&old, client);
    rv_listener_close(&old, 1);
}
END_TEST

/* --- a socket for each worker -------------------------------------------------------- */

/* Opens it for so many workers with `old`'s sockets, and lets the old ones go. */
static rv_listener_t
switch_to(rv_listener_t *old, const char *options, unsigned workers, unsigned expected)
{
    rv_listener_t ls = listener(options, old->addr.sockaddr.in.sin_port);

    open_it(&ls, workers, old);
    ck_assert_uint_eq(ls.count, expected);
    for (unsigned i = 0; i < expected; i++) {
        if (i < old->count)
            ck_assert_uint_eq(socket_of(ls.fds[i]), socket_of(old->fds[i]));
        for (unsigned j = 0; j < i; j++)
            ck_assert_uint_ne(socket_of(ls.fds[i]), socket_of(ls.fds[j]));
    }
    ck_assert_int_eq(rv_listener_listen(&ls, error), RV_OK);
    ck_assert_int_eq(rv_listener_commit(&ls, old, error), RV_OK);
    rv_listener_close(old, 1);
    for (int i = 0; i < 20; i++)
        assert_accepts(&ls, connect_to(&ls.addr));
    return ls;
}

START_TEST(reuseport_grows_and_shrinks_with_the_workers)
{
    int before = descriptors_open();
    rv_listener_t first = opened("reuseport");

    rv_listener_t three = switch_to(&first, "reuseport", 3, 3);
    rv_listener_t eight = switch_to(&three, "reuseport", 8, 8);
    /* clients may wait at each of the eight: none is closed at once */
    rv_listener_t two = switch_to(&eight, "reuseport", 2, 8);

    ck_assert_int_eq(descriptors_open(), before + 8);
    rv_listener_close(&two, 1);
    ck_assert_int_eq(descriptors_open(), before);
}
END_TEST

START_TEST(reuseport_may_be_given_and_taken)
{
    rv_listener_t plain = opened("");

    rv_listener_t four = switch_to(&plain, "reuseport", 4, 4);
    rv_listener_t one = switch_to(&four, "", 4, 4);

    rv_listener_close(&one, 1);
}
END_TEST

/* A worker of the old generation, forked while the new one is being built. */
START_TEST(child_that_gives_it_up_takes_nothing_back)
{
    rv_listener_t old = opened(""), ls = listener("reuseport", 0);

    ls.addr = old.addr;
    open_it(&ls, 2, &old);
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        rv_listener_close(&ls, 0);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(shares_its_address(ls.fds[0]), 1);
    rv_listener_close(&ls, 1);
    rv_listener_close(&old, 1);
}
END_TEST

START_TEST(worker_keeps_its_sockets_and_closes_the_others)
{
    int before = descriptors_open();
    rv_listener_t first = opened("reuseport"), five = switch_to(&first, "reuseport", 5, 5);
    rv_listener_t ls = switch_to(&five, "reuseport", 4, 5); /* the fifth is nobody's */
    ino_t second = socket_of(ls.fds[1]), fifth = socket_of(ls.fds[4]);

    rv_listener_keep(&ls, 1);
    ck_assert_int_eq(descriptors_open(), before + 2);
    int fd = rv_listener_pop(&ls), other = rv_listener_pop(&ls);
    ck_assert_uint_eq(socket_of(fd), fifth);
    ck_assert_uint_eq(socket_of(other), second);
    ck_assert_int_eq(rv_listener_pop(&ls), -1);
    rv_listener_close(&ls, 0);
    close(fd);
    close(other);
    ck_assert_int_eq(descriptors_open(), before);
}
END_TEST

START_TEST(socket_without_reuseport_is_every_workers)
{
    rv_listener_t ls = opened("");

    rv_listener_keep(&ls, 3);
    int fd = rv_listener_pop(&ls);
    ck_assert_int_ne(fcntl(fd, F_GETFD), -1);
    close(fd);
    rv_listener_close(&ls, 0);
}
END_TEST

START_TEST(new_address_does_not_listen_before_it_is_told_to)
{
    rv_listener_t ls = listener("", 0);
    socklen_t length = sizeof(ls.addr.sockaddr);

    open_it(&ls, 1, NULL);
    ck_assert_int_eq(getsockname(ls.fds[0], &ls.addr.sockaddr.sa, &length), 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, &ls.addr.sockaddr.sa, ls.addr.length), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
    close(fd);
    ck_assert_int_eq(rv_listener_listen(&ls, error), RV_OK);
    assert_accepts(&ls, connect_to(&ls.addr));
    rv_listener_close(&ls, 1);
}
END_TEST

START_TEST(address_taken_in_between_is_an_error_that_names_it)
{
    rv_listener_t first = listener("", 0);
    socklen_t length = sizeof(first.addr.sockaddr);

    open_it(&first, 1, NULL);
    ck_assert_int_eq(getsockname(first.fds[0], &first.addr.sockaddr.sa, &length), 0);
    rv_listener_t second = listener("", first.addr.sockaddr.in.sin_port);
    open_it(&second, 1, NULL); /* the kernel allows it as long as nobody listens */
    ck_assert_int_eq(rv_listener_listen(&first, error), RV_OK);
    ck_assert_int_eq(rv_listener_listen(&second, error), RV_ERROR);
    ck_assert_msg(strncmp(error, "listen() to \"127.0.0.1:", 23) == 0
            && strstr(error, strerror(EADDRINUSE)) != NULL,
        "%s", error);
    rv_listener_close(&second, 1);
    assert_accepts(&first, connect_to(&first.addr));
    rv_listener_close(&first, 1);
}
END_TEST

START_TEST(half_opened_listener_leaves_nothing)
{
    struct rlimit limit;
    rv_listener_t old = opened("reuseport"), ls = listener("reuseport", 0);
    int before = descriptors_open();

    ls.addr = old.addr;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t all = limit.rlim_cur;
    limit.rlim_cur = (rlim_t) old.fds[0] + 4;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int result = rv_listener_open(&ls, 16, &old, error);
    limit.rlim_cur = all;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);

    ck_assert_int_eq(result, RV_ERROR);
    ck_assert_ptr_nonnull(strstr(error, strerror(EMFILE)));
    ck_assert_ptr_null(ls.fds);
    ck_assert_int_eq(descriptors_open(), before);
    assert_accepts(&old, connect_to(&old.addr));
    rv_listener_close(&old, 0);
}
END_TEST

static Suite *
listener_suite(void)
{
    Suite *suite = suite_create("listener");
    TCase *tcase = tcase_create("listener");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, open_listener_accepts_until_it_is_closed);
    tcase_add_test(tcase, taken_address_is_an_error_that_names_it);
    tcase_add_test(tcase, client_of_before_the_switch_is_accepted_after_it);
    tcase_add_test(tcase, backlog_changes_at_the_commit_and_not_before);
    tcase_add_test(tcase, discarded_switch_leaves_the_old_one_as_it_was);
    tcase_add_test(tcase, socket_without_reuseport_is_every_workers);
    tcase_add_test(tcase, new_address_does_not_listen_before_it_is_told_to);
    tcase_add_test(tcase, address_taken_in_between_is_an_error_that_names_it);
    if (RV_HAVE_REUSEPORT) {
        tcase_add_test(tcase, reuseport_grows_and_shrinks_with_the_workers);
        tcase_add_test(tcase, reuseport_may_be_given_and_taken);
        tcase_add_test(tcase, child_that_gives_it_up_takes_nothing_back);
        tcase_add_test(tcase, worker_keeps_its_sockets_and_closes_the_others);
        tcase_add_test(tcase, half_opened_listener_leaves_nothing);
    }
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
