/*
 * test_start: from the command to a running daemon.
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

START_TEST(a_started_daemon_answers_at_once)
{
    char text[1024];

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_str_eq(text, "hello");
    ck_assert_str_eq(d.output, "");
    daemon_wait_workers(&d, 2);
}
END_TEST

START_TEST(the_command_returns_only_when_all_workers_are_ready)
{
    const char *hold = daemon_path(&d, "hold");
    int status;

    setenv("RV_TEST_HOLD", hold, 1);
    daemon_write(hold, "", 0);
    daemon_preload(&d, "preload_worker");
    daemon_conff(
        &d, "[main]\nworking_directory = %s\nworker_processes = 2\n%s", d.prefix, DAEMON_HTTP);
    pid_t command = daemon_launch(&d, NULL);

    daemon_wait_master(&d);
    daemon_wait_workers(&d, 2);
    ck_assert_int_eq(waitpid(command, &status, WNOHANG), 0);

    ck_assert_int_eq(unlink(hold), 0);
    ck_assert_int_eq(daemon_wait_process(&d, command), 0);
}
END_TEST

/* No descriptor of the master or of a worker is the terminal. */
static int
has_let_go(daemon_t *daemon, void *data)
{
    (void) data;
    return !daemon_has_file(daemon->master, daemon->terminal)
        && !daemon_has_file(daemon_worker(daemon), daemon->terminal);
}

START_TEST(the_daemon_is_detached_from_the_terminal)
{
    char text[256];

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    ck_assert_int_eq(getsid(d.master), d.master);
    ck_assert_int_ne(getsid(d.master), getsid(0));
    daemon_wait(&d, has_let_go, NULL, "the daemon has let go of its terminal");
    for (int fd = 0; fd < 3; fd++) {
        char name[16];

        snprintf(name, sizeof(name), "fd/%d", fd);
        ck_assert_str_eq(daemon_proc_link(d.master, name, text, sizeof(text)), "/dev/null");
        ck_assert_str_eq(
            daemon_proc_link(daemon_worker(&d), name, text, sizeof(text)), "/dev/null");
    }
}
END_TEST

/* Otherwise a log or a client would get the number of a standard descriptor. */
START_TEST(a_start_without_standard_descriptors_is_a_start)
{
    char text[256];

    d.closed = 1;
    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    for (int fd = 0; fd < 3; fd++) {
        char name[16];

        snprintf(name, sizeof(name), "fd/%d", fd);
        ck_assert_str_eq(daemon_proc_link(d.master, name, text, sizeof(text)), "/dev/null");
        ck_assert_str_eq(
            daemon_proc_link(daemon_worker(&d), name, text, sizeof(text)), "/dev/null");
    }
}
END_TEST

START_TEST(the_pid_file_names_the_master)
{
    char wanted[32], title[64];

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    snprintf(wanted, sizeof(wanted), "%ld\n", (long) d.master);
    char *text = daemon_read(d.pid);
    ck_assert_str_eq(text, wanted);
    free(text);
    daemon_title(d.master, title, sizeof(title));
    ck_assert_msg(strncmp(title, "reeve: master process ", 22) == 0, "title %s", title);
}
END_TEST

START_TEST(ps_shows_what_each_process_is)
{
    char title[512], wanted[512];
    pid_t pids[4];

    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    snprintf(wanted, sizeof(wanted), "reeve: master process reeve -p %s -c %s", d.prefix, d.conf);
    ck_assert_str_eq(daemon_title(d.master, title, sizeof(title)), wanted);
    ck_assert_int_eq(daemon_children(d.master, pids, 4), 2);
    for (int i = 0; i < 2; i++)
        ck_assert_str_eq(daemon_title(pids[i], title, sizeof(title)), "reeve: worker process");
}
END_TEST

START_TEST(in_the_foreground_it_stays_a_child_and_writes_to_the_terminal)
{
    char text[1024];

    daemon_conf(&d, DAEMON_CONF);
    daemon_start_foreground(&d, "-g", "error_log = stderr notice", NULL);
    daemon_wait_file(&d, d.terminal, "started, 2 workers are ready", 1);
    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
    ck_assert_int_eq(getsid(d.master), getsid(0));
    ck_assert(daemon_has_file(daemon_worker(&d), d.terminal));

    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
}
END_TEST

START_TEST(ctrl_c_ends_the_foreground_process_and_its_workers)
{
    daemon_conf(&d, DAEMON_CONF);
    daemon_start_foreground(&d, NULL);
    daemon_wait_log(&d, "workers are ready", 1);
    ck_assert_int_eq(getpgid(d.master), d.master);
    ck_assert_int_eq(kill(-d.master, SIGINT), 0);
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
    ck_assert_int_eq(access(d.pid, F_OK), -1);
}
END_TEST

START_TEST(a_folder_for_the_logs_is_made)
{
    ck_assert_int_eq(rmdir(daemon_path(&d, "logs")), 0);
    daemon_conf(&d, DAEMON_CONF);
    daemon_start(&d);
    ck_assert_int_eq(access(d.log, F_OK), 0);
}
END_TEST

/* --- one process ------------------------------------------------------------------------- */

START_TEST(without_a_master_one_process_serves)
{
    daemon_status_t status;
    pid_t pid;

    daemon_conff(
        &d, "[main]\nmaster_process = off\nerror_log = logs/error.log info\n%s", DAEMON_HTTP);
    daemon_start(&d);
    ck_assert_int_eq(daemon_children(d.master, &pid, 1), 0);
    daemon_status(&d, &status);
    ck_assert_uint_eq(status.accepts, 1);
    ck_assert_uint_eq(status.active, 1);

    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "[error]", 1);
    ck_assert_int_eq(daemon_log_count(&d, "reload refused: it needs \"master_process = on\""), 1);
    daemon_status(&d, &status);
    ck_assert_uint_eq(status.accepts, 2);

    daemon_signal(&d, "quit");
    daemon_wait_gone(&d);
    ck_assert_int_eq(d.status, 0);
    ck_assert_int_eq(access(d.pid, F_OK), -1);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("start");
    TCase *tc = daemon_case(s, "start");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_started_daemon_answers_at_once);
    tcase_add_test(tc, the_command_returns_only_when_all_workers_are_ready);
    tcase_add_test(tc, the_daemon_is_detached_from_the_terminal);
    tcase_add_test(tc, a_start_without_standard_descriptors_is_a_start);
    tcase_add_test(tc, the_pid_file_names_the_master);
    tcase_add_test(tc, ps_shows_what_each_process_is);
    tcase_add_test(tc, in_the_foreground_it_stays_a_child_and_writes_to_the_terminal);
    tcase_add_test(tc, ctrl_c_ends_the_foreground_process_and_its_workers);
    tcase_add_test(tc, a_folder_for_the_logs_is_made);
    tcase_add_test(tc, without_a_master_one_process_serves);
    return daemon_main(s);
}
