/*
 * test_drain: how a worker finishes, and what that means to its clients.
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

static void
expect_gone(void)
{
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
    ck_assert_int_eq(access(d.pid, F_OK), -1);
    ck_assert_int_eq(daemon_connect(&d), -1);
    ck_assert_int_eq(daemon_log_count(&d, "[error]"), 0);
}

static const char half[] = "GET /hello HTTP/1.1\r\nHost: x\r\n";

/* One worker and short times, so that no test has to wait for long. */
static void
start_one(const char *shutdown_timeout)
{
    daemon_conff(&d,
        "[main]\n"
        "worker_processes = 1\n"
        "error_log = logs/error.log info\n"
        "worker_shutdown_timeout = %s\n"
        "[http]\n"
        "listen = 127.0.0.1:%d\n"
        "keepalive_min_timeout = 300ms\n"
        "keepalive_requests = 1000000\n"
        "[location /hello]\n"
        "handler = return\n"
        "return = 200 hello\n"
        "[location /stub_status]\n"
        "handler = stub_status\n"
        "[location /metrics]\n"
        "handler = metrics\n",
        shutdown_timeout, d.port);
    daemon_start(&d);
}

/* A connection that the worker has taken on, with these bytes sent. */
static int
open_connection(const char *bytes)
{
    static unsigned opened;
    daemon_status_t status;
    int fd = daemon_connect(&d);

    ck_assert_int_ne(fd, -1);
    daemon_send(fd, bytes, strlen(bytes));
    opened++;
    do
        daemon_status(&d, &status);
    while (status.active < opened + 1 || (bytes[0] != '\0' && status.reading < 1));
    return fd;
}

static int
is_shutting_down(daemon_t *daemon, void *data)
{
    return daemon_count_titles(daemon, "reeve: worker process is shutting down") == *(int *) data;
}

static void
wait_draining(int count)
{
    daemon_wait(&d, is_shutting_down, &count, "a worker is shutting down");
}

START_TEST(a_request_in_flight_is_answered_before_the_end)
{
    char text[1024];

    start_one("60s");
    int fd = open_connection(half);
    daemon_signal(&d, "quit");
    wait_draining(1);
    ck_assert_int_eq(daemon_connect(&d), -1);
    ck_assert(daemon_alive(d.master));

    daemon_send(fd, "\r\n", 2);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    ck_assert_ptr_nonnull(strstr(text, "\r\nConnection: close\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\nhello"));
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);
    expect_gone();
}
END_TEST

START_TEST(a_request_in_flight_is_answered_by_the_old_generation)
{
    char text[1024];

    start_one("60s");
    int fd = open_connection(half);
    pid_t old = daemon_worker(&d);
    daemon_signal(&d, "reload");
    daemon_wait_log(&d, "reload done", 1);
    wait_draining(1);
    ck_assert_int_eq(daemon_count_titles(&d, "reeve: worker process"), 1);
    ck_assert(daemon_alive(old));
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);

    daemon_send(fd, "\r\n", 2);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    close(fd);
    daemon_wait_log(&d, "generation 1 is gone", 1);
    daemon_wait_workers(&d, 1);
    ck_assert(!daemon_alive(old));
}
END_TEST

START_TEST(stop_does_not_wait_for_a_request)
{
    char text[1024];

    start_one("60s");
    int fd = open_connection(half);
    daemon_signal(&d, "stop");
    expect_gone();
    ck_assert_int_le(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);
}
END_TEST

START_TEST(stop_ends_a_daemon_that_is_quitting)
{
    start_one("60s");
    int fd = open_connection(half);
    daemon_signal(&d, "quit");
    wait_draining(1);
    daemon_signal(&d, "stop");
    expect_gone();
    close(fd);
}
END_TEST

