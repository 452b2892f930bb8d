/*
 * rv_fd: descriptors, close-on-exec and non-blocking from their creation.
 */
#include "rv_fd.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define KEPT_ERRNO 77

static int
is_close_on_exec(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

static int
is_nonblocking(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

static void
assert_flags(int fd)
{
    ck_assert_int_ge(fd, 0);
    ck_assert(is_close_on_exec(fd));
    ck_assert(is_nonblocking(fd));
}

START_TEST(closing_marks_it_closed_and_keeps_errno)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int number = fd;

    errno = KEPT_ERRNO;
    rv_fd_close(&fd);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(errno, KEPT_ERRNO);
    ck_assert_int_eq(fcntl(number, F_GETFD), -1);

    errno = KEPT_ERRNO;
    rv_fd_close(&fd);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(errno, KEPT_ERRNO);

    fd = number; /* close() fails */
    errno = KEPT_ERRNO;
    rv_fd_close(&fd);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(errno, KEPT_ERRNO);
}
END_TEST

/* Whoever sent it may have a second descriptor, and has told it to linger. */
START_TEST(discarding_does_not_linger)
{
    const struct linger wish = { 1, 1000 };
    struct linger is = wish;
    socklen_t length = sizeof(is);
    int fd = rv_fd_socket(AF_INET, SOCK_STREAM), other = rv_fd_dup(fd), none = -1;

    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &wish, sizeof(wish)), 0);
    errno = KEPT_ERRNO;
    rv_fd_discard(&fd);
    ck_assert_int_eq(fd, -1);
    rv_fd_discard(&none);
    ck_assert_int_eq(errno, KEPT_ERRNO);
    ck_assert_int_eq(getsockopt(other, SOL_SOCKET, SO_LINGER, &is, &length), 0);
    ck_assert_int_eq(is.l_onoff, 0);
    rv_fd_close(&other);

    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    rv_fd_discard(&fd);
    ck_assert_int_eq(fd, -1);
}
END_TEST

START_TEST(limit_is_raised_as_far_as_it_may_be)
{
    const struct rlimit limit = { 100, 200 };
    struct rlimit now;
    size_t reached = 0;

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(rv_fd_raise_limit(50, &reached), RV_OK); /* it is enough */
    ck_assert_uint_eq(reached, 100);
    ck_assert_int_eq(rv_fd_raise_limit(150, &reached), RV_OK);
    ck_assert_uint_eq(reached, 150);
    ck_assert_int_eq(rv_fd_raise_limit(250, &reached), RV_ERROR);
    ck_assert_uint_eq(reached, 200);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &now), 0);
    ck_assert_uint_eq(now.rlim_cur, 200);
    ck_assert_uint_eq(now.rlim_max, 200);
}
END_TEST

START_TEST(pipe_carries_bytes_and_never_blocks)
{
    int fds[2];
    char byte = 0;

    ck_assert_int_eq(rv_fd_pipe(fds), RV_OK);
    assert_flags(fds[0]);
    assert_flags(fds[1]);

    ck_assert_int_eq(read(fds[0], &byte, 1), -1);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    ck_assert_int_eq(read(fds[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 'x');
    rv_fd_close(&fds[0]);
    rv_fd_close(&fds[1]);
}
END_TEST

START_TEST(socket_pairs_are_connected)
{
    static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };

    for (size_t i = 0; i < rv_countof(types); i++) {
        int fds[2];
        char byte = 0;

        ck_assert_int_eq(rv_fd_socketpair(types[i], fds), RV_OK);
        assert_flags(fds[0]);
        assert_flags(fds[1]);
        ck_assert_int_eq(write(fds[0], "x", 1), 1);
        ck_assert_int_eq(read(fds[1], &byte, 1), 1);
        rv_fd_close(&fds[0]);
        rv_fd_close(&fds[1]);
    }
}
END_TEST

START_TEST(what_cannot_be_made_is_an_error)
{
    int fds[2] = { -1, -1 };

    errno = 0;
    ck_assert_int_eq(rv_fd_socket(-5, SOCK_STREAM), -1);
    ck_assert_int_eq(errno, EAFNOSUPPORT);
    errno = 0;
    ck_assert_int_eq(rv_fd_socketpair(12345 & ~(SOCK_CLOEXEC | SOCK_NONBLOCK), fds), RV_ERROR);
    ck_assert_int_ne(errno, 0);
    errno = 0;
    ck_assert_int_eq(rv_fd_dup(-1), -1);
    ck_assert_int_eq(errno, EBADF);
}
END_TEST

START_TEST(accepted_connection_has_its_flags_and_peer)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in peer, own;
    socklen_t length = sizeof(addr);
    int server = rv_fd_socket(AF_INET, SOCK_STREAM);
    int client = socket(AF_INET, SOCK_STREAM, 0);

    assert_flags(server);
    ck_assert_int_eq(bind(server, (struct sockaddr *) &addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(server, 5), 0);
    ck_assert_int_eq(getsockname(server, (struct sockaddr *) &addr, &length), 0);

    errno = 0;
    ck_assert_int_eq(rv_fd_accept(server, NULL, NULL), -1);
    ck_assert_int_eq(errno, EAGAIN);

    ck_assert_int_eq(connect(client, (struct sockaddr *) &addr, sizeof(addr)), 0);
    length = sizeof(peer);
    int fd = rv_fd_accept(server, (struct sockaddr *) &peer, &length);
    assert_flags(fd);
    ck_assert_uint_eq(length, sizeof(peer));

    length = sizeof(own);
    ck_assert_int_eq(getsockname(client, (struct sockaddr *) &own, &length), 0);
    ck_assert_uint_eq(peer.sin_port, own.sin_port);
    ck_assert_uint_eq(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    rv_fd_close(&fd);
    rv_fd_close(&client);
    rv_fd_close(&server);
}
END_TEST

START_TEST(duplicate_is_another_descriptor_for_the_same_file)
{
    int fds[2];
    char byte = 0;

    ck_assert_int_eq(rv_fd_pipe(fds), RV_OK);
    int copy = rv_fd_dup(fds[1]);
    ck_assert_int_ne(copy, fds[1]);
    ck_assert(is_close_on_exec(copy));

    rv_fd_close(&fds[1]);
    ck_assert_int_eq(write(copy, "x", 1), 1);
    ck_assert_int_eq(read(fds[0], &byte, 1), 1);
    rv_fd_close(&copy);
    rv_fd_close(&fds[0]);
}
END_TEST

static Suite *
fd_suite(void)
{
    Suite *suite = suite_create("fd");
    TCase *tcase = tcase_create("fd");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, closing_marks_it_closed_and_keeps_errno);
    tcase_add_test(tcase, discarding_does_not_linger);
    tcase_add_test(tcase, limit_is_raised_as_far_as_it_may_be);
    tcase_add_test(tcase, pipe_carries_bytes_and_never_blocks);
    tcase_add_test(tcase, socket_pairs_are_connected);
    tcase_add_test(tcase, what_cannot_be_made_is_an_error);
    tcase_add_test(tcase, accepted_connection_has_its_flags_and_peer);
    tcase_add_test(tcase, duplicate_is_another_descriptor_for_the_same_file);

    suite_add_tcase(suite, tcase);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(fd_suite());

    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
