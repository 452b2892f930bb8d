/*
 * rv_notify: datagrams to a service manager, in order and without waiting.
 */
#include "rv_notify.h"

#include "rv_fd.h"

#include <check.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { KEPT = 16 };

static int ear;
static char name[64];

/* An abstract name of this process's own. */
static void
setup(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    snprintf(name, sizeof(name), "@rv_test_notify.%ld", (long) getpid());
    memcpy(addr.sun_path + 1, name + 1, strlen(name) - 1);
    ear = rv_fd_socket(AF_UNIX, SOCK_DGRAM);
    ck_assert_int_eq(bind(ear, (struct sockaddr *) &addr,
                         (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(name))),
        0);
    setenv("NOTIFY_SOCKET", name, 1);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    ck_assert_int_eq(rv_notify_init(), RV_OK);
}

static const char *
heard(void)
{
    static char text[2 * RV_NOTIFY_TEXT];
    ssize_t n = recv(ear, text, sizeof(text) - 1, 0);

    text[n < 0 ? 0 : n] = '\0';
    return text;
}

START_TEST(lines_are_sent_as_one_datagram)
{
    ck_assert_int_eq(rv_notify("READY=1\nSTATUS=%d workers", 4), RV_OK);
    ck_assert_str_eq(heard(), "READY=1\nSTATUS=4 workers");
    ck_assert_str_eq(heard(), "");
}
END_TEST

START_TEST(what_is_too_long_is_cut)
{
    char text[2 * RV_NOTIFY_TEXT];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    ck_assert_int_eq(rv_notify("%s", text), RV_OK);
    ck_assert_uint_eq(strlen(heard()), RV_NOTIFY_TEXT - 1);
}
END_TEST

START_TEST(nobody_is_told_where_there_is_nobody)
{
    unsetenv("NOTIFY_SOCKET");
    setenv("WATCHDOG_USEC", "1000000", 1);
    ck_assert_int_eq(rv_notify_init(), RV_OK);
    ck_assert_int_eq(rv_notify("READY=1"), RV_OK);
    ck_assert_int_eq(rv_notify_flush(), RV_OK);
    ck_assert_int_eq(rv_notify_watchdog(), 0);
    ck_assert_str_eq(heard(), "");
}
END_TEST

START_TEST(a_name_must_be_a_path_or_abstract)
{
    char text[256] = "/";

    memset(text + 1, 'x', 200);
    const char *const names[] = { "relative", "@", "/", "vsock:2:1", text };
    for (size_t i = 0; i < rv_countof(names); i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        ck_assert_msg(rv_notify_init() == RV_ERROR, "\"%s\"", names[i]);
        ck_assert_int_eq(rv_notify("READY=1"), RV_OK);
    }
    setenv("NOTIFY_SOCKET", "", 1);
    ck_assert_int_eq(rv_notify_init(), RV_OK);
}
END_TEST

START_TEST(the_socket_stays_in_the_environment)
{
    ck_assert_str_eq(getenv("NOTIFY_SOCKET"), name);
}
END_TEST

/* --- a manager that does not read -------------------------------------------------------- */

/* Fills the queue of the manager; how many it took. */
static int
fill(void)
{
    int n = 0;

    while (rv_notify("%d", n) == RV_OK)
        n++;
    return n + 1;
}

START_TEST(what_the_manager_has_no_room_for_is_kept_in_order)
{
    int sent = fill();
    char wanted[32];

    for (int i = 1; i < KEPT; i++)
        ck_assert_int_eq(rv_notify("%d", sent++), RV_AGAIN);
    ck_assert_int_eq(rv_notify_flush(), RV_AGAIN);
    for (int i = 0; i < sent; i++) {
        snprintf(wanted, sizeof(wanted), "%d", i);
        ck_assert_str_eq(heard(), wanted);
        ck_assert_int_ne(rv_notify_flush(), RV_ERROR);
    }
    ck_assert_str_eq(heard(), "");
    ck_assert_int_eq(rv_notify_flush(), RV_OK);
}
END_TEST

