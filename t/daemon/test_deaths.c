/*
 * test_deaths: what is told of a worker's death, and what comes of many at once.
 */
#include "daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static daemon_t d;
static int echo_port;

static void
setup(void)
{
    daemon_setup(&d);
    echo_port = daemon_free_port();
    daemon_preload(&d, "preload_hang");
}

static void
teardown(void)
{
    daemon_teardown(&d);
}

static void
start_workers(int count)
{
    daemon_conff(&d,
        "[main]\nworker_processes = %d\nerror_log = logs/error.log notice\n%s"
        "[location /killed]\nhandler = return\nreturn = 200 killed\n"
        "[location /leave]\nhandler = return\nreturn = 200 leave\n"
        "[echo]\nlisten = 127.0.0.1:%d\n",
        count, DAEMON_HTTP, echo_port);
    daemon_start(&d);
}

static void
expect_hello(void)
{
    char text[1024];

    ck_assert_int_eq(daemon_get(&d, "/hello", text, sizeof(text)), 200);
}

/* Waits for the line of this worker's death, without the time that it lived. */
static void
expect_line(const char *level, pid_t pid, const char *how, const char *doing)
{
    char begin[256], end[256];

    snprintf(begin, sizeof(begin), "[%s] %ld#0: worker 0 (pid %ld) %s after ", level,
        (long) d.master, (long) pid, how);
    daemon_wait_log(&d, begin, 1);
    char *text = daemon_read(d.log);
    ck_assert_ptr_nonnull(text);
    char *line = strstr(text, begin) + strlen(begin);
    line += strspn(line, "0123456789dhms");
    snprintf(end, sizeof(end), "%s\n", doing);
    ck_assert_msg(
        strncmp(line, end, strlen(end)) == 0, "\"%.*s\"", (int) strcspn(line, "\n"), line);
    free(text);
}

static const struct {
    const char *path; /* NULL: sent to echo */
    const char *sent;
    const char *how;
    const char *doing;
    const char *by;
} griefs[] = {
    { "/killed", NULL, "was killed by signal 9", "answering", "handler \"return\"" },
    { "/leave", NULL, "exited with code 3", "answering", "handler \"return\"" },
    { NULL, "\nkilled", "was killed by signal 9", "serving", "service \"echo\"" },
};

START_TEST(a_death_is_told_with_what_the_worker_was_doing)
{
    const char *path = griefs[_i].path, *sent = griefs[_i].sent;
    char text[1024], doing[256];

    start_workers(1);
    expect_hello(); /* which is over, and must not be told of */
    pid_t pid = daemon_worker(&d);
    if (path != NULL) {
        (void) daemon_get(&d, path, text, sizeof(text));
    } else {
        int fd = daemon_connect_port(echo_port);
        ck_assert_int_ne(fd, -1);
        daemon_send(fd, sent, strlen(sent));
        (void) daemon_read_end(fd, text, sizeof(text));
        close(fd);
    }
    snprintf(doing, sizeof(doing), ", %s at \"127.0.0.1:%d\", %s", griefs[_i].doing,
        path != NULL ? d.port : echo_port, griefs[_i].by);
    expect_line("error", pid, griefs[_i].how, doing);
    daemon_wait_log(&d, "worker 0 started", 2);
    daemon_wait_workers(&d, 1);
    expect_hello();
    ck_assert_int_eq(daemon_log_count(&d, "[error]"), 1);
}
END_TEST

START_TEST(a_worker_that_waits_dies_idle)
{
    start_workers(1);
    expect_hello();
    pid_t pid = daemon_worker(&d);
    daemon_settle(&d);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    expect_line("error", pid, "was killed by signal 9", ", idle");
}
END_TEST

START_TEST(a_worker_that_was_told_to_finish_needs_no_more_words)
{
    start_workers(1);
    pid_t pid = daemon_worker(&d);
    daemon_reload(&d);
    expect_line("notice", pid, "exited with code 0", "");

    pid = daemon_worker(&d);
    ck_assert_int_eq(kill(pid, SIGTERM), 0); /* not told by the master */
    expect_line("error", pid, "exited with code 0", "");
}
END_TEST

/* One that is held while it gets ready, by preload_worker. */
START_TEST(a_worker_that_is_not_ready_dies_starting)
{
    const char *hold = daemon_path(&d, "hold");
    pid_t pids[4];

    setenv("RV_TEST_HOLD", hold, 1);
    daemon_preload(&d, "preload_worker");
    daemon_conff(&d,
        "[main]\nworker_processes = 1\nworking_directory = /\n"
        "error_log = logs/error.log notice\n%s",
        DAEMON_HTTP);
    daemon_start(&d);
    pid_t old = daemon_worker(&d);
    daemon_write(hold, "", 0);
    ck_assert_int_eq(kill(d.master, SIGHUP), 0);
    daemon_wait_log(&d, "worker 0 started", 2);
    ck_assert_int_eq(daemon_children(d.master, pids, 4), 2);
    pid_t held = pids[0] == old ? pids[1] : pids[0];
    ck_assert_int_eq(kill(held, SIGKILL), 0);
    expect_line("error", held, "was killed by signal 9", ", starting");
    ck_assert_int_eq(unlink(hold), 0);
}
END_TEST

enum { WORKERS = 8, ROUNDS = 5 };

/* Each death has one line and one successor: the master neither ends nor spins. */
START_TEST(all_workers_dying_at_once_again_and_again_are_replaced_one_for_one)
{
    pid_t pids[2 * WORKERS];

    start_workers(WORKERS);
    for (int i = 1; i <= ROUNDS; i++) {
        ck_assert_int_eq(daemon_children(d.master, pids, 2 * WORKERS), WORKERS);
        for (int j = 0; j < WORKERS; j++)
            ck_assert_int_eq(kill(pids[j], SIGKILL), 0);
        daemon_wait_log(&d, "was killed by signal 9", i * WORKERS);
        daemon_wait_log(&d, " started, pid ", (i + 1) * WORKERS);
        daemon_wait_workers(&d, WORKERS);
        expect_hello();
    }
    ck_assert(daemon_alive(d.master));
    ck_assert_int_eq(daemon_log_count(&d, " started, pid "), (ROUNDS + 1) * WORKERS);
    ck_assert_int_eq(daemon_log_count(&d, "was killed by signal 9"), ROUNDS * WORKERS);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("deaths");
    TCase *tc = daemon_case(s, "deaths");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_death_is_told_with_what_the_worker_was_doing, 0,
        (int) (sizeof(griefs) / sizeof(griefs[0])));
    tcase_add_test(tc, a_worker_that_waits_dies_idle);
    tcase_add_test(tc, a_worker_that_was_told_to_finish_needs_no_more_words);
    tcase_add_test(tc, a_worker_that_is_not_ready_dies_starting);
    tcase_add_test(tc, all_workers_dying_at_once_again_and_again_are_replaced_one_for_one);
    return daemon_main(s);
}
