/*
 * test_upgrade: a new program in the place of the old one, step by step.
 */
#include "heir.h"
#include "look.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 2 };

static daemon_t d;

static void
configure(const char *more)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log info\npid = logs/reeve.pid\n"
        "[zone stats]\ntype = %s\n%s%s",
        WORKERS, look_type(), DAEMON_HTTP, more);
}

static void
setup(void)
{
    daemon_setup(&d);
    heir_setup(&d);
    configure("");
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static void
start(void)
{
    daemon_start(&d);
    heir_expect_hello(&d);
}

/* --- by signals, as an operator of nginx does it -------------------------------------------- */

/* How many requests the workers of a master have answered. */
static int64_t
answered_by(pid_t master, const look_t *look, const rv_stats_view_t *view)
{
    pid_t pids[16];
    int64_t sum = 0;
    int n = heir_workers(master, pids, 16);

    for (unsigned i = 0; i < view->count; i++) {
        for (int k = 0; k < n; k++) {
            if (view->process[i].owner.pid == pids[k])
                sum += look_value(look, view->process[i].values, "http", "requests");
        }
    }
    return sum;
}

/* data: the two masters, the one in force first. One more request each time. */
static int
have_both_answered(daemon_t *daemon, void *data)
{
    const pid_t *masters = data;
    daemon_t in_force = { .master = masters[0] };
    rv_stats_view_t view;
    look_t look;

    heir_expect_hello(daemon);
    look_open(&in_force, &look);
    look_take(&look, &view);
    int both =
        answered_by(masters[0], &look, &view) > 0 && answered_by(masters[1], &look, &view) > 0;
    rv_stats_view_free(&view);
    look_close(&look);
    return both;
}

static void
expect_both_serve(pid_t heir)
{
    pid_t masters[] = { heir, d.master };

    ck_assert_int_eq(heir_pid(&d), heir);
    ck_assert_int_eq(heir_old_pid(&d), d.master);
    heir_wait_workers(d.master, WORKERS);
    heir_wait_workers(heir, WORKERS);
    daemon_wait(&d, have_both_answered, masters, "workers of both masters answer");
}

static void
drain_old(void)
{
    ck_assert_int_eq(kill(d.master, SIGWINCH), 0);
    heir_wait_workers(d.master, 0);
    ck_assert(daemon_alive(d.master));
}

START_TEST(usr2_winch_quit)
{
    start();
    pid_t heir = heir_begin(&d);
    expect_both_serve(heir);
    drain_old();
    heir_expect_hello(&d);
    ck_assert_int_eq(heir_old_pid(&d), d.master);
    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    heir_succeeds(&d, heir);
    daemon_wait_workers(&d, WORKERS);
    heir_expect_hello(&d);
    daemon_wait_log(&d, "which this one follows, is gone", 1);
    daemon_reload(&d); /* and it is a master like any other */
}
END_TEST

/* The old one serves again, and its pid file is where it was. */
START_TEST(usr2_winch_hup_and_quit_to_the_new_one_roll_back)
{
    start();
    int descriptors = daemon_fd_count(d.master);
    pid_t old = d.master, heir = heir_begin(&d);

    expect_both_serve(heir);
    drain_old();
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload done", 1);
    expect_both_serve(heir);
    ck_assert_int_eq(kill(heir, SIGQUIT), 0);
    daemon_wait_log(&d, "this master process goes on: ", 1);
    ck_assert_int_eq(d.master, old);
    heir_wait_undone(&d, WORKERS, descriptors);
    heir_upgrade(&d); /* and once more */
    heir_expect_hello(&d);
}
END_TEST

/* 1: QUIT to the new one, without WINCH. 0: it is killed. 2: killed when the old one has no workers. */
START_TEST(old_master_goes_on_when_the_new_one_ends)
{
    start();
    int descriptors = daemon_fd_count(d.master);
    pid_t heir = heir_begin(&d);

    expect_both_serve(heir);
    if (_i == 2)
        drain_old();
    ck_assert_int_eq(kill(heir, _i == 1 ? SIGQUIT : SIGKILL), 0);
    daemon_wait_log(&d, "this master process goes on: ", 1);
    heir_wait_undone(&d, WORKERS, descriptors);
    ck_assert_int_eq(daemon_log_count(&d, "was killed by signal 9"), _i != 1);
    ck_assert_int_eq(daemon_run(&d, "status", NULL), 0);
    daemon_reload(&d);
    heir_upgrade(&d);
    heir_expect_hello(&d);
}
END_TEST

START_TEST(new_master_goes_on_when_the_old_one_is_killed)
{
    pid_t pids[8];
    look_t look;

    start();
    pid_t heir = heir_begin(&d);
    expect_both_serve(heir);
    int n = heir_workers(d.master, pids, 8);
    ck_assert_int_eq(kill(d.master, SIGKILL), 0);
    daemon_wait_gone(&d);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(daemon_wait_process(&d, pids[i]), 0); /* they have drained */
    d.master = heir;
    ck_assert_int_eq(heir_pid(&d), heir);

    /* what the dead have counted is not lost */
    look_open(&d, &look);
    look_wait_connections(&d, &look, 0);
    daemon_wait_workers(&d, WORKERS);
    int64_t before = look_total(&look, "http", "requests");
    ck_assert_int_eq(look_total(&look, "connections", "accepts"), before);
    for (int i = 0; i < 3; i++)
        heir_expect_hello(&d);
    look_wait(&d, &look, "http", "requests", before + 3);
    look_close(&look);
    ck_assert_int_eq(daemon_run(&d, "status", NULL), 0);
    heir_upgrade(&d);
    ck_assert_int_eq(heir_old_pid(&d), 0);
}
END_TEST

/* --- -s upgrade ------------------------------------------------------------------------------ */

START_TEST(command_returns_when_the_old_master_is_gone)
{
    start();
    int descriptors = daemon_fd_count(d.master);
    for (int i = 0; i < 3; i++) {
        heir_upgrade(&d);
        heir_expect_hello(&d);
    }
    daemon_wait_workers(&d, WORKERS);
    daemon_wait_fd_count(&d, d.master, descriptors);
    ck_assert_int_eq(daemon_log_count(&d, "upgrade done"), 3);
}
END_TEST

static const char half[] = "GET /hello HTTP/1.1\r\nHost: x\r\n";

/* A connection in the middle of its request, taken on by a worker. */
static int
open_half(void)
{
    look_t look;
    int fd = daemon_connect(&d);

    ck_assert_int_ne(fd, -1);
    daemon_send(fd, half, sizeof(half) - 1);
    look_open(&d, &look);
    look_wait(&d, &look, "connections", "reading", 1);
    look_close(&look);
    return fd;
}

static void
finish_half(int fd)
{
    char text[1024];

    daemon_send(fd, "\r\n", 2);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    close(fd);
}

START_TEST(slow_connection_keeps_the_old_master_and_the_command_says_so)
{
    start();
    int fd = open_half();
    pid_t heir = heir_begin(&d);
    ck_assert_int_eq(daemon_run(&d, "-s", "upgrade", "-w", "1", NULL), 2);
    ck_assert_str_eq(d.output, "reeve: [warn] upgrade is still under way after 1 s\n");
    ck_assert_int_eq(heir_old_pid(&d), d.master);
    heir_expect_hello(&d);
    finish_half(fd);
    heir_succeeds(&d, heir);
    heir_expect_hello(&d);
}
END_TEST

/* The old master still finishes a client: it does not go on in the place of one that has done as told. */
START_TEST(daemon_that_is_told_to_quit_during_an_upgrade_quits)
{
    start();
    int fd = open_half();
    pid_t heir = heir_begin(&d);
    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    daemon_wait_log(&d, "told to quit", 1);
    ck_assert_int_eq(kill(heir, SIGQUIT), 0);
    daemon_wait_process(&d, heir);
    finish_half(fd);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
    ck_assert_int_eq(daemon_connect(&d), -1);
    ck_assert_int_eq(heir_pid(&d), 0);
    ck_assert_int_eq(heir_old_pid(&d), 0);
}
END_TEST

START_TEST(old_master_takes_its_quit_back_when_the_new_one_is_killed)
{
    start();
    int fd = open_half();
    pid_t heir = heir_begin(&d);
    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    daemon_wait_log(&d, "told to quit", 1);
    ck_assert_int_eq(kill(heir, SIGKILL), 0);
    daemon_wait_log(&d, "this master process goes on: ", 1);
    finish_half(fd);
    heir_wait_workers(d.master, WORKERS);
    ck_assert_int_eq(heir_pid(&d), d.master);
    heir_expect_hello(&d);
    daemon_reload(&d);
}
END_TEST

/* No word goes to the old master once there is a new one. */
START_TEST(words_go_to_the_new_master)
{
    start();
    int fd = open_half();
    pid_t heir = heir_begin(&d);
    ck_assert_int_eq(daemon_run(&d, "-s", "upgrade", "-w", "1", NULL), 2);
    ck_assert_msg(daemon_run(&d, "-s", "reload", NULL) == 0, "%s", d.output);
    ck_assert_msg(daemon_run(&d, "-s", "reopen", NULL) == 0, "%s", d.output);
    ck_assert_msg(daemon_run(&d, "status", NULL) == 0, "%s", d.output);
    char text[32];
    snprintf(text, sizeof(text), "%ld", (long) heir);
    daemon_expect_output(&d, text);
    finish_half(fd);
    heir_succeeds(&d, heir);
    ck_assert_int_eq(daemon_log_count(&d, "reload done"), 1);
}
END_TEST

START_TEST(usr2_twice_is_one_upgrade)
{
    start();
    pid_t heir = heir_begin(&d);
    ck_assert_int_eq(kill(d.master, SIGUSR2), 0);
    daemon_settle(&d);
    ck_assert_int_eq(daemon_log_count(&d, "upgrade begins"), 1);
    ck_assert_int_eq(daemon_log_count(&d, "upgrade failed"), 0);
    expect_both_serve(heir);
    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    heir_succeeds(&d, heir);
}
END_TEST

START_TEST(master_that_follows_another_refuses_to_be_followed)
{
    char wanted[128];

    start();
    pid_t heir = heir_begin(&d);
    ck_assert_int_eq(kill(heir, SIGUSR2), 0);
    snprintf(wanted, sizeof(wanted), "goes on: process %ld, which this one follows, is still there",
        (long) d.master);
    daemon_wait_log(&d, wanted, 1);
    expect_both_serve(heir);
    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    heir_succeeds(&d, heir);
    daemon_wait_log(&d, "which this one follows, is gone", 1);
    heir_upgrade(&d);
}
END_TEST

START_TEST(command_finishes_an_upgrade_that_was_begun_by_hand)
{
    start();
    pid_t heir = heir_begin(&d);
    ck_assert_msg(daemon_run(&d, "-s", "upgrade", NULL) == 0, "%s", d.output);
    ck_assert(!daemon_alive(d.master));
    ck_assert_int_eq(heir_pid(&d), heir);
    heir_succeeds(&d, heir);
    ck_assert_int_eq(daemon_log_count(&d, "upgrade begins"), 1);
}
END_TEST

/* Whose signal comes when is chance; that one master is left and serves is not. */
START_TEST(many_senders_at_once_leave_one_master)
{
    enum { SENDERS = 6 };
    static const char *const words[] = { "upgrade", "upgrade", "reload", "reopen" };
    pid_t sender[SENDERS * rv_countof(words)];

    start();
    for (size_t i = 0; i < rv_countof(sender); i++)
        sender[i] = daemon_launch(&d, "-s", words[i % rv_countof(words)], NULL);
    for (size_t i = 0; i < rv_countof(sender); i++)
        ck_assert_int_eq(daemon_wait_process(&d, sender[i]), 0);
    pid_t master = heir_pid(&d);
    ck_assert_int_ne(master, 0);
    ck_assert_int_ne(master, d.master);
    ck_assert_int_eq(heir_old_pid(&d), 0);
    heir_succeeds(&d, master);
    heir_expect_hello(&d);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("upgrade");
    TCase *tc = daemon_case(s, "upgrade");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, usr2_winch_quit);
    tcase_add_test(tc, usr2_winch_hup_and_quit_to_the_new_one_roll_back);
    tcase_add_loop_test(tc, old_master_goes_on_when_the_new_one_ends, 0, 3);
    tcase_add_test(tc, new_master_goes_on_when_the_old_one_is_killed);
    tcase_add_test(tc, command_returns_when_the_old_master_is_gone);
    tcase_add_test(tc, slow_connection_keeps_the_old_master_and_the_command_says_so);
    tcase_add_test(tc, daemon_that_is_told_to_quit_during_an_upgrade_quits);
    tcase_add_test(tc, old_master_takes_its_quit_back_when_the_new_one_is_killed);
    tcase_add_test(tc, words_go_to_the_new_master);
    tcase_add_test(tc, usr2_twice_is_one_upgrade);
    tcase_add_test(tc, master_that_follows_another_refuses_to_be_followed);
    tcase_add_test(tc, command_finishes_an_upgrade_that_was_begun_by_hand);
    tcase_add_test(tc, many_senders_at_once_leave_one_master);
    return daemon_main(s);
}
