/*
 * test_start_fail: a start that does not work leaves a message and nothing else;
 * what another daemon has left behind does not hinder it.
 */
#include "daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
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
expect_nothing_left(void)
{
    ck_assert_int_eq(access(d.pid, F_OK), -1);
    ck_assert_int_eq(daemon_connect(&d), -1);
}

START_TEST(a_worker_that_cannot_start_is_a_failed_start)
{
    daemon_conff(
        &d, "[main]\nworking_directory = /no/such/folder\nworker_processes = 2\n%s", DAEMON_HTTP);
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    daemon_expect_output(&d,
        "changing to working_directory \"/no/such/folder\" failed (2: No such file or directory)");
    daemon_expect_output(&d, "reeve: [emerg] start failed: worker ");
    expect_nothing_left();
}
END_TEST

START_TEST(a_lone_process_that_cannot_start_is_a_failed_start)
{
    daemon_conff(
        &d, "[main]\nmaster_process = off\nworking_directory = /no/such/folder\n%s", DAEMON_HTTP);
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    daemon_expect_output(&d, "changing to working_directory \"/no/such/folder\" failed");
    expect_nothing_left();
}
END_TEST

/* Another daemon's folder and configuration, for this port. */
static void
copy_daemon(daemon_t *other, const char *listen)
{
    daemon_setup(other);
    daemon_conff(other,
        "[http]\nlisten = unix:s.sock\nlisten = %s\n[location /]\nhandler = stub_status\n", listen);
}

START_TEST(a_taken_port_is_told_with_address_and_reason)
{
    daemon_t other;
    char wanted[256];

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    snprintf(wanted, sizeof(wanted), "127.0.0.1:%d", d.port);
    copy_daemon(&other, wanted);
    ck_assert_int_eq(daemon_run(&other, NULL), 1);
    snprintf(wanted, sizeof(wanted),
        "reeve: [emerg] bind() to \"127.0.0.1:%d\" failed (98: Address already in use)\n", d.port);
    ck_assert_str_eq(other.output, wanted);
    ck_assert_int_eq(access(other.pid, F_OK), -1);
    ck_assert_int_eq(access(daemon_path(&other, "s.sock"), F_OK), -1);
    ck_assert_int_eq(daemon_children(getpid(), &other.master, 1), 1); /* the first daemon */
    other.master = 0;
    ck_assert_int_eq(daemon_run(&d, "-s", "stop", NULL), 0);
    daemon_wait_gone(&d);
    daemon_teardown(&other);
}
END_TEST

START_TEST(a_second_start_names_the_running_process)
{
    char wanted[256], text[256];

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    snprintf(wanted, sizeof(wanted), "reeve: [emerg] already running, pid %ld, by \"%s\"\n",
        (long) d.master, d.pid);
    ck_assert_str_eq(d.output, wanted);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_int_eq(access(d.pid, F_OK), 0);
}
END_TEST

START_TEST(a_pid_file_of_a_killed_master_is_replaced)
{
    pid_t pids[2];

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    ck_assert_int_eq(daemon_children(d.master, pids, 2), 2);
    ck_assert_int_eq(kill(d.master, SIGKILL), 0);
    daemon_wait_gone(&d);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(daemon_wait_process(&d, pids[i]), 0);
    ck_assert_int_eq(access(d.pid, F_OK), 0);
    daemon_start(&d);
}
END_TEST

/* The pid in the file belongs to somebody: only the lock tells who holds it. */
START_TEST(a_pid_file_with_the_number_of_another_process_is_replaced)
{
    char text[32];

    snprintf(text, sizeof(text), "%ld\n", (long) getpid());
    daemon_write(d.pid, text, strlen(text));
    daemon_conf(&d, DAEMON_CONF);
    ck_assert_int_eq(daemon_run(&d, "-s", "quit", NULL), 1);
    daemon_start(&d);
    ck_assert_int_ne(d.master, getpid());
}
END_TEST

START_TEST(a_pid_file_that_cannot_be_written_is_a_failed_start)
{
    daemon_conff(&d, "[main]\npid = no/such/folder/reeve.pid\n%s", DAEMON_HTTP);
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    daemon_expect_output(&d, "no/such/folder/reeve.pid\" failed (2: No such file or directory)");
    expect_nothing_left();
}
END_TEST