static const char whole[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";

/* A kept connection that has been answered once. */
static int
open_kept(void)
{
    char text[1024];
    int fd = daemon_connect(&d);

    ck_assert_int_ne(fd, -1);
    daemon_send(fd, whole, strlen(whole));
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    ck_assert_ptr_null(strstr(text, "Connection: close"));
    return fd;
}

static double
now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

START_TEST(a_kept_connection_gets_its_time_and_is_closed_then)
{
    char text[1024];

    start_one("60s");
    int fd = open_kept();
    double begin = now();
    daemon_signal(&d, "quit");
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    ck_assert_msg(now() - begin >= 0.3, "closed after %.3f s", now() - begin);
    close(fd);
    expect_gone();
    ck_assert_int_eq(daemon_log_count(&d, "worker_shutdown_timeout"), 0);
}
END_TEST

/* However long the connection has been there. */
START_TEST(a_kept_connection_may_ask_once_more_while_its_worker_drains)
{
    char text[1024];

    start_one("60s");
    int fd = open_kept();
    for (double begin = now(); now() < begin + 0.4;) {
        daemon_send(fd, whole, strlen(whole));
        ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    }
    daemon_signal(&d, "quit");
    daemon_wait_log(&d, "told to quit, worker 0", 1);
    daemon_send(fd, whole, strlen(whole));
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    ck_assert_ptr_nonnull(strstr(text, "\r\nConnection: close\r\n"));
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);
    expect_gone();
}
END_TEST

START_TEST(a_connection_that_never_asked_is_closed_without_a_word)
{
    char text[1024];

    start_one("60s");
    int fd = open_connection("");
    daemon_signal(&d, "quit");
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);
    expect_gone();
}
END_TEST

START_TEST(worker_shutdown_timeout_closes_what_is_left)
{
    char text[1024];

    start_one("300ms");
    int fd = open_connection(half);
    daemon_signal(&d, "quit");
    ck_assert_int_eq(daemon_read_end(fd, text, sizeof(text)), 0);
    close(fd);
    expect_gone();
    ck_assert_int_eq(
        daemon_log_count(&d, "[warn] "), daemon_log_count(&d, "worker_shutdown_timeout is over"));
    ck_assert_int_eq(
        daemon_log_count(&d, "worker_shutdown_timeout is over, 1 connections closed"), 1);
}
END_TEST

static void
expect_aborted(unsigned count)
{
    char text[65536], wanted[64];

    ck_assert_int_eq(daemon_get(&d, "/metrics", text, sizeof(text)), 200);
    snprintf(wanted, sizeof(wanted), "\nreeve_connections_aborted_total %u\n", count);
    ck_assert_ptr_nonnull(strstr(text, wanted));
}

START_TEST(what_worker_shutdown_timeout_closes_is_counted)
{
    char text[1024];

    start_one("300ms");
    int fds[] = { open_connection(half), open_connection(half) };
    expect_aborted(0);
    daemon_reload(&d);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(daemon_read_end(fds[i], text, sizeof(text)), 0);
        close(fds[i]);
    }
    expect_aborted(2);
    ck_assert_int_eq(
        daemon_log_count(&d, "worker_shutdown_timeout is over, 2 connections closed"), 1);
}
END_TEST

/* --- connections that nobody has accepted yet --------------------------------------------- */

enum { WAITING = 24 };

/* Sends a signal to all workers. */
static void
signal_workers(const pid_t *pids, int count, int number)
{
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(kill(pids[i], number), 0);
}

/* Clients come while all old workers sleep; then those wake up, to drain. */
static void
reload_while_clients_wait(int port, const char *conf)
{
    char text[1024];
    pid_t pids[8];
    int fds[WAITING], count = daemon_children(d.master, pids, 8);

    signal_workers(pids, count, SIGSTOP);
    for (int i = 0; i < WAITING; i++) {
        fds[i] = daemon_connect_port(port);
        ck_assert_int_ne(fds[i], -1);
        daemon_send(fds[i], whole, strlen(whole));
    }
    daemon_conf(&d, conf);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload done", 1);
    signal_workers(pids, count, SIGCONT);
    for (int i = 0; i < WAITING; i++) {
        ck_assert_msg(daemon_answer(fds[i], text, sizeof(text), 0) == 200,
            "client %d of %d was not answered", i, WAITING);
        close(fds[i]);
    }
    daemon_wait_log(&d, "generation 1 is gone", 1);
}

