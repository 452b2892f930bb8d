/*
 * test_pending: what dies, or is told to, while a new generation gets ready.
 */
#include "mesh.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 4 };

static daemon_t d;
static mesh_t first, now;
static char hold[256];

/* A daemon with a new generation that gets ready only when hold is removed. */
static void
setup(void)
{
    daemon_setup(&d);
    snprintf(hold, sizeof(hold), "%shold", d.prefix);
    setenv("RV_TEST_HOLD", hold, 1);
    daemon_preload(&d, "preload_worker");
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nworking_directory = %s\n"
        "error_log = logs/error.log notice\npid = logs/reeve.pid\n%s",
        WORKERS, d.prefix, DAEMON_HTTP);
    daemon_start(&d);
    mesh_wait(&d, WORKERS, &first);
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static void
begin_reload(void)
{
    daemon_write(hold, "", 0);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "generation 2", WORKERS);
    mesh_read(&d, &now);
    ck_assert_int_eq(mesh_generation_count(&now, 2), WORKERS);
}

static void
let_go(void)
{
    ck_assert_int_eq(unlink(hold), 0);
}

static pid_t
worker_of(int generation, int worker)
{
    for (int i = 1; i < now.count; i++) {
        if (now.process[i].generation == generation && now.process[i].worker == worker)
            return now.process[i].pid;
    }
    ck_abort_msg("there is no worker %d in generation %d", worker, generation);
}

static void
expect_hello(void)
{
    char text[1024];

    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}

START_TEST(a_new_worker_that_is_killed_undoes_the_reload)
{
    begin_reload();
    ck_assert_int_eq(kill(worker_of(2, _i), SIGKILL), 0);
    daemon_wait_log(&d, "was killed by signal 9", 1);
    let_go();
    daemon_wait_log(&d, "reload failed, generation 1 goes on", 1);
    mesh_wait_same_kinds(&d, WORKERS, &first, &now);
    mesh_expect_same(&first, &now);
    ck_assert_int_eq(daemon_log_count(&d, "reload done"), 0);

    expect_hello();
    daemon_reload(&d);
    mesh_wait_same_kinds(&d, WORKERS, &first, &now);
    ck_assert_int_eq(mesh_generation_count(&now, 3), WORKERS);
}
END_TEST

START_TEST(all_new_workers_that_are_killed_undo_the_reload)
{
    begin_reload();
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(kill(worker_of(2, i), SIGKILL), 0);
    daemon_wait_log(&d, "reload failed, generation 1 goes on", 1);
    mesh_wait_same_kinds(&d, WORKERS, &first, &now);
    mesh_expect_same(&first, &now);
    expect_hello();
}
END_TEST

/* Its successor is of the old generation, gets ready with the new, and goes. */
START_TEST(a_worker_in_force_that_is_killed_does_not_disturb_the_reload)
{
    begin_reload();
    ck_assert_int_eq(kill(worker_of(1, _i), SIGKILL), 0);
    daemon_wait_log(&d, "generation 1", WORKERS + 1);
    expect_hello();
    let_go();
    daemon_wait_log(&d, "reload done, generation 2", 1);
    mesh_wait_same_kinds(&d, WORKERS, &first, &now);
    ck_assert_int_eq(mesh_generation_count(&now, 2), WORKERS);
    daemon_wait_log(&d, "generation 1 is gone", 1);
    expect_hello();
}
END_TEST

START_TEST(a_request_in_flight_is_answered_when_a_reload_is_cut_short)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
    const size_t length = sizeof(request) - 1;
    char text[1024];
    int fd = daemon_connect(&d);

    daemon_send(fd, request, length);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    daemon_send(fd, request, length - 1);
    begin_reload();
    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    daemon_wait_log(&d, "finishes 1 connections", 1);
    let_go();
    daemon_send(fd, request + length - 1, 1);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    ck_assert_ptr_nonnull(strstr(text, "\r\nConnection: close\r\n"));
    close(fd);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
    ck_assert_int_eq(daemon_log_count(&d, "reload done"), 0);
}
END_TEST

static int
is_dead(daemon_t *unused, void *data)
{
    (void) unused;
    return !daemon_alive(*(const pid_t *) data);
}

START_TEST(no_generation_outlives_a_master_that_is_killed)
{
    begin_reload();
    ck_assert_int_eq(kill(d.master, SIGKILL), 0);
    daemon_wait_gone(&d);
    let_go();
    for (int i = 1; i < now.count; i++)
        daemon_wait(&d, is_dead, &now.process[i].pid, "the worker has gone too");
    ck_assert_int_eq(unlink(d.pid), 0); /* which nobody was left to remove */
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("pending");
    TCase *tc = daemon_case(s, "pending");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_new_worker_that_is_killed_undoes_the_reload, 0, WORKERS);
    tcase_add_test(tc, all_new_workers_that_are_killed_undo_the_reload);
    tcase_add_loop_test(
        tc, a_worker_in_force_that_is_killed_does_not_disturb_the_reload, 0, WORKERS);
    tcase_add_test(tc, a_request_in_flight_is_answered_when_a_reload_is_cut_short);
    tcase_add_test(tc, no_generation_outlives_a_master_that_is_killed);
    return daemon_main(s);
}