START_TEST(a_signal_during_the_start_ends_it_and_the_command_fails)
{
    const char *hold = daemon_path(&d, "hold");

    setenv("RV_TEST_HOLD", hold, 1);
    daemon_write(hold, "", 0);
    daemon_preload(&d, "preload_worker");
    daemon_conff(
        &d, "[main]\nworking_directory = %s\nworker_processes = 2\n%s", d.prefix, DAEMON_HTTP);
    pid_t command = daemon_launch(&d, NULL);
    daemon_wait_master(&d);
    daemon_wait_workers(&d, 2);
    ck_assert_int_eq(kill(d.master, _i), 0);
    ck_assert_int_eq(unlink(hold), 0);
    ck_assert_int_eq(daemon_wait_process(&d, command), 1);
    daemon_wait_process(&d, d.master);
    d.master = 0;
    ck_assert_int_eq(daemon_file_count(d.terminal, "reeve: [emerg] start failed: told to "), 1);
    expect_nothing_left();
}
END_TEST

START_TEST(a_master_that_dies_during_the_start_is_told_of)
{
    const char *hold = daemon_path(&d, "hold");
    char wanted[128];
    pid_t pids[4];

    setenv("RV_TEST_HOLD", hold, 1);
    daemon_write(hold, "", 0);
    daemon_preload(&d, "preload_worker");
    daemon_conff(
        &d, "[main]\nworking_directory = %s\nworker_processes = 2\n%s", d.prefix, DAEMON_HTTP);
    pid_t command = daemon_launch(&d, NULL);
    daemon_wait_master(&d);
    daemon_wait_workers(&d, 2);
    ck_assert_int_eq(daemon_children(d.master, pids, 4), 2);
    ck_assert_int_eq(kill(d.master, SIGKILL), 0);
    ck_assert_int_eq(daemon_wait_process(&d, command), 1);
    snprintf(wanted, sizeof(wanted), "reeve: [emerg] master process %ld exited on signal 9\n",
        (long) d.master);
    ck_assert_int_eq(daemon_file_count(d.terminal, wanted), 1);

    ck_assert_int_eq(unlink(hold), 0);
    for (int i = 0; i < 2; i++)
        daemon_wait_process(&d, pids[i]);
    d.master = 0;
    ck_assert_int_eq(unlink(d.pid), 0);
    expect_nothing_left();
}
END_TEST

START_TEST(a_reload_during_the_start_is_done_after_it)
{
    const char *hold = daemon_path(&d, "hold");

    setenv("RV_TEST_HOLD", hold, 1);
    daemon_write(hold, "", 0);
    daemon_preload(&d, "preload_worker");
    daemon_conff(&d,
        "[main]\nworking_directory = %s\nworker_processes = 2\nerror_log = logs/error.log info\n%s",
        d.prefix, DAEMON_HTTP);
    pid_t command = daemon_launch(&d, NULL);
    daemon_wait_master(&d);
    daemon_wait_workers(&d, 2);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    ck_assert_int_eq(unlink(hold), 0);
    ck_assert_int_eq(daemon_wait_process(&d, command), 0);
    daemon_wait_log(&d, "reload done, generation 2", 1);
    daemon_wait_log(&d, "generation 1 is gone", 1);
}
END_TEST

/* --- unix sockets ------------------------------------------------------------------------ */

static const char unix_conf[] = "[main]\nworker_processes = 1\nerror_log = logs/error.log info\n"
                                "[http]\nlisten = unix:s.sock\n"
                                "[location /]\nhandler = stub_status\n";