#define CONF(workers, listen)                                                                  \
    "[main]\nerror_log = logs/error.log info\nworker_processes = " workers "\n[http]\n" listen \
    "\n[location /hello]\nhandler = return\nreturn = 200 hello\n"

START_TEST(connections_that_wait_are_served_though_their_worker_drains)
{
    daemon_conf(&d, CONF("4", "listen = 127.0.0.1:%PORT% reuseport"));
    daemon_start(&d);
    reload_while_clients_wait(d.port, CONF("1", "listen = 127.0.0.1:%PORT% reuseport"));
}
END_TEST

START_TEST(connections_that_wait_are_served_though_their_address_is_given_up)
{
    char conf[512];
    int other = daemon_free_port();

    snprintf(
        conf, sizeof(conf), CONF("1", "listen = 127.0.0.1:%%PORT%%\nlisten = 127.0.0.1:%d"), other);
    daemon_conf(&d, conf);
    daemon_start(&d);
    reload_while_clients_wait(other, CONF("1", "listen = 127.0.0.1:%PORT%"));
    ck_assert_int_eq(daemon_connect_port(other), -1);
}
END_TEST

/* --- signals to a worker ------------------------------------------------------------------------ */

START_TEST(a_worker_that_is_told_to_quit_drains_and_is_replaced)
{
    char text[1024];

    start_one("60s");
    int fd = open_connection(half);
    pid_t worker = daemon_worker(&d);
    ck_assert_int_eq(kill(worker, SIGQUIT), 0);
    wait_draining(1);
    daemon_send(fd, "\r\n", 2);
    ck_assert_int_eq(daemon_answer(fd, text, sizeof(text), 0), 200);
    close(fd);
    daemon_wait_log(&d, "worker 0 started", 2);
    daemon_wait_workers(&d, 1);
    ck_assert_int_ne(daemon_worker(&d), worker);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}
END_TEST

START_TEST(signals_that_are_the_masters_do_a_worker_no_harm)
{
    char text[1024];

    start_one("60s");
    pid_t worker = daemon_worker(&d);
    ck_assert_int_eq(kill(worker, SIGHUP), 0);
    ck_assert_int_eq(kill(worker, SIGUSR1), 0);
    ck_assert_int_eq(kill(worker, SIGPIPE), 0);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_int_eq(daemon_worker(&d), worker);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("drain");
    TCase *tc = daemon_case(s, "drain");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_request_in_flight_is_answered_before_the_end);
    tcase_add_test(tc, a_request_in_flight_is_answered_by_the_old_generation);
    tcase_add_test(tc, stop_does_not_wait_for_a_request);
    tcase_add_test(tc, stop_ends_a_daemon_that_is_quitting);
    tcase_add_test(tc, a_kept_connection_gets_its_time_and_is_closed_then);
    tcase_add_test(tc, a_kept_connection_may_ask_once_more_while_its_worker_drains);
    tcase_add_test(tc, a_connection_that_never_asked_is_closed_without_a_word);
    tcase_add_test(tc, worker_shutdown_timeout_closes_what_is_left);
    tcase_add_test(tc, what_worker_shutdown_timeout_closes_is_counted);
    tcase_add_test(tc, connections_that_wait_are_served_though_their_worker_drains);
    tcase_add_test(tc, connections_that_wait_are_served_though_their_address_is_given_up);
    tcase_add_test(tc, a_worker_that_is_told_to_quit_drains_and_is_replaced);
    tcase_add_test(tc, signals_that_are_the_masters_do_a_worker_no_harm);
    return daemon_main(s);
}
