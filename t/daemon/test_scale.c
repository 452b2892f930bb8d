/*
 * test_scale: one worker more, one worker fewer, by signal and by command.
 */
#include "daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static daemon_t d;

static void
setup(void)
{
    daemon_setup(&d);
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static void
configure(int workers, const char *lines)
{
    daemon_conff(&d, "[main]\nerror_log = logs/error.log info\nworker_processes = %d\n%s%s",
        workers, lines, DAEMON_HTTP);
}

static void
start(int workers)
{
    configure(workers, "");
    daemon_start(&d);
}

static void
expect_hello(void)
{
    char text[256];

    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_str_eq(text, "hello");
}

/* "-s add" or "-s remove" returns when it is done, and the log says so. */
static void
scale(const char *word, int workers)
{
    char line[64];

    snprintf(
        line, sizeof(line), "worker %s, %d workers", word[0] == 'a' ? "added" : "removed", workers);
    int before = daemon_log_count(&d, line);
    ck_assert_int_eq(daemon_run(&d, "-s", word, NULL), 0);
    ck_assert_int_eq(daemon_log_count(&d, line), before + 1);
}

/* It does not, and says why. */
static void
expect_refused(const char *word, const char *reason)
{
    ck_assert_int_eq(daemon_run(&d, "-s", word, NULL), 1);
    daemon_expect_output(&d, reason);
    ck_assert_int_gt(daemon_log_count(&d, reason), 0);
}

/* How many workers `reeve status` knows. */
static int
workers_in_status(void)
{
    int count = 0;

    ck_assert_int_eq(daemon_run_bare(&d, "status", "-p", d.prefix, "-c", d.conf, "-j", NULL), 0);
    for (const char *at = d.output; (at = strstr(at, "{\"worker\":")) != NULL; at++)
        count++;
    return count;
}

/* --- more and fewer -------------------------------------------------------------------- */

START_TEST(the_other_workers_stay)
{
    pid_t before[2], now[4];

    start(2);
    ck_assert_int_eq(daemon_children(d.master, before, 2), 2);
    scale("add", 3);
    scale("add", 4);
    daemon_wait_workers(&d, 4);
    ck_assert_int_eq(workers_in_status(), 4);
    expect_hello();
    scale("remove", 3);
    scale("remove", 2);
    daemon_wait_workers(&d, 2);
    ck_assert_int_eq(daemon_children(d.master, now, 4), 2);
    ck_assert_int_eq(now[0], before[0]);
    ck_assert_int_eq(now[1], before[1]);
    ck_assert_int_eq(workers_in_status(), 2);
    expect_hello();
}
END_TEST

START_TEST(each_signal_counts)
{
    start(1);
    for (int i = 2; i <= 6; i++) {
        char line[64];

        ck_assert_int_eq(kill(d.master, SIGTTIN), 0);
        snprintf(line, sizeof(line), "worker added, %d workers", i);
        daemon_wait_log(&d, line, 1);
    }
    for (int i = 5; i >= 1; i--) {
        char line[64];

        ck_assert_int_eq(kill(d.master, SIGTTOU), 0);
        snprintf(line, sizeof(line), "worker removed, %d workers", i);
        daemon_wait_log(&d, line, 1);
    }
    daemon_wait_workers(&d, 1);
    expect_hello();
}
END_TEST

START_TEST(there_is_always_one_worker)
{
    start(1);
    pid_t worker = daemon_worker(&d);
    expect_refused("remove", "that is the fewest there can be");
    ck_assert_int_eq(daemon_worker(&d), worker);
    expect_hello();
}
END_TEST

/* A worker that was added is one like the others. */
START_TEST(an_added_worker_that_dies_is_replaced)
{
    pid_t now[4];

    start(1);
    pid_t first = daemon_worker(&d);
    scale("add", 2);
    ck_assert_int_eq(daemon_children(d.master, now, 4), 2);
    ck_assert_int_eq(kill(now[0] == first ? now[1] : now[0], SIGKILL), 0);
    daemon_wait_log(&d, "worker 1 started", 2);
    daemon_wait_workers(&d, 2);
    expect_hello();
}
END_TEST

START_TEST(a_removed_worker_finishes_its_requests)
{
    static const char half[] = "GET /hello HTTP/1.1\r\nHost: x\r\n";
    enum { CLIENTS = 16 };
    char text[1024];
    int fds[CLIENTS];
    daemon_status_t status;

    start(4);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = daemon_connect(&d);
        ck_assert_int_ne(fds[i], -1);
        daemon_send(fds[i], half, strlen(half));
    }
    do
        daemon_status(&d, &status);
    while (status.reading != CLIENTS);
    for (int left = 3; left >= 1; left--)
        scale("remove", left);
    for (int i = 0; i < CLIENTS; i++) {
        daemon_send(fds[i], "\r\n", 2);
        ck_assert_int_eq(daemon_answer(fds[i], text, sizeof(text), 0), 200);
        close(fds[i]);
    }
    daemon_wait_workers(&d, 1);
    expect_hello();
}
END_TEST