/* A socket's file, with somebody who listens at it or not. */
static int
make_socket(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_uint_lt(strlen(path), sizeof(un.sun_path));
    strcpy(un.sun_path, path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &un, sizeof(un)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    return fd;
}

START_TEST(a_socket_that_nobody_listens_at_is_replaced)
{
    const char *path = daemon_path(&d, "s.sock");

    close(make_socket(path));
    daemon_conf(&d, unix_conf);
    daemon_start(&d);
    int fd = daemon_connect_unix(path);
    ck_assert_int_ne(fd, -1);
    close(fd);

    /* the same, left by a daemon that was killed */
    pid_t worker = daemon_worker(&d);
    ck_assert_int_eq(kill(d.master, SIGKILL), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(daemon_wait_process(&d, worker), 0);
    ck_assert_int_eq(access(path, F_OK), 0);
    daemon_start(&d);
    fd = daemon_connect_unix(path);
    ck_assert_int_ne(fd, -1);
    close(fd);
}
END_TEST

START_TEST(a_socket_that_somebody_listens_at_is_left_alone)
{
    const char *path = daemon_path(&d, "s.sock");
    int fd = make_socket(path);
    char wanted[512];

    daemon_conf(&d, unix_conf);
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    snprintf(wanted, sizeof(wanted),
        "reeve: [emerg] bind() to \"unix:%s\" failed (98: Address already in use)\n", path);
    ck_assert_str_eq(d.output, wanted);
    int client = daemon_connect_unix(path);
    ck_assert_int_ne(client, -1);
    close(client);
    close(fd);
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

/* It is bound, but nobody answers there before the daemon is ready. */
START_TEST(a_socket_of_a_daemon_that_still_starts_is_left_alone)
{
    const char *hold = daemon_path(&d, "hold"), *path = daemon_path(&d, "s.sock");
    daemon_t other;
    char listen[256];

    setenv("RV_TEST_HOLD", hold, 1);
    daemon_write(hold, "", 0);
    daemon_preload(&d, "preload_worker");
    daemon_conff(&d,
        "[main]\nworking_directory = %s\nworker_processes = 1\n[http]\nlisten = unix:s.sock\n"
        "[location /]\nhandler = stub_status\n",
        d.prefix);
    pid_t command = daemon_launch(&d, NULL);
    daemon_wait_master(&d);
    daemon_wait_workers(&d, 1);

    daemon_setup(&other);
    snprintf(listen, sizeof(listen), "unix:%s", path);
    daemon_conff(&other, "[http]\nlisten = %s\n[location /]\nhandler = stub_status\n", listen);
    ck_assert_int_eq(daemon_run(&other, NULL), 1);
    daemon_expect_output(&other, "failed (98: Address already in use)");

    ck_assert_int_eq(unlink(hold), 0);
    ck_assert_int_eq(daemon_wait_process(&d, command), 0);
    int fd = daemon_connect_unix(path);
    ck_assert_int_ne(fd, -1);
    close(fd);
    daemon_signal(&d, "stop");
    daemon_wait_gone(&d);
    daemon_teardown(&other);
}
END_TEST

START_TEST(of_starts_at_the_same_time_one_succeeds_and_is_reachable)
{
    enum { STARTS = 4 };
    pid_t commands[STARTS];
    int succeeded = 0;

    daemon_conf(&d, unix_conf);
    for (int i = 0; i < STARTS; i++)
        commands[i] = daemon_launch(&d, NULL);
    for (int i = 0; i < STARTS; i++)
        succeeded += daemon_wait_process(&d, commands[i]) == 0;
    ck_assert_int_eq(succeeded, 1);
    daemon_wait_master(&d);
    int fd = daemon_connect_unix(daemon_path(&d, "s.sock"));
    ck_assert_int_ne(fd, -1);
    close(fd);
}
END_TEST

START_TEST(a_file_that_is_no_socket_is_not_removed)
{
    const char *path = daemon_path(&d, "s.sock");

    daemon_write(path, "precious", 8);
    daemon_conf(&d, unix_conf);
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    daemon_expect_output(&d, "failed (98: Address already in use)");
    ck_assert_int_eq(daemon_file_count(path, "precious"), 1);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("start_fail");
    TCase *tc = daemon_case(s, "start_fail");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_worker_that_cannot_start_is_a_failed_start);
    tcase_add_test(tc, a_lone_process_that_cannot_start_is_a_failed_start);
    tcase_add_test(tc, a_taken_port_is_told_with_address_and_reason);
    tcase_add_test(tc, a_second_start_names_the_running_process);
    tcase_add_test(tc, a_pid_file_of_a_killed_master_is_replaced);
    tcase_add_test(tc, a_pid_file_with_the_number_of_another_process_is_replaced);
    tcase_add_test(tc, a_pid_file_that_cannot_be_written_is_a_failed_start);
    tcase_add_loop_test(
        tc, a_signal_during_the_start_ends_it_and_the_command_fails, SIGQUIT, SIGQUIT + 1);
    tcase_add_loop_test(
        tc, a_signal_during_the_start_ends_it_and_the_command_fails, SIGTERM, SIGTERM + 1);
    tcase_add_test(tc, a_master_that_dies_during_the_start_is_told_of);
    tcase_add_test(tc, a_reload_during_the_start_is_done_after_it);
    tcase_add_test(tc, a_socket_that_nobody_listens_at_is_replaced);
    tcase_add_test(tc, a_socket_that_somebody_listens_at_is_left_alone);
    tcase_add_test(tc, a_socket_of_a_daemon_that_still_starts_is_left_alone);
    tcase_add_test(tc, of_starts_at_the_same_time_one_succeeds_and_is_reachable);
    tcase_add_test(tc, a_file_that_is_no_socket_is_not_removed);
    return daemon_main(s);
}
