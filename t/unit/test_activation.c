/*
 * rv_activation: what a service manager has passed, and to whom. Listeners are
 * made of it, as the sockets say.
 */
#include "rv_activation.h"
#include "rv_fd.h"
#include "rv_listener_inherit.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST = 3 };

static int fd; /* the last that is passed: Check's own may be below */

static void
set_number(const char *name, long number)
{
    char text[32];

    snprintf(text, sizeof(text), "%ld", number);
    setenv(name, text, 1);
}

static void
setup(void)
{
    fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, FIRST);
    set_number("LISTEN_PID", (long) getpid());
    set_number("LISTEN_FDS", fd - FIRST + 1);
    unsetenv("LISTEN_FDNAMES");
}

static const rv_activation_t *
last(void)
{
    const rv_activation_t *a = rv_activation_at((unsigned) (fd - FIRST));

    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_null(rv_activation_at((unsigned) (fd - FIRST) + 1));
    ck_assert_int_eq(a->number, fd);
    return a;
}

START_TEST(what_was_passed_is_made_fit_for_use)
{
    ck_assert_int_eq(rv_activation_take(), RV_OK);
    ck_assert_int_eq(last()->fd, fd);
    ck_assert_str_eq(last()->name, "unknown");
    ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}
END_TEST

START_TEST(names_go_by_their_place_in_the_list)
{
    char names[256] = "";

    for (int i = FIRST; i < fd; i++)
        strcat(names, ":");
    strcat(names, "web");
    setenv("LISTEN_FDNAMES", names, 1);
    ck_assert_int_eq(rv_activation_take(), RV_OK);
    ck_assert_str_eq(last()->name, "web");
    if (fd > FIRST)
        ck_assert_str_eq(rv_activation_at(0)->name, "unknown");
}
END_TEST

START_TEST(variables_are_gone_afterwards)
{
    static const char *const names[] = { "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES" };

    setenv("LISTEN_FDNAMES", "web", 1);
    if (_i == 1) /* somebody else's too: they would mislead whom we start */
        setenv("LISTEN_PID", "1", 1);
    ck_assert_int_eq(rv_activation_take(), RV_OK);
    for (size_t i = 0; i < rv_countof(names); i++)
        ck_assert_ptr_null(getenv(names[i]));
}
END_TEST

START_TEST(another_process_s_are_left_alone)
{
    static const char *const pids[] = { "1", "", "x", "-1", "99999999999999999999" };

    for (size_t i = 0; i < rv_countof(pids); i++) {
        setup();
        setenv("LISTEN_PID", pids[i], 1);
        ck_assert_int_eq(rv_activation_take(), RV_OK);
        ck_assert_ptr_null(rv_activation_at(0));
        ck_assert_int_eq(fcntl(fd, F_GETFD), 0);
    }
    setup();
    unsetenv("LISTEN_PID");
    ck_assert_int_eq(rv_activation_take(), RV_OK);
    ck_assert_ptr_null(rv_activation_at(0));
}
END_TEST

START_TEST(own_descriptors_are_never_taken_for_passed_ones)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);

    set_number("LISTEN_FDS", own - FIRST + 2); /* and one that is not open */
    ck_assert_int_eq(rv_activation_take(), RV_OK);
    ck_assert_int_eq(rv_activation_at((unsigned) (own - FIRST))->fd, -1);
    ck_assert_int_eq(rv_activation_at((unsigned) (own - FIRST) + 1)->fd, -1);
    ck_assert_ptr_null(rv_activation_at((unsigned) (own - FIRST) + 2));
}
END_TEST

START_TEST(counts_that_make_no_sense_are_an_error)
{
    static const char *const counts[] = { "", "x", "-1", "1025", "99999999999999999999", "3 " };

    for (size_t i = 0; i < rv_countof(counts); i++) {
        setup();
        setenv("LISTEN_FDS", counts[i], 1);
        ck_assert_msg(rv_activation_take() == RV_ERROR, "\"%s\"", counts[i]);
        ck_assert_ptr_null(rv_activation_at(0));
        ck_assert_ptr_null(getenv("LISTEN_FDS"));
    }
}
END_TEST

/* --- listeners ------------------------------------------------------------------------- */