/* A number that is taken away while its last worker still drains is given out again. */
START_TEST(a_number_comes_back_before_its_worker_has_gone)
{
    static const char half[] = "GET /hello HTTP/1.1\r\nHost: x\r\n";
    char text[1024];
    int fds[8];
    daemon_status_t status;

    start(2);
    for (int i = 0; i < 8; i++) {
        fds[i] = daemon_connect(&d);
        daemon_send(fds[i], half, strlen(half));
    }
    do
        daemon_status(&d, &status);
    while (status.reading != 8);
    for (int i = 0; i < 2; i++) {
        scale("remove", 1);
        scale("add", 2);
    }
    ck_assert_int_ge(workers_in_status(), 2); /* and those that drain */
    for (int i = 0; i < 8; i++) {
        daemon_send(fds[i], "\r\n", 2);
        ck_assert_int_eq(daemon_answer(fds[i], text, sizeof(text), 0), 200);
        close(fds[i]);
    }
    daemon_wait_workers(&d, 2);
    expect_hello();
}
END_TEST

/* --- and reloads ------------------------------------------------------------------------ */

START_TEST(the_number_stays_until_the_file_says_another)
{
    start(2);
    scale("add", 3);
    daemon_reload(&d);
    daemon_wait_workers(&d, 3);
    configure(2, "worker_shutdown_timeout = 50s\n");
    daemon_reload(&d);
    daemon_wait_workers(&d, 3);
    configure(4, "");
    daemon_reload(&d);
    daemon_wait_workers(&d, 4);
    scale("remove", 3);
    daemon_reload(&d);
    daemon_wait_workers(&d, 3);
    configure(2, "");
    daemon_reload(&d);
    daemon_wait_workers(&d, 2);
}
END_TEST

START_TEST(a_failed_reload_leaves_the_number)
{
    start(1);
    scale("add", 2);
    configure(3, "working_directory = /no/such/folder\n");
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload failed", 1);
    daemon_wait_workers(&d, 2);
    configure(1, "");
    daemon_reload(&d);
    daemon_wait_workers(&d, 2);
}
END_TEST

/* Workers that are forked from now on do not get ready before the file is gone. */
static const char *
hold(const char *variable, const char *lines)
{
    char text[256];
    const char *file = daemon_path(&d, "hold");

    setenv(variable, file, 1);
    daemon_preload(&d, "preload_worker");
    snprintf(text, sizeof(text), "working_directory = %s\n%s", d.prefix, lines);
    configure(1, text);
    daemon_start(&d);
    daemon_write(file, "", 0);
    return file;
}

START_TEST(during_a_reload_it_waits)
{
    const char *file = hold("RV_TEST_HOLD", "");

    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_workers(&d, 2);
    ck_assert_int_eq(kill(d.master, SIGTTIN), 0);
    daemon_settle(&d);
    ck_assert_int_eq(daemon_children(d.master, (pid_t[8]){ 0 }, 8), 2);
    ck_assert_int_eq(unlink(file), 0);
    daemon_wait_log(&d, "worker added, 2 workers", 1);
    ck_assert_int_eq(daemon_log_count(&d, "reload done, generation 2"), 1);
    daemon_wait_log(&d, "generation 1 is gone", 1);
    daemon_wait_workers(&d, 2);
}
END_TEST

