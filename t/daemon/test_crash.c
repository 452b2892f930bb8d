/*
 * test_crash: processes that die, and processes that cannot be made.
 */
#include "daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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

#define MAIN "[main]\nerror_log = logs/error.log info\n"

static const char half[] = "GET /hello HTTP/1.1\r\nHost: x\r\n";
static const char whole[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";

static double
now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static void
expect_hello(void)
{
    char text[1024];

    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_str_eq(text, "hello");
}

static void
start_workers(int count)
{
    daemon_conff(
        &d, MAIN "worker_processes = %d\nworking_directory = %s\n%s", count, d.prefix, DAEMON_HTTP);
    daemon_start(&d);
}

static int
has_new_worker(daemon_t *daemon, void *data)
{
    pid_t pids[16];
    int n = daemon_children(daemon->master, pids, 16);

    for (int i = 0; i < n; i++) {
        if (pids[i] == *(pid_t *) data)
            return 0;
    }
    return 1;
}

/* Kills a worker and waits until it is reaped and as many as before live. */
static void
kill_worker(pid_t pid, int count)
{
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    daemon_wait(&d, has_new_worker, &pid, "the worker is reaped");
    daemon_wait_workers(&d, count);
}

/* --- the master dies --------------------------------------------------------------------- */

START_TEST(without_their_master_workers_finish_and_exit)
{
    char text[1024];
    pid_t pids[4];

    start_workers(2);
    int fd = daemon_connect(&d);
    ck_assert_int_ne(fd, -1);
    daemon_send(fd, half, strlen(half));
    daemon_status_t status;
    do
        daemon_status(&d, &status);
    while (status.reading != 1);

    ck_assert_int_eq(daemon_children(d.master, pids, 4), 2);
    ck_assert_int_eq(kill(d.master, SIGKILL), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 128 + SIGKILL);
    daemon_wait_log(&d, "the master process is gone", 2);
    ck_assert_int_eq(daemon_connect(&d), -1);

    daemon_send(fd, "\r\n", 2);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    close(fd);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(daemon_wait_process(&d, pids[i]), 0);
    ck_assert_int_eq(unlink(d.pid), 0);
}
END_TEST

START_TEST(a_new_daemon_starts_while_orphans_still_finish)
{
    char text[1024];

    start_workers(1);
    int fd = daemon_connect(&d);
    ck_assert_int_ne(fd, -1);
    daemon_send(fd, half, strlen(half));
    expect_hello(); /* so it has been accepted: there is one worker, first come, first served */
    pid_t orphan = daemon_worker(&d);
    ck_assert_int_eq(kill(d.master, SIGKILL), 0);
    daemon_wait_gone(&d);
    daemon_wait_log(&d, "the master process is gone", 1);

    daemon_start(&d);
    expect_hello();
    ck_assert(daemon_alive(orphan));
    daemon_send(fd, "\r\n", 2);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    close(fd);
    ck_assert_int_eq(daemon_wait_process(&d, orphan), 0);
    expect_hello();
}
END_TEST

START_TEST(orphans_do_not_wait_longer_than_worker_shutdown_timeout)
{
    daemon_conff(&d, MAIN "worker_processes = 1\nworker_shutdown_timeout = 200ms\n%s", DAEMON_HTTP);
    daemon_start(&d);
    int fd = daemon_connect(&d);
    ck_assert_int_ne(fd, -1);
    daemon_send(fd, half, strlen(half));
    expect_hello();
    pid_t orphan = daemon_worker(&d);
    ck_assert_int_eq(kill(d.master, SIGKILL), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(daemon_wait_process(&d, orphan), 0);
    ck_assert_int_eq(daemon_log_count(&d, "worker_shutdown_timeout is over, 1 connections"), 1);
    close(fd);
    ck_assert_int_eq(unlink(d.pid), 0);
}
END_TEST

/* Named memory does not go with its processes. What a file holds counts on. */
START_TEST(memory_that_a_killed_daemon_has_left_is_taken_over)
{
    static const char *const types[] = { "posix", "file\npath = logs/stats.zone" };
    static const unsigned kept[] = { 0, 1 }; /* of the hello */
    daemon_status_t status;
    pid_t pids[4];

    daemon_conff(
        &d, MAIN "worker_processes = 2\n[zone stats]\ntype = %s\n%s", types[_i], DAEMON_HTTP);
    daemon_start(&d);
    expect_hello();
    ck_assert_int_eq(daemon_children(d.master, pids, 4), 2);
    ck_assert_int_eq(kill(d.master, SIGKILL), 0);
    for (int i = 0; i < 2; i++)
        kill(pids[i], SIGKILL);
    daemon_wait_gone(&d);
    for (int i = 0; i < 2; i++)
        daemon_wait_process(&d, pids[i]);

    daemon_start(&d);
    daemon_status(&d, &status);
    ck_assert_uint_eq(status.accepts, kept[_i] + 1);
    ck_assert_uint_eq(status.active, 1);
}
END_TEST

/* --- a worker dies ------------------------------------------------------------------------- */

START_TEST(a_killed_worker_is_replaced_at_once_and_told_of_once)
{
    char wanted[128];
    pid_t pids[4], after[4];

    start_workers(2);
    ck_assert_int_eq(daemon_children(d.master, pids, 4), 2);
    daemon_settle(&d);
    int before = daemon_fd_count(d.master);
    kill_worker(pids[0], 2);
    expect_hello();
    snprintf(wanted, sizeof(wanted),
        "[error] %ld#0: worker 0 (pid %ld) was killed by signal 9 after ", (long) d.master,
        (long) pids[0]);
    ck_assert_int_eq(daemon_log_count(&d, wanted), 1);
    ck_assert_int_eq(daemon_log_count(&d, "[error]"), 1);
    ck_assert_int_eq(daemon_log_count(&d, "worker 0 started"), 2);
    ck_assert_int_eq(daemon_children(d.master, after, 4), 2);
    ck_assert_int_eq(after[0], pids[1]);
    daemon_wait_fd_count(&d, d.master, before);
}
END_TEST

START_TEST(counters_outlive_a_killed_worker_and_its_connections_do_not_count)
{
    daemon_status_t before, after;
    char text[1024];

    start_workers(1);
    int kept = daemon_connect(&d);
    ck_assert_int_ne(kept, -1);
    daemon_send(kept, whole, strlen(whole));
    ck_assert_int_eq(daemon_answer(kept, text, sizeof(text), 0), 200);
    int reading = daemon_connect(&d);
    ck_assert_int_ne(reading, -1);
    daemon_send(reading, half, strlen(half));
    do
        daemon_status(&d, &before);
    while (before.reading != 1);
    ck_assert_uint_eq(before.active, 3);
    ck_assert_uint_eq(before.waiting, 1);

    kill_worker(daemon_worker(&d), 1);
    daemon_status(&d, &after);
    ck_assert_uint_eq(after.active, 1);
    ck_assert_uint_eq(after.writing, 1);
    ck_assert_uint_eq(after.accepts, before.accepts + 1);
    ck_assert_uint_eq(after.handled, before.handled + 1);
    ck_assert_uint_eq(after.requests, before.requests + 1);
    close(kept);
    close(reading);
}
END_TEST

START_TEST(a_worker_that_dies_while_it_drains_is_told_of_and_not_replaced)
{
    start_workers(1);
    int fd = daemon_connect(&d);
    ck_assert_int_ne(fd, -1);
    daemon_send(fd, half, strlen(half));
    expect_hello();
    pid_t old = daemon_worker(&d);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload done", 1);
    ck_assert(daemon_alive(old));
    ck_assert_int_eq(kill(old, SIGKILL), 0);
    daemon_wait_log(&d, "generation 1 is gone", 1);
    daemon_wait_workers(&d, 1);
    ck_assert_int_eq(daemon_log_count(&d, "was killed by signal 9"), 1);
    ck_assert_int_eq(daemon_log_count(&d, "worker 0 started"), 2);
    close(fd);
}
END_TEST

/* Without a delay hundreds would die in that time. It doubles from 100 ms on: the
 * sixth death comes after 100 + 200 + 400 ms, or later where the first worker
 * was killed so young that its death counts too. */
START_TEST(a_worker_that_dies_at_once_is_tried_again_less_and_less_often)
{
    const char *die = daemon_path(&d, "die");

    setenv("RV_TEST_DIE", die, 1);
    daemon_preload(&d, "preload_worker");
    start_workers(1);
    daemon_write(die, "", 0);
    double begin = now();
    ck_assert_int_eq(kill(daemon_worker(&d), SIGKILL), 0);
    daemon_wait_log(&d, "was killed by signal 9", 6);
    double took = now() - begin;
    ck_assert_msg(took >= 0.7, "six deaths in %.3f s", took);

    ck_assert_int_eq(unlink(die), 0);
    daemon_wait_log(&d, "worker 0 started", 7);
    daemon_wait_workers(&d, 1);
    expect_hello();
}
END_TEST

START_TEST(a_worker_that_dies_at_once_spoils_a_reload_and_nothing_else)
{
    const char *die = daemon_path(&d, "die");

    setenv("RV_TEST_DIE", die, 1);
    daemon_preload(&d, "preload_worker");
    start_workers(2);
    pid_t worker = daemon_worker(&d);
    daemon_write(die, "", 0);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload failed, generation 1 goes on: worker ", 1);
    ck_assert_int_ge(daemon_log_count(&d, "was killed by signal 9 before it was ready"), 1);
    daemon_wait_workers(&d, 2);
    ck_assert_int_eq(daemon_worker(&d), worker);
    expect_hello();
    ck_assert_int_eq(unlink(die), 0);
    daemon_reload(&d);
}
END_TEST

/* --- fork fails ------------------------------------------------------------------------------- */

static const char *
no_fork(void)
{
    const char *file = daemon_path(&d, "nofork");

    setenv("RV_TEST_NO_FORK", file, 1);
    daemon_preload(&d, "preload_fork");
    return file;
}

START_TEST(a_worker_that_cannot_be_forked_is_tried_again)
{
    const char *file = no_fork();
    pid_t pids[4];

    start_workers(2);
    daemon_settle(&d);
    int before = daemon_fd_count(d.master);
    ck_assert_int_eq(daemon_children(d.master, pids, 4), 2);
    int other = daemon_fd_count(pids[1]);
    daemon_write(file, "", 0);
    ck_assert_int_eq(kill(pids[0], SIGKILL), 0);
    daemon_wait_log(&d,
        "starting worker 0 failed, next try in 100 ms (11: Resource temporarily unavailable)", 1);
    daemon_wait_log(&d, "starting worker 0 failed, next try in 200 ms", 1);
    daemon_wait_log(&d, "starting worker 0 failed, next try in 400 ms", 1);
    daemon_wait_workers(&d, 1);
    expect_hello();
    ck_assert_int_lt(daemon_fd_count(d.master), before);

    ck_assert_int_eq(unlink(file), 0);
    daemon_wait_workers(&d, 2);
    expect_hello();
    daemon_wait_fd_count(&d, d.master, before);
    daemon_wait_fd_count(&d, pids[1], other);
    ck_assert_int_eq(daemon_log_count(&d, "worker 0 started"), 2);
}
END_TEST

START_TEST(a_reload_without_forks_leaves_the_old_generation)
{
    const char *file = no_fork();

    daemon_conff(&d, MAIN "worker_processes = 2\nworker_startup_timeout = 300ms\n%s", DAEMON_HTTP);
    daemon_start(&d);
    daemon_settle(&d);
    int before = daemon_fd_count(d.master);
    daemon_write(file, "", 0);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d,
        "reload failed, generation 1 goes on: 2 of 2 workers were not ready within "
        "worker_startup_timeout",
        1);
    daemon_wait_workers(&d, 2);
    daemon_wait_fd_count(&d, d.master, before);
    expect_hello();

    ck_assert_int_eq(unlink(file), 0);
    daemon_reload(&d);
}
END_TEST

START_TEST(a_start_without_forks_fails_with_a_message)
{
    const char *file = no_fork();

    daemon_conff(&d, MAIN "worker_startup_timeout = 300ms\nworker_processes = 2\n%s", DAEMON_HTTP);
    daemon_write(file, "", 0);
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    ck_assert_str_eq(d.output,
        "reeve: [emerg] going to the background failed (11: Resource temporarily unavailable)\n");

    ck_assert_int_eq(daemon_run(&d, "-g", "daemon = off", NULL), 1);
    daemon_expect_output(
        &d, "starting worker 0 failed, next try in 100 ms (11: Resource temporarily unavailable)");
    daemon_expect_output(
        &d, "start failed: 2 of 2 workers were not ready within worker_startup_timeout");
    ck_assert_int_eq(access(d.pid, F_OK), -1);
    ck_assert_int_eq(daemon_connect(&d), -1);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("crash");
    TCase *tc = daemon_case(s, "crash");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, without_their_master_workers_finish_and_exit);
    tcase_add_test(tc, a_new_daemon_starts_while_orphans_still_finish);
    tcase_add_test(tc, orphans_do_not_wait_longer_than_worker_shutdown_timeout);
    tcase_add_loop_test(tc, memory_that_a_killed_daemon_has_left_is_taken_over, 0, 2);
    tcase_add_test(tc, a_killed_worker_is_replaced_at_once_and_told_of_once);
    tcase_add_test(tc, counters_outlive_a_killed_worker_and_its_connections_do_not_count);
    tcase_add_test(tc, a_worker_that_dies_while_it_drains_is_told_of_and_not_replaced);
    tcase_add_test(tc, a_worker_that_dies_at_once_is_tried_again_less_and_less_often);
    tcase_add_test(tc, a_worker_that_dies_at_once_spoils_a_reload_and_nothing_else);
    tcase_add_test(tc, a_worker_that_cannot_be_forked_is_tried_again);
    tcase_add_test(tc, a_reload_without_forks_leaves_the_old_generation);
    tcase_add_test(tc, a_start_without_forks_fails_with_a_message);
    return daemon_main(s);
}