/* A listener like that of the words, bound at a free port. */
static rv_listener_t
bound(const char *address, const char *option)
{
    char text[64], word[32], error[RV_LISTENER_ERROR];
    char *words[] = { text, word };
    rv_listener_t ls;

    snprintf(text, sizeof(text), "%s", address);
    snprintf(word, sizeof(word), "%s", option);
    ck_assert_int_eq(rv_listener_parse(&ls, words, option[0] == '\0' ? 1 : 2, error), RV_OK);
    ls.addr.sockaddr.in.sin_port = 0; /* where IPv6 has it too */
    if (rv_listener_open(&ls, 1, NULL, error) != RV_OK)
        return ls; /* no IPv6 here */
    ck_assert_int_eq(rv_listener_listen(&ls, error), RV_OK);
    return ls;
}

START_TEST(a_listener_is_what_its_socket_is)
{
    static const char *const words[][2] = {
        { "127.0.0.1:1", "" },
        { "127.0.0.1:1", "reuseport" },
        { "[::]:1", "ipv6only=on" },
        { "[::]:1", "ipv6only=off" },
    };
    const char *why = "";
    rv_listener_t ls, was = bound(words[_i][0], words[_i][1]);

    if (was.count == 0)
        return;
    ck_assert_int_eq(rv_listener_inherit_look(&ls, was.fds[0], &why), RV_OK);
    ck_assert_uint_eq(ls.count, 0);
    ck_assert_int_eq(ls.addr.sockaddr.sa.sa_family, was.addr.sockaddr.sa.sa_family);
    ck_assert_uint_ne(ls.addr.sockaddr.in.sin_port, 0);
    ck_assert_int_eq(ls.reuseport, was.reuseport);
    ck_assert_int_eq(ls.ipv6only, was.ipv6only);
    ck_assert_int_eq(ls.bound_path, 0);

    ck_assert_int_eq(rv_listener_inherit_add(&ls, rv_fd_dup(was.fds[0])), RV_OK);
    ck_assert_int_eq(rv_listener_inherit_add(&ls, rv_fd_dup(was.fds[0])), RV_OK);
    ck_assert_uint_eq(ls.count, 2);
    rv_listener_close(&ls, 1);
    rv_listener_close(&was, 1);
}
END_TEST

/* The kernel says ipv6only of every address but [::], whatever was asked. */
START_TEST(one_address_of_v6_fits_any_directive)
{
    char error[RV_LISTENER_ERROR];
    rv_listener_t given, ls, was = bound("[::1]:1", "ipv6only=off");
    const char *why;

    if (was.count == 0)
        return;
    ck_assert_int_eq(rv_listener_inherit_look(&given, was.fds[0], &why), RV_OK);
    ck_assert_int_eq(rv_listener_inherit_add(&given, rv_fd_dup(was.fds[0])), RV_OK);
    ls = given;
    ls.ipv6only = 0;
    ck_assert_msg(rv_listener_open(&ls, 1, &given, error) == RV_OK, "%s", error);
    rv_listener_close(&ls, 1);
    rv_listener_close(&given, 1);
    rv_listener_close(&was, 1);
}
END_TEST

START_TEST(what_cannot_be_accepted_from_is_told_apart)
{
    int pipes[2], udp = rv_fd_socket(AF_INET, SOCK_DGRAM);
    const char *why = "";
    rv_listener_t ls;

    ck_assert_int_eq(rv_fd_pipe(pipes), RV_OK);
    ck_assert_int_eq(rv_listener_inherit_look(&ls, pipes[0], &why), RV_ERROR);
    ck_assert_str_eq(why, "not a socket");
    ck_assert_int_eq(rv_listener_inherit_look(&ls, udp, &why), RV_ERROR);
    ck_assert_str_eq(why, "not a stream socket");
    ck_assert_int_eq(rv_listener_inherit_look(&ls, fd, &why), RV_ERROR);
    ck_assert_str_eq(why, "not listening");
    ck_assert_int_eq(rv_listener_inherit_look(&ls, -1, &why), RV_ERROR);
    ck_assert_str_eq(why, "not a socket");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("activation");
    TCase *tcase = tcase_create("activation");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, what_was_passed_is_made_fit_for_use);
    tcase_add_test(tcase, names_go_by_their_place_in_the_list);
    tcase_add_loop_test(tcase, variables_are_gone_afterwards, 0, 2);
    tcase_add_test(tcase, another_process_s_are_left_alone);
    tcase_add_test(tcase, own_descriptors_are_never_taken_for_passed_ones);
    tcase_add_test(tcase, counts_that_make_no_sense_are_an_error);
    tcase_add_loop_test(tcase, a_listener_is_what_its_socket_is, 0, 4);
    tcase_add_test(tcase, one_address_of_v6_fits_any_directive);
    tcase_add_test(tcase, what_cannot_be_accepted_from_is_told_apart);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