START_TEST(a_reload_waits_for_it)
{
    const char *file = hold("RV_TEST_HOLD", "");

    ck_assert_int_eq(kill(d.master, SIGTTIN), 0);
    daemon_wait_workers(&d, 2);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_settle(&d);
    ck_assert_int_eq(daemon_log_count(&d, "reload of "), 0);
    ck_assert_int_eq(unlink(file), 0);
    daemon_wait_log(&d, "reload done, generation 2, 2 workers are ready", 1);
    ck_assert_int_eq(daemon_log_count(&d, "worker added, 2 workers"), 1);
    daemon_wait_log(&d, "generation 1 is gone", 1);
    daemon_wait_workers(&d, 2);
}
END_TEST

/* --- what does not work ------------------------------------------------------------------ */

START_TEST(a_worker_that_does_not_get_ready_is_taken_away)
{
    const char *file = hold("RV_TEST_HOLD", "worker_startup_timeout = 500ms\n");
    pid_t worker = daemon_worker(&d);

    expect_refused("add", "worker 1 was not ready within worker_startup_timeout");
    ck_assert_int_eq(unlink(file), 0); /* it was told to go, and learns it now */
    daemon_wait_workers(&d, 1);
    ck_assert_int_eq(daemon_worker(&d), worker);
    scale("add", 2);
    daemon_wait_workers(&d, 2);
    expect_hello();
}
END_TEST

START_TEST(a_worker_that_dies_at_first_is_tried_again)
{
    const char *file = hold("RV_TEST_DIE", "");

    ck_assert_int_eq(kill(d.master, SIGTTIN), 0);
    daemon_wait_log(&d, "worker 1 started", 2);
    ck_assert_int_eq(unlink(file), 0);
    daemon_wait_log(&d, "worker added, 2 workers", 1);
    daemon_wait_workers(&d, 2);
    expect_hello();
}
END_TEST

START_TEST(workers_that_were_told_to_finish_get_no_other)
{
    start(2);
    ck_assert_int_eq(kill(d.master, SIGWINCH), 0);
    daemon_wait_log(&d, "told to drain", 1);
    expect_refused("add", "the workers are told to drain");
    expect_refused("remove", "the workers are told to drain");
    daemon_wait_log(&d, "exited with code 0", 2);
    daemon_reload(&d);
    scale("add", 3);
    daemon_wait_workers(&d, 3);
    expect_hello();
}
END_TEST

START_TEST(a_daemon_that_is_told_to_quit_does_not_wait_for_it)
{
    const char *file = hold("RV_TEST_HOLD", "");

    ck_assert_int_eq(kill(d.master, SIGTTIN), 0);
    daemon_wait_workers(&d, 2);
    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    daemon_wait_log(&d, "adding a worker failed, there are 2: told to stop", 1);
    ck_assert_int_eq(unlink(file), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("scale");
    TCase *tc = daemon_case(s, "scale");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_other_workers_stay);
    tcase_add_test(tc, each_signal_counts);
    tcase_add_test(tc, there_is_always_one_worker);
    tcase_add_test(tc, an_added_worker_that_dies_is_replaced);
    tcase_add_test(tc, a_removed_worker_finishes_its_requests);
    tcase_add_test(tc, a_number_comes_back_before_its_worker_has_gone);
    tcase_add_test(tc, the_number_stays_until_the_file_says_another);
    tcase_add_test(tc, a_failed_reload_leaves_the_number);
    tcase_add_test(tc, during_a_reload_it_waits);
    tcase_add_test(tc, a_reload_waits_for_it);
    tcase_add_test(tc, a_worker_that_does_not_get_ready_is_taken_away);
    tcase_add_test(tc, a_worker_that_dies_at_first_is_tried_again);
    tcase_add_test(tc, workers_that_were_told_to_finish_get_no_other);
    tcase_add_test(tc, a_daemon_that_is_told_to_quit_does_not_wait_for_it);
    return daemon_main(s);
}
