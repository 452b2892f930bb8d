/*
 * test_container: as process 1, without a pid file, with its log on the terminal.
 */
#include "manager.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    unlink(daemon_path(&d, "notify"));
    daemon_teardown(&d);
}

static void
conf(const char *main)
{
    daemon_conff(&d, "[main]\nworker_processes = 2\n%s\n%s", main, DAEMON_HTTP);
}

static void
expect_hello(void)
{
    char text[1024];

    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}

/* Starts it as the test's own child, and waits until it serves. */
static void
launch(void)
{
    int ear = manager_hear(&d, 0);
    char text[1024];

    d.master = daemon_launch(&d, NULL);
    manager_heard(ear, text, sizeof(text));
    ck_assert_msg(strncmp(text, "READY=1\n", 8) == 0, "%s", text);
    close(ear);
}

/* --- no pid file -------------------------------------------------------------------------- */

static void
expect_unreachable(const char *a, const char *b)
{
    ck_assert_int_eq(daemon_run(&d, a, b, NULL), 1);
    ck_assert_str_eq(
        d.output, "reeve: [emerg] \"pid = off\": there is no pid file to find the master by\n");
}

START_TEST(without_a_pid_file_it_serves_and_obeys)
{
    static const char *const modes[] = { "", "master_process = off" };

    daemon_conff(&d, "[main]\ndaemon = off\npid = off\nerror_log = logs/error.log notice\n%s\n%s",
        modes[_i], DAEMON_HTTP);
    launch();
    expect_hello();
    ck_assert_int_eq(access(d.pid, F_OK), -1);
    expect_unreachable("-s", "reload");
    expect_unreachable("-s", "stop");
    expect_unreachable("status", NULL);

    if (_i == 0) {
        ck_assert_int_eq(kill(d.master, SIGHUP), 0);
        daemon_wait_log(&d, "reload done", 1);
        expect_hello();
    }
    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
}
END_TEST

START_TEST(a_reload_takes_the_pid_file_away_and_brings_it_back)
{
    conf("error_log = logs/error.log notice");
    daemon_start(&d);
    conf("error_log = logs/error.log notice\npid = off");
    daemon_reload(&d);
    ck_assert_int_eq(access(d.pid, F_OK), -1);
    expect_hello();
    daemon_reload(&d);
    ck_assert_int_eq(access(d.pid, F_OK), -1);

    conf("error_log = logs/error.log notice");
    daemon_reload(&d);
    ck_assert_int_eq(daemon_file_count(d.pid, ""), 1);
    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
}
END_TEST

START_TEST(zones_by_name_need_no_pid_file)
{
    daemon_conff(&d,
        "[main]\ndaemon = off\npid = off\nerror_log = logs/error.log notice\n%s"
        "[zone stats]\ntype = posix\n",
        DAEMON_HTTP);
    launch();
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "reload done", 1);
    expect_hello();
    ck_assert_int_eq(kill(d.master, SIGTERM), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
}
END_TEST

/* --- the log ------------------------------------------------------------------------------ */