START_TEST(the_oldest_goes_when_too_much_is_kept)
{
    int taken = fill() - 1;
    char wanted[32];

    for (int i = 0; i < 2 * KEPT; i++)
        ck_assert_int_eq(rv_notify("new %d", i), RV_AGAIN);
    for (int i = 0; i < taken; i++)
        heard();
    ck_assert_int_ne(rv_notify_flush(), RV_ERROR);
    for (int i = KEPT; i < 2 * KEPT; i++) {
        snprintf(wanted, sizeof(wanted), "new %d", i);
        ck_assert_str_eq(heard(), wanted);
        ck_assert_int_ne(rv_notify_flush(), RV_ERROR);
    }
    ck_assert_str_eq(heard(), "");
}
END_TEST

START_TEST(a_manager_that_is_gone_is_an_error)
{
    close(ear);
    ck_assert_int_eq(rv_notify("READY=1"), RV_ERROR);
    ck_assert_int_eq(errno, ECONNREFUSED);
    ck_assert_int_eq(rv_notify_flush(), RV_OK); /* nothing is kept */
}
END_TEST

/* --- the watchdog ------------------------------------------------------------------------ */

static const struct {
    const char *usec;
    const char *pid; /* "self": this process's */
    int64_t msec;
} watchdogs[] = {
    { "30000000", NULL, 15000 },
    { "30000000", "self", 15000 },
    { "30000000", "1", 0 },
    { "30000000", "", 0 },
    { "1", NULL, 1 },
    { "0", NULL, 0 },
    { "", NULL, 0 },
    { "-5", NULL, 0 },
    { "18446744073709551615", NULL, 0 },
    { "99999999999999999999999", NULL, 0 },
    { NULL, NULL, 0 },
};

START_TEST(the_watchdog_is_told_twice_in_its_time)
{
    char pid[32];

    snprintf(pid, sizeof(pid), "%ld", (long) getpid());
    if (watchdogs[_i].usec != NULL)
        setenv("WATCHDOG_USEC", watchdogs[_i].usec, 1);
    if (watchdogs[_i].pid != NULL)
        setenv("WATCHDOG_PID", strcmp(watchdogs[_i].pid, "self") == 0 ? pid : watchdogs[_i].pid, 1);
    ck_assert_int_eq(rv_notify_init(), RV_OK);
    ck_assert_int_eq(rv_notify_watchdog(), watchdogs[_i].msec);
}
END_TEST

START_TEST(the_duty_is_inherited_by_who_follows)
{
    char pid[32];

    snprintf(pid, sizeof(pid), "%ld", (long) getpid());
    setenv("WATCHDOG_USEC", "30000000", 1);
    setenv("WATCHDOG_PID", pid, 1);
    ck_assert_int_eq(rv_notify_init(), RV_OK);
    ck_assert_ptr_null(getenv("WATCHDOG_PID"));
    ck_assert_str_eq(getenv("WATCHDOG_USEC"), "30000000");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("notify");
    TCase *tcase = tcase_create("notify");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, lines_are_sent_as_one_datagram);
    tcase_add_test(tcase, what_is_too_long_is_cut);
    tcase_add_test(tcase, nobody_is_told_where_there_is_nobody);
    tcase_add_test(tcase, a_name_must_be_a_path_or_abstract);
    tcase_add_test(tcase, the_socket_stays_in_the_environment);
    tcase_add_test(tcase, what_the_manager_has_no_room_for_is_kept_in_order);
    tcase_add_test(tcase, the_oldest_goes_when_too_much_is_kept);
    tcase_add_test(tcase, a_manager_that_is_gone_is_an_error);
    tcase_add_loop_test(
        tcase, the_watchdog_is_told_twice_in_its_time, 0, (int) rv_countof(watchdogs));
    tcase_add_test(tcase, the_duty_is_inherited_by_who_follows);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