START_TEST(the_log_may_be_the_standard_output)
{
    conf("daemon = off\nerror_log = stdout notice");
    d.master = daemon_launch(&d, NULL);
    daemon_wait_file(&d, d.terminal, "#0: reeve/0.1.0 started, 2 workers are ready\n", 1);
    ck_assert_int_eq(kill(d.master, SIGUSR1), 0); /* there is nothing to reopen */
    daemon_wait_file(&d, d.terminal, "reopening logs\n", 1);
    ck_assert_int_eq(kill(d.master, SIGQUIT), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
    ck_assert_int_eq(daemon_file_count(d.terminal, "#0: told to quit\n"), 1);
    ck_assert_int_eq(daemon_file_count(d.terminal, "#0: exit\n"), 1);
    ck_assert_int_eq(access(d.log, F_OK), -1);
    ck_assert_int_eq(access(daemon_path(&d, "stdout"), F_OK), -1);
}
END_TEST

START_TEST(a_daemon_in_the_background_has_no_standard_output)
{
    conf("error_log = stdout notice");
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    daemon_expect_output(&d, "\"error_log = stdout\" needs \"daemon = off\"");
}
END_TEST

/* --- TERM ---------------------------------------------------------------------------------- */

/* A client in the middle of its request. */
static int
begin_request(void)
{
    static const char half[] = "GET /hello HTTP/1.1\r\nHost: a\r\n";
    daemon_status_t status;
    int fd = daemon_connect(&d);

    ck_assert_int_ne(fd, -1);
    daemon_send(fd, half, sizeof(half) - 1);
    do
        daemon_status(&d, &status);
    while (status.active < 2 || status.reading < 1);
    return fd;
}

static void
finish_request(int fd)
{
    daemon_send(fd, "\r\n", 2);
    manager_expect_hello(fd);
}

static const char *const masters[] = { "", "master_process = off\n" };

static void
start_graceful(const char *how, const char *master)
{
    daemon_conff(&d, "[main]\n%sgraceful_term = %s\nerror_log = logs/error.log notice\n%s", master,
        how, DAEMON_HTTP);
    daemon_start(&d);
}

START_TEST(a_graceful_term_lets_clients_finish)
{
    start_graceful("on", masters[_i]);
    int client = begin_request();
    ck_assert_int_eq(kill(d.master, SIGTERM), 0);
    daemon_wait_log(&d, "finishes 1 connections", 1);
    finish_request(client);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
}
END_TEST

static const struct {
    const char *how;
    int number; /* 0: -s stop */
} ends[] = { { "on", SIGINT }, { "on", 0 }, { "off", SIGTERM }, { "off", SIGINT }, { "off", 0 } };

START_TEST(any_other_end_is_fast)
{
    char text[64];

    start_graceful(ends[_i].how, "");
    int client = begin_request();
    if (ends[_i].number == 0)
        daemon_signal(&d, "stop");
    else
        ck_assert_int_eq(kill(d.master, ends[_i].number), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
    ck_assert_int_eq(daemon_log_count(&d, "told to stop\n"), 1);
    ck_assert_int_le(daemon_read_end(client, text, sizeof(text)), 0);
    close(client);
}
END_TEST

START_TEST(who_finishes_can_still_be_stopped)
{
    start_graceful("on", masters[_i]);
    int client = begin_request();
    ck_assert_int_eq(kill(d.master, SIGTERM), 0);
    daemon_wait_log(&d, "finishes 1 connections", 1);
    ck_assert_int_eq(kill(d.master, SIGTERM), 0); /* no more than once */
    ck_assert_int_eq(kill(d.master, SIGINT), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
    close(client);
}
END_TEST

/* --- process 1 ------------------------------------------------------------------------------ */

START_TEST(process_1_serves_reloads_and_ends)
{
    if (!daemon_can_own_pids())
        return;
    d.own_pids = 1;
    conf("daemon = off\npid = off\ngraceful_term = on\nerror_log = stderr notice");
    d.master = daemon_launch(&d, NULL);
    daemon_wait_file(&d, d.terminal, " 1#0: reeve/0.1.0 started, 2 workers are ready\n", 1);
    expect_hello();
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_file(&d, d.terminal, " 1#0: reload done, generation 2", 1);
    daemon_wait_file(&d, d.terminal, " 1#0: generation 1 is gone\n", 1);
    expect_hello();
    ck_assert_int_eq(kill(daemon_worker(&d), SIGKILL), 0);
    daemon_wait_file(&d, d.terminal, "was killed by signal 9", 1);
    expect_hello();

    ck_assert_int_eq(kill(d.master, _i == 0 ? SIGTERM : SIGINT), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
    ck_assert_int_eq(
        daemon_file_count(d.terminal, _i == 0 ? "#0: told to quit\n" : "#0: told to stop\n"), 1);
}
END_TEST

static int
has_children(daemon_t *daemon, void *data)
{
    pid_t pids[16];

    return daemon_children(daemon->master, pids, 16) == *(int *) data;
}

/* A process in the daemon's container that is nobody's child there. */
static int
make_orphan(void)
{
    char path[64];
    int go[2];

    snprintf(path, sizeof(path), "/proc/%ld/ns/pid", (long) d.master);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(pipe2(go, O_CLOEXEC), 0);
    if (ns == -1 || setns(ns, CLONE_NEWPID) == -1) {
        close(ns);
        close(own);
        close(go[0]);
        close(go[1]);
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        char byte;

        close(go[1]);
        if (fork() == 0)
            _exit((int) read(go[0], &byte, 1)); /* until the test lets go */
        _exit(0);
    }
    ck_assert_int_eq(setns(own, CLONE_NEWPID), 0);
    close(own);
    close(ns);
    close(go[0]);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    return go[1];
}

START_TEST(process_1_buries_children_of_others_without_a_word)
{
    int with = 3, without = 2;

    if (!daemon_can_own_pids())
        return;
    d.own_pids = 1;
    conf("daemon = off\npid = off\nerror_log = stderr notice");
    d.master = daemon_launch(&d, NULL);
    daemon_wait_file(&d, d.terminal, "started, 2 workers are ready\n", 1);
    int orphan = make_orphan();
    if (orphan == -1) {
        printf("not tried: an orphan in the namespace\n");
        return;
    }
    daemon_wait(&d, has_children, &with, "the orphan is the daemon's");
    close(orphan);
    daemon_wait(&d, has_children, &without, "the orphan is buried");
    expect_hello();
    ck_assert_int_eq(daemon_file_count(d.terminal, "exited with code"), 0);
    ck_assert_int_eq(daemon_file_count(d.terminal, "[error]"), 0);
}
END_TEST

START_TEST(process_1_does_not_go_to_the_background)
{
    if (!daemon_can_own_pids())
        return;
    d.own_pids = 1;
    conf("");
    ck_assert_int_eq(daemon_run(&d, NULL), 1);
    ck_assert_str_eq(d.output,
        "reeve: [emerg] process 1 cannot go to the background: it takes \"daemon = off\"\n");
    ck_assert_int_eq(access(d.pid, F_OK), -1);
}
END_TEST

/* The kernel tells no number of a process outside, and 0 would be the whole group. */
START_TEST(nobody_is_signalled_from_a_container_who_is_outside)
{
    if (!daemon_can_own_pids())
        return;
    conf("");
    daemon_start(&d);
    d.own_pids = 1;
    ck_assert_int_eq(daemon_run(&d, "-s", "stop", NULL), 1);
    daemon_expect_output(&d, "(3: No such process)");
    ck_assert_int_eq(daemon_run(&d, "-g", "daemon = off", NULL), 1);
    daemon_expect_output(&d, "(98: Address already in use)");
    expect_hello();
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("container");
    TCase *tc = daemon_case(s, "container");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, without_a_pid_file_it_serves_and_obeys, 0, 2);
    tcase_add_test(tc, a_reload_takes_the_pid_file_away_and_brings_it_back);
    tcase_add_test(tc, zones_by_name_need_no_pid_file);
    tcase_add_test(tc, the_log_may_be_the_standard_output);
    tcase_add_test(tc, a_daemon_in_the_background_has_no_standard_output);
    tcase_add_loop_test(tc, a_graceful_term_lets_clients_finish, 0, 2);
    tcase_add_loop_test(tc, any_other_end_is_fast, 0, sizeof(ends) / sizeof(ends[0]));
    tcase_add_loop_test(tc, who_finishes_can_still_be_stopped, 0, 2);
    tcase_add_loop_test(tc, process_1_serves_reloads_and_ends, 0, 2);
    tcase_add_test(tc, process_1_buries_children_of_others_without_a_word);
    tcase_add_test(tc, process_1_does_not_go_to_the_background);
    tcase_add_test(tc, nobody_is_signalled_from_a_container_who_is_outside);
    return daemon_main(s);
}
